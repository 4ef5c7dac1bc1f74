// rte_fib and rte_fib6: their configuration holds unions, and rte_fib6's bulk lookup takes an array of arrays.
#ifndef NEEDLETAIL_NT_FIB_H
#define NEEDLETAIL_NT_FIB_H

#include <stdbool.h>
#include <rte_fib.h>
#include <rte_fib6.h>

// A DIR24_8 table; `tbl8` groups bound the routes longer than /24. `wide`: 4-byte next hops (31 bits), else 2-byte ones
// (15 bits). NULL and nt_errno() on failure.
struct rte_fib *nt_fib_create(const char *name, int socket, uint64_t default_next_hop, int max_routes, uint32_t tbl8, bool wide);
// A trie; the same for IPv6, where each 8 bits of a prefix beyond 24 may take a group.
struct rte_fib6 *nt_fib6_create(const char *name, int socket, uint64_t default_next_hop, int max_routes, uint32_t tbl8, bool wide);
// `addresses`: n times 16 bytes in network order.
static inline int nt_fib6_lookup(struct rte_fib6 *fib, const void *addresses, uint64_t *next_hops, int n)
{
	return rte_fib6_lookup_bulk(fib, (uint8_t (*)[RTE_FIB6_IPV6_ADDR_SIZE])(uintptr_t)addresses, next_hops, n);
}

#endif
