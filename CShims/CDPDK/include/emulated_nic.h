// A NIC with rte_flow offload in software, attached to any started port as an RX callback.
//
// It is for tests, for the demo and for machines without such a NIC: it carries out rules as a real NIC would, on the
// worker's own core inside its rx_burst, so it saves the worker nothing. Frames that match a forwarding rule are
// rewritten and sent from inside the callback, and software never sees them; all others are handed on in order.
//
// Invariant: the manager's thread alone calls everything here but the RX callback itself; rules are published to the
// callbacks by RCU (see emulated_nic_rules.c); a counter has one writer, the worker that polls the queue.
#ifndef NEEDLETAIL_EMULATED_NIC_H
#define NEEDLETAIL_EMULATED_NIC_H
#include "flow_rule.h"

// What a NIC can do, as data: the matches and actions that it accepts, its sizes and its manners.
struct nt_nic_profile {
	const char *name;
	uint32_t match;    // NT_MATCH_* it accepts
	uint32_t actions;  // NT_DO_* it accepts; for IPv6 less actions_ipv4_only
	uint32_t actions_ipv4_only;
	uint32_t dialects; // bit per nt_dialect
	uint32_t outputs;  // bit per nt_output
	uint32_t capacity; // rules
	uint8_t families;  // bit 0 IPv4, bit 1 IPv6
	uint8_t maximum_vlans;
	uint8_t mark_bits;
	uint8_t trims_padding;    // sends and counts frames without Ethernet padding
	uint8_t counts_bytes;     // else packets only
	uint8_t has_last_hit;     // query tells when a rule was last hit
	uint64_t hit_granularity; // of that, in ns
	uint64_t counter_period;  // a query sees counters as old as this, in ns
	int full_table_errno;     // what create answers when the table is full
};

// The profile of that name; NULL if there is none. nt_nic_profile_at(i) lists them, NULL behind the last.
const struct nt_nic_profile *nt_nic_profile_named(const char *name);
const struct nt_nic_profile *nt_nic_profile_at(uint32_t index);

// Frames and bytes by what became of them. `stale_handles`: uses of a handle whose rule is gone (an error of ours).
struct nt_nic_statistics {
	uint64_t carried_packets, carried_bytes;
	uint64_t dropped_by_rule;
	uint64_t marked;
	uint64_t lost_at_transmit; // the output queue was full: dropped and freed, as a NIC's own queue would
	uint64_t rules;
	uint64_t stale_handles;
};

// What goes wrong, on purpose. Everything 0: nothing. "Every n-th" counts calls since the faults were set.
struct nt_nic_faults {
	uint32_t create_every;     // every n-th create fails with create_errno
	int create_errno;          // 0: EIO
	uint32_t destroy_failures; // so many destroys fail with EIO, and the rule goes on working
	uint32_t flush_failures;   // so many flushes fail with EIO
	uint32_t query_every;      // every n-th query fails with EIO
	uint32_t lose_every;       // every n-th rule is created and never hit: a lost rule
	uint32_t frozen_above;     // rules made while so many exist count nothing (1: all)
	uint8_t counters_stand;    // every query answers what the last good one of the rule did
	uint8_t counters_restart;  // the next query of each rule finds its counter begun anew
	uint8_t effect_is_late;    // rules do nothing until nt_nic_settle
};

// From the next call on. The manager's thread, as everything here.
void nt_nic_set_faults(uint16_t port, const struct nt_nic_faults *faults);
// Makes late rules work.
void nt_nic_settle(uint16_t port);
// Loses every rule of the port without a word, as a reset of the hardware does; handles stay good for destroy and query.
void nt_nic_lose_rules(uint16_t port);

// Puts an emulated NIC of that profile on a configured port, for all its RX queues. `capacity` 0: the profile's own.
// A frame received on queue q is sent on TX queue q of its output port, so whoever polls RX queue q has to own TX
// queue q of every port. Returns 0 or an errno with text.
int nt_nic_attach(uint16_t port, const struct nt_nic_profile *profile, uint32_t capacity, struct nt_flow_error *error);
// Removes the callbacks and frees everything. No worker may be polling the port: DPDK gives a removed callback no grace.
void nt_nic_detach(uint16_t port);
// The profile on the port; NULL if there is no emulated NIC.
const struct nt_nic_profile *nt_nic_profile_of(uint16_t port);
// Longest IP packet that the port receives from now on (at first the device's own MTU): a longer one is not the NIC's.
void nt_nic_set_mtu(uint16_t port, uint16_t mtu);
// The time that frames are stamped with from now on, for the idle time of a query. One clock for all emulated NICs.
void nt_nic_set_time(uint64_t now_ns);
void nt_nic_read_statistics(uint16_t port, struct nt_nic_statistics *statistics);
// The front of emulated ports.
const struct nt_flow_front *nt_nic_front(void);
#endif
