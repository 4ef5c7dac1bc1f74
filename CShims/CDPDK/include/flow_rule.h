// A NIC rule for one direction of a flow as a plain struct, and the function table that carries it out.
//
// Invariant: Swift fills the struct and never sees an rte_flow type. Two fronts stand behind one table: the port's own
// driver (rte_flow) and the emulated NIC, so that whatever is said to one can be said to the other. Not thread safe
// per port: one manager owns all rules of a port, as rte_flow demands for most drivers.
#ifndef NEEDLETAIL_FLOW_RULE_H
#define NEEDLETAIL_FLOW_RULE_H
#include <stdint.h>

// What a rule matches besides family and addresses.
enum {
	NT_MATCH_DESTINATION_MAC = 1 << 0, // frames to `match_mac` only
	NT_MATCH_UNTAGGED = 1 << 1,        // no VLAN tag (vlan_count must be 0)
	NT_MATCH_PORTS = 1 << 2,           // protocol (TCP or UDP) and both ports
	NT_MATCH_TCP_FLAGS = 1 << 3,       // tcp_flags & tcp_flags_mask == tcp_flags_value
	NT_MATCH_NO_FRAGMENT = 1 << 4,     // neither fragment offset nor more fragments; no IPv6 fragment header
	NT_MATCH_NO_OPTIONS = 1 << 5,      // IPv4 header of 20 bytes
	NT_MATCH_TRAFFIC_CLASS = 1 << 6,   // traffic class & mask == value
	NT_MATCH_CHECKSUMS = 1 << 7,       // the NIC found network and transport checksums right
	NT_MATCH_TTL = 1 << 8,             // TTL equal to `match_ttl`
	NT_MATCH_LOW_TTL = 1 << 9,         // TTL 0 or 1 (guard rules)
};

// What a rule does.
enum {
	NT_DO_SET_MACS = 1 << 0,
	NT_DO_SET_SOURCE = 1 << 1,
	NT_DO_SET_DESTINATION = 1 << 2,
	NT_DO_SET_SOURCE_PORT = 1 << 3,
	NT_DO_SET_DESTINATION_PORT = 1 << 4,
	NT_DO_DECREMENT_TTL = 1 << 5,
	NT_DO_SET_TTL = 1 << 6,  // to `set_ttl`; with NT_MATCH_TTL for NICs that cannot subtract
	NT_DO_SET_DSCP = 1 << 7, // the upper six bits of the traffic class
	NT_DO_COUNT = 1 << 8,
	NT_DO_AGE = 1 << 9,
	NT_DO_MARK = 1 << 10, // and hand to software
	NT_DO_DROP = 1 << 11,
	NT_DO_OUTPUT = 1 << 12,
	NT_DO_SOFTWARE = 1 << 13, // hand to software, past the rules of lower priority
};

enum nt_output {
	NT_OUTPUT_REPRESENTED_PORT = 0, // transfer rule; `output` is an ethdev port id
	NT_OUTPUT_PORT_ID = 1,          // the same, in the older dialect
	NT_OUTPUT_HAIRPIN = 2,          // ingress rule; `output_queue` is the hairpin RX queue, `output` its far port
};

enum nt_dialect {
	NT_DIALECT_SET = 0,          // SET_MAC_SRC, SET_IPV4_SRC, DEC_TTL, ...
	NT_DIALECT_MODIFY_FIELD = 1, // MODIFY_FIELD for each of them
};

// Numbers in host order unless said otherwise. Addresses as two words, an IPv4 address in the low 32 bits of `low`.
struct nt_flow_rule {
	uint32_t match;   // NT_MATCH_*
	uint32_t actions; // NT_DO_*
	uint8_t family;   // 4, 6; 0 matches any frame (capability trial only)
	uint8_t protocol;
	uint8_t vlan_count; // tags to match, 0 to 2
	uint8_t output_kind;
	uint8_t dialect;
	uint8_t tcp_flags_mask, tcp_flags_value;
	uint8_t traffic_class_mask, traffic_class_value;
	uint8_t match_ttl, set_ttl;
	uint8_t set_traffic_class; // NT_DO_SET_DSCP
	uint16_t vlan[2];          // VIDs, outermost first; the frame's priority must be 0
	uint16_t vlan_type[2];     // EtherTypes of the tags: 0x8100 or 0x88a8
	uint16_t source_port, destination_port;
	uint16_t set_source_port, set_destination_port;
	uint16_t output, output_queue;
	uint64_t match_mac, set_source_mac, set_destination_mac; // 48 bits, as EthernetAddress.rawValue
	uint64_t source_high, source_low, destination_high, destination_low;
	uint64_t set_source_high, set_source_low, set_destination_high, set_destination_low;
	uint32_t mark;
	uint32_t age_seconds;
	uint32_t priority, group; // as in rte_flow: 0 is the highest priority
};

// What the NIC counted since the rule was made: absolute numbers, never reset by a query.
struct nt_flow_count {
	uint64_t packets;
	uint64_t bytes;       // of frames, without FCS
	uint64_t idle_ns;     // since the last hit
	uint64_t settle_ns;   // destroy only: not 0 if the counter outlives the rule and is final after so long
	uint8_t has_packets, has_bytes, has_idle;
};

// A failure in words. `number` is a positive errno; 0 means none.
struct nt_flow_error {
	int number;
	char text[120];
};

// The operations of a front. `handle` is opaque and never 0. Each returns 0 or a positive errno, with `error` filled.
struct nt_flow_front {
	const char *name;
	int (*create)(uint16_t port, const struct nt_flow_rule *rule, uintptr_t *handle, struct nt_flow_error *error);
	int (*query)(uint16_t port, const struct nt_flow_rule *rule, uintptr_t handle, struct nt_flow_count *count, struct nt_flow_error *error);
	// `count` gets the last count, as exactly as the NIC can tell: after the rule's end if possible, else just before
	// (has_packets 0: it cannot). On failure the rule still works and `count` is not written.
	int (*destroy)(uint16_t port, const struct nt_flow_rule *rule, uintptr_t handle, struct nt_flow_count *count, struct nt_flow_error *error);
	// After a destroy that left settle_ns, or after a flush: reads the counter once more if that can be (has_packets) and
	// gives the handle back, whatever the result.
	int (*settle)(uint16_t port, uintptr_t handle, struct nt_flow_count *count, struct nt_flow_error *error);
	// Ends every rule; all handles of the port are good for settle only.
	int (*flush)(uint16_t port, struct nt_flow_error *error);
};

// The front of a port: the emulated NIC if one is attached to it, its driver otherwise.
const struct nt_flow_front *nt_flow_front_of(uint16_t port);

// create, query, destroy and flush by the port's front. Probe is create and destroy of a rule that can never match.
int nt_flow_create(uint16_t port, const struct nt_flow_rule *rule, uintptr_t *handle, struct nt_flow_error *error);
int nt_flow_query(uint16_t port, const struct nt_flow_rule *rule, uintptr_t handle, struct nt_flow_count *count, struct nt_flow_error *error);
int nt_flow_destroy(uint16_t port, const struct nt_flow_rule *rule, uintptr_t handle, struct nt_flow_count *count, struct nt_flow_error *error);
int nt_flow_settle(uint16_t port, uintptr_t handle, struct nt_flow_count *count, struct nt_flow_error *error);
int nt_flow_flush(uint16_t port, struct nt_flow_error *error);
int nt_flow_probe(uint16_t port, const struct nt_flow_rule *rule, struct nt_flow_error *error);

// The rte_flow words a rule is translated to, for tests and `show offload --rules`: "eth vlan ipv4 tcp / count set_mac_src ...".
// Returns 0, or the errno of a rule that has no translation.
int nt_flow_describe(uint16_t port, const struct nt_flow_rule *rule, char *text, uint32_t size, struct nt_flow_error *error);

// The name of an errno, "ENOSPC"; never NULL.
const char *nt_flow_errno_name(int number);
#endif
