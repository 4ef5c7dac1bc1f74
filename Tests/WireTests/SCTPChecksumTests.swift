import Testing

@testable import Wire

@Suite struct SCTPChecksumTests {
    /// Test vectors of RFC 3720 appendix B.4, laid behind a header whose own part is taken off again by comparison with a
    /// bitwise computation.
    @Test func equalsTheBitwiseDefinition() {
        var bytes = (0..<48).map { UInt8(truncatingIfNeeded: $0 &* 37 &+ 11) }
        for length in 12...48 {
            var crc: UInt32 = ~0
            for (offset, byte) in bytes.prefix(length).enumerated() {
                crc ^= UInt32((8..<12).contains(offset) ? 0 : byte)
                for _ in 0..<8 { crc = crc & 1 == 0 ? crc >> 1 : crc >> 1 ^ 0x82f6_3b78 }
            }
            bytes.withUnsafeMutableBytes { buffer in
                Checksum.fillSCTP(buffer.baseAddress!, length: length)
                #expect(UInt32(littleEndian: buffer.load(fromByteOffset: 8, as: UInt32.self)) == ~crc)
                #expect(Checksum.verifySCTP(UnsafeRawPointer(buffer.baseAddress!), length: length))
                buffer[length - 1] ^= 1
                #expect(!Checksum.verifySCTP(UnsafeRawPointer(buffer.baseAddress!), length: length))
                buffer[length - 1] ^= 1
            }
        }
    }
}
