// Every `meta` key, qualified or not.
import Testing

@testable import Ruleset

@Suite struct MetaTests {
    static let rows: [GrammarRow] = [
        GrammarRow("inet", "meta length 64-128"),
        GrammarRow("inet", "meta protocol ip6"),
        GrammarRow("inet", "meta protocol { ip, arp }"),
        GrammarRow("inet", "meta nfproto ipv6"),
        GrammarRow("inet", "meta l4proto icmp"),
        GrammarRow("inet", "meta l4proto != { tcp, udp }"),
        GrammarRow("inet", "meta priority 1:20"),
        GrammarRow("inet", "meta priority none"),
        GrammarRow("inet", "meta mark 0x20-0x2f", "meta mark 0x00000020-0x0000002f"),
        GrammarRow("inet", "mark and 0xf0 == 0x20", "meta mark & 0x000000f0 == 0x00000020"),
        GrammarRow("inet", "meta mark xor 0x5 == 0x7", "meta mark 0x00000002"),
        GrammarRow("inet", "meta mark & 0x80000000 != 0", "meta mark & 0x80000000 != 0x00000000"),
        GrammarRow("inet", "meta mark << 4 == 0x50", "meta mark 0x00000005"),
        GrammarRow("inet", #"iifname "wan0""#),
        GrammarRow("inet", #"iifname { "lan0", "lan1", "wg*" }"#),
        GrammarRow("inet", #"oifname != "ppp*" drop"#),
        GrammarRow("inet", "iiftype ether", "meta iiftype ether"),
        GrammarRow("inet", "oiftype loopback", "meta oiftype loopback"),
        GrammarRow("inet", "meta skuid 1000-2000"),
        GrammarRow("inet", "nftrace set 1", "meta nftrace set 1"),
        GrammarRow("inet", "pkttype { broadcast, multicast }", "meta pkttype { broadcast, multicast }"),
        GrammarRow("inet", "pkttype unicast", "meta pkttype host"),
        GrammarRow("inet", "cpu { 0, 2-3 }", "meta cpu { 0, 2-3 }"),
        GrammarRow("inet", "iifgroup default", #"iifgroup "default""#),
        GrammarRow("inet", "oifgroup 7"),
        GrammarRow("inet", "meta cgroup 77"),
        GrammarRow("inet", "meta random <= 1000"),
        GrammarRow("inet", "meta ipsec exists"),
        GrammarRow("inet", "meta secmark 5", "error 14-14: Cannot be used with right hand side constant value"),
        GrammarRow("inet", #"meta day "Monday""#),
        GrammarRow("inet", #"meta day { "Saturday", "Sunday" }"#, #"meta day { "Sunday", "Saturday" }"#),
        GrammarRow("inet", #"meta iifkind "vrf""#),
        GrammarRow("inet", #"meta oifkind { "vlan", "bridge" }"#, #"meta oifkind { "bridge", "vlan" }"#),
        GrammarRow("inet", #"meta sdifname "vrf-blue""#),
        GrammarRow("bridge", #"meta ibrname "br-lan""#),
        GrammarRow("bridge", #"meta obrname != "br-lan""#),
        GrammarRow("bridge", "meta ibrpvid 5"),
        GrammarRow("bridge", "meta ibrvproto 8021q"),
        GrammarRow("ip", #"meta ibrname "br-lan""#, "error 1-12: Could not process rule: Operation not supported"),
        GrammarRow("ip", "meta nfproto ipv4", "error 1-12: meta nfproto is only useful in the inet family"),
        GrammarRow("inet", #"iifname "abcdefghijklmnop""#, "error 9-26: String exceeds maximum length of 16"),
        GrammarRow("inet", #"iifname """#, "error 9-10: Empty string is not allowed"),
        GrammarRow("inet", "meta mark foo", "error 11-13: Could not parse packet mark"),
        GrammarRow("inet", "meta mark 0x100000000", "error 11-21: Value 4294967296 exceeds valid range 0-4294967295"),
    ]

    @Test(arguments: rows) func row(_ row: GrammarRow) { row.check() }
}
