// `log` and its options.
import Testing

@testable import Ruleset

@Suite struct LogTests {
    static let rows: [GrammarRow] = [
        GrammarRow("inet", "log"),
        GrammarRow("inet", #"log prefix "in: ""#),
        GrammarRow("inet", #"log prefix "in: " level debug"#),
        GrammarRow("inet", "log level warn", "log"),
        GrammarRow("inet", "log level emerg flags all"),
        GrammarRow("inet", "log flags tcp sequence,options"),
        GrammarRow("inet", "log flags ip options flags skuid"),
        GrammarRow("inet", "log flags ether"),
        GrammarRow("inet", #"log group 3 snaplen 128 queue-threshold 4 prefix "nf""#, #"log prefix "nf" group 3 snaplen 128 queue-threshold 4"#),
        GrammarRow("inet", "log group 2 level info", "error 1-3: level and group are mutually exclusive"),
        GrammarRow("inet", "log level audit"),
        GrammarRow("inet", #"log level audit prefix "x""#, "error 1-3: log level audit doesn't support any further options"),
        GrammarRow("inet", #"log prefix """#),
        GrammarRow("inet", "log flags nosuch", "error 11-16: syntax error, unexpected string"),
        GrammarRow("inet", #"log prefix "a" accept"#),
    ]

    @Test(arguments: rows) func row(_ row: GrammarRow) { row.check() }
}
