// IPv6 extension headers, options of TCP and IPv4, SCTP chunks.
import Testing

@testable import Ruleset

@Suite struct HeaderOptionTests {
    static let rows: [GrammarRow] = [
        GrammarRow("ip6", "exthdr frag exists drop"),
        GrammarRow("ip6", "exthdr rt missing"),
        GrammarRow("ip6", "exthdr esp exists", "error 8-10: syntax error, unexpected esp"),
        GrammarRow("ip6", "hbh nexthdr tcp"),
        GrammarRow("ip6", "rt type 0 drop"),
        GrammarRow("ip6", "rt seg-left > 0"),
        GrammarRow("ip6", "rt0 addr[1] 2001:db8::1"),
        GrammarRow("ip6", "srh tag 7 srh flags 0"),
        GrammarRow("ip6", "srh sid[2] 2001:db8::5"),
        GrammarRow("ip6", "frag more-fragments 1"),
        GrammarRow("ip6", "frag id 100-200"),
        GrammarRow("ip6", "frag frag-off != 0"),
        GrammarRow("ip6", "dst hdrlength 2"),
        GrammarRow("ip6", "mh type binding-update"),
        GrammarRow("ip6", "mh nexthdr 59", "mh nexthdr ipv6-nonxt"),
        GrammarRow("ip6", "frag id set 5", "error 9-11: syntax error, unexpected set"),
        GrammarRow("inet", "frag nexthdr udp"),
        // The family that an option implies is tested before everything else in the rule.
        GrammarRow("inet", "counter frag id 5", "meta nfproto ipv6 counter frag id 5"),
        GrammarRow("inet", "counter ip option ra exists", "meta nfproto ipv4 counter ip option ra exists"),
        GrammarRow("inet", "counter sctp chunk data missing"),
        GrammarRow("ip", "frag id 5", "error 1-7: cannot use exthdr with ip"),
        GrammarRow("ip", "tcp option maxseg size < 536"),
        GrammarRow("ip", "tcp option maxseg size set 1360"),
        GrammarRow("ip", "tcp option maxseg size set rt mtu"),
        GrammarRow("ip", "tcp option timestamp exists"),
        GrammarRow("ip", "tcp option sack-permitted missing", "tcp option sack-perm missing"),
        GrammarRow("ip", "tcp option mss size 1400", "tcp option maxseg size 1400"),
        GrammarRow("ip", "tcp option echo exists", "tcp option timestamp exists"),
        GrammarRow("ip6", "icmpv6 param-problem 1", "icmpv6 parameter-problem 1"),
        GrammarRow("ip", "tcp option sack0 left 10 tcp option sack2 right 20", "tcp option sack left 10 tcp option sack2 right 20"),
        GrammarRow("ip", "tcp option window count 7"),
        GrammarRow("ip", "tcp option timestamp tsval 1-9"),
        GrammarRow("ip", "tcp option mptcp subtype mp-capable"),
        GrammarRow("ip", "tcp option fastopen length 12"),
        GrammarRow("ip", "tcp option 253 exists"),
        GrammarRow("ip", "tcp option nosuch exists", "error 12-17: syntax error, unexpected string"),
        GrammarRow("ip", "tcp option maxseg nosuch 1", "error 27-27: syntax error, unexpected newline"),
        GrammarRow("ip", "reset tcp option timestamp"),
        GrammarRow("ip", "ip option lsrr exists drop"),
        GrammarRow("ip", "ip option rr ptr 4"),
        GrammarRow("ip", "ip option ra value 0"),
        GrammarRow("ip", "ip option zz exists", "error 11-12: syntax error, unexpected string, expecting lsrr or rr or ssrr or ra"),
        GrammarRow("inet", "sctp chunk init exists"),
        GrammarRow("inet", "sctp chunk data tsn > 5"),
        GrammarRow("inet", "sctp chunk sack a-rwnd 100"),
        GrammarRow("inet", "sctp chunk nosuch exists", "error 12-17: syntax error, unexpected string"),
        GrammarRow("inet", "dccp option 5 exists"),
    ]

    @Test(arguments: rows) func row(_ row: GrammarRow) { row.check() }
}
