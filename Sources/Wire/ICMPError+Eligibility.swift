// Which packets may be answered at all (RFC 1122 section 3.2.2, RFC 4443 section 2.4 (e), as icmp_send, icmp6_send and
// nf_reject do it). The word on broadcast and multicast is the caller's where it takes the route or the MAC address.

extension ICMPError {
    /// Whether this error may be sent about the packet.
    ///
    /// - Parameter isLinkBroadcast: the frame's destination MAC was a group address, or its route was a broadcast one.
    /// - Parameter isUnrouted: nobody has asked yet whom an IPv4 packet is for, so that a group's address is one like any other.
    public func mayAnswer(_ packet: PacketBuffer, _ parsed: ParsedPacket, isLinkBroadcast: Bool, isUnrouted: Bool = false) -> Bool {
        switch parsed.family {
        case .ipv4: mayAnswerIPv4(packet, parsed, isLinkBroadcast: isLinkBroadcast, isUnrouted: isUnrouted)
        case .ipv6: mayAnswerIPv6(packet, parsed, isLinkBroadcast: isLinkBroadcast)
        case nil: false
        }
    }

    private func mayAnswerIPv4(_ packet: PacketBuffer, _ parsed: ParsedPacket, isLinkBroadcast: Bool, isUnrouted: Bool) -> Bool {
        let source = parsed.sourceAddress, destination = parsed.destinationAddress
        guard !isLinkBroadcast, !parsed.flags.contains(.isLaterFragment) else { return false }
        guard isUnrouted || (!destination.isMulticast && !destination.isLimitedBroadcast) else { return false }
        guard !source.isUnspecified, !source.isMulticast, !source.isLimitedBroadcast, isUnrouted || !source.isLoopback else { return false }
        guard parsed.transportProtocol == IPProtocol.icmp else { return true }
        // About an ICMP message only if it is known to be no error itself; Linux counts what was never assigned among them (icmp_pointers).
        guard parsed.transportLength >= 1 else { return false }
        switch packet.load8(Int(parsed.transportOffset)) {
        case 1...7, 9...12: return false
        case 19...255: return false
        default: return true
        }
    }

    private func mayAnswerIPv6(_ packet: PacketBuffer, _ parsed: ParsedPacket, isLinkBroadcast: Bool) -> Bool {
        let source = parsed.sourceAddress
        guard !source.isUnspecified, !source.isMulticast else { return false }
        if parsed.destinationAddress.isMulticast || isLinkBroadcast {
            // Packet too big, and an unknown option of the kind that wants an answer even then.
            let answersMulticast = type == 2 || (type == 4 && code == 2 && wantsAnswerToMulticast(packet, parsed))
            guard answersMulticast else { return false }
        }
        guard parsed.transportProtocol == IPProtocol.icmpv6, !parsed.flags.contains(.isLaterFragment) else { return true }
        guard parsed.transportLength >= 1 else { return parsed.flags.contains(.isFragment) }
        // Below 128: an error message.
        return packet.load8(Int(parsed.transportOffset)) >= 128
    }

    /// The two highest bits of an unknown option's type: 10 = answer in any case (RFC 8200 section 4.2).
    private func wantsAnswerToMulticast(_ packet: PacketBuffer, _ parsed: ParsedPacket) -> Bool {
        let offset = Int(information)
        guard offset < Int(parsed.networkLength), Int(parsed.networkOffset) + offset < packet.length else { return false }
        return packet.load8(Int(parsed.networkOffset) + offset) & 0xc0 == 0x80
    }
}
