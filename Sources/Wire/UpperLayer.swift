// The upper-layer header that `reject` answers to, as Linux finds and checks it (ip_hdrlen, ipv6_skip_exthdr, nf_ip_checksum,
// nf_ip6_checksum): by the headers' word alone, with no look at whether the transport header makes sense.
//
// Invariant: `offset` and `length` lie within the IP packet.

public struct UpperLayer: Sendable {
    public let transportProtocol: UInt8
    /// From the frame's start.
    public let offset: Int
    /// Bytes from there to the IP packet's end.
    public let length: Int

    /// nil for a later fragment, and in IPv6 for a packet without an upper layer or whose extension headers reach its end.
    public init?(_ packet: PacketBuffer, _ parsed: ParsedPacket) {
        let network = Int(parsed.networkOffset), end = network + Int(parsed.networkLength)
        if parsed.family == .ipv4 {
            guard !parsed.flags.contains(.isLaterFragment) else { return nil }
            transportProtocol = parsed.transportProtocol
            offset = network + Int(parsed.networkHeaderLength)
            length = end - offset
            return
        }
        guard parsed.family == .ipv6, end >= network + 40 else { return nil }
        var next = packet.load8(network + 6), start = network + 40
        while PacketParser.isExtensionHeader(next) {
            guard start + 2 <= end else { return nil }
            // A later fragment has no upper-layer header.
            if next == IPProtocol.fragment, start + 4 > end || packet.load16(start + 2) & 0xfff8 != 0 { return nil }
            let size = PacketParser.extensionHeaderLength(next, units: packet.load8(start + 1))
            next = packet.load8(start)
            start += size
        }
        guard next != IPProtocol.noNextHeader, start < end else { return nil }
        transportProtocol = next
        offset = start
        length = end - start
    }

    /// Whether the sum over all that follows the IP header is right; in IPv4 there is a pseudo header for TCP and UDP only.
    public func hasRightChecksum(_ packet: PacketBuffer, _ parsed: ParsedPacket) -> Bool {
        let hasPseudoHeader = parsed.family == .ipv6 || transportProtocol == IPProtocol.tcp || transportProtocol == IPProtocol.udp
        // Without one the IP header itself is summed, and its right sum is 0xffff: nothing or zeros behind it are right, too.
        let initial = hasPseudoHeader ? Checksum.pseudoHeader(
            source: parsed.sourceAddress, destination: parsed.destinationAddress, transportProtocol: transportProtocol, length: length) : 0xffff
        return Checksum.fold(Checksum.partial(UnsafeRawPointer(packet.start + offset), length, initial: initial)) == 0xffff
    }

    /// Whether nobody asks for the checksum over all that follows the IP header (nf_reject_verify_csum).
    public func protectsItself(_ packet: PacketBuffer) -> Bool {
        switch transportProtocol {
        case IPProtocol.udp: length >= 8 && packet.load16(offset + 6) == 0
        case IPProtocol.gre, IPProtocol.authentication, IPProtocol.esp, IPProtocol.sctp, IPProtocol.udplite: true
        default: false
        }
    }
}
