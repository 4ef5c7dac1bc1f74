// Link-layer and ARP headers.
import Testing

@testable import Ruleset

@Suite struct LinkHeaderTests {
    static let rows: [GrammarRow] = [
        GrammarRow("bridge", "ether saddr 02:00:00:00:00:01 accept"),
        GrammarRow("bridge", "ether daddr != { 02:00:00:00:00:09, 02:00:00:00:00:03 }", "ether daddr != { 02:00:00:00:00:03, 02:00:00:00:00:09 }"),
        GrammarRow("bridge", "ether type ip6 counter"),
        GrammarRow("bridge", "ether type 0x88cc drop"),
        GrammarRow("bridge", "ether type { arp, ip, 0x8863 }", "ether type { ip, arp, 0x8863 }"),
        GrammarRow("bridge", "vlan id 100 accept"),
        GrammarRow("bridge", "vlan id { 10-20, 200 } drop"),
        GrammarRow("bridge", "vlan pcp 5 vlan id != 7"),
        GrammarRow("bridge", "vlan dei 1"),
        GrammarRow("bridge", "vlan id 4096", "error 9-12: Value 4096 exceeds valid range 0-4095"),
        GrammarRow("bridge", "vlan id set 12"),
        GrammarRow("inet", "ether saddr 02:00:00:00:00:01 ip saddr 192.0.2.1"),
        GrammarRow("netdev", "ether saddr & ff:ff:ff:00:00:00 == 02:11:22:00:00:00"),
        GrammarRow("arp", "arp operation request"),
        GrammarRow("arp", "arp operation { reply, 3 }", "arp operation { reply, rrequest }"),
        GrammarRow("arp", "arp htype 1 arp ptype ip"),
        GrammarRow("arp", "arp saddr ip 192.0.2.7 arp daddr ether 02:00:00:00:00:09"),
        GrammarRow("arp", "arp saddr ip 192.0.2.0/26 drop"),
        GrammarRow("arp", "arp operation nope", "error 15-18: Could not parse ARP operation"),
        GrammarRow("ip", "ether saddr 02:00:00:00:00", "error 18-18: syntax error, unexpected colon"),
        GrammarRow("ip", "arp operation request", "error 1-13: conflicting network layer protocols specified: ip vs. arp"),
    ]

    @Test(arguments: rows) func row(_ row: GrammarRow) { row.check() }
}
