// The emulated NIC on its port: attach, detach, statistics, the clock. The rules are in emulated_nic_rules.c.
#include "emulated_nic_state.h"
#include <errno.h>
#include <rte_random.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint64_t nt_nic_time;
static struct nt_nic *nics[RTE_MAX_ETHPORTS];

int
nt_nic_fail(struct nt_flow_error *error, int number, const char *text)
{
	error->number = number;
	snprintf(error->text, sizeof(error->text), "%s", text);
	return number;
}

struct nt_nic *
nt_nic_of(uint16_t port)
{
	return port < RTE_MAX_ETHPORTS ? nics[port] : NULL;
}

const struct nt_nic_profile *
nt_nic_profile_of(uint16_t port)
{
	const struct nt_nic *nic = nt_nic_of(port);
	return nic ? nic->profile : NULL;
}

void
nt_nic_set_time(uint64_t now_ns)
{
	__atomic_store_n(&nt_nic_time, now_ns, __ATOMIC_RELAXED);
}

void
nt_nic_set_mtu(uint16_t port, uint16_t mtu)
{
	struct nt_nic *nic = nt_nic_of(port);
	// Relaxed, as the load in emulated_nic_receive.c: set before the rules that count on it are published.
	if (nic != NULL)
		__atomic_store_n(&nic->mtu, mtu, __ATOMIC_RELAXED);
}

static void
free_nic(struct nt_nic *nic)
{
	if (nic->queues != NULL)
		for (uint16_t i = 0; i < nic->queue_count; i++)
			free(nic->queues[i].counters);
	free(nic->queues);
	free(nic->rules);
	free(nic->heads);
	free(nic);
}

int
nt_nic_attach(uint16_t port, const struct nt_nic_profile *profile, uint32_t capacity, struct nt_flow_error *error)
{
	struct rte_eth_dev_info info;
	if (profile == NULL)
		return nt_nic_fail(error, EINVAL, "no such profile");
	if (rte_eth_dev_info_get(port, &info) != 0)
		return nt_nic_fail(error, ENODEV, "no such port");
	if (info.nb_rx_queues == 0)
		return nt_nic_fail(error, EINVAL, "the port has no RX queues yet");
	if (nt_nic_of(port) != NULL)
		return nt_nic_fail(error, EBUSY, "the port has an emulated NIC already");
	if (capacity == 0)
		capacity = profile->capacity;
	if (capacity > 1u << 24)
		return nt_nic_fail(error, EINVAL, "more than 16777216 rules");
	struct nt_nic *nic = calloc(1, sizeof(*nic));
	if (nic == NULL)
		return nt_nic_fail(error, ENOMEM, "emulated NIC");
	uint32_t heads = 16;
	while (heads < capacity)
		heads *= 2;
	nic->port = port;
	nic->profile = profile;
	nic->capacity = capacity;
	nic->seed = rte_rand() | 1;
	nic->head_mask = heads - 1;
	nic->queue_count = info.nb_rx_queues;
	if (rte_eth_dev_get_mtu(port, &nic->mtu) != 0)
		nic->mtu = RTE_ETHER_MTU;
	nic->heads = malloc(heads * sizeof(uint32_t));
	nic->rules = calloc(capacity, sizeof(struct nt_nic_rule));
	nic->queues = aligned_alloc(RTE_CACHE_LINE_SIZE, nic->queue_count * sizeof(struct nt_nic_queue));
	if (nic->queues != NULL)
		memset(nic->queues, 0, nic->queue_count * sizeof(struct nt_nic_queue));
	if (nic->heads == NULL || nic->rules == NULL || nic->queues == NULL) {
		free_nic(nic);
		return nt_nic_fail(error, ENOMEM, "emulated NIC");
	}
	memset(nic->heads, 0xff, heads * sizeof(uint32_t));
	nic->free_head = nt_nic_end_of_chain;
	for (uint16_t i = 0; i < nic->queue_count; i++) {
		nic->queues[i].nic = nic;
		nic->queues[i].index = i;
		nic->queues[i].counters = calloc(capacity, sizeof(struct nt_nic_counter));
		if (nic->queues[i].counters == NULL) {
			free_nic(nic);
			return nt_nic_fail(error, ENOMEM, "emulated NIC's counters");
		}
	}
	nics[port] = nic;
	for (uint16_t i = 0; i < nic->queue_count; i++) {
		nic->queues[i].callback = rte_eth_add_rx_callback(port, i, nt_nic_receive, &nic->queues[i]);
		if (nic->queues[i].callback == NULL) {
			nt_nic_detach(port);
			return nt_nic_fail(error, ENOTSUP, "this DPDK was built without RX callbacks");
		}
	}
	return 0;
}

void
nt_nic_detach(uint16_t port)
{
	struct nt_nic *nic = nt_nic_of(port);
	if (nic == NULL)
		return;
	for (uint16_t i = 0; i < nic->queue_count; i++)
		if (nic->queues[i].callback != NULL)
			rte_eth_remove_rx_callback(port, i, nic->queues[i].callback);
	nics[port] = NULL;
	free_nic(nic);
}

void
nt_nic_read_statistics(uint16_t port, struct nt_nic_statistics *statistics)
{
	const struct nt_nic *nic = nt_nic_of(port);
	memset(statistics, 0, sizeof(*statistics));
	if (nic == NULL)
		return;
	for (uint16_t i = 0; i < nic->queue_count; i++) {
		const struct nt_nic_statistics *from = &nic->queues[i].statistics;
		// Relaxed, pairing with `add` in the receive side.
		statistics->carried_packets += __atomic_load_n(&from->carried_packets, __ATOMIC_RELAXED);
		statistics->carried_bytes += __atomic_load_n(&from->carried_bytes, __ATOMIC_RELAXED);
		statistics->dropped_by_rule += __atomic_load_n(&from->dropped_by_rule, __ATOMIC_RELAXED);
		statistics->marked += __atomic_load_n(&from->marked, __ATOMIC_RELAXED);
		statistics->lost_at_transmit += __atomic_load_n(&from->lost_at_transmit, __ATOMIC_RELAXED);
	}
	statistics->rules = nic->used;
	statistics->stale_handles = nic->stale_handles;
}
