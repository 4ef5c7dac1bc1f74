// ARP over Ethernet for IPv4 (RFC 826): read and written.
//
// Invariant: a message that `read` returns is whole and of this one kind; everything else is `arpMalformed`.

@frozen public struct ARPMessage: Sendable {
    public static var request: UInt16 { 1 }
    public static var reply: UInt16 { 2 }
    /// Bytes of a message behind the link header.
    public static var length: Int { 28 }

    public var operation: UInt16
    public var senderMAC: EthernetAddress
    public var senderAddress: IPAddress
    public var targetMAC: EthernetAddress
    public var targetAddress: IPAddress

    @inlinable public init(operation: UInt16, senderMAC: EthernetAddress, senderAddress: IPAddress, targetMAC: EthernetAddress, targetAddress: IPAddress) {
        self.operation = operation
        self.senderMAC = senderMAC
        self.senderAddress = senderAddress
        self.targetMAC = targetMAC
        self.targetAddress = targetAddress
    }

    /// Whether a frame's EtherType is ARP and its address lengths are Ethernet's and IPv4's: all that Linux asks before its hooks.
    public static func isWhole(_ packet: PacketBuffer, _ parsed: ParsedPacket) -> Bool {
        let offset = Int(parsed.networkOffset)
        return parsed.etherType == EtherType.arp && packet.length >= offset + length && packet.load16(offset + 4) == 0x0604
    }

    /// The message in a frame whose EtherType is ARP; nil unless it is a request or reply for IPv4 over Ethernet.
    public static func read(_ packet: PacketBuffer, _ parsed: ParsedPacket) -> ARPMessage? {
        let offset = Int(parsed.networkOffset)
        guard isWhole(packet, parsed) else { return nil }
        // Hardware type Ethernet or IEEE 802, protocol IPv4.
        guard packet.load16(offset) == 1 || packet.load16(offset) == 6, packet.load16(offset + 2) == EtherType.ipv4 else { return nil }
        let operation = packet.load16(offset + 6)
        guard operation == request || operation == reply else { return nil }
        return ARPMessage(
            operation: operation, senderMAC: packet.loadMAC(offset + 8), senderAddress: packet.loadAddress(.ipv4, offset + 14),
            targetMAC: packet.loadMAC(offset + 18), targetAddress: packet.loadAddress(.ipv4, offset + 24))
    }

    /// Writes a frame with the message.
    /// - Returns: the frame's length, 42 without tags; 0 if `room` is too small.
    public func build(into room: PacketBuffer, link: LinkHeader) -> Int {
        let offset = link.length
        guard room.tailroom >= offset + ARPMessage.length else { return 0 }
        link.write(to: room, etherType: EtherType.arp)
        room.store64(0x0001_0800_0604 << 16 | UInt64(operation), at: offset)
        room.storeMAC(senderMAC, at: offset + 8)
        room.storeAddress(senderAddress, at: offset + 14)
        room.storeMAC(targetMAC, at: offset + 18)
        room.storeAddress(targetAddress, at: offset + 24)
        return offset + ARPMessage.length
    }
}
