// The log buffer is a ring of bytes under a mutex: DPDK logs from any thread, seldom.
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_launch.h>
#include <rte_log.h>

#include "nt_eal.h"

static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER;
static char log_bytes[NT_LOG_BYTES];
static size_t log_begin, log_count;
static uint64_t log_lost;
static bool log_in_line;
static FILE *log_stream;

static void log_put(char byte)
{
	log_bytes[(log_begin + log_count) % NT_LOG_BYTES] = byte;
	if (log_count < NT_LOG_BYTES) {
		log_count++;
	} else {
		log_begin = (log_begin + 1) % NT_LOG_BYTES;
		log_lost++;
	}
}

static void log_add(const char *text, size_t length, char level)
{
	pthread_mutex_lock(&log_lock);
	for (size_t i = 0; i < length; i++) {
		if (!log_in_line)
			log_put(level);
		log_in_line = text[i] != '\n';
		// What would pass for a level.
		log_put(text[i] > 0 && text[i] < 9 ? '?' : text[i]);
	}
	pthread_mutex_unlock(&log_lock);
}

// DPDK writes a message out in the call that logs it, where its level is still known.
static ssize_t log_write(void *cookie, const char *text, size_t length)
{
	int level = rte_log_cur_msg_loglevel();
	(void)cookie;
	log_add(text, length, (char)(level > 0 && level < 9 ? level : RTE_LOG_NOTICE));
	return (ssize_t)length;
}

int nt_log_capture(void)
{
	if (log_stream == NULL) {
		cookie_io_functions_t functions = { .write = log_write };
		log_stream = fopencookie(NULL, "w", functions);
		if (log_stream == NULL)
			return -errno;
		setvbuf(log_stream, NULL, _IOLBF, 4096);
	}
	return rte_openlog_stream(log_stream);
}

size_t nt_log_take(char *into, size_t capacity)
{
	if (log_stream != NULL)
		fflush(log_stream);
	pthread_mutex_lock(&log_lock);
	size_t count = log_count < capacity ? log_count : capacity;
	for (size_t i = 0; i < count; i++)
		into[i] = log_bytes[(log_begin + i) % NT_LOG_BYTES];
	log_begin = (log_begin + count) % NT_LOG_BYTES;
	log_count -= count;
	pthread_mutex_unlock(&log_lock);
	return count;
}

uint64_t nt_log_lost(void)
{
	pthread_mutex_lock(&log_lock);
	uint64_t lost = log_lost;
	pthread_mutex_unlock(&log_lock);
	return lost;
}

int nt_eal_init(int argc, char **argv)
{
	static const int streams[] = { STDOUT_FILENO, STDERR_FILENO };
	int saved[2] = { -1, -1 };
	char text[1024];
	ssize_t length;
	int file = memfd_create("eal", MFD_CLOEXEC);

	fflush(stdout);
	fflush(stderr);
	for (int i = 0; i < 2 && file >= 0; i++) {
		saved[i] = fcntl(streams[i], F_DUPFD_CLOEXEC, 3);
		if (saved[i] >= 0)
			dup2(file, streams[i]);
	}
	int result = rte_eal_init(argc, argv);
	int code = rte_errno;
	fflush(stdout);
	fflush(stderr);
	for (int i = 0; i < 2; i++) {
		if (saved[i] >= 0) {
			dup2(saved[i], streams[i]);
			close(saved[i]);
		}
	}
	if (file >= 0) {
		lseek(file, 0, SEEK_SET);
		while ((length = read(file, text, sizeof text)) > 0)
			log_add(text, (size_t)length, RTE_LOG_NOTICE);
		close(file);
	}
	rte_errno = code;
	return result;
}

int nt_errno(void)
{
	return rte_errno;
}

static char *directory_to_remove;

static void remove_directory(void)
{
	DIR *directory = opendir(directory_to_remove);
	if (directory == NULL)
		return;
	struct dirent *entry;
	while ((entry = readdir(directory)) != NULL) {
		if (strstr(entry->d_name, "telemetry") != NULL)
			unlinkat(dirfd(directory), entry->d_name, 0);
	}
	closedir(directory);
	rmdir(directory_to_remove);
}

void nt_remove_directory_at_exit(const char *path)
{
	if (directory_to_remove != NULL)
		return;
	directory_to_remove = strdup(path);
	if (directory_to_remove != NULL)
		atexit(remove_directory);
}

int nt_lcore_launch(unsigned lcore, int (*body)(void *), void *context)
{
	return rte_eal_remote_launch(body, context, lcore);
}

static pthread_mutex_t control_lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;

void nt_control_lock(void)
{
	pthread_mutex_lock(&control_lock);
}

void nt_control_unlock(void)
{
	pthread_mutex_unlock(&control_lock);
}

int nt_affinity_get(uint8_t *cpus, int capacity)
{
	cpu_set_t set;
	if (sched_getaffinity(0, sizeof set, &set) != 0)
		return -errno;
	for (int i = 0; i < capacity; i++)
		cpus[i] = i < CPU_SETSIZE && CPU_ISSET(i, &set);
	return 0;
}

int nt_affinity_set(const uint8_t *cpus, int count)
{
	cpu_set_t set;
	CPU_ZERO(&set);
	for (int i = 0; i < count && i < CPU_SETSIZE; i++) {
		if (cpus[i])
			CPU_SET(i, &set);
	}
	return sched_setaffinity(0, sizeof set, &set) == 0 ? 0 : -errno;
}
