// Width and byte order of each basic type, and which of them are bit masks, strings or numbers.

enum Datatypes {
    private static let widths: [BasicType: (Int, ByteOrder)] = [
        .verdict: (32, .host), .integer: (0, .network), .hexInteger: (0, .network), .string: (0, .host), .bitmask: (0, .host), .boolean: (1, .host), .nfProto: (8, .host),
        .linkAddress: (0, .network), .ipv4Address: (32, .network), .ipv6Address: (128, .network), .etherAddress: (48, .network), .etherType: (16, .network),
        .arpOperation: (16, .network), .inetProtocol: (8, .network), .inetService: (16, .network), .icmpType: (8, .network), .icmpCode: (8, .network),
        .icmpv6Type: (8, .network), .icmpv6Code: (8, .network), .icmpxCode: (8, .network), .igmpType: (8, .network), .tcpFlag: (8, .network), .dccpPacketType: (4, .network),
        .mhType: (8, .network), .time: (64, .host), .mark: (32, .host), .interfaceIndex: (32, .host), .interfaceName: (128, .host), .interfaceType: (16, .host),
        .interfaceKind: (128, .host), .realm: (32, .host), .classID: (32, .host), .userID: (32, .host), .groupID: (32, .host), .cgroupV2: (64, .host),
        .ctState: (32, .host), .ctDirection: (8, .host), .ctStatus: (32, .host), .ctLabel: (128, .host), .ctEvent: (32, .host), .ctID: (32, .network),
        .packetType: (8, .host), .deviceGroup: (32, .host), .dscp: (6, .network), .ecn: (2, .network), .fibAddressType: (32, .host), .date: (64, .host),
        .day: (8, .host), .hour: (32, .host), .tcpOptionKind: (8, .network), .mptcpSubtype: (4, .network), .osfName: (128, .host),
    ]

    /// The type as a declaration gives it; nil for names that have no width of their own.
    static func declared(_ name: String) -> Datatype? {
        guard let basic = BasicType(rawValue: name), let (bits, order) = widths[basic], bits > 0 else { return nil }
        return Datatype(basic, bits: bits, byteOrder: order)
    }

    static func make(_ basic: BasicType, bits: Int? = nil, order: ByteOrder? = nil) -> Datatype {
        let known = widths[basic] ?? (0, .host)
        return Datatype(basic, bits: bits ?? known.0, byteOrder: order ?? known.1)
    }

    static func integer(_ bits: Int, _ order: ByteOrder = .host) -> Datatype { Datatype(.integer, bits: bits, byteOrder: order) }

    static func isBitmask(_ type: Datatype) -> Bool {
        switch type.basic {
        case .tcpFlag, .ctState, .ctStatus, .ctLabel, .ctEvent, .bitmask: true
        default: false
        }
    }
    static func isString(_ type: Datatype) -> Bool {
        switch type.basic {
        case .string, .interfaceName, .interfaceKind, .osfName: true
        default: false
        }
    }
    static func description(_ type: Datatype) -> String {
        if type.isConcatenation { return "concatenation of (" + type.components.map(description).joined(separator: ", ") + ")" }
        return descriptions[type.basic] ?? type.basic.rawValue
    }
    /// nft's texts for messages and `describe`.
    static let descriptions: [BasicType: String] = [
        .ipv4Address: "IPv4 address", .ipv6Address: "IPv6 address", .inetService: "internet network service", .inetProtocol: "Internet protocol", .integer: "integer", .hexInteger: "integer",
        .string: "string", .verdict: "netfilter verdict", .etherAddress: "Ethernet address", .etherType: "Ethernet protocol", .mark: "packet mark",
        .interfaceIndex: "network interface index", .interfaceName: "network interface name", .interfaceType: "network interface type", .ctState: "conntrack state",
        .ctDirection: "conntrack direction", .ctStatus: "conntrack status", .ctLabel: "conntrack label", .ctEvent: "conntrack event bits", .tcpFlag: "TCP flag",
        .icmpType: "ICMP type", .icmpCode: "icmp code", .icmpv6Type: "ICMPv6 type", .icmpv6Code: "icmpv6 code", .icmpxCode: "icmpx code", .boolean: "boolean type",
        .dscp: "Differentiated Services Code Point", .ecn: "Explicit Congestion Notification", .time: "relative time", .date: "Date", .day: "Day of week", .hour: "Hour of day",
        .packetType: "packet type", .deviceGroup: "devgroup name", .realm: "routing realm", .classID: "TC classid", .userID: "user ID", .groupID: "group ID",
        .fibAddressType: "fib address type", .nfProto: "netfilter protocol", .arpOperation: "ARP operation", .mhType: "MH type", .dccpPacketType: "DCCP packet type", .igmpType: "IGMP type",
        .bitmask: "bitmask", .interfaceKind: "network interface kind", .cgroupV2: "cgroupsv2 path",
    ]
}
