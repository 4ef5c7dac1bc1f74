// The key of the flow that a packet belongs to, from its parsed headers: the one rule for workers and slow path alike.
//
// Invariant: `init(parsed:ingress:)` and `PackedFlowKey` (what a worker reads straight from the frame) name the same flow.
import Wire

extension FlowKey {
    /// ICMP and ICMPv6 types whose identifier distinguishes flows: echo request and reply.
    @inlinable @inline(__always) public static func isEcho(transportProtocol: UInt8, type: UInt8) -> Bool {
        transportProtocol == IPProtocol.icmp ? type == 8 || type == 0 : transportProtocol == IPProtocol.icmpv6 && (type == 128 || type == 129)
    }

    /// The key of `parsed`, or nil if its packets cannot be cached: not IP, a fragment (an atomic one of RFC 6946 as well, whose transport header is not where an entry expects it), a transport header that is cut short,
    /// ICMP other than echo.
    @inlinable public init?(parsed: ParsedPacket, ingress: PortIndex) {
        self.init()
        guard parsed.family != nil, !parsed.flags.contains(.isFragment), parsed.fragmentHeaderOffset == 0, !parsed.flags.contains(.transportMalformed) else { return nil }
        source = parsed.sourceAddress
        destination = parsed.destinationAddress
        transportProtocol = parsed.transportProtocol
        ingressPort = ingress
        vlanCount = parsed.vlanCount
        outerVLAN = vlanCount > 0 ? parsed.outerTag & 0xfff | (parsed.serviceTags & 1 == 0 ? 0 : FlowKey.serviceTag) : 0
        innerVLAN = vlanCount > 1 ? parsed.innerTag & 0xfff | (parsed.serviceTags & 2 == 0 ? 0 : FlowKey.serviceTag) : 0
        if parsed.flags.contains(.hasPorts) {
            sourcePort = parsed.sourcePort
            destinationPort = parsed.destinationPort
        } else if transportProtocol == IPProtocol.icmp || transportProtocol == IPProtocol.icmpv6 {
            guard FlowKey.isEcho(transportProtocol: transportProtocol, type: parsed.icmpType) else { return nil }
            sourcePort = parsed.icmpIdentifier
            destinationPort = UInt16(parsed.icmpType) << 8 | UInt16(parsed.icmpCode)
        }
    }
}
