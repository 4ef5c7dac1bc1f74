// Masks, networks and neighbours of a prefix. Plain integer arithmetic in host order.

extension IPAddress {
    /// The network mask of `length` bits (clamped to the family's width).
    @inlinable public static func mask(_ family: AddressFamily, length: Int) -> IPAddress {
        let length = Swift.min(Swift.max(length, 0), family.addressBits)
        switch family {
        case .ipv4: return IPAddress(ipv4: length == 0 ? 0 : ~0 << UInt32(32 - length))
        case .ipv6:
            let high: UInt64 = length == 0 ? 0 : ~0 << UInt64(64 - Swift.min(length, 64))
            let low: UInt64 = length <= 64 ? 0 : ~0 << UInt64(128 - length)
            return IPAddress(ipv6High: high, low: low)
        }
    }
    /// The address with all bits behind the first `length` cleared.
    @inlinable public func masked(to length: Int) -> IPAddress {
        let mask = IPAddress.mask(family, length: length)
        return IPAddress(family: family, high: high & mask.high, low: low & mask.low)
    }
    /// Number of leading bits that both have in common; 0 for different families.
    @inlinable public func commonPrefixLength(with other: IPAddress) -> Int {
        guard family == other.family else { return 0 }
        if family == .ipv4 { return (ipv4 ^ other.ipv4).leadingZeroBitCount }
        return high != other.high ? (high ^ other.high).leadingZeroBitCount : 64 + (low ^ other.low).leadingZeroBitCount
    }
}

extension IPPrefix {
    /// The prefix without host bits: `10.0.1.1/24` gives `10.0.1.0/24`.
    @inlinable public var network: IPPrefix { IPPrefix(address: address.masked(to: Int(length)), length: length) }
    @inlinable public func contains(_ other: IPAddress) -> Bool {
        other.family == address.family && other.masked(to: Int(length)) == address.masked(to: Int(length))
    }
    /// The directed broadcast address of an IPv4 subnet; nil for IPv6 and for /31 and /32 (RFC 3021).
    @inlinable public var broadcast: IPAddress? {
        guard address.family == .ipv4, length < 31 else { return nil }
        return IPAddress(ipv4: address.ipv4 | ~IPAddress.mask(.ipv4, length: Int(length)).ipv4)
    }
}
