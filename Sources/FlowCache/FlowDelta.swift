// Checksum differences of a rewrite, computed once when the flow is published (RFC 1624, equation 3).
//
// Invariant: words are summed as they lie in memory; a ones' complement sum does not depend on byte order (RFC 1071 2(B)).
import Wire

enum FlowDelta {
    /// Sum of 16-bit words of a 32-bit raw word.
    private static func words(_ value: UInt32) -> UInt64 { UInt64(value & 0xffff) + UInt64(value >> 16) }
    private static func words(_ value: UInt64) -> UInt64 {
        words(UInt32(truncatingIfNeeded: value)) + words(UInt32(truncatingIfNeeded: value >> 32))
    }
    static func fold(_ sum: UInt64) -> UInt16 {
        var sum = sum
        while sum > 0xffff { sum = (sum & 0xffff) + (sum >> 16) }
        return UInt16(sum)
    }

    /// What to add to a checksum's complement when `old` becomes `new`.
    static func difference(old: UInt64, new: UInt64) -> UInt64 { words(~old) + words(new) }
    static func difference(old: UInt32, new: UInt32) -> UInt64 { words(~old) + words(new) }

    /// The IPv4 header's: addresses, and the TTL (low byte of a raw word) less by one.
    static func network(old: UInt64, new: UInt64) -> UInt16 { fold(difference(old: old, new: new) + 0xfffe) }

    /// Whether the transport checksum covers the addresses (pseudo-header).
    static func coversAddresses(_ transportProtocol: UInt8) -> Bool {
        switch transportProtocol {
        case IPProtocol.tcp, IPProtocol.udp, IPProtocol.udplite, IPProtocol.dccp, IPProtocol.icmpv6: true
        default: false
        }
    }
}
