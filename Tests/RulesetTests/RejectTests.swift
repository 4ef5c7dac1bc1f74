// `reject` and what it may answer.
import Testing

@testable import Ruleset

@Suite struct RejectTests {
    static let rows: [GrammarRow] = [
        GrammarRow("ip", "reject"),
        GrammarRow("ip", "reject with icmp host-unreachable"),
        GrammarRow("ip", "reject with icmp type admin-prohibited", "reject with icmp admin-prohibited"),
        GrammarRow("ip", "reject with icmp port-unreachable", "reject"),
        GrammarRow("ip", "reject with tcp reset"),
        GrammarRow("ip", "meta l4proto tcp reject with tcp reset", "reject with tcp reset"),
        GrammarRow("ip", "udp dport 1 reject with tcp reset", "error 13-18: you cannot use tcp reset with this protocol"),
        GrammarRow("ip", "reject with icmpv6 no-route", "error 20-27: conflicting protocols specified: ip vs ip6"),
        GrammarRow("ip", "reject with icmpx no-route", "error 19-26: abstracted ICMP unreachable not supported"),
        GrammarRow("ip", "reject with icmp nosuch", "error 18-23: Could not parse icmp code"),
        GrammarRow("ip6", "reject with icmpv6 addr-unreachable"),
        GrammarRow("ip6", "reject with icmpv6 policy-fail"),
        GrammarRow("inet", "reject"),
        GrammarRow("inet", "reject with icmpx admin-prohibited"),
        GrammarRow("inet", "reject with icmpx host-unreachable"),
        GrammarRow("inet", "reject with icmp net-unreachable"),
        GrammarRow("inet", "reject with icmpv6 port-unreachable"),
        GrammarRow("inet", "meta nfproto ipv4 reject", "reject with icmp port-unreachable"),
        GrammarRow("inet", "ip saddr 192.0.2.1 reject with icmpv6 no-route", "error 39-46: conflicting protocols specified: ip vs ip6"),
        GrammarRow("bridge", "ether type ip reject with icmp host-unreachable", "reject with icmp host-unreachable"),
        GrammarRow("bridge", "ether type arp reject", "error 16-21: cannot reject this network family"),
        GrammarRow("arp", "reject", "error 1-6: cannot use reject with arp"),
        GrammarRow("ip", "reject accept", "error 8-13: Statement after terminal statement has no effect"),
    ]

    @Test(arguments: rows) func row(_ row: GrammarRow) { row.check() }
}
