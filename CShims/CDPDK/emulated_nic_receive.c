// The emulated NIC's packet path: match, rewrite, count, send, on the core of the worker that polls.
//
// It does what a NIC's pipeline does and no more. It reads only bytes that it checked to be in the frame's first
// segment; a frame that it cannot parse, or whose own lengths contradict each other, goes to software untouched. It has
// no opinion on TTL, fragments, options or TCP flags but what the rule and the guards of the port say.
#include "emulated_nic_state.h"
#include <rte_ip.h>
#include <rte_mbuf.h>
#include <rte_tcp.h>
#include <rte_udp.h>
#include <string.h>

enum { staging_size = 64 };

// Frames that wait for one TX burst, all to one port.
struct staging {
	struct rte_mbuf *frames[staging_size];
	uint16_t count, output;
};

// Where the headers are; offsets from the frame's start.
struct parsed {
	struct nt_nic_key key;
	uint32_t network, transport, network_length;
	uint8_t ttl, traffic_class, tcp_flags, options, fragment;
};

enum fate { to_software, to_output, to_drop };

static inline uint16_t
load16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static inline void
store16(uint8_t *at, uint16_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static inline uint64_t
load64(const uint8_t *at)
{
	rte_be64_t value;
	memcpy(&value, at, 8);
	return rte_be_to_cpu_64(value);
}

static inline void
store64(uint8_t *at, uint64_t value)
{
	rte_be64_t stored = rte_cpu_to_be_64(value);
	memcpy(at, &stored, 8);
}

static inline void
store32(uint8_t *at, uint32_t value)
{
	rte_be32_t stored = rte_cpu_to_be_32(value);
	memcpy(at, &stored, 4);
}

static inline void
add(uint64_t *counter, uint64_t amount)
{
	// Relaxed: the only writer; the pairing relaxed loads are in nic_query and nt_nic_read_statistics.
	__atomic_store_n(counter, __atomic_load_n(counter, __ATOMIC_RELAXED) + amount, __ATOMIC_RELAXED);
}

// RFC 1624, equation 3: `checksum` for a message in which the one's-complement difference `delta` was made.
static inline uint16_t
adjust(uint16_t checksum, uint32_t delta)
{
	uint32_t sum = (uint16_t)~checksum + (delta & 0xffff) + (delta >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static bool
parse(const struct rte_mbuf *frame, struct parsed *p)
{
	const uint8_t *bytes = rte_pktmbuf_mtod(frame, const uint8_t *);
	uint32_t length = rte_pktmbuf_data_len(frame);
	if (frame->nb_segs != 1 || length < 14)
		return false;
	memset(p, 0, sizeof(*p));
	uint32_t at = 14;
	uint16_t type = load16(bytes + 12);
	while ((type == RTE_ETHER_TYPE_VLAN || type == RTE_ETHER_TYPE_QINQ) && p->key.vlan_count < 2) {
		if (length < at + 4)
			return false;
		p->key.vlan_type[p->key.vlan_count] = type;
		p->key.vlan[p->key.vlan_count++] = load16(bytes + at);
		type = load16(bytes + at + 2);
		at += 4;
	}
	p->network = at;
	const uint8_t *ip = bytes + at;
	if (type == RTE_ETHER_TYPE_IPV4) {
		if (length < at + 20 || ip[0] >> 4 != 4)
			return false;
		uint32_t header = (uint32_t)(ip[0] & 15) * 4;
		p->network_length = load16(ip + 2);
		if (header < 20 || p->network_length < header || length < at + p->network_length)
			return false;
		uint16_t fragment = load16(ip + 6);
		if (fragment & 0x1fff)
			return false; // no transport header to match
		p->fragment = (fragment & 0x2000) != 0;
		p->options = header != 20;
		p->traffic_class = ip[1];
		p->ttl = ip[8];
		p->key.family = 4;
		p->key.protocol = ip[9];
		p->key.source_low = (uint32_t)load16(ip + 12) << 16 | load16(ip + 14);
		p->key.destination_low = (uint32_t)load16(ip + 16) << 16 | load16(ip + 18);
		p->transport = at + header;
	} else if (type == RTE_ETHER_TYPE_IPV6) {
		if (length < at + 40 || ip[0] >> 4 != 6)
			return false;
		p->network_length = 40 + load16(ip + 4);
		if (length < at + p->network_length)
			return false;
		p->traffic_class = (uint8_t)(load16(ip) >> 4);
		p->ttl = ip[7];
		p->key.family = 6;
		p->key.protocol = ip[6];
		p->key.source_high = load64(ip + 8);
		p->key.source_low = load64(ip + 16);
		p->key.destination_high = load64(ip + 24);
		p->key.destination_low = load64(ip + 32);
		p->transport = at + 40;
	} else {
		return false;
	}
	uint32_t room = p->network + p->network_length - p->transport;
	const uint8_t *transport = bytes + p->transport;
	if (p->key.protocol == IPPROTO_TCP) {
		if (room < 20 || (uint32_t)(transport[12] >> 4) * 4 < 20 || (uint32_t)(transport[12] >> 4) * 4 > room)
			return false;
		p->tcp_flags = transport[13];
	} else if (p->key.protocol == IPPROTO_UDP) {
		if (room < 8)
			return false;
	} else {
		return true;
	}
	p->key.source_port = load16(transport);
	p->key.destination_port = load16(transport + 2);
	return true;
}

static bool
checksums_are_right(const struct rte_mbuf *frame, const struct parsed *p)
{
	const uint8_t *bytes = rte_pktmbuf_mtod(frame, const uint8_t *);
	const uint8_t *ip = bytes + p->network, *transport = bytes + p->transport;
	if (p->key.family == 4) {
		uint32_t header = p->transport - p->network;
		if (rte_raw_cksum(ip, header) != 0xffff)
			return false;
	}
	if (p->key.protocol == IPPROTO_UDP) {
		if (load16(transport + 4) != p->network + p->network_length - p->transport)
			return false;
		if (p->key.family == 4 && load16(transport + 6) == 0)
			return true;
		if (load16(transport + 6) == 0)
			return false; // RFC 8200 section 8.1: a checksum is required
	} else if (p->key.protocol != IPPROTO_TCP) {
		return true;
	}
	return p->key.family == 4 ? rte_ipv4_udptcp_cksum_verify((const struct rte_ipv4_hdr *)ip, transport) == 0
	                          : rte_ipv6_udptcp_cksum_verify((const struct rte_ipv6_hdr *)ip, transport) == 0;
}

static const struct nt_nic_rule *
look_up(const struct nt_nic *nic, const struct nt_nic_key *key)
{
	uint64_t hash = nt_nic_hash(key, nic->seed);
	// Acquire, pairing with the release stores in nic_create: a rule that is found is complete.
	uint32_t at = __atomic_load_n(&nic->heads[hash & nic->head_mask], __ATOMIC_ACQUIRE);
	while (at != nt_nic_end_of_chain) {
		const struct nt_nic_rule *rule = &nic->rules[at];
		if (nt_nic_key_equal(&rule->key, key))
			return rule;
		at = __atomic_load_n(&rule->next, __ATOMIC_ACQUIRE);
	}
	return NULL;
}

static bool
matches(const struct rte_mbuf *frame, const struct parsed *p, const struct nt_flow_rule *rule)
{
	uint32_t match = rule->match;
	if (match & NT_MATCH_DESTINATION_MAC) {
		const uint8_t *bytes = rte_pktmbuf_mtod(frame, const uint8_t *);
		if ((load64(bytes) >> 16) != rule->match_mac)
			return false;
	}
	if ((match & NT_MATCH_TCP_FLAGS) && (p->tcp_flags & rule->tcp_flags_mask) != rule->tcp_flags_value)
		return false;
	if ((match & NT_MATCH_NO_FRAGMENT) && p->fragment)
		return false;
	if ((match & NT_MATCH_NO_OPTIONS) && p->options)
		return false;
	if ((match & NT_MATCH_TRAFFIC_CLASS) && (p->traffic_class & rule->traffic_class_mask) != rule->traffic_class_value)
		return false;
	if ((match & NT_MATCH_TTL) && p->ttl != rule->match_ttl)
		return false;
	return !(match & NT_MATCH_CHECKSUMS) || checksums_are_right(frame, p);
}

// The rewrite of one frame, checksums included.
static void
rewrite(struct rte_mbuf *frame, const struct parsed *p, const struct nt_nic_rule *slot)
{
	const struct nt_flow_rule *rule = &slot->rule;
	uint8_t *bytes = rte_pktmbuf_mtod(frame, uint8_t *);
	uint8_t *ip = bytes + p->network, *transport = bytes + p->transport;
	uint32_t what = rule->actions;
	if (what & NT_DO_SET_MACS) {
		store16(bytes, (uint16_t)(rule->set_destination_mac >> 32));
		store32(bytes + 2, (uint32_t)rule->set_destination_mac);
		store16(bytes + 6, (uint16_t)(rule->set_source_mac >> 32));
		store32(bytes + 8, (uint32_t)rule->set_source_mac);
	}
	uint32_t network_delta = slot->network_delta;
	uint8_t ttl = what & NT_DO_SET_TTL ? rule->set_ttl : (uint8_t)(p->ttl - ((what & NT_DO_DECREMENT_TTL) != 0));
	uint8_t traffic_class = p->traffic_class;
	if (what & NT_DO_SET_DSCP)
		traffic_class = (uint8_t)((traffic_class & 3) | (rule->set_traffic_class & 0xfc));
	if (p->key.family == 4) {
		network_delta += (uint16_t)~(p->ttl << 8) + (uint32_t)(ttl << 8);
		network_delta += (uint16_t)~p->traffic_class + (uint32_t)traffic_class;
		ip[1] = traffic_class;
		ip[8] = ttl;
		if (what & NT_DO_SET_SOURCE)
			store32(ip + 12, (uint32_t)rule->set_source_low);
		if (what & NT_DO_SET_DESTINATION)
			store32(ip + 16, (uint32_t)rule->set_destination_low);
		store16(ip + 10, adjust(load16(ip + 10), network_delta));
	} else {
		ip[0] = (uint8_t)(0x60 | traffic_class >> 4);
		ip[1] = (uint8_t)((ip[1] & 0x0f) | traffic_class << 4);
		ip[7] = ttl;
		if (what & NT_DO_SET_SOURCE) {
			store64(ip + 8, rule->set_source_high);
			store64(ip + 16, rule->set_source_low);
		}
		if (what & NT_DO_SET_DESTINATION) {
			store64(ip + 24, rule->set_destination_high);
			store64(ip + 32, rule->set_destination_low);
		}
	}
	if (what & NT_DO_SET_SOURCE_PORT)
		store16(transport, rule->set_source_port);
	if (what & NT_DO_SET_DESTINATION_PORT)
		store16(transport + 2, rule->set_destination_port);
	if (slot->transport_delta == 0)
		return;
	if (p->key.protocol == IPPROTO_TCP) {
		store16(transport + 16, adjust(load16(transport + 16), slot->transport_delta));
	} else if (p->key.protocol == IPPROTO_UDP && load16(transport + 6) != 0) {
		uint16_t checksum = adjust(load16(transport + 6), slot->transport_delta);
		store16(transport + 6, checksum != 0 ? checksum : 0xffff);
	}
}

static void
flush(struct nt_nic_queue *queue, struct staging *staging)
{
	if (staging->count == 0)
		return;
	uint16_t sent = rte_eth_tx_burst(staging->output, queue->index, staging->frames, staging->count);
	if (sent < staging->count) {
		add(&queue->statistics.lost_at_transmit, staging->count - sent);
		rte_pktmbuf_free_bulk(staging->frames + sent, staging->count - sent);
	}
	staging->count = 0;
}

static enum fate
run(struct nt_nic_queue *queue, struct rte_mbuf *frame, uint16_t *output)
{
	struct nt_nic *nic = queue->nic;
	struct parsed p;
	if (!parse(frame, &p))
		return to_software;
	const struct nt_nic_rule *slot = look_up(nic, &p.key);
	if (slot == NULL)
		return to_software;
	// Relaxed: a guard is made before the first rule that needs it, and the acquire load that found the rule orders it.
	uint8_t guards = __atomic_load_n(&nic->guards, __ATOMIC_RELAXED);
	if (p.ttl <= 1 && (guards & (p.key.family == 4 ? 1 : 2)))
		return to_software;
	// Longer than the port's MTU: a real port would not have received it.
	if (p.network_length > __atomic_load_n(&nic->mtu, __ATOMIC_RELAXED) || !matches(frame, &p, &slot->rule))
		return to_software;
	uint32_t actions = slot->rule.actions;
	uint32_t wanted = p.network + p.network_length, length = rte_pktmbuf_pkt_len(frame);
	if (nic->profile->trims_padding && length > wanted) {
		rte_pktmbuf_trim(frame, (uint16_t)(length - wanted));
		length = wanted;
	}
	if ((actions & NT_DO_COUNT) && !slot->frozen) {
		struct nt_nic_counter *counter = &queue->counters[slot - nic->rules];
		add(&counter->packets, 1);
		add(&counter->bytes, length);
		__atomic_store_n(&counter->last_hit, __atomic_load_n(&nt_nic_time, __ATOMIC_RELAXED), __ATOMIC_RELAXED);
	}
	if (actions & NT_DO_DROP) {
		add(&queue->statistics.dropped_by_rule, 1);
		return to_drop;
	}
	if (actions & NT_DO_MARK) {
		frame->hash.fdir.hi = slot->rule.mark;
		frame->ol_flags |= RTE_MBUF_F_RX_FDIR | RTE_MBUF_F_RX_FDIR_ID;
		add(&queue->statistics.marked, 1);
	}
	if (!(actions & NT_DO_OUTPUT))
		return to_software;
	rewrite(frame, &p, slot);
	*output = slot->rule.output;
	add(&queue->statistics.carried_packets, 1);
	add(&queue->statistics.carried_bytes, length);
	return to_output;
}

uint16_t
nt_nic_receive(uint16_t port, uint16_t index, struct rte_mbuf *frames[], uint16_t count, uint16_t room, void *state)
{
	struct nt_nic_queue *queue = state;
	(void)port, (void)index, (void)room;
	if (count == 0)
		return 0;
	// Enter the read side: odd. The fence puts the store before every load of rules and pairs with the fence in
	// wait_for_readers, so either the control side sees us inside or we do not see what it took out.
	__atomic_store_n(&queue->sequence, queue->sequence + 1, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	struct staging staging = {.count = 0};
	uint16_t kept = 0;
	for (uint16_t i = 0; i < count; i++) {
		uint16_t output = 0;
		switch (run(queue, frames[i], &output)) {
		case to_software:
			frames[kept++] = frames[i];
			break;
		case to_drop:
			rte_pktmbuf_free(frames[i]);
			break;
		case to_output:
			if (staging.count == staging_size || (staging.count != 0 && staging.output != output))
				flush(queue, &staging);
			staging.output = output;
			staging.frames[staging.count++] = frames[i];
			break;
		}
	}
	flush(queue, &staging);
	// Leave the read side: even. Release: what was read and counted stays before it; pairs with the acquire loads
	// in wait_for_readers.
	__atomic_store_n(&queue->sequence, queue->sequence + 1, __ATOMIC_RELEASE);
	return kept;
}
