// What kind of address it is: the questions that forwarding asks (RFC 6890, RFC 4291).

extension IPAddress {
    /// 127.0.0.0/8 or ::1.
    @inlinable public var isLoopback: Bool {
        family == .ipv4 ? ipv4 >> 24 == 127 : high == 0 && low == 1
    }
    /// 224.0.0.0/4 or ff00::/8.
    @inlinable public var isMulticast: Bool {
        family == .ipv4 ? ipv4 >> 28 == 0xe : high >> 56 == 0xff
    }
    /// 255.255.255.255.
    @inlinable public var isLimitedBroadcast: Bool { family == .ipv4 && ipv4 == 0xffff_ffff }
    /// 169.254.0.0/16 or fe80::/10.
    @inlinable public var isLinkLocal: Bool {
        family == .ipv4 ? ipv4 >> 16 == 0xa9fe : high >> 54 == 0x3fa
    }
    /// 0.0.0.0/8 or ::.
    @inlinable public var isZeroNet: Bool {
        family == .ipv4 ? ipv4 >> 24 == 0 : isUnspecified
    }
    /// ::ffff:0:0/96.
    @inlinable public var isIPv4Mapped: Bool { family == .ipv6 && high == 0 && low >> 32 == 0xffff }
    /// Class E: 240.0.0.0/4 without the limited broadcast; never for IPv6.
    @inlinable public var isReserved: Bool { family == .ipv4 && ipv4 >> 28 == 0xf && !isLimitedBroadcast }
}
