// A port that is nothing but memory, for counting the instructions of what drives ports: no EAL, no driver. It receives the
// packets that lie ready, in bursts, over and over; it swallows what is sent.
#ifndef NEEDLETAIL_NT_MEMORY_PORT_H
#define NEEDLETAIL_NT_MEMORY_PORT_H

#include <stdint.h>
#include <rte_mbuf.h>

enum { NT_MEMORY_PORT_PACKETS = 128 };

struct nt_memory_port {
	struct rte_mbuf *packets[NT_MEMORY_PORT_PACKETS];
	uint32_t next;              // the first packet of the next burst
	uint64_t sent;
	void *queue, *no_callbacks;
};

// Makes `port`, which no device may have, one of these. Its memory lives as long as the process.
struct nt_memory_port *nt_memory_port_make(uint16_t port);
// The packets of the next burst of 32.
static inline struct rte_mbuf **nt_memory_port_next(struct nt_memory_port *port) { return port->packets + port->next; }

#endif
