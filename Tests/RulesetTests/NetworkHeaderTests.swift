// The headers of IPv4 and IPv6, field by field.
import Testing

@testable import Ruleset

@Suite struct NetworkHeaderTests {
    static let rows: [GrammarRow] = [
        GrammarRow("ip", "ip version 4"),
        GrammarRow("ip", "ip hdrlength 6-15"),
        GrammarRow("ip", "ip dscp ef"),
        GrammarRow("ip", "ip dscp { cs3, af42, 0x07 }", "ip dscp { 0x07, cs3, af42 }"),
        GrammarRow("ip", "ip dscp 64", "error 9-10: Value 64 exceeds valid range 0-63"),
        GrammarRow("ip", "ip ecn ce"),
        GrammarRow("ip", "ip ecn != { ect0, ect1 }", "ip ecn != { ect1, ect0 }"),
        GrammarRow("ip", "ip length > 1400"),
        GrammarRow("ip", "ip id 0x1234", "ip id 4660"),
        GrammarRow("ip", "ip frag-off & 0x1fff != 0", "ip frag-off & 0x1fff != 0x0"),
        GrammarRow("ip", "ip ttl < 3"),
        GrammarRow("ip", "ip ttl 256", "error 8-10: Value 256 exceeds valid range 0-255"),
        GrammarRow("ip", "ip protocol { gre, esp, 89 }", "ip protocol { gre, esp, ospf }"),
        GrammarRow("ip", "ip protocol udp udp dport 67", "udp dport 67"),
        GrammarRow("ip", "ip checksum 0xbeef", "ip checksum 48879"),
        GrammarRow("ip", "ip saddr 192.0.2.77/28", "ip saddr 192.0.2.64/28"),
        GrammarRow("ip", "ip saddr 192.0.2.1-192.0.2.9"),
        GrammarRow("ip", "ip saddr 192.0.2.9-192.0.2.1", "error 10-28: Range negative size"),
        GrammarRow("ip", "ip daddr != { 198.51.100.1, 192.0.2.0/25, 203.0.113.4-203.0.113.9 }", "ip daddr != { 192.0.2.0/25, 198.51.100.1, 203.0.113.4-203.0.113.9 }"),
        GrammarRow("ip", "ip saddr & 255.255.255.192 == 192.0.2.64", "ip saddr 192.0.2.64/26"),
        GrammarRow("ip", "ip saddr & 0.0.0.7 == 0.0.0.5"),
        GrammarRow("ip", "ip saddr 192.0.2.300", "error 10-20: Could not resolve hostname: Name or service not known"),
        GrammarRow("ip", "ip saddr 192.0.2.0/40", "error 10-21: Prefix length 40 is invalid for type of 32 bits width"),
        GrammarRow("ip", "ip saddr ! 192.0.2.1", #"error 1-8: negation can only be used with singleton bitmask values.  Did you mean "!="?"#),
        GrammarRow("ip", "ip6 saddr ::1", "error 1-9: conflicting network layer protocols specified: ip vs. ip6"),
        GrammarRow("inet", "ip saddr 192.0.2.1 ip6 daddr ::1", "error 20-28: conflicting network layer protocols specified: ip vs. ip6"),
        GrammarRow("inet", "ip daddr 192.0.2.1 tcp dport 8443"),
        GrammarRow("ip6", "ip6 version 6"),
        GrammarRow("ip6", "ip6 dscp cs6 ip6 ecn not-ect"),
        GrammarRow("ip6", "ip6 flowlabel 0xabcde", "ip6 flowlabel 703710"),
        GrammarRow("ip6", "ip6 flowlabel 0x100000", "error 15-22: Value 1048576 exceeds valid range 0-1048575"),
        GrammarRow("ip6", "ip6 nexthdr { udp, ipv6-icmp, 60 }", "ip6 nexthdr { udp, ipv6-icmp, ipv6-opts }"),
        GrammarRow("ip6", "ip6 hoplimit 255"),
        GrammarRow("ip6", "ip6 length 40-1280"),
        GrammarRow("ip6", "ip6 saddr 2001:db8:0:0::1", "ip6 saddr 2001:db8::1"),
        GrammarRow("ip6", "ip6 saddr 2001:db8::/29"),
        GrammarRow("ip6", "ip6 daddr 2001:db8::10-2001:db8::1f"),
        GrammarRow("ip6", "ip6 daddr 2001:db8::10-2001:db8::20"),
        GrammarRow("ip6", "ip6 saddr & ffff:ffff:: == 2001:db8::", "ip6 saddr 2001:db8::/32"),
        GrammarRow("ip6", "ip6 saddr 192.0.2.1", "error 11-19: Could not resolve hostname: Address family for hostname not supported"),
        GrammarRow("ip6", "ip6 saddr 2001:db8::/129", "error 11-24: Prefix length 129 is invalid for type of 128 bits width"),
        GrammarRow("netdev", "ip saddr 192.0.2.1 drop"),
        GrammarRow("bridge", "ip6 daddr ff02::1 accept"),
    ]

    @Test(arguments: rows) func row(_ row: GrammarRow) { row.check() }
}
