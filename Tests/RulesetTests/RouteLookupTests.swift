// `fib`, `rt`, `socket`, `osf` and `ipsec`.
import Testing

@testable import Ruleset

@Suite struct RouteLookupTests {
    static let rows: [GrammarRow] = [
        GrammarRow("inet", "fib saddr . iif oif missing drop", "fib saddr . iif check missing drop"),
        GrammarRow("inet", "fib daddr type local accept"),
        GrammarRow("inet", "fib daddr type { broadcast, multicast, anycast } drop", "fib daddr type { broadcast, anycast, multicast } drop"),
        GrammarRow("inet", "fib daddr . iif type != local"),
        GrammarRow("inet", "fib saddr . mark . iif oif exists", "fib saddr . mark . iif check exists"),
        GrammarRow("inet", #"fib daddr oifname "eth0""#),
        GrammarRow("inet", "fib daddr check missing"),
        GrammarRow("inet", "fib saddr . daddr oif lo", "error 5-17: fib: saddr and daddr are mutually exclusive"),
        GrammarRow("inet", "fib mark oif lo", "error 5-8: fib: need either saddr or daddr"),
        GrammarRow("inet", "fib saddr . iif . oif type local", "error 5-21: fib: iif and oif are mutually exclusive"),
        GrammarRow("inet", "rt mtu > 1400"),
        GrammarRow("inet", "rt ip nexthop 192.0.2.1"),
        GrammarRow("inet", "rt ip6 nexthop fe80::1"),
        GrammarRow("ip", "rt nexthop 192.0.2.1", "rt ip nexthop 192.0.2.1"),
        GrammarRow("inet", "rt nexthop 192.0.2.1", #"error 1-10: cannot determine ip protocol version, use "ip nexthop" or "ip6 nexthop" instead"#),
        GrammarRow("inet", "rt ipsec missing"),
        GrammarRow("inet", "socket transparent 1 accept"),
        GrammarRow("inet", "socket wildcard 0"),
        GrammarRow("inet", "socket mark 0x7", "socket mark 0x00000007"),
        GrammarRow("inet", #"osf name "Linux""#),
        GrammarRow("inet", #"osf ttl skip version "Linux:3.x""#),
        GrammarRow("inet", "ipsec in reqid 5"),
        GrammarRow("inet", "ipsec out spnum 1 spi 0x700", "ipsec out spnum 1 spi 1792"),
        GrammarRow("inet", "ipsec in ip saddr 192.0.2.1"),
    ]

    @Test(arguments: rows) func row(_ row: GrammarRow) { row.check() }
}
