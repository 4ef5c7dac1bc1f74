// The worker's loop over cached flows, written in C: what `needletail bench` holds the Swift one against. Bench only.
//
// Invariant: the same stages in the same order over the same table as Sources/Dataplane/Worker*.swift, with the same checks of
// each packet and the same stores; where the worker would go the long way, the twin counts `odd` and frees the packet.
#ifndef NEEDLETAIL_NT_BENCH_TWIN_H
#define NEEDLETAIL_NT_BENCH_TWIN_H

#include <stdint.h>
#include <rte_mbuf.h>

struct nt_twin_table {
	const uint8_t *tags;
	uint8_t *entries;
	uint64_t buckets;
};

struct nt_twin_probe {
	uint8_t *network;
	uint64_t hash, tuple;
	uint32_t encapsulation;
	uint16_t total_length;
	uint8_t link_length, ipv6;
	uint32_t bucket;
	uint8_t *entry;
};

struct nt_twin_burst {
	struct rte_mbuf *received[32];
	struct rte_mbuf *packets[2][32];
	struct nt_twin_probe probes[2][32];
	uint32_t count[2], tcp[2];
	uint16_t port;
};

struct nt_twin {
	struct nt_twin_table tables[2];     // IPv4, IPv6
	uint64_t seeds[8];
	uint64_t owner;              // what this worker's own entries have in their tuples
	const uint8_t *actions;
	const uint32_t *generation;
	uint8_t *connections;
	uint64_t connection_stride;
	uint64_t addresses[2];              // the ports' own, as a frame's first six bytes show them
	uint16_t ports[2], queue;           // DPDK's numbers
	uint32_t tick;
	uint64_t received, received_bytes, hits, odd, transmitted, transmitted_bytes;
	uint32_t turn, under_way;
	struct rte_mbuf *sent[32];
	uint16_t sent_ports[32];
	struct nt_twin_burst bursts[2];
};

// `rounds` rounds over both ports; the number of packets received.
uint64_t nt_twin_run(struct nt_twin *twin, uint32_t rounds);
// The same, taking the hash that a NIC wrote into the mbuf (`nt_flow_source.seeds`) instead of computing it.
uint64_t nt_twin_run_hash_given(struct nt_twin *twin, uint32_t rounds);
// Ends the burst under way.
void nt_twin_finish(struct nt_twin *twin);

// The source and the sink alone, from port `a` to `b` and back.
uint64_t nt_floor_run(uint16_t a, uint16_t b, uint16_t queue, uint32_t rounds);

// The memory's limit: source and sink, and for each packet one line of `lines`, at random, asked for 32 at a time and written.
uint64_t nt_memory_run(uint16_t a, uint16_t b, uint16_t queue, uint32_t rounds, uint8_t *lines, uint64_t count, uint64_t *state);

#endif
