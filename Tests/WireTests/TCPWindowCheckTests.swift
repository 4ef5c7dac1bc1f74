// The judge of TCP sequence numbers: its edges, and that the worker's entrance agrees with the tracker's.
import Testing

@testable import Wire

/// A TCP header with options in memory of its own, which is never freed: a segment points into it and may outlive the header.
private final class Header {
    let memory = UnsafeMutableRawPointer.allocate(byteCount: 60, alignment: 8)
    let length: Int
    let segment: TCPSegment
    init(_ flags: UInt8, sequence: UInt32, acknowledgement: UInt32, window: UInt16 = 1000, options: [UInt8] = [], payload: Int = 0, dataOffset: UInt8? = nil) {
        var bytes: [UInt8] = [0, 1, 0, 2]
        for word in [sequence, acknowledgement] { bytes += (0..<4).map { UInt8(truncatingIfNeeded: word >> UInt32(24 - 8 * $0)) } }
        bytes += [(dataOffset ?? UInt8(5 + options.count / 4)) << 4, flags, UInt8(window >> 8), UInt8(window & 255), 0, 0, 0, 0]
        bytes += options
        memory.copyMemory(from: bytes, byteCount: bytes.count)
        length = 20 + options.count + payload
        segment = TCPSegment(header: memory, length: length)
    }
}

private struct Generator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return state >> 33
    }
}

@Suite struct TCPWindowCheckTests {
    @Test func theSharedEndpointLiesWhereThePairDoes() { #expect(SharedEndpoint.matchesLayout) }

    private func accepts(_ pair: inout TCPWindowPair, _ header: Header, direction: UInt8 = 0) -> Bool {
        TCPWindow.acceptEstablished(&pair, header: header.memory, length: header.length, direction: direction)
    }

    /// Client at 1000, server at 5000, each granting 1000 bytes.
    private func established() -> TCPWindowPair {
        var pair = TCPWindowPair()
        pair.state = TCPState.established.rawValue
        pair.original.end = 1000
        pair.original.maxEnd = 2000
        pair.original.maxWindow = 1000
        pair.reply.end = 5000
        pair.reply.maxEnd = 6000
        pair.reply.maxWindow = 1000
        return pair
    }

    @Test(arguments: [
        (1000, 5000, 0, TCPWindow.Position.within), (1000, 5000, 1000, .within), (2000, 5000, 0, .within), (2000, 5000, 1, .within),
        (2001, 5000, 0, .slightlyBeyond), (2001, 5000, 998, .slightlyBeyond), (2001, 5000, 999, .dataBeyondWindow), (4000, 5000, 0, .dataBeyondWindow),
        (1000, 5001, 0, .acknowledgesUnseenData), (0, 5000, 0, .within), (0xffff_ffff, 5000, 0, .dataBelowWindow), (0xffff_ffff, 5000, 1, .within),
        (1000, 4294906296, 0, .within), (1000, 4294906295, 0, .acknowledgementTooOld),
    ] as [(UInt32, UInt32, Int, TCPWindow.Position)])
    func edges(sequence: UInt32, acknowledgement: UInt32, payload: Int, expected: TCPWindow.Position) {
        var pair = established()
        let header = Header(TCPFlags.ack, sequence: sequence, acknowledgement: acknowledgement, payload: payload)
        #expect(TCPWindow.judge(&pair, header.segment, direction: 0) == expected)
        var again = established()
        #expect(accepts(&again, header) == (expected == .within))
    }

    @Test func anAcknowledgementIsScaled() {
        var pair = established()
        pair.original.scale = 7
        let header = Header(TCPFlags.ack, sequence: 1000, acknowledgement: 5000, window: 500)
        #expect(accepts(&pair, header))
        #expect(pair.reply.maxEnd == 5000 + 500 << 7)
        #expect(pair.original.maxWindow == 500 << 7)
    }

    @Test func selectiveAcknowledgementCounts() {
        let sack: [UInt8] = [1, 1, 5, 10, 0, 0, 0x13, 0x24, 0, 0, 0x13, 0x88]
        let far: [UInt8] = [1, 1, 5, 10, 0, 0, 0x13, 0x24, 0, 0, 0x13, 0x89]
        var pair = established()
        pair.reply.flags = TCPEndpoint.Flag.sackPermitted
        #expect(accepts(&pair, Header(TCPFlags.ack, sequence: 1000, acknowledgement: 4000, options: sack)))
        #expect(pair.original.maxWindow == 2000)
        #expect(!accepts(&pair, Header(TCPFlags.ack, sequence: 1000, acknowledgement: 4000, options: far)))
        pair.reply.flags = 0
        #expect(accepts(&pair, Header(TCPFlags.ack, sequence: 1000, acknowledgement: 4000, options: far)))
    }

    @Test func onlyPlainSegmentsOfEstablishedConnectionsAreForTheWorker() {
        for flags in [TCPFlags.syn, TCPFlags.fin, TCPFlags.rst] {
            var pair = established()
            #expect(!accepts(&pair, Header(flags | TCPFlags.ack, sequence: 1000, acknowledgement: 5000)))
        }
        for state in TCPState.allCases where state != .established {
            var pair = established()
            pair.state = state.rawValue
            #expect(!accepts(&pair, Header(TCPFlags.ack, sequence: 1000, acknowledgement: 5000)))
        }
        var fresh = established()
        fresh.reply.maxWindow = 0
        #expect(!accepts(&fresh, Header(TCPFlags.ack, sequence: 1000, acknowledgement: 5000)))
    }

    @Test func optionsOfASYN() {
        var endpoint = TCPEndpoint()
        endpoint.flags = TCPEndpoint.Flag.maxAckSet
        Header(TCPFlags.syn, sequence: 1, acknowledgement: 0, options: [2, 4, 5, 0xb4, 4, 2, 3, 3, 200, 0, 3, 3]).segment.readOptions(into: &endpoint)
        #expect(endpoint.scale == 14 && endpoint.flags == TCPEndpoint.Flag.sackPermitted | TCPEndpoint.Flag.windowScale)
        // Cut short: what came before holds.
        Header(TCPFlags.syn, sequence: 1, acknowledgement: 0, options: [4, 2, 3, 9]).segment.readOptions(into: &endpoint)
        #expect(endpoint.scale == 0 && endpoint.flags == TCPEndpoint.Flag.sackPermitted)
    }

    /// Random segments with random options, also with a data offset beyond the packet: both entrances agree, none traps.
    @Test(arguments: [1, 2, 3, 4] as [UInt64]) func theTwoEntrancesAgree(seed: UInt64) {
        var random = Generator(state: seed)
        var accepted = 0
        var pair = established()
        for _ in 0..<20_000 {
            if random.next() % 200 == 0 {
                pair = established()
                pair.original.scale = UInt8(random.next() % 15)
                pair.reply.flags = UInt8(random.next() % 64)
                pair.original.flags = UInt8(random.next() % 64)
            }
            let direction = UInt8(random.next() & 1)
            let own = direction == 0 ? pair.original : pair.reply
            let other = direction == 0 ? pair.reply : pair.original
            let near: [UInt32] = [0, 1, 100, 0xffff_ffff, 0xffff_ff00, 999, 1000, 1001, UInt32(truncatingIfNeeded: random.next())]
            var options: [UInt8] = (0..<Int(random.next() % 4) * 4).map { _ in UInt8(random.next() % 12) }
            if random.next() % 4 == 0 { options = [1, 1, 8, 10, 0, 0, 0, 0, 0, 0, 0, 0] }
            let header = Header(
                UInt8(random.next() % 8 == 0 ? random.next() & 0x3f : UInt64(TCPFlags.ack)), sequence: own.end &+ near[Int(random.next() % 9)],
                acknowledgement: other.end &+ near[Int(random.next() % 9)], window: UInt16(random.next() & 0xffff), options: options, payload: Int(random.next() % 1400),
                dataOffset: random.next() % 50 == 0 ? UInt8(random.next() & 15) : nil)
            var fast = pair
            var slow = pair
            let takes = accepts(&fast, header, direction: direction)
            let position = TCPWindow.judge(&slow, header.segment, direction: direction)
            if takes {
                accepted += 1
                slow.lastKind = TCPSegment.Kind.ack.rawValue
                slow.lastDirection = direction
                #expect(position == .within)
                #expect(withUnsafeBytes(of: fast) { a in withUnsafeBytes(of: slow) { b in a.elementsEqual(b) } })
                pair = fast
            } else {
                #expect(withUnsafeBytes(of: fast) { a in withUnsafeBytes(of: pair) { b in a.elementsEqual(b) } })
                if position == .within && header.segment.flags & 0x17 == TCPFlags.ack && pair.original.maxWindow != 0 && pair.reply.maxWindow != 0 {
                    Issue.record("the worker refuses what the tracker takes")
                }
            }
        }
        #expect(accepted > 1000)
    }
}
