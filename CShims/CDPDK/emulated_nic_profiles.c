// What the NICs that can be emulated are able to do: data, so that a quirk is a number and not a branch.
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
	both_dialects = 1 << NT_DIALECT_SET | 1 << NT_DIALECT_MODIFY_FIELD,
};

static const struct nt_nic_profile profiles[] = {
	{.name = "full", .match = all_matches, .actions = all_actions, .dialects = both_dialects,
	 .outputs = 1 << NT_OUTPUT_REPRESENTED_PORT | 1 << NT_OUTPUT_PORT_ID, .capacity = 65536, .families = 3,
	 .maximum_vlans = 2, .mark_bits = 24, .trims_padding = 1, .has_last_hit = 1, .full_table_errno = ENOSPC},
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
