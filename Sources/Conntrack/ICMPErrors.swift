// ICMP errors belong to the connection that they speak of; neighbour discovery belongs to none.
// (nf_conntrack_inet_error, nf_conntrack_icmpv4_error, nf_conntrack_icmpv6_error)
//
// Invariant: every offset into the quoted packet is checked against the end of the packet that carries it.
import Wire

/// Where the transport header of an IP packet begins, found without a ParsedPacket: the quoted packet of an error.
struct QuotedHeader {
    var transportProtocol: UInt8
    var transportOffset: Int

    /// - Parameters:
    ///   - offset: of the IP header.
    ///   - end: of the readable bytes.
    /// - Returns: nil if the header is cut short, or the packet is a later fragment.
    static func read(_ packet: PacketBuffer, _ family: AddressFamily, offset: Int, end: Int) -> QuotedHeader? {
        if family == .ipv4 {
            guard offset + 20 <= end, packet.load16(offset + 6) & 0x1fff == 0 else { return nil }
            let transportOffset = offset + Int(packet.load8(offset) & 15) * 4
            guard transportOffset <= end else { return nil }
            return QuotedHeader(transportProtocol: packet.load8(offset + 9), transportOffset: transportOffset)
        }
        guard offset + 40 <= end else { return nil }
        var next = packet.load8(offset + 6)
        var position = offset + 40
        for _ in 0..<PacketParser.maximumExtensionHeaders {
            switch next {
            case IPProtocol.noNextHeader:
                return nil
            case IPProtocol.fragment:
                guard position + 8 <= end, packet.load16(position + 2) & 0xfff8 == 0 else { return nil }
                next = packet.load8(position)
                position += 8
            case IPProtocol.authentication:
                guard position + 2 <= end else { return nil }
                next = packet.load8(position)
                position += (Int(packet.load8(position + 1)) + 2) * 4
            case IPProtocol.hopByHop, IPProtocol.routing, IPProtocol.destinationOptions:
                guard position + 2 <= end else { return nil }
                next = packet.load8(position)
                position += (Int(packet.load8(position + 1)) + 1) * 8
            default:
                guard position <= end else { return nil }
                return QuotedHeader(transportProtocol: next, transportOffset: position)
            }
        }
        return nil
    }

    static func addresses(_ packet: PacketBuffer, _ family: AddressFamily, offset: Int) -> (source: IPAddress, destination: IPAddress) {
        if family == .ipv4 { return (IPAddress(ipv4: packet.load32(offset + 12)), IPAddress(ipv4: packet.load32(offset + 16))) }
        return (
            IPAddress(ipv6High: packet.load64(offset + 8), low: packet.load64(offset + 16)),
            IPAddress(ipv6High: packet.load64(offset + 24), low: packet.load64(offset + 32))
        )
    }
}

extension ConnectionTracker {
    /// Destination unreachable, source quench, redirect, time exceeded, parameter problem.
    static func isICMPError(_ type: UInt8) -> Bool { type == 3 || type == 4 || type == 5 || type == 11 || type == 12 }

    /// nil: not an error, to be tracked as a query.
    mutating func trackICMPError(_ packet: PacketBuffer, _ parsed: ParsedPacket, zone: ConnectionZone, verifies: Bool, now: Timestamp) -> Tracking? {
        guard parsed.transportLength >= 8 else { return invalid(.badHeader) }
        if verifies, !Checksum.verifyTransport(packet, parsed) { return invalid(.badChecksum) }
        let type = packet.load8(Int(parsed.transportOffset))
        guard type <= 18 else { return invalid(.icmpUnknownType) }
        guard ConnectionTracker.isICMPError(type) else { return nil }
        return trackQuoted(packet, parsed, .ipv4, offset: Int(parsed.transportOffset) + 8, zone: zone, now: now)
    }

    /// nil: a query.
    mutating func trackICMPv6Error(_ packet: PacketBuffer, _ parsed: ParsedPacket, zone: ConnectionZone, verifies: Bool, now: Timestamp) -> Tracking? {
        guard parsed.transportLength >= 8 else { return invalid(.badHeader) }
        if verifies, !Checksum.verifyTransport(packet, parsed) { return invalid(.badChecksum) }
        let offset = Int(parsed.transportOffset)
        let type = packet.load8(offset)
        switch type {
        case 130...136, 143, 151, 152:
            // Multicast listener discovery, neighbour discovery, multicast router discovery.
            return .untracked
        case 137:
            return trackRedirect(packet, parsed, zone: zone, now: now)
        case 0..<128:
            return trackQuoted(packet, parsed, .ipv6, offset: offset + 8, zone: zone, now: now)
        default:
            return nil
        }
    }

    /// An IPv6 redirect quotes the packet in an option (RFC 4861 section 4.5).
    private mutating func trackRedirect(_ packet: PacketBuffer, _ parsed: ParsedPacket, zone: ConnectionZone, now: Timestamp) -> Tracking? {
        let offset = Int(parsed.transportOffset)
        guard parsed.transportLength >= 40 else { return invalid(.icmpRedirect) }
        guard packet.load8(offset + 1) == 0 else { return nil }
        let isLinkLocal = parsed.sourceAddress.high >> 54 == 0xfe80 >> 6
        guard parsed.timeToLive == 255, isLinkLocal else { return invalid(.icmpRedirect) }
        guard parsed.transportLength >= 42, packet.load8(offset + 41) != 0 else { return invalid(.icmpRedirect) }
        guard packet.load8(offset + 40) == 4 else { return nil }
        return trackQuoted(packet, parsed, .ipv6, offset: offset + 48, zone: zone, now: now)
    }

    /// The connection that the quoted packet belongs to. The error must be addressed to the quoted packet's sender as the
    /// connection knows it, else anybody could have errors delivered to anybody.
    private mutating func trackQuoted(_ packet: PacketBuffer, _ parsed: ParsedPacket, _ family: AddressFamily, offset: Int, zone: ConnectionZone, now: Timestamp) -> Tracking {
        let end = Int(parsed.transportOffset) + parsed.transportLength
        guard let quoted = QuotedHeader.read(packet, family, offset: offset, end: end) else { return invalid(.icmpErrorTruncated) }
        var tuple = ConnectionTuple()
        tuple.family = family
        (tuple.source, tuple.destination) = QuotedHeader.addresses(packet, family, offset: offset)
        tuple.transportProtocol = quoted.transportProtocol
        guard ConnectionTracker.readTransport(packet, protocol: quoted.transportProtocol, offset: quoted.transportOffset, length: end - quoted.transportOffset, into: &tuple) else {
            return invalid(.icmpErrorTruncated)
        }
        if tuple.transportProtocol == IPProtocol.gre { tuple.sourcePort = greKeys.sourceKey(tuple) }
        guard let answer = tuple.inverted else { return invalid(.notInvertible) }
        let node = find(answer, zone: zone, now: now)
        guard node != Connection.none else { return invalid(.icmpErrorUnrelated) }
        let connection = pool + Int(node >> 1)
        let direction: ConnectionDirection = node & 1 == 0 ? .original : .reply
        guard connection.pointee.tuple(direction).destination == parsed.destinationAddress else { return invalid(.icmpErrorMisaddressed) }
        var tracking = Tracking()
        tracking.connection = node >> 1
        tracking.generation = connection.pointee.generation
        tracking.state = .related
        tracking.direction = direction
        tracking.isRelatedError = true
        return tracking
    }
}
