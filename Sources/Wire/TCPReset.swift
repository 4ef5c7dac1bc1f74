// TCP resets in answer to a segment: as `reject with tcp reset` sends them (nf_send_reset, nf_send_reset6) and as the TCP
// stack answers a segment to a closed port (tcp_v4_send_reset, tcp_v6_send_reset).
//
// The two differ in the traffic class (reject: 0; stack: the segment's DSCP) and the IPv6 flow label (reject: 0; stack:
// a hash of the flow). Both: IPv4 id 0, DF, TTL 64, window 0, no options; the answer to a segment with ACK is a bare RST
// at its acknowledgement number, the answer to any other an RST+ACK of all that the segment occupies. The stack's answer may have
// IPv4 options.

public enum TCPReset {
    @frozen public enum Style: Sendable {
        case reject
        /// - Parameter flowLabel: for IPv6.
        case closedPort(flowLabel: UInt32)
    }

    /// Bytes that a reset takes behind a link header with two tags.
    @inlinable public static var maximumLength: Int { 22 + 60 + 20 }

    /// Whether a segment may be answered with a reset at all: 20 bytes of header, whatever they say of its length, of a packet
    /// that is no reset itself, with a right checksum, between unicast addresses.
    /// - Parameters:
    ///   - isReject: a rule asks for it, not a closed port.
    ///   - isUnrouted: nobody has asked yet whom an IPv4 packet is for, so that a group's address is one like any other.
    public static func mayAnswer(
        _ packet: PacketBuffer, _ parsed: ParsedPacket, _ segment: UpperLayer, isLinkBroadcast: Bool, isReject: Bool = false, isUnrouted: Bool = false
    ) -> Bool {
        guard segment.transportProtocol == IPProtocol.tcp, segment.length >= 20, !isLinkBroadcast else { return false }
        guard packet.load8(segment.offset + 13) & TCPFlags.rst == 0 else { return false }
        let (source, destination) = (parsed.sourceAddress, parsed.destinationAddress)
        guard !source.isMulticast, !source.isUnspecified else { return false }
        if isUnrouted, parsed.family == .ipv4 {
            // No route begins at a loopback address (ip_route_me_harder).
            guard !destination.isLoopback else { return false }
        } else {
            guard !destination.isMulticast, !destination.isLimitedBroadcast, !destination.isUnspecified else { return false }
        }
        // To Linux these are no unicast addresses (__ipv6_addr_type); of the source a closed port does not ask.
        guard !destination.isIPv4Mapped, !(isReject && source.isIPv4Mapped) else { return false }
        if !isReject, isSigned(packet, segment) { return false }
        return parsed.flags.contains(.hasVerifiedChecksum) || segment.hasRightChecksum(packet, parsed)
    }

    /// Whether the segment has a signature (RFC 2385), which nobody here could give the answer, or options that lead nowhere where there
    /// could be one (tcp_parse_auth_options, without TCP-AO).
    private static func isSigned(_ packet: PacketBuffer, _ segment: UpperLayer) -> Bool {
        var at = segment.offset + 20, left = min(Int(packet.load8(segment.offset + 12) >> 4) * 4, segment.length) - 20
        while left >= 18 {
            switch packet.load8(at) {
            case 0: return false
            case 1:
                at += 1
                left -= 1
            case let kind:
                let size = Int(packet.load8(at + 1))
                if size < 2 || size > left || kind == 19 { return true }
                at += size
                left -= size
            }
        }
        return false
    }

    /// Writes the reset for the segment into `room`, from the segment's destination to its source.
    /// - Returns: the frame's length; 0 if `room` is too small or `received` is no TCP header.
    public static func build(
        into room: PacketBuffer, answering packet: PacketBuffer, _ parsed: ParsedPacket, _ received: UpperLayer, style: Style, link: LinkHeader,
        options: IPv4AnswerOptions = IPv4AnswerOptions()
    ) -> Int {
        guard let family = parsed.family, received.transportProtocol == IPProtocol.tcp, received.length >= 20 else { return 0 }
        var header = IPHeader(source: parsed.destinationAddress, destination: parsed.sourceAddress, transportProtocol: IPProtocol.tcp)
        header.dontFragment = true
        if case .closedPort(let flowLabel) = style {
            header.trafficClass = parsed.trafficClass & ~3
            header.flowLabel = family == .ipv6 ? flowLabel : 0
            header.options = options
        }
        let offset = link.length
        let segment = offset + header.length
        guard room.tailroom >= segment + 20 else { return 0 }
        let flags = packet.load8(received.offset + 13)
        let sequence = packet.load32(received.offset + 4)
        let acknowledgement = packet.load32(received.offset + 8)
        link.write(to: room, etherType: header.etherType)
        header.write(to: room, at: offset, payloadLength: 20)
        room.store16(packet.load16(received.offset + 2), at: segment)
        room.store16(packet.load16(received.offset), at: segment + 2)
        if flags & TCPFlags.ack != 0 {
            room.store32(acknowledgement, at: segment + 4)
            room.store32(0, at: segment + 8)
            room.store16(0x5000 | UInt16(TCPFlags.rst), at: segment + 12)
        } else {
            let headerLength = Int(packet.load8(received.offset + 12) >> 4) * 4
            let flagBits = UInt32(flags & TCPFlags.syn != 0 ? 1 : 0) &+ UInt32(flags & TCPFlags.fin != 0 ? 1 : 0)
            room.store32(0, at: segment + 4)
            room.store32(sequence &+ flagBits &+ UInt32(truncatingIfNeeded: received.length - headerLength), at: segment + 8)
            room.store16(0x5000 | UInt16(TCPFlags.rst | TCPFlags.ack), at: segment + 12)
        }
        room.store32(0, at: segment + 14)
        room.store16(0, at: segment + 18)
        header.fillChecksum(room, at: segment, length: 20, field: 16)
        return segment + 20
    }
}
