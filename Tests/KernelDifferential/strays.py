"""Frames that belong to no conversation, or only nearly to one: addresses that are nobody's or everybody's, the router's own, odd protocols,
odd options, extension headers in any order, headers with one field wrong.

Left out: timestamps, since they tell the clock; ICMP redirects, since they teach the router; ff05::2, and what comes from a subnet's
broadcast or anycast address or from nobody, to which Linux listens over lo itself (docs/nft.md)."""
import random
import struct

import frames as f

MACS = {"all": bytes.fromhex("ffffffffffff"), "group": bytes.fromhex("01005e000005"), "group6": bytes.fromhex("333300000002"), "other": bytes.fromhex("020000000c09")}
f.MAC.update(MACS)
ODD4 = ["127.0.0.1", "0.0.0.0", "255.255.255.255", "224.0.0.1", "224.0.0.5", "239.1.2.3", "240.0.0.1", "10.0.1.255", "10.0.2.255", "10.0.1.0", "169.254.1.1", "10.0.1.1", "10.0.2.1", "0.1.2.3", "198.51.100.9"]
ODD6 = ["::1", "::", "ff02::1", "ff02::2", "ff02::1:ff00:2", "ff0e::5", "ff01::1", "fe80::1", "fd00:1::1", "fd00:2::1", "fd00:1::", "::ffff:10.0.2.2", "2001:db8::99", "ff05::77"]
GOOD4 = ["10.0.1.2", "10.0.1.3", "10.0.2.2", "10.0.2.3", "192.0.2.7", "10.0.1.1", "10.0.2.1"]
GOOD6 = ["fd00:1::2", "fd00:1::3", "fd00:2::2", "fd00:2::3", "2001:db8::7", "fd00:1::1", "fd00:2::1"]
OPTIONS4 = [b"\x07\x07\x04\0\0\0\0", b"\x07\x03\x04", b"\x44\x08\x09\x01\0\0\0\0", b"\x83\x07\x04\x0a\0\x02\x02", b"\x89\x07\x04\x0a\0\x02\x02", b"\x94\x04\0\0", b"\x94\x04\0\1", b"\x82\x0b" + b"\0" * 9, b"\x99\x04\1\2",
            b"\x07\x00\x04", b"\x07\x60\x04", b"\0\0\0\0", b"\x01\x01\x01\x01", b"\x83\x07\x08\x0a\0\x02\x02", b"\x86\x06\0\0\0\1"]
OPTIONS6 = [b"\1\4\0\0\0\0", b"\0\0\0\0\0\0", b"\5\2\0\0\1\0", b"\x3e\4\1\2\3\4", b"\x7e\4\1\2\3\4", b"\xbe\4\1\2\3\4", b"\xfe\4\1\2\3\4", b"\xc2\4\0\1\0\0", b"\1\x20\0\0\0\0", b"\5\2\0\0\0\0"]


def transport(r, v6, sport, dport):
    """(protocol, header and payload)"""
    data = bytes(r.randrange(256) for _ in range(r.choice([0, 1, 8, 20, 60])))
    kind = r.choice(["udp"] * 5 + ["syn"] * 3 + ["ack", "rst", "echo", "echo", "echo", "reply", "odd icmp", "dccp", "esp", "ah", "ipip", "unknown", "ospf", "udplite", "sctp", "gre", "none", "port 0", "bad tcp", "bad udp"])
    icmp = 58 if v6 else 1
    if kind in ("syn", "ack", "rst"):
        return 6, f.tcp(sport, dport, {"syn": f.SYN, "ack": f.ACK, "rst": f.RST}[kind], r.randrange(1 << 32), 7 if kind == "ack" else 0, data if kind == "ack" else b"")
    if kind in ("echo", "reply"):
        return icmp, f.icmp((128 if kind == "echo" else 129) if v6 else 8 if kind == "echo" else 0, r.choice([0, 0, 0, 3]), sport << 16 | 1, data)
    if kind == "odd icmp":
        return icmp, f.icmp(r.choice([100, 127, 138, 200, 255] if v6 else [1, 2, 7, 15, 17, 30, 40, 255]), 0, sport << 16, data)
    if kind == "port 0":
        return r.choice([(17, f.udp(0, dport, data)), (17, f.udp(sport, 0, data)), (6, f.tcp(0, dport, f.SYN, 5, 0)), (6, f.tcp(sport, 0, f.SYN, 5, 0))])
    if kind == "bad tcp":
        whole = f.tcp(sport, dport, r.choice([f.SYN, f.ACK, f.SYN | f.RST, f.SYN | f.FIN]), 5, 0, data, options=r.choice([b"", b"\2\4\5\xb4", b"\2\3\5\xb4", b"\2\0\5\xb4", b"\3\1\0\0", b"\x08\x0a" + b"\0" * 8 + b"\2\xff"]))
        return 6, r.choice([whole, whole[:r.randrange(1, 20)], whole[:12] + bytes([r.choice([0, 0x40, 0xF0]) | whole[12] & 15]) + whole[13:]])
    if kind == "bad udp":
        whole = f.udp(sport, dport, data)
        return 17, r.choice([whole[:4] + struct.pack("!H", r.choice([0, 7, 8, 9, 200, 65535])) + whole[6:], whole[:r.randrange(0, 8)]])
    if kind == "sctp":
        return 132, f.sctp(sport, dport, r.choice([0, 5]), [(r.choice([0, 1, 3, 10]), 0, struct.pack("!IIHHI", 1, 1500, 10, 10, 1))], bad=r.random() < 0.1)
    return {"udp": (17, f.udp(sport, dport, data)), "udplite": (136, f.udplite(sport, dport, data, 0, 1)), "gre": (47, f.gre(data)), "dccp": (33, struct.pack("!HHBBHBBHI", sport, dport, 4, 0, 0, 1, 0, 1, 9) + data),
            "esp": (50, struct.pack("!II", 1, 1) + data), "ah": (51, bytes([17, 4, 0, 0]) + struct.pack("!II", 1, 1) + b"\0" * 12 + f.udp(sport, dport, data)), "ipip": (4, f.packet("10.9.9.9", "10.8.8.8", 17, f.udp(1, 2, data))),
            "unknown": (253, data), "ospf": (89, b"\2\1" + data), "none": (59, data)}[kind]


def extensions(r):
    """Extension headers of IPv6 in any order; a Hop-by-Hop header mostly first."""
    result = []
    for _ in range(r.choice([1, 1, 2, 3])):
        kind = r.choice([0, 60, 60, 43, 44, 44, 51])
        if kind in (0, 60):
            result.append((kind, b"\0" + r.choice(OPTIONS6[:4] * 4 + OPTIONS6)))
        elif kind == 43:
            left, route = r.choice([0, 0, 1, 2]), r.choice([0, 2, 4, 3, 253])
            result.append((43, bytes([2, route, left, 0, 0, 0, 0]) + f.address(r.choice(GOOD6))))
        elif kind == 44 and not any(k == 44 for k, _ in result):
            result.append((44, b"\0\0\0" + struct.pack("!I", r.randrange(1, 99))))
        elif kind == 51:
            result.append((51, b"\4\0\0" + struct.pack("!II", 1, 1) + b"\0" * 12))
    if r.random() < 0.8:
        result.sort(key=lambda header: header[0] != 0)
    return result


def frames(n, talk):
    """The frames of a step."""
    r = random.Random(n)
    v6 = talk["v"] == 6
    port = r.randint(0, 1)
    good, odd = (GOOD6, ODD6) if v6 else (GOOD4, ODD4)
    near = [address for address in good if address.startswith(("10.0.%d." if not v6 else "fd00:%d:") % (port + 1)) and not address.endswith((".1", "::1"))]
    nobody = ["::", "fd00:1::", "0.0.0.0", "10.0.1.255", "10.0.2.255"]
    source = r.choice([address for address in near * 3 + good + odd if address not in nobody])
    destination = r.choice(good * 3 + odd * 2)
    if v6 and (destination.startswith("ff") or destination == "fd00:1::") and source.startswith(("fd00", "2001")):
        # Linux answers the echo to these by a lesser route, if that leads back (docs/nft.md).
        source = r.choice(near)
    sport, dport = r.choice([talk["sport"], 1234, 53]), r.choice([talk["dport"], 80, 53, 9, 500])
    protocol, body = transport(r, v6, sport, dport)
    ip = dict(ttl=r.choice([64, 64, 64, 255, 2, 1, 0]), tos=r.choice([0, 0, 0, 0x10, 0xFF]), ident=n & 0xFFFF | 1, dont=r.random() < 0.5, bad=r.random() < 0.05)
    if r.random() < 0.35:
        if v6:
            ip["extensions"] = extensions(r)
            if destination in ODD6 + GOOD6[-2:]:
                # What is put together behind other headers, Linux reads from the wrong place on (docs/nft.md).
                ip["extensions"].sort(key=lambda header: [0, 44].index(header[0]) if header[0] in (0, 44) else 2)
        else:
            # An error about what a source route led here, Linux sends back along it (docs/nft.md): such a route stands alone.
            chosen = r.sample(OPTIONS4, r.choice([1, 1, 2]))
            ip["options"] = b"".join([option for option in chosen if option[0] in (0x83, 0x89)][:1] or chosen)[:40]
    data = f.packet(source, destination, protocol, body, **ip)
    if r.random() < 0.12 and not ip.get("extensions"):
        data = spoilt(r, data, v6)
    own = "r%d" % port
    everybody = destination.startswith("ff") if v6 else destination[:2] in ("22", "23", "25") or destination.endswith(".255")
    target = r.choice([own] * 6 + ["all", "other", "group6" if v6 else "group"]) if not everybody else r.choice([own, "all", "group6" if v6 else "group"])
    return [(port, f.frame("AB"[port] + r.choice("23"), target, data))]


def spoilt(r, data, v6):
    """One field of the IP header wrong, its checksum right (but where it is the field)."""
    b = bytearray(data)
    if v6:
        at, value = r.choice([(0, 0x40), (0, 0x70), (4, 0xFF), (5, 0), (5, 7), (6, 0), (6, 43), (6, 44), (7, 0)])
        b[at] = value
        return bytes(b)
    at, value = r.choice([(0, 0x65), (0, 0x44), (0, 0x4F), (0, 0x46), (2, 0xFF), (3, 10), (3, 24), (6, 0x80), (6, 0xC0), (7, 1), (6, 0x3F), (9, 0), (10, 0x11)])
    b[at] = value
    if at != 10:
        b[10:12] = b"\0\0"
        b[10:12] = struct.pack("!H", f.checksum(bytes(b[:min(len(b), (b[0] & 15) * 4)])))
    return bytes(b)
