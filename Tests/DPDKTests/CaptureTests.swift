// Capture files: no EAL needed.
import DPDK
import Foundation
import Testing

@Suite struct CaptureTests {
    /// A path of its own for each test.
    private func temporary(_ name: String) -> String { NSTemporaryDirectory() + "needletail-\(UUID().uuidString)-\(name)" }

    private func little32(_ value: UInt32) -> [UInt8] { withUnsafeBytes(of: value.littleEndian) { Array($0) } }
    private func little16(_ value: UInt16) -> [UInt8] { withUnsafeBytes(of: value.littleEndian) { Array($0) } }

    private func readAll(_ path: String) throws -> [(time: UInt64, bytes: [UInt8], original: Int)] {
        var reader = try CaptureReader(path: path)
        var records: [(time: UInt64, bytes: [UInt8], original: Int)] = []
        while let record = try reader.next() { records.append((record.timestamp, Array(record.bytes), record.originalLength)) }
        return records
    }

    @Test(arguments: [CaptureWriter.Precision.nanoseconds, .microseconds]) func roundTrip(_ precision: CaptureWriter.Precision) throws {
        let path = temporary("a.pcap"), again = temporary("b.pcap")
        defer {
            unlink(path)
            unlink(again)
        }
        let frames: [[UInt8]] = [Array(repeating: 7, count: 60), (0 ..< 1514).map { UInt8(truncatingIfNeeded: $0) }, Array(repeating: 1, count: 9000)]
        for target in [path, again] {
            var writer = try CaptureWriter(path: target, precision: precision)
            for (index, frame) in frames.enumerated() {
                frame.withUnsafeBytes { writer.write($0, timestamp: 1_700_000_000_123_456_789 + UInt64(index)) }
            }
            try writer.finish()
            #expect(writer.count == 3)
        }
        #expect(try Data(contentsOf: URL(fileURLWithPath: path)) == Data(contentsOf: URL(fileURLWithPath: again)))
        let records = try readAll(path)
        #expect(records.map(\.bytes) == frames)
        #expect(records.map(\.original) == frames.map(\.count))
        let expected: [UInt64] = precision == .nanoseconds
            ? [1_700_000_000_123_456_789, 1_700_000_000_123_456_790, 1_700_000_000_123_456_791] : Array(repeating: 1_700_000_000_123_456_000, count: 3)
        #expect(records.map(\.time) == expected)
    }

    @Test func pcapngWithNanoseconds() throws {
        // Section header; interface (Ethernet, if_tsresol = 10^-9); one enhanced packet block.
        let frame = (0 ..< 60).map { UInt8($0) }
        let time: UInt64 = 1_700_000_000_123_456_789
        var file = little32(0x0A0D_0D0A) + little32(28) + little32(0x1A2B_3C4D) + little16(1) + little16(0) + Array(repeating: 0xff, count: 8) + little32(28)
        file += little32(1) + little32(32) + little16(1) + little16(0) + little32(0) + little16(9) + little16(1) + [9, 0, 0, 0] + little16(0) + little16(0) + little32(32)
        file += little32(6) + little32(92) + little32(0) + little32(UInt32(time >> 32)) + little32(UInt32(truncatingIfNeeded: time)) + little32(60) + little32(100) + frame + little32(92)
        let path = temporary("c.pcapng")
        defer { unlink(path) }
        try Data(file).write(to: URL(fileURLWithPath: path))
        var reader = try CaptureReader(path: path)
        let record = try #require(try reader.next())
        #expect(record.timestamp == time)
        #expect(Array(record.bytes) == frame)
        #expect(record.isTruncated && record.originalLength == 100)
        #expect(try reader.next() == nil)
        #expect(reader.truncatedCount == 1)
    }

    /// A pcap header, microseconds, of the given link type.
    private func header(link: UInt32) -> [UInt8] {
        little32(0xa1b2_c3d4) + little16(2) + little16(4) + little32(0) + little32(0) + little32(65535) + little32(link)
    }

    @Test func errorsNameTheFile() throws {
        let path = temporary("d.pcap")
        defer { unlink(path) }
        func message(_ bytes: [UInt8]?) throws -> String {
            unlink(path)
            if let bytes { try Data(bytes).write(to: URL(fileURLWithPath: path)) }
            do {
                _ = try readAll(path)
                return "no error"
            } catch let error as DPDKError {
                #expect(error.kind == .file)
                return error.message
            }
        }
        #expect(try message(nil).contains("\(path): cannot be read as a capture: No such file"))
        #expect(try message([]).contains("truncated"))
        #expect(try message(Array("this is no capture file at all".utf8)).contains("unknown file format"))
        #expect(try message(header(link: 101)) == "\(path): holds RAW packets, not Ethernet frames")
        let record = little32(1) + little32(0) + little32(60) + little32(60) + Array(repeating: 0, count: 60)
        #expect(try message(header(link: 1) + record + record.dropLast(7)).hasPrefix("\(path): damaged at record 2: truncated dump file"))
        #expect(try message(header(link: 1) + little32(1) + little32(0) + little32(0x7fff_ffff) + little32(60)).hasPrefix("\(path): damaged at record 1:"))
        #expect(throws: DPDKError.self) { _ = try CaptureWriter(path: path + "/nowhere/x.pcap") }
    }
}
