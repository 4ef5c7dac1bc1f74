"""FTP and TFTP with their helpers, and the table that gives connections theirs: what clients and servers say, data connections included.

A server connects to, and a client reads, the address and port that really arrived: what NAT wrote into the payload."""
import re
import struct

import frames as f
import pptp
import sip
from frames import ACK, FIN, PSH, SYN

FTP = ["syn", "synack", "ack", "rgreet", "data", "cmd", "rcmd", "dsyn", "dsynack", "dack", "ddata", "drdata", "ddata", "data", "dfin", "drfin", "cmd", "rcmd", "dsyn", "dsynack", "fin", "rfin", "ack"]
# Other ways to say it: in two segments, twice in one, with an address that is not the speaker's, with what comes later first, again with more behind it.
FTP_ODD = ["cmdsplit", "rcmdsplit", "cmdtwice", "cmdwrong", "rcmdwrong", "cmdover", "hsack", "rhsack", "cmd", "rcmd", "again", "dother", "dback", "dsyn", "dsynack", "data", "rdata"]
TFTP = ["rrq", "tdata", "tack", "tdata", "tack", "rrq", "tdata"]
BY_SERVER = ("rgreet", "rcmd", "rcmdsplit", "rcmdwrong", "rhsack")
# By the one who opens the data connection, and by the other one.
DATA = {"dother": True, "dback": True, "dsyn": True, "dsynack": False, "dack": True, "ddata": True, "drdata": False, "dfin": True, "drfin": False}


KINDS = {"ftp": 6, "tftp": 17, "sip": 17, "siptcp": 6, "pptp": 6}
PORTS = {"ftp": 21, "tftp": 69, "sip": 5060, "siptcp": 5060, "pptp": 1723}
SERVICES = [("ftp", "tcp", 21), ("tftp", "udp", 69), ("sip", "udp", 5060), ("sip", "tcp", 5060), ("pptp", "tcp", 1723)]


def table(r):
    family = r.pick("inet", "inet", "ip", "ip6")
    l3 = " l3proto %s;" % ("ip6" if family == "ip6" else "ip") if family != "inet" or r.chance(30) else ""
    priority = r.pick("-190", "mangle", "filter", "-90")
    hook = r.pick("prerouting", "prerouting", "prerouting", "forward", "postrouting")
    objects, rules = [], []
    for number, (kind, protocol, port) in enumerate(SERVICES):
        if kind == "pptp" and family == "ip6":
            # There is none for IPv6.
            continue
        objects.append(["ct helper h%d" % number, ["type \"%s\" protocol %s;%s" % (kind, protocol, " l3proto ip;" if kind == "pptp" else l3)]])
        rules.append("%s dport %d ct helper set \"h%d\"" % (protocol, port, number))
    more = ["ct helper \"%s\" counter" % kind for kind in ("ftp", "tftp", "sip", "pptp")]
    more += ["ct state related counter", "ct status expected counter", "ct state related ct mark set 5", "ct state related,established counter accept", "ct state new tcp dport != 21 counter",
             "tcp dport 21 ct mark set 7", "udp dport 5060 ct mark set 9", "ct state related ct mark 7 counter", "ct state related ct mark 9 counter", "tcp dport 1723 ct mark set 3", "ct status expected ct helper \"sip\" counter",
             "meta l4proto gre ct mark 3 counter", "ct state related ct helper set \"h2\"", "ct state new ct label set 5"]
    blocks = [["chain h", ["type filter hook %s priority %s; policy accept;" % (hook, priority)] + rules + r.random.sample(more, 4)]]
    if r.chance(50):
        blocks.append(["chain w", ["type filter hook forward priority 20; policy %s;" % r.pick("accept", "drop"), "ct state established counter accept"] + r.random.sample(more, 2)
                       + [r.pick("ct state related counter accept", "ct status expected counter accept"), "meta l4proto { tcp, udp } th dport { 21, 69, 5060, 1723 } counter accept", "counter"]])
    return ["%s hlp" % family, objects + blocks]


def translation(r):
    """A table of NAT as gateways have it, for what needs more luck from random rules than there is."""
    v4 = r.chance(75)
    family, own, other, server = ("ip", "10.0.2.1", "192.0.2.9", "10.0.2.3") if v4 else ("ip6", "fd00:2::1", "2001:db8::9", "fd00:2::3")
    post = ["type nat hook postrouting priority srcnat; policy accept;",
            r.pick("oifname \"r1\" masquerade", "oifname \"r1\" snat to %s" % other, "oifname \"r1\" snat to %s" % own, "snat to %s saddr map { %s : %s }" % (family, "10.0.1.2" if v4 else "fd00:1::2", other), "oifname \"r0\" masquerade")]
    pre = ["type nat hook prerouting priority dstnat; policy accept;",
           r.pick("tcp dport { 21, 1723, 5060 } dnat to %s", "udp dport { 69, 5060 } dnat to %s", "iifname \"r0\" dnat to %s", "iifname \"r0\" meta l4proto { tcp, udp } dnat to %s") % server]
    chains = [["chain post", post], ["chain pre", pre]]
    return ["%s gateway" % family, r.pick(chains, chains[:1], chains[:1], chains[1:])]


def talk(r, talk, number):
    """Makes a conversation one of an application with a helper."""
    proto = r.choice(["ftp", "ftp", "ftp", "tftp", "sip", "sip", "sip", "siptcp", "pptp", "pptp"])
    if proto == "pptp" and talk["v"] == 6 and r.random() < 0.9:
        proto = "sip"
    modes = ["port", "pasv", "eprt", "epsv"] if talk["v"] == 4 else ["eprt", "epsv"]
    # A port of its own: where two want the same, Linux picks another at random.
    ports = [3000 + number, 1000 + number, 50000 + number, 40000 + number]
    sport = 5060 if proto == "sip" and r.random() < 0.6 else r.choice([1000, 2000, 2000, 40000]) + number
    return dict(talk, proto=proto, sport=sport, dport=PORTS[proto], mode=r.choice(modes), modes=modes if r.random() < 0.4 else [], data=r.choice(ports), call=500 + 10 * number, number=number)


def script(r, talk):
    """The steps of a conversation of `talk`; None if it is none of an application's."""
    proto = talk["proto"]
    if proto == "ftp":
        steps = list(FTP)
        for _ in range(r.choice([0, 0, 1, 2, 4])):
            steps.insert(r.randint(3, len(steps) - 3), r.choice(FTP_ODD))
        return steps
    return {"tftp": lambda: list(TFTP), "sip": lambda: sip.script(r, False), "siptcp": lambda: sip.script(r, True), "pptp": lambda: pptp.script(r)}.get(proto, lambda: None)()


def by_server(do):
    return do in BY_SERVER or do.startswith(("sip s", "pptp s"))


def words(s, do, n):
    """What is said in a step, a list of one segment's bytes each; None if it is nobody's here."""
    if do.startswith("sip "):
        text = sip.message(s, "c" if " c " in do else "s", do.split()[2], n)
        if text is None:
            return []
        if s["proto"] == "siptcp" and n % 16 == 1:
            return [text[:len(text) // 2], text[len(text) // 2:]]
        return [text + text] if s["proto"] == "siptcp" and n % 16 == 2 else [text]
    if do.startswith("pptp "):
        return [pptp.words(s, do, n)]
    return ftp(s, do, n)


def ftp(s, do, n):
    if do == "rgreet":
        return [b"220 ready\r\n"]
    if do in ("cmd", "cmdsplit", "cmdtwice", "cmdwrong", "cmdover"):
        if s["modes"]:
            s["mode"] = s["modes"][n % len(s["modes"])]
            s["data"] += 10
        host = s["client"][:-1] + "3" if do == "cmdwrong" else s["client"]
        if s["mode"] == "port":
            text = "PORT %s,%d,%d\r\n" % (host.replace(".", ","), s["data"] >> 8, s["data"] & 255)
        elif s["mode"] == "eprt":
            text = "EPRT |%d|%s|%d|\r\n" % (1 if s["v"] == 4 else 2, host, s["data"])
        else:
            text = {"pasv": "PASV\r\n", "epsv": "EPSV\r\n"}[s["mode"]]
        if n % 16 == 1:
            text = [text.lower(), text[:-2] + "\n", "NOOP\r\n" + text, text[:-1], text.replace(",", ", "), text.replace("|", "!"), text.replace("\r", " \r"), text + "LIST\r\n"][n // 16 % 8]
    elif do in ("rcmd", "rcmdsplit", "rcmdwrong"):
        own = s["seen"][1].destination if s["seen"] else s["server"]
        if do == "rcmdwrong":
            own = own[:-1] + "3"
        if s["mode"] == "pasv":
            text = "227 Entering Passive Mode (%s,%d,%d).\r\n" % (own.replace(".", ","), s["data"] >> 8, s["data"] & 255)
        elif s["mode"] == "epsv":
            text = "229 Entering Extended Passive Mode (|||%d|)\r\n" % s["data"]
        else:
            text = "200 ok\r\n"
        if n % 16 == 1:
            text = [text.replace("(", "").replace(")", ""), text[:-2] + "\n", "220-x\r\n" + text, text[:-1], text.replace("(", "=("), text.replace("|||", "!!!").replace("|)", "!)"), text + "200 ok\r\n", text.replace(",", ".")][n // 16 % 8]
    else:
        return None
    text = text.encode()
    if do in ("cmdsplit", "rcmdsplit"):
        at = n // 256 % len(text)
        return [part for part in (text[:at], text[at:]) if part]
    return [text + text] if do == "cmdtwice" else [text]


def attend(s, do, p, client_port, port):
    """What the end learns that a frame arrived at."""
    side = "c" if port == client_port and p.destination == s["client"] else "s"
    if p.protocol == 6 and len(p.body) >= 20 and {p.sport, p.dport} & set(PORTS.values()):
        length = len(p.body) - (p.body[12] >> 4) * 4 + (p.flags & 1) + (p.flags >> 1 & 1)
        s["next", side] = p.seq + length & 0xFFFFFFFF
    {"ftp": lambda: hear(s, do, p), "sip": lambda: sip.hear(s, side, p), "siptcp": lambda: sip.hear(s, side, p), "pptp": lambda: pptp.hear(s, side, p)}.get(s["proto"], lambda: None)()


def hear(s, do, p):
    """What the other end reads in a payload that arrived: where the data connection goes."""
    text = p.body[(p.body[12] >> 4) * 4:].decode(errors="replace") if p.protocol == 6 and len(p.body) >= 20 else ""
    found = re.search(r"(?:PORT |\()(\d+),(\d+),(\d+),(\d+),(\d+),(\d+)", text)
    if found:
        n = [int(word) for word in found.groups()]
        s["announced"] = (".".join(map(str, n[:4])), n[4] << 8 | n[5])
    found = re.search(r"EPRT \|\d\|([0-9a-f.:]+)\|(\d+)\|", text)
    if found:
        s["announced"] = (found.group(1), int(found.group(2)))
    found = re.search(r"\(\|\|\|(\d+)\|\)", text)
    if found:
        s["announced"] = (p.source, int(found.group(1)))


def data(s, do, n, payload):
    """The frame of a step of the data connection: [(port, bytes)]."""
    if not s.get("announced"):
        return []
    client_port = 0 if s["mac"][0] == "A" else 1
    active = s["mode"] in ("port", "eprt")
    if DATA[do]:
        port = 1 - client_port if active else client_port
        own = (s["seen"][1].destination if s["seen"] else s["server"]) if active else s["client"]
        source, sport, (destination, dport) = own, 20 if active else s["data"] + 7, s["announced"]
        s["data_port"] = port
        seq, ack = 9000, 7000
        if do == "dother":
            source = source[:-1] + "3"
        elif do == "dback":
            # From the end that listens.
            port, source, destination, sport, dport = 1 - port, destination, source, dport, sport
    else:
        if not s.get("data_seen"):
            return []
        port, p = s["data_seen"]
        source, destination, sport, dport = p.destination, p.source, p.dport, p.sport
        seq, ack = 7000, 9000
    sent = s.setdefault("data_sent", {"ddata": 0, "drdata": 0})
    mine, theirs = ("ddata", "drdata") if DATA[do] else ("drdata", "ddata")
    at, back = seq + 1 + sent[mine], ack + 1 + sent[theirs]
    segment = {"dsyn": (SYN, seq, 0, b""), "dother": (SYN, seq, 0, b""), "dback": (SYN, seq, 0, b""), "dsynack": (SYN | ACK, seq, ack + 1, b""), "dack": (ACK, at, back, b""), "dfin": (FIN | ACK, at, back, b""), "drfin": (FIN | ACK, at, back + 1, b"")}.get(
        do, (ACK | PSH, at, back, payload))
    sent[mine] += len(segment[3])
    if ":" in destination and "." in destination:
        return []
    mac = "AB"[port] + ("3" if source.endswith("3") else "2")
    return [(port, f.frame(mac, "r%d" % port, f.packet(source, destination, 6, f.tcp(sport, dport, *segment), ident=n & 0xFFFF | 1)))]


def tftp(s, do, n, payload):
    """The frame of a step of TFTP's."""
    client_port = 0 if s["mac"][0] == "A" else 1
    if do == "rrq":
        port, source, destination, sport, dport, words_ = client_port, s["client"], s["server"], s["sport"], 69, b"\0\1file\0octet\0"
    elif do == "tack":
        if not s.get("peer"):
            return []
        port, source, sport, (destination, dport), words_ = client_port, s["client"], s["sport"], s["peer"], b"\0\4\0\1"
    else:
        if not s["seen"]:
            return []
        port, p = s["seen"]
        source, destination, sport, dport, words_ = p.destination, p.source, 5000, p.sport, b"\0\3" + struct.pack("!H", n & 7) + payload
    mac = "AB"[port] + ("3" if source.endswith("3") else "2")
    return [(port, f.frame(mac, "r%d" % port, f.packet(source, destination, 17, f.udp(sport, dport, words_), ident=n & 0xFFFF | 1)))]
