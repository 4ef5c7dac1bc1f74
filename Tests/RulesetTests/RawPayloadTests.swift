// Bits of the packet by position.
import Testing

@testable import Ruleset

@Suite struct RawPayloadTests {
    static let rows: [GrammarRow] = [
        GrammarRow("inet", "@nh,64,8 6", "@nh,64,8 0x6"),
        GrammarRow("inet", "@th,32,16 0x1234"),
        GrammarRow("inet", "@ll,48,48 0x020000000001", "@ll,48,48 0x20000000001"),
        GrammarRow("inet", "@ih,0,32 0xdeadbeef"),
        GrammarRow("inet", "@th,16,16 { 80, 443 }", "@th,16,16 { 0x50, 0x1bb }"),
        GrammarRow("inet", "tcp dport 22 @th,0,16 1024-65535", "tcp dport 22 tcp sport 1024-65535"),
        GrammarRow("inet", "@nh,64,8 . @th,16,16 { 0x6 . 0x50 }"),
        GrammarRow("inet", "@th,96,4 & 0x8 == 0x8"),
        GrammarRow("inet", "@zz,0,8 1", "error 2-3: unknown raw payload base"),
        GrammarRow("inet", "@th,0 5", "error 7-7: syntax error, unexpected number"),
        GrammarRow("inet", "@ih,32,32 set 0x1"),
    ]

    @Test(arguments: rows) func row(_ row: GrammarRow) { row.check() }
}
