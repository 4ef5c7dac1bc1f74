// The IPv6 extension headers of a packet for the router itself, one after the other as Linux gives them to their handlers, behind
// the input hook: destination options, routing headers; hop-by-hop options anywhere but in front are an unknown protocol.
//
// Invariant: the walk ends at the transport header that the parser found, and so within the packet.
// Sources: net/ipv6/ip6_input.c (ip6_protocol_deliver_rcu), net/ipv6/exthdrs.c; RFC 8200 section 4.
import Policy
import Routing
import Wire

extension SlowPath {
    /// Nil if the packet goes on to its transport protocol.
    mutating func receiveExtensionHeaders(_ transit: inout Transit) -> Disposition? {
        let parsed = transit.parsed, packet = transit.packet
        guard parsed.family == .ipv6 else { return nil }
        let network = Int(parsed.networkOffset), end = Int(parsed.transportOffset)
        var field = 6, header = network + 40
        var next = packet.load8(network + 6)
        while header + 8 <= end {
            switch next {
            case IPProtocol.hopByHop where field != 6:
                sendError(.parameterProblem(ipv6: UInt32(field), code: 1), about: transit)
                return .dropped(.localNoProtocol)
            case IPProtocol.destinationOptions:
                var error: ICMPError?
                let defect = HopByHopOptions.check(packet, parsed, header: header, isHopByHop: false, error: &error)
                if let error { sendError(error, about: transit) }
                guard defect == .none else { return .dropped(defect) }
            case IPProtocol.routing:
                if let ended = receiveRoutingHeader(header, transit) { return ended }
            case IPProtocol.hopByHop, IPProtocol.fragment: break
            default: return nil
            }
            field = header - network
            let length = next == IPProtocol.fragment ? 8 : (Int(packet.load8(header + 1)) + 1) * 8
            next = packet.load8(header)
            header += length
        }
        return nil
    }

    /// Nobody routes by them here (accept_source_route=0, seg6_enabled=0, rpl_seg_enabled=0).
    private mutating func receiveRoutingHeader(_ header: Int, _ transit: borrowing Transit) -> Disposition? {
        let context = transit.context.parsed, type = transit.context.packet.load8(header + 2), segmentsLeft = transit.context.packet.load8(header + 3)
        guard !context.destinationAddress.isMulticast, transit.context.packetType == PacketType.host else { return .dropped(.ipv6BadOption) }
        // RPL, segment routing; a home address that no mobile node of ours asked for.
        if type == 3 || type == 4 || (type == 2 && segmentsLeft == 0) { return .dropped(.ipv6BadOption) }
        guard segmentsLeft != 0 else { return nil }
        sendError(.parameterProblem(ipv6: UInt32(header + 2 - Int(context.networkOffset)), code: 0), about: transit)
        return .dropped(.ipv6BadOption)
    }
}
