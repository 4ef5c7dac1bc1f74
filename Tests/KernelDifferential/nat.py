"""Chains of type nat: every form of binding whose outcome Linux does not choose at random.

Where Linux does (a port of a range, or a free one because the client's is taken), the harness tells Needletail which one it was
(frames.ports), and Needletail takes it if it lies in its range and is free."""


def chain(r, hook, priority):
    r.hook = hook
    lines = ["type nat hook %s priority %s; policy accept;" % (hook, priority)]

    def make():
        # Nothing that speaks of several transport protocols: nft's versions differ in whether a port may follow.
        match = r.consistent(lambda: " ".join(r.match() for _ in range(r.pick(0, 1, 1, 2))), unless="l4proto|ct protocol|th ")
        if r.family == "inet":
            l3 = "ip" if r.v4 and (not r.v6 or r.chance(70)) else "ip6"
        else:
            l3 = r.ip
        return " ".join((match + " " + r.pick("counter ", "") + binding(r, hook, l3)).split())
    lines += [r.consistent(make) for _ in range(r.random.randint(1, 3))]
    return ["chain nat_" + hook, lines]


def binding(r, hook, l3):
    family = " " + l3 if r.family == "inet" else ""
    guard = "meta nfproto %s " % ("ipv4" if l3 == "ip" else "ipv6") if r.family == "inet" else ""
    return guard + (source if hook == "postrouting" else destination)(r, l3, family)


def source(r, l3, family):
    pick = r.pick
    host = (lambda v4, v6: v4 if l3 == "ip" else v6)
    own, other, client, inner = host("10.0.2.1", "fd00:2::1"), host("192.0.2.9", "2001:db8::9"), host("10.0.1.2", "fd00:1::2"), host("10.0.1.0/24", "fd00:1::/64")
    port = (lambda address: address if l3 == "ip" else "[%s]" % address)
    return pick(
        "oifname \"r1\" masquerade", "oifname \"r1\" masquerade", "masquerade persistent", "snat%s to %s" % (family, own), "snat%s to %s" % (family, other),
        "snat%s to %s" % (family, host("192.0.2.16-192.0.2.19", pick("2001:db8::10", "2001:db8::10-2001:db8::13", "2001:db8::fffe-2001:db8::1:3"))),
        "snat%s to %s persistent" % (family, host("192.0.2.16-192.0.2.19", "2001:db8::10-2001:db8::13")),
        "oifname \"r1\" snat%s prefix to %s" % (family, host("ip saddr map { 10.0.1.0/24 : 203.0.113.0/24 }", "ip6 saddr map { fd00:1::/64 : 2001:db8:1::/64 }")),
        "oifname \"r1\" snat%s to %s saddr map { %s : %s }" % (family, l3, client, host("192.0.2.20", "2001:db8::20")),
        "%s snat%s to %s:%s" % (r.pick("tcp dport 1-65535", "udp sport 1-65535"), family, port(pick(own, other)), pick("1000-1001", "1000-1000", "1000-1004", "5000")),
        "%s masquerade to :%s" % (r.pick("tcp dport 1-65535", "udp sport 1-65535"), pick("1000-1001", "1000-1004", "5000")),
        "oifname \"r1\" snat%s to numgen inc mod 2 map { 0 : %s, 1 : %s }" % (family, own, other),
        "oifname \"r1\" snat%s to jhash %s saddr mod 2 seed 0x5 map { 0 : %s, 1 : %s }" % (family, l3, own, other),
        "oifname \"r1\" masquerade %s" % pick("random", "fully-random", "random,persistent"), "oifname \"r1\" snat%s to %s %s" % (family, own, pick("random", "fully-random")),
        "%s snat%s to %s:%s random" % (r.pick("tcp dport 1-65535", "udp sport 1-65535"), family, port(pick(own, other)), pick("1000-1001", "2000-2100")),
        "snat%s to %s saddr . tcp dport map { %s . 80 : %s, %s . 0-1023 : %s }" % (family, l3, client, other, inner, own),
        "snat%s to %s saddr map { %s : %s }" % (family, l3, inner, other))


def destination(r, l3, family):
    pick = r.pick
    host = (lambda v4, v6: v4 if l3 == "ip" else v6)
    service = pick("tcp dport %d", "udp dport %d", "th dport %d")
    service = ("meta l4proto { tcp, udp } " if service[0:2] == "th" else "") + service % pick(80, 8080, 53)
    target = host(pick("10.0.2.2", "10.0.2.3", "10.0.1.3"), pick("fd00:2::2", "fd00:2::3"))
    two = host(("10.0.2.2", "10.0.2.3"), ("fd00:2::2", "fd00:2::3"))
    with_port = target if l3 == "ip" else "[%s]" % target
    public, own, net = host("192.0.2.7", "2001:db8::7"), host("10.0.2.1", "fd00:2::1"), host("10.0.2.0/24", "fd00:2::/64")
    return pick(
        "%s dnat%s to %s" % (service, family, target), "%s dnat%s to %s:%d" % (service, family, with_port, pick(80, 8080, 2000)),
        "%s dnat%s to %s" % (service, family, target), "%s redirect to :%d" % (service, pick(80, 2000)), "%s redirect" % service,
        "dnat%s to %s daddr map { %s : %s }" % (family, l3, public, target),
        "tcp dport 80 dnat%s to %s-%s" % (family, two[0], two[1]), "udp dport 53 dnat%s to %s-%s persistent" % (family, two[0], two[1]),
        "dnat%s to %s daddr . tcp dport map { %s . 80 : %s . 8080 }" % (family, l3, own, target),
        "meta l4proto %s dnat%s to numgen inc mod 2 map { 0 : %s, 1 : %s }" % (pick("tcp", "udp"), family, two[0], two[1]),
        "meta l4proto %s dnat%s to jhash %s saddr . %s daddr mod 2 seed 0x9 map { 0 : %s, 1 : %s }" % (pick("tcp", "udp"), family, l3, l3, two[0], two[1]),
        "dnat%s to %s daddr . tcp dport map { %s . 80-443 : %s, %s . 8080 : %s }" % (family, l3, net, target, public, two[0]),
        "dnat%s to %s daddr . th dport map { %s . 80 : %s . 8080, %s . 53 : %s . 53 }" % (family, l3, own, target, public, two[1]),
        "%s dnat%s to %s:%s" % (service, family, with_port, pick("80-80", "2000-2000", "2000-2001")), "%s dnat%s to %s:2000-2010 %s" % (service, family, with_port, pick("random", "persistent")),
        "%s redirect to :%s" % (service, pick("2000-2003", "2000-2003 random")), "dnat%s prefix to %s daddr map { %s : %s }" % (
            family, l3, host("192.0.2.4/30", "2001:db8::4/126"), host("10.0.2.0/30", "fd00:2::/126")))
