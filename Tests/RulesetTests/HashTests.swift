// Number generators and hashes.
import Testing

@testable import Ruleset

@Suite struct HashTests {
    static let rows: [GrammarRow] = [
        GrammarRow("inet", "numgen inc mod 4 2"),
        GrammarRow("inet", "numgen random mod 100 < 30"),
        GrammarRow("inet", "numgen inc mod 3 offset 10 vmap { 10 : accept, 11 : drop, 12 : continue }"),
        GrammarRow("inet", "numgen inc mod 3 7", "error 18-18: Value 7 exceeds valid range 0-2"),
        GrammarRow("inet", "jhash ip saddr mod 8 3"),
        GrammarRow("inet", "jhash ip saddr . tcp sport mod 16 seed 0xfeed offset 4 5"),
        GrammarRow("inet", "symhash mod 2 1"),
        GrammarRow("inet", "meta mark set numgen random mod 16"),
        GrammarRow("inet", "meta mark set jhash ip saddr . ip daddr mod 7 seed 0x1"),
        GrammarRow("inet", "ct mark set symhash mod 4 offset 8"),
        GrammarRow("inet", "meta mark set numgen inc mod 2 map { 0 : 0x10, 1 : 0x20 }", "meta mark set numgen inc mod 2 map { 0 : 0x00000010, 1 : 0x00000020 }"),
    ]

    @Test(arguments: rows) func row(_ row: GrammarRow) { row.check() }
}
