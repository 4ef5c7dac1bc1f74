"""SIP with its helper: what a client and a server say over UDP or TCP, and the media that they describe to each other.

Every answer is made from what really arrived: addresses and ports that NAT wrote into requests, contacts and descriptions."""
import random
import re

import frames as f

CALL = ["sip c INVITE", "sip s 100", "sip s 183", "sip s rtp", "sip c rtp", "sip s 200", "sip c ACK", "sip c rtp", "sip s rtp", "sip s rtcp", "sip o rtp"]
END = [["sip c BYE", "sip s 200"], ["sip s BYE", "sip c 200"], ["sip c CANCEL", "sip s 200", "sip s 487", "sip c ACK"]]
REGISTER = ["sip c REGISTER", "sip s 401", "sip c REGISTER", "sip s 200"]
COMES = ["sip s INVITE", "sip c 180", "sip c 200", "sip s ACK", "sip s rtp", "sip c rtp", "sip o rtp"]
AGAIN = ["sip c INVITE", "sip s 200", "sip c ACK", "sip s rtp", "sip c rtp"]
ODD = ["sip c OPTIONS", "sip s 200", "sip c PRACK", "sip c UPDATE", "sip s 486", "sip c REGISTER", "sip s 200", "sip o rtp", "sip c rtcp", "sip s 200", "sip o INVITE", "again", "sip s OPTIONS", "sip c 200"]


def script(r, tcp):
    steps = r.choice([[], REGISTER, REGISTER[2:]]) + r.choice([CALL, COMES, CALL, COMES + CALL]) + r.choice([[], AGAIN]) + r.choice(END) + r.choice([[], ["sip s rtp", "sip c rtp"]])
    for _ in range(r.choice([0, 1, 3])):
        steps.insert(r.randint(0, len(steps)), r.choice(ODD))
    return (["syn", "synack", "ack"] if tcp else []) + steps


def host(address):
    return "[%s]" % address if ":" in address else address


def end(s, side):
    """(own address and port, the other's) as this side knows them; None if it has heard of nobody."""
    if side == "c":
        return s["client"], s["sport"], s["server"], s["dport"]
    if not s["seen"]:
        return None
    p = s["seen"][1]
    return p.destination, p.dport, p.source, p.sport


def description(s, side, own, r):
    base = (8000 if side == "c" else 9000) + 40 * s["number"] + 2 * r.choice([0, 0, 0, 1, 5])
    kind, where = ("IP6" if ":" in own else "IP4"), r.choice([own] * 7 + [{"IP4": "0.0.0.0", "IP6": "::"}["IP6" if ":" in own else "IP4"], own[:-1] + "3"])
    media = r.choice([["audio"], ["audio"], ["audio", "video"], ["audio", "video", "image"], ["audio", "application"]])
    lines = ["v=0", "o=al %d 1 IN %s %s" % (r.choice([1, 12345]), kind, own), "s=-"]
    each = r.random() < 0.3
    if not each or r.random() < 0.3:
        lines.append("c=IN %s %s" % (kind, where))
    lines.append("t=0 0")
    ports = []
    for number, name in enumerate(media):
        port = r.choice([base + 10 * number] * 8 + [0, base + 1, base])
        ports.append(port)
        lines.append("m=%s %d%s %s" % (name, port, r.choice(["", "", "", "/2"]), "udptl t38" if name == "image" else "RTP/AVP 0 8"))
        if each and r.random() < 0.8:
            lines.append("c=IN %s %s" % (kind, where))
        lines += r.choice([[], ["a=rtpmap:0 PCMU/8000", "a=sendrecv"], ["a=rtcp:%d" % (port + 1)]])
    s["own", side] = [port for port in ports if port] or [base]
    return lines


def message(s, side, what, n):
    """The bytes of a message; None if there is nothing to say."""
    r, ends = random.Random(n), end(s, side)
    if not ends:
        return None
    own, port, peer, far = ends
    transport = "TCP" if s["proto"] == "siptcp" else "UDP"
    user, other = ("al", "bob") if side == "c" else ("bob", "al")
    contact = "sip:%s@%s%s%s" % (user, host(own), r.choice([":%d" % port] * 3 + [""]), r.choice(["", "", ";transport=udp", ";lr"]))
    contact = r.choice(["<%s>" % contact, "<%s>" % contact, "\"A\" <%s>" % contact, contact.split(";")[0]])
    heard = s.get(("request", side))
    if what.isdigit():
        if not heard:
            return None
        lines = ["SIP/2.0 %s Said" % what] + re.findall(r"(?mi)^(?:via|v|from|f|to|t|call-id|i|cseq|record-route) *:[^\r\n]*", heard)
        if r.random() < 0.3:
            lines = [re.sub(r"(?i)^((?:via|v) *:[^;]*)(;rport)?", r"\1;received=%s%s" % (peer, r.choice(["", ";rport=%d" % far])), line, count=1) for line in lines]
        registers = re.search(r"(?mi)^cseq *:.*REGISTER", heard)
        if registers:
            found = re.search(r"(?mi)^(?:contact|m) *:([^\r\n]*)", heard)
            lines += ["Contact:%s%s" % (found.group(1), r.choice([";expires=60", ""]))] if found else []
            lines += r.choice([["Expires: %d" % r.choice([100, 3600])], []])
        else:
            lines.append("Contact: %s" % contact)
        describes = not registers and re.search(r"(?mi)^cseq *:.*(INVITE|UPDATE|PRACK)", heard) and what in ("183", "200", "180") and r.random() < 0.9
    else:
        if what in ("ACK", "CANCEL"):
            count = s.get(("count", side), 1)
        else:
            count = s["count", side] = s.get(("count", side), 0) + 1
        target = r.choice(["%s@%s" % (other, host(peer)), "%s@%s:%d" % (other, host(peer), far), host(peer), "%s@example.org" % other])
        if side == "s" and s.get("contact") and r.random() < 0.8:
            target = "al@%s:%d" % (host(s["contact"][0]), s["contact"][1])
        lines = ["%s sip:%s SIP/2.0" % (what, target), "Via: SIP/2.0/%s %s%s;branch=z9hG4bK%d%s" % (transport, host(own), r.choice([":%d" % port, ":%d" % port, ""]), n & 0xFF, r.choice(["", ";rport"]))]
        lines += r.choice([[], [], [], ["Via: SIP/2.0/%s %s:5060;branch=z9hG4bKx" % (transport, host(r.choice([own, peer])))], ["Record-Route: <sip:%s;lr>" % host(own)], ["Route: <sip:%s;lr>" % host(peer)]])
        lines += ["From: <sip:%s@%s>;tag=%d" % (user, host(own), s["number"]), "To: <sip:%s@%s>%s" % (other, host(peer), r.choice(["", ";tag=9"])), "Call-ID: c%d@%s" % (s["number"] if r.random() < 0.9 else 77, host(own)),
                  "CSeq: %d %s" % (count, what), r.choice(["Contact: %s", "Contact: %s", "Contact: %s, <sip:x@10.0.1.3:5070>"]) % contact]
        if what == "REGISTER":
            lines += r.choice([["Expires: 3600"], ["Expires: 100"], ["Expires: 0"], []])
        lines.append("Max-Forwards: 70")
        describes = what in ("INVITE", "UPDATE") and r.random() < 0.95
    body = "\r\n".join(description(s, side, own, r) + [""]) if describes else ""
    lines += ["Content-Type: application/sdp"] if body else []
    if r.random() < 0.15:
        short = {"Via": "v", "From": "f", "To": "t", "Call-ID": "i", "Contact": "m"}
        lines = [re.sub(r"^(Via|From|To|Call-ID|Contact):", lambda found: short[found.group(1)] + ":", line) for line in lines]
    if r.random() < 0.1:
        lines[1:] = r.sample(lines[1:], len(lines) - 1)
    length = len(body) + (r.choice([1, -1, 50]) if r.random() < 0.05 else 0)
    lines.append(r.choice(["Content-Length: %d"] * 5 + ["l: %d", "content-length:%d"]) % length)
    text = "\r\n".join(lines + ["", body])
    if r.random() < 0.15:
        text = spoilt(text, r)
    return text.encode()


def spoilt(text, r):
    """A message with something wrong in it."""
    lines, at = text.split("\r\n"), r.randrange(max(1, text.count("\r\n")))
    kind = r.randrange(9)
    if kind == 0:
        del lines[at]
    elif kind == 1:
        lines.insert(at, lines[at])
    elif kind == 2:
        return text[:r.randrange(len(text))]
    elif kind == 3:
        return text.replace("\r\n", "\n")
    elif kind == 4:
        lines[at] = lines[at].upper()
    elif kind == 5:
        lines[at] = re.sub(r"\d", lambda found: r.choice(["9", found.group(0), "", "00"]), lines[at], count=2)
    elif kind == 6:
        lines[at] = lines[at].replace(" ", r.choice(["", "  ", "\t", "\r\n "]), 1)
    elif kind == 7:
        lines[at] = lines[at].replace(":", r.choice([" :", ";", "::"]), 1)
    else:
        place = r.randrange(len(text))
        return text[:place] + r.choice(["\0", "<", ">", ";", ":", "@", " "]) + text[place + 1:]
    return "\r\n".join(lines)


def hear(s, side, p):
    """What one side, c or s, reads in what arrived."""
    body = p.body[8:] if p.protocol == 17 else p.body[(p.body[12] >> 4) * 4:] if p.protocol == 6 and len(p.body) >= 20 else b""
    text = body.decode(errors="replace")
    if "SIP/2.0" not in text:
        return
    s["from", side] = p
    if not text.startswith("SIP/2.0"):
        s["request", side] = text
        found = re.search(r"(?mi)^(?:contact|m) *:[^\r\n]*?sip:(?:\w+@)?(\[[0-9a-f:]+\]|[0-9.]+)(?::(\d+))?", text)
        if found and side == "s" and text.startswith("REGISTER"):
            s["contact"] = (found.group(1).strip("[]"), min(65535, int(found.group(2) or 5060)))
    address = re.search(r"(?m)^c=IN IP[46] ([0-9a-f.:]+)", text)
    ports = [int(port) for port in re.findall(r"(?m)^m=\w+ (\d{1,5})", text) if 0 < int(port) < 65536]
    if address and ports:
        s["media", side] = [(address.group(1), port) for port in ports]


def valid(address):
    try:
        return f.address(address)
    except OSError:
        return None


def way(s, do, n):
    """(port, MAC, source, destination, source port, destination port) where a step goes another way than client and server; () if it cannot go."""
    _, side, what = do.split()
    client_port = 0 if s["mac"][0] == "A" else 1
    port = client_port if side == "c" else 1 - client_port
    source = target = None
    if what in ("rtp", "rtcp"):
        announced, ends = s.get(("media", "c" if side == "c" else "s")), end(s, "c" if side == "c" else "s")
        if not announced or not ends:
            return ()
        source, sport = ends[0], s.get(("own", side), [9000])[0]
        target, dport = announced[n % len(announced)]
        if what == "rtcp":
            sport, dport = sport + 1, dport + 1
        if side == "o":
            source = source[:-1] + "3"
    elif s["proto"] == "siptcp":
        return None
    elif side == "c" and what.isdigit() and s.get(("from", "c")):
        p = s["from", "c"]
        source, target, sport, dport = p.destination, p.source, p.dport, p.sport
    elif side in ("s", "o") and not what.isdigit() and s.get("contact") and n & 3:
        own = end(s, "s")
        if not own:
            return ()
        source, sport, (target, dport) = own[0], 5060 if n & 4 else 5062, s["contact"]
        if side == "o":
            source = source[:-1] + "3"
    elif side == "o":
        return ()
    else:
        return None
    if not valid(target) or not valid(source) or len(valid(target)) != len(valid(source)) or dport > 65535 or sport > 65535:
        return ()
    if target in ("0.0.0.0", "::", "10.0.1.1", "10.0.2.1") and side != "s":
        return ()
    mac = "AB"[port] + ("3" if source.endswith("3") else "2")
    return port, mac, source, target, sport, dport
