// What rte_flow is handed for one rule, shared by the translation (flow_rule.c) and its use (flow_rule_driver.c).
#ifndef NEEDLETAIL_FLOW_RULE_WORDS_H
#define NEEDLETAIL_FLOW_RULE_WORDS_H
#include "flow_rule.h"
#include <rte_flow.h>
#include <rte_version.h>

#if RTE_VERSION >= RTE_VERSION_NUM(24, 3, 0, 0)
typedef struct rte_flow_field_data modify_data;
#else
typedef struct rte_flow_action_modify_data modify_data;
#endif

enum { maximum_items = 10, maximum_actions = 20, maximum_rss_queues = 64 };

struct nt_flow_words {
	struct rte_flow_action_handle *indirect_counter;
	struct rte_flow_attr attr;
	struct rte_flow_item pattern[maximum_items];
	struct rte_flow_action actions[maximum_actions];
	unsigned items, steps;
	struct rte_flow_item_ethdev ingress;
	struct rte_flow_item_eth eth, eth_mask;
	struct rte_flow_item_vlan vlan[2], vlan_mask[2];
	struct rte_flow_item_ipv4 ipv4, ipv4_mask;
	struct rte_flow_item_ipv6 ipv6, ipv6_mask;
	struct rte_flow_item_tcp tcp, tcp_mask;
	struct rte_flow_item_udp udp, udp_mask;
	struct rte_flow_item_integrity integrity, integrity_mask;
	struct rte_flow_action_count count;
	struct rte_flow_action_age age;
	struct rte_flow_action_mark mark;
	struct rte_flow_action_set_mac mac[2];
	struct rte_flow_action_set_ipv4 set_ipv4[2];
	struct rte_flow_action_set_ipv6 set_ipv6[2];
	struct rte_flow_action_set_tp set_port[2];
	struct rte_flow_action_set_ttl set_ttl;
	struct rte_flow_action_set_dscp set_dscp;
	struct rte_flow_action_modify_field modify[9];
	unsigned modifies;
	struct rte_flow_action_ethdev ethdev;
	struct rte_flow_action_port_id port_id;
	struct rte_flow_action_queue queue;
	struct rte_flow_action_rss rss;
	uint16_t rss_queues[maximum_rss_queues];
};

// Fills `words` from the rule; `words->indirect_counter` is the caller's. Returns 0 or an errno with text.
int nt_flow_translate(struct nt_flow_words *words, uint16_t port, const struct nt_flow_rule *rule, struct nt_flow_error *error);
// Fills `error` and returns `number`.
int nt_flow_fail(struct nt_flow_error *error, int number, const char *text);
#endif
