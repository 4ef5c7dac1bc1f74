#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <rte_bus.h>
#include <rte_dev.h>
#include <rte_eth_ring.h>

#include "nt_port.h"

static const struct {
	uint32_t ours;
	uint64_t receive, transmit;
} offload_names[] = {
	{ NT_RX_IPV4_CHECKSUM, RTE_ETH_RX_OFFLOAD_IPV4_CKSUM, 0 },
	{ NT_RX_UDP_CHECKSUM, RTE_ETH_RX_OFFLOAD_UDP_CKSUM, 0 },
	{ NT_RX_TCP_CHECKSUM, RTE_ETH_RX_OFFLOAD_TCP_CKSUM, 0 },
	{ NT_RX_RSS_HASH, RTE_ETH_RX_OFFLOAD_RSS_HASH, 0 },
	{ NT_RX_SCATTER, RTE_ETH_RX_OFFLOAD_SCATTER, 0 },
	{ NT_TX_IPV4_CHECKSUM, 0, RTE_ETH_TX_OFFLOAD_IPV4_CKSUM },
	{ NT_TX_UDP_CHECKSUM, 0, RTE_ETH_TX_OFFLOAD_UDP_CKSUM },
	{ NT_TX_TCP_CHECKSUM, 0, RTE_ETH_TX_OFFLOAD_TCP_CKSUM },
	{ NT_TX_MULTI_SEGMENT, 0, RTE_ETH_TX_OFFLOAD_MULTI_SEGS },
};

// Toeplitz with a key of period 16 bits gives a flow's two directions one hash, on every NIC that has Toeplitz.
static void fill_key(uint8_t key[NT_HASH_KEY_BYTES], uint16_t word)
{
	for (size_t i = 0; i < NT_HASH_KEY_BYTES; i += 2) {
		key[i] = (uint8_t)(word >> 8);
		key[i + 1] = (uint8_t)word;
	}
}

int nt_port_get_info(uint16_t port, struct nt_port_info *info)
{
	struct rte_eth_dev_info device;
	struct rte_ether_addr mac;
	int error = rte_eth_dev_info_get(port, &device);

	if (error != 0)
		return error;
	memset(info, 0, sizeof *info);
	snprintf(info->driver, sizeof info->driver, "%s", device.driver_name);
	rte_eth_dev_get_name_by_port(port, info->name);
	if (rte_eth_macaddr_get(port, &mac) == 0)
		memcpy(info->mac, mac.addr_bytes, 6);
	rte_eth_dev_get_mtu(port, &info->mtu);
	info->min_mtu = device.min_mtu;
	info->max_mtu = device.max_mtu;
	info->min_rx_buffer = device.min_rx_bufsize;
	info->max_frame = device.max_rx_pktlen;
	info->max_rx_queues = device.max_rx_queues;
	info->max_tx_queues = device.max_tx_queues;
	info->max_rx_descriptors = device.rx_desc_lim.nb_max;
	info->max_tx_descriptors = device.tx_desc_lim.nb_max;
	info->socket = rte_eth_dev_socket_id(port);
	for (size_t i = 0; i < RTE_DIM(offload_names); i++) {
		if ((offload_names[i].receive & device.rx_offload_capa) != 0 || (offload_names[i].transmit & device.tx_offload_capa) != 0)
			info->offloads |= offload_names[i].ours;
	}
	info->rss_types = device.flow_type_rss_offloads;
	info->hash_key_bytes = device.hash_key_size;
	info->redirection_entries = device.reta_size;
	info->interface_index = device.if_index;
	info->promiscuous = rte_eth_promiscuous_get(port) == 1;
	info->reports_link = device.dev_flags != NULL && (*device.dev_flags & RTE_ETH_DEV_INTR_LSC) != 0;
	return 0;
}

int nt_port_configure(uint16_t port, struct nt_port_setup *setup, struct rte_mempool *const *pools, const char **step)
{
	struct rte_eth_dev_info device;
	struct rte_eth_conf conf = { 0 };
	uint32_t on = 0;
	uint8_t key[NT_HASH_KEY_BYTES];
	int error;

	*step = "rte_eth_dev_info_get";
	error = rte_eth_dev_info_get(port, &device);
	if (error != 0)
		return error;
	for (size_t i = 0; i < RTE_DIM(offload_names); i++) {
		uint64_t receive = offload_names[i].receive & device.rx_offload_capa;
		uint64_t transmit = offload_names[i].transmit & device.tx_offload_capa;
		if ((setup->offloads & offload_names[i].ours) == 0 || (receive | transmit) == 0)
			continue;
		conf.rxmode.offloads |= receive;
		conf.txmode.offloads |= transmit;
		on |= offload_names[i].ours;
	}
	if (setup->mtu != 0)
		conf.rxmode.mtu = setup->mtu;
	else if (rte_eth_dev_get_mtu(port, &setup->mtu) == 0)
		conf.rxmode.mtu = setup->mtu;

	// With one queue there is nothing to spread, and RSS would only cost.
	uint64_t types = device.flow_type_rss_offloads & (RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP);
	setup->symmetric_rss = setup->symmetric_rss && setup->rx_queues > 1 && types != 0 && device.hash_key_size <= sizeof key;
	if (setup->symmetric_rss) {
		fill_key(key, setup->key_word);
		conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
		conf.rx_adv_conf.rss_conf.rss_key = key;
		conf.rx_adv_conf.rss_conf.rss_key_len = device.hash_key_size != 0 ? device.hash_key_size : 40;
		conf.rx_adv_conf.rss_conf.rss_hf = types;
	} else if ((on & NT_RX_RSS_HASH) != 0) {
		conf.rxmode.offloads &= ~RTE_ETH_RX_OFFLOAD_RSS_HASH;
		on &= ~NT_RX_RSS_HASH;
	}

	*step = "rte_eth_dev_configure";
	error = rte_eth_dev_configure(port, setup->rx_queues, setup->tx_queues, &conf);
	if (error != 0)
		return error;

	*step = "rte_eth_dev_adjust_nb_rx_tx_desc";
	error = rte_eth_dev_adjust_nb_rx_tx_desc(port, &setup->rx_descriptors, &setup->tx_descriptors);
	if (error != 0)
		return error;

	int socket = rte_eth_dev_socket_id(port);
	*step = "rte_eth_rx_queue_setup";
	for (uint16_t queue = 0; queue < setup->rx_queues; queue++) {
		struct rte_eth_rxconf receive = device.default_rxconf;
		receive.offloads = conf.rxmode.offloads;
		error = rte_eth_rx_queue_setup(port, queue, setup->rx_descriptors, (unsigned)socket, &receive, pools[queue]);
		if (error != 0)
			return error;
	}
	*step = "rte_eth_tx_queue_setup";
	for (uint16_t queue = 0; queue < setup->tx_queues; queue++) {
		struct rte_eth_txconf transmit = device.default_txconf;
		transmit.offloads = conf.txmode.offloads;
		error = rte_eth_tx_queue_setup(port, queue, setup->tx_descriptors, (unsigned)socket, &transmit);
		if (error != 0)
			return error;
	}
	if (setup->promiscuous)
		setup->promiscuous = rte_eth_promiscuous_enable(port) == 0;
	setup->offloads = on;
	*step = "";
	return 0;
}

int nt_port_get_spread(uint16_t port, uint16_t queues, uint16_t key_word, struct nt_port_spread *spread, const char **step)
{
	struct rte_eth_dev_info device;
	struct rte_eth_rss_reta_entry64 table[NT_REDIRECTION_ENTRIES / RTE_ETH_RETA_GROUP_SIZE];
	uint8_t wanted[NT_HASH_KEY_BYTES];
	struct rte_eth_rss_conf conf = { .rss_key = spread->key, .rss_key_len = sizeof spread->key };
	int error;

	memset(spread, 0, sizeof *spread);
	*step = "rte_eth_dev_info_get";
	error = rte_eth_dev_info_get(port, &device);
	if (error != 0)
		return error;
	*step = "rte_eth_dev_rss_hash_conf_get";
	if (device.hash_key_size > sizeof spread->key)
		return -E2BIG;
	spread->key_bytes = device.hash_key_size != 0 ? (uint8_t)device.hash_key_size : 40;
	conf.rss_key_len = spread->key_bytes;
	error = rte_eth_dev_rss_hash_conf_get(port, &conf);
	if (error != 0)
		return error;
	// Some drivers take the key here and not when they are configured.
	fill_key(wanted, key_word);
	if (memcmp(spread->key, wanted, spread->key_bytes) != 0 || conf.rss_hf == 0) {
		struct rte_eth_rss_conf ours = { .rss_key = wanted, .rss_key_len = spread->key_bytes };
		ours.rss_hf = device.flow_type_rss_offloads & (RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP);
		if (rte_eth_dev_rss_hash_update(port, &ours) == 0) {
			error = rte_eth_dev_rss_hash_conf_get(port, &conf);
			if (error != 0)
				return error;
		}
	}
	spread->ipv4_tcp = (conf.rss_hf & RTE_ETH_RSS_NONFRAG_IPV4_TCP) != 0;
	spread->ipv4_udp = (conf.rss_hf & RTE_ETH_RSS_NONFRAG_IPV4_UDP) != 0;
	spread->ipv6_tcp = (conf.rss_hf & RTE_ETH_RSS_NONFRAG_IPV6_TCP) != 0;
	spread->ipv6_udp = (conf.rss_hf & RTE_ETH_RSS_NONFRAG_IPV6_UDP) != 0;

	*step = "rte_eth_dev_rss_reta_query";
	if (device.reta_size == 0 || device.reta_size > NT_REDIRECTION_ENTRIES)
		return -ENOTSUP;
	memset(table, 0, sizeof table);
	for (uint16_t i = 0; i < device.reta_size; i++) {
		table[i / RTE_ETH_RETA_GROUP_SIZE].mask |= UINT64_C(1) << i % RTE_ETH_RETA_GROUP_SIZE;
		table[i / RTE_ETH_RETA_GROUP_SIZE].reta[i % RTE_ETH_RETA_GROUP_SIZE] = i % queues;
	}
	// Where the table cannot be written it is the driver's, and read back all the same.
	(void)rte_eth_dev_rss_reta_update(port, table, device.reta_size);
	error = rte_eth_dev_rss_reta_query(port, table, device.reta_size);
	if (error != 0)
		return error;
	for (uint16_t i = 0; i < device.reta_size; i++)
		spread->queues[i] = table[i / RTE_ETH_RETA_GROUP_SIZE].reta[i % RTE_ETH_RETA_GROUP_SIZE];
	spread->entries = device.reta_size;
	*step = "";
	return 0;
}

int nt_port_get_link(uint16_t port, struct nt_port_link *link)
{
	struct rte_eth_link state;
	int error = rte_eth_link_get_nowait(port, &state);

	if (error != 0)
		return error;
	link->megabits = state.link_speed;
	link->up = state.link_status == RTE_ETH_LINK_UP;
	link->full_duplex = state.link_duplex == RTE_ETH_LINK_FULL_DUPLEX;
	return 0;
}

int nt_port_matching(const char *device, uint16_t *ports, int capacity)
{
	struct rte_dev_iterator iterator;
	uint16_t port;
	int count = 0;

	RTE_ETH_FOREACH_MATCHING_DEV(port, device, &iterator) {
		if (count == capacity) {
			rte_eth_iterator_cleanup(&iterator);
			break;
		}
		ports[count++] = port;
	}
	return count;
}

int nt_port_probe(const char *device)
{
	return rte_dev_probe(device);
}

int nt_port_remove(uint16_t port)
{
	struct rte_eth_dev_info device;
	int error = rte_eth_dev_info_get(port, &device);

	if (error != 0)
		return error;
	error = rte_eth_dev_close(port);
	if (error != 0)
		return error;
	// A device with further ports (representors) stays until the last one is closed.
	if (device.device == NULL || nt_port_matching(rte_dev_name(device.device), &(uint16_t){ 0 }, 1) > 0)
		return 0;
	return rte_dev_remove(device.device);
}

int nt_port_from_rings(const char *name, struct rte_ring *const *receive, struct rte_ring *const *transmit, unsigned int queues, int socket)
{
	int port = rte_eth_from_rings(name, receive, queues, transmit, queues, (unsigned)socket);
	return port >= 0 ? port : (rte_errno != 0 ? -rte_errno : -EIO);
}

int nt_port_set_mac(uint16_t port, const uint8_t *mac)
{
	struct rte_ether_addr address;
	memcpy(address.addr_bytes, mac, 6);
	return rte_eth_dev_default_mac_addr_set(port, &address);
}

const void *nt_port_add_rx_callback(uint16_t port, uint16_t queue, nt_rx_callback callback, void *context)
{
	return rte_eth_add_rx_callback(port, queue, callback, context);
}

int nt_port_remove_rx_callback(uint16_t port, uint16_t queue, const void *callback)
{
	return rte_eth_remove_rx_callback(port, queue, callback);
}

int nt_interface_mtu(unsigned int index)
{
	struct ifreq request;
	int handle, mtu = 0;

	memset(&request, 0, sizeof(request));
	if (if_indextoname(index, request.ifr_name) == NULL)
		return 0;
	handle = socket(AF_INET, SOCK_DGRAM, 0);
	if (handle < 0)
		return 0;
	if (ioctl(handle, SIOCGIFMTU, &request) == 0)
		mtu = request.ifr_mtu;
	close(handle);
	return mtu;
}
