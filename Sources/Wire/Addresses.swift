// Link and network addresses as plain values.
//
// Invariant: every number here is in host byte order, so that comparison, masking and prefix arithmetic are ordinary
// integer operations; only the load and store functions know about network order.

/// A 48-bit MAC address; `02:00:00:00:0a:01` is `0x0200_0000_0a01`.
@frozen public struct EthernetAddress: Hashable, Sendable {
    public var rawValue: UInt64
    @inlinable public init(rawValue: UInt64) { self.rawValue = rawValue & 0xffff_ffff_ffff }
    @inlinable public static var zero: EthernetAddress { EthernetAddress(rawValue: 0) }
    @inlinable public static var broadcast: EthernetAddress { EthernetAddress(rawValue: 0xffff_ffff_ffff) }
    /// Group bit: broadcast or multicast.
    @inlinable public var isGroup: Bool { rawValue & 0x0100_0000_0000 != 0 }
}

/// Internet protocol version; raw values are the version nibble.
@frozen public enum AddressFamily: UInt8, Hashable, Sendable {
    case ipv4 = 4
    case ipv6 = 6
    @inlinable public var addressBits: Int { self == .ipv4 ? 32 : 128 }
}

/// An IPv4 or IPv6 address, 128 bits in host order; an IPv4 address is in the low 32 bits of `low`.
@frozen public struct IPAddress: Hashable, Sendable {
    public var high: UInt64
    public var low: UInt64
    public var family: AddressFamily
    @inlinable public init(family: AddressFamily, high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
        self.family = family
    }
    @inlinable public init(ipv4 value: UInt32) { self.init(family: .ipv4, high: 0, low: UInt64(value)) }
    @inlinable public init(ipv6High high: UInt64, low: UInt64) { self.init(family: .ipv6, high: high, low: low) }
    /// The IPv4 address as a host-order word; meaningless for IPv6.
    @inlinable public var ipv4: UInt32 { UInt32(truncatingIfNeeded: low) }
    @inlinable public var isUnspecified: Bool { high == 0 && low == 0 }
}

/// An address and a prefix length, `10.0.1.1/24`: a route's destination, or an interface's own address.
@frozen public struct IPPrefix: Hashable, Sendable {
    public var address: IPAddress
    public var length: UInt8
    @inlinable public init(address: IPAddress, length: UInt8) {
        self.address = address
        self.length = length
    }
}
