// `ct` keys, with and without a direction.
import Testing

@testable import Ruleset

@Suite struct ConntrackTests {
    static let rows: [GrammarRow] = [
        GrammarRow("inet", "ct state established,related accept"),
        GrammarRow("inet", "ct state { new, untracked }"),
        GrammarRow("inet", "ct state != invalid"),
        GrammarRow("inet", "ct state ! established"),
        GrammarRow("inet", "ct state vmap { invalid : drop, established : accept, related : accept }"),
        GrammarRow("inet", "ct state nosuch", "error 10-15: Could not parse conntrack state"),
        GrammarRow("inet", "ct direction reply"),
        GrammarRow("inet", "ct status dnat"),
        GrammarRow("inet", "ct status snat,dnat"),
        GrammarRow("inet", "ct status & (seen-reply | assured) != 0", "ct status seen-reply,assured"),
        GrammarRow("inet", "ct mark 0x5", "ct mark 0x00000005"),
        GrammarRow("inet", "ct mark and 0xff00 != 0x100", "ct mark & 0x0000ff00 != 0x00000100"),
        GrammarRow("inet", "ct expiration 10m-1h", "ct expiration 600s-3600s"),
        GrammarRow("inet", #"ct helper "ftp""#),
        GrammarRow("inet", "ct l3proto ipv4"),
        GrammarRow("inet", "ct protocol { tcp, sctp }"),
        GrammarRow("inet", "ct zone 12"),
        GrammarRow("inet", "ct original zone 3 ct reply zone 4"),
        GrammarRow("inet", "ct id 99"),
        GrammarRow("inet", "ct bytes > 1000000"),
        GrammarRow("inet", "ct original packets 10-20"),
        GrammarRow("inet", "ct reply bytes < 50"),
        GrammarRow("inet", "ct avgpkt > 900"),
        GrammarRow("inet", "ct original ip saddr 192.0.2.1"),
        GrammarRow("inet", "ct reply ip6 daddr 2001:db8::/64"),
        GrammarRow("inet", "ct original saddr 192.0.2.1", #"error 1-17: cannot determine ip protocol version, use "ip saddr" or "ip6 saddr" instead"#),
        GrammarRow("ip", "ct original saddr 192.0.2.0/24", "ct original ip saddr 192.0.2.0/24"),
        GrammarRow("ip", "ct protocol tcp ct reply proto-dst 443"),
        GrammarRow("inet", "ct l3proto ipv4 ct protocol tcp ct reply proto-dst 443"),
        GrammarRow("ip", "ct reply proto-dst 443", "error 20-22: Can't parse symbolic invalid expressions"),
        GrammarRow("inet", "meta nfproto ipv6 ct original ip saddr 192.0.2.1", "error 19-38: conflicting network layer protocols specified: ip6 vs. ip"),
        GrammarRow("inet", "ct original ip saddr . ct original proto-dst { 192.0.2.1 . 80 }", "error 60-61: Can't parse symbolic invalid expressions"),
        GrammarRow("inet", "ct mark set 0x11", "ct mark set 0x00000011"),
        GrammarRow("inet", "ct mark set meta mark"),
        GrammarRow("inet", "ct mark set ct mark and 0xff or 0x100", "ct mark set ct mark & 0x000000ff | 0x00000100"),
        GrammarRow("inet", "ct zone set 9"),
        GrammarRow("inet", "ct original zone set 9"),
        GrammarRow("inet", "ct label set 12"),
        GrammarRow("inet", "ct event set new,destroy"),
        GrammarRow("inet", "ct nosuch 1", "error 4-9: syntax error, unexpected string"),
        GrammarRow("inet", "notrack"),
    ]

    @Test(arguments: rows) func row(_ row: GrammarRow) { row.check() }
}
