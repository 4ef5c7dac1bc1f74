// net_af_packet without the kernel's defragmentation.
//
// DPDK's net_af_packet puts every socket into a fanout group with PACKET_FANOUT_FLAG_DEFRAG, so Linux holds IPv4 fragments
// back and hands out whole datagrams (larger ones than the port's buffers take, which the driver then drops). A router
// has to see the packets that are on the wire: rules match fragments, reassembly has bounds and counters of its own, and
// the pieces leave as they came. The driver has no setting for it (22.11), so this definition takes the place of libc's in
// the executable and clears that one flag of that one socket option; all else goes to the kernel as it is.
//
// The executable exports the symbol (Package.swift, --export-dynamic-symbol): drivers are loaded as plugins and find
// it before libc's.
#define _GNU_SOURCE
#include <linux/if_packet.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

__attribute__((visibility("default"))) int setsockopt(int socket, int level, int name, const void *value, socklen_t length) {
    int fanout;
    if (level == SOL_PACKET && name == PACKET_FANOUT && length == sizeof fanout && value != NULL) {
        memcpy(&fanout, value, sizeof fanout);
        fanout &= ~(PACKET_FANOUT_FLAG_DEFRAG << 16);
        value = &fanout;
    }
    return (int)syscall(SYS_setsockopt, socket, level, name, value, length);
}
