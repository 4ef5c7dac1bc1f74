// The floor and the memory's limit: see nt_bench_twin.h.
#include <rte_ethdev.h>
#include "nt_bench_twin.h"
#include "../../CIntrinsics/include/intrinsics.h"

enum { BURST = 32 };

static inline uint32_t send_all(uint16_t to, uint16_t queue, struct rte_mbuf **batch, uint32_t count)
{
	uint16_t sent = rte_eth_tx_burst(to, queue, batch, (uint16_t)count);
	if (sent < count)
		rte_pktmbuf_free_bulk(batch + sent, count - sent);
	return count;
}

uint64_t nt_floor_run(uint16_t a, uint16_t b, uint16_t queue, uint32_t rounds)
{
	struct rte_mbuf *batch[BURST];
	uint64_t packets = 0;
	for (uint32_t i = 0; i < rounds; i++) {
		packets += send_all(b, queue, batch, rte_eth_rx_burst(a, queue, batch, BURST));
		packets += send_all(a, queue, batch, rte_eth_rx_burst(b, queue, batch, BURST));
	}
	return packets;
}

uint64_t nt_memory_run(uint16_t a, uint16_t b, uint16_t queue, uint32_t rounds, uint8_t *lines, uint64_t count, uint64_t *state)
{
	// Two bursts under way, as in the worker: lines are asked for a whole burst before they are written.
	struct rte_mbuf *batch[2][BURST];
	uint8_t *wanted[2][BURST];
	uint32_t sizes[2] = {0, 0};
	uint16_t outputs[2] = {a, b};
	uint64_t packets = 0, random = *state;
	for (uint32_t i = 0; i < 2 * rounds + 1; i++) {
		uint32_t now = i & 1, before = 1 - now;
		uint16_t from = now ? b : a;
		sizes[now] = i < 2 * rounds ? rte_eth_rx_burst(from, queue, batch[now], BURST) : 0;
		outputs[now] = now ? a : b;
		for (uint32_t k = 0; k < sizes[now]; k++) {
			random = random * 6364136223846793005ull + 1442695040888963407ull;
			wanted[now][k] = lines + (uint64_t)(((unsigned __int128)random * count) >> 64) * 64;
			ntl_prefetch_write(wanted[now][k]);
		}
		for (uint32_t k = 0; k < sizes[before]; k++)
			++*(uint64_t *)wanted[before][k];
		if (sizes[before] > 0)
			packets += send_all(outputs[before], queue, batch[before], sizes[before]);
		sizes[before] = 0;
	}
	*state = random;
	return packets;
}
