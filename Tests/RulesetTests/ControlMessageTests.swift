// ICMP, ICMPv6 and IGMP.
import Testing

@testable import Ruleset

@Suite struct ControlMessageTests {
    static let rows: [GrammarRow] = [
        GrammarRow("ip", "icmp type echo-request limit rate 4/second burst 5 packets"),
        GrammarRow("ip", "icmp type { destination-unreachable, time-exceeded, 40 }"),
        GrammarRow("ip", "icmp type destination-unreachable icmp code 4"),
        GrammarRow("ip", "icmp code { 1, 3 }"),
        GrammarRow("ip", "icmp id 77", "icmp type { echo-reply, echo-request } icmp id 77"),
        GrammarRow("ip", "icmp sequence 3-9", "icmp type { echo-reply, echo-request } icmp sequence 3-9"),
        GrammarRow("ip", "icmp mtu 1400"),
        GrammarRow("ip", "icmp type echo-reply icmp id 5"),
        GrammarRow("ip", "icmp type redirect icmp gateway 5", "icmp gateway 5"),
        GrammarRow("ip", "icmp mtu set 1200"),
        GrammarRow("ip", "icmp type nosuch", "error 11-16: Could not parse ICMP type"),
        GrammarRow("ip", "icmp checksum 0xffff", "icmp checksum 65535"),
        GrammarRow("inet", "icmp type echo-request accept"),
        GrammarRow("inet", "icmpv6 type echo-request accept"),
        GrammarRow("ip6", "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, 200 }"),
        GrammarRow("ip6", "icmpv6 type packet-too-big icmpv6 mtu 1280", "icmpv6 mtu 1280"),
        GrammarRow("ip6", "icmpv6 id 12", "icmpv6 type { echo-request, echo-reply } icmpv6 id 12"),
        GrammarRow("ip6", "icmpv6 max-delay 10"),
        GrammarRow("ip6", "icmpv6 code 0"),
        GrammarRow("ip6", "icmpv6 type 300", "error 13-15: Value 300 exceeds valid range 0-255"),
        GrammarRow("ip", "igmp type membership-query igmp mrt 100"),
        GrammarRow("ip", "igmp type { leave-group, membership-report-v3 }"),
        GrammarRow("ip", "igmp checksum != 0"),
    ]

    @Test(arguments: rows) func row(_ row: GrammarRow) { row.check() }
}
