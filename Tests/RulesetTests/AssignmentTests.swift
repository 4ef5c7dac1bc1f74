// What a rule may write, and into what.
import Testing

@testable import Ruleset

@Suite struct AssignmentTests {
    static let rows: [GrammarRow] = [
        GrammarRow("inet", "meta mark set 0x1f", "meta mark set 0x0000001f"),
        GrammarRow("inet", "meta priority set 1:7"),
        GrammarRow("inet", "meta priority set none"),
        GrammarRow("inet", "pkttype set host", "meta pkttype set host"),
        GrammarRow("inet", "meta mark set tcp dport"),
        GrammarRow("inet", "meta mark set ip dscp"),
        GrammarRow("inet", "meta mark set ip id", "error 15-19: datatype mismatch: expected packet mark, expression has type integer with length 16"),
        GrammarRow("inet", "meta mark set iifname", "error 15-21: datatype mismatch: expected packet mark, expression has type network interface name"),
        GrammarRow("inet", "meta mark set { 1, 2 }", "error 15-15: syntax error, unexpected '{'"),
        GrammarRow("inet", "meta mark set frag id", "error 15-18: syntax error, unexpected frag"),
        GrammarRow("inet", "ip dscp set af31"),
        GrammarRow("inet", "ip dscp set 70", "error 13-14: Value 70 exceeds valid range 0-63"),
        GrammarRow("inet", "ip ecn set ce"),
        GrammarRow("inet", "ip ttl set 64"),
        GrammarRow("inet", "ip daddr set 192.0.2.1"),
        GrammarRow("inet", "ip saddr set ip daddr"),
        GrammarRow("inet", "ip6 hoplimit set 3"),
        GrammarRow("inet", "ip6 flowlabel set 5"),
        GrammarRow("inet", "tcp sport set 1024"),
        GrammarRow("inet", "tcp dport set { 80 }", "error 15-15: syntax error, unexpected '{'"),
        GrammarRow("inet", "udp checksum set 0"),
        GrammarRow("inet", "ether daddr set 02:00:00:00:00:01"),
        GrammarRow("inet", "ip protocol set 6", "ip protocol set tcp"),
        GrammarRow("inet", "ip dscp set ip ecn", "error 13-18: datatype mismatch: expected Differentiated Services Code Point, expression has type Explicit Congestion Notification"),
        GrammarRow("inet", "meta mark set meta mark | 0x100", "meta mark set meta mark | 0x00000100"),
        GrammarRow("inet", "meta mark set ip saddr map { 192.0.2.1 : 0x1, 192.0.2.2 : 0x2 }", "meta mark set ip saddr map { 192.0.2.1 : 0x00000001, 192.0.2.2 : 0x00000002 }"),
        GrammarRow("inet", "ct mark set tcp dport map { 22 : 1, 80-90 : 2 }", "ct mark set tcp dport map { 22 : 0x00000001, 80-90 : 0x00000002 }"),
        GrammarRow("inet", "ip dscp set tcp dport map { 22 : cs4, 80 : af11 }"),
        GrammarRow("inet", #"meta secmark set "web""#, "error 18-22: Could not process rule: No such file or directory"),
        GrammarRow("inet", "tcp option maxseg size set 100000", "error 28-33: Value 100000 exceeds valid range 0-65535"),
        GrammarRow("inet", "meta mark set", "error 14-14: syntax error, unexpected newline"),
    ]

    @Test(arguments: rows) func row(_ row: GrammarRow) { row.check() }
}
