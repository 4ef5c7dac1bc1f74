// The emulated NIC's control side: the operations on its rule table, and the faults.
//
// Rules are published by RCU. A rule is written into a free slot, then one release store of the chain's head makes it
// visible whole. To take one back, the control side unlinks it and waits until every queue that was inside its callback
// has left it (each queue counts its entries and exits); only then is the slot free. So when destroy returns, no frame
// uses the rule any more and its counters are final, as a NIC's driver promises. Workers never wait for the control
// side; the control side waits for at most one burst, as it would for a driver.
//
// When is a rule refused: when the table holds `capacity` rules, when the same match exists, when the profile lacks a
// match or an action. Nothing is evicted. The hash is seeded, so chains stay short whatever senders choose.
#include "emulated_nic_state.h"
#include <errno.h>
#include <rte_pause.h>
#include <sched.h>
#include <string.h>

static void
wait_for_readers(const struct nt_nic *nic)
{
	// Pairs with the fence in nt_nic_receive: whoever entered before saw the old chain and is odd now.
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	for (uint16_t i = 0; i < nic->queue_count; i++) {
		uint64_t seen = __atomic_load_n(&nic->queues[i].sequence, __ATOMIC_ACQUIRE);
		// Acquire, pairing with the release store at the end of nt_nic_receive.
		for (unsigned spins = 0; (seen & 1) && __atomic_load_n(&nic->queues[i].sequence, __ATOMIC_ACQUIRE) == seen; spins++)
			if (spins < 1000)
				rte_pause();
			else
				sched_yield(); // the worker may share our core
	}
}

static uint32_t
difference(uint64_t old_high, uint64_t old_low, uint64_t new_high, uint64_t new_low)
{
	uint32_t sum = 0;
	for (int shift = 0; shift < 64; shift += 16) {
		sum += (uint16_t)~(old_high >> shift) + (uint32_t)(uint16_t)(new_high >> shift);
		sum += (uint16_t)~(old_low >> shift) + (uint32_t)(uint16_t)(new_low >> shift);
	}
	sum = (sum & 0xffff) + (sum >> 16);
	return (sum & 0xffff) + (sum >> 16);
}

// Fills key and checksum differences from the rule.
static void
prepare(struct nt_nic_rule *slot, const struct nt_flow_rule *rule)
{
	slot->rule = *rule;
	slot->key = (struct nt_nic_key){
		.source_high = rule->source_high, .source_low = rule->source_low, .destination_high = rule->destination_high,
		.destination_low = rule->destination_low, .family = rule->family, .protocol = rule->protocol, .vlan_count = rule->vlan_count};
	for (int i = 0; i < rule->vlan_count; i++) {
		slot->key.vlan[i] = rule->vlan[i];
		slot->key.vlan_type[i] = rule->vlan_type[i];
	}
	if (rule->match & NT_MATCH_PORTS) {
		slot->key.source_port = rule->source_port;
		slot->key.destination_port = rule->destination_port;
	}
	slot->network_delta = slot->transport_delta = 0;
	if (rule->actions & NT_DO_SET_SOURCE)
		slot->network_delta += difference(rule->source_high, rule->source_low, rule->set_source_high, rule->set_source_low);
	if (rule->actions & NT_DO_SET_DESTINATION)
		slot->network_delta += difference(rule->destination_high, rule->destination_low, rule->set_destination_high, rule->set_destination_low);
	slot->transport_delta = slot->network_delta;
	if (rule->actions & NT_DO_SET_SOURCE_PORT)
		slot->transport_delta += (uint16_t)~rule->source_port + (uint32_t)rule->set_source_port;
	if (rule->actions & NT_DO_SET_DESTINATION_PORT)
		slot->transport_delta += (uint16_t)~rule->destination_port + (uint32_t)rule->set_destination_port;
}

// Whether the profile has everything that the rule asks for, as a driver's validate would.
static int
admit(const struct nt_nic *nic, const struct nt_flow_rule *rule, struct nt_flow_error *error)
{
	const struct nt_nic_profile *profile = nic->profile;
	if (rule->family != 4 && rule->family != 6)
		return nt_nic_fail(error, EINVAL, "address family");
	if (!(profile->families & (rule->family == 4 ? 1 : 2)))
		return nt_nic_fail(error, ENOTSUP, "address family not supported");
	if (rule->vlan_count > profile->maximum_vlans)
		return nt_nic_fail(error, ENOTSUP, "so many VLAN tags are not supported");
	if (rule->match & ~profile->match)
		return nt_nic_fail(error, ENOTSUP, "pattern item or mask not supported");
	uint32_t rewrites = NT_DO_SET_MACS | NT_DO_SET_SOURCE | NT_DO_SET_DESTINATION | NT_DO_SET_SOURCE_PORT | NT_DO_SET_DESTINATION_PORT |
	                    NT_DO_DECREMENT_TTL | NT_DO_SET_TTL | NT_DO_SET_DSCP;
	uint32_t actions = rule->family == 4 ? profile->actions : profile->actions & ~profile->actions_ipv4_only;
	if (rule->actions & ~actions)
		return nt_nic_fail(error, ENOTSUP, "action not supported");
	if ((rule->actions & rewrites) && !(profile->dialects & (1u << rule->dialect)))
		return nt_nic_fail(error, ENOTSUP, "rewrite actions of this kind are not supported");
	bool ports = rule->protocol == 6 || rule->protocol == 17;
	bool guard = (rule->match & NT_MATCH_LOW_TTL) != 0;
	if (!guard && ports != ((rule->match & NT_MATCH_PORTS) != 0))
		return nt_nic_fail(error, EINVAL, "TCP and UDP are matched with ports, other protocols without");
	if (!(rule->match & NT_MATCH_PORTS) && (rule->actions & (NT_DO_SET_SOURCE_PORT | NT_DO_SET_DESTINATION_PORT)))
		return nt_nic_fail(error, EINVAL, "ports are set where ports are matched");
	uint32_t fate = rule->actions & (NT_DO_DROP | NT_DO_OUTPUT | NT_DO_SOFTWARE);
	if (fate != NT_DO_DROP && fate != NT_DO_OUTPUT && fate != NT_DO_SOFTWARE)
		return nt_nic_fail(error, EINVAL, "a rule has one fate: drop, output or software");
	if (guard && fate != NT_DO_SOFTWARE)
		return nt_nic_fail(error, EINVAL, "a TTL guard hands to software");
	if ((rule->actions & NT_DO_MARK) && profile->mark_bits < 32 && (rule->mark >> profile->mark_bits) != 0)
		return nt_nic_fail(error, EINVAL, "mark too wide");
	if (fate != NT_DO_OUTPUT)
		return 0;
	if (!(profile->outputs & (1u << rule->output_kind)))
		return nt_nic_fail(error, ENOTSUP, "fate action not supported");
	struct rte_eth_dev_info info;
	if (rte_eth_dev_info_get(rule->output, &info) != 0)
		return nt_nic_fail(error, ENODEV, "no such output port");
	if (info.nb_tx_queues < nic->queue_count)
		return nt_nic_fail(error, EINVAL, "the output port has fewer TX queues than this port has RX queues");
	return 0;
}

// The slot of a handle; NULL, and a count, if its rule is gone.
static struct nt_nic_rule *
rule_of(struct nt_nic *nic, uintptr_t handle)
{
	uint32_t index = (uint32_t)handle - 1, generation = (uint32_t)(handle >> 32);
	if (index < nic->fresh && nic->rules[index].live && nic->rules[index].generation == generation)
		return &nic->rules[index];
	nic->stale_handles++;
	return NULL;
}

// Makes a rule work: in its chain, or as the family's guard.
static void
chain(struct nt_nic *nic, struct nt_nic_rule *slot)
{
	slot->chained = true;
	slot->late = false;
	if (slot->guard) {
		// Relaxed: see the load in emulated_nic_receive.c; the next rule's release store publishes it.
		__atomic_store_n(&nic->guards, (uint8_t)(nic->guards | (slot->rule.family == 4 ? 1 : 2)), __ATOMIC_RELAXED);
		return;
	}
	uint32_t *head = &nic->heads[nt_nic_hash(&slot->key, nic->seed) & nic->head_mask];
	slot->next = *head;
	// Release: the rule is complete before it can be found; pairs with the acquire loads in look_up.
	__atomic_store_n(head, (uint32_t)(slot - nic->rules), __ATOMIC_RELEASE);
}

static void
unchain(struct nt_nic *nic, struct nt_nic_rule *slot)
{
	if (!slot->chained)
		return;
	slot->chained = false;
	if (slot->guard) {
		__atomic_store_n(&nic->guards, (uint8_t)(nic->guards & ~(slot->rule.family == 4 ? 1 : 2)), __ATOMIC_RELAXED);
		return;
	}
	uint32_t index = (uint32_t)(slot - nic->rules);
	uint32_t *link = &nic->heads[nt_nic_hash(&slot->key, nic->seed) & nic->head_mask];
	while (*link != index)
		link = &nic->rules[*link].next;
	// A reader that stands on this rule still finds the rest of the chain by its `next`, which stays until the wait.
	__atomic_store_n(link, slot->next, __ATOMIC_RELEASE);
}

static bool
exists(const struct nt_nic *nic, const struct nt_nic_rule *slot)
{
	if (slot->guard)
		return (nic->guards & (slot->rule.family == 4 ? 1 : 2)) != 0;
	uint32_t at = nic->heads[nt_nic_hash(&slot->key, nic->seed) & nic->head_mask];
	for (; at != nt_nic_end_of_chain; at = nic->rules[at].next)
		if (nt_nic_key_equal(&nic->rules[at].key, &slot->key))
			return true;
	return false;
}

static int
nic_create(uint16_t port, const struct nt_flow_rule *rule, uintptr_t *handle, struct nt_flow_error *error)
{
	struct nt_nic *nic = nt_nic_of(port);
	const struct nt_nic_faults *faults = &nic->faults;
	int failure = admit(nic, rule, error);
	if (failure)
		return failure;
	nic->creates++;
	if (faults->create_every != 0 && nic->creates % faults->create_every == 0)
		return nt_nic_fail(error, faults->create_errno ? faults->create_errno : EIO, "injected fault");
	bool reuse = nic->free_head != nt_nic_end_of_chain;
	if (!reuse && nic->fresh == nic->capacity)
		return nt_nic_fail(error, nic->profile->full_table_errno, "rule table full");
	uint32_t index = reuse ? nic->free_head : nic->fresh;
	struct nt_nic_rule *slot = &nic->rules[index];
	uint32_t next = slot->next;
	prepare(slot, rule);
	slot->guard = (rule->match & NT_MATCH_LOW_TTL) != 0;
	if (exists(nic, slot))
		return nt_nic_fail(error, EEXIST, "rule exists");
	for (uint16_t i = 0; i < nic->queue_count; i++)
		memset(&nic->queues[i].counters[index], 0, sizeof(struct nt_nic_counter));
	slot->settling = slot->chained = slot->late = slot->restarted = false;
	slot->base_packets = slot->base_bytes = 0;
	memset(&slot->last_answer, 0, sizeof(slot->last_answer));
	slot->last_answer.has_packets = 1;
	slot->last_answer.has_bytes = nic->profile->counts_bytes;
	slot->answered = 0;
	slot->frozen = faults->frozen_above != 0 && nic->used + 1 >= faults->frozen_above;
	if (reuse)
		nic->free_head = next;
	else
		nic->fresh++;
	nic->used++;
	slot->live = true;
	bool lost = faults->lose_every != 0 && nic->creates % faults->lose_every == 0;
	if (faults->effect_is_late && !lost)
		slot->late = true;
	else if (!lost)
		chain(nic, slot);
	*handle = (uintptr_t)slot->generation << 32 | (index + 1);
	return 0;
}

// What the rule's counter shows now.
static void
count_rule(struct nt_nic *nic, struct nt_nic_rule *slot, struct nt_flow_count *count)
{
	uint64_t now = __atomic_load_n(&nt_nic_time, __ATOMIC_RELAXED);
	if (nic->faults.counters_stand || (slot->answered != 0 && now - slot->answered < nic->profile->counter_period)) {
		*count = slot->last_answer;
		return;
	}
	slot->answered = now;
	*count = (struct nt_flow_count){.has_packets = 1, .has_bytes = nic->profile->counts_bytes};
	uint64_t last_hit = 0;
	for (uint16_t i = 0; i < nic->queue_count; i++) {
		const struct nt_nic_counter *counter = &nic->queues[i].counters[slot - nic->rules];
		// Relaxed, pairing with `add` in the receive side: numbers, each good by itself.
		count->packets += __atomic_load_n(&counter->packets, __ATOMIC_RELAXED);
		count->bytes += __atomic_load_n(&counter->bytes, __ATOMIC_RELAXED);
		uint64_t hit = __atomic_load_n(&counter->last_hit, __ATOMIC_RELAXED);
		last_hit = RTE_MAX(last_hit, hit);
	}
	if (nic->profile->has_last_hit && count->packets != 0) {
		count->idle_ns = now > last_hit ? now - last_hit : 0;
		if (nic->profile->hit_granularity != 0)
			count->idle_ns -= count->idle_ns % nic->profile->hit_granularity;
		count->has_idle = 1;
	}
	if (nic->faults.counters_restart && !slot->restarted) {
		slot->restarted = true;
		slot->base_packets = slot->last_answer.packets + slot->base_packets;
		slot->base_bytes = slot->last_answer.bytes + slot->base_bytes;
	}
	count->packets -= slot->base_packets;
	count->bytes -= slot->base_bytes;
	if (!count->has_bytes)
		count->bytes = 0;
	slot->last_answer = *count;
}

static int
nic_query(uint16_t port, const struct nt_flow_rule *rule, uintptr_t handle, struct nt_flow_count *count, struct nt_flow_error *error)
{
	struct nt_nic *nic = nt_nic_of(port);
	(void)rule;
	struct nt_nic_rule *slot = rule_of(nic, handle);
	if (slot == NULL)
		return nt_nic_fail(error, ENOENT, "no such rule");
	if (!(slot->rule.actions & NT_DO_COUNT))
		return nt_nic_fail(error, EINVAL, "the rule has no counter");
	nic->queries++;
	if (nic->faults.query_every != 0 && nic->queries % nic->faults.query_every == 0)
		return nt_nic_fail(error, EIO, "injected fault");
	count_rule(nic, slot, count);
	return 0;
}

// The rule is gone: its handle is void and its place free.
static void
release(struct nt_nic *nic, struct nt_nic_rule *slot)
{
	slot->live = slot->settling = false;
	slot->generation++;
	slot->next = nic->free_head;
	nic->free_head = (uint32_t)(slot - nic->rules);
}

static int
nic_destroy(uint16_t port, const struct nt_flow_rule *rule, uintptr_t handle, struct nt_flow_count *count, struct nt_flow_error *error)
{
	struct nt_nic *nic = nt_nic_of(port);
	(void)rule;
	struct nt_nic_rule *slot = rule_of(nic, handle);
	if (slot == NULL)
		return nt_nic_fail(error, ENOENT, "no such rule");
	if (nic->faults.destroy_failures > 0) {
		nic->faults.destroy_failures--;
		return nt_nic_fail(error, EIO, "injected fault");
	}
	unchain(nic, slot);
	wait_for_readers(nic);
	memset(count, 0, sizeof(*count));
	nic->used--;
	slot->live = false;
	if (slot->rule.actions & NT_DO_COUNT)
		count_rule(nic, slot, count);
	if (count->has_packets && nic->profile->counter_period != 0) {
		// Its counter is read by the NIC's own clock: what the rule did last is seen one period from now.
		count->settle_ns = nic->profile->counter_period;
		slot->settling = true;
		return 0;
	}
	release(nic, slot);
	return 0;
}

static int
nic_settle(uint16_t port, uintptr_t handle, struct nt_flow_count *count, struct nt_flow_error *error)
{
	struct nt_nic *nic = nt_nic_of(port);
	uint32_t index = (uint32_t)handle - 1, generation = (uint32_t)(handle >> 32);
	if (index >= nic->fresh || !nic->rules[index].settling || nic->rules[index].generation != generation) {
		nic->stale_handles++;
		return nt_nic_fail(error, ENOENT, "no such counter");
	}
	count_rule(nic, &nic->rules[index], count);
	release(nic, &nic->rules[index]);
	return 0;
}

static int
nic_flush(uint16_t port, struct nt_flow_error *error)
{
	struct nt_nic *nic = nt_nic_of(port);
	if (nic->faults.flush_failures > 0) {
		nic->faults.flush_failures--;
		return nt_nic_fail(error, EIO, "injected fault");
	}
	for (uint32_t i = 0; i < nic->fresh; i++)
		if (nic->rules[i].live)
			unchain(nic, &nic->rules[i]);
	wait_for_readers(nic);
	for (uint32_t i = 0; i < nic->fresh; i++)
		if (nic->rules[i].live) {
			nic->used--;
			nic->rules[i].live = false;
			nic->rules[i].settling = true;
			if (nic->rules[i].guard)
				release(nic, &nic->rules[i]);
		}
	return 0;
}

void
nt_nic_set_faults(uint16_t port, const struct nt_nic_faults *faults)
{
	struct nt_nic *nic = nt_nic_of(port);
	if (nic == NULL)
		return;
	nic->faults = *faults;
	nic->creates = nic->queries = 0;
	for (uint32_t i = 0; i < nic->fresh; i++)
		nic->rules[i].restarted = false;
}

void
nt_nic_settle(uint16_t port)
{
	struct nt_nic *nic = nt_nic_of(port);
	for (uint32_t i = 0; nic != NULL && i < nic->fresh; i++)
		if (nic->rules[i].live && nic->rules[i].late)
			chain(nic, &nic->rules[i]);
}

void
nt_nic_lose_rules(uint16_t port)
{
	struct nt_nic *nic = nt_nic_of(port);
	if (nic == NULL)
		return;
	for (uint32_t i = 0; i < nic->fresh; i++)
		if (nic->rules[i].live)
			unchain(nic, &nic->rules[i]);
	wait_for_readers(nic);
}

static const struct nt_flow_front front = {
	.name = "emulated NIC", .create = nic_create, .query = nic_query, .destroy = nic_destroy, .settle = nic_settle, .flush = nic_flush};

const struct nt_flow_front *
nt_nic_front(void)
{
	return &front;
}
