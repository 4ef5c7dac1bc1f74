"""Named maps of every data type, sets of what is not an address or a port, and the matches and statements that look things up in them.

Left out: verdict maps that jump are asked in base chains only, where they cannot make a loop."""

MACS = ["02:00:00:00:0a:02", "02:00:00:00:0a:03", "02:00:00:00:0b:02", "02:00:00:00:0b:03"]
PORTS = [22, 53, 80, 443, 1000, 1001, 2000, 8080]


def net(r):
    return "10.0.%d.0/24" % r.pick(1, 2) if r.v4 else "fd00:%d::/64" % r.pick(1, 2)


def span(r):
    return "10.0.2.2-10.0.2.200" if r.v4 else "fd00:2::2-fd00:2::ff"


def blocks(r):
    """What the matches and statements below name."""
    pick, host, other = r.pick, r.hosts[0], r.hosts[3]
    verdict = lambda: pick("accept", "continue", "return", "drop", "continue")
    jump = lambda: pick("jump %s" % pick(*r.subs), "goto %s" % pick(*r.subs)) if r.subs else "continue"
    result = [
        ["map fates", ["type %s : verdict" % r.address, "flags interval", "elements = { %s : %s, %s : %s }" % (net(r), verdict(), r.hosts[6 if r.v4 else 4], verdict())]],
        ["map jumps", ["type inet_service : verdict", "elements = { %s }" % ", ".join("%d : %s" % (p, jump()) for p in r.random.sample(PORTS, 3))]],
        ["map markfates", ["type mark : verdict", "elements = { 0 : %s, 1 : %s, 4 : %s }" % (pick("continue", jump()), jump(), verdict())]],
        ["map portfates", ["type ifname : verdict", "elements = { \"r0\" : %s, \"r1\" : %s }" % (jump(), pick("continue", jump()))]],
        ["map services", ["type %s . inet_proto . inet_service : verdict" % r.address, "flags interval",
                          "elements = { %s . tcp . 80-443 : %s, %s . udp . 53 : %s, %s . tcp . %d : %s }" % (net(r), jump(), span(r), verdict(), host, pick(22, 8080), verdict())]],
        ["map spanmarks", ["type %s : mark" % r.address, "flags interval", "elements = { %s : 0x5, %s : 0x6 }" % (net(r), r.hosts[6 if r.v4 else 4])]],
        ["map pairmarks", ["type %s . %s : mark" % (r.address, r.address), "flags interval", "elements = { %s . %s : 0x3, %s . %s : 0x4 }" % (host, net(r), other, span(r))]],
        ["map portmarks", ["type ifname : mark", "elements = { \"r0\" : 0x1, \"r1\" : 0x2 }"]],
        ["map routes2", ["type %s . ifname : mark" % r.address, "elements = { %s . \"r0\" : 0x7, %s . \"r1\" : 0x8 }" % (host, other)]],
        ["map tallied", ["type inet_service : counter", "elements = { 80 : \"cnt\", 53 : \"cnt2\", 443 : \"cnt2\" }"]],
        ["map capped", ["type %s : quota" % r.address, "elements = { %s : \"quo\", %s : \"quo2\" }" % (host, other)]],
        ["map slowed", ["type inet_service : limit", "flags interval", "elements = { 53 : \"lim\", 80-443 : \"lim2\" }"]],
        ["counter cnt2", []], ["quota quo2", ["%s %d bytes" % (pick("over", "until"), pick(100, 400, 2000))]],
        ["limit lim2", ["rate %s1/day burst %d packets" % (pick("", "over "), pick(1, 3))]],
        ["set macs", ["type ether_addr", "elements = { %s }" % ", ".join(r.random.sample(MACS, 2))]],
        ["set ifs", ["type ifname", "elements = { \"%s\" }" % pick("r0", "r1")]],
        ["set wild", ["type ifname", "flags interval", "elements = { \"%s\" }" % pick("r*", "x*")]],
        ["set protos", ["type inet_proto", "elements = { %s }" % pick("tcp", "udp, icmp", "tcp, ipv6-icmp", "132, 47")]],
        ["set some", ["type mark", "flags interval", "elements = { %s }" % pick("0-2", "0", "1, 4-6")]],
        ["set doors", ["type %s . ifname" % r.address, "elements = { %s . \"r0\", %s . \"r1\" }" % (host, other)]],
        ["set trio", ["type inet_proto . inet_service . %s" % r.address, "flags interval", "elements = { tcp . 0-1023 . %s, udp . %s . %s }" % (net(r), pick("53", "0-65535"), span(r))]],
        ["set spread", ["typeof %s saddr . th dport" % r.ip, "flags dynamic,timeout", "timeout 1h", "size 8"]],
        ["map sticky", ["type %s . inet_service : %s" % (r.address, r.address), "flags dynamic,timeout", "timeout 1h", "size 8"]],
        ["map ports2", ["type %s : inet_service" % r.address, "flags dynamic", "size 8"]],
    ]
    return result


def matches(r, hook):
    pick, ip = r.pick, r.ip
    side = pick("saddr", "daddr")
    guard, word = pick(("", "tcp dport"), ("", "udp dport"), ("meta l4proto { tcp, udp } ", "th dport"))
    base = hook != "any"
    result = [
        "%s %s vmap @fates" % (ip, side), "%s %s vmap @fates" % (ip, side), "meta l4proto @protos", "meta mark @some", "meta mark != @some", "ct mark @some",
        "meta l4proto . th dport . %s daddr @trio" % ip, "meta l4proto . th sport . %s saddr @trio" % ip, "%s saddr . th dport @spread" % ip,
        "ether saddr @macs", "ether saddr != @macs", "%s daddr . tcp dport vmap { %s . 80-443 : continue, %s . %d : accept }" % (ip, net(r), r.hosts[2], pick(22, 8080)),
        "%s saddr . %s daddr . meta l4proto vmap { %s . %s . tcp : continue, %s . %s . udp : %s }" % (ip, ip, r.hosts[0], r.hosts[2], r.hosts[1], r.hosts[2], pick("accept", "drop")),
        "meta mark . %s %s { 1 . %s, 0 . %s }" % (ip, side, r.hosts[0], r.hosts[2]),
        "ct state . meta mark vmap { new . 0 : continue, established . 1 : accept, established . 0 : continue }",
        "tcp flags . tcp dport { syn . 80, ack . 80 }", "meta length . meta mark { 0-100 . 0, 40-1500 . 1-3 }", "%s %s . meta length { %s . 40-80 }" % (ip, side, net(r)),
        "tcp dport != { 80, 443 } tcp sport != @ports", "ct direction . ct mark { original . 0, reply . 1 }", "ct status & 0x6 == 0x6",
    ]
    if base:
        result += ["%s%s vmap @jumps" % (guard, word), "meta mark vmap @markfates", "%s daddr . meta l4proto . th dport vmap @services" % ip, "ct mark vmap @markfates"]
    if hook in ("prerouting", "input", "forward"):
        result += ["iifname @ifs", "iifname != @ifs", "iifname @wild", "iifname != @wild", "%s saddr . iifname @doors" % ip, "iifname { \"r0\", \"lo\" }", "iifname { \"r*\", \"lo\" }",
                   "iif { \"r0\", \"r1\" }", "iifname vmap @portfates", "iif vmap { \"r0\" : continue, \"r1\" : accept }", "iifname . meta l4proto vmap { \"r0\" . tcp : continue, \"r1\" . udp : accept }"]
    if hook in ("output", "postrouting", "forward"):
        result += ["oifname @ifs", "oifname != @ifs", "oifname @wild", "%s daddr . oifname @doors" % ip, "oifname vmap @portfates", "oif vmap { \"r0\" : continue, \"r1\" : accept }"]
    if hook == "forward":
        result += ["iifname . oifname vmap { \"r0\" . \"r1\" : continue, \"r1\" . \"r0\" : accept }", "iif . oif { \"r0\" . \"r1\" }", "iifname . oifname . %s saddr { \"r0\" . \"r1\" . %s }" % (ip, r.hosts[0])]
    return result


def statements(r, hook):
    pick, ip = r.pick, r.ip
    side = pick("saddr", "daddr")
    result = [
        "meta mark set %s %s map @spanmarks" % (ip, side), "meta mark set %s saddr . %s daddr map @pairmarks" % (ip, ip), "ct mark set %s %s map @spanmarks" % (ip, side),
        "counter name tcp dport map @tallied", "counter name udp dport map @tallied", "quota name %s %s map @capped" % (ip, side), "limit name tcp dport map @slowed", "limit name \"lim2\"",
        "limit name udp dport map @slowed", "add @spread { %s saddr . th dport }" % ip, "update @spread { %s saddr . th dport timeout 2m }" % ip, "delete @spread { %s saddr . th dport }" % ip,
        "add @ports2 { %s saddr : tcp sport }" % ip,
        "update @ports2 { %s daddr : tcp dport }" % ip, "meta mark set meta l4proto map { tcp : 1, udp : 2, icmp : 4 }", "meta mark set ct state map { new : 1, established : 2 }",
        "ct mark set meta mark | 0x10", "ct mark set ct mark and 0xf0", "ct mark set ct mark xor 3", "ct mark set ct mark or 0x100", "ct mark set ct mark & 0xf | 0x20", "meta mark set meta mark xor 0x5", "meta mark set meta mark >> 1",
        "meta mark set ct mark and 0xff", "meta mark set tcp dport map { 80-443 : 3, 1000-2000 : 4 }", "ct mark set tcp dport map { 80-443 : 3, 8080 : 4 }", "meta mark set ct direction map { original : 1, reply : 2 }",
        "meta priority set %s %s map { %s : 1:3 }" % (ip, side, r.hosts[0]), "meta mark set numgen inc mod 3 map { 0 : 1, 1-2 : 4 }", "meta mark set jhash %s saddr . %s daddr mod 4 seed 0x3 map { 0-1 : 1, 2-3 : 2 }" % (ip, ip),
        "meta mark set %s %s & %s map { %s : 3 }" % ((ip, side) + (("255.255.255.0", "10.0.1.0") if r.v4 else ("ffff:ffff::", "fd00:1::"))),
        "%s %s set %s %s map { %s : %s }" % (ip, side, ip, side, r.hosts[2], r.hosts[3]) if r.chance(40) else "counter", "tcp dport set tcp dport map { 8080 : 80, 443 : 22 }" if r.chance(40) else "counter",
        "meta nftrace set 1", "ct mark set %s saddr . meta l4proto map { %s . tcp : 3, %s . udp : 4 }" % (ip, r.hosts[0], r.hosts[1]),
    ]
    if ip == "ip":
        # With IPv6 addresses both ways, nft 1.0.6 has too few registers.
        result += ["add @sticky { ip saddr . tcp dport : ip daddr }", "update @sticky { ip saddr . tcp dport timeout 5m : ip daddr }"]
    if hook in ("prerouting", "input", "forward"):
        result += ["meta mark set iifname map @portmarks", "meta mark set %s saddr . iifname map @routes2" % ip, "ct mark set iif map { \"r0\" : 1, \"r1\" : 2 }"]
    if hook in ("output", "postrouting", "forward"):
        result += ["meta mark set oifname map @portmarks", "ct mark set oifname map @portmarks"]
    return result
