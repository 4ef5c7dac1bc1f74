// The flow cache's hash (Sources/FlowCache/FlowHash.swift) in C, for the benchmark's twin and its source.
#ifndef NEEDLETAIL_NT_FLOW_HASH_H
#define NEEDLETAIL_NT_FLOW_HASH_H

#include <stdint.h>
#include <string.h>

static inline uint64_t nt_fold(uint64_t a, uint64_t b)
{
	unsigned __int128 product = (unsigned __int128)a * b;
	return (uint64_t)(product >> 64) ^ (uint64_t)product;
}

// Of an untagged frame; `addresses` as the header has them.
static inline uint64_t nt_flow_hash4(const uint64_t *seeds, uint64_t addresses, uint64_t tuple)
{
	return nt_fold(nt_fold(addresses ^ seeds[0], tuple ^ seeds[1]) ^ seeds[2], seeds[3]);
}

static inline uint64_t nt_flow_hash6(const uint64_t *seeds, const uint8_t *addresses, uint64_t tuple)
{
	uint64_t a[4];
	memcpy(a, addresses, sizeof(a));
	uint64_t mixed = nt_fold(a[0] ^ seeds[4], a[1] ^ seeds[5]) ^ nt_fold(a[2] ^ seeds[6], a[3] ^ seeds[7]);
	return nt_fold(nt_fold(mixed ^ seeds[0], tuple ^ seeds[1]) ^ seeds[2], seeds[3]);
}

#endif
