// See nt_flow_source.h.
#include <string.h>
#include "nt_flow_source.h"

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

static inline uint16_t finish(uint32_t sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static inline uint32_t words(uint32_t value) { return (value & 0xffff) + (value >> 16); }

static uint32_t common_divisor(uint32_t a, uint32_t b)
{
	while (b) {
		uint32_t rest = a % b;
		a = b;
		b = rest;
	}
	return a;
}

void nt_flow_source_init(struct nt_flow_source *s, const uint8_t *destination_mac, const uint8_t *source_mac, int ipv6, int reply,
                         int translate, uint32_t first, uint32_t connections)
{
	memset(s, 0, sizeof(*s));
	s->ipv6 = ipv6 != 0;
	s->reply = reply != 0;
	s->translate = translate != 0;
	s->first = first;
	s->connections = connections;
	// Far from 1 and from simple fractions, so that neighbours in time are far apart in every table.
	s->stride = (uint32_t)((uint64_t)connections * 2654435769u >> 32);
	if (s->stride == 0)
		s->stride = 1;
	while (common_divisor(connections, s->stride) != 1)
		s->stride++;
	s->offload_flags = RTE_MBUF_F_RX_IP_CKSUM_GOOD | RTE_MBUF_F_RX_L4_CKSUM_GOOD;
	memcpy(s->frame, destination_mac, 6);
	memcpy(s->frame + 6, source_mac, 6);
	uint8_t *ip = s->frame + 14;
	uint8_t *udp;
	uint16_t datagram;
	if (ipv6) {
		s->length = 66;
		datagram = (uint16_t)(s->length - 54);
		s->frame[12] = 0x86;
		s->frame[13] = 0xdd;
		ip[0] = 0x60;
		ip[5] = (uint8_t)datagram;
		ip[6] = 17;
		ip[7] = 64;
		static const uint8_t prefix[] = {0x20, 0x01, 0x0d, 0xb8};
		memcpy(ip + 8, prefix, 4);
		memcpy(ip + 24, prefix, 4);
		ip[8 + 5] = reply ? 2 : 1;
		ip[24 + 5] = reply ? (translate ? 3 : 1) : 2;
		udp = ip + 40;
		s->transport_sum = sum_words(ip + 8, 32);
	} else {
		s->length = 60;
		datagram = (uint16_t)(s->length - 34);
		s->frame[12] = 0x08;
		ip[0] = 0x45;
		ip[3] = (uint8_t)(s->length - 14);
		ip[6] = 0x40;
		ip[8] = 64;
		ip[9] = 17;
		udp = ip + 20;
		s->network_sum = sum_words(ip, 20);
	}
	udp[5] = (uint8_t)datagram;
	// Pseudo header: protocol and length; the header's own length; the payload is zero.
	s->transport_sum += (17u << 8) + ((uint32_t)datagram << 8) + sum_words(udp, 8);
}

uint16_t nt_flow_source_stamp(uint16_t port, uint16_t queue, struct rte_mbuf **packets, uint16_t count, uint16_t capacity, void *context)
{
	(void)port;
	(void)queue;
	(void)capacity;
	struct nt_flow_source *s = context;
	uint32_t next = s->next;
	for (uint16_t i = 0; i < count; i++) {
		struct rte_mbuf *m = packets[i];
		struct nt_flow_tuple t = nt_flow_tuple(s->first + next);
		next += s->stride;
		if (next >= s->connections)
			next -= s->connections;
		uint32_t source = rte_cpu_to_be_32(s->reply ? t.server : t.client);
		uint32_t destination = rte_cpu_to_be_32(!s->reply ? t.server : s->translate ? t.translated : t.client);
		uint32_t source_port = rte_cpu_to_be_16(s->reply ? t.server_port : t.client_port);
		uint32_t destination_port = rte_cpu_to_be_16(!s->reply ? t.server_port : s->translate ? t.translated_port : t.client_port);
		uint32_t ports = source_port | destination_port << 16;
		uint32_t addresses = words(source) + words(destination);
		uint8_t *frame = rte_pktmbuf_mtod(m, uint8_t *);
		uint8_t *udp;
		if (s->ipv6) {
			memcpy(frame, s->frame, 64);
			memcpy(frame + 14 + 20, &source, 4);
			memcpy(frame + 14 + 36, &destination, 4);
			udp = frame + 54;
		} else {
			memcpy(frame, s->frame, 48);
			uint16_t check = finish(s->network_sum + addresses);
			memcpy(frame + 14 + 10, &check, 2);
			memcpy(frame + 14 + 12, &source, 4);
			memcpy(frame + 14 + 16, &destination, 4);
			udp = frame + 34;
		}
		memcpy(udp, &ports, 4);
		uint16_t check = finish(s->transport_sum + addresses + words(ports));
		if (check == 0)
			check = 0xffff;
		memcpy(udp + 6, &check, 2);
		m->ol_flags = s->offload_flags;
		// The frame, whatever size the device was given: padding is not part of the measurement.
		m->data_len = (uint16_t)s->length;
		m->pkt_len = s->length;
	}
	s->next = next;
	return count;
}
