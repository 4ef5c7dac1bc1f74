// The types of nft's expressions.
//
// Invariant: a datatype knows its width in bits and the byte order in which the kernel's registers hold it; a concatenation
// is a list of non-concatenated types.

/// nft's basic types; the raw value is the name that `type ...` declarations use.
public enum BasicType: String, Sendable, Hashable, CaseIterable {
    case invalid, verdict, integer, string, bitmask, boolean
    /// An integer that is listed in hexadecimal.
    case hexInteger = "xinteger"
    case nfProto = "nf_proto"
    case linkAddress = "ll_addr", ipv4Address = "ipv4_addr", ipv6Address = "ipv6_addr", etherAddress = "ether_addr"
    case etherType = "ether_type", arpOperation = "arp_op"
    case inetProtocol = "inet_proto", inetService = "inet_service"
    case icmpType = "icmp_type", icmpCode = "icmp_code", icmpv6Type = "icmpv6_type", icmpv6Code = "icmpv6_code", icmpxCode = "icmpx_code"
    case igmpType = "igmp_type"
    case tcpFlag = "tcp_flag", dccpPacketType = "dccp_pkttype", mhType = "mh_type"
    case time, mark
    case interfaceIndex = "iface_index", interfaceName = "ifname", interfaceType = "iface_type", interfaceKind = "ifkind"
    case realm, classID = "classid", userID = "uid", groupID = "gid", cgroupV2 = "cgroupsv2"
    case ctState = "ct_state", ctDirection = "ct_dir", ctStatus = "ct_status", ctLabel = "ct_label", ctEvent = "ct_event", ctID = "ct_id"
    case packetType = "pkt_type", deviceGroup = "devgroup", dscp, ecn, fibAddressType = "fib_addrtype"
    case date = "date_time", day, hour
    case tcpOptionKind = "tcp_option", mptcpSubtype = "mptcp_option_subtype"
    case osfName = "osf_name", sctpChunkType = "sctp_chunk", tunnelField = "tunnel", conntrackCount = "ct_count", elementCount = "set_count"
    case concatenation
}

/// The byte order of a value in the kernel's registers.
public enum ByteOrder: Sendable, Hashable { case host, network }

/// A resolved type: what it is and how wide.
public struct Datatype: Sendable, Hashable {
    public var basic: BasicType
    /// Width in bits (a bit field such as `ip dscp` has fewer than 8); of a concatenation: the sum of its parts, each padded to 32.
    public var bits: Int
    public var byteOrder: ByteOrder
    /// The parts of a concatenation; empty otherwise.
    public var components: [Datatype]

    public init(_ basic: BasicType, bits: Int, byteOrder: ByteOrder, components: [Datatype] = []) {
        self.basic = basic
        self.bits = bits
        self.byteOrder = byteOrder
        self.components = components
    }

    public static func concatenation(_ parts: [Datatype]) -> Datatype {
        if parts.count == 1 { return parts[0] }
        return Datatype(.concatenation, bits: parts.reduce(0) { $0 + ($1.bits + 31) / 32 * 32 }, byteOrder: .network, components: parts)
    }

    /// Whole bytes that a value occupies.
    public var byteLength: Int { (bits + 7) / 8 }
    public var isConcatenation: Bool { basic == .concatenation }
    /// The parts: of a concatenation its components, otherwise the type itself.
    public var parts: [Datatype] { isConcatenation ? components : [self] }
    /// As in a declaration: `ipv4_addr . inet_service`.
    public var name: String { isConcatenation ? components.map(\.name).joined(separator: " . ") : basic.rawValue }
}

/// A constant. Strings (interface names, helper names) are at most 16 bytes, first byte most significant, padded with zeros.
public struct Value: Sendable, Hashable {
    /// The numeric value, whatever the byte order of its type.
    public var number: UInt128
    public var type: Datatype

    public init(_ number: UInt128, _ type: Datatype) {
        self.number = number
        self.type = type
    }

    /// The value's bytes, most significant first (network order), `type.byteLength` of them.
    public var bytes: [UInt8] {
        let count = type.byteLength
        return (0..<count).map { index in
            let shift = 8 * (count - 1 - index)
            return shift >= 128 ? 0 : UInt8(truncatingIfNeeded: number >> UInt128(shift))
        }
    }

    /// The text of a string value.
    public var text: String {
        String(decoding: Value(number, Datatype(.string, bits: max(type.bits, 128), byteOrder: .host)).bytes.filter { $0 != 0 }, as: UTF8.self)
    }
}
