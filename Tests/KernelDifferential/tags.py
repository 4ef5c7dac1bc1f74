"""What frames of r0 and r1 carry on the wire (Engine/Links.swift): dialogues know nothing of it, it is put on before an engine and taken off behind it."""
import re
import struct
import zlib

from frames import MAC

PLAIN = "0,1"


def choose(r, ruleset):
    """r0 and r1 as ports, VLANs, VLANs in service VLANs, PPPoE sessions; now and then both on one port, or with hosts that must be asked."""
    if r.random() < 0.6:
        return links(r)
    # Neighbour discovery passes the chains of the router's own packets: their counters would tell when it asked.
    return links(r) + (",learned" if re.search("hook (?!forward)", ruleset) else ",learned6")


def links(r):
    if r.random() < 0.5:
        return PLAIN
    kinds = ["", "v10", "s20", "s30v31", "v40v41", "p5", "v50p7"]
    first, second = r.choice(kinds), r.choice(kinds)
    if r.random() < 0.3 and first != second:
        return "0%s,0%s" % (first, second)
    return "0%s,1%s" % (first, second)


class Tags:
    def __init__(self, text):
        self.is_plain, self.links = text.split(",learned")[0] == PLAIN, []
        for number, word in enumerate(text.split(",")[:2]):
            layers = [(kind, int(value)) for kind, value in re.findall(r"([vsp])(\d+)", word)]
            self.links.append((int(word[0]), layers, MAC["A2" if number == 0 else "B2"]))

    def put_on(self, link, data):
        """The port that a frame of r0 or r1 comes in by, and the frame there."""
        if self.is_plain or len(data) < 14:
            return link, data
        port, layers, host = self.links[link]
        chance = zlib.crc32(data)
        target, source, rest = data[:6], data[6:12], data[12:]
        if target == MAC["r%d" % link]:
            target = MAC["r%d" % port]
        if not layers and chance % 16 == 0:
            # A priority alone.
            rest = struct.pack("!HH", 0x8100, chance >> 8 & 0xE000) + rest
        for kind, number in reversed(layers):
            if kind == "p":
                protocol = {0x0800: 0x0021, 0x86DD: 0x0057}.get(struct.unpack("!H", rest[:2])[0])
                if protocol:
                    rest = struct.pack("!HHHHH", 0x8864, 0x1100, number, len(rest), protocol) + rest[2:]
                    # Now and then another station says something in the session.
                    source = source if chance % 37 == 0 else host
            else:
                rest = struct.pack("!HH", 0x88A8 if kind == "s" else 0x8100, (chance >> 8 & 0xE000) | number) + rest
        return port, target + source + rest

    def take_off(self, port, data):
        """By which of r0 and r1 a frame left, and the frame without what it carries; with more or other than it has to carry it is nobody's."""
        if self.is_plain:
            return port, data
        for link, (own, layers, _) in enumerate(self.links):
            rest = data[12:]
            for kind, number in layers:
                if kind == "p":
                    head = struct.unpack("!HHHHH", rest[:10].ljust(10, b"\0"))
                    if head[:3] != (0x8864, 0x1100, number) or head[3] + 8 > len(rest) or head[4] not in (0x0021, 0x0057):
                        rest = None
                        break
                    rest = (b"\x08\0" if head[4] == 0x0021 else b"\x86\xdd") + rest[10:]
                elif rest[:4] == struct.pack("!HH", 0x88A8 if kind == "s" else 0x8100, number):
                    rest = rest[4:]
                else:
                    rest = None
                    break
            if own == port and rest is not None and (layers or rest[:2] not in (b"\x81\0", b"\x88\xa8", b"\x88\x64")):
                return link, data[:12] + rest
        return 10 + port, data
