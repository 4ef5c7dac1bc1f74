#include "nt_fib.h"

struct rte_fib *nt_fib_create(const char *name, int socket, uint64_t default_next_hop, int max_routes, uint32_t tbl8, bool wide)
{
	struct rte_fib_conf conf = {
		.type = RTE_FIB_DIR24_8,
		.default_nh = default_next_hop,
		.max_routes = max_routes,
		.dir24_8 = { .nh_sz = wide ? RTE_FIB_DIR24_8_4B : RTE_FIB_DIR24_8_2B, .num_tbl8 = tbl8 },
	};
	return rte_fib_create(name, socket, &conf);
}

struct rte_fib6 *nt_fib6_create(const char *name, int socket, uint64_t default_next_hop, int max_routes, uint32_t tbl8, bool wide)
{
	struct rte_fib6_conf conf = {
		.type = RTE_FIB6_TRIE,
		.default_nh = default_next_hop,
		.max_routes = max_routes,
		.trie = { .nh_sz = wide ? RTE_FIB6_TRIE_4B : RTE_FIB6_TRIE_2B, .num_tbl8 = tbl8 },
	};
	return rte_fib6_create(name, socket, &conf);
}
