// Transport checksums of a parsed packet: verified as connection tracking does (nf_ip_checksum, nf_ip6_checksum), and
// written for packets that Needletail builds or rewrites whole.

extension Checksum {
    /// Offset of the checksum field from the transport header; nil if the protocol has no Internet checksum.
    @inlinable @inline(__always)
    public static func transportField(_ transportProtocol: UInt8) -> Int? {
        switch transportProtocol {
        case IPProtocol.tcp: 16
        case IPProtocol.udp, IPProtocol.udplite, IPProtocol.dccp: 6
        case IPProtocol.icmp, IPProtocol.icmpv6: 2
        default: nil
        }
    }

    /// Sum over pseudo header (where the protocol has one) and transport part, checksum field included.
    @inlinable
    static func transportSum(_ packet: PacketBuffer, _ parsed: ParsedPacket, isTracked: Bool = false) -> UInt64 {
        var transportProtocol = parsed.transportProtocol, length = parsed.transportLength
        if isTracked, transportProtocol == IPProtocol.udplite {
            transportProtocol = IPProtocol.udp
            if parsed.family == .ipv4 { length &= 0xff }
        }
        let pseudo = transportProtocol == IPProtocol.icmp
            ? 0
            : pseudoHeader(source: parsed.sourceAddress, destination: parsed.destinationAddress, transportProtocol: transportProtocol, length: length)
        return partial(UnsafeRawPointer(packet.start + Int(parsed.transportOffset)), covered(packet, parsed), initial: pseudo)
    }

    /// Bytes that a UDP-Lite checksum covers (RFC 3828 section 3.1): 0 stands for all.
    @inlinable
    static func covered(_ packet: PacketBuffer, _ parsed: ParsedPacket) -> Int {
        guard parsed.transportProtocol == IPProtocol.udplite else { return parsed.transportLength }
        let coverage = Int(packet.load16(Int(parsed.transportOffset) + 4))
        return coverage == 0 ? parsed.transportLength : min(coverage, parsed.transportLength)
    }

    /// Whether the transport checksum is right. True for a protocol without one, for a fragment (only the whole datagram
    /// can be checked), and for UDP's 0, which means "none" (for IPv6 too: conntrack takes it so). The sum runs to the
    /// end of the IP packet, not to UDP's own length, as in conntrack.
    ///
    /// False for a header that is cut short (`.transportMalformed`).
    @inlinable
    public static func verifyTransport(_ packet: PacketBuffer, _ parsed: ParsedPacket) -> Bool { verify(packet, parsed, isTracked: false) }

    /// What connection tracking takes for a right checksum: the same, but UDP-Lite is held against UDP's pseudo header, and
    /// in IPv4 against the low byte of the length, so that right ones are taken for wrong. This is Linux 6.18
    /// (udplite_error() in nf_conntrack_proto_udp.c; nf_ip_checksum_partial() passes length and protocol in each other's place).
    @inlinable
    public static func verifyTracked(_ packet: PacketBuffer, _ parsed: ParsedPacket) -> Bool { verify(packet, parsed, isTracked: true) }

    @inlinable
    static func verify(_ packet: PacketBuffer, _ parsed: ParsedPacket, isTracked: Bool) -> Bool {
        guard parsed.flags.isDisjoint(with: [.isFragment, .hasVerifiedChecksum]) else { return true }
        guard let field = transportField(parsed.transportProtocol) else { return true }
        guard parsed.flags.contains(.hasTransport) else { return !parsed.flags.contains(.transportMalformed) }
        let stored = packet.load16(Int(parsed.transportOffset) + field)
        if stored == 0 {
            if parsed.transportProtocol == IPProtocol.udp { return true }
            if parsed.transportProtocol == IPProtocol.udplite { return false }
        }
        return fold(transportSum(packet, parsed, isTracked: isTracked)) == 0xffff
    }

    /// Writes the transport checksum of a whole packet whose transport header is complete; nothing for a fragment or a
    /// protocol without an Internet checksum.
    @inlinable
    public static func fillTransport(_ packet: PacketBuffer, _ parsed: ParsedPacket) {
        guard parsed.flags.contains(.hasTransport), !parsed.flags.contains(.isFragment),
            let field = transportField(parsed.transportProtocol)
        else { return }
        let offset = Int(parsed.transportOffset) + field
        packet.store16(0, at: offset)
        let checksum = finish(transportSum(packet, parsed))
        let zeroMeansNone = parsed.transportProtocol == IPProtocol.udp || parsed.transportProtocol == IPProtocol.udplite
        packet.store16(checksum == 0 && zeroMeansNone ? 0xffff : checksum, at: offset)
    }
}
