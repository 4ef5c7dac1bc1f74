// See nt_bench_twin.h.
#include <rte_ethdev.h>
#include "nt_bench_twin.h"
#include "nt_bench_twin_layout.h"
#include "nt_flow_hash.h"
#include "../../CIntrinsics/include/intrinsics.h"

enum { BURST = 32, LANES = 30 };

static inline uint16_t adjusted(uint16_t checksum, uint16_t delta)
{
	uint32_t sum = (uint32_t)(uint16_t)~checksum + delta;
	return (uint16_t)~((sum & 0xffff) + (sum >> 16));
}

static inline int transport_fits(const uint8_t *transport, uint8_t protocol, uint32_t length)
{
	if (protocol == 17) {
		uint16_t datagram = rte_be_to_cpu_16(load16(transport + 4));
		return datagram >= 8 && datagram <= length;
	}
	uint32_t header = (uint32_t)(transport[12] >> 4) * 4;
	return protocol == 6 && length >= 20 && header >= 20 && header <= length;
}

// What a NIC wrote beside the packet: nt_flow_source.c.
static inline uint64_t hash_given(const struct rte_mbuf *m)
{
	uint64_t hash;
	memcpy(&hash, &m->hash, sizeof(hash));
	return hash;
}

static inline __attribute__((always_inline)) int read4(const struct nt_twin *t, const struct rte_mbuf *m, uint8_t *frame, uint32_t length, uint64_t port, struct nt_twin_probe *probe, const int given)
{
	if ((load32(frame + 12) & 0xffffff) != 0x450008)
		return 0;
	uint64_t word = load64(frame + 16);
	uint32_t total = rte_be_to_cpu_16((uint16_t)word);
	uint8_t protocol = (uint8_t)(word >> 56);
	if ((word & 0xff3f00000000) != 0 || total + 14 > length || total < 28 || !transport_fits(frame + 34, protocol, total - 20))
		return 0;
	uint64_t tuple = load32(frame + 34) | port << 32 | (uint64_t)protocol << 48;
	probe->network = frame + 14;
	probe->hash = given && (m->ol_flags & RTE_MBUF_F_RX_RSS_HASH) ? hash_given(m) : nt_flow_hash4(t->seeds, load64(frame + 26), tuple);
	probe->tuple = tuple;
	probe->encapsulation = 0;
	probe->total_length = (uint16_t)total;
	probe->link_length = 14;
	probe->ipv6 = 0;
	probe->entry = frame + 14;
	return 1;
}

static inline __attribute__((always_inline)) int read6(const struct nt_twin *t, const struct rte_mbuf *m, uint8_t *frame, uint32_t length, uint64_t port, struct nt_twin_probe *probe, const int given)
{
	if ((load32(frame + 12) & 0xf0ffff) != 0x60dd86 || length < 62)
		return 0;
	uint8_t *network = frame + 14;
	uint32_t payload = rte_be_to_cpu_16(load16(network + 4));
	uint8_t protocol = network[6];
	if (payload > length - 54 || payload < 8 || payload > 0xffff - 40 || !transport_fits(frame + 54, protocol, payload))
		return 0;
	uint64_t a0 = load64(network + 8), a2 = load64(network + 24);
	if (a0 == 0 || a2 == 0 || (a0 & 0xff) == 0xff || (a2 & 0xff) == 0xff)
		return 0;
	uint64_t tuple = load32(frame + 54) | port << 32 | (uint64_t)protocol << 48;
	probe->network = network;
	probe->hash = given && (m->ol_flags & RTE_MBUF_F_RX_RSS_HASH) ? hash_given(m) : nt_flow_hash6(t->seeds, network + 8, tuple);
	probe->tuple = tuple;
	probe->encapsulation = 0;
	probe->total_length = (uint16_t)(payload + 40);
	probe->link_length = 14;
	probe->ipv6 = 1;
	probe->entry = network;
	return 1;
}

static inline void request(const struct nt_twin_table *table, struct nt_twin_probe *probe)
{
	uint64_t bucket = (uint64_t)(((unsigned __int128)probe->hash * table->buckets) >> 64);
	probe->bucket = (uint32_t)bucket;
	ntl_prefetch_read(table->tags + bucket * 64);
}

static inline __attribute__((always_inline)) void classify(struct nt_twin *t, struct nt_twin_burst *b, uint32_t count, const int given)
{
	uint64_t port = b->port, address = t->addresses[port], bytes = 0, transports = 0;
	uint32_t four = 0, six = 0;
	b->tcp[1] = 0;
	for (uint32_t i = 0; i < count; i++) {
		struct rte_mbuf *m = b->received[i];
		if (i + 4 < count)
			ntl_prefetch_read(rte_pktmbuf_mtod(b->received[i + 4], uint8_t *));
		uint8_t *frame = rte_pktmbuf_mtod(m, uint8_t *);
		uint32_t length = m->data_len;
		bytes += length;
		if ((load64(frame) ^ address) << 16 == 0 && m->nb_segs == 1 && length >= 42) {
			struct nt_twin_probe *probe = &b->probes[0][four];
			if (read4(t, m, frame, length, port, probe, given)) {
				request(&t->tables[0], probe);
				transports |= probe->tuple;
				b->packets[0][four++] = m;
				continue;
			}
			probe = &b->probes[1][six];
			if (read6(t, m, frame, length, port, probe, given)) {
				request(&t->tables[1], probe);
				if ((uint8_t)(probe->tuple >> 48) == 6)
					b->tcp[1] = 1;
				b->packets[1][six++] = m;
				continue;
			}
		}
		t->odd++;
		rte_pktmbuf_free(m);
	}
	b->count[0] = four;
	b->count[1] = six;
	b->tcp[0] = (transports >> 48 & 2) != 0;
	t->received += count;
	t->received_bytes += bytes;
}

// FlowTableView.bucket at a level other than 0.
static uint64_t bucket_at(const struct nt_twin_table *table, uint64_t hash, uint32_t level)
{
	uint64_t spread = level == 0 ? hash : (hash ^ hash >> 31) * (0x9e3779b97f4a7c15ull + ((uint64_t)level << 33));
	return (uint64_t)(((unsigned __int128)spread * table->buckets) >> 64);
}

// The whole search; NULL if there is none.
static __attribute__((noinline)) uint8_t *find(const struct nt_twin_table *table, const struct nt_twin_probe *probe, int six)
{
	uint32_t last = 0;
	for (uint32_t level = 0; level <= last; level++) {
		uint64_t bucket = bucket_at(table, probe->hash, level);
		const uint8_t *line = table->tags + bucket * 64;
		uint32_t lanes = ntl_match_tags(line, (uint16_t)probe->hash | 2) & 0x3fffffff;
		for (; lanes != 0; lanes &= lanes - 1) {
			uint8_t *entry = table->entries + (bucket * LANES + (uint32_t)__builtin_ctz(lanes)) * (six ? 128 : 64);
			const struct entry4 *e4 = (const struct entry4 *)entry;
			const struct entry6 *e6 = (const struct entry6 *)entry;
			if (six ? (e6->tuple & ~OWNER) == probe->tuple && (uint32_t)e6->made == probe->encapsulation && memcmp(e6->address, probe->network + 8, 32) == 0
			        : (e4->tuple & ~OWNER) == probe->tuple && (uint32_t)e4->made == probe->encapsulation && e4->addresses == load64(probe->network + 12))
				return entry;
		}
		if (level == 0) {
			uint32_t overflow = load32(line + 60);
			last = (overflow & 0xffff) == 0 ? 0 : overflow >> 16 & 0xff;
		}
	}
	return NULL;
}

static inline __attribute__((always_inline)) void match(const struct nt_twin_table *table, struct nt_twin_probe *probes, uint32_t count, const int six)
{
	for (uint32_t i = 0; i < count; i++) {
		struct nt_twin_probe *probe = &probes[i];
		uint64_t bucket = probe->bucket;
		uint32_t lanes = ntl_match_tags(table->tags + bucket * 64, (uint16_t)probe->hash | 2) & 0x3fffffff;
		if (lanes == 0) {
			if (load32(table->tags + bucket * 64 + 60) != 0) {
				uint8_t *found = find(table, probe, six);
				probe->entry = found != NULL ? found : probe->network;
			}
			continue;
		}
		uint8_t *entry = table->entries + (bucket * LANES + (uint32_t)__builtin_ctz(lanes)) * (six ? 128 : 64);
		probe->entry = entry;
		ntl_prefetch_write(entry);
		if (six)
			ntl_prefetch_write(entry + 64);
	}
}

static inline __attribute__((always_inline)) void request_windows(const struct nt_twin *t, const struct nt_twin_probe *probes, uint32_t count, const int six)
{
	for (uint32_t i = 0; i < count; i++) {
		const struct nt_twin_probe *probe = &probes[i];
		if ((uint8_t)(probe->tuple >> 48) == 6 && probe->entry != probe->network) {
			uint64_t connection = six ? ((struct entry6 *)probe->entry)->connection : ((struct entry4 *)probe->entry)->connection;
			ntl_prefetch_write(t->connections + connection * t->connection_stride);
		}
	}
}

static inline int after(uint32_t a, uint32_t b) { return (int32_t)(b - a) < 0; }

// TCPWindow.acceptEstablished; segments with options other than none are odd.
static inline int accept_segment(struct window_pair *pair, const uint8_t *header, uint32_t length, uint32_t direction)
{
	uint32_t word = rte_be_to_cpu_32(load32(header + 12));
	uint32_t sequence = rte_be_to_cpu_32(load32(header + 4)), acknowledgement = rte_be_to_cpu_32(load32(header + 8));
	if ((word >> 16 & 0x17) != 0x10 || pair->state != 3)
		return 0;
	struct endpoint *sender = &pair->ends[direction], *receiver = &pair->ends[1 - direction];
	struct endpoint s = *sender, r = *receiver;
	uint32_t end = sequence + length - (word >> 28) * 4;
	if (s.max_window == 0 || r.max_window == 0 || ((r.flags & 2) && word >> 28 != 5))
		return 0;
	uint32_t oldest = r.end - (s.max_window > 66000 ? s.max_window : 66000) - 1;
	if (after(sequence, s.max_end) || after(acknowledgement, r.end) || !after(end, s.end - r.max_window - 1) || !after(acknowledgement, oldest))
		return 0;
	uint32_t window = (word & 0xffff) << (s.scale & 15);
	uint8_t sender_flags = s.flags, receiver_flags = r.flags;
	if (window > s.max_window)
		sender->max_window = window;
	if (after(end, s.end)) {
		sender->end = end;
		sender_flags |= 0x10;
	}
	if (!(sender_flags & 0x20) || after(acknowledgement, s.max_ack)) {
		sender->max_ack = acknowledgement;
		sender_flags |= 0x20;
	}
	if (after(end, s.max_end))
		receiver->max_window = r.max_window + end - s.max_end;
	if (after(acknowledgement + window, r.max_end - 1))
		receiver->max_end = acknowledgement + window + (window == 0);
	if (acknowledgement == r.end)
		receiver_flags &= (uint8_t)~0x10;
	if (sender_flags != s.flags)
		sender->flags = sender_flags;
	if (receiver_flags != r.flags)
		receiver->flags = receiver_flags;
	uint64_t numbers = sequence | (uint64_t)acknowledgement << 32;
	uint64_t place = end | (uint64_t)(word & 0xffff) << 32 | (uint64_t)direction << 48 | 3ull << 56;
	if (((pair->last_numbers ^ numbers) | (pair->last_place ^ place) << 8) == 0) {
		pair->retransmissions++;
		if (pair->last_place != place)
			pair->last_place = place;
	} else {
		pair->last_numbers = numbers;
		pair->last_place = place;
		pair->retransmissions = 0;
	}
	return 1;
}

static inline __attribute__((always_inline)) const struct action *accept_plain(const struct nt_twin *t, const struct nt_twin_probe *probe, uint32_t generation, const int six)
{
	const uint8_t *network = probe->network, *transport = network + (six ? 40 : 20);
	uint8_t protocol = (uint8_t)(probe->tuple >> 48), traffic_class, hops;
	uint64_t difference;
	uint32_t index, connection;
	if (probe->entry == network || (protocol != 17 && protocol != 6))
		return NULL;
	uint64_t made = probe->encapsulation | (uint64_t)generation << 32;
	if (six) {
		const struct entry6 *e = (const struct entry6 *)probe->entry;
		difference = (e->made ^ made) | (e->tuple ^ (probe->tuple | t->owner)) | (e->address[0] ^ load64(network + 8)) | (e->address[1] ^ load64(network + 16))
			| (e->address[2] ^ load64(network + 24)) | (e->address[3] ^ load64(network + 32));
		traffic_class = (uint8_t)(rte_be_to_cpu_16(load16(network)) >> 4);
		hops = network[7];
		index = e->action;
		connection = e->connection;
	} else {
		const struct entry4 *e = (const struct entry4 *)probe->entry;
		difference = (e->made ^ made) | (e->tuple ^ (probe->tuple | t->owner)) | (e->addresses ^ load64(network + 12));
		traffic_class = network[1];
		hops = network[8];
		index = e->action;
		connection = e->connection;
	}
	const struct action *action = (const struct action *)(t->actions + (uint64_t)index * 32);
	if (difference != 0)
		return NULL;
	uint16_t bytes = (uint16_t)(traffic_class | transport[13] << 8);
	if ((bytes & action->guard_mask) != action->guard_value || hops <= 1 || probe->total_length > action->maximum_length)
		return NULL;
	if ((action->flags & (FLAG_LONG_WAY | FLAG_WINDOW)) == 0)
		return action;
	if ((action->flags & FLAG_LONG_WAY) || protocol != 6 || t->connections == NULL)
		return NULL;
	struct window_pair *pair = (struct window_pair *)(t->connections + connection * t->connection_stride);
	return accept_segment(pair, transport, probe->total_length - (six ? 40u : 20u), action->flags & FLAG_REPLY) ? action : NULL;
}

static inline __attribute__((always_inline)) void rewrite_plain(const struct nt_twin_probe *probe, const struct action *action, uint32_t tick, const int six)
{
	uint8_t *network = probe->network, *frame = network - probe->link_length, *transport = network + (six ? 40 : 20);
	uint32_t ports;
	uint16_t delta;
	store64(frame, action->link_head);
	store32(frame + 8, action->link_tail);
	if (six) {
		struct entry6 *e = (struct entry6 *)probe->entry;
		for (int i = 0; i < 4; i++)
			store64(network + 8 + 8 * i, e->new_address[i]);
		network[7]--;
		ports = e->new_ports;
		delta = e->transport_delta;
		e->last_used = tick;
		e->packets++;
		e->bytes += probe->total_length;
	} else {
		struct entry4 *e = (struct entry4 *)probe->entry;
		store64(network + 12, e->new_addresses);
		network[8]--;
		store16(network + 10, adjusted(load16(network + 10), e->network_delta));
		ports = e->new_ports;
		delta = e->transport_delta;
		e->last_used = tick;
		e->packets++;
		e->bytes += probe->total_length;
	}
	store32(transport, ports);
	if ((uint8_t)(probe->tuple >> 48) == 17) {
		uint16_t checksum = load16(transport + 6);
		if (checksum != 0) {
			checksum = adjusted(checksum, delta);
			store16(transport + 6, checksum == 0 ? 0xffff : checksum);
		}
	} else {
		store16(transport + 16, adjusted(load16(transport + 16), delta));
	}
}

static inline __attribute__((always_inline)) uint32_t forward(struct nt_twin *t, struct nt_twin_burst *b, uint32_t hits, uint64_t *bytes, uint16_t *differ, const int six)
{
	const uint32_t generation = __atomic_load_n(t->generation, __ATOMIC_ACQUIRE);
	const uint64_t bad = RTE_MBUF_F_RX_L4_CKSUM_BAD | (six ? 0 : RTE_MBUF_F_RX_IP_CKSUM_BAD);
	const uint64_t good = RTE_MBUF_F_RX_L4_CKSUM_GOOD | (six ? 0 : RTE_MBUF_F_RX_IP_CKSUM_GOOD);
	for (uint32_t i = 0; i < b->count[six]; i++) {
		struct nt_twin_probe *probe = &b->probes[six][i];
		struct rte_mbuf *m = b->packets[six][i];
		const struct action *action = NULL;
		if ((m->ol_flags & (bad | good)) == good) {
			action = accept_plain(t, probe, generation, six);
			// Another flow's entry under the same tag.
			if (action == NULL && (probe->entry = find(&t->tables[six], probe, six)) != NULL)
				action = accept_plain(t, probe, generation, six);
		}
		if (action == NULL) {
			t->odd++;
			rte_pktmbuf_free(m);
			continue;
		}
		rewrite_plain(probe, action, t->tick, six);
		uint16_t length = (uint16_t)(probe->link_length + probe->total_length);
		if (m->data_len != length) {
			m->data_len = length;
			m->pkt_len = length;
		}
		*bytes += length;
		t->sent[hits] = m;
		t->sent_ports[hits] = action->output_port;
		*differ |= action->output_port ^ t->sent_ports[0];
		hits++;
	}
	return hits;
}

static inline uint32_t forward_burst(struct nt_twin *t, struct nt_twin_burst *b, uint64_t *bytes, uint16_t *differ)
{
	uint32_t hits = 0;
	if (b->count[0])
		hits = forward(t, b, hits, bytes, differ, 0);
	if (b->count[1])
		hits = forward(t, b, hits, bytes, differ, 1);
	t->hits += hits;
	return hits;
}

static inline void send_hits(struct nt_twin *t, uint32_t hits, uint64_t bytes, uint16_t differ)
{
	for (uint32_t done = 0; done < hits;) {
		uint32_t run = differ ? 1 : hits - done;
		uint16_t taken = rte_eth_tx_burst(t->ports[t->sent_ports[done] & 1], t->queue, t->sent + done, (uint16_t)run);
		if (taken < run)
			rte_pktmbuf_free_bulk(t->sent + done + taken, run - taken);
		t->transmitted += taken;
		done += run;
	}
	t->transmitted_bytes += bytes;
}

static inline void request_burst(const struct nt_twin *t, const struct nt_twin_burst *b)
{
	if (t->connections == NULL)
		return;
	if (b->tcp[0])
		request_windows(t, b->probes[0], b->count[0], 0);
	if (b->tcp[1])
		request_windows(t, b->probes[1], b->count[1], 1);
}

void nt_twin_finish(struct nt_twin *t)
{
	if (!t->under_way)
		return;
	struct nt_twin_burst *current = &t->bursts[1 - t->turn];
	uint64_t bytes = 0;
	uint16_t differ = 0;
	request_burst(t, current);
	uint32_t hits = forward_burst(t, current, &bytes, &differ);
	send_hits(t, hits, bytes, differ);
	t->under_way = 0;
}

static inline __attribute__((always_inline)) uint32_t poll_port(struct nt_twin *t, uint32_t port, const int given)
{
	struct nt_twin_burst *next = &t->bursts[t->turn], *current = &t->bursts[1 - t->turn];
	uint32_t count = rte_eth_rx_burst(t->ports[port], t->queue, next->received, BURST), hits = 0;
	uint64_t bytes = 0;
	uint16_t differ = 0;
	if (count == 0) {
		nt_twin_finish(t);
		return 0;
	}
	if (t->under_way)
		request_burst(t, current);
	next->port = (uint16_t)port;
	classify(t, next, count, given);
	if (t->under_way)
		hits = forward_burst(t, current, &bytes, &differ);
	if (next->count[0])
		match(&t->tables[0], next->probes[0], next->count[0], 0);
	if (next->count[1])
		match(&t->tables[1], next->probes[1], next->count[1], 1);
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	send_hits(t, hits, bytes, differ);
	t->turn = 1 - t->turn;
	t->under_way = 1;
	return count;
}

uint64_t nt_twin_run(struct nt_twin *t, uint32_t rounds)
{
	uint64_t packets = 0;
	for (uint32_t i = 0; i < rounds; i++) {
		packets += poll_port(t, 0, 0);
		packets += poll_port(t, 1, 0);
	}
	return packets;
}

uint64_t nt_twin_run_hash_given(struct nt_twin *t, uint32_t rounds)
{
	uint64_t packets = 0;
	for (uint32_t i = 0; i < rounds; i++) {
		packets += poll_port(t, 0, 1);
		packets += poll_port(t, 1, 1);
	}
	return packets;
}
