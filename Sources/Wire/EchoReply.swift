// Answers to echo requests to our own addresses, as Linux sends them (icmp_echo, icmpv6_echo_reply): traffic class and
// payload of the request, TTL 64, an identification and flow label of our own, DF clear.

public enum EchoReply {
    /// Whether the packet is a whole echo request with a right checksum.
    public static func isRequest(_ packet: PacketBuffer, _ parsed: ParsedPacket) -> Bool {
        guard parsed.flags.contains(.hasTransport), !parsed.flags.contains(.isFragment) else { return false }
        switch (parsed.family, parsed.transportProtocol, parsed.icmpType, parsed.icmpCode) {
        // Linux does not look at the code.
        case (.ipv4, IPProtocol.icmp, 8, _), (.ipv6, IPProtocol.icmpv6, 128, _): return Checksum.verifyTransport(packet, parsed)
        default: return false
        }
    }

    /// Writes the reply into `room`.
    ///
    /// - Parameters:
    ///   - source: the request's destination, or a unicast address of ours if that was a group or anycast address.
    ///   - identification: IPv4 identification.
    ///   - flowLabel: IPv6 flow label.
    ///   - options: IPv4 options of the reply.
    /// - Returns: the frame's length; 0 if `room` is too small.
    public static func build(
        into room: PacketBuffer, answering packet: PacketBuffer, _ parsed: ParsedPacket, source: IPAddress, identification: UInt16, flowLabel: UInt32, link: LinkHeader,
        options: IPv4AnswerOptions = IPv4AnswerOptions()
    ) -> Int {
        guard let family = parsed.family, source.family == family, parsed.transportLength >= 8 else { return 0 }
        var header = IPHeader(source: source, destination: parsed.sourceAddress, transportProtocol: parsed.transportProtocol)
        header.trafficClass = parsed.trafficClass
        header.identification = identification
        header.options = options
        header.flowLabel = flowLabel
        let offset = link.length
        let message = offset + header.length
        let length = parsed.transportLength
        guard room.tailroom >= message + length, header.length + length <= 65535 + (family == .ipv6 ? 40 : 0) else { return 0 }
        link.write(to: room, etherType: header.etherType)
        header.write(to: room, at: offset, payloadLength: length)
        (room.start + message).copyMemory(from: packet.start + Int(parsed.transportOffset), byteCount: length)
        // The request's code stays.
        room.store8(family == .ipv4 ? 0 : 0x81, at: message)
        room.store16(0, at: message + 2)
        header.fillChecksum(room, at: message, length: length, field: 2)
        return message + length
    }
}
