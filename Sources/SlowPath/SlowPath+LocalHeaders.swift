// The IPv6 extension headers of a packet for the router itself, one after the other, as Linux's handlers take them
// (ip6_protocol_deliver_rcu, ipv6_rthdr_rcv, ipv6_frag_rcv, ipv6_destopt_rcv). Source routing is off, and there is no IPsec.
//
// Invariant: only bytes within the IP packet are read; each step goes forward by at least 8 bytes.
import Routing
import Wire

extension SlowPath {
    /// nil if the headers lead to the parser's transport protocol. `field` becomes the offset of the next-header field that
    /// names it, from the IPv6 header (RFC 4443 section 3.4).
    mutating func consumeHeaders(_ transit: inout Transit, field: inout UInt32) -> Disposition? {
        let packet = transit.packet, parsed = transit.parsed
        let network = Int(parsed.networkOffset), end = network + Int(parsed.networkLength)
        var next = packet.load8(network + 6), at = network + 40
        while true {
            switch next {
            case IPProtocol.hopByHop where at == network + 40:
                // Looked at before prerouting.
                break
            case IPProtocol.routing:
                guard at + 8 <= end, at + (Int(packet.load8(at + 1)) + 1) * 8 <= end else { return .dropped(.ipv6ExtensionTruncated) }
                let type = packet.load8(at + 2)
                if parsed.destinationAddress.isMulticast || transit.context.packetType != PacketType.host { return .dropped(.ipv6RoutingHeader) }
                // RPL and segment routing are off: they go without a word. A home address is nothing special, as in Linux without CONFIG_IPV6_MIP6.
                let segmentsLeft = packet.load8(at + 3)
                if type == 3 || type == 4 { return .dropped(.ipv6RoutingHeader) }
                if segmentsLeft != 0 {
                    sendError(.parameterProblem(ipv6: UInt32(at + 2 - network), code: 0), about: transit)
                    return .dropped(.ipv6RoutingHeader)
                }
            case IPProtocol.fragment:
                // A jumbogram has no fragments.
                guard at + 8 <= end, packet.load16(network + 4) != 0 else {
                    sendError(.parameterProblem(ipv6: UInt32(at - network), code: 0), about: transit)
                    return .dropped(.fragmentHeaderTruncated)
                }
            case IPProtocol.destinationOptions:
                guard at + 8 <= end, at + (Int(packet.load8(at + 1)) + 1) * 8 <= end else { return .dropped(.ipv6ExtensionTruncated) }
                var error: ICMPError?
                let defect = IPv6Options.check(packet, parsed, header: at, isHopByHop: false, error: &error)
                if let error { sendError(error, about: transit) }
                guard defect == .none else { return .dropped(defect) }
            case IPProtocol.noNextHeader:
                return .dropped(.localNoProtocol)
            default:
                if !PacketParser.isExtensionHeader(next) { return nil }
                sendError(.parameterProblem(ipv6: field, code: 1), about: transit)
                return .dropped(.localNoProtocol)
            }
            field = UInt32(at - network)
            let size = PacketParser.extensionHeaderLength(next, units: packet.load8(at + 1))
            next = packet.load8(at)
            at += size
        }
    }
}
