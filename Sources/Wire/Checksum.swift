// The Internet checksum (RFC 1071) over raw memory: whole, partial and incremental (RFC 1624).
//
// Invariant: every value that leaves this file is in host order: a checksum field is read with `load16` and written
// with `store16`. Partial sums are 64-bit, not complemented, and add up with `add`; a part of odd length may only be
// the last one.

public enum Checksum {
    // MARK: - Sums

    /// One's complement sum of two partial sums.
    @inlinable @inline(__always)
    public static func add(_ a: UInt64, _ b: UInt64) -> UInt64 {
        let (sum, overflow) = a.addingReportingOverflow(b)
        return sum &+ (overflow ? 1 : 0)
    }

    /// Folds a partial sum to 16 bits, not complemented: 0xffff over data that includes a right checksum.
    @inlinable @inline(__always)
    public static func fold(_ sum: UInt64) -> UInt16 {
        var value = (sum & 0xffff_ffff) &+ (sum >> 32)
        value = (value & 0xffff) &+ (value >> 16)
        value = (value & 0xffff) &+ (value >> 16)
        value = (value & 0xffff) &+ (value >> 16)
        return UInt16(truncatingIfNeeded: value)
    }

    /// The checksum field for a partial sum: folded and complemented.
    @inlinable @inline(__always)
    public static func finish(_ sum: UInt64) -> UInt16 { ~fold(sum) }

    /// Sum over `count` bytes at `pointer`, of any alignment. An odd last byte counts as if followed by a zero.
    @inlinable
    public static func partial(_ pointer: UnsafeRawPointer, _ count: Int, initial: UInt64 = 0) -> UInt64 {
        // Loads in memory order: the one's complement sum commutes with swapping bytes, so one swap at the end does.
        var even: UInt64 = 0
        var odd: UInt64 = 0
        var offset = 0
        while count &- offset >= 16 {
            even = add(even, pointer.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
            odd = add(odd, pointer.loadUnaligned(fromByteOffset: offset &+ 8, as: UInt64.self))
            offset &+= 16
        }
        if count &- offset >= 8 {
            even = add(even, pointer.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
            offset &+= 8
        }
        if count &- offset >= 4 {
            odd = add(odd, UInt64(pointer.loadUnaligned(fromByteOffset: offset, as: UInt32.self)))
            offset &+= 4
        }
        if count &- offset >= 2 {
            even = add(even, UInt64(pointer.loadUnaligned(fromByteOffset: offset, as: UInt16.self)))
            offset &+= 2
        }
        if count &- offset == 1 {
            // First of a pair in memory: its place in a native word is the low-address byte.
            odd = add(odd, UInt64(UInt16(littleEndian: UInt16(pointer.load(fromByteOffset: offset, as: UInt8.self)))))
        }
        return add(initial, UInt64(UInt16(bigEndian: fold(add(even, odd)))))
    }

    /// Sum of an address's words.
    @inlinable @inline(__always)
    public static func partial(_ address: IPAddress) -> UInt64 { add(address.high, address.low) }

    /// The pseudo header of TCP, UDP, UDP-Lite, DCCP and ICMPv6 (RFC 9293 section 3.1, RFC 8200 section 8.1).
    /// - Parameter length: bytes from the transport header to the packet's end.
    @inlinable @inline(__always)
    public static func pseudoHeader(source: IPAddress, destination: IPAddress, transportProtocol: UInt8, length: Int) -> UInt64 {
        add(add(partial(source), partial(destination)), UInt64(transportProtocol) &+ UInt64(truncatingIfNeeded: length))
    }

    // MARK: - Incremental updates (RFC 1624, equation 3)

    /// What replacing one 16-bit word adds to a sum: `~old + new`.
    @inlinable @inline(__always)
    public static func delta(_ old: UInt16, _ new: UInt16) -> UInt64 { UInt64(~old) &+ UInt64(new) }
    /// As for 16 bits; the word must lie at an even offset of the summed data.
    @inlinable @inline(__always)
    public static func delta(_ old: UInt32, _ new: UInt32) -> UInt64 { UInt64(~old) &+ UInt64(new) }
    /// For an address of either family; both of one family.
    @inlinable @inline(__always)
    public static func delta(_ old: IPAddress, _ new: IPAddress) -> UInt64 {
        if old.family == .ipv4 { return delta(old.ipv4, new.ipv4) }
        return add(add(~old.high, ~old.low), add(new.high, new.low))
    }

    /// The checksum after a change. Deltas of several words may be added up (`add`) and applied at once; the result is
    /// the one that Linux's csum_replace functions give, including the choice between 0x0000 and 0xffff.
    @inlinable @inline(__always)
    public static func apply(_ delta: UInt64, to checksum: UInt16) -> UInt16 { ~fold(add(UInt64(~checksum), delta)) }

    /// As `apply`, for UDP: 0 means "no checksum" and stays unless a checksum is mandatory; a sum that comes out as 0 is sent as 0xffff (RFC 768).
    @inlinable @inline(__always)
    public static func applyUDP(_ delta: UInt64, to checksum: UInt16, isMandatory: Bool = false) -> UInt16 {
        if checksum == 0, !isMandatory { return 0 }
        let updated = apply(delta, to: checksum)
        return updated == 0 ? 0xffff : updated
    }

    @inlinable @inline(__always)
    public static func update(_ checksum: UInt16, old: UInt16, new: UInt16) -> UInt16 { apply(delta(old, new), to: checksum) }
    @inlinable @inline(__always)
    public static func update(_ checksum: UInt16, old: UInt32, new: UInt32) -> UInt16 { apply(delta(old, new), to: checksum) }
    @inlinable @inline(__always)
    public static func update(_ checksum: UInt16, old: IPAddress, new: IPAddress) -> UInt16 { apply(delta(old, new), to: checksum) }

    // MARK: - IPv4 header

    /// Whether the header at `header` (`length` bytes, readable) has a right checksum.
    @inlinable
    public static func verifyIPv4Header(_ header: UnsafeRawPointer, length: Int) -> Bool { fold(partial(header, length)) == 0xffff }

    /// Writes the checksum of the IPv4 header at `header`.
    @inlinable
    public static func fillIPv4Header(_ header: UnsafeMutableRawPointer, length: Int) {
        header.storeBytes(of: 0, toByteOffset: 10, as: UInt16.self)
        header.storeBytes(of: finish(partial(UnsafeRawPointer(header), length)).bigEndian, toByteOffset: 10, as: UInt16.self)
    }
}
