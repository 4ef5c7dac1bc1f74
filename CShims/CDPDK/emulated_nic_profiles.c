// What the NICs that can be emulated are able to do: data, so that a quirk is a number and not a branch.
//
// All but "full" follow what the drivers of DPDK 22.11 accept, as their sources say; none was compared with the real
// NIC. "full" is the NIC one would wish for: it takes every rule and leaves frames as software would have.
#include "emulated_nic.h"
#include <errno.h>
#include <stddef.h>
#include <string.h>

enum {
	tuple = NT_MATCH_PORTS | NT_MATCH_DESTINATION_MAC,
	all_matches = tuple | NT_MATCH_UNTAGGED | NT_MATCH_TCP_FLAGS | NT_MATCH_NO_FRAGMENT | NT_MATCH_NO_OPTIONS |
	              NT_MATCH_TRAFFIC_CLASS | NT_MATCH_CHECKSUMS | NT_MATCH_TTL | NT_MATCH_LOW_TTL,
	nat = NT_DO_SET_SOURCE | NT_DO_SET_DESTINATION | NT_DO_SET_SOURCE_PORT | NT_DO_SET_DESTINATION_PORT,
	all_actions = nat | NT_DO_SET_MACS | NT_DO_DECREMENT_TTL | NT_DO_SET_TTL | NT_DO_SET_DSCP | NT_DO_COUNT | NT_DO_AGE |
	              NT_DO_MARK | NT_DO_DROP | NT_DO_OUTPUT | NT_DO_SOFTWARE,
	steering = NT_DO_MARK | NT_DO_DROP | NT_DO_SOFTWARE,
	set = 1 << NT_DIALECT_SET,
	modify_field = 1 << NT_DIALECT_MODIFY_FIELD,
	ports = 1 << NT_OUTPUT_REPRESENTED_PORT | 1 << NT_OUTPUT_PORT_ID,
};

#define SECOND 1000000000ull

static const struct nt_nic_profile profiles[] = {
	{.name = "full", .match = all_matches, .actions = all_actions, .dialects = set | modify_field, .outputs = ports,
	 .capacity = 65536, .families = 3, .maximum_vlans = 2, .mark_bits = 24, .trims_padding = 1, .counts_bytes = 1,
	 .has_last_hit = 1, .full_table_errno = ENOSPC},
	// From wire to wire only by hairpin queue; counters and ages by the second.
	{.name = "mlx5", .match = all_matches, .actions = all_actions, .dialects = set | modify_field,
	 .outputs = 1 << NT_OUTPUT_HAIRPIN, .capacity = 1 << 20, .families = 3, .maximum_vlans = 2, .mark_bits = 24,
	 .counts_bytes = 1, .has_last_hit = 1, .hit_granularity = SECOND, .counter_period = SECOND, .full_table_errno = ENOSPC},
	// The same NIC steered by hardware (dv_flow_en=2): no SET actions.
	{.name = "mlx5-hws", .match = all_matches, .actions = all_actions, .dialects = modify_field,
	 .outputs = 1 << NT_OUTPUT_HAIRPIN | 1 << NT_OUTPUT_REPRESENTED_PORT, .capacity = 1 << 20, .families = 3,
	 .maximum_vlans = 2, .mark_bits = 24, .counts_bytes = 1, .has_last_hit = 1, .hit_granularity = SECOND,
	 .counter_period = SECOND / 2, .full_table_errno = ENOSPC},
	// Sets the TTL but cannot subtract; cannot tell fragments.
	{.name = "nfp", .match = tuple | NT_MATCH_TCP_FLAGS | NT_MATCH_TTL | NT_MATCH_TRAFFIC_CLASS,
	 .actions = nat | NT_DO_SET_MACS | NT_DO_SET_TTL | NT_DO_SET_DSCP | NT_DO_COUNT | NT_DO_DROP | NT_DO_OUTPUT,
	 .dialects = set, .outputs = 1 << NT_OUTPUT_PORT_ID, .capacity = 1 << 19, .families = 3, .maximum_vlans = 1,
	 .counts_bytes = 1, .counter_period = SECOND, .full_table_errno = ENOSPC},
	// No MAC rewrite before DPDK 25.11.
	{.name = "bnxt", .match = tuple | NT_MATCH_TCP_FLAGS | NT_MATCH_NO_FRAGMENT | NT_MATCH_TTL | NT_MATCH_LOW_TTL,
	 .actions = nat | NT_DO_DECREMENT_TTL | NT_DO_COUNT | NT_DO_OUTPUT | steering,
	 .actions_ipv4_only = NT_DO_SET_SOURCE | NT_DO_SET_DESTINATION, .dialects = set, .outputs = ports, .capacity = 1 << 15,
	 .families = 3, .maximum_vlans = 1, .mark_bits = 24, .counts_bytes = 1, .counter_period = SECOND,
	 .full_table_errno = ENOSPC},
	// Routes, but translates nothing before DPDK 25.11, and cannot tell fragments.
	{.name = "sfc", .match = tuple | NT_MATCH_TCP_FLAGS | NT_MATCH_TTL | NT_MATCH_LOW_TTL | NT_MATCH_TRAFFIC_CLASS,
	 .actions = NT_DO_SET_MACS | NT_DO_DECREMENT_TTL | NT_DO_COUNT | NT_DO_OUTPUT | steering, .dialects = set,
	 .outputs = ports, .capacity = 1 << 15, .families = 3, .maximum_vlans = 2, .mark_bits = 16, .counts_bytes = 1,
	 .counter_period = SECOND, .full_table_errno = ENOSPC},
	// Rewrites everything, but matches neither flags nor fragments nor TTL, and has lost its output action.
	{.name = "cxgbe", .match = tuple, .actions = nat | NT_DO_SET_MACS | NT_DO_COUNT | NT_DO_DROP, .dialects = set,
	 .capacity = 1 << 14, .families = 3, .maximum_vlans = 1, .counts_bytes = 1, .full_table_errno = ENOMEM},
	{.name = "ice", .match = tuple, .actions = steering | NT_DO_COUNT, .capacity = 1 << 14, .families = 3,
	 .maximum_vlans = 1, .mark_bits = 32, .full_table_errno = ENOSPC},
	// No counters.
	{.name = "i40e", .match = NT_MATCH_PORTS, .actions = steering, .capacity = 1 << 13, .families = 3, .maximum_vlans = 1,
	 .mark_bits = 32, .full_table_errno = EINVAL},
};

const struct nt_nic_profile *
nt_nic_profile_at(uint32_t index)
{
	return index < sizeof(profiles) / sizeof(profiles[0]) ? &profiles[index] : NULL;
}

const struct nt_nic_profile *
nt_nic_profile_named(const char *name)
{
	for (uint32_t i = 0; nt_nic_profile_at(i) != NULL; i++)
		if (strcmp(profiles[i].name, name) == 0)
			return &profiles[i];
	return NULL;
}
