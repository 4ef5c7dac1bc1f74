"""Linux's connections and expectations by netlink: every field that the kernel tells, in packet-engine's form."""
import socket
import struct

NETLINK_NETFILTER, NFNL_SUBSYS_CTNETLINK, NFNL_SUBSYS_EXPECT, GET = 12, 1, 2, 1
REQUEST_DUMP = 0x301
# Bits of IPS_* that both engines have: the rest (dying, offload, ...) is Linux's housekeeping.
STATUS = 0x1 | 0x2 | 0x4 | 0x8 | 0x10 | 0x20 | 0x40 | 0x80 | 0x100 | 0x400 | 0x2000
TCP_STATES = ["NONE", "SYN_SENT", "SYN_RECV", "ESTABLISHED", "FIN_WAIT", "CLOSE_WAIT", "LAST_ACK", "TIME_WAIT", "CLOSE", "SYN_SENT2"]


def attributes(data):
    result, at = {}, 0
    while at + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, at)
        if length < 4:
            break
        result[kind & 0x3FFF] = data[at + 4:at + length]
        at += length + 3 & ~3
    return result


def number(value):
    return int.from_bytes(value or b"\0", "big")


def dump(subsystem):
    """The attributes of every object, with its family."""
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
    sock.send(struct.pack("=IHHIIBBH", 20, subsystem << 8 | GET, REQUEST_DUMP, 1, 0, socket.AF_UNSPEC, 0, 0))
    objects = []
    while True:
        data, at = sock.recv(1 << 18), 0
        while at + 16 <= len(data):
            length, kind = struct.unpack_from("=IH", data, at)
            if kind in (2, 3):
                sock.close()
                return objects
            objects.append((data[at + 16], attributes(data[at + 20:at + length])))
            at += length + 3 & ~3


def ends(data, mask=False):
    """A tuple's text, and its protocol."""
    tuple_ = attributes(data)
    ip, proto = attributes(tuple_.get(1, b"")), attributes(tuple_.get(2, b""))
    source, destination = (ip[1], ip[2]) if 1 in ip else (ip[3], ip[4])
    family = socket.AF_INET if len(source) == 4 else socket.AF_INET6
    protocol = number(proto.get(1))
    sport, dport = number(proto.get(2)), number(proto.get(3))
    if protocol == 1:
        sport, dport = number(proto.get(4)), number(proto.get(5)) << 8 | number(proto.get(6))
    elif protocol == 58:
        sport, dport = number(proto.get(7)), number(proto.get(8)) << 8 | number(proto.get(9))
    zone = number(tuple_.get(3))
    return ("zone=%d " % zone if zone else "") + "src=%s dst=%s sport=%d dport=%d" % (socket.inet_ntop(family, source), socket.inet_ntop(family, destination), sport, dport), protocol


def connections():
    lines = []
    for _, fields in dump(NFNL_SUBSYS_CTNETLINK):
        sides = []
        for tuple_, counters in ((1, 9), (2, 10)):
            text, protocol = ends(fields[tuple_])
            counted = attributes(fields.get(counters, b""))
            sides.append("%s packets=%d bytes=%d" % (text, number(counted.get(1)), number(counted.get(2))))
        state = "-"
        if protocol == 6:
            state = TCP_STATES[number(attributes(attributes(fields.get(4, b"")).get(1, b"")).get(1))]
        status = number(fields.get(3)) & STATUS
        known = "A" if status & 4 else "R" if status & 2 else "U"
        labels = fields.get(22, b"\0" * 16).ljust(16, b"\0")
        low, high = struct.unpack("=QQ", labels[:16])
        helper = attributes(fields.get(5, b"")).get(1, b"").rstrip(b"\0").decode()
        lines.append("%d %s %s | %s %s mark=%d zone=%d labels=%d,%d status=%d helper=%s seconds=%d" % (
            protocol, state, sides[0], sides[1], known, number(fields.get(8)), number(fields.get(18)), high, low, status, helper, number(fields.get(7))))
    return sorted(lines)


def expectations():
    lines = []
    for _, fields in dump(NFNL_SUBSYS_EXPECT):
        expected, protocol = ends(fields[2])
        mask, _ = ends(fields[3])
        master, _ = ends(fields[1])
        lines.append("%d %s mask %s master %s seconds=%d" % (protocol, expected, mask, master, number(fields.get(4))))
    return sorted(lines)
