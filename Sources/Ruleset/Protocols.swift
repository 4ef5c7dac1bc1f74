// The headers and fields that payload expressions name.
//
// Invariant: offsets and lengths are in bits from the start of the protocol's own header.

struct ProtocolField: Sendable {
    let name: String
    let offset: Int
    let length: Int
    let basic: BasicType
    var type: Datatype { Datatypes.make(basic, bits: length, order: .network) }
}

struct ProtocolHeader: Sendable {
    let name: String
    let base: PayloadBase
    let fields: [ProtocolField]
    /// The field that says which protocol follows, and which protocol each value stands for.
    var key: String?
    var upper: [(number: UInt128, name: String)] = []
    /// Bits of the header, for protocols stacked upon each other at the link layer.
    var size = 0

    func field(_ name: String) -> ProtocolField? { fields.first { $0.name == name } }
    func number(of upperName: String) -> UInt128? { upper.first { $0.name == upperName }?.number }
    func upperName(_ number: UInt128) -> String? { upper.first { $0.number == number }?.name }
}

enum Protocols {
    private static func f(_ name: String, _ offset: Int, _ length: Int, _ basic: BasicType = .integer) -> ProtocolField {
        ProtocolField(name: name, offset: offset, length: length, basic: basic)
    }

    static let transports: [(number: UInt128, name: String)] = [
        (6, "tcp"), (17, "udp"), (136, "udplite"), (1, "icmp"), (58, "icmpv6"), (50, "esp"), (51, "ah"), (108, "comp"), (33, "dccp"), (132, "sctp"), (2, "igmp"), (47, "gre"),
    ]
    static let etherTypes: [(number: UInt128, name: String)] = [(0x0800, "ip"), (0x0806, "arp"), (0x86dd, "ip6"), (0x8100, "vlan"), (0x88a8, "vlan"), (0x9100, "vlan")]

    static let all: [ProtocolHeader] = [
        ProtocolHeader(name: "ether", base: .link, fields: [f("daddr", 0, 48, .etherAddress), f("saddr", 48, 48, .etherAddress), f("type", 96, 16, .etherType)], key: "type", upper: etherTypes, size: 112),
        ProtocolHeader(name: "vlan", base: .link, fields: [f("pcp", 0, 3), f("dei", 3, 1), f("cfi", 3, 1), f("id", 4, 12), f("type", 16, 16, .etherType)], key: "type", upper: etherTypes, size: 32),
        ProtocolHeader(name: "arp", base: .network, fields: [
            f("htype", 0, 16), f("ptype", 16, 16, .etherType), f("hlen", 32, 8), f("plen", 40, 8), f("operation", 48, 16, .arpOperation),
            f("saddr ether", 64, 48, .etherAddress), f("saddr ip", 112, 32, .ipv4Address), f("daddr ether", 144, 48, .etherAddress), f("daddr ip", 192, 32, .ipv4Address),
        ]),
        ProtocolHeader(name: "ip", base: .network, fields: [
            f("version", 0, 4), f("hdrlength", 4, 4), f("dscp", 8, 6, .dscp), f("ecn", 14, 2, .ecn), f("length", 16, 16), f("id", 32, 16), f("frag-off", 48, 16, .hexInteger),
            f("ttl", 64, 8), f("protocol", 72, 8, .inetProtocol), f("checksum", 80, 16), f("saddr", 96, 32, .ipv4Address), f("daddr", 128, 32, .ipv4Address),
        ], key: "protocol", upper: transports),
        ProtocolHeader(name: "ip6", base: .network, fields: [
            f("version", 0, 4), f("dscp", 4, 6, .dscp), f("ecn", 10, 2, .ecn), f("flowlabel", 12, 20), f("length", 32, 16), f("nexthdr", 48, 8, .inetProtocol),
            f("hoplimit", 56, 8), f("saddr", 64, 128, .ipv6Address), f("daddr", 192, 128, .ipv6Address),
        ], key: "nexthdr", upper: transports),
        ProtocolHeader(name: "th", base: .transport, fields: [f("sport", 0, 16, .inetService), f("dport", 16, 16, .inetService)]),
        ProtocolHeader(name: "udp", base: .transport, fields: [f("sport", 0, 16, .inetService), f("dport", 16, 16, .inetService), f("length", 32, 16), f("checksum", 48, 16)]),
        ProtocolHeader(name: "udplite", base: .transport, fields: [f("sport", 0, 16, .inetService), f("dport", 16, 16, .inetService), f("csumcov", 32, 16), f("checksum", 48, 16)]),
        ProtocolHeader(name: "tcp", base: .transport, fields: [
            f("sport", 0, 16, .inetService), f("dport", 16, 16, .inetService), f("sequence", 32, 32), f("ackseq", 64, 32), f("doff", 96, 4), f("reserved", 100, 4),
            f("flags", 104, 8, .tcpFlag), f("window", 112, 16), f("checksum", 128, 16), f("urgptr", 144, 16),
        ]),
        ProtocolHeader(name: "dccp", base: .transport, fields: [f("sport", 0, 16, .inetService), f("dport", 16, 16, .inetService), f("type", 67, 4, .dccpPacketType)]),
        ProtocolHeader(name: "sctp", base: .transport, fields: [f("sport", 0, 16, .inetService), f("dport", 16, 16, .inetService), f("vtag", 32, 32), f("checksum", 64, 32)]),
        ProtocolHeader(name: "ah", base: .transport, fields: [f("nexthdr", 0, 8, .inetProtocol), f("hdrlength", 8, 8), f("reserved", 16, 16), f("spi", 32, 32), f("sequence", 64, 32)]),
        ProtocolHeader(name: "esp", base: .transport, fields: [f("spi", 0, 32), f("sequence", 32, 32)]),
        ProtocolHeader(name: "comp", base: .transport, fields: [f("nexthdr", 0, 8, .inetProtocol), f("flags", 8, 8, .hexInteger), f("cpi", 16, 16)]),
        ProtocolHeader(name: "icmp", base: .transport, fields: [
            f("type", 0, 8, .icmpType), f("code", 8, 8, .icmpCode), f("checksum", 16, 16), f("id", 32, 16), f("sequence", 48, 16), f("gateway", 32, 32), f("mtu", 48, 16),
        ]),
        ProtocolHeader(name: "igmp", base: .transport, fields: [f("type", 0, 8, .igmpType), f("mrt", 8, 8), f("checksum", 16, 16), f("group", 32, 32, .ipv4Address)]),
        ProtocolHeader(name: "icmpv6", base: .transport, fields: [
            f("type", 0, 8, .icmpv6Type), f("code", 8, 8, .icmpv6Code), f("checksum", 16, 16), f("parameter-problem", 32, 32), f("mtu", 32, 32), f("id", 32, 16),
            f("sequence", 48, 16), f("max-delay", 32, 16), f("taddr", 64, 128, .ipv6Address), f("daddr", 192, 128, .ipv6Address),
        ]),
        ProtocolHeader(name: "gre", base: .transport, fields: [f("flags", 0, 5), f("version", 13, 3), f("protocol", 16, 16, .etherType)], key: "protocol"),
        ProtocolHeader(name: "vxlan", base: .inner, fields: [f("vni", 32, 24), f("flags", 0, 8)]),
        ProtocolHeader(name: "geneve", base: .inner, fields: [f("vni", 32, 24), f("type", 16, 16, .etherType)]),
        ProtocolHeader(name: "gretap", base: .transport, fields: []),
    ]
    private static let byName = Dictionary(uniqueKeysWithValues: all.map { ($0.name, $0) })
    static func named(_ name: String) -> ProtocolHeader? { byName[name] }

    /// IPv6 extension headers: name, next-header number and fields.
    static let extensionHeaders: [(name: String, number: UInt8, fields: [ProtocolField])] = [
        ("hbh", 0, [f("nexthdr", 0, 8, .inetProtocol), f("hdrlength", 8, 8)]),
        ("rt", 43, [f("nexthdr", 0, 8, .inetProtocol), f("hdrlength", 8, 8), f("type", 16, 8), f("seg-left", 24, 8)]),
        ("rt0", 43, [f("addr[1]", 64, 128, .ipv6Address)]),
        ("rt2", 43, [f("addr", 64, 128, .ipv6Address)]),
        ("srh", 43, [f("last-entry", 32, 8), f("flags", 40, 8), f("tag", 48, 16), f("sid[1]", 64, 128, .ipv6Address), f("sid[2]", 192, 128, .ipv6Address)]),
        ("frag", 44, [f("nexthdr", 0, 8, .inetProtocol), f("reserved", 8, 8), f("frag-off", 16, 13), f("reserved2", 29, 2), f("more-fragments", 31, 1), f("id", 32, 32)]),
        ("dst", 60, [f("nexthdr", 0, 8, .inetProtocol), f("hdrlength", 8, 8)]),
        ("mh", 135, [f("nexthdr", 0, 8, .inetProtocol), f("hdrlength", 8, 8), f("type", 16, 8, .mhType), f("reserved", 24, 8), f("checksum", 32, 16)]),
    ]
    static func extensionHeader(_ name: String) -> (name: String, number: UInt8, fields: [ProtocolField])? { extensionHeaders.first { $0.name == name } }

    private static func kl(_ more: [ProtocolField] = []) -> [ProtocolField] { [f("kind", 0, 8), f("length", 8, 8)] + more }
    static let tcpOptions: [(name: String, number: UInt8, fields: [ProtocolField])] = [
        ("eol", 0, [f("kind", 0, 8)]), ("nop", 1, [f("kind", 0, 8)]),
        ("maxseg", 2, kl([f("size", 16, 16)])), ("window", 3, kl([f("count", 16, 8)])), ("sack-perm", 4, kl()),
        ("sack", 5, kl([f("left", 16, 32), f("right", 48, 32)])), ("sack0", 5, kl([f("left", 16, 32), f("right", 48, 32)])), ("sack1", 5, kl([f("left", 80, 32), f("right", 112, 32)])),
        ("sack2", 5, kl([f("left", 144, 32), f("right", 176, 32)])), ("sack3", 5, kl([f("left", 208, 32), f("right", 240, 32)])),
        ("timestamp", 8, kl([f("tsval", 16, 32), f("tsecr", 48, 32)])), ("md5sig", 19, kl()),
        ("mptcp", 30, kl([f("subtype", 16, 4, .mptcpSubtype)])), ("fastopen", 34, kl()),
    ]
    static let ipOptions: [(name: String, number: UInt8, fields: [ProtocolField])] = [
        ("lsrr", 131, [f("type", 0, 8), f("length", 8, 8), f("ptr", 16, 8), f("addr", 24, 32, .ipv4Address)]),
        ("rr", 7, [f("type", 0, 8), f("length", 8, 8), f("ptr", 16, 8), f("addr", 24, 32, .ipv4Address)]),
        ("ssrr", 137, [f("type", 0, 8), f("length", 8, 8), f("ptr", 16, 8), f("addr", 24, 32, .ipv4Address)]),
        ("ra", 148, [f("type", 0, 8), f("length", 8, 8), f("value", 16, 16)]),
    ]
    private static func chunk(_ more: [ProtocolField] = []) -> [ProtocolField] { [f("type", 0, 8), f("flags", 8, 8), f("length", 16, 16)] + more }
    private static let initial = chunk([f("init-tag", 32, 32), f("a-rwnd", 64, 32), f("num-outbound-streams", 96, 16), f("num-inbound-streams", 112, 16), f("initial-tsn", 128, 32)])
    static let sctpChunks: [(name: String, number: UInt8, fields: [ProtocolField])] = [
        ("data", 0, chunk([f("tsn", 32, 32), f("stream", 64, 16), f("ssn", 80, 16), f("ppid", 96, 32)])),
        ("init", 1, initial), ("init-ack", 2, initial),
        ("sack", 3, chunk([f("cum-tsn-ack", 32, 32), f("a-rwnd", 64, 32), f("num-gap-ack-blocks", 96, 16), f("num-dup-tsns", 112, 16)])),
        ("heartbeat", 4, chunk()), ("heartbeat-ack", 5, chunk()), ("abort", 6, chunk()),
        ("shutdown", 7, chunk([f("cum-tsn-ack", 32, 32)])), ("shutdown-ack", 8, chunk()), ("error", 9, chunk()), ("cookie-echo", 10, chunk()), ("cookie-ack", 11, chunk()),
        ("ecne", 12, chunk([f("lowest-tsn", 32, 32)])), ("cwr", 13, chunk([f("lowest-tsn", 32, 32)])), ("shutdown-complete", 14, chunk()),
        ("asconf-ack", 128, chunk([f("seqno", 32, 32)])), ("forward-tsn", 192, chunk([f("new-cum-tsn", 32, 32)])), ("asconf", 193, chunk([f("seqno", 32, 32)])),
    ]
}
