// Counters, limits, quotas, connection limits and `last`.
import Testing

@testable import Ruleset

@Suite struct StatefulStatementTests {
    static let rows: [GrammarRow] = [
        GrammarRow("inet", "counter"),
        GrammarRow("inet", "counter packets 5 bytes 600 accept", "counter accept"),
        GrammarRow("inet", "counter bytes 600 packets 5", "counter"),
        GrammarRow("inet", "limit rate 10/second accept", "limit rate 10/second burst 5 packets accept"),
        GrammarRow("inet", "limit rate 10/minute burst 3 packets drop"),
        GrammarRow("inet", "limit rate over 4/hour burst 1 packets log"),
        GrammarRow("inet", "limit rate until 7/day", "limit rate 7/day burst 5 packets"),
        GrammarRow("inet", "limit rate 2/week", "limit rate 2/week burst 5 packets"),
        GrammarRow("inet", "limit rate 512 kbytes/second"),
        GrammarRow("inet", "limit rate over 1 mbytes/minute burst 64 kbytes"),
        GrammarRow("inet", "limit rate 1025 bytes/second"),
        GrammarRow("inet", "limit rate 0/second", "error 12-12: limit rate must be > 0"),
        GrammarRow("inet", "limit rate 5/fortnight", "error 14-22: syntax error, unexpected string"),
        GrammarRow("inet", "limit rate 5/second burst 0 packets", "error 21-35: packet limit burst must be > 0"),
        GrammarRow("inet", "limit rate 5/second burst 3 bytes", "error 27-27: syntax error, unexpected bytes"),
        GrammarRow("inet", "quota 25 mbytes"),
        GrammarRow("inet", "quota over 2048 bytes drop", "quota over 2 kbytes drop"),
        GrammarRow("inet", "quota over 10 kbytes used 512 bytes", "quota over 10 kbytes"),
        GrammarRow("inet", "quota 10", "error 9-9: syntax error, unexpected newline, expecting string or bytes"),
        GrammarRow("inet", "ct count 20 accept"),
        GrammarRow("inet", "ct count over 100 reject"),
        GrammarRow("inet", "last"),
        GrammarRow("inet", "last used never", "last"),
        GrammarRow("inet", "quota over", "error 11-11: syntax error, unexpected newline, expecting number"),
        GrammarRow("inet", "ct count over", "error 14-14: syntax error, unexpected newline, expecting number"),
    ]

    @Test(arguments: rows) func row(_ row: GrammarRow) { row.check() }
}
