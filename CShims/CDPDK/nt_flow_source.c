// See nt_flow_source.h.
#include <string.h>
#include "nt_flow_source.h"
#include "nt_flow_hash.h"

static uint32_t sum_words(const uint8_t *bytes, unsigned count)
{
	uint32_t sum = 0;
	for (unsigned i = 0; i + 1 < count; i += 2) {
		uint16_t word;
		memcpy(&word, bytes + i, 2);
		sum += word;
	}
	return sum;
}

static uint32_t common_divisor(uint32_t a, uint32_t b)
{
	while (b) {
		uint32_t rest = a % b;
		a = b;
		b = rest;
	}
	return a;
}

static void put16(uint8_t *place, uint32_t value)
{
	place[0] = (uint8_t)(value >> 8);
	place[1] = (uint8_t)value;
}

// A frame of `length` bytes with zeros where the flows differ.
static void make_template(struct nt_flow_template *t, const struct nt_flow_source *s, const uint8_t *destination_mac, const uint8_t *source_mac,
                          uint32_t length, int translate)
{
	uint8_t frame[80] = {0};
	uint8_t *ip = frame + 14;
	uint32_t header = s->ipv6 ? 40 : 20;
	uint8_t *transport = ip + header;
	uint32_t datagram = length - 14 - header;
	uint8_t protocol = s->tcp ? 6 : 17;
	memcpy(frame, destination_mac, 6);
	memcpy(frame + 6, source_mac, 6);
	if (s->ipv6) {
		static const uint8_t prefix[] = {0x20, 0x01, 0x0d, 0xb8};
		frame[12] = 0x86;
		frame[13] = 0xdd;
		ip[0] = 0x60;
		put16(ip + 4, datagram);
		ip[6] = protocol;
		ip[7] = 64;
		memcpy(ip + 8, prefix, 4);
		memcpy(ip + 24, prefix, 4);
		ip[8 + 5] = s->reply ? 2 : 1;
		ip[24 + 5] = s->reply ? (translate ? 3 : 1) : 2;
		t->transport_sum = sum_words(ip + 8, 32);
	} else {
		frame[12] = 0x08;
		ip[0] = 0x45;
		put16(ip + 2, length - 14);
		ip[6] = 0x40;
		ip[8] = 64;
		ip[9] = protocol;
		t->network_sum = sum_words(ip, 20);
	}
	if (s->tcp) {
		transport[12] = 0x50;
		transport[13] = 0x10;
		put16(transport + 14, 0xffff);
	} else {
		put16(transport + 4, datagram);
	}
	// Pseudo header: protocol and length; then the header's constant words.
	t->transport_sum += ((uint32_t)protocol << 8) + ((datagram & 0xff) << 8) + (datagram >> 8) + sum_words(transport, s->tcp ? 20 : 8);
	t->length = length;
	memcpy(t->words, frame, sizeof(frame));
}

void nt_flow_source_init(struct nt_flow_source *s, const uint8_t *destination_mac, const uint8_t *source_mac, uint32_t flags, uint32_t first,
                         uint32_t connections)
{
	memset(s, 0, sizeof(*s));
	s->ipv6 = (flags & NT_FLOW_IPV6) != 0;
	s->tcp = (flags & NT_FLOW_TCP) != 0;
	s->mix = (flags & NT_FLOW_MIX) != 0;
	s->reply = (flags & NT_FLOW_REPLY) != 0;
	int translate = (flags & NT_FLOW_TRANSLATE) != 0;
	s->first = first;
	s->connections = connections;
	// Far from 1 and from simple fractions, so that neighbours in time are far apart in every table.
	s->stride = (uint32_t)((uint64_t)connections * 2654435769u >> 32);
	if (s->stride == 0)
		s->stride = 1;
	while (common_divisor(connections, s->stride) != 1)
		s->stride++;
	// The replies half a round away: a connection's directions do not warm each other's lines.
	if (s->reply)
		s->start = connections / 2;
	s->progress.next = s->start;
	struct nt_flow_tuple t = nt_flow_tuple(0);
	if (s->reply && translate) {
		s->inner_address = t.translated;
		s->inner_shift = 15;
		s->inner_port = t.translated_port;
		s->inner_mask = 32767;
	} else {
		s->inner_address = t.client;
		s->inner_shift = 9;
		s->inner_port = t.client_port;
		s->inner_mask = 511;
	}
	s->offload_flags = RTE_MBUF_F_RX_IP_CKSUM_GOOD | RTE_MBUF_F_RX_L4_CKSUM_GOOD;
	static const uint8_t mix[12] = {0, 1, 0, 0, 1, 0, 2, 0, 1, 0, 0, 1};
	if (s->mix)
		memcpy(s->sizes, mix, sizeof(mix));
	// The smallest frame of its kind, without the frame check sequence; with TCP six bytes of payload.
	uint32_t least = s->tcp ? (s->ipv6 ? 80 : 60) : (s->ipv6 ? 66 : 60);
	const uint32_t lengths[3] = {least, 566, 1514};
	for (int i = 0; i < 3; i++)
		make_template(&s->templates[i], s, destination_mac, source_mac, lengths[i], translate);
}

// A checksum of a sum of less than 2^34.
static inline uint16_t finish(uint64_t sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

// One burst; the conditions are constants where it is called.
static inline __attribute__((always_inline)) void stamp(struct nt_flow_source *s, struct rte_mbuf **packets, uint16_t count, const int ipv6,
                                                        const int tcp, const int mix)
{
	struct nt_flow_progress at = s->progress;
	const uint32_t reply = s->reply;
	const struct nt_flow_template *t = &s->templates[0];
	for (uint16_t i = 0; i < count; i++) {
		struct rte_mbuf *m = packets[i];
		uint32_t c = s->first + at.next;
		uint32_t rounds = at.rounds;
		if (mix) {
			t = &s->templates[s->sizes[at.size]];
			at.size = at.size == 11 ? 0 : at.size + 1;
		}
		at.next += s->stride;
		if (at.next >= s->connections)
			at.next -= s->connections;
		if (at.next == s->start)
			at.rounds++;
		uint64_t inner = rte_cpu_to_be_32(s->inner_address + (c >> s->inner_shift));
		uint64_t server = rte_cpu_to_be_32(0xc6336401u + (c & 63));
		uint64_t inner_port = rte_cpu_to_be_16((uint16_t)(s->inner_port + (c & s->inner_mask)));
		uint64_t server_port = rte_cpu_to_be_16(443);
		uint64_t source = reply ? server : inner;
		uint64_t destination = reply ? inner : server;
		uint64_t ports = reply ? server_port | inner_port << 16 : inner_port | server_port << 16;
		uint64_t sum = inner + server;
		uint64_t *frame = rte_pktmbuf_mtod(m, uint64_t *);
		uint64_t sequence = 0, acknowledgement = 0, transport = t->transport_sum + sum + ports;
		if (tcp) {
			// The other side's packets of the round before last are certainly out.
			sequence = rte_cpu_to_be_32(nt_flow_initial + rounds * nt_flow_payload);
			acknowledgement = rte_cpu_to_be_32(nt_flow_initial + (rounds > 0 ? rounds - 1 : 0) * nt_flow_payload);
			transport += sequence + acknowledgement;
		}
		uint64_t check = finish(transport);
		if (!tcp && check == 0)
			check = 0xffff;
		frame[0] = t->words[0];
		frame[1] = t->words[1];
		frame[2] = t->words[2];
		if (ipv6) {
			frame[3] = t->words[3];
			frame[4] = t->words[4] | source << 16;
			frame[5] = t->words[5];
			frame[6] = t->words[6] | destination << 16 | ports << 48;
			if (tcp) {
				frame[7] = ports >> 16 | sequence << 16 | acknowledgement << 48;
				frame[8] = t->words[8] | acknowledgement >> 16 | check << 48;
				frame[9] = 0;
			} else {
				frame[7] = t->words[7] | ports >> 16 | check << 32;
			}
		} else {
			frame[3] = (uint64_t)finish(t->network_sum + sum) | source << 16 | destination << 48;
			if (tcp) {
				frame[4] = destination >> 16 | ports << 16 | sequence << 48;
				frame[5] = t->words[5] | sequence >> 16 | acknowledgement << 16;
				frame[6] = t->words[6] | check << 16;
			} else {
				frame[4] = t->words[4] | destination >> 16 | ports << 16;
				frame[5] = check;
			}
		}
		m->ol_flags = s->offload_flags;
		if (s->seeds != NULL) {
			uint64_t tuple = ports | (uint64_t)reply << 32 | (uint64_t)(tcp ? 6 : 17) << 48;
			uint64_t hash = ipv6 ? nt_flow_hash6(s->seeds, (const uint8_t *)frame + 22, tuple) : nt_flow_hash4(s->seeds, source | destination << 32, tuple);
			// 64 bits where a NIC has 32: the most that it could give.
			memcpy(&m->hash, &hash, sizeof(hash));
			m->ol_flags |= RTE_MBUF_F_RX_RSS_HASH;
		}
		// The frame, whatever size the device was given: padding is not part of the measurement.
		m->data_len = (uint16_t)t->length;
		m->pkt_len = t->length;
	}
	s->progress = at;
}

uint16_t nt_flow_source_stamp(uint16_t port, uint16_t queue, struct rte_mbuf **packets, uint16_t count, uint16_t capacity, void *context)
{
	(void)port;
	(void)queue;
	(void)capacity;
	struct nt_flow_source *s = context;
	if (s->mix)
		s->ipv6 ? s->tcp ? stamp(s, packets, count, 1, 1, 1) : stamp(s, packets, count, 1, 0, 1)
		        : s->tcp ? stamp(s, packets, count, 0, 1, 1) : stamp(s, packets, count, 0, 0, 1);
	else
		s->ipv6 ? s->tcp ? stamp(s, packets, count, 1, 1, 0) : stamp(s, packets, count, 1, 0, 0)
		        : s->tcp ? stamp(s, packets, count, 0, 1, 0) : stamp(s, packets, count, 0, 0, 0);
	return count;
}
