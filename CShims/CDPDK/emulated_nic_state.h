// The emulated NIC's memory, shared by its control side (emulated_nic.c, emulated_nic_rules.c) and its receive side (emulated_nic_receive.c).
//
// Invariant: the control side writes rules, chains and guards; the receive side writes counters and its queue's own
// sequence number. See emulated_nic_rules.c for how a rule is published and taken back.
#ifndef NEEDLETAIL_EMULATED_NIC_STATE_H
#define NEEDLETAIL_EMULATED_NIC_STATE_H
#include "emulated_nic.h"
#include <rte_common.h>
#include <rte_ethdev.h>
#include <stdbool.h>

enum { nt_nic_end_of_chain = UINT32_MAX };

// The exact-match key, the same for every rule: what a frame shows, zero where it has none. No padding: compared whole.
struct nt_nic_key {
	uint64_t source_high, source_low, destination_high, destination_low;
	uint16_t source_port, destination_port;
	uint16_t vlan[2], vlan_type[2]; // whole tags, and their EtherTypes
	uint8_t family, protocol, vlan_count, zero;
};
_Static_assert(sizeof(struct nt_nic_key) == 48, "the key has no padding");

struct nt_nic_rule {
	struct nt_nic_key key;
	struct nt_flow_rule rule;
	// One's-complement differences of the constant rewrites, for checksums: addresses, and ports with addresses.
	uint32_t network_delta, transport_delta;
	uint32_t next;  // chain; atomic
	uint8_t frozen; // counts nothing; constant once published
	uint32_t generation;
	// The control side's own.
	bool live;
	bool settling; // the rule is gone, its counter is still to be read
	bool guard;   // a low-TTL guard, in no chain
	bool chained; // in its chain (or its guard bit set); a lost or late rule is not
	bool late;    // to be chained by nt_nic_settle
	bool restarted;
	uint64_t base_packets, base_bytes; // subtracted from what a query answers
	struct nt_flow_count last_answer;
	uint64_t answered; // when
};

// One writer per counter: the worker that polls the queue. Read by the control side with relaxed loads.
struct nt_nic_counter {
	uint64_t packets, bytes, last_hit;
};

struct nt_nic_queue {
	struct nt_nic *nic;
	uint16_t index;
	const struct rte_eth_rxtx_callback *callback;
	// Odd while the worker is inside the callback. Written by the worker alone.
	uint64_t sequence;
	struct nt_nic_statistics statistics;
	struct nt_nic_counter *counters; // one a rule slot
} __rte_cache_aligned;

struct nt_nic {
	uint16_t port;
	uint16_t queue_count;
	uint16_t mtu;
	const struct nt_nic_profile *profile;
	uint32_t capacity, used;
	uint32_t free_head; // chain of slots given back, by `next`
	uint32_t fresh;     // slots from here on were never used: their memory is not touched
	uint64_t seed;
	uint32_t head_mask;
	uint32_t *heads; // atomic
	struct nt_nic_rule *rules;
	uint8_t guards; // atomic; bit 0 IPv4, bit 1 IPv6: TTL 0 and 1 go to software
	uint64_t stale_handles;
	struct nt_nic_faults faults;
	uint32_t creates, queries; // since the faults were set
	struct nt_nic_queue *queues;
};

// The time that frames are stamped with; written by the manager, read by all workers (relaxed: a stamp, no ordering).
extern uint64_t nt_nic_time;

// Mixes every bit of the key into every bit of the result, under a seed that a sender does not know.
static inline uint64_t
nt_nic_hash(const struct nt_nic_key *key, uint64_t seed)
{
	const uint64_t *word = (const uint64_t *)key;
	uint64_t hash = seed;
	for (unsigned i = 0; i < sizeof(*key) / 8; i++) {
		unsigned __int128 product = (unsigned __int128)(hash ^ word[i]) * 0x9e3779b97f4a7c15u;
		hash = ((uint64_t)product ^ (uint64_t)(product >> 64)) + seed;
	}
	return hash;
}

static inline bool
nt_nic_key_equal(const struct nt_nic_key *a, const struct nt_nic_key *b)
{
	const uint64_t *x = (const uint64_t *)a, *y = (const uint64_t *)b;
	uint64_t difference = 0;
	for (unsigned i = 0; i < sizeof(*a) / 8; i++)
		difference |= x[i] ^ y[i];
	return difference == 0;
}

// The emulated NIC of a port; NULL if it has none.
struct nt_nic *nt_nic_of(uint16_t port);
// Fills `error` and returns `number`.
int nt_nic_fail(struct nt_flow_error *error, int number, const char *text);

// The RX callback; `state` is a struct nt_nic_queue.
uint16_t nt_nic_receive(uint16_t port, uint16_t queue, struct rte_mbuf *frames[], uint16_t count, uint16_t room, void *state);
#endif
