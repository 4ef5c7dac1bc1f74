// Single-producer single-consumer rings: rte_ring in the caller's memory, so no name, no memzone and no EAL.
#ifndef NEEDLETAIL_NT_RING_H
#define NEEDLETAIL_NT_RING_H

#include <rte_ring.h>
#include <rte_ring_elem.h>

// Bytes of memory (64-byte aligned) that a ring needs; `count` is a power of two. Negative if the arguments are wrong.
static inline ssize_t nt_ring_bytes(unsigned element, unsigned count) { return rte_ring_get_memsize_elem(element, count); }

// Makes the memory an SPSC ring with room for `count - 1` elements; 0 or -errno.
int nt_ring_spsc_init(void *memory, const char *name, unsigned count);

// Pointers: all `n` or nothing (bulk), or as many as fit (burst). The number moved.
static inline unsigned nt_ring_put_all(struct rte_ring *r, void *const *items, unsigned n) { return rte_ring_sp_enqueue_bulk(r, items, n, NULL); }
static inline unsigned nt_ring_put(struct rte_ring *r, void *const *items, unsigned n) { return rte_ring_sp_enqueue_burst(r, items, n, NULL); }
static inline unsigned nt_ring_get(struct rte_ring *r, void **items, unsigned n) { return rte_ring_sc_dequeue_burst(r, items, n, NULL); }
// Elements of `size` bytes, a multiple of 4.
static inline unsigned nt_ring_put_elements(struct rte_ring *r, const void *items, unsigned size, unsigned n) { return rte_ring_sp_enqueue_burst_elem(r, items, size, n, NULL); }
static inline unsigned nt_ring_get_elements(struct rte_ring *r, void *items, unsigned size, unsigned n) { return rte_ring_sc_dequeue_burst_elem(r, items, size, n, NULL); }
// Any thread may ask; the answer is exact only for the producer (never less free) and the consumer (never fewer used).
static inline unsigned nt_ring_count(const struct rte_ring *r) { return rte_ring_count(r); }
static inline unsigned nt_ring_free_count(const struct rte_ring *r) { return rte_ring_free_count(r); }
static inline unsigned nt_ring_capacity(const struct rte_ring *r) { return rte_ring_get_capacity(r); }

#endif
