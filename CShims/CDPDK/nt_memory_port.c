// See nt_memory_port.h.
#include <stdlib.h>
#include <string.h>
#include <rte_ethdev.h>
#include "nt_memory_port.h"

static uint16_t receive(void *queue, struct rte_mbuf **packets, uint16_t count)
{
	struct nt_memory_port *port = queue;
	memcpy(packets, port->packets + port->next, count * sizeof(*packets));
	port->next = (port->next + count) % NT_MEMORY_PORT_PACKETS;
	return count;
}

static uint16_t swallow(void *queue, struct rte_mbuf **packets, uint16_t count)
{
	(void)packets;
	((struct nt_memory_port *)queue)->sent += count;
	return count;
}

struct nt_memory_port *nt_memory_port_make(uint16_t number)
{
	const size_t room = sizeof(struct rte_mbuf) + RTE_PKTMBUF_HEADROOM + 2048;
	struct nt_memory_port *port = calloc(1, sizeof(*port));
	uint8_t *memory = aligned_alloc(64, room * NT_MEMORY_PORT_PACKETS);
	if (port == NULL || memory == NULL)
		abort();
	memset(memory, 0, room * NT_MEMORY_PORT_PACKETS);
	for (int i = 0; i < NT_MEMORY_PORT_PACKETS; i++) {
		struct rte_mbuf *m = (struct rte_mbuf *)(memory + room * (size_t)i);
		m->buf_addr = m + 1;
		m->buf_len = RTE_PKTMBUF_HEADROOM + 2048;
		m->data_off = RTE_PKTMBUF_HEADROOM;
		m->nb_segs = 1;
		rte_mbuf_refcnt_set(m, 1);
		port->packets[i] = m;
	}
	port->queue = port;
	struct rte_eth_fp_ops *ops = &rte_eth_fp_ops[number];
	ops->rx_pkt_burst = receive;
	ops->rxq.data = &port->queue;
	ops->rxq.clbk = &port->no_callbacks;
	ops->tx_pkt_burst = swallow;
	ops->txq.data = &port->queue;
	ops->txq.clbk = &port->no_callbacks;
	return port;
}
