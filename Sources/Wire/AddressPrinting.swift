// Addresses to text, in the form that `ip` and `nft` print: RFC 5952 for IPv6, lower-case hexadecimal throughout.

extension IPAddress: CustomStringConvertible {
    public var description: String {
        family == .ipv4 ? IPAddress.dotted(ipv4) : ipv6Description
    }

    private static func dotted(_ value: UInt32) -> String {
        "\(value >> 24).\(value >> 16 & 255).\(value >> 8 & 255).\(value & 255)"
    }

    /// RFC 5952 section 4: no leading zeros, '::' for the first longest run of two or more zero groups, lower case; an
    /// IPv4-mapped or -compatible address ends in dotted form, as inet_ntop writes it.
    private var ipv6Description: String {
        let groups = (0..<8).map { UInt16(truncatingIfNeeded: ($0 < 4 ? high : low) >> UInt64(48 - 16 * ($0 & 3))) }
        var best = 0..<0
        var start = 0
        while start < 8 {
            var end = start
            while end < 8, groups[end] == 0 { end += 1 }
            if end - start >= 2, end - start > best.count { best = start..<end }
            start = max(end, start + 1)
        }
        let isEmbedded = best == 0..<6 || (best == 0..<5 && groups[5] == 0xffff)
        let tail = isEmbedded ? [IPAddress.dotted(UInt32(truncatingIfNeeded: low))] : []
        func text(_ range: Range<Int>) -> [String] { groups[range].map { String($0, radix: 16) } }
        let last = isEmbedded ? 6 : 8
        if best.isEmpty { return text(0..<8).joined(separator: ":") }
        return text(0..<best.lowerBound).joined(separator: ":") + "::" + (text(best.upperBound..<last) + tail).joined(separator: ":")
    }
}

extension EthernetAddress: CustomStringConvertible {
    public var description: String {
        stride(from: 40, through: 0, by: -8).map { shift in
            let byte = rawValue >> UInt64(shift) & 0xff
            return (byte < 16 ? "0" : "") + String(byte, radix: 16)
        }.joined(separator: ":")
    }
}

extension IPPrefix: CustomStringConvertible {
    public var description: String { "\(address)/\(length)" }
}
