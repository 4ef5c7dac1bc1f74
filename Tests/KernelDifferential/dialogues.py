"""Random dialogues: what a few hosts would say to each other through the router, answers made from what really arrived.

A dialogue is a list of steps, each plain data (so that it can be shrunk): who sends what on which conversation. `Speaker`
makes the frames, one per engine, from what that engine let through."""
import random
import struct

import frames as f
import helpers
import pptp
import sip
import strays
from frames import ACK, FIN, PSH, RST, SYN

CLIENTS = [("A2", 4, "10.0.1.2"), ("A3", 4, "10.0.1.3"), ("A2", 6, "fd00:1::2"), ("A3", 6, "fd00:1::3"), ("B2", 4, "10.0.2.2"), ("B3", 6, "fd00:2::3")]
SERVERS = {("A", 4): ["10.0.2.2", "10.0.2.3", "10.0.2.2", "192.0.2.7", "10.0.2.1", "10.0.1.1"], ("A", 6): ["fd00:2::2", "fd00:2::3", "2001:db8::7", "fd00:2::1"],
           ("B", 4): ["10.0.1.2", "10.0.1.3", "10.0.2.1"], ("B", 6): ["fd00:1::2", "fd00:1::3"]}
ROUTER = ("10.0.1.1", "10.0.2.1", "fd00:1::1", "fd00:2::1")
SCRIPTS = {
    "tcp": ["syn", "synack", "ack", "data", "rdata", "data", "ack", "rdata", "data", "data", "fin", "rfin", "ack"],
    "udp": ["data", "rdata", "data", "rdata", "data", "data", "rdata", "data"],
    "icmp": ["data", "rdata", "data", "rdata", "data"],
    "udplite": ["data", "rdata", "data", "data", "rdata"],
    "gre": ["data", "rdata", "data", "rdata"],
    "sctp": ["syn", "synack", "echo", "cookie", "data", "rdata", "data", "sack", "fin", "rfin", "complete"],
}
# Other ways that TCP connections go, by turns.
TCP_SCRIPTS = [
    ["syn", "resyn", "synack", "resyn", "synack2", "ack", "data", "rdata", "fin", "rfin", "ack"],
    ["syn", "simsyn", "csynack", "synack2", "ack", "data", "rdata", "data", "fin", "rfin", "ack"],
    ["simsyn", "syn", "synack2", "csynack", "ack", "rack", "data", "rdata"],
    ["syn", "synack", "ack", "data", "rdata", "fin", "rack", "rdata", "rfin", "ack", "reopen", "synack", "ack", "data", "rdata", "fin", "rfin", "ack"],
    ["syn", "synack", "ack", "data", "rfin", "ack", "data", "fin", "rack", "reopen", "resyn", "synack", "ack", "rdata", "data"],
    ["syn", "rbadack", "rst", "resyn", "synack", "ack", "data", "reopen", "rack", "rst", "resyn", "synack", "ack"],
    ["syn", "rrstack", "syn", "resyn", "synack", "ack", "data", "rstodd", "rdata", "rrstodd", "data", "rrst", "reopen", "synack", "ack"],
    ["syn", "synack", "ack", "zerowin", "rack", "data", "keepalive", "rack", "keepalive", "ahead", "rsack", "data", "rack", "rdata"],
    ["syn", "synack", "ack", "data", "fin", "rfin", "ack", "rack", "fin", "rfin", "resyn", "synack", "rst"],
    ["data", "rdata", "data", "rack", "rdata", "ack", "fin", "rfin", "ack"],
]
ODD_TCP = ["resyn", "simsyn", "csynack", "synack2", "reopen", "rbadack", "rstodd", "rrstodd", "rrstack", "zerowin", "keepalive", "ahead", "rsack", "rack"]
FROM_SERVER = ("synack", "rdata", "rfin", "rrst", "rerror", "cookie", "complete", "simsyn", "synack2", "rack", "rbadack", "rrstodd", "rrstack", "rsack") + helpers.BY_SERVER
ODD = ["bad", "late", "rst", "rrst", "syn", "error", "rerror", "ttl1", "fragments", "again", "tos", "long", "mss", "synack", "null", "options", "extension", "urg", "toobig", "vlan", "zerosum", "short", "fin", "atomic", "odderror", "odderror", "pieces", "pieces", "pieces"]


class Dialogues:
    def __init__(self, random):
        self.random = random

    def generate(self, often=False, helped=False):
        """`often`: long, mostly what the cache may forward; `helped`: with applications that have helpers."""
        r = self.random
        talks = []
        for number in range(r.randint(2, 5)):
            mac, version, address = r.choice(CLIENTS)
            proto = r.choice(["tcp"] * 6 + ["udp"] * 6 + ["icmp"] * 3 + ["sctp"] * 2 + ["udplite", "gre"])
            servers = SERVERS[mac[0], version]
            if often and r.random() < 0.8:
                servers = [address for address in servers if address not in ROUTER]
            server = r.choice(servers)
            if talks and not often and r.random() < 0.25:
                # Two clients that want the same port of the same server, and one of them twice.
                other = r.choice(talks)
                mac, version, address = r.choice([c for c in CLIENTS if c[0][0] == other["mac"][0] and c[1] == other["v"]])
                talks.append(dict(other, mac=mac, client=address, dport=r.choice([other["dport"], other["dport"], 443])))
                continue
            talks.append(dict(mac=mac, v=version, client=address, server=server, proto=proto, sport=1000 + number if r.random() < 0.7 else 40000 + number, dport=r.choice([22, 53, 80, 80, 443, 8080, 2000])))
        if helped:
            talks = [helpers.talk(r, talk, number) if number == 0 or r.random() < 0.4 else talk for number, talk in enumerate(talks)]
        queues = []
        for number, talk in enumerate(talks):
            script = helpers.script(r, talk) or list(SCRIPTS[talk["proto"]])
            if talk["proto"] == "tcp" and not often and r.random() < 0.4:
                script = list(r.choice(TCP_SCRIPTS))
            if often:
                at = 4 if talk["proto"] == "tcp" else 2
                # Mostly what an established connection carries, so that most frames can meet the cache.
                kinds = ["data", "rdata"] * 14 + ["tos", "long", "urg", "ttl1", "bad", "zerosum", "late", "options", "extension", "atomic"]
                for _ in range(r.randint(40, 100)):
                    script.insert(r.randint(at, len(script) - (3 if talk["proto"] == "tcp" else 0)), r.choice(kinds))
            # A forwarder learns no path MTUs for what it sends itself (docs/nft.md).
            odd = [kind for kind in ODD if kind != "toobig" or talk["server"] not in ROUTER]
            if often:
                # Each is a dozen frames that no cache forwards.
                odd = [kind for kind in odd if kind != "pieces"]
            elif talk["proto"] == "tcp":
                odd = odd + ODD_TCP
            for _ in range(r.choice([0, 0, 1, 2, 3])):
                script.insert(r.randint(0, len(script)), r.choice(odd))
            if not often and r.random() < 0.3:
                for _ in range(r.choice([1, 2, 4])):
                    script.insert(r.randint(0, len(script)), "stray")
            queues.append([dict(talk=number, do=step, n=r.randint(0, 1 << 30)) for step in script])
        steps = []
        while any(queues):
            steps.append(r.choice([q for q in queues if q]).pop(0))
        return talks, steps


class Speaker:
    """Both ends of every conversation, as they stand against one engine."""

    def __init__(self, talks):
        self.state = [dict(t, cseq=1000 + 100 * i, sseq=5000 + 100 * i, cisn=1000 + 100 * i, sisn=5000 + 100 * i, seen=None, last=None, back=None) for i, t in enumerate(talks)]

    def arrived(self, number, out):
        """What came out after a step: the server of the conversation learns whom it speaks with."""
        s, do = self.state[number], self.doing
        for port, data in out:
            p = f.Parsed(data)
            # What is for the router itself and yet came out, a copy, tells nobody anything.
            if not p.ok or do == "stray" or p.destination in ROUTER:
                continue
            if do in helpers.DATA:
                if helpers.DATA[do] and port != s["data_port"] and p.protocol == 6:
                    s["data_seen"] = (port, p)
                continue
            if s["proto"] in helpers.KINDS:
                helpers.attend(s, do, p, 0 if s["mac"][0] == "A" else 1, port)
                if do.endswith(("rtp", "rtcp", "gre", "gre0")) or do.startswith("sip o"):
                    continue
            if do == "tdata" and p.protocol == 17:
                s["peer"] = (p.source, p.sport)
                continue
            if p.protocol in (6, 17, 47, 132, 136) and len(p.body) >= 8 or p.protocol in (1, 58) and p.body[0] in (8, 128, 0, 129):
                mine = 0 if s["mac"][0] == "A" else 1
                if self.sent_by_client and (port != mine or p.destination != s["client"]):
                    s["seen"] = (port, p)
                s["last_out"] = (port, data)

    def frames(self, step):
        """The frames of a step: [(port, bytes)]."""
        s, do, n = self.state[step["talk"]], step["do"], step["n"]
        self.doing = do
        v6 = s["v"] == 6
        from_server = do in FROM_SERVER or helpers.by_server(do)
        self.sent_by_client = not from_server
        kinds = {"tcp": 6, "udp": 17, "icmp": 58 if v6 else 1, "sctp": 132, "udplite": 136, "gre": 47, **helpers.KINDS}
        protocol = kinds[s["proto"]]
        payload = bytes((n + i) & 0xFF for i in range((n >> 4) % 60 + 1))
        if do == "stray":
            return strays.frames(n, s)
        if do in helpers.DATA:
            return helpers.data(s, do, n, payload)
        if do in ("rrq", "tdata", "tack"):
            return helpers.tftp(s, do, n, payload)
        if do.startswith("pptp ") and "gre" in do:
            return pptp.tunnel(s, do, n)
        way = sip.way(s, do, n) if do.startswith("sip ") else None
        if way == ():
            return []
        said = [payload] if way and do.endswith("tp") else helpers.words(s, do, n)
        if said == []:
            return []
        if way:
            port, mac, source, destination, sport, dport = way
            return [(port, f.frame(mac, "r%d" % port, f.packet(source, destination, 17, f.udp(sport, dport, part), ident=n & 0xFFFF | 1))) for part in said]
        if do == "long":
            payload = payload * 40
            payload = payload[:1380]
        if not from_server:
            source, destination, sport, dport = s["client"], s["server"], s["sport"], s["dport"]
            mac, port = s["mac"], 0 if s["mac"][0] == "A" else 1
        else:
            if s["seen"]:
                port, p = s["seen"]
                source, destination, sport, dport = p.destination, p.source, p.dport, p.sport
                if s["proto"] == "icmp":
                    sport = dport = 0
            else:
                if s["server"] in ROUTER:
                    return []
                port = 1 if s["mac"][0] == "A" else 0
                source, destination, sport, dport = s["server"], s["client"], s["dport"], s["sport"]
            mac = "AB"[port] + ("3" if source.endswith("3") else "2")
        router = "r%d" % port
        ip = dict(ttl=1 if do == "ttl1" else 64, ident=n & 0xFFFF | 1, dont=n & 8 != 0, bad=do == "bad")
        if do == "tos":
            ip["tos"] = [0, 0x20, 0xB8, 3, 0x28][n % 5]
        if do == "options" and not v6 and destination not in ROUTER:
            ip["options"] = [b"\x07\x07\x04\0\0\0\0", b"\x01\x01\x01\0", b"\x94\x04\0\0"][n % 3]
        if do == "extension" and v6:
            ip["extensions"] = [[(60, b"\0\x01\x04\0\0\0\0")], [(0, b"\0\x01\x04\0\0\0\0")], [(0, b"\0\x01\x04\0\0\0\0"), (60, b"\0\x01\x04\0\0\0\0")]][n % 3]
        if do == "atomic" and v6:
            # A fragment header of a datagram in one piece (RFC 6946).
            ip["extensions"] = [(44, b"\0\0\0\0\0\0\1")]
        if do in ("error", "rerror", "toobig", "odderror"):
            return self.error(s, do, n, v6)
        if do == "again":
            return [s["last"]] if s["last"] else []
        if said:
            parts = []
            for part in said:
                body = self.transport(s, do, n, protocol, from_server, sport, dport, part)
                parts.append((port, f.frame(mac, router, f.packet(source, destination, protocol, body, **ip))))
            s["last"] = parts[-1]
            return parts[::-1] if n & 512 else parts
        body = self.transport(s, do, n, protocol, from_server, sport, dport, payload)
        if do == "zerosum" and protocol == 17 and not v6:
            ip["keep"] = True
        data = f.packet(source, destination, protocol, body, **ip)
        if do == "short":
            data = data[:len(data) - 3]
        if do == "fragments":
            big = f.packet(source, destination, protocol, body + payload * 30, **ip) if protocol != 17 else f.packet(source, destination, protocol, f.udp(sport, dport, payload * 30), **dict(ip, dont=False))
            parts = (f.fragments6 if v6 else f.fragments)(big, 400 if n & 1 else 600, n & 0xFFFF | 1)
            if n & 2:
                parts.reverse()
            return [(port, f.frame(mac, router, part)) for part in parts]
        if do == "pieces":
            return [(port, f.frame(mac, router, part)) for part in self.pieces(source, destination, protocol, body + payload * 20, n, ip)]
        frame = f.frame(mac, router, data, tags=(5,) if do == "vlan" else ())
        if len(frame) < 60 and n & 64:
            frame += b"\0" * (60 - len(frame))
        s["last"] = (port, frame)
        return [(port, frame)]

    def transport(self, s, do, n, protocol, from_server, sport, dport, payload):
        if protocol == 47:
            return f.gre(payload)
        if protocol == 132:
            return self.sctp(s, do, n, from_server, sport, dport, payload)
        if protocol == 136:
            return f.udplite(sport, dport, payload, [0, 0, 8, 9, 8 + len(payload)][n % 5], [0, 1, 1, 1, 2][n // 8 % 5])
        if protocol == 17:
            return f.udp(sport, dport, payload)
        if protocol in (1, 58):
            ask, answer = (8, 0) if protocol == 1 else (128, 129)
            ident = s["sport"]
            if from_server and s["seen"]:
                ident = struct.unpack("!H", s["seen"][1].body[4:6])[0]
            return f.icmp(answer if from_server else ask, 0, ident << 16 | n & 0xF, payload)
        mine, theirs = ("sseq", "cseq") if from_server else ("cseq", "sseq")
        seq, ack = s[mine], s.get(("next", "s" if from_server else "c"), s[theirs])
        if do in ("hsack", "rhsack"):
            left = ack + 10 * (n & 3)
            return f.tcp(sport, dport, ACK, seq, ack - (n >> 2 & 15), options=b"\1\1\5\x0a" + struct.pack("!II", left & 0xFFFFFFFF, left + 20 & 0xFFFFFFFF))
        if do == "cmdover":
            # The last command again, with this one behind it.
            seq, payload = seq - len(s.get("said", b"")), s.get("said", b"") + payload
            s[mine] = seq
        if do.startswith("cmd"):
            s["said"] = payload
        mss = b"\x02\x04" + struct.pack("!H", 1460) + (b"\x01\x03\x03\x02" if n & 16 else b"") + (b"\x04\x02" if n & 32 else b"")
        odd = self.odd_tcp(s, do, n, sport, dport, seq, ack, payload, mss)
        if odd:
            return odd
        if do in ("syn", "mss"):
            if do == "syn" and not s.get("open"):
                s["open"] = True
                s["cseq"] = seq + 1
            return f.tcp(sport, dport, SYN, seq, 0, options=mss)
        if do == "synack":
            s["sseq"] = seq + 1
            return f.tcp(sport, dport, SYN | ACK, seq, ack, options=mss)
        if do == "ack":
            return f.tcp(sport, dport, ACK, seq, ack)
        if do in ("fin", "rfin"):
            s[mine] += 1
            return f.tcp(sport, dport, FIN | ACK, seq, ack)
        if do in ("rst", "rrst"):
            return f.tcp(sport, dport, RST | (ACK if n & 1 else 0), seq, ack)
        if do == "null":
            return f.tcp(sport, dport, [0, FIN | SYN, SYN | RST, FIN | PSH | 32, FIN][n % 5], seq, ack)
        if do == "late":
            return f.tcp(sport, dport, ACK | PSH, seq + [200000, -100000, -50, 70000][n % 4], ack + [0, 0, 100000][n % 3], payload)
        if do not in ("bad", "ttl1", "short", "vlan"):
            s[mine] += len(payload)
        return f.tcp(sport, dport, ACK | (32 if do == "urg" else PSH if n & 1 else 0), seq, ack, payload)

    def odd_tcp(self, s, do, n, sport, dport, seq, ack, payload, mss):
        """Segments of connections that open, close or go on in other ways; None for any other step."""
        if do == "resyn":
            return f.tcp(sport, dport, SYN, s["cisn"], 0, options=mss)
        if do == "simsyn":
            s["sseq"] = s["sisn"] + 1
            return f.tcp(sport, dport, SYN, s["sisn"], 0, options=mss)
        if do == "csynack":
            return f.tcp(sport, dport, SYN | ACK, s["cisn"], ack, options=mss)
        if do == "synack2":
            s["sseq"] = s["sisn"] + 1
            return f.tcp(sport, dport, SYN | ACK, s["sisn"], ack, options=mss)
        if do == "reopen":
            # A new connection with the old one's ports: further on, behind, or right where the old one ended.
            s["cisn"] = (s["cseq"] + [70000, 1000000, -500, 0][n % 4]) & 0xFFFFFFFF
            s["cseq"], s["sisn"] = s["cisn"] + 1, s["sseq"] + 90000
            s["sseq"] = s["sisn"]
            return f.tcp(sport, dport, SYN, s["cisn"], 0, options=mss)
        if do == "rack":
            return f.tcp(sport, dport, ACK, seq, ack)
        if do == "rbadack":
            return f.tcp(sport, dport, ACK, seq, ack + [500, -500, 100000][n % 3])
        if do == "rrstack":
            return f.tcp(sport, dport, RST | ACK, 0, ack)
        if do in ("rstodd", "rrstodd"):
            return f.tcp(sport, dport, RST | (ACK if n & 16 else 0), seq + [1, 100, 8192, 70000, -1, -100000][n % 6], ack + [0, 0, 100, -100][n // 32 % 4], window=[0, 8192][n // 8 % 2])
        if do == "zerowin":
            return f.tcp(sport, dport, ACK, seq, ack, window=0)
        if do == "keepalive":
            return f.tcp(sport, dport, ACK, seq - 1, ack, b"\0" * (n & 1))
        if do == "ahead":
            return f.tcp(sport, dport, ACK | PSH, seq + 100, ack, payload)
        if do == "rsack":
            left = s["cseq"] + 100
            return f.tcp(sport, dport, ACK, seq, ack, options=b"\1\1\5\x0a" + struct.pack("!II", left & 0xFFFFFFFF, left + 20 & 0xFFFFFFFF))
        return None

    def pieces(self, source, destination, protocol, body, n, ip):
        """Fragments in any order, some twice, some missing, some that overlap others."""
        r = random.Random(n)
        if protocol == 17:
            body = body[:4] + struct.pack("!H", len(body)) + body[6:]
        whole = f.packet(source, destination, protocol, body, **dict(ip, dont=False))
        cut = f.fragments6 if ":" in source else f.fragments
        parts = cut(whole, r.choice([8, 64, 200, 400, 600]), n & 0xFFFF | 1)[:12]
        r.shuffle(parts)
        for _ in range(r.choice([0, 0, 1, 2])):
            parts.insert(r.randint(0, len(parts)), r.choice(parts))
        if r.random() < 0.3:
            parts.remove(r.choice(parts))
        if r.random() < 0.3:
            parts.insert(r.randint(0, len(parts)), r.choice(cut(whole, r.choice([16, 104, 248]), n & 0xFFFF | 1)))
        return parts

    def sctp(self, s, do, n, from_server, sport, dport, payload):
        """An association as RFC 9260 opens and closes it; what TCP's steps are called stands for what is like it."""
        here, there = 0x1000 + s["sport"], 0x2000 + s["sport"]
        start = struct.pack("!IIHHI", there if from_server else here, 1500, 10, 10, 1)
        chunks = {"syn": (1, 0, start), "mss": (1, 0, start), "synack": (2, 0, start), "echo": (10, 0, b"cookie.."), "cookie": (11, 0, b""), "sack": (3, 0, struct.pack("!IIHH", 1, 1500, 0, 0)),
                  "fin": (7, 0, struct.pack("!I", 1)), "rfin": (8, 0, b""), "complete": (14, 0, b""), "rst": (6, n & 1, b""), "rrst": (6, 0, b""), "null": (4, 0, b"beat"), "late": (9, 0, b"")}
        chunk = chunks.get(do, (0, 3, struct.pack("!IHHI", n & 0xFFFF, 0, 0, 0) + payload))
        tag = 0 if do in ("syn", "mss") else (here if from_server else there) ^ (0x77 if do == "urg" else 0)
        return f.sctp(sport, dport, tag, [chunk] + ([(4, 0, b"")] if do == "tos" else []), bad=do == "bad")

    def error(self, s, do, n, v6):
        """An ICMP error about the conversation's last packet that came out, from its receiver (or a router behind it)."""
        if not s.get("last_out"):
            return []
        port, data = s["last_out"]
        p = f.Parsed(data)
        quoted = p.ip[:len(p.ip) if v6 else 28 + n % 40]
        if v6:
            # The flow label of what the router itself sent is random.
            quoted = bytes([quoted[0], quoted[1] & 0xF0, 0, 0]) + quoted[4:]
            kinds = [(1, n // 8 % 7, 0), (3, n // 8 % 2, 0), (4, n // 8 % 3, 40)]
            kind, code, rest = (2, 0, 1300) if do == "toobig" else kinds[n % 3]
        else:
            if p.protocol == 1 and s["server"] in ROUTER:
                # And so is its identification.
                quoted = quoted[:4] + b"\0\0" + quoted[6:10] + b"\0\0" + quoted[12:]
            # A redirect would teach the router itself a route.
            kinds = [(3, n // 8 % 16, 0), (11, n // 8 % 2, 0), (3, 1, 0), (12, 0, 20 << 24), (4, 0, 0), (3, 3, 0) if p.source in ROUTER else (5, 1, 0x0A000203)]
            kind, code, rest = (3, 4, 1300) if do == "toobig" else kinds[n % 6]
        if do == "odderror":
            # Errors that quote too little, or what never was.
            at = 40 if v6 else 20
            quoted = [quoted[:at + n % 8], quoted[:at] + b"\x7f\x7f" + quoted[at + 2:], quoted[:at - 12] + quoted[at:], quoted[:at + 9] + b"\x55" + quoted[at + 10:],
                      quoted[:at + 8], bytes([quoted[0] + 1]) + quoted[1:]][n // 64 % 6]
        source = p.destination
        if not v6 and kind == 3 and code == 4 and do != "toobig" or p.source in ROUTER and kind == (2 if v6 else 3) and code == (0 if v6 else 4):
            kind, code, rest = (1, 4, 0) if v6 else (3, 3, 0)
        if n & 32 and port == 1:
            source = "2001:db8:ffff::1" if v6 else "198.51.100.1"
        body = f.icmp(kind, code, rest, quoted)
        mac = "AB"[port] + "2"
        return [(port, f.frame(mac, "r%d" % port, f.packet(source, p.source, 58 if v6 else 1, body)))]
