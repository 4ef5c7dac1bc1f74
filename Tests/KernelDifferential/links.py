"""Tables of the families below IP: netdev chains at both ends of a port, arp chains, and bridge chains, which see nothing: no port belongs to
a bridge."""


def bridge(r):
    lines = ["ether saddr 02:00:00:00:0a:02 counter", "ip daddr 10.0.2.2 counter drop", "counter accept", "meta ibrname \"br0\" counter", "udp dport 53 counter drop", "vlan id 5 counter"]
    hook, priority = r.pick(("prerouting", "dstnat"), ("forward", "filter"), ("postrouting", "srcnat"))
    return ["bridge b", [["chain b0", ["type filter hook %s priority %s; policy drop;" % (hook, priority)] + r.random.sample(lines, 3)]]]


def netdev(r):
    r.family, r.v4, r.v6, r.hook, r.subs, r.wide = "netdev", True, True, "ingress", [], False
    r.blocks = []
    r.declare()
    for number in range(r.pick(1, 1, 2)):
        r.hook = r.pick("ingress", "ingress", "egress")
        port = r.pick("r0", "r1")
        rules = [r.rule(simple=True) for _ in range(r.random.randint(1, 3))]
        if r.chance(20):
            match = r.consistent(lambda: r.match(simple=True))
            rules.append("%s %s to \"%s\"" % (match, r.pick("dup", "fwd"), r.pick("r0", "r1")))
        r.blocks.append(["chain n%d" % number, ["type filter hook %s device \"%s\" priority %d; policy accept;" % (r.hook, port, r.pick(0, 0, -5))] + rules])
    return ["netdev n", r.blocks]


def arp(r):
    lines = {"input": [], "output": []}
    for hook in lines:
        for _ in range(r.random.randint(1, 2)):
            words = [r.pick("arp operation request", "arp operation reply", "arp operation != request", "arp saddr ip %s" % r.pick("10.0.1.2", "10.0.1.3"), "arp daddr ip 10.0.1.1",
                            "arp htype 1", "arp plen 4", "arp saddr ether 02:00:00:00:0a:02", "iifname \"r0\"" if hook == "input" else "oifname \"r0\"", "meta length < 40",
                            "meta l4proto 0", "@nh,0,16 1") for _ in range(r.pick(1, 1, 2))]
            lines[hook].append(" ".join(words + [r.pick("counter", "counter", "counter drop", "counter accept", "meta mark set 1", "meta mark 1 counter")]))
    return ["arp a", [["chain %s%d" % (hook, number), ["type filter hook %s priority 0; policy accept;" % hook] + rules] for number, (hook, rules) in enumerate(lines.items())]]
