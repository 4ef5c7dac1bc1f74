// Writes the IP header of a packet that Needletail itself sends.
//
// Invariant: no extension headers, IPv4 options only as given, hop limit 64 unless told otherwise, as Linux sends its own packets.

@frozen public struct IPHeader: Sendable {
    public var source: IPAddress
    public var destination: IPAddress
    public var transportProtocol: UInt8
    public var trafficClass: UInt8 = 0
    public var timeToLive: UInt8 = 64
    /// IPv4 only.
    public var identification: UInt16 = 0
    public var dontFragment = false
    /// IPv4 only.
    public var options = IPv4AnswerOptions()
    /// IPv6 only: 20 bits.
    public var flowLabel: UInt32 = 0

    @inlinable public init(source: IPAddress, destination: IPAddress, transportProtocol: UInt8) {
        self.source = source
        self.destination = destination
        self.transportProtocol = transportProtocol
    }

    /// Bytes of the header.
    @inlinable public var length: Int { source.family == .ipv4 ? 20 + options.length : 40 }
    @inlinable public var etherType: UInt16 { source.family == .ipv4 ? EtherType.ipv4 : EtherType.ipv6 }

    /// Writes the header at `offset`, with `payloadLength` bytes to follow, and the IPv4 checksum.
    @inlinable public func write(to frame: PacketBuffer, at offset: Int, payloadLength: Int) {
        if source.family == .ipv4 {
            frame.store8(0x40 | UInt8(truncatingIfNeeded: length / 4), at: offset)
            frame.store8(trafficClass, at: offset + 1)
            frame.store16(UInt16(truncatingIfNeeded: length + payloadLength), at: offset + 2)
            frame.store16(identification, at: offset + 4)
            frame.store16(dontFragment ? 0x4000 : 0, at: offset + 6)
            frame.store8(timeToLive, at: offset + 8)
            frame.store8(transportProtocol, at: offset + 9)
            frame.store32(source.ipv4, at: offset + 12)
            frame.store32(destination.ipv4, at: offset + 16)
            if options.length > 0 { options.write(to: frame, at: offset + 20) }
            Checksum.fillIPv4Header(frame.start + offset, length: length)
        } else {
            frame.store32(0x6000_0000 | UInt32(trafficClass) << 20 | flowLabel & 0xf_ffff, at: offset)
            frame.store16(UInt16(truncatingIfNeeded: payloadLength), at: offset + 4)
            frame.store8(transportProtocol, at: offset + 6)
            frame.store8(timeToLive, at: offset + 7)
            frame.storeAddress(source, at: offset + 8)
            frame.storeAddress(destination, at: offset + 24)
        }
    }

    /// Writes the checksum of the transport part at `offset`, `length` bytes, field at `field` from its start.
    @inlinable public func fillChecksum(_ frame: PacketBuffer, at offset: Int, length: Int, field: Int) {
        frame.store16(0, at: offset + field)
        let pseudo = transportProtocol == IPProtocol.icmp
            ? 0 : Checksum.pseudoHeader(source: source, destination: destination, transportProtocol: transportProtocol, length: length)
        frame.store16(Checksum.finish(Checksum.partial(UnsafeRawPointer(frame.start + offset), length, initial: pseudo)), at: offset + field)
    }
}
