"""Linux's connections and expectations by netlink: every field that the kernel tells, in packet-engine's form."""
import socket
import struct

NETLINK_NETFILTER, NFNL_SUBSYS_CTNETLINK, NFNL_SUBSYS_EXPECT, GET, DELETE = 12, 1, 2, 1, 2
REQUEST_DUMP, REQUEST_ACK = 0x301, 5
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


class Netlink:
    """One socket for a process's life, opened in its network namespace: to close one costs milliseconds."""
    opened = None

    @classmethod
    def ask(cls, kind, flags, attributes=b"", family=socket.AF_UNSPEC):
        """The answers to a request: [(type, body)]; none if it is refused."""
        if cls.opened is None:
            cls.opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
        cls.opened.send(struct.pack("=IHHIIBBH", 20 + len(attributes), kind, flags, 1, 0, family, 0, 0) + attributes)
        answers = []
        while True:
            data, at = cls.opened.recv(1 << 18), 0
            while at + 16 <= len(data):
                length, kind = struct.unpack_from("=IH", data, at)
                if kind in (2, 3):
                    return answers
                answers.append((kind, data[at + 16:at + length]))
                at += length + 3 & ~3


def attribute(kind, value, nested=False):
    return struct.pack("=HH", 4 + len(value), kind | (0x8000 if nested else 0)) + value + b"\0" * (-len(value) % 4)


def chosen(source, destination, protocol, sport, dport, zone=0):
    """The source and the destination port that NAT gave the connection with this original tuple (addresses packed); None if there is none."""
    six = len(source) == 16
    addresses = attribute(3 if six else 1, source) + attribute(4 if six else 2, destination)
    ports = attribute(1, bytes([protocol]))
    if protocol in (1, 58):
        first = 4 if protocol == 1 else 7
        kind, code = dport >> 8, dport & 0xFF
        ports += attribute(first, struct.pack("!H", sport)) + attribute(first + 1, bytes([kind])) + attribute(first + 2, bytes([code]))
    else:
        ports += attribute(2, struct.pack("!H", sport)) + attribute(3, struct.pack("!H", dport))
    request = attribute(1, attribute(1, addresses, True) + attribute(2, ports, True), True) + (attribute(18, struct.pack("!H", zone)) if zone else b"")
    for kind, body in Netlink.ask(NFNL_SUBSYS_CTNETLINK << 8 | GET, REQUEST_ACK, request, socket.AF_INET6 if six else socket.AF_INET):
        # Linux finds a connection by its reply as well.
        original = attributes(attributes(attributes(body[4:])[1]).get(1, b""))
        if source not in original.values() or original.get(3 if six else 1) != source:
            continue
        proto = attributes(attributes(attributes(body[4:])[2]).get(2, b""))
        if protocol in (1, 58):
            return (number(proto.get(4 if protocol == 1 else 7)),) * 2
        return number(proto.get(3)), number(proto.get(2))
    return None


def dump(subsystem):
    """The attributes of every object."""
    return [attributes(body[4:]) for _, body in Netlink.ask(subsystem << 8 | GET, REQUEST_DUMP)]


def flush():
    """Forgets every connection and expectation."""
    for subsystem in (NFNL_SUBSYS_EXPECT, NFNL_SUBSYS_CTNETLINK):
        Netlink.ask(subsystem << 8 | DELETE, REQUEST_ACK)


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
    for fields in dump(NFNL_SUBSYS_CTNETLINK):
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
    for fields in dump(NFNL_SUBSYS_EXPECT):
        expected, protocol = ends(fields[2])
        mask, _ = ends(fields[3])
        master, _ = ends(fields[1])
        lines.append("%d %s mask %s master %s seconds=%d" % (protocol, expected, mask, master, number(fields.get(4))))
    return sorted(lines)
