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

    /// Whether a segment may be answered with a reset at all: a whole header of a packet that is no later fragment, no
    /// reset itself, with a right checksum, between unicast addresses.
    public static func mayAnswer(_ packet: PacketBuffer, _ parsed: ParsedPacket, isLinkBroadcast: Bool) -> Bool {
        guard parsed.transportProtocol == IPProtocol.tcp, !parsed.flags.contains(.isLaterFragment), parsed.transportLength >= 20, !isLinkBroadcast else { return false }
        guard parsed.tcpFlags & TCPFlags.rst == 0 else { return false }
        let (source, destination) = (parsed.sourceAddress, parsed.destinationAddress)
        guard !source.isMulticast, !destination.isMulticast, !source.isUnspecified, !destination.isLimitedBroadcast else { return false }
        return Checksum.verifyTransport(packet, parsed)
    }

    /// Writes the reset for the segment into `room`, from the segment's destination to its source.
    /// - Returns: the frame's length; 0 if `room` is too small or the packet has no TCP header.
    public static func build(into room: PacketBuffer, answering packet: PacketBuffer, _ parsed: ParsedPacket, style: Style, link: LinkHeader, options: IPv4AnswerOptions = IPv4AnswerOptions()) -> Int {
        guard let family = parsed.family, parsed.transportProtocol == IPProtocol.tcp, parsed.transportLength >= 20, !parsed.flags.contains(.isLaterFragment) else { return 0 }
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
        let received = Int(parsed.transportOffset)
        let flags = parsed.tcpFlags
        let sequence = packet.load32(received + 4)
        let acknowledgement = packet.load32(received + 8)
        link.write(to: room, etherType: header.etherType)
        header.write(to: room, at: offset, payloadLength: 20)
        room.store16(parsed.destinationPort, at: segment)
        room.store16(parsed.sourcePort, at: segment + 2)
        if flags & TCPFlags.ack != 0 {
            room.store32(acknowledgement, at: segment + 4)
            room.store32(0, at: segment + 8)
            room.store16(0x5000 | UInt16(TCPFlags.rst), at: segment + 12)
        } else {
            let headerLength = Int(packet.load8(received + 12) >> 4) * 4
            let flagBits = UInt32(flags & TCPFlags.syn != 0 ? 1 : 0) &+ UInt32(flags & TCPFlags.fin != 0 ? 1 : 0)
            room.store32(0, at: segment + 4)
            room.store32(sequence &+ flagBits &+ UInt32(truncatingIfNeeded: parsed.transportLength - headerLength), at: segment + 8)
            room.store16(0x5000 | UInt16(TCPFlags.rst | TCPFlags.ack), at: segment + 12)
        }
        room.store32(0, at: segment + 14)
        room.store16(0, at: segment + 18)
        header.fillChecksum(room, at: segment, length: 20, field: 16)
        return segment + 20
    }
}
