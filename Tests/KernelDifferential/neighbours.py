"""Hosts that a router has to ask for their MAC addresses: what they answer to ARP and neighbour discovery, and what they say unasked.

No frame of these is compared: when the router asks depends on when it hears that the flow cache sent a host something. What is sent to the
hosts must not."""
import ipaddress
import struct

import frames as f


def asked(data):
    """Whose MAC address a frame asks for, and for whom: (target, sender, the sender's MAC address)."""
    if data[12:14] == b"\x08\x06" and data[20:22] == b"\0\1":
        return str(ipaddress.ip_address(data[38:42])), str(ipaddress.ip_address(data[28:32])), data[22:28]
    if data[12:14] == b"\x86\xdd" and data[20] == 58 and data[54] == 135:
        return str(ipaddress.ip_address(data[62:78])), str(ipaddress.ip_address(data[22:38])), data[6:12]
    return None


def said(link, target, mac, to, to_mac, flags=0x60, operation=2):
    """A frame by which a host says its MAC address."""
    router = f.MAC["r%d" % link]
    if ":" not in target:
        body = struct.pack("!HHBBH", 1, 0x0800, 6, 4, operation) + mac + f.address(target) + to_mac + f.address(to)
        return router + mac + b"\x08\x06" + body
    body = f.icmp(136, 0, flags << 24, f.address(target) + b"\2\1" + mac)
    return router + mac + b"\x86\xdd" + f.packet(target, to, 58, body, ttl=255)


class Hosts:
    def __init__(self, learned):
        self.learned, self.moved = learned, {}

    def answer(self, link, data):
        """What a host on r0 or r1 answers to a frame; None if nobody does."""
        question = asked(data) if self.learned else None
        if not question or question[0][-1] not in "23":
            return None
        target, sender, mac = question
        own = self.moved.get((link, target)) or f.MAC["AB"[link] + target[-1]]
        return said(link, target, own, sender, mac)

    def move(self, link, host, mac, overrides):
        """The frame by which a host says unasked that it has another MAC address now. A neighbour advertisement that does not override is
        not believed: then it did not move."""
        if overrides or ":" not in host:
            self.moved[link, host] = mac
        return said(link, host, mac, "fd00:%d::1" % (link + 1) if ":" in host else host, mac, flags=0x20 if overrides else 0, operation=1)
