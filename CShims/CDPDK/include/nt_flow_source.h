// A cheap packet source for benchmarks: a receive callback on net_null that stamps the headers of N flows, in scattered
// order, into fresh mbufs. The same for every loop that is compared, and without a table of its own that could miss the cache.
#ifndef NEEDLETAIL_NT_FLOW_SOURCE_H
#define NEEDLETAIL_NT_FLOW_SOURCE_H

#include <stdint.h>
#include <rte_mbuf.h>

// Numbers of a connection, host order; an IPv6 flow has them in the low 32 bits behind a prefix of its own.
struct nt_flow_tuple {
	uint32_t client, server, translated;
	uint16_t client_port, server_port, translated_port;
};

static inline struct nt_flow_tuple nt_flow_tuple(uint32_t connection)
{
	struct nt_flow_tuple t;
	t.client = 0x0a000002u + (connection >> 9);          // 10.0.0.2 and on, 512 connections each
	t.client_port = (uint16_t)(32768 + (connection & 511));
	t.server = 0xc6336401u + (connection & 63);          // 198.51.100.1 to .64
	t.server_port = 443;
	t.translated = 0xcb007101u + (connection >> 15);     // 203.0.113.1 and on, 32768 connections each
	t.translated_port = (uint16_t)(1024 + (connection & 32767));
	return t;
}

struct nt_flow_source {
	uint8_t frame[96];          // what is stamped, but for addresses, ports and checksums
	uint32_t length;            // bytes of the frame
	uint32_t ipv6;
	uint32_t reply;             // 0: client to server; 1: server to client
	uint32_t translate;         // replies go to the translated address
	uint32_t connections;
	uint32_t first;             // connections first, first + 1, ... first + connections - 1
	uint32_t stride, next;      // scattered order: next += stride, modulo connections
	uint32_t network_sum;       // ones' complement sums of the constant parts, raw words
	uint32_t transport_sum;
	uint64_t offload_flags;     // set in each mbuf: what a NIC with checksum offload reports
};

// Fills in everything from these; `stride` is chosen to visit all connections. MAC addresses as they go on the wire.
void nt_flow_source_init(struct nt_flow_source *source, const uint8_t *destination_mac, const uint8_t *source_mac, int ipv6, int reply,
                         int translate, uint32_t first, uint32_t connections);

// An nt_rx_callback; `context` is the source.
uint16_t nt_flow_source_stamp(uint16_t port, uint16_t queue, struct rte_mbuf **packets, uint16_t count, uint16_t capacity, void *context);

#endif
