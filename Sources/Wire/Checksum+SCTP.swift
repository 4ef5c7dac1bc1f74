// SCTP's checksum: CRC32c over the whole SCTP packet with the field as zero (RFC 9260 section 6.8, appendix A).
//
// Invariant: `length` bytes from the header on are readable; 12 at least. A nibble at a time: SCTP is never rewritten by
// workers, so the table stays in one cache line.

extension Checksum {
    private static let crc32cNibbles: InlineArray<16, UInt32> = [
        0x0000_0000, 0x105e_c76f, 0x20bd_8ede, 0x30e3_49b1, 0x417b_1dbc, 0x5125_dad3, 0x61c6_9362, 0x7198_540d,
        0x82f6_3b78, 0x92a8_fc17, 0xa24b_b5a6, 0xb215_72c9, 0xc38d_26c4, 0xd3d3_e1ab, 0xe330_a81a, 0xf36e_6f75,
    ]

    private static func crc32c(_ initial: UInt32, _ pointer: UnsafeRawPointer, _ count: Int) -> UInt32 {
        var crc = initial
        for offset in 0..<count {
            crc ^= UInt32(pointer.load(fromByteOffset: offset, as: UInt8.self))
            crc = crc >> 4 ^ crc32cNibbles[Int(crc & 15)]
            crc = crc >> 4 ^ crc32cNibbles[Int(crc & 15)]
        }
        return crc
    }

    /// The checksum that the SCTP packet at `header` should carry, as the number that its four bytes are in host order
    /// when loaded as little-endian.
    static func sctp(_ header: UnsafeRawPointer, length: Int) -> UInt32 {
        var crc = crc32c(~0, header, 8)
        var zero: UInt32 = 0
        crc = withUnsafeBytes(of: &zero) { crc32c(crc, $0.baseAddress!, 4) }
        return ~crc32c(crc, header + 12, length - 12)
    }

    /// Whether the SCTP packet carries the right checksum.
    public static func verifySCTP(_ header: UnsafeRawPointer, length: Int) -> Bool {
        UInt32(littleEndian: header.loadUnaligned(fromByteOffset: 8, as: UInt32.self)) == sctp(header, length: length)
    }

    /// Writes the checksum.
    public static func fillSCTP(_ header: UnsafeMutableRawPointer, length: Int) {
        header.storeBytes(of: sctp(UnsafeRawPointer(header), length: length).littleEndian, toByteOffset: 8, as: UInt32.self)
    }
}
