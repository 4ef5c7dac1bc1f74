// rte_rcu_qsbr in the caller's memory.
//
// Ordering (all inside DPDK): a reader's report is a release store after a fence, so its loads of the old version stand
// before it; `check` reads the reports with acquire, so what the writer does after it stands behind them.
#ifndef NEEDLETAIL_NT_RCU_H
#define NEEDLETAIL_NT_RCU_H

#include <rte_rcu_qsbr.h>

static inline size_t nt_rcu_bytes(uint32_t readers) { return rte_rcu_qsbr_get_memsize(readers); }
static inline int nt_rcu_init(struct rte_rcu_qsbr *v, uint32_t readers) { return rte_rcu_qsbr_init(v, readers); }
static inline int nt_rcu_register(struct rte_rcu_qsbr *v, unsigned reader) { return rte_rcu_qsbr_thread_register(v, reader); }
static inline int nt_rcu_unregister(struct rte_rcu_qsbr *v, unsigned reader) { return rte_rcu_qsbr_thread_unregister(v, reader); }
static inline void nt_rcu_online(struct rte_rcu_qsbr *v, unsigned reader) { rte_rcu_qsbr_thread_online(v, reader); }
static inline void nt_rcu_offline(struct rte_rcu_qsbr *v, unsigned reader) { rte_rcu_qsbr_thread_offline(v, reader); }
static inline void nt_rcu_quiescent(struct rte_rcu_qsbr *v, unsigned reader) { rte_rcu_qsbr_quiescent(v, reader); }
static inline uint64_t nt_rcu_start(struct rte_rcu_qsbr *v) { return rte_rcu_qsbr_start(v); }
static inline int nt_rcu_check(struct rte_rcu_qsbr *v, uint64_t token, _Bool wait) { return rte_rcu_qsbr_check(v, token, wait); }

#endif
