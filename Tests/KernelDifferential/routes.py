"""Where packets go and whence they came: every form of `fib` and `rt`, the keys of a connection in both directions, copies, transparent proxies.

Left out: a copy to an address that nobody has, since Linux waits for it, or by a port that does not lead there (docs/nft.md); what Linux refuses
in a hook; lives that end right at a bound of a match; sets of labels, which nft 1.0.6 cannot list."""


def matches(r, hook):
    pick, ip = r.pick, r.ip
    host = pick(*r.hosts[:5])
    side = pick("saddr", "daddr")
    result = ["ct original %s %s . ct direction { %s . original, %s . reply }" % (ip, side, r.hosts[0], r.hosts[2]), "ct reply %s %s { %s, %s }" % (ip, side, r.hosts[0], r.hosts[3]),
              "ct original %s saddr . ct original %s daddr { %s . %s }" % (ip, ip, r.hosts[0], r.hosts[2]), "ct expiration < 50s", "ct expiration 20s-100s", "ct avgpkt < 80", "ct original bytes 40-200", "ct reply packets 1-3",
              "ct original avgpkt { 0-60, 100-1500 }", "ct packets . ct mark { 1-2 . 0 }", "ct label 1,100", "ct status expected", "ct status assured,seen-reply", "ct status == confirmed",
              "ct status & (dnat | snat) != 0", "ct zone { 0, 1 }", "ct direction != original", "ct state . %s saddr vmap { new . %s : continue, established . %s : accept }" % (ip, host, host),
              "meta iifkind \"vlan\"", "meta nfproto . meta l4proto { ipv4 . tcp, ipv6 . udp }" if r.family == "inet" else "counter",
              "fib daddr type { unicast, local, broadcast }", "fib saddr type != unicast", "fib daddr type vmap { local : continue, unicast : accept }", "fib daddr . mark type unicast", "fib daddr type multicast"]
    if hook in ("prerouting", "input"):
        result += ["socket transparent 1", "socket wildcard 0", "socket mark 1"]
    if hook in ("prerouting", "input", "forward"):
        result += ["meta ipsec missing", "fib saddr . iif type unicast", "fib daddr . iif type != local", "fib saddr . mark . iif type unicast", "fib saddr . iif oif 0", "fib saddr oifname \"r0\"", "fib daddr oif exists", "fib daddr oif \"r1\"",
                   "fib daddr . iif oif missing", "fib saddr . iif oifname != \"r0\"", "fib daddr . mark oifname { \"r0\", \"r1\" }", "fib saddr oif vmap { \"r0\" : continue, \"r1\" : accept }", "fib saddr . iif oif != \"r0\""]
    if hook in ("output", "postrouting", "forward"):
        result += ["rt mtu < 1460", "rt mtu > 1499", "rt ipsec missing", "fib daddr . oif type local", "fib saddr . oif type unicast", "rt %s nexthop { %s, %s }" % (ip, r.hosts[2], r.hosts[0]), "rt nexthop %s" % r.hosts[2] if r.family != "inet" else "rt ip6 nexthop fd00:2::2", "rt classid != 1"]
    return result


def statements(r, hook):
    pick, ip = r.pick, r.ip
    result = ["ct label set %d" % pick(2, 127), "ct mark set ct mark"]
    if r.family in ("ip", "ip6") and hook in ("prerouting", "forward", "postrouting", "input"):
        # The copy meets connection tracking no more, but egress and, of itself, postrouting.
        net = pick(1, 2)
        target = ("10.0.%d.3" if ip == "ip" else "fd00:%d::3") % net
        result += ["dup to %s" % target, "dup to %s device \"r%d\"" % (target, net - 1), "dup to %s saddr map { %s : %s }" % (ip, r.hosts[0], target)]
    if hook == "prerouting":
        result += ["meta l4proto tcp tproxy to :1234", "meta l4proto udp tproxy to :1234", "tcp dport 80 tproxy %sto :80 meta mark set 1 accept" % ("ip " if r.family == "inet" and ip == "ip" else "")]
    return result
