// Ethernet devices. Two flat structs take the place of rte_eth_dev_info and rte_eth_conf, whose unions and bit-fields
// Swift does not import.
#ifndef NEEDLETAIL_NT_PORT_H
#define NEEDLETAIL_NT_PORT_H

#include <stdbool.h>
#include <stdint.h>
#include <rte_ethdev.h>

// Offloads that Needletail knows what to do with.
#define NT_RX_IPV4_CHECKSUM 0x01u
#define NT_RX_UDP_CHECKSUM 0x02u
#define NT_RX_TCP_CHECKSUM 0x04u
#define NT_RX_RSS_HASH 0x08u
#define NT_TX_IPV4_CHECKSUM 0x10u
#define NT_TX_UDP_CHECKSUM 0x20u
#define NT_TX_TCP_CHECKSUM 0x40u
#define NT_TX_MULTI_SEGMENT 0x80u
#define NT_RX_SCATTER 0x100u

struct nt_port_info {
	char driver[32];
	char name[RTE_ETH_NAME_MAX_LEN];
	uint8_t mac[6];
	uint16_t mtu, min_mtu, max_mtu;
	uint32_t min_rx_buffer, max_frame;
	uint16_t max_rx_queues, max_tx_queues;
	uint16_t max_rx_descriptors, max_tx_descriptors;
	int32_t socket;             // NUMA node, or -1
	uint32_t offloads;          // NT_* that the device offers
	uint64_t rss_types;         // RTE_ETH_RSS_* that it hashes
	uint16_t hash_key_bytes, redirection_entries;
	uint32_t interface_index;   // of the host interface below it (net_tap, net_af_packet), or 0
	bool promiscuous, reports_link;
};

#define NT_HASH_KEY_BYTES 64
#define NT_REDIRECTION_ENTRIES 4096

struct nt_port_setup {
	uint16_t rx_queues, tx_queues;
	uint16_t rx_descriptors, tx_descriptors; // wanted; set to what the device took
	uint16_t mtu;                            // 0: leave alone
	uint32_t offloads;                       // wanted NT_*; set to what is on
	bool symmetric_rss;                      // wanted; set to whether it is on
	uint16_t key_word;                       // 16 bits that the RSS key repeats
	bool promiscuous;                        // wanted; set to whether it is on
};

// How a device spreads what it receives over its queues.
struct nt_port_spread {
	uint8_t key[NT_HASH_KEY_BYTES];
	uint8_t key_bytes;
	bool ipv4_tcp, ipv4_udp, ipv6_tcp, ipv6_udp; // kinds of which ports are part of the hash
	uint16_t entries;                            // of the redirection table
	uint16_t queues[NT_REDIRECTION_ENTRIES];
};

struct nt_port_link {
	uint32_t megabits;
	bool up, full_duplex;
};

int nt_port_get_info(uint16_t port, struct nt_port_info *info);
// Configures a stopped port with its queues, all receive queues fed from `pools[queue]`. On failure `*step` names the
// DPDK function that refused.
int nt_port_configure(uint16_t port, struct nt_port_setup *setup, struct rte_mempool *const *pools, const char **step);
// Of a started port with symmetric RSS: writes the key and an even redirection table where the driver did not take them yet, and reads
// both back. On failure `*step` names the DPDK function that refused.
int nt_port_get_spread(uint16_t port, uint16_t queues, uint16_t key_word, struct nt_port_spread *spread, const char **step);
int nt_port_get_link(uint16_t port, struct nt_port_link *link);
// The ports behind one device string, in order; their number, at most `capacity`.
int nt_port_matching(const char *device, uint16_t *ports, int capacity);
// Probes a device ("0000:01:00.0", "net_null0,size=64").
int nt_port_probe(const char *device);
// Closes the port and removes its device.
int nt_port_remove(uint16_t port);
// One port on rings of mbufs, two a queue: what is enqueued to `receive` is received, what is sent comes out of `transmit`.
int nt_port_from_rings(const char *name, struct rte_ring *const *receive, struct rte_ring *const *transmit, unsigned int queues, int socket);
int nt_port_set_mac(uint16_t port, const uint8_t *mac);
// MTU of a host interface by its index, in bytes, or 0.
int nt_interface_mtu(unsigned int index);

typedef uint16_t (*nt_rx_callback)(uint16_t port, uint16_t queue, struct rte_mbuf **packets, uint16_t count, uint16_t capacity, void *context);
// NULL and nt_errno() on failure. The callback runs in the worker, after each burst, and may take packets away.
const void *nt_port_add_rx_callback(uint16_t port, uint16_t queue, nt_rx_callback callback, void *context);
// The callback may still be running: free nothing of it before the worker was quiescent.
int nt_port_remove_rx_callback(uint16_t port, uint16_t queue, const void *callback);

static inline uint16_t nt_rx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **packets, uint16_t n) { return rte_eth_rx_burst(port, queue, packets, n); }
static inline uint16_t nt_tx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **packets, uint16_t n) { return rte_eth_tx_burst(port, queue, packets, n); }

#endif
