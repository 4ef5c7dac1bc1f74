// The rte_flow front: rules through the port's own driver, and the choice between it and the emulated NIC.
//
// Invariant: a handle is a `struct driver_flow` that lives from create to the end of its counter; the rte_flow in it is
// never passed to the driver after its destroy or its port's flush.
#include "emulated_nic.h"
#include "flow_rule_words.h"
#include <errno.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <stdbool.h>
#include <stdlib.h>

// A rule of the driver. Its counter, if it is an indirect action, lives on when the rule ends.
struct driver_flow {
	struct rte_flow *flow;
	struct rte_flow_action_handle *counter;
};

// Drivers refresh counters about once a second; what a rule did last is seen when that has passed.
enum { counter_refresh_ns = 1100000000 };

// Ports whose drivers have no indirect counters, or not for such rules: not asked again.
static bool without_indirect_counters[RTE_MAX_ETHPORTS];

static int
driver_failure(struct nt_flow_error *error, const struct rte_flow_error *from, int result)
{
	int number = result < 0 ? -result : rte_errno;
	return nt_flow_fail(error, number ? number : EIO, from->message);
}

static struct rte_flow_action_handle *
make_counter(uint16_t port, const struct nt_flow_rule *rule)
{
	if (port >= RTE_MAX_ETHPORTS || without_indirect_counters[port] || !(rule->actions & NT_DO_COUNT))
		return NULL;
	bool hairpin = rule->output_kind == NT_OUTPUT_HAIRPIN;
	const struct rte_flow_indir_action_conf conf = {.ingress = hairpin, .transfer = !hairpin};
	const struct rte_flow_action_count count_conf = {0};
	const struct rte_flow_action count_action = {.type = RTE_FLOW_ACTION_TYPE_COUNT, .conf = &count_conf};
	struct rte_flow_action_handle *counter = rte_flow_action_handle_create(port, &conf, &count_action, NULL);
	without_indirect_counters[port] = counter == NULL;
	return counter;
}

static void
end_counter(uint16_t port, struct rte_flow_action_handle *counter)
{
	if (counter != NULL)
		rte_flow_action_handle_destroy(port, counter, NULL);
}

static int
driver_create(uint16_t port, const struct nt_flow_rule *rule, uintptr_t *handle, struct nt_flow_error *error)
{
	struct driver_flow *made = calloc(1, sizeof(*made));
	if (made == NULL)
		return nt_flow_fail(error, ENOMEM, "record of a rule");
	made->counter = make_counter(port, rule);
	struct nt_flow_words words = {.indirect_counter = made->counter};
	struct rte_flow_error from = {.message = NULL};
	int failure = nt_flow_translate(&words, port, rule, error);
	if (failure == 0)
		made->flow = rte_flow_create(port, &words.attr, words.pattern, words.actions, &from);
	if (failure == 0 && made->flow == NULL && made->counter != NULL) {
		// Perhaps the driver has indirect counters, but not for this: once more with the rule's own.
		int number = rte_errno;
		end_counter(port, made->counter);
		made->counter = words.indirect_counter = NULL;
		failure = nt_flow_translate(&words, port, rule, error);
		if (failure == 0)
			made->flow = rte_flow_create(port, &words.attr, words.pattern, words.actions, &from);
		if (made->flow != NULL)
			without_indirect_counters[port] = true;
		else
			rte_errno = rte_errno ? rte_errno : number;
	}
	if (made->flow == NULL) {
		if (failure == 0)
			failure = driver_failure(error, &from, 0);
		end_counter(port, made->counter);
		free(made);
		return failure;
	}
	*handle = (uintptr_t)made;
	return 0;
}

static int
query_counter(uint16_t port, const struct driver_flow *made, struct nt_flow_count *count, struct nt_flow_error *error)
{
	struct rte_flow_query_count counted = {.reset = 0};
	const struct rte_flow_action_count count_conf = {0};
	const struct rte_flow_action count_action[] = {
		{.type = RTE_FLOW_ACTION_TYPE_COUNT, .conf = &count_conf}, {.type = RTE_FLOW_ACTION_TYPE_END}};
	struct rte_flow_error from = {.message = NULL};
	int result = made->counter != NULL ? rte_flow_action_handle_query(port, made->counter, &counted, &from)
	                                   : rte_flow_query(port, made->flow, count_action, &counted, &from);
	if (result != 0)
		return driver_failure(error, &from, result);
	*count = (struct nt_flow_count){
		.packets = counted.hits_set ? counted.hits : 0, .bytes = counted.bytes_set ? counted.bytes : 0,
		.has_packets = counted.hits_set, .has_bytes = counted.bytes_set};
	return 0;
}

static int
driver_query(uint16_t port, const struct nt_flow_rule *rule, uintptr_t handle, struct nt_flow_count *count, struct nt_flow_error *error)
{
	const struct driver_flow *made = (const struct driver_flow *)handle;
	int failure = query_counter(port, made, count, error);
	if (failure != 0 || !(rule->actions & NT_DO_AGE))
		return failure;
	struct rte_flow_query_age aged = {0};
	struct rte_flow_action_age age_conf = {.timeout = rule->age_seconds};
	const struct rte_flow_action age_action[] = {
		{.type = RTE_FLOW_ACTION_TYPE_AGE, .conf = &age_conf}, {.type = RTE_FLOW_ACTION_TYPE_END}};
	// The counters are good without the age: a NIC that cannot tell leaves has_idle at 0.
	if (rte_flow_query(port, made->flow, age_action, &aged, NULL) == 0 && aged.sec_since_last_hit_valid) {
		count->idle_ns = (uint64_t)aged.sec_since_last_hit * 1000000000u;
		count->has_idle = 1;
	}
	return 0;
}

static int
driver_destroy(uint16_t port, const struct nt_flow_rule *rule, uintptr_t handle, struct nt_flow_count *count, struct nt_flow_error *error)
{
	struct driver_flow *made = (struct driver_flow *)handle;
	// A counter of the rule's own goes with it, so its last look is just before: packets in between are not counted.
	struct nt_flow_count last = {.has_packets = 0};
	struct nt_flow_error ignored;
	if (!(rule->actions & NT_DO_COUNT) || driver_query(port, rule, handle, &last, &ignored) != 0)
		last = (struct nt_flow_count){.has_packets = 0};
	struct rte_flow_error from = {.message = NULL};
	int result = rte_flow_destroy(port, made->flow, &from);
	if (result != 0)
		return driver_failure(error, &from, result);
	*count = last;
	made->flow = NULL;
	if (made->counter != NULL)
		count->settle_ns = counter_refresh_ns;
	else
		free(made);
	return 0;
}

static int
driver_settle(uint16_t port, uintptr_t handle, struct nt_flow_count *count, struct nt_flow_error *error)
{
	struct driver_flow *made = (struct driver_flow *)handle;
	int failure = 0;
	*count = (struct nt_flow_count){.has_packets = 0};
	if (made->counter != NULL)
		failure = query_counter(port, made, count, error);
	end_counter(port, made->counter);
	free(made);
	return failure;
}

static int
driver_flush(uint16_t port, struct nt_flow_error *error)
{
	struct rte_flow_error from = {.message = NULL};
	int result = rte_flow_flush(port, &from);
	return result == 0 ? 0 : driver_failure(error, &from, result);
}

static const struct nt_flow_front driver_front = {
	.name = "rte_flow", .create = driver_create, .query = driver_query, .destroy = driver_destroy, .settle = driver_settle, .flush = driver_flush};

const struct nt_flow_front *
nt_flow_front_of(uint16_t port)
{
	return nt_nic_profile_of(port) != NULL ? nt_nic_front() : &driver_front;
}

int
nt_flow_create(uint16_t port, const struct nt_flow_rule *rule, uintptr_t *handle, struct nt_flow_error *error)
{
	return nt_flow_front_of(port)->create(port, rule, handle, error);
}

int
nt_flow_query(uint16_t port, const struct nt_flow_rule *rule, uintptr_t handle, struct nt_flow_count *count, struct nt_flow_error *error)
{
	return nt_flow_front_of(port)->query(port, rule, handle, count, error);
}

int
nt_flow_destroy(uint16_t port, const struct nt_flow_rule *rule, uintptr_t handle, struct nt_flow_count *count, struct nt_flow_error *error)
{
	return nt_flow_front_of(port)->destroy(port, rule, handle, count, error);
}

int
nt_flow_settle(uint16_t port, uintptr_t handle, struct nt_flow_count *count, struct nt_flow_error *error)
{
	return nt_flow_front_of(port)->settle(port, handle, count, error);
}

int
nt_flow_flush(uint16_t port, struct nt_flow_error *error)
{
	return nt_flow_front_of(port)->flush(port, error);
}

int
nt_flow_probe(uint16_t port, const struct nt_flow_rule *rule, struct nt_flow_error *error)
{
	uintptr_t handle = 0;
	struct nt_flow_count count = {.settle_ns = 0};
	int failure = nt_flow_create(port, rule, &handle, error);
	if (failure == 0)
		failure = nt_flow_destroy(port, rule, handle, &count, error);
	if (failure == 0 && count.settle_ns != 0) {
		struct nt_flow_error ignored;
		nt_flow_settle(port, handle, &count, &ignored);
	}
	return failure;
}
