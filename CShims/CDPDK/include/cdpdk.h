// The C face of DPDK for Swift.
//
// Swift imports DPDK's own functions (also the static inline ones, which inline fully); what it cannot import is
// wrapped in the headers included here: over-aligned structs (an mbuf, a ring, a mempool: seen as OpaquePointer),
// macros with casts, bit-fields, unions and structs too large to be handed over by value. Everything that runs per
// packet is `static inline`, so it compiles into the Swift function that uses it; everything else is in *.c.
//
// Prefix: `nt_`. A function returns what DPDK returns: 0 or a count on success, -errno on failure.
#ifndef NEEDLETAIL_CDPDK_H
#define NEEDLETAIL_CDPDK_H

#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_fib.h>
#include <rte_fib6.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_malloc.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>
#include <rte_pause.h>
#include <rte_prefetch.h>
#include <rte_rcu_qsbr.h>
#include <rte_ring.h>
#include <rte_thash.h>

#include "emulated_nic.h"
#include "flow_rule.h"
#include "nt_bench_twin.h"
#include "nt_eal.h"
#include "nt_flow_source.h"
#include "nt_mbuf.h"
#include "nt_memory_port.h"
#include "nt_port.h"
#include "nt_rcu.h"
#include "nt_ring.h"
#include "nt_fib.h"

#endif
