// Sets, maps and verdict maps in place.
import Testing

@testable import Ruleset

@Suite struct AnonymousSetTests {
    static let rows: [GrammarRow] = [
        GrammarRow("inet", "tcp dport { 22 }", "tcp dport 22"),
        GrammarRow("inet", "tcp dport != { 22 }", "tcp dport != 22"),
        GrammarRow("inet", "ip saddr { * , 192.0.2.1 }", "ip saddr { 192.0.2.1, * }"),
        GrammarRow("inet", "ip saddr . tcp dport { 192.0.2.1 . 22, 192.0.2.0/24 . 80-90 }"),
        GrammarRow("inet", #"ip saddr . tcp dport . iifname { 192.0.2.1 . 22 . "eth0" }"#),
        GrammarRow("inet", "ip saddr . tcp dport { 192.0.2.1 }", "error 24-32: invalid data type, expected concatenation of (IPv4 address, internet network service)"),
        GrammarRow("inet", "ip saddr . tcp dport { 192.0.2.1 . 22 . 5 }", "error 24-41: too many concatenation components"),
        GrammarRow("inet", "tcp dport vmap { 22 : accept, 23 : drop }"),
        GrammarRow("inet", "tcp dport vmap { 22 : accept, 22 : drop }", "error 31-32: Could not process rule: File exists"),
        GrammarRow("inet", "tcp dport vmap { 22 : accept, * : drop }"),
        GrammarRow("inet", "tcp dport vmap { 1-100 : accept, 50-60 : drop }", "error 34-38: conflicting intervals specified"),
        GrammarRow("inet", #"iifname vmap { "eth0" : accept, "wg*" : drop }"#),
        GrammarRow("inet", "ip saddr . ip daddr vmap { 192.0.2.1 . 192.0.2.2 : accept, 192.0.2.1 . 192.0.2.2 : drop }", "error 60-80: Could not process rule: File exists"),
        GrammarRow("inet", "meta mark set ip dscp map { cs1 : 0x1, ef : 0x2 }", "meta mark set ip dscp map { cs1 : 0x00000001, ef : 0x00000002 }"),
        GrammarRow("inet", "meta mark set ip saddr . tcp dport map { 192.0.2.1 . 22 : 0x1 }", "meta mark set ip saddr . tcp dport map { 192.0.2.1 . 22 : 0x00000001 }"),
        GrammarRow("inet", "tcp dport { 22, foo }", "error 17-19: Could not resolve service: Servname not supported for ai_socktype"),
        GrammarRow("inet", "tcp dport @ports", "error 11-16: No such file or directory"),
        GrammarRow("inet", "tcp dport map { 22 : 5 }", "error 25-25: syntax error, unexpected newline"),
        GrammarRow("inet", "ct state . tcp dport { new . 22 }"),
        GrammarRow("inet", "tcp dport { 22 : accept }", "error 13-14: mapping outside of map context"),
        GrammarRow("inet", "ip daddr { { 192.0.2.1, 192.0.2.2 }, 192.0.2.3 }", "ip daddr { 192.0.2.1, 192.0.2.2, 192.0.2.3 }"),
    ]

    @Test(arguments: rows) func row(_ row: GrammarRow) { row.check() }
}
