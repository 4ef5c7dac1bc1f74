// nt_flow_rule translated into rte_flow items and actions, for the headers of DPDK 22.11 and later.
//
// Invariant: everything that rte_flow is handed lives in one `struct nt_flow_words` on the caller's stack for the length of the
// call; drivers copy what they keep. Only the `.hdr.` names of items are used: the older ones are to be removed.
#include "flow_rule_words.h"
#include <errno.h>
#include <rte_ethdev.h>
#include <stdio.h>
#include <string.h>

int
nt_flow_fail(struct nt_flow_error *error, int number, const char *text)
{
	error->number = number;
	snprintf(error->text, sizeof(error->text), "%s", text ? text : "");
	return number;
}

static void
put_mac(uint8_t bytes[6], uint64_t value)
{
	for (int i = 0; i < 6; i++)
		bytes[i] = (uint8_t)(value >> (40 - 8 * i));
}

static void
put_ipv6(void *bytes, uint64_t high, uint64_t low)
{
	rte_be64_t words[2] = {rte_cpu_to_be_64(high), rte_cpu_to_be_64(low)};
	memcpy(bytes, words, 16);
}

static void
item(struct nt_flow_words *w, enum rte_flow_item_type type, const void *spec, const void *mask)
{
	w->pattern[w->items++] = (struct rte_flow_item){.type = type, .spec = spec, .mask = mask};
}

static void
action(struct nt_flow_words *w, enum rte_flow_action_type type, const void *conf)
{
	w->actions[w->steps++] = (struct rte_flow_action){.type = type, .conf = conf};
}

// One MODIFY_FIELD with an immediate value in network order.
static void
modify(struct nt_flow_words *w, enum rte_flow_modify_op operation, enum rte_flow_field_id field, const void *value, unsigned bits)
{
	struct rte_flow_action_modify_field *m = &w->modify[w->modifies++];
	m->operation = operation;
	m->dst = (modify_data){.field = field};
	m->src = (modify_data){.field = RTE_FLOW_FIELD_VALUE};
	memcpy(m->src.value, value, (bits + 7) / 8);
	m->width = bits;
	action(w, RTE_FLOW_ACTION_TYPE_MODIFY_FIELD, m);
}

static int
translate_match(struct nt_flow_words *w, uint16_t port, const struct nt_flow_rule *rule, struct nt_flow_error *error)
{
	if (rule->vlan_count > 2 || (rule->vlan_count > 0 && (rule->match & NT_MATCH_UNTAGGED)))
		return nt_flow_fail(error, EINVAL, "a rule matches at most two VLAN tags, and none with UNTAGGED");
	if (w->attr.transfer && rule->output_kind == NT_OUTPUT_REPRESENTED_PORT) {
		w->ingress.port_id = port;
		item(w, RTE_FLOW_ITEM_TYPE_REPRESENTED_PORT, &w->ingress, &rte_flow_item_ethdev_mask);
	}
	int eth_matters = 0;
	if (rule->match & NT_MATCH_DESTINATION_MAC) {
		put_mac(w->eth.hdr.dst_addr.addr_bytes, rule->match_mac);
		memset(w->eth_mask.hdr.dst_addr.addr_bytes, 0xff, 6);
		eth_matters = 1;
	}
	if (rule->match & NT_MATCH_UNTAGGED) {
		w->eth.has_vlan = 0;
		w->eth_mask.has_vlan = 1;
		eth_matters = 1;
	}
	if (rule->vlan_count > 0) {
		w->eth.hdr.ether_type = rte_cpu_to_be_16(rule->vlan_type[0]);
		w->eth_mask.hdr.ether_type = 0xffff;
		eth_matters = 1;
	}
	item(w, RTE_FLOW_ITEM_TYPE_ETH, eth_matters ? &w->eth : NULL, eth_matters ? &w->eth_mask : NULL);
	// The whole tag: a frame with a priority leaves without it, which the software does.
	for (int i = 0; i < rule->vlan_count; i++) {
		w->vlan[i].hdr.vlan_tci = rte_cpu_to_be_16(rule->vlan[i]);
		w->vlan_mask[i].hdr.vlan_tci = 0xffff;
		if (i + 1 < rule->vlan_count) {
			w->vlan[i].hdr.eth_proto = rte_cpu_to_be_16(rule->vlan_type[i + 1]);
			w->vlan_mask[i].hdr.eth_proto = 0xffff;
		}
		item(w, RTE_FLOW_ITEM_TYPE_VLAN, &w->vlan[i], &w->vlan_mask[i]);
	}
	if (rule->family == 4) {
		struct rte_ipv4_hdr *h = &w->ipv4.hdr, *m = &w->ipv4_mask.hdr;
		if (!(rule->match & NT_MATCH_LOW_TTL)) {
			h->src_addr = rte_cpu_to_be_32((uint32_t)rule->source_low);
			h->dst_addr = rte_cpu_to_be_32((uint32_t)rule->destination_low);
			m->src_addr = m->dst_addr = UINT32_MAX;
			h->next_proto_id = rule->protocol;
			m->next_proto_id = 0xff;
		}
		if (rule->match & NT_MATCH_NO_FRAGMENT)
			m->fragment_offset = rte_cpu_to_be_16(0x3fff);
		if (rule->match & NT_MATCH_NO_OPTIONS) {
			h->version_ihl = 5;
			m->version_ihl = 0x0f;
		}
		if (rule->match & NT_MATCH_TRAFFIC_CLASS) {
			h->type_of_service = rule->traffic_class_value;
			m->type_of_service = rule->traffic_class_mask;
		}
		if (rule->match & NT_MATCH_TTL) {
			h->time_to_live = rule->match_ttl;
			m->time_to_live = 0xff;
		}
		if (rule->match & NT_MATCH_LOW_TTL)
			m->time_to_live = 0xfe;
		item(w, RTE_FLOW_ITEM_TYPE_IPV4, h, m);
	} else if (rule->family == 6) {
		struct rte_ipv6_hdr *h = &w->ipv6.hdr, *m = &w->ipv6_mask.hdr;
		if (!(rule->match & NT_MATCH_LOW_TTL)) {
			_Static_assert(sizeof(h->src_addr) == 16, "an IPv6 address has 16 bytes, whatever its type");
			put_ipv6(&h->src_addr, rule->source_high, rule->source_low);
			put_ipv6(&h->dst_addr, rule->destination_high, rule->destination_low);
			memset(&m->src_addr, 0xff, 16);
			memset(&m->dst_addr, 0xff, 16);
			h->proto = rule->protocol;
			m->proto = 0xff;
		}
		if (rule->match & NT_MATCH_NO_FRAGMENT)
			w->ipv6_mask.has_frag_ext = 1;
		if (rule->match & NT_MATCH_TRAFFIC_CLASS) {
			h->vtc_flow = rte_cpu_to_be_32((uint32_t)rule->traffic_class_value << 20);
			m->vtc_flow = rte_cpu_to_be_32((uint32_t)rule->traffic_class_mask << 20);
		}
		if (rule->match & NT_MATCH_TTL) {
			h->hop_limits = rule->match_ttl;
			m->hop_limits = 0xff;
		}
		if (rule->match & NT_MATCH_LOW_TTL)
			m->hop_limits = 0xfe;
		item(w, RTE_FLOW_ITEM_TYPE_IPV6, &w->ipv6, &w->ipv6_mask);
	} else {
		return nt_flow_fail(error, EINVAL, "the address family of a rule is 4 or 6");
	}
	if (rule->match & NT_MATCH_PORTS) {
		rte_be16_t source = rte_cpu_to_be_16(rule->source_port), destination = rte_cpu_to_be_16(rule->destination_port);
		if (rule->protocol == 6) {
			w->tcp.hdr.src_port = source;
			w->tcp.hdr.dst_port = destination;
			w->tcp_mask.hdr.src_port = w->tcp_mask.hdr.dst_port = UINT16_MAX;
			if (rule->match & NT_MATCH_TCP_FLAGS) {
				w->tcp.hdr.tcp_flags = rule->tcp_flags_value;
				w->tcp_mask.hdr.tcp_flags = rule->tcp_flags_mask;
			}
			item(w, RTE_FLOW_ITEM_TYPE_TCP, &w->tcp, &w->tcp_mask);
		} else if (rule->protocol == 17) {
			w->udp.hdr.src_port = source;
			w->udp.hdr.dst_port = destination;
			w->udp_mask.hdr.src_port = w->udp_mask.hdr.dst_port = UINT16_MAX;
			item(w, RTE_FLOW_ITEM_TYPE_UDP, &w->udp, &w->udp_mask);
		} else {
			return nt_flow_fail(error, EINVAL, "only TCP and UDP have ports to match");
		}
	} else if (rule->match & NT_MATCH_TCP_FLAGS) {
		return nt_flow_fail(error, EINVAL, "TCP flags are matched together with ports");
	}
	if (rule->match & NT_MATCH_CHECKSUMS) {
		w->integrity.l3_ok = w->integrity_mask.l3_ok = 1;
		w->integrity.l4_ok = w->integrity_mask.l4_ok = 1;
		if (rule->family == 4)
			w->integrity.ipv4_csum_ok = w->integrity_mask.ipv4_csum_ok = 1;
		w->integrity.l4_csum_ok = w->integrity_mask.l4_csum_ok = 1;
		item(w, RTE_FLOW_ITEM_TYPE_INTEGRITY, &w->integrity, &w->integrity_mask);
	}
	item(w, RTE_FLOW_ITEM_TYPE_END, NULL, NULL);
	return 0;
}

static void
translate_rewrite_set(struct nt_flow_words *w, const struct nt_flow_rule *rule)
{
	uint32_t what = rule->actions;
	if (what & NT_DO_SET_MACS) {
		put_mac(w->mac[0].mac_addr, rule->set_source_mac);
		put_mac(w->mac[1].mac_addr, rule->set_destination_mac);
		action(w, RTE_FLOW_ACTION_TYPE_SET_MAC_SRC, &w->mac[0]);
		action(w, RTE_FLOW_ACTION_TYPE_SET_MAC_DST, &w->mac[1]);
	}
	for (int side = 0; side < 2; side++) {
		if (!(what & (side ? NT_DO_SET_DESTINATION : NT_DO_SET_SOURCE)))
			continue;
		uint64_t high = side ? rule->set_destination_high : rule->set_source_high;
		uint64_t low = side ? rule->set_destination_low : rule->set_source_low;
		if (rule->family == 4) {
			w->set_ipv4[side].ipv4_addr = rte_cpu_to_be_32((uint32_t)low);
			action(w, side ? RTE_FLOW_ACTION_TYPE_SET_IPV4_DST : RTE_FLOW_ACTION_TYPE_SET_IPV4_SRC, &w->set_ipv4[side]);
		} else {
			put_ipv6(&w->set_ipv6[side].ipv6_addr, high, low);
			action(w, side ? RTE_FLOW_ACTION_TYPE_SET_IPV6_DST : RTE_FLOW_ACTION_TYPE_SET_IPV6_SRC, &w->set_ipv6[side]);
		}
	}
	for (int side = 0; side < 2; side++) {
		if (!(what & (side ? NT_DO_SET_DESTINATION_PORT : NT_DO_SET_SOURCE_PORT)))
			continue;
		w->set_port[side].port = rte_cpu_to_be_16(side ? rule->set_destination_port : rule->set_source_port);
		action(w, side ? RTE_FLOW_ACTION_TYPE_SET_TP_DST : RTE_FLOW_ACTION_TYPE_SET_TP_SRC, &w->set_port[side]);
	}
	if (what & NT_DO_SET_DSCP) {
		w->set_dscp.dscp = rule->set_traffic_class >> 2;
		action(w, rule->family == 4 ? RTE_FLOW_ACTION_TYPE_SET_IPV4_DSCP : RTE_FLOW_ACTION_TYPE_SET_IPV6_DSCP, &w->set_dscp);
	}
	if (what & NT_DO_DECREMENT_TTL)
		action(w, RTE_FLOW_ACTION_TYPE_DEC_TTL, NULL);
	if (what & NT_DO_SET_TTL) {
		w->set_ttl.ttl_value = rule->set_ttl;
		action(w, RTE_FLOW_ACTION_TYPE_SET_TTL, &w->set_ttl);
	}
}

static void
translate_rewrite_modify(struct nt_flow_words *w, const struct nt_flow_rule *rule)
{
	uint32_t what = rule->actions;
	int v4 = rule->family == 4, tcp = rule->protocol == 6;
	uint8_t bytes[16];
	if (what & NT_DO_SET_MACS) {
		put_mac(bytes, rule->set_source_mac);
		modify(w, RTE_FLOW_MODIFY_SET, RTE_FLOW_FIELD_MAC_SRC, bytes, 48);
		put_mac(bytes, rule->set_destination_mac);
		modify(w, RTE_FLOW_MODIFY_SET, RTE_FLOW_FIELD_MAC_DST, bytes, 48);
	}
	for (int side = 0; side < 2; side++) {
		if (!(what & (side ? NT_DO_SET_DESTINATION : NT_DO_SET_SOURCE)))
			continue;
		uint64_t high = side ? rule->set_destination_high : rule->set_source_high;
		uint64_t low = side ? rule->set_destination_low : rule->set_source_low;
		if (v4) {
			rte_be32_t value = rte_cpu_to_be_32((uint32_t)low);
			modify(w, RTE_FLOW_MODIFY_SET, side ? RTE_FLOW_FIELD_IPV4_DST : RTE_FLOW_FIELD_IPV4_SRC, &value, 32);
		} else {
			put_ipv6(bytes, high, low);
			modify(w, RTE_FLOW_MODIFY_SET, side ? RTE_FLOW_FIELD_IPV6_DST : RTE_FLOW_FIELD_IPV6_SRC, bytes, 128);
		}
	}
	for (int side = 0; side < 2; side++) {
		if (!(what & (side ? NT_DO_SET_DESTINATION_PORT : NT_DO_SET_SOURCE_PORT)))
			continue;
		rte_be16_t value = rte_cpu_to_be_16(side ? rule->set_destination_port : rule->set_source_port);
		enum rte_flow_field_id field = tcp ? (side ? RTE_FLOW_FIELD_TCP_PORT_DST : RTE_FLOW_FIELD_TCP_PORT_SRC)
		                                   : (side ? RTE_FLOW_FIELD_UDP_PORT_DST : RTE_FLOW_FIELD_UDP_PORT_SRC);
		modify(w, RTE_FLOW_MODIFY_SET, field, &value, 16);
	}
	if (what & NT_DO_SET_DSCP) {
		uint8_t value = rule->set_traffic_class >> 2;
		modify(w, RTE_FLOW_MODIFY_SET, v4 ? RTE_FLOW_FIELD_IPV4_DSCP : RTE_FLOW_FIELD_IPV6_DSCP, &value, 6);
	}
	if (what & (NT_DO_DECREMENT_TTL | NT_DO_SET_TTL)) {
		uint8_t value = what & NT_DO_SET_TTL ? rule->set_ttl : 1;
		modify(w, what & NT_DO_SET_TTL ? RTE_FLOW_MODIFY_SET : RTE_FLOW_MODIFY_SUB,
		       v4 ? RTE_FLOW_FIELD_IPV4_TTL : RTE_FLOW_FIELD_IPV6_HOPLIMIT, &value, 8);
	}
}

// To software: to the application's own queues, in the words of the rule's domain.
static int
translate_software(struct nt_flow_words *w, uint16_t port, const struct nt_flow_rule *rule, struct nt_flow_error *error)
{
	if (w->attr.transfer && rule->output_kind == NT_OUTPUT_PORT_ID) {
		w->port_id.id = port;
		action(w, RTE_FLOW_ACTION_TYPE_PORT_ID, &w->port_id);
		return 0;
	}
	if (w->attr.transfer) {
		w->ethdev.port_id = port;
		action(w, RTE_FLOW_ACTION_TYPE_PORT_REPRESENTOR, &w->ethdev);
		return 0;
	}
	struct rte_eth_dev_info info;
	if (rte_eth_dev_info_get(port, &info) != 0)
		return nt_flow_fail(error, ENODEV, "no such port");
	unsigned queues = RTE_MIN(info.nb_rx_queues, (unsigned)maximum_rss_queues);
	if (queues <= 1) {
		w->queue.index = 0;
		action(w, RTE_FLOW_ACTION_TYPE_QUEUE, &w->queue);
		return 0;
	}
	for (unsigned i = 0; i < queues; i++)
		w->rss_queues[i] = (uint16_t)i;
	w->rss = (struct rte_flow_action_rss){.queue_num = queues, .queue = w->rss_queues};
	action(w, RTE_FLOW_ACTION_TYPE_RSS, &w->rss);
	return 0;
}

int
nt_flow_translate(struct nt_flow_words *w, uint16_t port, const struct nt_flow_rule *rule, struct nt_flow_error *error)
{
	struct rte_flow_action_handle *counter = w->indirect_counter;
	memset(w, 0, sizeof(*w));
	w->indirect_counter = counter;
	w->attr.group = rule->group;
	w->attr.priority = rule->priority;
	// Marks are made in the NIC's receive domain; what leaves by another port needs the switch domain or a hairpin queue.
	if (rule->output_kind != NT_OUTPUT_HAIRPIN && !(rule->actions & NT_DO_MARK))
		w->attr.transfer = 1;
	else
		w->attr.ingress = 1;
	int failure = translate_match(w, port, rule, error);
	if (failure)
		return failure;
	if (w->indirect_counter != NULL)
		action(w, RTE_FLOW_ACTION_TYPE_INDIRECT, w->indirect_counter);
	else if (rule->actions & NT_DO_COUNT)
		action(w, RTE_FLOW_ACTION_TYPE_COUNT, &w->count);
	if (rule->actions & NT_DO_AGE) {
		w->age.timeout = rule->age_seconds;
		action(w, RTE_FLOW_ACTION_TYPE_AGE, &w->age);
	}
	if (rule->actions & NT_DO_MARK) {
		w->mark.id = rule->mark;
		action(w, RTE_FLOW_ACTION_TYPE_MARK, &w->mark);
	}
	if (rule->dialect == NT_DIALECT_SET)
		translate_rewrite_set(w, rule);
	else
		translate_rewrite_modify(w, rule);
	uint32_t fate = rule->actions & (NT_DO_DROP | NT_DO_OUTPUT | NT_DO_SOFTWARE);
	switch (fate) {
	case NT_DO_DROP:
		action(w, RTE_FLOW_ACTION_TYPE_DROP, NULL);
		break;
	case NT_DO_SOFTWARE:
		failure = translate_software(w, port, rule, error);
		if (failure)
			return failure;
		break;
	case NT_DO_OUTPUT:
		if (rule->output_kind == NT_OUTPUT_HAIRPIN) {
			w->queue.index = rule->output_queue;
			action(w, RTE_FLOW_ACTION_TYPE_QUEUE, &w->queue);
		} else if (rule->output_kind == NT_OUTPUT_PORT_ID) {
			w->port_id.id = rule->output;
			action(w, RTE_FLOW_ACTION_TYPE_PORT_ID, &w->port_id);
		} else {
			w->ethdev.port_id = rule->output;
			action(w, RTE_FLOW_ACTION_TYPE_REPRESENTED_PORT, &w->ethdev);
		}
		break;
	default:
		return nt_flow_fail(error, EINVAL, "a rule has one fate: drop, output or software");
	}
	action(w, RTE_FLOW_ACTION_TYPE_END, NULL);
	return 0;
}

int
nt_flow_describe(uint16_t port, const struct nt_flow_rule *rule, char *text, uint32_t size, struct nt_flow_error *error)
{
	struct nt_flow_words w = {.indirect_counter = NULL};
	int failure = nt_flow_translate(&w, port, rule, error);
	if (failure)
		return failure;
	uint32_t used = (uint32_t)snprintf(text, size, "%s group %u priority %u:", w.attr.transfer ? "transfer" : "ingress", w.attr.group, w.attr.priority);
	for (unsigned i = 0; i + 1 < w.items && used < size; i++) {
		const char *name = NULL;
		rte_flow_conv(RTE_FLOW_CONV_OP_ITEM_NAME_PTR, &name, sizeof(name), (const void *)(uintptr_t)w.pattern[i].type, NULL);
		used += (uint32_t)snprintf(text + used, size - used, " %s", name ? name : "?");
	}
	if (used < size)
		used += (uint32_t)snprintf(text + used, size - used, " /");
	for (unsigned i = 0; i + 1 < w.steps && used < size; i++) {
		const char *name = NULL;
		rte_flow_conv(RTE_FLOW_CONV_OP_ACTION_NAME_PTR, &name, sizeof(name), (const void *)(uintptr_t)w.actions[i].type, NULL);
		used += (uint32_t)snprintf(text + used, size - used, " %s", name ? name : "?");
	}
	return 0;
}

const char *
nt_flow_errno_name(int number)
{
	switch (number) {
	case 0: return "OK";
	case EPERM: return "EPERM";
	case ENOENT: return "ENOENT";
	case EIO: return "EIO";
	case EAGAIN: return "EAGAIN";
	case ENOMEM: return "ENOMEM";
	case EBUSY: return "EBUSY";
	case EEXIST: return "EEXIST";
	case ENODEV: return "ENODEV";
	case EINVAL: return "EINVAL";
	case ENOSPC: return "ENOSPC";
	case ERANGE: return "ERANGE";
	case ENOSYS: return "ENOSYS";
	case EOPNOTSUPP: return "ENOTSUP";
	case ETIMEDOUT: return "ETIMEDOUT";
	case ESTALE: return "ESTALE";
	default: return "errno";
	}
}
