// `snat`, `dnat`, `masquerade` and `redirect`.
import Testing

@testable import Ruleset

@Suite struct NATTests {
    static let rows: [GrammarRow] = [
        GrammarRow("ip", "snat to 192.0.2.1"),
        GrammarRow("ip", "snat 192.0.2.1", "snat to 192.0.2.1"),
        GrammarRow("ip", "snat to 192.0.2.1-192.0.2.9 random"),
        GrammarRow("ip", "snat to 192.0.2.1:1024-2048", "error 19-27: transport protocol mapping is only valid after transport protocol match"),
        GrammarRow("ip", "tcp dport 80 snat to 192.0.2.1:1024-2048 fully-random,persistent"),
        GrammarRow("ip", "udp dport 53 dnat to 192.0.2.5:5353"),
        GrammarRow("ip", "dnat to 192.0.2.5:5353", "error 19-22: transport protocol mapping is only valid after transport protocol match"),
        GrammarRow("ip", "tcp dport 80 dnat to :8080"),
        GrammarRow("ip", "ct protocol { tcp, udp } dnat to 192.0.2.5:80"),
        GrammarRow("ip", "meta l4proto { tcp, udp } meta l4proto tcp dnat to 192.0.2.5:80"),
        GrammarRow("ip", "meta l4proto 99 dnat to 192.0.2.5:80"),
        GrammarRow("ip", "dnat to tcp dport map { 80 : 192.0.2.1, 443 : 192.0.2.2 }"),
        GrammarRow("ip", "dnat ip to ip saddr . tcp dport map { 192.0.2.1 . 80 : 198.51.100.1 . 8080 }"),
        GrammarRow("ip", "snat ip prefix to ip saddr map { 10.1.0.0/16 : 10.2.0.0/16 }"),
        GrammarRow("ip", "dnat to numgen inc mod 2 map { 0 : 192.0.2.1, 1 : 192.0.2.2 }"),
        GrammarRow("ip", "dnat to jhash ip saddr mod 2 map { 0 : 192.0.2.1, 1 : 192.0.2.2 }"),
        GrammarRow("inet", "dnat ip to 192.0.2.5"),
        GrammarRow("inet", "dnat ip6 to 2001:db8::5"),
        GrammarRow("inet", "tcp dport 443 dnat ip6 to [2001:db8::5]:8443"),
        GrammarRow("inet", "dnat to 192.0.2.5", "error 1-4: specify `dnat ip' or 'dnat ip6' in inet table to disambiguate"),
        GrammarRow("inet", "ip daddr 198.51.100.7 dnat to 192.0.2.5", "ip daddr 198.51.100.7 dnat ip to 192.0.2.5"),
        GrammarRow("ip6", "snat to 2001:db8::1-2001:db8::4"),
        GrammarRow("ip6", "tcp dport 22 dnat to [2001:db8::1]:2222"),
        GrammarRow("ip", "masquerade"),
        GrammarRow("ip", "masquerade random,persistent"),
        GrammarRow("ip", "tcp sport 1-1000 masquerade to :1024-65535 fully-random"),
        GrammarRow("ip", "masquerade to :1024", "error 16-19: transport protocol mapping is only valid after transport protocol match"),
        GrammarRow("ip", "redirect"),
        GrammarRow("ip", "tcp dport 80 redirect to :3128"),
        GrammarRow("ip", "tcp dport 80 redirect to 3128", "tcp dport 80 redirect to :3128"),
        GrammarRow("ip", "udp dport 53 redirect to :5300-5310 random"),
        GrammarRow("ip", "redirect to :80", "error 14-15: transport protocol mapping is only valid after transport protocol match"),
        GrammarRow("ip", "tcp dport 80 redirect to :tcp dport map { 80 : 8080 }"),
        GrammarRow("ip", "snat to { 192.0.2.1 }", "error 9-9: syntax error, unexpected '{'"),
        GrammarRow("ip", "snat to 192.0.2.300", "error 9-19: Could not resolve hostname: Name or service not known"),
        GrammarRow("ip", "snat", "error 5-5: syntax error, unexpected newline"),
        GrammarRow("arp", "masquerade", "error 1-10: NAT is only supported for IPv4/IPv6"),
        GrammarRow("ip", "snat to 192.0.2.1 accept", "error 19-24: Statement after terminal statement has no effect"),
    ]

    @Test(arguments: rows) func row(_ row: GrammarRow) { row.check() }
}
