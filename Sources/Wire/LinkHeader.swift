// The Ethernet header, with up to two VLAN tags, of a frame that is being built or sent.
//
// Invariant: `length` is 14, 18 or 22, and `write` writes exactly that many bytes.

@frozen public struct LinkHeader: Sendable {
    public var destination: EthernetAddress
    public var source: EthernetAddress
    /// Tag control information, outermost first; `vlanCount` of them count.
    public var vlanCount: UInt8
    public var outerTag: UInt16
    public var innerTag: UInt16
    /// EtherType of the outer of two tags; a single or inner tag is 0x8100.
    public var outerType: UInt16

    @inlinable public init(destination: EthernetAddress = .zero, source: EthernetAddress = .zero, vlanCount: UInt8 = 0, outerTag: UInt16 = 0, innerTag: UInt16 = 0, outerType: UInt16 = EtherType.qinq) {
        self.destination = destination
        self.source = source
        self.vlanCount = min(vlanCount, 2)
        self.outerTag = outerTag
        self.innerTag = innerTag
        self.outerType = outerType
    }

    /// Bytes of the header.
    @inlinable public var length: Int { 14 + 4 * Int(vlanCount) }

    /// Writes the header at the frame's start.
    @inlinable public func write(to frame: PacketBuffer, etherType: UInt16) {
        frame.storeMAC(destination, at: 0)
        frame.storeMAC(source, at: 6)
        var offset = 12
        if vlanCount == 2 {
            frame.store16(outerType, at: offset)
            frame.store16(outerTag, at: offset + 2)
            offset += 4
        }
        if vlanCount >= 1 {
            frame.store16(EtherType.vlan, at: offset)
            frame.store16(vlanCount == 2 ? innerTag : outerTag, at: offset + 2)
            offset += 4
        }
        frame.store16(etherType, at: offset)
    }
}

extension PacketBuffer {
    /// A MAC address at any offset; 6 bytes, checked by the caller.
    @inlinable @inline(__always)
    public func loadMAC(_ offset: Int) -> EthernetAddress { EthernetAddress(rawValue: UInt64(load16(offset)) << 32 | UInt64(load32(offset &+ 2))) }
    @inlinable @inline(__always)
    public func storeMAC(_ address: EthernetAddress, at offset: Int) {
        store16(UInt16(truncatingIfNeeded: address.rawValue >> 32), at: offset)
        store32(UInt32(truncatingIfNeeded: address.rawValue), at: offset &+ 2)
    }
    /// An address of the family at any offset; 4 or 16 bytes, checked by the caller.
    @inlinable @inline(__always)
    public func loadAddress(_ family: AddressFamily, _ offset: Int) -> IPAddress {
        family == .ipv4 ? IPAddress(ipv4: load32(offset)) : IPAddress(ipv6High: load64(offset), low: load64(offset &+ 8))
    }
    @inlinable @inline(__always)
    public func storeAddress(_ address: IPAddress, at offset: Int) {
        if address.family == .ipv4 {
            store32(address.ipv4, at: offset)
        } else {
            store64(address.high, at: offset)
            store64(address.low, at: offset &+ 8)
        }
    }
}
