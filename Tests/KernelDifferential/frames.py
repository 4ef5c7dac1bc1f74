"""Frames put together byte by byte, with a checksum of its own: none of Needletail's code, so that no mistake is shared."""
import socket
import struct

MAC = {"A2": "020000000a02", "A3": "020000000a03", "r0": "020000000a01", "B2": "020000000b02", "B3": "020000000b03", "r1": "020000000b01"}
MAC = {name: bytes.fromhex(text) for name, text in MAC.items()}
FIN, SYN, RST, PSH, ACK, URG = 1, 2, 4, 8, 16, 32


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def address(text):
    return socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text)


def transport_checksum(source, destination, protocol, data):
    if protocol == 1:
        return checksum(data)
    if len(source) == 4:
        pseudo = source + destination + struct.pack("!BBH", 0, protocol, len(data))
    else:
        pseudo = source + destination + struct.pack("!II", len(data), protocol)
    value = checksum(pseudo + data)
    return 0xFFFF if value == 0 and protocol == 17 else value


CHECKSUM_AT = {1: 2, 58: 2, 6: 16, 17: 6, 136: 6}


def packet(source, destination, protocol, data, ttl=64, tos=0, ident=0x1111, dont=True, bad=False, options=b"", extensions=(), keep=False):
    """An IP packet; `data` is the transport header and payload with a checksum of 0. `keep` leaves that checksum as it is."""
    s, d = address(source), address(destination)
    if protocol == 136 and not keep:
        data = udplite_checksum(s, d, data)
    elif protocol in CHECKSUM_AT and not keep and len(data) >= CHECKSUM_AT[protocol] + 2:
        at = CHECKSUM_AT[protocol]
        value = transport_checksum(s, d, protocol, data)
        if bad:
            value = (value ^ 0x1234) or 0x4321
        data = data[:at] + struct.pack("!H", value) + data[at + 2:]
    if len(s) == 4:
        options += b"\0" * (-len(options) % 4)
        length = 20 + len(options)
        head = struct.pack("!BBHHHBBH", 0x40 | length // 4, tos, length + len(data), ident, 0x4000 if dont else 0, ttl, protocol, 0) + s + d + options
        return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + data
    chain, follows = b"", protocol
    for number, body in reversed(extensions):
        chain = bytes([follows]) + body + chain
        follows = number
    return struct.pack("!IHBB", 6 << 28 | tos << 20, len(chain) + len(data), follows, ttl) + s + d + chain + data


def frame(source_mac, destination_mac, payload, tags=()):
    link = MAC[destination_mac] + MAC[source_mac]
    for tag in tags:
        link += struct.pack("!HH", 0x8100, tag)
    kind = 0x0806 if payload[:2] == b"\0\1" else 0x0800 if payload[0] >> 4 == 4 else 0x86DD
    return link + struct.pack("!H", kind) + payload


def tcp(sport, dport, flags, seq, ack, data=b"", window=8192, options=b""):
    options += b"\1" * (-len(options) % 4)
    return struct.pack("!HHIIBBHHH", sport, dport, seq & 0xFFFFFFFF, ack & 0xFFFFFFFF, (5 + len(options) // 4) << 4, flags, window, 0, 0) + options + data


def udp(sport, dport, data=b""):
    return struct.pack("!HHHH", sport, dport, 8 + len(data), 0) + data


def udplite(sport, dport, data=b"", coverage=0, kind=0):
    """`kind`: checksum 0, 1 as Linux's conntrack wants it (over UDP's pseudo header), 2 a right one."""
    return struct.pack("!HHHH", sport, dport, coverage, kind) + data


def udplite_checksum(source, destination, data):
    coverage, kind = struct.unpack("!HH", data[4:8])
    if kind == 0:
        return data
    covered = data[:coverage or len(data)]
    length = len(data) & 0xFF if kind == 1 and len(source) == 4 else len(data)
    pseudo = source + destination + struct.pack("!II", length, 17 if kind == 1 else 136)
    return data[:6] + struct.pack("!H", checksum(pseudo + covered[:6] + b"\0\0" + covered[8:]) or 0xFFFF) + data[8:]


CRC32C = []
for byte in range(256):
    for _ in range(8):
        byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
    CRC32C.append(byte)


def sctp(sport, dport, tag, chunks, bad=False):
    """`chunks`: [(type, flags, value)]."""
    body = b"".join(struct.pack("!BBH", kind, flags, 4 + len(value)) + value + b"\0" * (-len(value) % 4) for kind, flags, value in chunks)
    head = struct.pack("!HHI", sport, dport, tag)
    crc = 0xFFFFFFFF
    for byte in head + b"\0\0\0\0" + body:
        crc = crc >> 8 ^ CRC32C[(crc ^ byte) & 0xFF]
    return head + struct.pack("<I", crc ^ 0xFFFFFFFF ^ (0x55 if bad else 0)) + body


def gre(data):
    return struct.pack("!HH", 0, 0x0800) + data


def icmp(kind, code, rest, data=b""):
    return struct.pack("!BBHI", kind, code, 0, rest) + data


def fragments(ip, size, ident):
    """An IPv4 packet cut into fragments of `size` bytes of payload."""
    head, body, result = ip[:20], ip[20:], []
    for at in range(0, len(body), size):
        part = body[at:at + size]
        more = 0x2000 if at + size < len(body) else 0
        h = head[:2] + struct.pack("!HHH", 20 + len(part), ident, more | at // 8) + head[8:10] + b"\0\0" + head[12:20]
        result.append(h[:10] + struct.pack("!H", checksum(h)) + h[12:] + part)
    return result


def fragments6(ip, size, ident):
    body, result = ip[40:], []
    for at in range(0, len(body), size):
        part = body[at:at + size]
        more = 1 if at + size < len(body) else 0
        extension = struct.pack("!BBHI", ip[6], 0, at | more, ident)
        result.append(ip[:4] + struct.pack("!HB", len(part) + 8, 44) + ip[7:40] + extension + part)
    return result


class Parsed:
    """What a host sees of a frame that came out: enough to answer it."""

    def __init__(self, data):
        self.ok = False
        at = 14
        kind = data[12:14]
        while kind == b"\x81\0":
            kind, at = data[at + 2:at + 4], at + 4
        self.ip = data[at:]
        if kind == b"\x08\0" and len(self.ip) >= 28:
            length = (self.ip[0] & 15) * 4
            self.protocol = self.ip[9]
            self.source, self.destination = socket.inet_ntoa(self.ip[12:16]), socket.inet_ntoa(self.ip[16:20])
            self.body = self.ip[length:struct.unpack("!H", self.ip[2:4])[0]]
            self.fragment = struct.unpack("!H", self.ip[6:8])[0] & 0x3FFF
        elif kind == b"\x86\xdd" and len(self.ip) >= 48:
            self.protocol = self.ip[6]
            self.source, self.destination = (socket.inet_ntop(socket.AF_INET6, self.ip[a:a + 16]) for a in (8, 24))
            self.body = self.ip[40:40 + struct.unpack("!H", self.ip[4:6])[0]]
            self.fragment = self.protocol == 44
        else:
            return
        if len(self.body) < 8 or self.fragment:
            return
        self.ok = True
        self.sport, self.dport = struct.unpack("!HH", self.body[:4])
        if self.protocol == 6 and len(self.body) >= 20:
            self.seq, self.ack = struct.unpack("!II", self.body[4:12])
            self.flags = self.body[13]


OWN6 = (address("fd00:1::1"), address("fd00:2::1"))


def identification(data):
    """The IPv4 identification of a frame."""
    at = 14
    while data[at - 2:at] in (b"\x81\0", b"\x88\xa8"):
        at += 4
    return bytes(data[at + 4:at + 6]) if data[at - 2:at] == b"\x08\0" else b""


def mask(data, known=()):
    """Zeroes what Linux chooses at random in packets that the router makes itself; `known`: the IPv4 identifications of what came in."""
    b = bytearray(data)
    if len(b) < 38 or b[12] == 0x86 and len(b) < 62:
        return bytes(b)
    if b[12:14] == b"\x08\0":
        own = bytes(b[26:30]) in (b"\x0a\0\1\1", b"\x0a\0\2\1")
        if b[23] == 1 and len(b) > 34:
            # Rules may have changed the traffic class, the hop count and the source.
            if own or bytes(b[18:20]) not in known:
                b[18:20] = b[24:26] = b"\0\0"
    elif b[12:14] == b"\x86\xdd":
        own = bytes(b[22:38]) in OWN6
        # An echo reply may be the router's, its source rewritten.
        if own or b[20] == 58 and (b[54] < 128 or b[54] == 129) or b[20] == 6 and len(b) > 67 and b[67] & RST:
            b[15:18] = bytes([b[15] & 0xF0, 0, 0])
        if b[20] == 44:
            b[58:62] = b"\0\0\0\0"
    return bytes(b)


def is_noise(data):
    """ARP and neighbour discovery of the router's own."""
    if data[12:14] == b"\x08\x06":
        return True
    if data[12:14] != b"\x86\xdd" or len(data) < 62:
        return False
    at, following = (54, data[20]) if data[20] else (62, data[54])
    return following == 58 and len(data) > at and data[at] in (130, 131, 132, 133, 134, 135, 136, 143)


def ports(sent, out):
    """The source and destination port that NAT chose if it had a choice: of what came out for the frame `sent`, of the same protocol and
    otherwise new, or of what an ICMP error that came out quotes."""
    before, chosen = ends(sent), None
    for _, data in out:
        after = ends(data)
        if after and before and after[0] != before[0] and after[0] in (1, 58):
            after = ends(data, quoted=True)
        if after and before and after[0] == before[0] and (chosen is None or after != before):
            chosen = after[3:]
    return chosen


def ends(data, quoted=False):
    """(protocol, source, destination, source port, destination port) of a frame, fragments but the later ones included, or of what the ICMP
    error in it quotes; an ICMP identifier stands for both ports."""
    at, kind = 14, data[12:14]
    while kind in (b"\x81\0", b"\x88\xa8"):
        kind, at = data[at + 2:at + 4], at + 4
    if kind not in (b"\x08\0", b"\x86\xdd"):
        return None
    ip = transport(data, at)
    if ip and quoted:
        ip = transport(data, ip[3] + 8)
    if not ip or len(data) < ip[3] + 8:
        return None
    protocol, source, destination, at = ip
    if protocol in (1, 58):
        return (protocol, source, destination) + struct.unpack("!H", data[at + 4:at + 6]) * 2
    return (protocol, source, destination) + struct.unpack("!HH", data[at:at + 4])


def transport(data, at):
    """(protocol, source, destination, offset of the transport header) of the IP packet at `at`; None if it has none."""
    if len(data) < at + 20:
        return None
    if data[at] >> 4 == 4:
        return None if struct.unpack("!H", data[at + 6:at + 8])[0] & 0x1FFF else (data[at + 9], data[at + 12:at + 16], data[at + 16:at + 20], at + (data[at] & 15) * 4)
    if len(data) < at + 40:
        return None
    protocol, source, destination, at = data[at + 6], data[at + 8:at + 24], data[at + 24:at + 40], at + 40
    while protocol in (0, 43, 44, 51, 60) and len(data) > at + 8:
        if protocol == 44 and (data[at + 2] or data[at + 3] & 0xF8):
            return None
        protocol, at = data[at], at + (8 if protocol == 44 else 8 + data[at + 1] * 4 if protocol == 51 else 8 + data[at + 1] * 8)
    return protocol, source, destination, at
