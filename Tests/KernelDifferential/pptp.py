"""PPTP with its helper: control messages of calls, and GRE with the call IDs that each end has heard."""
import struct

import frames as f

START = ["syn", "synack", "ack", "pptp c 1", "pptp s 2"]
CALLS = [["pptp c 7", "pptp s 8"], ["pptp c 7", "pptp s 8"], ["pptp c 9", "pptp s 10", "pptp c 11"]]
TUNNEL = ["pptp c gre", "pptp s gre", "pptp c gre", "pptp c 15", "pptp s 15", "pptp s gre", "pptp c 5", "pptp s 6", "pptp s 14", "pptp c gre"]
ENDS = [["pptp c 12", "pptp s 13"], ["pptp s 13"], ["pptp c 12", "pptp s 13", "pptp c 3", "pptp s 4"], ["fin", "rfin", "ack"], []]
ODD = ["pptp o gre", "pptp c gre0", "pptp s gre0", "pptp c wrong", "pptp s wrong", "pptp c 13", "pptp s 12", "pptp c 7", "pptp s 8", "pptp c 2", "again", "pptp c 8", "pptp s 7", "pptp s 15", "pptp c 14"]
MAGIC = 0x1A2B3C4D


def script(r):
    steps = list(START)
    for _ in range(r.choice([1, 1, 2])):
        steps += r.choice(CALLS) + r.sample(TUNNEL, r.randint(3, len(TUNNEL))) + r.choice(ENDS[:3])
    steps += r.choice(ENDS) + r.choice([[], ["pptp c gre", "pptp s gre"]])
    for _ in range(r.choice([0, 1, 3])):
        steps.insert(r.randint(3, len(steps)), r.choice(ODD))
    return steps


def message(s, side, kind, n):
    """A control message of a kind (RFC 2637)."""
    own = s["call"] + (0 if side == "c" else 1000)
    if kind in (7, 9) and n & 1:
        # Another call of the same connection.
        s["call"] += 1
        own += 1
    peer = s.get(("heard", side), n & 0xFFFF)
    if n % 16 == 3:
        peer ^= 0x55
    result = 1 if n % 8 else n >> 8 & 3
    bodies = {
        1: struct.pack("!HHIIHH", 0x100, 0, 1, 1, 0, 0) + bytes(128), 2: struct.pack("!HBBIIHH", 0x100, result, 0, 1, 1, 0, 0) + bytes(128), 3: struct.pack("!BBH", 1, 0, 0), 4: struct.pack("!BBH", 1, 0, 0),
        5: struct.pack("!I", n), 6: struct.pack("!IBBH", n, 1, 0, 0), 7: struct.pack("!HHIIIIHHHH", own, 1, 300, 100000, 1, 1, 64, 0, 0, 0) + bytes(128),
        8: struct.pack("!HHBBHIHHI", own, peer, result, 0, 0, 64000, 64, 0, 0), 9: struct.pack("!HHIIHH", own, 1, 1, 1, 0, 0) + bytes(192), 10: struct.pack("!HHBBHHH", own, peer, result, 0, 64, 0, 0),
        11: struct.pack("!HHIHHI", peer, 0, 64000, 64, 0, 1), 12: struct.pack("!HH", own, 0), 13: struct.pack("!HBBHH", own, 1, 0, 0, 0) + bytes(128), 14: struct.pack("!HHIIIIII", peer, 0, 0, 0, 0, 0, 0, 0),
        15: struct.pack("!HHII", peer, 0, 0xFFFFFFFF, 0xFFFFFFFF)}
    body = bodies[kind]
    whole = struct.pack("!HHIHH", 12 + len(body), 1, MAGIC, kind, 0) + body
    if n % 32 == 5:
        whole = whole[:n >> 8 & 31]
    elif n % 32 == 7:
        whole = whole[:2] + struct.pack("!HI", 2, MAGIC ^ 1) + whole[8:]
    elif n % 32 == 9:
        whole += whole
    return whole


def words(s, do, n):
    _, side, what = do.split()
    if what == "wrong":
        return struct.pack("!HHIHH", 16, 1, MAGIC, n % 18, 0) + struct.pack("!HH", n & 0xFFFF, 0)
    return message(s, side, int(what), n)


def hear(s, side, p):
    """The call ID of the other end in what arrived."""
    text = p.body[(p.body[12] >> 4) * 4:] if p.protocol == 6 and len(p.body) >= 20 else b""
    if len(text) >= 16 and struct.unpack("!I", text[4:8])[0] == MAGIC and text[9] in (7, 8, 9, 10):
        s["heard", side] = struct.unpack("!H", text[12:14])[0]


def tunnel(s, do, n):
    """A GRE packet of a call: [(port, bytes)]."""
    _, side, what = do.split()
    port = 0 if s["mac"][0] == "A" else 1
    if side == "c":
        source, destination, call = s["client"], s["server"], s.get(("heard", "c"))
    else:
        if not s["seen"]:
            return []
        port, p = s["seen"]
        source, destination, call = p.destination, p.source, s.get(("heard", "s"))
    if side == "o":
        source = source[:-1] + "3"
    if call is None:
        call = n & 0xFFFF
    mac, payload = "AB"[port] + ("3" if source.endswith("3") else "2"), bytes(range(n >> 8 & 31))
    if what == "gre0":
        body = f.gre(payload)
    else:
        acks = n & 1
        body = struct.pack("!BBHHHI", 0x30, 0x81 if acks else 1, 0x880B, len(payload), call, n & 7) + (struct.pack("!I", 1) if acks else b"") + payload
    return [(port, f.frame(mac, "r%d" % port, f.packet(source, destination, 47, body, ident=n & 0xFFFF | 1)))]
