// TCP, UDP and the other transports.
import Testing

@testable import Ruleset

@Suite struct TransportHeaderTests {
    static let rows: [GrammarRow] = [
        GrammarRow("ip", "tcp dport 8080"),
        GrammarRow("ip", "tcp sport domain", "tcp sport 53"),
        GrammarRow("ip", "tcp dport { 8443, 443, 1000-1005 } accept", "tcp dport { 443, 1000-1005, 8443 } accept"),
        GrammarRow("ip", "tcp dport != 1024-65535"),
        GrammarRow("ip", "tcp dport 65536", "error 11-15: Service out of range"),
        GrammarRow("ip", "tcp dport 70-60", "error 11-15: Range negative size"),
        GrammarRow("ip", "tcp dport nosuch", "error 11-16: Could not resolve service: Servname not supported for ai_socktype"),
        GrammarRow("ip", "tcp sequence 0x10 tcp ackseq 33", "tcp sequence 16 tcp ackseq 33"),
        GrammarRow("ip", "tcp doff 8"),
        GrammarRow("ip", "tcp window >= 512"),
        GrammarRow("ip", "tcp checksum 0 tcp urgptr != 0"),
        GrammarRow("ip", "tcp flags syn"),
        GrammarRow("ip", "tcp flags syn,rst"),
        GrammarRow("ip", "tcp flags == syn"),
        GrammarRow("ip", "tcp flags != syn"),
        GrammarRow("ip", "tcp flags ! fin,rst"),
        GrammarRow("ip", "tcp flags syn / syn,ack,rst", "tcp flags & (syn | rst | ack) == syn"),
        GrammarRow("ip", "tcp flags & (syn | ack) == syn | ack"),
        GrammarRow("ip", "tcp flags { syn, syn | ack }"),
        GrammarRow("ip", "tcp flags 0x40", "tcp flags ecn"),
        GrammarRow("ip", "udp sport 5353 udp dport 5353"),
        GrammarRow("ip", "udp length 8-64 udp checksum 0"),
        GrammarRow("ip", "udplite csumcov 16"),
        GrammarRow("ip", "sctp dport 2905 sctp vtag 0"),
        GrammarRow("ip", "sctp checksum 1"),
        GrammarRow("ip", "dccp type { request, close }"),
        GrammarRow("ip", "dccp sport 5004"),
        GrammarRow("ip", "th dport 53"),
        GrammarRow("inet", "meta l4proto { tcp, udp } th dport 53"),
        GrammarRow("inet", "meta l4proto { tcp, udp } th sport . th dport { 53 . 1024 }"),
        GrammarRow("ip", "ah nexthdr tcp ah spi 77"),
        GrammarRow("ip", "ah hdrlength 4 ah sequence 12"),
        GrammarRow("ip", "esp spi 100-200 esp sequence != 3"),
        GrammarRow("ip", "comp cpi 2 comp nexthdr esp"),
        GrammarRow("ip", "tcp dport 22 udp sport 53", "error 14-22: conflicting transport layer protocols specified: tcp vs. udp"),
        GrammarRow("inet", "udp dport 53 ip saddr 192.0.2.1"),
        GrammarRow("inet", "meta l4proto 47 accept", "meta l4proto gre accept"),
    ]

    @Test(arguments: rows) func row(_ row: GrammarRow) { row.check() }
}
