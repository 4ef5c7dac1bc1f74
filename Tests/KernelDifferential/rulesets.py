"""Random rulesets over what a forwarder can mean, weighted so that most let traffic pass and translate some.

What is left out, because Linux chooses at random or by the wall clock, stands in expressions.py and nat.py."""

import re

import expressions
import links
import maps
import nat
import routes

HOSTS4 = ["10.0.1.2", "10.0.1.3", "10.0.2.2", "10.0.2.3", "10.0.1.1", "10.0.2.1", "192.0.2.7"]
HOSTS6 = ["fd00:1::2", "fd00:1::3", "fd00:2::2", "fd00:2::3", "2001:db8::7"]
PORTS = [22, 53, 80, 443, 1000, 1001, 1002, 2000, 8080]


class Rulesets:
    def __init__(self, random, cached=0):
        """`cached`: 1 leaves out what keeps every flow out of the flow cache, 2 also what keeps many out."""
        self.random, self.cached, self.wide = random, cached, False
        self.names = 0

    def fresh(self):
        """A number that no other name of the ruleset has."""
        self.names += 1
        return self.names

    def pick(self, *choices):
        return self.random.choice(choices)

    def chance(self, percent):
        return self.random.random() * 100 < percent

    def generate(self):
        """A list of tables, each a list [header, [block, ...]] with a block [header, [line, ...]]: what can be shrunk."""
        tables, count = [], self.pick(1, 1, 2, 2, 3)
        for number in range(count):
            family = self.pick("inet", "inet", "inet", "ip", "ip", "ip6")
            tables.append(self.table(family, "t%d" % number))
        if self.chance(12) and not self.cached:
            tables.append(links.netdev(self))
        if self.chance(5) and not self.cached:
            tables.append(links.arp(self))
        if self.chance(3) and not self.cached:
            tables.append(links.bridge(self))
        return tables

    @staticmethod
    def text(tables):
        lines = []
        for header, blocks in tables:
            lines.append("table %s {" % header)
            for block, body in blocks:
                lines.append("\t%s {" % block)
                lines += ["\t\t" + line for line in body]
                lines.append("\t}")
            lines.append("}")
        return "\n".join(lines) + "\n"

    def table(self, family, name):
        self.family = family
        self.v4, self.v6 = family != "ip6", family != "ip"
        self.blocks, self.subs, self.wide = [], [], self.chance(50)
        self.declare()
        for number in range(self.pick(0, 0, 1, 2, 3)):
            self.hook = "any"
            sub = "s%d" % number
            self.blocks.append(["chain " + sub, [self.rule() for _ in range(self.random.randint(1, 3))]])
            self.subs.append(sub)
        for number in range(self.random.randint(1, 4)):
            self.blocks.append(self.chain("c%d" % number))
        if self.wide:
            self.blocks += maps.blocks(self)
        if self.chance(55):
            for hook, priority in self.pick((("prerouting", "dstnat"),), (("postrouting", "srcnat"),), (("prerouting", "dstnat"), ("postrouting", "srcnat"))) + ((self.pick(("input", "100"), ("input", "0"), ("output", "-100"), ("output", "0")),) if self.wide and self.chance(25) else ()):
                self.blocks.append(nat.chain(self, hook, priority))
        # What is named stands before what names it.
        return ["%s %s" % (family, name), self.blocks]

    def declare(self):
        address = "ipv4_addr" if self.v4 else "ipv6_addr"
        hosts = HOSTS4 if self.v4 else HOSTS6
        self.address, self.hosts, self.ip = address, hosts, "ip" if self.v4 else "ip6"
        def some(values, low=1):
            return ", ".join(str(v) for v in sorted(self.random.sample(values, self.random.randint(low, min(4, len(values))))))
        net = "10.0.%d.0/24" % self.pick(1, 2) if self.v4 else "fd00:%d::/64" % self.pick(1, 2)
        self.seen_size = self.pick(1, 2, 64)
        # One form for the elements of a set: Linux gives each element the statement of the rule that added it (docs/nft.md).
        self.burst, self.portion = self.pick(1, 3), self.pick(100, 300)
        self.crowd = "ct count %s%d" % (self.pick("", "over "), self.pick(1, 2))
        blocks = [
            ["set hosts", ["type %s" % address, "elements = { %s }" % some(hosts)]],
            ["set nets", ["type %s" % address, "flags interval", "elements = { %s }" % net]],
            ["set ports", ["type inet_service", "flags interval", "elements = { %s }" % self.pick("22, 80-443", "1000-1001, 8080", "53, 80", "0-1023")]],
            ["set seen", ["type %s" % address, "flags dynamic", "size %d" % self.seen_size]],
            ["set timed", ["type %s . inet_service" % address, "flags dynamic,timeout", "timeout 1h", "size %d" % self.pick(1, 3, 64)]],
            ["set pairs", ["type %s . inet_service" % address, "elements = { %s }" % ", ".join("%s . %d" % (h, self.pick(*PORTS)) for h in self.random.sample(hosts, 3))]],
            ["set spans", ["type %s . inet_service" % address, "flags interval", "elements = { %s . %s }" % (net, self.pick("80", "1000-2000", "22-443"))]],
            ["set counted", ["type %s" % address, "counter", "elements = { %s }" % some(hosts)]],
            ["map marks", ["type inet_service : mark", "elements = { %s }" % ", ".join("%d : 0x%x" % (p, self.random.randint(1, 9)) for p in self.random.sample(PORTS, 3))]],
            ["counter cnt", []],
            ["quota quo", ["%s %d bytes" % (self.pick("over", "until"), self.pick(100, 400, 2000))]],
        ]
        self.blocks += blocks + expressions.blocks(self)

    def vmap_elements(self):
        net = "10.0.2.0/24" if self.v4 else "fd00:2::/64"
        return "%s . %s : %s, %s . 53 : %s" % (net, self.pick("80-443", "8000-9000"), self.pick("accept", "continue", "return"), self.hosts[0], self.pick("accept", "drop"))

    # Chains

    def chain(self, name):
        hook = self.pick("prerouting", "forward", "forward", "forward", "postrouting", "input", "output")
        self.hook = hook
        kind, priority = "filter", self.pick("raw", "mangle", "filter", "filter", "filter", "security", "-150", "-310", "10", "-90", "150")
        if hook == "output" and self.chance(15):
            kind, priority = "route", "mangle"
        policy = "drop" if self.chance(12) and hook == "forward" else "accept"
        lines = ["type %s hook %s priority %s; policy %s;" % (kind, hook, priority, policy)]
        if policy == "drop":
            lines.append(self.pick("ct state established,related counter accept", "meta l4proto { tcp, udp, icmp, ipv6-icmp } accept", "ct state { established, related, new } accept"))
        if hook in ("prerouting", "output") and self.chance(8):
            lines[0] = "type filter hook %s priority raw; policy accept;" % hook
            lines.append(self.zone_rule())
        # Now and then as many rules as are looked up together instead of one after the other.
        for _ in range(self.random.randint(30, 60) if self.chance(4) else self.random.randint(1, 5)):
            lines.append(self.rule())
        return ["chain " + name, lines]

    # Rules

    def is_consistent(self, text):
        """Whether nft takes the rule: it speaks of one protocol a layer, and of none that the family has not."""
        if self.cached > 1 and re.search(r"tcp option|maxseg|frag-off|@th|ttl|hoplimit|hdrlength|ip version|checksum|flowlabel", text):
            return False
        if self.cached and re.search(r"limit|quota|log |numgen|@seen|@timed|ct (original |reply )?(bytes|packets)|meta length|udp length|ip6? length|ip id|window|sequence", text):
            return False
        # nft 1.0.6 joins an Ethernet address with a later protocol's EtherType, past what stands between them.
        if "ether " in text and re.search(r"ip|icmp|tcp|udp|th |sctp|dccp|arp|ah |esp|hbh|dst |frag|mh |rt |exthdr|protocol", text.replace("ether daddr", "").replace("ether saddr", "")):
            return False
        # And flags with the window beside them (docs/nft.md).
        if re.search(r"tcp flags (syn|ack|fin,rst) tcp (window|doff)|tcp (window|doff) \d+ tcp flags (syn|ack|fin,rst)", text):
            return False
        # nft 1.0.6 makes one comparison of `icmpv6 code` and another `th` field, and of code and type past what stands between them.
        if "icmp" in text and ("th dport" in text or "@th" in text or re.search(r"icmp(v6)? code", text) and re.search(r"icmp(v6)? type", text)):
            return False
        # And one of UDP-Lite's fields and a `th` field, past a counter between the two.
        if "udplite" in text and re.search(r"(?<!\w)th [sd]port", text):
            return False
        text = re.sub(r"\{ tcp, udp \}|vmap \{[^}]*\}", lambda m: "" if m.group(0).startswith("{") else "vmap", text)
        l4 = set(re.findall(r"(?<![-\w])(tcp|udp|icmp|icmpv6|ipv6-icmp|sctp|dccp|udplite|ah|esp)(?![-\w])", text))
        l4 = {"icmpv6" if name == "ipv6-icmp" else name for name in l4}
        l3 = set(re.findall(r"(?<![-\w])(ip6?|ipv[46])(?=[ ,}]|$)", re.sub(r"nfproto \{[^}]*\}|protocol \{ ip, ip6 \}", "", text)))
        l3 = {"ip6" if "6" in name else "ip" for name in l3}
        if "icmp" in l4:
            l3.add("ip")
        if "icmpv6" in l4 or "hoplimit" in text or re.search(r"exthdr|(?<!\w)(frag|hbh|dst|mh|rt) (?!mtu|classid|nexthop|ip6? )", text):
            l3.add("ip6")
        if self.family in ("ip", "ip6") and ("nfproto" in text or "meta protocol" in text or l3 - {self.family}):
            return False
        return len(l4) < 2 and len(l3) < 2

    def consistent(self, make, unless=None):
        for _ in range(100):
            text = make()
            if self.is_consistent(text) and not (unless and re.search(unless, text)):
                return text
        return "counter"

    def zone_rule(self):
        """A zone by rule; both directions of a conversation in one zone, or each in its own."""
        zone = self.pick(1, 1, 2)
        return self.pick("ct zone set %d" % zone, "iifname \"r0\" ct zone set %d" % zone, "ct original zone set %d" % zone if self.family != "inet" else "ct zone set %d" % zone,
                         "meta l4proto udp ct zone set %d" % zone, "ct zone set %s saddr map { %s : 1, %s : 2 }" % (self.ip, self.hosts[0], self.hosts[2]))

    def rule(self, simple=False):
        return self.consistent(lambda: self.words(simple))

    def words(self, simple):
        words = [self.match(simple) for _ in range(self.pick(0, 1, 1, 1, 2, 2, 3))]
        for _ in range(self.pick(0, 1, 1, 2)):
            words.insert(self.random.randint(0, len(words)), self.statement(simple))
        end = self.verdict(simple, bool(words))
        if end:
            words.append(end)
        return " ".join(word for word in words if word) or "counter"

    def match(self, simple=False):
        pick, v4 = self.pick, self.v4 and (not self.v6 or self.chance(75))
        l3, hosts = ("ip", HOSTS4) if v4 else ("ip6", HOSTS6)
        host = pick(*hosts)
        net = "10.0.%d.0/%d" % (pick(1, 2), pick(24, 25)) if v4 else "fd00:%d::/64" % pick(1, 2)
        side, port = pick("saddr", "daddr"), pick(*PORTS)
        not_ = pick("", "", "", "!= ")
        set_l3 = self.ip if self.family != "netdev" else "ip"
        choices = [
            "%s %s %s%s" % (l3, side, not_, host), "%s %s %s%s" % (l3, side, not_, net),
            "%s %s { %s, %s }" % (l3, side, hosts[0], hosts[2]), "%s %s %s@hosts" % (set_l3, side, not_), "%s %s %s@nets" % (set_l3, side, not_),
            "%s %s @counted" % (set_l3, side), "%s daddr . tcp dport @pairs" % set_l3, "%s daddr . udp dport @spans" % set_l3,
            "tcp dport %s%d" % (not_, port), "udp dport %s%d" % (not_, port), "tcp sport %d-%d" % (port, port + 500), "th dport @ports",
            "udp dport %s@ports" % not_, "tcp dport { 80, 443, 1000-2000 }", "meta l4proto %s" % pick("tcp", "udp", "{ tcp, udp }", "!= tcp", "icmp", "ipv6-icmp"),
            "tcp flags %s" % pick("syn", "& (fin | syn | rst | ack) == syn", "& (syn | ack) == syn | ack", "ack", "! rst", "== { syn, ack }", "fin,rst"),
            "meta length %s" % pick("< 100", "> 60", "40-200", "!= 60"), "meta mark %s" % pick("0", "!= 0", "& 1 == 1", "{ 1, 2, 3 }"),
            "%s %s" % (l3 + (" ttl" if v4 else " hoplimit"), pick("64", "< 10", "!= 63", "{ 1, 63, 64 }")),
            "%s dscp %s" % (l3, pick("0", "!= 0", "{ cs1, af11, ef }", "8")), "%s ecn %s" % (l3, pick("not-ect", "ce", "!= ce")),
            "meta nfproto %s" % pick("ipv4", "ipv6"), "@th,16,16 %d" % port, "meta protocol %s" % pick("ip", "ip6", "{ ip, ip6 }"),
            "icmp type %s" % pick("echo-request", "echo-reply", "{ echo-request, destination-unreachable }", "!= echo-reply") if self.v4 else "icmpv6 type echo-request",
            "icmpv6 type %s" % pick("echo-request", "echo-reply", "packet-too-big", "{ echo-request, echo-reply }") if self.v6 else "icmp id 7",
            "numgen inc mod %d < 1" % pick(2, 3), "jhash %s saddr . %s daddr mod 2 seed 0x%x %d" % (l3, l3, pick(1, 77), pick(0, 1)),
            "tcp option maxseg size %s" % pick("> 1000", "1460", "< 1400"), "tcp option maxseg exists", "tcp window %s" % pick("8192", "< 9000"),
            "tcp sequence > 2000", "udp checksum 0",
        ]
        if v4:
            choices += ["ip length > 60", "udp length %s" % pick("> 20", "< 30", "8-40"), "ip id %s" % pick("0x1111", "< 100"), "ip frag-off & 0x1fff == 0", "ip protocol != 50", "ip hdrlength 5", "ip version 4"]
        else:
            choices += ["ip6 nexthdr %s" % pick("tcp", "udp", "{ tcp, ipv6-icmp }"), "ip6 length < 100", "ip6 flowlabel 0"]
            choices += ["exthdr dst exists", "exthdr hbh missing"]
        if self.wide and self.chance(30):
            return pick(*pick(maps, routes).matches(self, self.hook))
        if self.chance(12 if self.cached else 45):
            return pick(*expressions.matches(self, l3, hosts, self.family, self.hook))
        if simple:
            return pick(*choices)
        state = "ct state %s" % pick("new", "established", "related", "invalid", "established,related", "{ new, established }", "untracked", "!= new")
        choices += [state] * 8
        choices += [
            "ct direction %s" % pick("original", "reply"), "ct status %s" % pick("dnat", "snat", "assured", "seen-reply", "confirmed", "!= 0") , "ct mark %s" % pick("0", "!= 0", "1-5"),
            "ct protocol tcp", "ct original packets > %d" % pick(1, 2, 4), "ct reply bytes < 200", "ct bytes > 200", "ct packets < 5",
            "ct original %s %s %s" % (l3, pick("saddr", "daddr"), host), "ct reply %s %s %s" % (l3, pick("saddr", "daddr"), host), "ct zone %d" % pick(0, 1),
        ]
        if self.hook in ("prerouting", "input", "forward", "any"):
            choices += ["iifname %s\"%s\"" % (not_, pick("r0", "r1", "r*"))] * 2 + ["iif \"%s\"" % pick("r0", "r1")]
        if self.hook in ("output", "postrouting", "forward"):
            choices += ["oifname %s\"%s\"" % (not_, pick("r0", "r1", "r*"))] * 2 + ["oif \"%s\"" % pick("r0", "r1")]
        if self.hook in ("prerouting", "input", "forward"):
            choices += ["fib daddr type %s" % pick("local", "unicast", "!= local"), "fib saddr . iif oif %s" % pick("missing", "exists"), "meta pkttype %s" % pick("host", "!= host")]
        return pick(*choices)

    def statement(self, simple=False):
        pick, l3 = self.pick, self.ip
        choices = ["counter"] * 6 + [
            "counter name \"cnt\"", "quota name \"quo\"", "quota %s %d bytes" % (pick("over ", "until "), pick(200, 500)), "limit rate %s1/day burst %d packets" % (pick("", "over "), pick(1, 2, 4)),
            "limit rate 2/day burst 3 packets",
            "meta mark set %s" % pick("1", "0x2", "meta mark | 4", "meta mark & 3", "tcp dport map @marks"), "log prefix \"x \"",
            "add @seen { %s %s }" % (l3, pick("saddr", "daddr")), "add @seen { %s saddr }" % l3,
            "update @timed { %s %s . %s }" % (l3, pick("saddr", "daddr"), pick("tcp dport", "udp dport", "udp sport")),
            "add @timed { %s saddr . tcp dport }" % l3, "delete @seen { %s daddr }" % l3,
            "%s dscp set %s" % (l3, pick("cs1", "ef", "0")), "%s ecn set %s" % (l3, pick("ce", "ect0")),
            "tcp option maxseg size set %s" % pick("1300", "500", "rt mtu" if self.hook in ("forward", "postrouting") else "1200"),
            "%s %s set %d" % (l3, "ttl" if l3 == "ip" else "hoplimit", pick(33, 64, 1)),
            "meta priority set 1:2",
        ]
        if self.wide and self.chance(40):
            return pick(*(routes if self.chance(15) else maps).statements(self, self.hook))
        if self.chance(10 if self.cached else 35):
            other = "ip" if self.v4 and (not self.v6 or self.chance(75)) else "ip6"
            return pick(*expressions.statements(self, other, HOSTS4 if other == "ip" else HOSTS6, self.family, self.hook))
        if not simple:
            choices += ["ct mark set %s" % pick("1", "3", "meta mark", "ct mark | 2")] * 2 + ["meta mark set ct mark"]
        return pick(*choices)

    def verdict(self, simple, has_words):
        pick = self.pick
        if simple:
            return pick("", "", "accept", "drop" if has_words and self.chance(40) else "")
        choices = [""] * 5 + ["accept"] * 4 + ["return", "continue"]
        if has_words:
            choices += ["drop"] * 2
        for sub in self.subs:
            choices += ["jump " + sub, "goto " + sub]
        if self.subs:
            choices += ["ct state vmap { established : accept, new : jump %s }" % self.subs[0], "tcp dport vmap { 80 : jump %s, 443 : return, 8080 : drop }" % self.subs[-1]]
        choices += ["meta l4proto vmap { tcp : continue, udp : accept }", "%s saddr vmap { %s : accept, %s : continue }" % (self.ip, self.hosts[0], self.hosts[1])]
        if self.hook in ("forward", "input", "output", "prerouting"):
            kinds = ["reject", "meta l4proto tcp reject with tcp reset"]
            if self.family == "ip":
                kinds += ["reject with icmp %s" % pick("host-unreachable", "admin-prohibited", "port-unreachable", "net-unreachable")]
            elif self.family == "ip6":
                kinds += ["reject with icmpv6 %s" % pick("no-route", "admin-prohibited", "addr-unreachable", "port-unreachable")]
            else:
                kinds += ["reject with icmpx %s" % pick("no-route", "admin-prohibited", "host-unreachable", "port-unreachable")]
            if has_words:
                choices += kinds
        if self.hook == "prerouting":
            choices += ["notrack"] if self.chance(30) else []
        return pick(*choices)
