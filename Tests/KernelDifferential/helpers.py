"""FTP and TFTP with their helpers: a table that gives them to connections, and what clients and servers say, data connections included.

A server connects to, and a client reads, the address and port that really arrived: what NAT wrote into the payload."""
import re
import struct

import frames as f
from frames import ACK, FIN, PSH, SYN

FTP = ["syn", "synack", "ack", "rgreet", "data", "cmd", "rcmd", "dsyn", "dsynack", "dack", "ddata", "drdata", "ddata", "data", "dfin", "drfin", "cmd", "rcmd", "dsyn", "dsynack", "fin", "rfin", "ack"]
TFTP = ["rrq", "tdata", "tack", "tdata", "tack", "rrq", "tdata"]
BY_SERVER = ("rgreet", "rcmd")
# By the one who opens the data connection, and by the other one.
DATA = {"dsyn": True, "dsynack": False, "dack": True, "ddata": True, "drdata": False, "dfin": True, "drfin": False}


def table(r):
    family = r.pick("inet", "inet", "ip", "ip6")
    l3 = " l3proto %s;" % ("ip6" if family == "ip6" else "ip") if family != "inet" or r.chance(30) else ""
    priority = r.pick("-190", "mangle", "filter", "-90")
    hook = r.pick("prerouting", "prerouting", "forward")
    rules = ["tcp dport 21 ct helper set \"ftph\"", "udp dport 69 ct helper set \"tftph\""]
    more = ["ct helper \"ftp\" counter", "ct state related counter", "ct status expected counter", "ct helper \"tftp\" counter", "ct state related ct mark set 5", "ct state related,established counter accept",
            "ct state new tcp dport != 21 counter", "tcp dport 21 ct mark set 7"]
    return ["%s hlp" % family, [["ct helper ftph", ["type \"ftp\" protocol tcp;" + l3]], ["ct helper tftph", ["type \"tftp\" protocol udp;" + l3]],
                                    ["chain h", ["type filter hook %s priority %s; policy accept;" % (hook, priority)] + rules + r.random.sample(more, 3)]]]


def talk(r, talk):
    """Makes a conversation one of FTP or TFTP."""
    proto = r.choice(["ftp", "ftp", "tftp"])
    modes = ["port", "pasv", "eprt", "epsv"] if talk["v"] == 4 else ["eprt", "epsv"]
    return dict(talk, proto=proto, dport=21 if proto == "ftp" else 69, mode=r.choice(modes), data=r.choice([3000, 3001, 1000, 50000]))


def words(s, do):
    """What FTP says in a step; None if it is no step of FTP's."""
    if do == "rgreet":
        return b"220 ready\r\n"
    if do == "cmd":
        if s["mode"] == "port":
            return ("PORT %s,%d,%d\r\n" % (s["client"].replace(".", ","), s["data"] >> 8, s["data"] & 255)).encode()
        if s["mode"] == "eprt":
            return ("EPRT |%d|%s|%d|\r\n" % (1 if s["v"] == 4 else 2, s["client"], s["data"])).encode()
        return {"pasv": b"PASV\r\n", "epsv": b"EPSV\r\n"}[s["mode"]]
    if do == "rcmd":
        own = s["seen"][1].destination if s["seen"] else s["server"]
        if s["mode"] == "pasv":
            return ("227 Entering Passive Mode (%s,%d,%d).\r\n" % (own.replace(".", ","), s["data"] >> 8, s["data"] & 255)).encode()
        if s["mode"] == "epsv":
            return ("229 Entering Extended Passive Mode (|||%d|)\r\n" % s["data"]).encode()
        return b"200 ok\r\n"
    return None


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
    else:
        if not s.get("data_seen"):
            return []
        port, p = s["data_seen"]
        source, destination, sport, dport = p.destination, p.source, p.dport, p.sport
        seq, ack = 7000, 9000
    sent = s.setdefault("data_sent", {"ddata": 0, "drdata": 0})
    mine, theirs = ("ddata", "drdata") if DATA[do] else ("drdata", "ddata")
    at, back = seq + 1 + sent[mine], ack + 1 + sent[theirs]
    segment = {"dsyn": (SYN, seq, 0, b""), "dsynack": (SYN | ACK, seq, ack + 1, b""), "dack": (ACK, at, back, b""), "dfin": (FIN | ACK, at, back, b""), "drfin": (FIN | ACK, at, back + 1, b"")}.get(
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
