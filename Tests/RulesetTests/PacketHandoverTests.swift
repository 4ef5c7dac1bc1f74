// `queue`, `dup`, `fwd`, `tproxy` and `synproxy`.
import Testing

@testable import Ruleset

@Suite struct PacketHandoverTests {
    static let rows: [GrammarRow] = [
        GrammarRow("inet", "queue", "queue to 0"),
        GrammarRow("inet", "queue num 3", "queue to 3"),
        GrammarRow("inet", "queue to 5"),
        GrammarRow("inet", "queue num 1-4 fanout", "queue flags fanout to 1-4"),
        GrammarRow("inet", "queue flags bypass,fanout to 2-9"),
        GrammarRow("inet", "queue flags bypass to numgen inc mod 8"),
        GrammarRow("inet", "queue to symhash mod 4 offset 10"),
        GrammarRow("inet", "queue num 3 fanout", "error 7-11: fanout requires a range to be specified"),
        GrammarRow("inet", "queue num 65536", "error 7-15: Value 65536 exceeds valid range 0-65535"),
        GrammarRow("ip", "dup to 192.0.2.1"),
        GrammarRow("ip", "dup to 192.0.2.1 device lo", #"dup to 192.0.2.1 device "lo""#),
        GrammarRow("ip6", "dup to 2001:db8::1"),
        GrammarRow("netdev", "dup to lo", #"dup to "lo""#),
        GrammarRow("inet", "dup to 192.0.2.1", "error 1-16: unsupported family"),
        GrammarRow("ip", "dup", "error 4-4: syntax error, unexpected newline, expecting to"),
        GrammarRow("netdev", "fwd to lo", #"fwd to "lo""#),
        GrammarRow("netdev", "fwd ip to 192.0.2.1 device lo", #"fwd ip to 192.0.2.1 device "lo""#),
        GrammarRow("ip", "fwd to lo", "error 1-9: unsupported family"),
        GrammarRow("ip", "tcp dport 80 tproxy to 127.0.0.1:8080"),
        GrammarRow("ip", "tcp dport 80 tproxy to :8080"),
        GrammarRow("ip", "udp dport 53 tproxy to 127.0.0.1"),
        GrammarRow("inet", "meta l4proto tcp tproxy ip6 to [::1]:8080"),
        GrammarRow("inet", "meta l4proto udp tproxy to :5353"),
        GrammarRow("ip", "tproxy to :8080", "error 1-15: Transparent proxy support requires transport protocol match"),
        GrammarRow("ip", "synproxy mss 1460 wscale 7 timestamp sack-perm"),
        GrammarRow("ip", "synproxy"),
        GrammarRow("ip", "synproxy mss 1460"),
        GrammarRow("ip", "synproxy sack-perm"),
    ]

    @Test(arguments: rows) func row(_ row: GrammarRow) { row.check() }
}
