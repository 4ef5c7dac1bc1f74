// What `reject` answers in a chain on a device (nf_reject_skb_v4_unreach, nf_reject_skb_v4_tcp_reset and their IPv6 twins):
// a frame straight back to its sender, with no route, no address of the router and no limit of rate.
//
// The answer comes from the address that was asked for, in the frame's MAC addresses turned round, without tags, and quotes the
// frame as it came, its padding included. Invariant: reads the frame by its own words, each checked, since a chain on a device
// sees malformed ones.

public enum LinkReject {
    @frozen public enum Kind: Sendable {
        case tcpReset
        case icmp(type: UInt8, code: UInt8)
    }

    /// Bytes that an answer takes at most.
    @inlinable public static var maximumLength: Int { 14 + 40 + 8 + 1220 }

    /// Writes the answer to `frame` into `room`.
    /// - Returns: its length; 0 if nothing is said: to a group's MAC address, a later fragment, a wrong checksum, a reset, an
    ///   unreachable message, what is neither IPv4 nor IPv6 or is cut short.
    public static func build(into room: PacketBuffer, answering frame: PacketBuffer, _ kind: Kind) -> Int {
        guard frame.length >= 14, frame.load8(0) & 1 == 0 else { return 0 }
        var network = 14, type = frame.load16(12)
        if type == EtherType.vlan || type == EtherType.qinq {
            guard frame.length >= 18 else { return 0 }
            (network, type) = (18, frame.load16(16))
        }
        guard let parsed = header(frame, at: network, type), let upper = UpperLayer(frame, parsed) else { return 0 }
        let link = LinkHeader(destination: frame.loadMAC(6), source: frame.loadMAC(0))
        switch kind {
        case .tcpReset:
            guard answers(upper, frame, parsed) else { return 0 }
            return TCPReset.build(into: room, answering: frame, parsed, upper, style: .reject, link: link)
        case .icmp(let type, let code):
            let icmp = parsed.family == .ipv4 ? IPProtocol.icmp : IPProtocol.icmpv6
            if upper.transportProtocol == icmp, upper.length >= 1, frame.load8(upper.offset) == (parsed.family == .ipv4 ? 3 : 1) { return 0 }
            guard upper.protectsItself(frame) || upper.hasRightChecksum(frame, parsed) else { return 0 }
            var header = IPHeader(source: parsed.destinationAddress, destination: parsed.sourceAddress, transportProtocol: icmp)
            header.dontFragment = true
            let quoted = min(frame.length - network, parsed.family == .ipv4 ? 536 : 1220)
            let message = 14 + header.length
            guard room.tailroom >= message + 8 + quoted else { return 0 }
            link.write(to: room, etherType: header.etherType)
            header.write(to: room, at: 14, payloadLength: 8 + quoted)
            room.store8(type, at: message)
            room.store8(code, at: message + 1)
            room.store16(0, at: message + 2)
            room.store32(0, at: message + 4)
            (room.start + message + 8).copyMemory(from: frame.start + network, byteCount: quoted)
            header.fillChecksum(room, at: message, length: 8 + quoted, field: 2)
            return message + 8 + quoted
        }
    }

    /// Whether a reset may answer the segment. Linux sums up the frame's padding with it.
    private static func answers(_ segment: UpperLayer, _ frame: PacketBuffer, _ parsed: ParsedPacket) -> Bool {
        guard frame.length == Int(parsed.networkOffset) + Int(parsed.networkLength) else { return false }
        if parsed.family == .ipv6 { return TCPReset.mayAnswer(frame, parsed, segment, isLinkBroadcast: false, isReject: true) }
        guard segment.transportProtocol == IPProtocol.tcp, segment.length >= 20, frame.load8(segment.offset + 13) & TCPFlags.rst == 0 else { return false }
        return segment.hasRightChecksum(frame, parsed)
    }

    /// The few fields of an IP header that an answer needs; nil if the frame is shorter than the header says.
    private static func header(_ frame: PacketBuffer, at network: Int, _ type: UInt16) -> ParsedPacket? {
        var parsed = ParsedPacket()
        parsed.networkOffset = UInt16(network)
        switch type {
        case EtherType.ipv4:
            guard frame.length >= network + 20 else { return nil }
            let first = frame.load8(network), length = Int(first & 15) * 4, total = Int(frame.load16(network + 2))
            guard first >> 4 == 4, length >= 20, total >= length, network + total <= frame.length else { return nil }
            // The header is summed up with the transport part.
            guard Checksum.fold(Checksum.partial(UnsafeRawPointer(frame.start + network), length)) == 0xffff else { return nil }
            parsed.family = .ipv4
            parsed.networkHeaderLength = UInt16(length)
            parsed.networkLength = UInt32(total)
            parsed.transportProtocol = frame.load8(network + 9)
            if frame.load16(network + 6) & 0x1fff != 0 { parsed.flags = .isLaterFragment }
        case EtherType.ipv6:
            guard frame.length >= network + 40, frame.load8(network) >> 4 == 6 else { return nil }
            let total = 40 + Int(frame.load16(network + 4))
            guard network + total <= frame.length else { return nil }
            parsed.family = .ipv6
            parsed.networkHeaderLength = 40
            parsed.networkLength = UInt32(total)
        default: return nil
        }
        guard let family = parsed.family else { return nil }
        parsed.sourceAddress = frame.loadAddress(family, network + (family == .ipv4 ? 12 : 8))
        parsed.destinationAddress = frame.loadAddress(family, network + (family == .ipv4 ? 16 : 24))
        return parsed
    }
}
