// Starting the EAL, and what it says while it does so.
#ifndef NEEDLETAIL_NT_EAL_H
#define NEEDLETAIL_NT_EAL_H

#include <stddef.h>
#include <stdint.h>
#include <time.h>

// Redirects DPDK's log into a bounded buffer in memory (the newest NT_LOG_BYTES bytes are kept) instead of stderr and
// syslog. May be called before rte_eal_init. Returns 0, or -errno if no stream can be made.
#define NT_LOG_BYTES 65536
int nt_log_capture(void);

// Moves up to `capacity` bytes of captured log text to `into` and returns their number; any thread may call it. Each line begins with a byte
// of 1 to 8, its level (RTE_LOG_*), unless its beginning was lost.
size_t nt_log_take(char *into, size_t capacity);
// Bytes that were lost so far because nobody took them in time.
uint64_t nt_log_lost(void);

// rte_eal_init, with what it and its drivers write straight to stdout and stderr put into the captured log. Other threads'
// words go there as well while it runs, so it is called before there are any.
int nt_eal_init(int argc, char **argv);

// DPDK's thread-local error number.
int nt_errno(void);

// Makes the process leave no runtime directory behind: removes, when the process exits, the directory `path` with the
// telemetry sockets in it. The text is copied.
void nt_remove_directory_at_exit(const char *path);

// The lock of DPDK's control calls; recursive.
void nt_control_lock(void);
void nt_control_unlock(void);

// CPUs that the calling thread may run on, one byte each (0 or 1) for CPUs 0 ..< capacity; 0 or -errno.
int nt_affinity_get(uint8_t *cpus, int capacity);
int nt_affinity_set(const uint8_t *cpus, int count);

// Runs `body(context)` on an EAL lcore (not the caller's own); 0, or -EBUSY if the lcore has work.
int nt_lcore_launch(unsigned lcore, int (*body)(void *), void *context);

// CLOCK_MONOTONIC in nanoseconds.
static inline uint64_t nt_monotonic_nanoseconds(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

#endif
