import Testing
import Wire

@testable import SlowPath

@Suite struct FragmentationTests {
    typealias F = FragmentFrames

    /// A piece, as far as the tests compare it.
    struct Piece: Equatable, CustomStringConvertible {
        var offset: Int, length: Int, more: Bool
        init(_ offset: Int, _ length: Int, _ more: Bool) { (self.offset, self.length, self.more) = (offset, length, more) }
        var description: String { "\(offset)+\(length)\(more ? "+" : "")" }
    }

    /// Cuts the frame; parses and checks every piece.
    func cut(_ frame: [UInt8], lengths: [Int] = [], largest: Int = 0, df: Bool = false, mtu: Int, identification: UInt32 = 0xabcd_ef01) -> (pieces: [Piece], frames: [[UInt8]], payload: [UInt8]) {
        var frame = frame
        var lengths16 = lengths.map { UInt16($0) }
        return frame.withUnsafeMutableBytes { bytes in
            lengths16.withUnsafeMutableBufferPointer { geometry in
                let packet = PacketBuffer(start: bytes.baseAddress!, length: bytes.count)
                var parsed = ParsedPacket()
                guard PacketParser.parse(packet, into: &parsed) == .none else { return ([], [], []) }
                var fragments = FragmentGeometry()
                fragments.count = lengths.count
                fragments.lengths = UnsafePointer(geometry.baseAddress)
                fragments.largestPacket = largest
                fragments.dontFragment = df
                guard var fragmenter = Fragmenter(packet, parsed, fragments: fragments, mtu: mtu, identification: identification) else { return ([], [], []) }
                var pieces: [Piece] = [], frames: [[UInt8]] = [], payload: [UInt8] = []
                let memory = UnsafeMutableRawPointer.allocate(byteCount: 70000, alignment: 64)
                defer { memory.deallocate() }
                while true {
                    let room = PacketBuffer(start: memory, length: 0, tailroom: fragmenter.maximumPieceLength)
                    let length = fragmenter.next(into: room)
                    if length <= 0 { break }
                    let piece = PacketBuffer(start: memory, length: length)
                    var inPiece = ParsedPacket()
                    let reason = PacketParser.parse(piece, into: &inPiece)
                    #expect(reason == .none)
                    let start = parsed.family == .ipv6 ? Int(inPiece.fragmentHeaderOffset) + 8 : Int(inPiece.networkOffset) + Int(inPiece.networkHeaderLength)
                    let end = Int(inPiece.networkOffset) + Int(inPiece.networkLength)
                    pieces.append(Piece(Int(inPiece.fragmentOffset), end - start, inPiece.flags.contains(.moreFragments)))
                    let all = Array(UnsafeRawBufferPointer(start: memory, count: length))
                    frames.append(all)
                    payload += all[start..<end]
                    if parsed.family == .ipv6 { #expect(inPiece.fragmentIdentification == identification && inPiece.fragmentHeaderOffset != 0) }
                    if parsed.family == .ipv4 { #expect(inPiece.fragmentIdentification == parsed.fragmentIdentification) }
                }
                return (pieces, frames, payload)
            }
        }
    }

    /// The numbers are Linux 6.18's for the same packets and MTUs.
    @Test func ipv4Geometry() {
        let whole = F.ipv4(F.datagram(2400)[...], offset: 0, more: false)
        // 800-byte pieces fit 1500: out as they came. They do not fit 600: 576 each.
        #expect(cut(whole, lengths: [800, 800, 800], largest: 820, mtu: 1500).pieces == [Piece(0, 800, true), Piece(800, 800, true), Piece(1600, 800, false)])
        #expect(cut(whole, lengths: [800, 800, 800], largest: 820, mtu: 600).pieces
            == [Piece(0, 576, true), Piece(576, 576, true), Piece(1152, 576, true), Piece(1728, 576, true), Piece(2304, 96, false)])
        let uneven = F.ipv4(F.datagram(1008)[...], offset: 0, more: false)
        #expect(cut(uneven, lengths: [400, 80, 528], largest: 548, mtu: 1500).pieces == [Piece(0, 400, true), Piece(400, 80, true), Piece(480, 528, false)])
        // A packet that came whole is cut for the path.
        let fresh = F.ipv4(F.datagram(1380)[...], offset: 0, more: false)
        #expect(cut(fresh, mtu: 600).pieces == [Piece(0, 576, true), Piece(576, 576, true), Piece(1152, 228, false)])
        // A reassembled packet that has to be cut anew is not cut larger than it came.
        #expect(cut(uneven, lengths: [400, 400, 200], largest: 420, mtu: 1500).pieces == [Piece(0, 400, true), Piece(400, 400, true), Piece(800, 208, false)])
    }

    @Test func ipv4OfAFragment() {
        let data = F.datagram(1400)
        let middle = F.ipv4(data[0..<1200], offset: 2400, more: true)
        #expect(cut(middle, mtu: 600).pieces == [Piece(2400, 576, true), Piece(2976, 576, true), Piece(3552, 48, true)])
    }

    @Test func ipv4Options() {
        // Router alert is copied, timestamp is not: no-operations in all pieces but the first (as measured on Linux).
        let options: [UInt8] = [0x94, 4, 0, 0, 0x44, 4, 5, 0]
        let result = cut(F.ipv4(F.datagram(1380)[...], offset: 0, more: false, options: options), mtu: 600)
        #expect(result.pieces == [Piece(0, 568, true), Piece(568, 568, true), Piece(1136, 244, false)])
        #expect(Array(result.frames[0][34..<42]) == options)
        #expect(Array(result.frames[1][34..<42]) == [0x94, 4, 0, 0, 1, 1, 1, 1] && Array(result.frames[2][34..<42]) == [0x94, 4, 0, 0, 1, 1, 1, 1])
        for frame in result.frames { #expect(frame.withUnsafeBytes { Checksum.verifyIPv4Header($0.baseAddress! + 14, length: 28) }) }
    }

    @Test func ipv4DontFragment() {
        let whole = F.ipv4(F.datagram(1008)[...], offset: 0, more: false, df: true)
        // In the old pieces without DF, in new ones with it (as Linux does).
        #expect(cut(whole, lengths: [400, 608], largest: 628, df: true, mtu: 1500).frames.allSatisfy { $0[20] & 0x40 == 0 })
        #expect(cut(whole, lengths: [400, 604], largest: 628, df: true, mtu: 1500).frames.allSatisfy { $0[20] & 0x40 != 0 })
    }

    @Test func ipv6Geometry() {
        func whole(_ count: Int) -> [UInt8] {
            // An atomic fragment without its fragment header: a plain packet.
            var frame = F.ipv6(F.datagram(count)[...], offset: 0, more: false)
            frame.removeSubrange(54..<62)
            frame[20] = 17
            F.put16(count, &frame, 18)
            return frame
        }
        #expect(cut(whole(3008), lengths: [1400, 800, 808], largest: 1448, mtu: 1500).pieces == [Piece(0, 1400, true), Piece(1400, 800, true), Piece(2200, 808, false)])
        let recut = cut(whole(3000), lengths: [1400, 1400], largest: 1448, mtu: 1500)
        #expect(recut.pieces == [Piece(0, 1400, true), Piece(1400, 1400, true), Piece(2800, 200, false)])
        #expect(recut.frames[0][20] == 44 && recut.frames[0][54] == 17)
        // Never below 1280.
        #expect(cut(whole(3000), lengths: [400, 400], largest: 448, mtu: 1500).pieces == [Piece(0, 1232, true), Piece(1232, 1232, true), Piece(2464, 536, false)])
    }

    @Test func ipv6ExtensionHeaderIsRepeated() {
        let data = F.datagram(3008)
        var frame = F.ipv6(data[...], offset: 0, more: false, extension: [44, 0, 1, 4, 0, 0, 0, 0])
        frame.removeSubrange(62..<70)
        frame[54] = 17
        F.put16(3016, &frame, 18)
        let result = cut(frame, lengths: [1240, 1240, 528], largest: 1296, mtu: 1500)
        #expect(result.pieces == [Piece(0, 1240, true), Piece(1240, 1240, true), Piece(2480, 528, false)])
        for piece in result.frames { #expect(piece[20] == 60 && piece[54] == 44 && piece[62] == 17) }
        #expect(result.payload == data)
    }

    @Test func tooSmallAPath() {
        #expect(cut(F.ipv4(F.datagram(1000)[...], offset: 0, more: false), mtu: 27).pieces.isEmpty)
        #expect(cut(F.ipv4(F.datagram(1000)[...], offset: 0, more: false), mtu: 28).pieces.count == 125)
    }

    /// Cut, shuffled and put together again, a packet is what it was.
    @Test func roundTrip() {
        var random = SplitMix64(seed: 9)
        for _ in 0..<200 {
            let data = F.datagram(Int.random(in: 100...9000, using: &random))
            let bench = ReassemblyBench()
            var pieces = cut(F.ipv4(data[...], offset: 0, more: false, options: Bool.random(using: &random) ? [7, 7, 4, 0, 0, 0, 0, 0] : []), mtu: Int.random(in: 68...1500, using: &random)).frames
            guard pieces.count > 1 else { continue }
            pieces.shuffle(using: &random)
            var result = Came.queued
            for piece in pieces { result = bench.insert(piece) }
            guard case .whole(let frame, _, _, _) = result else {
                Issue.record("not whole")
                continue
            }
            #expect(Array(frame[(14 + Int(frame[14] & 15) * 4)...]) == data)
        }
    }
}
