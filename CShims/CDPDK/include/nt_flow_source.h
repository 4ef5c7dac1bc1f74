// A cheap packet source for benchmarks: a receive callback on net_null that stamps the headers of N flows, in scattered
// order, into fresh mbufs. The same for every loop that is compared, and without a table of its own that could miss the cache.
//
// Invariant: a frame is written as whole 64-bit words, so that whoever reads it finds no half-forwarded stores; checksums are
// right for a payload of zeros.
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

// What one side of a TCP connection has sent, by the number of its packets: `nt_flow_initial + packets * nt_flow_payload`.
enum { nt_flow_initial = 1, nt_flow_payload = 6 };

// Where the flows of a source stand; a loop that must not be seen by the connections puts back what it found.
struct nt_flow_progress {
	uint32_t next;              // the next packet's connection, less `first`
	uint32_t rounds;            // times that all connections have been visited
	uint32_t size;              // place in the cycle of sizes
};

struct nt_flow_template {
	uint64_t words[10];         // the frame, but for addresses, ports, numbers and checksums
	uint32_t length;            // bytes of the frame
	uint32_t network_sum;       // ones' complement sums of the constant parts, raw words
	uint32_t transport_sum;
};

struct nt_flow_source {
	struct nt_flow_template templates[3];
	uint8_t sizes[12];          // cycle of templates: all 0, or the Internet mix of 7, 4 and 1
	uint32_t ipv6, tcp, mix;
	uint32_t reply;             // 0: client to server; 1: server to client
	uint32_t inner_address, inner_shift, inner_port, inner_mask;   // the changing end: address + (c >> shift), port + (c & mask)
	uint32_t connections;
	uint32_t first;             // connections first, first + 1, ... first + connections - 1
	uint32_t start, stride;     // scattered order: next = start, then next += stride, modulo connections
	uint64_t offload_flags;     // set in each mbuf: what a NIC with checksum offload reports
	const uint64_t *seeds;      // of the flow cache: its own hash stands in each mbuf, as from a NIC that computes it; NULL: none
	struct nt_flow_progress progress;
};

enum { NT_FLOW_IPV6 = 1, NT_FLOW_REPLY = 2, NT_FLOW_TRANSLATE = 4, NT_FLOW_TCP = 8, NT_FLOW_MIX = 16 };

// Fills in everything from these; `stride` is chosen to visit all connections. MAC addresses as they go on the wire.
void nt_flow_source_init(struct nt_flow_source *source, const uint8_t *destination_mac, const uint8_t *source_mac, uint32_t flags,
                         uint32_t first, uint32_t connections);

// An nt_rx_callback; `context` is the source.
uint16_t nt_flow_source_stamp(uint16_t port, uint16_t queue, struct rte_mbuf **packets, uint16_t count, uint16_t capacity, void *context);

#endif
