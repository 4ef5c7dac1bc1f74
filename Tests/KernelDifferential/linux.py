"""Linux itself as the engine: this process moves into a network namespace of its own, with two TAP devices as ports.

A write to a TAP device takes the frame through the whole stack before it returns, so that what comes out can be read at
once: no silence to wait for."""
import ctypes
import fcntl
import os
import re
import select
import struct
import subprocess
import time

import ctnetlink
import frames

CLONE_NEWNET, TUNSETIFF, TAP_NO_PI = 0x40000000, 0x400454CA, 0x1002
NFT_CTX_OUTPUT_HANDLE = 1 << 3
SETTINGS = """ipv4/ip_forward=1 ipv6/conf/all/forwarding=1 ipv4/conf/all/rp_filter=0 ipv4/conf/default/rp_filter=0 ipv4/icmp_ratelimit=0
ipv6/icmp/ratelimit=0 ipv4/conf/all/send_redirects=0 ipv4/conf/default/send_redirects=0 ipv4/icmp_msgs_per_sec=1000000 ipv4/icmp_msgs_burst=1000000
ipv4/ipfrag_time=100000 ipv6/ip6frag_time=100000 netfilter/nf_conntrack_frag6_timeout=100000
ipv4/ipfrag_high_thresh=200000000 ipv6/ip6frag_high_thresh=200000000 netfilter/nf_conntrack_frag6_high_thresh=200000000
ipv6/conf/default/mldv2_unsolicited_report_interval=1 ipv6/conf/default/mldv1_unsolicited_report_interval=1
ipv6/conf/default/accept_dad=0 ipv6/conf/all/accept_dad=0 ipv6/conf/default/router_solicitations=0 netfilter/nf_conntrack_acct=1"""


# What would become a connection if any were tracked.
PROBES = [frames.frame("A2", "r0", frames.packet(host + "2", far + "2", 17, frames.udp(9, 9))) for host, far in (("10.0.1.", "10.0.2."), ("fd00:1::", "fd00:2::"))]


class Unavailable(Exception):
    pass


class NFT:
    """nft itself as a library in this process: a hundred times faster than a process for each command."""

    def __init__(self):
        try:
            self.library = ctypes.CDLL("libnftables.so.1")
        except OSError as error:
            raise Unavailable("no libnftables: %s" % error)
        for name in ("nft_ctx_new", "nft_ctx_get_output_buffer", "nft_ctx_get_error_buffer"):
            getattr(self.library, name).restype = ctypes.c_void_p
        # Only what is read from a file is told by lines in errors.
        self.file = os.memfd_create("stdin:")
        self.context = None
        self.open()

    def open(self):
        if self.context:
            self.library.nft_ctx_free(self.context)
        self.context = ctypes.c_void_p(self.library.nft_ctx_new(0))
        self.library.nft_ctx_buffer_output(self.context)
        self.library.nft_ctx_buffer_error(self.context)
        self.library.nft_ctx_output_set_flags(self.context, NFT_CTX_OUTPUT_HANDLE)

    def run(self, text):
        """(what it printed, its errors)"""
        if text.startswith("reset"):
            # It would print what an earlier command has left in the cache.
            self.open()
        os.ftruncate(self.file, 0)
        os.pwrite(self.file, text.encode(), 0)
        self.library.nft_run_cmd_from_filename(self.context, b"/proc/self/fd/%d" % self.file)
        read = lambda name: ctypes.string_at(getattr(self.library, name)(self.context)).decode(errors="replace")
        return read("nft_ctx_get_output_buffer"), read("nft_ctx_get_error_buffer").replace("/proc/self/fd/%d:" % self.file, "stdin:")


def run(*words):
    return subprocess.run(words, capture_output=True, text=True)


def setting(name, value):
    try:
        with open("/proc/sys/net/" + name, "w") as file:
            file.write(value)
    except OSError:
        pass


class Linux:
    name = "Linux"

    def __init__(self):
        if os.geteuid() != 0:
            raise Unavailable("needs root")
        for tool in ("ip",):
            if not any(os.access(os.path.join(p, tool), os.X_OK) for p in os.environ.get("PATH", "").split(":") + ["/usr/sbin", "/sbin"]):
                raise Unavailable("no " + tool)
        os.environ["PATH"] += ":/usr/sbin:/sbin"
        if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET):
            raise Unavailable("no network namespace to be had")
        self.rules = NFT()
        for words in SETTINGS.split():
            setting(*words.split("="))
        self.taps, self.learned = [], False
        for port, last in ((0, 0x0A), (1, 0x0B)):
            try:
                tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
                fcntl.ioctl(tap, TUNSETIFF, struct.pack("16sH22x", b"r%d" % port, TAP_NO_PI))
            except OSError as error:
                raise Unavailable("no TAP device: %s" % error)
            self.taps.append(tap)
            commands = ["link set lo up", "link set r%d address 02:00:00:00:%02x:01 addrgenmode none" % (port, last), "link set r%d up" % port,
                        "addr add 10.0.%d.1/24 dev r%d" % (port + 1, port), "addr add fd00:%d::1/64 dev r%d nodad" % (port + 1, port)]
            for host in (2, 3):
                mac = "02:00:00:00:%02x:%02x" % (last, host)
                # The other network's hosts, too: where rules send them, nobody waits for an address to be resolved.
                for where in ("10.0.1.%d" % host, "10.0.2.%d" % host, "fd00:1::%d" % host, "fd00:2::%d" % host):
                    commands.append("neigh replace %s lladdr %s dev r%d nud permanent" % (where, mac, port))
            for command in commands:
                run("ip", *command.split())
            for name in ("ipv4/conf/r%d/rp_filter", "ipv4/conf/r%d/send_redirects"):
                setting(name % port, "0")
            # What waits for a neighbour that there is not waits beyond the dialogue: no error in the midst of another.
            for family in ("ipv4", "ipv6"):
                setting("%s/neigh/r%d/retrans_time_ms" % (family, port), "100000000")
        run("ip", "route", "add", "default", "via", "10.0.2.2")
        run("ip", "-6", "route", "add", "default", "via", "fd00:2::2")
        self.drain(0.3)

    def drain(self, quiet=0.0):
        out = []
        while True:
            ready, _, _ = select.select(self.taps, [], [], quiet)
            if not ready:
                return out
            for port, tap in enumerate(self.taps):
                while tap in ready:
                    try:
                        out.append((port, os.read(tap, 65536)))
                    except BlockingIOError:
                        break

    def load(self, text, seed=1):
        self.rules.run("flush ruleset")
        # The old rules' hold on connection tracking ends some time later, by a kernel thread.
        for _ in range(2000):
            for probe in PROBES:
                os.write(self.taps[0], probe)
            if not ctnetlink.connections():
                break
            ctnetlink.flush()
            time.sleep(0.001)
        errors = self.rules.run(text)[1]
        self.translates, self.zones = "type nat" in text, (0, 1, 2) if "zone set" in text else (0,)
        # Path MTUs learned from the last dialogue's ICMP errors.
        for family in ("ipv4", "ipv6"):
            setting(f"{family}/route/flush", "1")
        if self.learned:
            # IPv6 keeps what it learned through the setting.
            run("ip", "-6", "route", "flush", "cache")
            self.learned = False
        self.drain(0.0)
        self.moments, self.stall = [time.monotonic_ns()], 0
        return errors

    def send(self, data, port, advance):
        """What comes out. `moments` tells when each frame went in, `stall` how inexactly that is known at worst (ns)."""
        # Shorter than that, time is not waited for.
        if advance >= 10_000_000:
            time.sleep(advance / 1e9)
        # An ICMPv6 error that packets are too big.
        self.learned |= data[12:14] == b"\x86\xdd" and data[54:55] == b"\2"
        self.moments.append(time.monotonic_ns())
        try:
            os.write(self.taps[port], data)
        except OSError:
            return []
        self.stall = max(self.stall, time.monotonic_ns() - self.moments[-1])
        return self.drain(0.0)

    def chosen(self, data):
        """The ports that NAT gave the connection of a frame that was sent; None if it has none that can be found."""
        found = frames.ends(data) if self.translates else None
        if not found:
            return None
        if found[0] in (1, 58):
            found = found[:4] + ({1: 8 << 8, 58: 128 << 8}[found[0]],)
        for zone in self.zones:
            ports = ctnetlink.chosen(found[1], found[2], found[0], found[3], found[4], zone)
            if ports:
                return ports
        return None

    def late(self):
        """What comes out yet: a kernel thread may have taken over from a write."""
        return self.drain(0.05)

    def nft(self, text):
        return "".join(self.rules.run(text)).strip()

    def listing(self):
        text = self.rules.run("list ruleset")[0]
        # nft 1.0.6 keeps the elements of meters to another command; in newer ones they are sets.
        return text + re.sub(r"^\tmeter ", "\tset ", self.rules.run("list meters")[0], flags=re.M) if "meter " in text else text

    def connections(self):
        return ctnetlink.connections()

    def expectations(self):
        return ctnetlink.expectations()


UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1, "ms": 0}


def seconds(text):
    return sum(int(count) * UNITS[unit] for count, unit in re.findall(r"(\d+)(ms|[dhms])", text))


def state(text):
    """What packets changed in a listing, a line each: counters, quotas, and the elements of the sets that packets fill. How the
    rules themselves are spelled differs between versions of nft."""
    where, result, number = ["", ""], [], 0
    text = re.sub(r"elements = \{[^{}]*\}", lambda match: " ".join(match.group(0).split()), text)
    for line in text.splitlines():
        words = line.split()
        if not words or words[0] == "}":
            continue
        if line[0] != "\t":
            where = [" ".join(words[:3]), ""]
        elif line[1] != "\t":
            where[1], number = " ".join(words[:2]), 0
        elif words[0] == "elements":
            for element in line[line.index("{") + 1:line.rindex("}")].split(","):
                # Linux takes an element with `ct count` out some time after its last connection has gone.
                if "ct count" in element:
                    continue
                left = re.search(r" expires ([0-9a-z]+)", element)
                text = re.sub(r" (expires|timeout) [0-9a-z]+", "", element).strip()
                result.append("%s: %s%s" % (" ".join(where), text, " seconds=%d" % seconds(left.group(1)) if left else ""))
        else:
            number += 1
            found = re.findall(r"counter packets \d+ bytes \d+|^\s*packets \d+ bytes \d+|used \d+ \w*bytes", line)
            if found:
                result.append("%s line %d: %s" % (" ".join(where), number, ", ".join(f.strip() for f in found)))
    return "\n".join(sorted(result))
