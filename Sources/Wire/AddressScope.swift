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
    /// 224.0.0.0/24, the groups that no router passes on, or ff02::/16.
    @inlinable public var isLinkLocalGroup: Bool {
        family == .ipv4 ? ipv4 >> 8 == 0xe0_0000 : high >> 48 == 0xff02
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
    /// How far an IPv6 address or group reaches if not everywhere: 1 the node, 2 the link, 5 the site; else 0 (IPV6_ADDR_SCOPE_MASK). Of IPv4
    /// addresses within IPv6 ones, ::a.b.c.d, nothing is said.
    @inlinable public var narrowScope: UInt8 {
        if isMulticast {
            let scope = UInt8(truncatingIfNeeded: high >> 48) & 15
            return scope == 1 || scope == 2 || scope == 5 ? scope : 0
        }
        return isLoopback ? 1 : isLinkLocal ? 2 : high >> 54 == 0x3fb ? 5 : 0
    }
    /// ::ffff:0:0/96.
    @inlinable public var isIPv4Mapped: Bool { family == .ipv6 && high == 0 && low >> 32 == 0xffff }
    /// Class E: 240.0.0.0/4 without the limited broadcast; never for IPv6.
    @inlinable public var isReserved: Bool { family == .ipv4 && ipv4 >> 28 == 0xf && !isLimitedBroadcast }
}
