"""Matches and statements beyond the everyday ones of rulesets.py: the rest of the grammar's tiers 1 and 2.

Left out, because Linux takes them from a boot-time seed, the clock or chance: symhash, numgen random, meta random, time, hour,
day and cpu, ct id. Left out since nft 1.0.6, which loads Linux's side, does not know them: `last`, dscp from a map,
`ct original proto-src` without a protocol before it. `ct count` asks only about packets that have a connection (docs/nft.md)."""

PORTS = [22, 53, 80, 443, 1000, 1001, 2000, 8080]


def matches(r, l3, hosts, family, hook):
    """`r`: the generator, for its choices; `l3`: ip or ip6."""
    pick, v4 = r.pick, l3 == "ip"
    host, port = pick(*hosts), pick(*PORTS)
    side = pick("saddr", "daddr")
    net = "10.0.%d.0/24" % pick(1, 2) if v4 else "fd00:%d::/64" % pick(1, 2)
    result = [
        "@th,0,16 1000-1010", "@th,104,8 & 0x12 == 0x02", "@th,16,16 & 0xff == 0x50", "@nh,0,4 4", "@nh,72,8 { 6, 17 }",
        "tcp option window count 2", "tcp option sack-perm %s" % pick("exists", "missing"), "tcp option timestamp tsval > 0", "tcp option nop missing",
        "tcp option sack left > 0", "tcp option 2 exists", "tcp option maxseg size { 1460, 500 }", "tcp doff %s" % pick("5", "> 5"), "tcp ackseq 0", "tcp urgptr 0",
        "tcp flags syn,ack / syn,ack,fin,rst", "tcp flags & (syn | ack) != 0", "tcp flags vmap { syn : continue, ack : accept }",
        "tcp sport . tcp dport { 1000-1002 . 80, 1003 . 443 }", "tcp dport & 0xff == 80", "tcp dport & 3 != 0", "tcp checksum != 0",
        "sctp dport %d" % port, "sctp sport != 80", "sctp chunk init exists", "sctp chunk data tsn > 0", "sctp vtag 0", "sctp chunk data flags & 3 == 3",
        "udplite dport 53", "udplite csumcov 0", "udplite sport > 1000", "dccp dport 80", "ah spi 1", "esp spi > 1", "udp sport . udp dport { 1000-1004 . 53 }",
        "meta l4proto 6-17", "meta l4proto { 47, 132 }", "meta l4proto . th dport { tcp . 80, udp . 53 }", "meta l4proto . th dport vmap { tcp . 80 : accept, udp . 53 : continue }",
        "meta iiftype ether", "meta iifgroup 0", "meta rtclassid 0", "meta priority none", "meta priority 1:2", "meta length . meta l4proto { 0-100 . udp, 60-2000 . tcp }",
        "meta mark & 0x6 != 0x4", "meta mark and 3 { 1, 2 }", "th sport 1000-1002", "th sport . th dport { 1000 . 80, 1001 . 53 }",
        "jhash %s %s mod 4 seed 7 vmap { 0 : accept, 1-2 : continue }" % (l3, side), "jhash %s saddr . th sport mod 3 seed 0x%x %d" % (l3, pick(1, 99), pick(0, 1, 2)),
        "numgen inc mod 4 offset 1 < 3", "numgen inc mod 2 vmap { 0 : accept, 1 : continue }",
        "%s saddr . %s daddr { %s . %s }" % (l3, l3, net, "10.0.2.2-10.0.2.3" if v4 else "fd00:2::2-fd00:2::3"),
        "%s daddr . tcp dport . %s saddr vmap { %s . 80-443 . %s : %s }" % (l3, l3, host, net, pick("accept", "continue")),
        "%s %s %s-%s" % ((l3, side) + (("10.0.1.2", "10.0.2.2") if v4 else ("fd00:1::2", "fd00:2::2"))),
        "%s %s & %s" % (l3, side, pick("0.0.0.255 == 0.0.0.2", "255.255.0.255 != 10.0.0.3") if v4 else "::ff == ::2"),
        "%s %s != { %s, %s }" % (l3, side, hosts[1], net), "%s %s vmap { %s : continue, %s : accept }" % (l3, side, hosts[0], hosts[2]),
    ]
    if v4:
        result += ["ip ttl vmap { 1 : drop, 63-64 : continue }", "ip checksum != 0", "ip protocol vmap { tcp : continue, udp : accept }", "ip length 20-60", "icmp code 0",
                   "icmp sequence > 3", "icmp mtu 1300", "icmp type . icmp code { echo-request . 0, destination-unreachable . 3 }", "ip protocol { 47, 132 }", "icmp id 1000-1004",
                   "ip dscp . ip protocol { cs1 . tcp, 0 . udp }", "ip protocol . ip daddr { tcp . 10.0.2.2, udp . 10.0.2.2 }"]
        result += ["ip option rr exists", "ip option ra missing", "ip option lsrr exists"]
    else:
        result += ["icmpv6 code 0", "icmpv6 mtu 1300", "icmpv6 sequence > 3", "ip6 hoplimit vmap { 1 : drop, 63-64 : continue }", "ip6 version 6"]
        result += ["exthdr frag exists", "frag more-fragments 1", "exthdr hbh exists", "dst nexthdr 6", "exthdr frag missing", "rt type 0", "mh type 1", "frag frag-off 0"]
    if family == "netdev":
        return result + (["ether saddr 02:00:00:00:0a:02", "ether type ip", "ether daddr 02:00:00:00:0a:01", "vlan id 5", "ether type vlan"] if hook == "ingress" else [])
    result += ["ether saddr 02:00:00:00:0a:02", "ether daddr != 02:00:00:00:0b:01", "ether saddr { 02:00:00:00:0a:02, 02:00:00:00:0b:02 }"]
    result += [
        "ct l3proto %s" % pick("ipv4", "ipv6"), "ct status & snat == snat", "ct status dnat,snat", "ct status vmap { confirmed : accept }", "ct %savgpkt > 60" % pick("", "original ", "reply "),
        "ct mark and 3 { 1, 2 }", "ct mark vmap { 0 : continue, 1-3 : accept }", "ct original zone 0", "ct label %d" % pick(1, 100), "ct helper \"ftp\"", "ct expiration > 10s",
        "ct state . ct direction { new . original, established . reply }", "ct direction vmap { original : continue, reply : accept }", "ct state != { new, established }",
        "ct state vmap { established : continue, related : accept, invalid : drop }", "%s saddr . ct mark { %s . 0 }" % (l3, host), "ct protocol { tcp, udp }", "ct protocol != tcp",
        "%s daddr . tcp dport vmap @routes" % r.ip, "%s daddr . udp dport vmap @routes" % r.ip, "%s saddr @brief" % r.ip, "%s daddr @brief" % r.ip, "%s saddr . %s daddr @pairtime" % (r.ip, r.ip),
        "ct protocol tcp ct original proto-dst %d" % port, "ct protocol tcp ct reply proto-src 80",
    ]
    if hook in ("prerouting", "input", "forward"):
        result += ["iifname . %s saddr { \"r0\" . %s }" % (l3, host), "iifname vmap { \"r0\" : continue, \"r1\" : accept }", "fib daddr . iif type local", "fib saddr oif \"r0\"",
                   "fib saddr . mark . iif oif exists", "fib daddr oifname \"r1\"", 
                   "meta pkttype vmap { unicast : continue }", "fib saddr type { local, unicast }"]
    if hook in ("output", "postrouting", "forward"):
        result += ["meta oiftype ether", "oifname . iifname { \"r1\" . \"r0\" }", "rt %s nexthop %s" % (l3, host), "rt classid 0"]
    return result


def statements(r, l3, hosts, family, hook):
    pick, host = r.pick, r.pick(*hosts)
    result = [
        "limit rate 100 bytes/day burst 300 bytes", "limit rate over 1 kbytes/day", "limit name \"lim\"", "counter name tcp dport map { 80 : \"cnt\", 443 : \"cnt\" }",
        "quota name udp dport map { 53 : \"quo\" }", "meta mark set numgen inc mod 3 offset 10", "meta mark set numgen inc mod 2 map { 0 : 5, 1 : 6 }",
        "meta mark set %s saddr map { %s : 3 }" % (l3, host), "meta mark set meta mark ^ 3", "meta mark set meta mark << 1", "meta mark set %s saddr . tcp dport map { %s . 80 : 7 }" % (l3, host),
        "meta mark set jhash %s daddr mod 5 seed 3" % l3, "add @lims { %s saddr limit rate 1/day burst %d packets }" % (r.ip, r.burst), "add @tallies { %s %s counter }" % (r.ip, pick("saddr", "daddr")),
        "update @tallies { %s saddr counter }" % r.ip, "add @dmap { %s saddr : meta mark }" % r.ip, "update @dmap { %s daddr timeout 5m : 0x1 }" % r.ip, "meta mark set %s saddr map @dmap" % r.ip,
        "meter m%d { %s saddr . tcp dport counter }" % (r.fresh(), r.ip), "meter m%d { %s daddr limit rate over 1/day burst 2 packets }" % (r.fresh(), r.ip),
        "tcp window set 100", "reset tcp option %s" % pick("sack-perm", "window", "maxseg"), "tcp urgptr set 3", "@th,0,16 set 1005" if hook != "input" else "counter",
        "add @brief { %s saddr }" % r.ip, "update @brief { %s daddr timeout 1s }" % r.ip, "add @brief { %s saddr timeout 2s counter }" % r.ip, "update @pairtime { %s saddr . %s daddr timeout 1m }" % (r.ip, r.ip),
        "delete @timed { %s saddr . tcp dport }" % r.ip, "delete @pairtime { %s daddr . %s saddr }" % (r.ip, r.ip), "delete @brief { %s daddr }" % r.ip,
        "add @spent { %s %s quota over %d bytes }" % (r.ip, pick("saddr", "daddr"), r.portion),
        "limit rate 1/second burst %d packets" % pick(1, 2), "limit rate over 1/second burst 1 packets",
    ]
    if l3 == "ip":
        result += ["ip id set 7", "ip ttl set 41", "ip saddr set %s" % pick("10.0.1.3", "192.0.2.77"), "ip daddr set %s" % pick("10.0.2.2", "10.0.2.3")]
    else:
        result += ["ip6 flowlabel set 5", "ip6 saddr set fd00:1::3", "ip6 daddr set fd00:2::3"]
    if r.chance(30):
        result += ["tcp dport set 8080", "udp sport set 53", "udp dport set 53", "tcp sport set tcp sport map { 1000 : 80, 1001 : 22 }",
                   "sctp dport set 443", "icmp id set 9" if l3 == "ip" else "icmpv6 id set 9"]
    if family != "netdev":
        result += [] if not r.chance(25) else ["ct state new,established,related " + text for text in ("ct count %s%d" % (pick("", "over "), pick(1, 2, 3)), "add @crowd { %s saddr %s }" % (r.ip, r.crowd))]
        result += ["ct mark set jhash %s saddr mod 16 seed 0x1 offset 3" % l3, "ct mark set ct mark << 1", "ct mark set meta mark and 1", "ct label set %d" % pick(1, 100), "ct event set new",
                   "ct mark set %s saddr . tcp dport map { %s . 80 : 7 }" % (l3, host), "ct timeout set \"tmo\""]
    return result


def blocks(r):
    """What the statements name."""
    protocol, policy = r.pick(("tcp", "established: 100"), ("tcp", "established: 2, syn_sent: 1, syn_recv: 2"), ("udp", "unreplied: 20"), ("udp", "unreplied: 1, replied: 2"))
    return [
        ["set lims", ["type %s" % r.address, "flags dynamic", "size 64"]], ["set tallies", ["type %s" % r.address, "flags dynamic", "size %d" % r.pick(2, 64)]],
        ["map dmap", ["type %s : mark" % r.address, "flags dynamic,timeout", "size 64"]], 
        ["set brief", ["type %s" % r.address, "flags dynamic,timeout", "timeout %s" % r.pick("1s", "2s", "1m"), "size 64"]], ["set pairtime", ["type %s . %s" % (r.address, r.address), "flags dynamic,timeout", "size 64"]],
        ["set spent", ["type %s" % r.address, "flags dynamic", "size %d" % r.pick(2, 64)]],
        ["limit lim", ["rate 1/day burst %d packets" % r.pick(1, 3)]],
    ] + ([] if r.family == "netdev" else [
        ["ct timeout tmo", ["protocol %s" % protocol, "l3proto %s" % r.ip] + r.pick([], ["policy = { %s }" % policy])],
        ["set crowd", ["type %s" % r.address, "flags dynamic", "size 64"]],
        ["map routes", ["type %s . inet_service : verdict" % r.address, "flags interval", "elements = { %s }" % r.vmap_elements()]],
    ])

