// The PPPoE session header and the PPP protocol behind it (RFC 2516 sections 4 and 6): 8 bytes between EtherType and IP.
//
//     version and type (0x11)   code (0)   session   length of what follows the header   PPP protocol
//         1 byte                1 byte     2 bytes   2 bytes                             2 bytes

public enum PPPoE {
    /// Bytes of the header with the PPP protocol.
    @inlinable @inline(__always) public static var headerLength: Int { 8 }
    /// PPP protocol numbers (IANA): IPv4, IPv6.
    public static let ipv4: UInt16 = 0x0021
    public static let ipv6: UInt16 = 0x0057

    /// What a session header says, if it is one.
    public struct Header: Sendable, Equatable {
        public var session: UInt16
        public var pppProtocol: UInt16
        /// Bytes behind the PPP protocol that belong to the packet; the rest of the frame is padding.
        public var payloadLength: Int
    }

    /// Reads the header at `offset` of the frame; nil if it is cut short, of another version or of the discovery stage, or says more
    /// bytes than there are.
    public static func read(_ packet: PacketBuffer, at offset: Int) -> Header? {
        guard packet.length >= offset + headerLength, packet.load16(offset) == 0x1100 else { return nil }
        let length = Int(packet.load16(offset + 4))
        guard length >= 2, offset + 6 + length <= packet.length else { return nil }
        return Header(session: packet.load16(offset + 2), pppProtocol: packet.load16(offset + 6), payloadLength: length - 2)
    }
}
