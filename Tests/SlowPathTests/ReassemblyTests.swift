import Foundation
import Testing
import Wire

@testable import SlowPath

/// Frames by hand for the fragment tests.
enum FragmentFrames {
    static func put16(_ value: Int, _ frame: inout [UInt8], _ offset: Int) {
        frame[offset] = UInt8(truncatingIfNeeded: value >> 8)
        frame[offset + 1] = UInt8(truncatingIfNeeded: value)
    }

    /// An IPv4 fragment of protocol 17 from 10.0.1.2 to 10.0.2.2.
    static func ipv4(_ payload: ArraySlice<UInt8>, offset: Int, more: Bool, id: Int = 1, df: Bool = false, tos: UInt8 = 0, options: [UInt8] = []) -> [UInt8] {
        var frame: [UInt8] = [2, 0, 0, 0, 1, 10, 2, 0, 0, 0, 1, 11, 8, 0, 0x45, tos, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 1, 2, 10, 0, 2, 2] + options
        frame[14] = 0x40 | UInt8(5 + options.count / 4)
        put16(20 + options.count + payload.count, &frame, 16)
        put16(id, &frame, 18)
        put16(offset >> 3 | (more ? 0x2000 : 0) | (df ? 0x4000 : 0), &frame, 20)
        frame.withUnsafeMutableBytes { Checksum.fillIPv4Header($0.baseAddress! + 14, length: 20 + options.count) }
        return frame + payload
    }

    /// An IPv6 fragment of protocol 17 from fd00:1::2 to fd00:2::2; `extension` is a destination options header or empty.
    static func ipv6(_ payload: ArraySlice<UInt8>, offset: Int, more: Bool, id: UInt32 = 0x1234, trafficClass: UInt8 = 0, extension header: [UInt8] = []) -> [UInt8] {
        var frame: [UInt8] = [2, 0, 0, 0, 1, 10, 2, 0, 0, 0, 1, 11, 0x86, 0xdd, 0x60 | trafficClass >> 4, trafficClass << 4, 0, 0, 0, 0, header.isEmpty ? 44 : 60, 64]
        frame += [0xfd, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0xfd, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]
        var extensionHeader = header
        if !header.isEmpty { extensionHeader[0] = 44 }
        var fragment: [UInt8] = [17, 0, 0, 0, 0, 0, 0, 0]
        put16(offset | (more ? 1 : 0), &fragment, 2)
        put16(Int(id >> 16), &fragment, 4)
        put16(Int(id & 0xffff), &fragment, 6)
        put16(header.count + 8 + payload.count, &frame, 18)
        return frame + extensionHeader + fragment + payload
    }

    static func datagram(_ count: Int) -> [UInt8] {
        var bytes: [UInt8] = [0, 1, 0, 2, UInt8(count >> 8), UInt8(count & 255), 0, 0]
        for index in 8..<max(8, count) { bytes.append(UInt8(truncatingIfNeeded: index &* 7 &+ index >> 8)) }
        return bytes
    }
}

/// What became of a fragment, as a comparable value with copies of what is only valid until the next call.
enum Came: Equatable {
    case queued
    case dropped(DropReason)
    case whole([UInt8], pieces: [Int], largest: Int, df: Bool)
}

/// A reassembler that takes arrays.
final class ReassemblyBench {
    var reassembler: Reassembler
    var datagramCount: Int { reassembler.datagramCount }
    var evictedCount: UInt64 { reassembler.evictedCount }
    init(limits: ReassemblyLimits = ReassemblyLimits()) { reassembler = Reassembler(limits: limits) }

    func nextExpired(now: Timestamp) -> Reassembler.Expired? { reassembler.nextExpired(now: now) }

    func insert(_ frame: [UInt8], now: Timestamp = 0) -> Came {
        var frame = frame
        return frame.withUnsafeMutableBytes { bytes in
            let packet = PacketBuffer(start: bytes.baseAddress!, length: bytes.count)
            var parsed = ParsedPacket()
            let defect = PacketParser.parse(packet, into: &parsed)
            guard defect == .none else { return .dropped(defect) }
            guard parsed.flags.contains(.isFragment) || parsed.fragmentHeaderOffset != 0 else { return .queued }
            switch reassembler.insert(packet, parsed, ingress: 0, now: now) {
            case .queued: return .queued
            case .dropped(let reason), .untouched(let reason, _): return .dropped(reason)
            case .complete(let whole):
                return .whole(
                    Array(UnsafeRawBufferPointer(start: whole.packet.start, count: whole.packet.length)),
                    pieces: (0..<whole.fragments.count).map { Int(whole.fragments.lengths![$0]) }, largest: whole.fragments.largestPacket, df: whole.fragments.dontFragment)
            }
        }
    }
}

/// Multiplies the rounds of mutation tests.
let fuzzScale = max(1, ProcessInfo.processInfo.environment["NEEDLETAIL_FUZZ_ROUNDS"].flatMap(Int.init) ?? 1)

@Suite struct ReassemblyTests {
    typealias F = FragmentFrames

    @Test func ipv4InEveryOrder() {
        let data = F.datagram(1008)
        let pieces = [F.ipv4(data[0..<400], offset: 0, more: true, tos: 0x10), F.ipv4(data[400..<480], offset: 400, more: true), F.ipv4(data[480...], offset: 480, more: false)]
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let reassembler = ReassemblyBench()
            #expect(reassembler.insert(pieces[order[0]]) == .queued)
            #expect(reassembler.insert(pieces[order[1]]) == .queued)
            guard case .whole(let frame, let lengths, let largest, let df) = reassembler.insert(pieces[order[2]]) else {
                Issue.record("\(order): not whole")
                continue
            }
            #expect(Array(frame[34...]) == data && lengths == [400, 80, 528] && largest == 548 && !df)
            #expect(frame[15] == 0x10 && frame[20] == 0 && frame[21] == 0 && frame[16] == 4 && frame[17] == 4)
            #expect(frame.withUnsafeBytes { Checksum.verifyIPv4Header($0.baseAddress! + 14, length: 20) })
            #expect(reassembler.datagramCount == 0)
        }
    }

    @Test func ipv6WithExtensionHeader() {
        let data = F.datagram(3008)
        let destinationOptions: [UInt8] = [0, 0, 1, 4, 0, 0, 0, 0]
        let reassembler = ReassemblyBench()
        #expect(reassembler.insert(F.ipv6(data[1240..<2480], offset: 1240, more: true, extension: destinationOptions)) == .queued)
        #expect(reassembler.insert(F.ipv6(data[2480...], offset: 2480, more: false, extension: destinationOptions)) == .queued)
        guard case .whole(let frame, let lengths, let largest, _) = reassembler.insert(F.ipv6(data[0..<1240], offset: 0, more: true, extension: destinationOptions)) else {
            Issue.record("not whole")
            return
        }
        #expect(Array(frame[62...]) == data && lengths == [1240, 1240, 528] && largest == 1296)
        // The extension header names UDP where it named the fragment header.
        #expect(frame[20] == 60 && frame[54] == 17 && Int(frame[18]) << 8 | Int(frame[19]) == 3016)
    }

    @Test func atomicFragmentLosesItsHeader() {
        let data = F.datagram(100)
        let reassembler = ReassemblyBench()
        guard case .whole(let frame, _, let largest, _) = reassembler.insert(F.ipv6(data[...], offset: 0, more: false)) else {
            Issue.record("not whole")
            return
        }
        #expect(Array(frame[54...]) == data && frame[20] == 17 && largest == 148)
    }

    /// Measured on Linux 6.18: a fragment inside what has arrived is ignored, one that only touches it kills the datagram.
    @Test func duplicatesAndOverlaps() {
        let data = F.datagram(1008)
        let first = F.ipv4(data[0..<400], offset: 0, more: true), second = F.ipv4(data[400..<800], offset: 400, more: true), last = F.ipv4(data[800...], offset: 800, more: false)
        let reassembler = ReassemblyBench()
        #expect(reassembler.insert(first) == .queued)
        #expect(reassembler.insert(first) == .queued)
        #expect(reassembler.insert(second) == .queued)
        // Across two fragments, and with other bytes: still "inside".
        #expect(reassembler.insert(F.ipv4([UInt8](repeating: 0xee, count: 16)[...], offset: 392, more: true)) == .queued)
        guard case .whole(let frame, _, _, _) = reassembler.insert(last) else {
            Issue.record("not whole")
            return
        }
        #expect(Array(frame[34...]) == data)

        for overlapping in [F.ipv4(data[392..<408], offset: 392, more: true), F.ipv4(data[0..<408], offset: 0, more: true)] {
            #expect(reassembler.insert(first) == .queued)
            #expect(reassembler.insert(overlapping) == .dropped(.fragmentOverlap))
            #expect(reassembler.datagramCount == 0)
        }
        // Into the front of a later one.
        #expect(reassembler.insert(second) == .queued)
        #expect(reassembler.insert(F.ipv4(data[0..<408], offset: 0, more: true)) == .dropped(.fragmentOverlap))
    }

    @Test func malformed() {
        let data = F.datagram(200)
        let reassembler = ReassemblyBench()
        // No bytes at all.
        #expect(reassembler.insert(F.ipv4([], offset: 8, more: true)) == .dropped(.fragmentBadLength))
        #expect(reassembler.insert(F.ipv4([1, 2, 3], offset: 8, more: true)) == .dropped(.fragmentBadLength))
        #expect(reassembler.insert(F.ipv6([], offset: 0, more: true)) == .dropped(.fragmentHeaderTruncated))
        // An IPv6 piece that is not a multiple of 8.
        #expect(reassembler.insert(F.ipv6(data[0..<99], offset: 0, more: true)) == .dropped(.fragmentBadLength))
        // Beyond 65535.
        #expect(reassembler.insert(F.ipv4(data[0..<24], offset: 65528, more: false)) == .dropped(.fragmentTooLong))
        #expect(reassembler.insert(F.ipv6(data[0..<24], offset: 65528, more: false)) == .dropped(.fragmentTooLong))
        // Two different ends, and something behind the end.
        #expect(reassembler.insert(F.ipv4(data[0..<100], offset: 80, more: false)) == .queued)
        #expect(reassembler.insert(F.ipv4(data[0..<99], offset: 80, more: false)) == .dropped(.fragmentBadLength))
        #expect(reassembler.insert(F.ipv4(data[0..<80], offset: 80, more: false)) == .queued)
        #expect(reassembler.insert(F.ipv4(data[0..<80], offset: 160, more: true)) == .dropped(.fragmentBadLength))
        #expect(reassembler.datagramCount == 0)
        // A first fragment without its transport header.
        #expect(reassembler.insert(F.ipv6(data[0..<0] + [0], offset: 0, more: false)) == .dropped(.fragmentHeaderTruncated))
        // A first fragment that ends within an extension header.
        var cut = F.ipv6([17, 9, 0, 0, 0, 0, 0, 0][...], offset: 0, more: true)
        cut[54] = 60
        #expect(reassembler.insert(cut) == .dropped(.fragmentHeaderTruncated))
        // A first fragment whose header is longer than the last one's: together more than 65535.
        #expect(reassembler.insert(F.ipv4(data[0..<8], offset: 0, more: true, options: [UInt8](repeating: 1, count: 40))) == .queued)
        var offset = 8
        let block = [UInt8](repeating: 0, count: 8192)
        while offset + 8192 < 65515 {
            #expect(reassembler.insert(F.ipv4(block[...], offset: offset, more: true)) == .queued)
            offset += 8192
        }
        #expect(reassembler.insert(F.ipv4(block[0..<(65515 - offset)], offset: offset, more: false)) == .dropped(.fragmentTooLong))
        #expect(reassembler.datagramCount == 0)
    }

    @Test(arguments: [([2, 3, 2], 3), ([2, 2, 2], 2), ([1, 3, 1], 3), ([3, 3, 3], 3), ([0, 0, 0], 0)] as [([UInt8], UInt8)])
    func congestionMarks(seen: [UInt8], result: UInt8) {
        let data = F.datagram(1008)
        let reassembler = ReassemblyBench()
        _ = reassembler.insert(F.ipv4(data[0..<400], offset: 0, more: true, tos: seen[0]))
        _ = reassembler.insert(F.ipv4(data[400..<800], offset: 400, more: true, tos: seen[1]))
        guard case .whole(let frame, _, _, _) = reassembler.insert(F.ipv4(data[800...], offset: 800, more: false, tos: seen[2])) else {
            Issue.record("not whole")
            return
        }
        #expect(frame[15] == result)
    }

    @Test func mixedCongestionMarksAreDropped() {
        let data = F.datagram(800)
        let reassembler = ReassemblyBench()
        _ = reassembler.insert(F.ipv4(data[0..<400], offset: 0, more: true, tos: 2))
        #expect(reassembler.insert(F.ipv4(data[400...], offset: 400, more: false, tos: 0)) == .dropped(.fragmentECNMismatch))
    }

    @Test func dontFragmentFollowsTheLargest() {
        let data = F.datagram(1008)
        for (marks, expected) in [([true, false], true), ([false, true], false), ([true, true], true), ([false, false], false)] {
            let reassembler = ReassemblyBench()
            _ = reassembler.insert(F.ipv4(data[0..<800], offset: 0, more: true, df: marks[0]))
            guard case .whole(let frame, _, let largest, let df) = reassembler.insert(F.ipv4(data[800...], offset: 800, more: false, df: marks[1])) else {
                Issue.record("not whole")
                continue
            }
            #expect(df == expected && largest == 820 && frame[20] == (expected ? 0x40 : 0))
        }
    }

    @Test func timeouts() {
        let second: Timestamp = 1_000_000_000
        let data = F.datagram(1608)
        let reassembler = ReassemblyBench()
        _ = reassembler.insert(F.ipv4(data[0..<400], offset: 0, more: true), now: 0)
        _ = reassembler.insert(F.ipv6(data[0..<400], offset: 0, more: true), now: 0)
        _ = reassembler.insert(F.ipv6(data[400..<800], offset: 400, more: true, id: 5), now: 0)
        #expect(reassembler.nextExpired(now: 30 * second - 1) == nil)
        let ipv4 = reassembler.nextExpired(now: 30 * second)
        #expect(ipv4?.family == .ipv4 && ipv4?.firstFragment?.length == 434)
        #expect(reassembler.nextExpired(now: 60 * second - 1) == nil)
        let ipv6 = reassembler.nextExpired(now: 60 * second)
        #expect(ipv6?.family == .ipv6 && ipv6?.firstFragment?.length == 462 && ipv6?.firstFragment?.load8(20) == 44)
        let headless = reassembler.nextExpired(now: 60 * second)
        #expect(headless?.family == .ipv6 && headless?.firstFragment == nil)
        #expect(reassembler.datagramCount == 0)
        // A fragment after its datagram's time begins a new one, even if nobody has looked for timeouts.
        _ = reassembler.insert(F.ipv4(data[0..<400], offset: 0, more: true, id: 9), now: 0)
        #expect(reassembler.insert(F.ipv4(data[400...], offset: 400, more: false, id: 9), now: 31 * second) == .queued)
    }

    @Test func bounds() {
        let data = F.datagram(65000)
        var limits = ReassemblyLimits()
        limits.datagrams = 4
        limits.fragments = 16
        limits.bytes = 8 * 2048
        let reassembler = ReassemblyBench(limits: limits)
        // The fifth datagram pushes the oldest out.
        for id in 1...5 { #expect(reassembler.insert(F.ipv4(data[0..<400], offset: 0, more: true, id: id)) == .queued) }
        #expect(reassembler.datagramCount == 4 && reassembler.evictedCount == 1)
        #expect(reassembler.insert(F.ipv4(data[400..<500], offset: 400, more: false, id: 1)) == .queued)
        // One datagram that needs more than all the memory loses only its fragment, the others went before.
        var results: [Came] = []
        for index in 0..<10 { results.append(reassembler.insert(F.ipv4(data[index * 2040..<(index + 1) * 2040], offset: index * 2040, more: true, id: 77))) }
        #expect(results.first == .queued && results.last == .dropped(.fragmentTableFull) && reassembler.datagramCount == 1)

        let many = ReassemblyBench()
        var last = Came.queued
        for index in 0..<300 { last = many.insert(F.ipv4(data[0..<8], offset: index * 16, more: true)); if last != .queued { break } }
        #expect(last == .dropped(.fragmentTooMany) && many.datagramCount == 0)
    }

    /// Any cut, any order, with duplicates, two families at once: what comes out is what went in.
    @Test func randomCuts() {
        var random = SplitMix64(seed: 7)
        let reassembler = ReassemblyBench()
        for round in 0..<300 {
            let data = F.datagram(Int.random(in: 16...(round % 20 == 0 ? 60000 : 4000), using: &random))
            var pieces: [[UInt8]] = []
            var offset = 0
            var sizes: [Int] = []
            while offset < data.count {
                let size = min(8 * Int.random(in: 1...(data.count > 5000 ? 600 : 100), using: &random) + (data.count > 5000 ? 400 : 0), data.count - offset)
                let isLast = offset + size == data.count
                pieces.append(round % 2 == 0
                    ? F.ipv4(data[offset..<offset + size], offset: offset, more: !isLast, id: round) : F.ipv6(data[offset..<offset + size], offset: offset, more: !isLast, id: UInt32(round)))
                sizes.append(size)
                offset += size
            }
            // A packet whose only piece has no offset and no more to come is no IPv4 fragment.
            guard pieces.count > 1 || round % 2 == 1 else { continue }
            if pieces.count <= 2, round % 2 == 0, sizes[0] < 8 { continue }
            pieces.append(contentsOf: pieces.filter { _ in Int.random(in: 0..<4, using: &random) == 0 })
            pieces.shuffle(using: &random)
            var whole: [UInt8]?
            for piece in pieces where whole == nil {
                if case .whole(let frame, let lengths, _, _) = reassembler.insert(piece) {
                    whole = Array(frame[(round % 2 == 0 ? 34 : 54)...])
                    #expect(lengths == sizes)
                }
            }
            #expect(whole == data, "round \(round)")
        }
    }

    /// Damaged fragments: nothing traps, memory stays within its bounds, and every block comes back.
    @Test func mutations() {
        var random = SplitMix64(seed: 8)
        var limits = ReassemblyLimits()
        limits.datagrams = 8
        limits.fragments = 64
        limits.bytes = 64 << 10
        let reassembler = ReassemblyBench(limits: limits)
        let data = F.datagram(4000)
        for round in 0..<(20000 * fuzzScale) {
            let start = 8 * Int.random(in: 0..<100, using: &random), size = Int.random(in: 0...600, using: &random)
            var frame = Bool.random(using: &random)
                ? F.ipv4(data[start..<start + size], offset: start, more: Bool.random(using: &random), id: Int.random(in: 0..<3, using: &random), options: Bool.random(using: &random) ? [] : [7, 7, 4, 0, 0, 0, 0, 0])
                : F.ipv6(data[start..<start + size], offset: start, more: Bool.random(using: &random), id: UInt32.random(in: 0..<3, using: &random))
            for _ in 0..<Int.random(in: 0...3, using: &random) { frame[Int.random(in: 12..<min(frame.count, 70), using: &random)] = UInt8.random(in: 0...255, using: &random) }
            if Bool.random(using: &random) { frame.removeLast(Int.random(in: 0..<20, using: &random)) }
            if frame.count > 34, frame[12] == 8 { frame.withUnsafeMutableBytes { Checksum.fillIPv4Header($0.baseAddress! + 14, length: 20) } }
            _ = reassembler.insert(frame, now: Timestamp(round) * 1_000_000)
            if round % 1000 == 0 { while reassembler.nextExpired(now: Timestamp(round) * 1_000_000) != nil {} }
            #expect(reassembler.datagramCount <= 8)
        }
        while reassembler.nextExpired(now: .max) != nil {}
        #expect(reassembler.datagramCount == 0)
        // Everything is free again: a full-sized datagram fits.
        for index in 0..<20 { #expect(reassembler.insert(F.ipv4(data[0..<2000], offset: index * 2000, more: true, id: 500)) == .queued) }
    }
}
