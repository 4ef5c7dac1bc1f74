// UDP, UDP-Lite, ICMP queries and GRE: protocols without a connection of their own.
// (nf_conntrack_proto_udp.c, _icmp.c, _icmpv6.c, _gre.c)
import Wire

extension ConnectionTracker {
    /// UDP becomes a stream, and assured, when both ways were seen and two seconds have passed since its first packet.
    mutating func trackUDP(_ packet: PacketBuffer, _ parsed: ParsedPacket, _ index: UInt32, _ tracking: Tracking, verifies: Bool, now: Timestamp) -> TrackerVerdict {
        let isLite = parsed.transportProtocol == IPProtocol.udplite
        let length = parsed.transportLength
        guard length >= 8 else { return .invalid(.badHeader) }
        let claimed = Int(packet.load16(Int(parsed.transportOffset) + 4))
        let isUnchecked = packet.load16(Int(parsed.transportOffset) + 6) == 0
        if isLite {
            // The field is the checksum's coverage; 0 means all, and a checksum is mandatory (RFC 3828).
            guard claimed == 0 || (claimed >= 8 && claimed <= length) else { return .invalid(.badHeader) }
            guard !isUnchecked else { return .invalid(.badChecksum) }
        } else {
            guard claimed >= 8, claimed <= length else { return .invalid(.badHeader) }
        }
        if verifies, !isUnchecked, !Checksum.verifyTracked(packet, parsed) { return .invalid(.badChecksum) }

        let connection = pool + Int(index)
        let timeouts = timeouts(connection).pointee
        let status = connection.pointee.status
        guard status.contains(.seenReply) else {
            refresh(index, tracking.direction, seconds: timeouts.udp, bytes: parsed.networkLength, now: now)
            return .accept
        }
        let isStream = isLite || now > connection.pointee.streamFrom
        refresh(index, tracking.direction, seconds: isStream ? timeouts.udpStream : timeouts.udp, bytes: parsed.networkLength, now: now)
        if isStream && !status.contains(.natClash) { connection.pointee.status.insert(.assured) }
        return .accept
    }

    /// Echo and the other queries; only a request begins a connection.
    mutating func trackICMPQuery(_ parsed: ParsedPacket, _ index: UInt32, _ tracking: Tracking, now: Timestamp) -> TrackerVerdict {
        let connection = pool + Int(index)
        let type = connection.pointee.original.icmpType
        let isVersion6 = parsed.transportProtocol == IPProtocol.icmpv6
        guard (connection.pointee.original.family == .ipv6) == isVersion6 else { return .invalid(.badHeader) }
        let begins = isVersion6 ? type == 128 || type == 139 : type == 8 || type == 13 || type == 15 || type == 17
        guard begins else { return .invalid(.icmpNotNew) }
        let seconds = isVersion6 ? timeouts(connection).pointee.icmpv6 : timeouts(connection).pointee.icmp
        refresh(index, tracking.direction, seconds: seconds, bytes: parsed.networkLength, now: now)
        return .accept
    }

    mutating func trackGRE(_ parsed: ParsedPacket, _ index: UInt32, _ tracking: Tracking, now: Timestamp) -> TrackerVerdict {
        let connection = pool + Int(index)
        let isStream = connection.pointee.status.contains(.seenReply)
        // A tunnel of PPTP, too: the ten minutes that its helper wants are overwritten by its first packet (nf_conntrack_gre_packet).
        let timeouts = timeouts(connection).pointee
        refresh(index, tracking.direction, seconds: isStream ? timeouts.greStream : timeouts.gre, bytes: parsed.networkLength, now: now)
        if isStream && !connection.pointee.status.contains(.natClash) { connection.pointee.status.insert(.assured) }
        return .accept
    }
}
