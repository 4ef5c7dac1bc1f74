// TCP segments without payload that the router makes for others: synproxy's handshakes (synproxy_build_ip, synproxy_send_tcp).

public struct TCPControlSegment: Sendable {
    public var source: IPAddress
    public var destination: IPAddress
    public var sourcePort: UInt16
    public var destinationPort: UInt16
    public var sequence: UInt32 = 0
    /// Written whether `flags` have ACK or not.
    public var acknowledgement: UInt32 = 0
    public var flags: UInt8 = 0
    public var window: UInt16 = 0
    public var options = HandshakeOptions()

    public init(from source: IPAddress, _ sourcePort: UInt16, to destination: IPAddress, _ destinationPort: UInt16) {
        (self.source, self.sourcePort) = (source, sourcePort)
        (self.destination, self.destinationPort) = (destination, destinationPort)
    }

    /// Bytes that a segment takes behind a link header with two tags.
    public static var maximumLength: Int { 22 + 40 + 20 + 24 }

    /// Writes the segment into `room`. Returns the frame's length; 0 if `room` is too small or the families differ.
    public func build(into room: PacketBuffer, link: LinkHeader) -> Int {
        guard source.family == destination.family else { return 0 }
        var header = IPHeader(source: source, destination: destination, transportProtocol: IPProtocol.tcp)
        header.dontFragment = true
        let segment = link.length + header.length, length = 20 + options.length
        guard room.tailroom >= segment + length else { return 0 }
        link.write(to: room, etherType: header.etherType)
        header.write(to: room, at: link.length, payloadLength: length)
        room.store16(sourcePort, at: segment)
        room.store16(destinationPort, at: segment + 2)
        room.store32(sequence, at: segment + 4)
        room.store32(acknowledgement, at: segment + 8)
        room.store16(UInt16(length / 4) << 12 | UInt16(flags), at: segment + 12)
        room.store16(window, at: segment + 14)
        room.store32(0, at: segment + 16)
        options.write(to: room, at: segment + 20)
        header.fillChecksum(room, at: segment, length: length, field: 16)
        return segment + length
    }
}
