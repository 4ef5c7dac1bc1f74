// Accessors for struct rte_mbuf, which Swift cannot import (over-aligned, bit-fields, unions). Each is one load or
// store. They check nothing: the caller holds a valid mbuf, and a length from the wire is checked before it comes here.
#ifndef NEEDLETAIL_NT_MBUF_H
#define NEEDLETAIL_NT_MBUF_H

#include <rte_mbuf.h>
#include <rte_prefetch.h>

// A frame's first byte in its first segment.
static inline void *nt_mbuf_data(const struct rte_mbuf *m) { return (char *)m->buf_addr + m->data_off; }
// Bytes in this segment, and in all segments together.
static inline uint16_t nt_mbuf_data_len(const struct rte_mbuf *m) { return m->data_len; }
static inline uint32_t nt_mbuf_pkt_len(const struct rte_mbuf *m) { return m->pkt_len; }
static inline uint16_t nt_mbuf_nb_segs(const struct rte_mbuf *m) { return m->nb_segs; }
static inline uint64_t nt_mbuf_ol_flags(const struct rte_mbuf *m) { return m->ol_flags; }
static inline void nt_mbuf_set_ol_flags(struct rte_mbuf *m, uint64_t flags) { m->ol_flags = flags; }
static inline uint16_t nt_mbuf_port(const struct rte_mbuf *m) { return m->port; }
static inline void nt_mbuf_set_port(struct rte_mbuf *m, uint16_t port) { m->port = port; }
static inline uint32_t nt_mbuf_rss(const struct rte_mbuf *m) { return m->hash.rss; }
static inline void nt_mbuf_set_rss(struct rte_mbuf *m, uint32_t hash) { m->hash.rss = hash; }
// MARK of a flow rule, valid with RTE_MBUF_F_RX_FDIR_ID.
static inline uint32_t nt_mbuf_mark(const struct rte_mbuf *m) { return m->hash.fdir.hi; }
static inline void nt_mbuf_set_mark(struct rte_mbuf *m, uint32_t mark) { m->hash.fdir.hi = mark; }
static inline uint16_t nt_mbuf_vlan_tci(const struct rte_mbuf *m) { return m->vlan_tci; }
static inline uint32_t nt_mbuf_packet_type(const struct rte_mbuf *m) { return m->packet_type; }
static inline uint16_t nt_mbuf_headroom(const struct rte_mbuf *m) { return m->data_off; }
static inline uint16_t nt_mbuf_tailroom(const struct rte_mbuf *m) { return (uint16_t)(m->buf_len - m->data_off - m->data_len); }
static inline uint16_t nt_mbuf_refcnt(const struct rte_mbuf *m) { return rte_mbuf_refcnt_read(m); }
static inline struct rte_mbuf *nt_mbuf_next(const struct rte_mbuf *m) { return m->next; }
static inline struct rte_mempool *nt_mbuf_pool(const struct rte_mbuf *m) { return m->pool; }
// The pool's private bytes of each mbuf: directly behind struct rte_mbuf.
static inline void *nt_mbuf_private(struct rte_mbuf *m) { return m + 1; }
static inline uint64_t nt_mbuf_tx_offload(const struct rte_mbuf *m) { return m->tx_offload; }
// Header lengths for transmit offloads: l2, l3, l4.
static inline void nt_mbuf_set_tx_lengths(struct rte_mbuf *m, uint64_t l2, uint64_t l3, uint64_t l4)
{
	m->tx_offload = rte_mbuf_tx_offload(l2, l3, l4, 0, 0, 0, 0);
}

// Sets the frame of a single-segment mbuf: `headroom` bytes before it, `length` bytes long.
static inline void nt_mbuf_set_frame(struct rte_mbuf *m, uint16_t headroom, uint16_t length)
{
	m->data_off = headroom;
	m->data_len = length;
	m->pkt_len = length;
}

// The four operations of DPDK with its own checks: NULL or -1 if there is no room.
static inline void *nt_mbuf_prepend(struct rte_mbuf *m, uint16_t bytes) { return rte_pktmbuf_prepend(m, bytes); }
static inline void *nt_mbuf_append(struct rte_mbuf *m, uint16_t bytes) { return rte_pktmbuf_append(m, bytes); }
static inline void *nt_mbuf_adj(struct rte_mbuf *m, uint16_t bytes) { return rte_pktmbuf_adj(m, bytes); }
static inline int nt_mbuf_trim(struct rte_mbuf *m, uint16_t bytes) { return rte_pktmbuf_trim(m, bytes); }
// Copies all segments into the first; 0, or -1 if they do not fit.
static inline int nt_mbuf_linearize(struct rte_mbuf *m) { return rte_pktmbuf_linearize(m); }
static inline void nt_mbuf_free(struct rte_mbuf *m) { rte_pktmbuf_free(m); }

// Into all cache levels. The first line of the mbuf, its second line, and where its data begin.
static inline void nt_prefetch(const void *address) { rte_prefetch0(address); }
static inline void nt_prefetch_write(const void *address) { rte_prefetch0_write(address); }
static inline void nt_mbuf_prefetch(struct rte_mbuf *m) { rte_mbuf_prefetch_part1(m); }

// Swift spells these flags as literals; the compiler checks here that they are DPDK's.
#define NT_SAME(swift, dpdk) _Static_assert((swift) == (dpdk), "Mbuf.swift: OffloadFlags differ from DPDK's")
NT_SAME(1ULL << 0, RTE_MBUF_F_RX_VLAN);
NT_SAME(1ULL << 1, RTE_MBUF_F_RX_RSS_HASH);
NT_SAME(1ULL << 2, RTE_MBUF_F_RX_FDIR);
NT_SAME(1ULL << 3, RTE_MBUF_F_RX_L4_CKSUM_BAD);
NT_SAME(1ULL << 4, RTE_MBUF_F_RX_IP_CKSUM_BAD);
NT_SAME(1ULL << 6, RTE_MBUF_F_RX_VLAN_STRIPPED);
NT_SAME(1ULL << 7, RTE_MBUF_F_RX_IP_CKSUM_GOOD);
NT_SAME(1ULL << 8, RTE_MBUF_F_RX_L4_CKSUM_GOOD);
NT_SAME(1ULL << 13, RTE_MBUF_F_RX_FDIR_ID);
NT_SAME(1ULL << 52, RTE_MBUF_F_TX_TCP_CKSUM);
NT_SAME(3ULL << 52, RTE_MBUF_F_TX_UDP_CKSUM);
NT_SAME(1ULL << 54, RTE_MBUF_F_TX_IP_CKSUM);
NT_SAME(1ULL << 55, RTE_MBUF_F_TX_IPV4);
NT_SAME(1ULL << 56, RTE_MBUF_F_TX_IPV6);
#undef NT_SAME
_Static_assert(RTE_PKTMBUF_HEADROOM == 128, "Mempool.swift counts on 128 bytes of headroom");
_Static_assert(RTE_MBUF_DEFAULT_DATAROOM == 2048, "Mempool.swift: default data room");

#endif
