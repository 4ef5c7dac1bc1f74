// What becomes of sets in place whose elements touch, overlap or repeat. A set of one interval is listed as a set, and
// loads as the interval: the one listing that is no fixed point, in nft too.
import Testing

@testable import Ruleset

@Suite struct AnonymousMergeTests {
    static let rows: [GrammarRow] = [
        GrammarRow("inet", "tcp dport { 1-5, 6-9 }", "tcp dport { 1-9 }"),
        GrammarRow("inet", "tcp dport { 1-5, 3-9 }", "tcp dport { 1-9 }"),
        GrammarRow("inet", "tcp dport { 22, 22, 80 }", "tcp dport { 22, 80 }"),
        GrammarRow("inet", "ip saddr { 192.0.2.0/25, 192.0.2.128/25 }", "ip saddr { 192.0.2.0/24 }"),
        GrammarRow("inet", "ip saddr { 192.0.2.0/24, 192.0.2.5 }", "ip saddr { 192.0.2.0/24 }"),
        GrammarRow("inet", "ip saddr . tcp dport { 192.0.2.0/24 . 1-9, 192.0.2.0/25 . 5 }", "error 44-59: Could not process rule: File exists"),
    ]

    @Test(arguments: rows) func outcome(_ row: GrammarRow) { #expect(row.outcome == row.expected) }
}
