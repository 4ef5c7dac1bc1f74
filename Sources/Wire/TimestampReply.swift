// Answers to ICMP timestamp requests (RFC 792) to our own addresses, as Linux sends them (icmp_timestamp): 20 bytes, the
// request's traffic class, identifier, sequence number and originate time, and our time twice.

public enum TimestampReply {
    /// Bytes of the ICMP message.
    @inlinable public static var messageLength: Int { 20 }

    /// Whether the packet is a whole timestamp request with a right checksum.
    public static func isRequest(_ packet: PacketBuffer, _ parsed: ParsedPacket) -> Bool {
        parsed.family == .ipv4 && parsed.transportProtocol == IPProtocol.icmp && parsed.icmpType == 13 && parsed.flags.contains(.hasTransport)
            && !parsed.flags.contains(.isFragment) && parsed.transportLength >= 12 && Checksum.verifyTransport(packet, parsed)
    }

    /// Writes the reply into `room`, from the request's destination to its source.
    ///
    /// - Parameter millisecondsOfDay: since midnight UT.
    /// - Returns: the frame's length; 0 if `room` is too small.
    public static func build(
        into room: PacketBuffer, answering packet: PacketBuffer, _ parsed: ParsedPacket, millisecondsOfDay: UInt32, identification: UInt16, link: LinkHeader,
        options: IPv4AnswerOptions = IPv4AnswerOptions()
    ) -> Int {
        guard parsed.family == .ipv4, parsed.transportLength >= 12 else { return 0 }
        var header = IPHeader(source: parsed.destinationAddress, destination: parsed.sourceAddress, transportProtocol: IPProtocol.icmp)
        header.trafficClass = parsed.trafficClass
        header.identification = identification
        header.options = options
        let offset = link.length
        let message = offset + header.length
        guard room.tailroom >= message + messageLength else { return 0 }
        let request = Int(parsed.transportOffset)
        link.write(to: room, etherType: EtherType.ipv4)
        header.write(to: room, at: offset, payloadLength: messageLength)
        room.store16(0x0e00, at: message)
        room.store32(packet.load32(request + 4), at: message + 4)
        room.store32(packet.load32(request + 8), at: message + 8)
        room.store32(millisecondsOfDay, at: message + 12)
        room.store32(millisecondsOfDay, at: message + 16)
        header.fillChecksum(room, at: message, length: messageLength, field: 2)
        return message + messageLength
    }
}
