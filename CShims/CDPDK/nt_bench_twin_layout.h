// Where the benchmark twin finds things in the flow cache's memory (Sources/FlowCache, Sources/Wire/TCPWindow.swift), and how it loads
// and stores them. Nothing outside nt_bench_twin.c needs it.
#ifndef NT_BENCH_TWIN_LAYOUT_H
#define NT_BENCH_TWIN_LAYOUT_H
#include <stdint.h>
#include <string.h>

// Bits of an entry's tuple that are its owner (FlowOwner.mask).
#define OWNER 0x7c00000000000000u
enum { FLAG_REPLY = 1, FLAG_WINDOW = 2, FLAG_LONG_WAY = 16 | 32 };

// Where the fields lie in FlowEntry4, FlowEntry6 and FlowAction.
struct entry4 {
	uint64_t addresses, tuple;
	uint64_t made;                      // encapsulation, generation
	uint64_t new_addresses;
	uint32_t new_ports, action;
	uint16_t network_delta, transport_delta;
	uint32_t connection, last_used, packets;
	uint64_t bytes;
};
struct entry6 {
	uint64_t address[4], tuple, made;
	uint32_t action, connection;
	uint16_t transport_delta, reserved;
	uint32_t new_ports;
	uint64_t new_address[4];
	uint32_t last_used, packets;
	uint64_t bytes;
};
struct action {
	uint64_t link_head;
	uint32_t link_tail;
	uint16_t output_port, maximum_length, guard_mask, guard_value;
	uint8_t traffic_class_mask, traffic_class_value, flags, reserved;
	uint64_t reserved64;
};
struct endpoint {
	uint32_t end, max_end, max_window, max_ack;
	uint8_t scale, flags;
	uint16_t reserved;
};
struct window_pair {
	struct endpoint ends[2];
	uint64_t last_numbers, last_place;
	uint8_t retransmissions, last_scale, last_flags, state;
};

static inline uint16_t load16(const uint8_t *p) { uint16_t v; memcpy(&v, p, 2); return v; }
static inline uint32_t load32(const uint8_t *p) { uint32_t v; memcpy(&v, p, 4); return v; }
static inline uint64_t load64(const uint8_t *p) { uint64_t v; memcpy(&v, p, 8); return v; }
static inline void store16(uint8_t *p, uint16_t v) { memcpy(p, &v, 2); }
static inline void store32(uint8_t *p, uint32_t v) { memcpy(p, &v, 4); }
static inline void store64(uint8_t *p, uint64_t v) { memcpy(p, &v, 8); }

#endif
