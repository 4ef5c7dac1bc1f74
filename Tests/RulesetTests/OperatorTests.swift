// Comparison and bit operators, ranges, lists.
import Testing

@testable import Ruleset

@Suite struct OperatorTests {
    static let rows: [GrammarRow] = [
        GrammarRow("inet", "tcp dport eq 22", "tcp dport 22"),
        GrammarRow("inet", "tcp dport ne 22", "tcp dport != 22"),
        GrammarRow("inet", "tcp dport lt 1024 tcp sport ge 1024", "tcp dport < 1024 tcp sport >= 1024"),
        GrammarRow("inet", "meta length gt 100 meta length le 200", "meta length > 100 meta length <= 200"),
        GrammarRow("inet", "ip ttl == 64", "ip ttl 64"),
        GrammarRow("inet", "meta mark & 0xff00 == 0x100", "meta mark & 0x0000ff00 == 0x00000100"),
        GrammarRow("inet", "meta mark or 0x1 == 0x5", "meta mark | 0x00000001 == 0x00000005"),
        GrammarRow("inet", "meta mark & 0xf | 0x10 == 0x15", "meta mark & 0x0000000f | 0x00000010 == 0x00000015"),
        GrammarRow("inet", "meta mark and ( 0x1 | 0x2 ) == 0x2", "meta mark & 0x00000003 == 0x00000002"),
        GrammarRow("inet", "meta mark set meta mark and 0xffff0000 or 0x12", "meta mark set meta mark & 0xffff0000 | 0x00000012"),
        GrammarRow("inet", "meta mark set meta mark xor 0xff", "meta mark set meta mark ^ 0x000000ff"),
        GrammarRow("inet", "meta mark set ( meta mark or 0x1 ) << 8", "meta mark set (meta mark | 0x00000001) << 8"),
        GrammarRow("inet", "tcp flags and ( syn or rst ) == syn", "tcp flags & (syn | rst) == syn"),
        GrammarRow("inet", "ip saddr < 192.0.2.5-192.0.2.6", "error 12-30: Relational expression (<) is undefined for range expressions"),
        GrammarRow("inet", "ip saddr . tcp dport 192.0.2.1 . 22", "error 1-20: Use concatenations with sets and maps, not singleton values"),
        GrammarRow("inet", "tcp dport 1,2", "error 11-11: Basetype of type internet network service is not bitmask"),
        GrammarRow("inet", "tcp dport ! 22", #"error 1-9: negation can only be used with singleton bitmask values.  Did you mean "!="?"#),
        GrammarRow("inet", "tcp dport & 0xff == 22", "tcp dport & 255 == 22"),
        GrammarRow("inet", "tcp dport 22 23", "error 16-16: syntax error, unexpected newline"),
        GrammarRow("inet", "ip dscp == { cs1, cs2 }", "ip dscp { cs1, cs2 }"),
        GrammarRow("inet", "ip daddr != 192.0.2.1-192.0.2.1", "ip daddr != 192.0.2.1"),
    ]

    @Test(arguments: rows) func row(_ row: GrammarRow) { row.check() }
}
