"""Chains of type nat: every form of binding whose outcome Linux does not choose at random.

Where Linux does (a port of a range, or a free one because the client's is taken), the harness tells Needletail which one it was
(frames.ports), and Needletail takes it if it lies in its range and is free."""


def chain(r, hook, priority):
    r.hook, named_l3 = hook, "ip" if r.v4 else "ip6"
    if r.wide:
        r.blocks += named(r, hook, named_l3)
    lines = ["type nat hook %s priority %s; policy accept;" % (hook, priority)]

    def make():
        # Nothing that speaks of several transport protocols: nft's versions differ in whether a port may follow.
        match = r.consistent(lambda: " ".join(r.match() for _ in range(r.pick(0, 1, 1, 2))), unless="l4proto|ct protocol|th ")
        if r.family == "inet":
            l3 = "ip" if r.v4 and (not r.v6 or r.chance(70)) else "ip6"
        else:
            l3 = r.ip
        bound = by_name(r, hook, l3, " " + l3 if r.family == "inet" else "") if r.wide and l3 == named_l3 and r.chance(40) else binding(r, hook, l3)
        return " ".join((match + " " + r.pick("counter ", "") + bound).split())
    lines += [r.consistent(make) for _ in range(r.random.randint(1, 3))]
    return ["chain nat_" + hook, lines]


def binding(r, hook, l3):
    family = " " + l3 if r.family == "inet" else ""
    guard = "meta nfproto %s " % ("ipv4" if l3 == "ip" else "ipv6") if r.family == "inet" else ""
    return guard + (source if hook in ("postrouting", "input") else destination)(r, l3, family)


def named(r, hook, l3):
    """The maps of this hook's bindings, as blocks; their names end in the hook's, as the table may have several chains."""
    host = (lambda v4, v6: v4 if l3 == "ip" else v6)
    kind, first, second = host("ipv4_addr", "ipv6_addr"), host("10.0.2.2", "fd00:2::2"), host("10.0.1.3", "fd00:1::3")
    client, inner, public = host("10.0.1.2", "fd00:1::2"), host("10.0.1.0/24", "fd00:1::/64"), host("192.0.2.0/24", "2001:db8::/64")
    own, other = host("10.0.2.1", "fd00:2::1"), host("192.0.2.9", "2001:db8::9")
    if hook in ("postrouting", "input"):
        return [["map out_%s" % hook, ["type %s : %s" % (kind, kind), "flags interval", "elements = { %s : %s, %s : %s }" % (client, other, host("10.0.2.0/24", "fd00:2::/64"), own)]],
                ["map outport_%s" % hook, ["type inet_service : %s" % kind, "elements = { 80 : %s, 53 : %s }" % (other, own)]],
                ["map outif_%s" % hook, ["type ifname . %s : %s" % (kind, kind), "elements = { \"r1\" . %s : %s, \"r0\" . %s : %s }" % (client, other, first, host("10.0.1.1", "fd00:1::1"))]],
                ["map outrange_%s" % hook, ["type %s : interval %s" % (kind, kind), "flags interval", "elements = { %s : %s }" % (inner, host("203.0.113.0/24", "2001:db8:1::/64"))]]]
    return [["map in_%s" % hook, ["type inet_service : %s" % kind, "flags interval", "elements = { 80 : %s, 443-2000 : %s }" % (first, second)]],
            ["map inport_%s" % hook, ["type inet_service : inet_service", "elements = { 80 : 8080, 8080 : 80, 53 : 5353 }"]],
            ["map inboth_%s" % hook, ["type inet_service : %s . inet_service" % kind, "elements = { 80 : %s . 8080, 443 : %s . 22 }" % (first, second)]],
            ["map inpair_%s" % hook, ["type %s . inet_service : %s . inet_service" % (kind, kind), "flags interval", "elements = { %s . 80-443 : %s . 8080, %s . 53 : %s . 53 }" % (public, first, own, second)]],
            ["map inproto_%s" % hook, ["type inet_proto . inet_service : %s" % kind, "elements = { tcp . 80 : %s, udp . 53 : %s }" % (first, second)]],
            ["map fromto_%s" % hook, ["type %s . %s : %s" % (kind, kind, kind), "flags interval", "elements = { %s . %s : %s }" % (inner, public, first)]]]


def by_name(r, hook, l3, family):
    """A binding by one of the maps of `named`."""
    if hook in ("postrouting", "input"):
        result = ["snat%s to %s saddr map @out_%s" % (family, l3, hook), "%s snat%s to %s map @outport_%s" % ((r.pick("meta l4proto tcp", "meta l4proto udp"), family) + ("th dport", hook))]
        if hook == "postrouting":
            result += ["snat%s to oifname . %s saddr map @outif_%s" % (family, l3, hook), "oifname \"r1\" snat%s prefix to %s saddr map @outrange_%s" % (family, l3, hook)]
        return r.pick(*result)
    tcp, port = r.pick(("meta l4proto tcp", "tcp dport"), ("meta l4proto udp", "udp dport"), ("meta l4proto { tcp, udp }", "th dport"))
    result = ["%s dnat%s to %s map @in_%s" % (tcp, family, port, hook), "%s redirect to :%s map @inport_%s" % (tcp, port, hook), "%s dnat%s to %s map @inboth_%s" % (tcp, family, port, hook),
              "%s dnat%s to %s daddr . %s map @inpair_%s" % (tcp, family, l3, port, hook), "%s dnat%s to meta l4proto . th dport map @inproto_%s" % (tcp, family, hook),
              "dnat%s to %s saddr . %s daddr map @fromto_%s" % (family, l3, l3, hook),
              "%s dnat%s to %s:%s map @inport_%s" % (tcp, family, "10.0.2.2" if l3 == "ip" else "[fd00:2::2]", port, hook)]
    return r.pick(*result)


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
        "meta l4proto { tcp, udp } dnat%s to %s daddr . th dport map { %s . 80 : %s . 8080, %s . 53 : %s . 53 }" % (family, l3, own, target, public, two[1]),
        "%s dnat%s to %s:%s" % (service, family, with_port, pick("80-80", "2000-2000", "2000-2001")), "%s dnat%s to %s:2000-2010 %s" % (service, family, with_port, pick("random", "persistent")),
        "%s redirect to :%s" % (service, pick("2000-2003", "2000-2003 random")), "dnat%s prefix to %s daddr map { %s : %s }" % (
            family, l3, host("192.0.2.4/30", "2001:db8::4/126"), host("10.0.2.0/30", "fd00:2::/126")))
