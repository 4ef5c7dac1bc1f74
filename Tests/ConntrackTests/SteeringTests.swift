// Source ports chosen so that answers reach the worker that has the other direction, with a NIC played bit by bit.
import Testing
import Wire

@testable import Conntrack

/// A NIC: Toeplitz as its definition says, and a redirection table.
private struct NIC {
    var key: [UInt8]
    var workers: [UInt16]

    init(workers count: Int, entries: Int, symmetric: Bool, using random: inout SplitMix) {
        // A key of period 16 with an odd number of ones is symmetric and loses nothing.
        var word = UInt16(truncatingIfNeeded: random.next())
        if word.nonzeroBitCount & 1 == 0 { word ^= 1 }
        var key: [UInt8] = []
        for place in 0 ..< 40 { key.append(symmetric ? UInt8(truncatingIfNeeded: place & 1 == 0 ? word >> 8 : word) : UInt8(truncatingIfNeeded: random.next())) }
        self.key = key
        workers = (0 ..< entries).map { UInt16($0 % count) }.shuffled(using: &random)
    }

    init(key: [UInt8]) {
        self.key = key
        workers = [0]
    }

    static func input(_ tuple: ConnectionTuple) -> [UInt8] {
        let size = tuple.family == .ipv4 ? 4 : 16
        var bytes: [UInt8] = []
        for (high, low) in [(tuple.sourceHigh, tuple.sourceLow), (tuple.destinationHigh, tuple.destinationLow)] { bytes += (big(high) + big(low)).suffix(size) }
        return bytes + big(tuple.sourcePort) + big(tuple.destinationPort)
    }

    func hash(_ tuple: ConnectionTuple) -> UInt32 {
        var result: UInt32 = 0
        for (place, byte) in NIC.input(tuple).enumerated() {
            for bit in 0 ..< 8 where byte & 0x80 >> UInt8(bit) != 0 {
                for step in 0 ..< 32 {
                    let at = place * 8 + bit + step
                    if key[at / 8] & 0x80 >> UInt8(at % 8) != 0 { result ^= 1 << UInt32(31 - step) }
                }
            }
        }
        return result
    }

    func worker(_ tuple: ConnectionTuple) -> Int { Int(workers[Int(hash(tuple)) & (workers.count - 1)]) }

    /// What the tracker is told.
    func spread(_ kinds: ReceiveSpread.Kinds = [.ipv4TCP, .ipv4UDP, .ipv6TCP, .ipv6UDP]) -> ReceiveSpread { ReceiveSpread(key: key, workers: workers, kinds: kinds) ?? .unknown }
}

private struct SplitMix: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ z >> 30) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ z >> 27) &* 0x94d0_49bb_1331_11eb
        return z ^ z >> 31
    }
}

@Suite struct SteeringTests {
    private func tuple(_ a: IPAddress, _ p: UInt16, _ b: IPAddress, _ q: UInt16, _ transport: UInt8) -> ConnectionTuple {
        var tuple = ConnectionTuple()
        tuple.family = a.family
        tuple.source = a
        tuple.destination = b
        tuple.sourcePort = p
        tuple.destinationPort = q
        tuple.transportProtocol = transport
        return tuple
    }

    private func first(_ a: IPAddress, _ p: UInt16, _ b: IPAddress, _ q: UInt16, _ transport: UInt8) -> TestPacket {
        transport == IPProtocol.tcp ? .tcp(a, p, b, q, TCPFlags.syn, sequence: 1) : .udp(a, p, b, q)
    }

    /// The values that Microsoft publishes for implementers ("Verifying the RSS Hash Calculation").
    @Test func theHashIsMicrosofts() {
        let key: [UInt8] = [
            0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb,
            0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
        ]
        let spread = NIC(key: key).spread()
        defer { spread.deallocate() }
        #expect(spread.hash(tuple(ip(66, 9, 149, 187), 2794, ip(161, 142, 100, 80), 1766, IPProtocol.tcp)) == 0x51cc_c178)
        #expect(spread.hash(tuple(ip(199, 92, 111, 2), 14230, ip(65, 69, 140, 83), 4739, IPProtocol.tcp)) == 0xc626_b0ea)
        let there = IPAddress(ipv6High: 0x3ffe_2501_0200_0003, low: 1), here = IPAddress(ipv6High: 0x3ffe_2501_0200_1fff, low: 7)
        #expect(spread.hash(tuple(here, 2794, there, 1766, IPProtocol.tcp)) == 0x4020_7d3d)
    }

    @Test func theHashIsThatOfTheDefinition() {
        var random = SplitMix(state: 7)
        for round in 0 ..< 400 {
            let nic = NIC(workers: 5, entries: 128, symmetric: round & 1 == 0, using: &random)
            let spread = nic.spread()
            defer { spread.deallocate() }
            func address() -> IPAddress {
                round & 2 == 0 ? IPAddress(ipv4: UInt32(truncatingIfNeeded: random.next())) : IPAddress(ipv6High: random.next(), low: random.next())
            }
            let some = tuple(address(), UInt16(truncatingIfNeeded: random.next()), address(), UInt16(truncatingIfNeeded: random.next()), IPProtocol.udp)
            #expect(spread.hash(some) == nic.hash(some) && spread.worker(hash: nic.hash(some)) == nic.worker(some))
        }
    }

    @Test func keysAndTablesOfOtherFormsAreRefused() {
        #expect(ReceiveSpread(key: Array(repeating: 1, count: 39), workers: [0, 1], kinds: .ipv4TCP) == nil)
        #expect(ReceiveSpread(key: Array(repeating: 1, count: 40), workers: [0, 1, 2], kinds: .ipv4TCP) == nil)
        #expect(ReceiveSpread(key: Array(repeating: 1, count: 40), workers: [], kinds: .ipv4TCP) == nil)
        #expect(!ReceiveSpread.unknown.isKnown)
    }

    /// Random keys, tables and numbers of workers: what comes back is received by the worker that saw the first packet.
    @Test(arguments: [(IPProtocol.tcp, false), (IPProtocol.udp, false), (IPProtocol.tcp, true), (IPProtocol.udp, true)])
    func answersReachTheWorkerOfTheFirstPacket(transport: UInt8, isIPv6: Bool) {
        var random = SplitMix(state: 11)
        for (round, count) in [2, 3, 4, 8, 16].enumerated() {
            for symmetric in [true, false] {
                let nic = NIC(workers: count, entries: [64, 128, 512][round % 3], symmetric: symmetric, using: &random)
                let spread = nic.spread()
                defer { spread.deallocate() }
                let tracker = TestTracker(seed: 3)
                let mask = NATRange(isIPv6 ? ip6(77) : ip(192, 0, 2, 1))
                var replies = Set<ConnectionTuple>()
                for connection in 0 ..< 300 {
                    let a = isIPv6 ? ip6(UInt64(1000 + connection % 50)) : ip(10, 0, 1, UInt32(connection % 50))
                    let b = isIPv6 ? ip6(9) : server
                    let test = first(a, UInt16(2000 + connection), b, 443, transport)
                    let worker = Int(random.next() % UInt64(count))
                    let tracking = tracker.pass(test, source: mask, steering: SteeringTarget(spread: spread, worker: worker, reach: .all), now: 0)
                    let reply = tracker.connection(tracking.connection).pointee.reply
                    #expect(tracking.dropReason == .none && nic.worker(reply) == worker && reply.destinationPort >= 1024 && reply.destination == mask.minimumAddress)
                    #expect(replies.insert(reply).inserted && test.checksumsAreRight && test.parsed.sourcePort == reply.destinationPort)
                }
                let counts = tracker.statistics.steering
                #expect(counts.kept + counts.moved == 300 && counts.moved > 100 && counts.exhausted + counts.fixed + counts.unknown == 0, "\(count) \(symmetric) \(counts)")
            }
        }
    }

    /// What may move is a matter of the rule, the port and the wish.
    @Test func whatMayMove() {
        struct Case {
            var transport = IPProtocol.tcp, port: UInt16 = 5000, range = NATRange(outer), reach = PortSteering.auto, moves = true
        }
        var random = NATRange(outer)
        random.flags.insert(.random)
        let cases = [
            Case(), Case(transport: IPProtocol.udp, moves: false), Case(transport: IPProtocol.udp, reach: .all), Case(transport: IPProtocol.udp, range: random),
            Case(port: 1023, moves: false), Case(port: 1023, reach: .all, moves: false), Case(range: NATRange(outer).ports(5000), moves: false),
            Case(range: NATRange(outer).ports(4096, 8191)), Case(transport: IPProtocol.udp, range: NATRange(outer).ports(4096, 8191), moves: false),
            // Not in the range: Linux has to choose.
            Case(transport: IPProtocol.udp, range: NATRange(outer).ports(6000, 8191)),
        ]
        for (number, some) in cases.enumerated() {
            var seeds = SplitMix(state: 5)
            let nic = NIC(workers: 2, entries: 128, symmetric: true, using: &seeds)
            let spread = nic.spread()
            defer { spread.deallocate() }
            var steered = 0, unmoved = 0
            for last in 2 ..< 66 as Range<UInt32> {
                let tracker = TestTracker(seed: UInt64(last))
                // The answer does not show the client: the worker has to differ.
                let worker = Int(last & 1)
                let target = SteeringTarget(spread: spread, worker: worker, reach: some.reach)
                let tracking = tracker.pass(first(ip(10, 0, 1, last), some.port, server, 80, some.transport), source: some.range, steering: target, now: 0)
                let reply = tracker.connection(tracking.connection).pointee.reply
                if nic.worker(reply) == worker { steered += 1 }
                if reply.destinationPort == some.port { unmoved += 1 }
                if some.range.flags.contains(.ports) { #expect(reply.destinationPort >= some.range.minimumPort && reply.destinationPort <= some.range.maximumPort) }
            }
            #expect(some.moves ? steered == 64 && unmoved < 50 : steered < 64 && unmoved == 64, "case \(number)")
        }
    }

    /// A range whose fitting ports are all taken leaves Linux's choice; no two connections get one answer.
    @Test func anExhaustedRangeFallsBack() {
        var random = SplitMix(state: 2)
        let nic = NIC(workers: 2, entries: 128, symmetric: true, using: &random)
        let spread = nic.spread()
        defer { spread.deallocate() }
        let tracker = TestTracker(seed: 1)
        var replies = Set<ConnectionTuple>()
        for last in 2 ..< 34 as Range<UInt32> {
            let target = SteeringTarget(spread: spread, worker: 0, reach: .auto)
            let tracking = tracker.pass(.tcp(ip(10, 0, 1, last), 7000, server, 80, TCPFlags.syn), source: NATRange(outer).ports(4000, 4031), steering: target, now: 0)
            #expect(tracking.dropReason == .none && replies.insert(tracker.connection(tracking.connection).pointee.reply).inserted)
        }
        let fitting = (4000 ... 4031).count { nic.worker(tuple(server, 80, outer, UInt16($0), IPProtocol.tcp)) == 0 }
        let counts = tracker.statistics.steering
        #expect(fitting > 0 && fitting < 32 && replies.count { nic.worker($0) == 0 } == fitting && counts.exhausted == UInt64(32 - fitting))
        // And one more finds nothing at all, as without steering.
        let target = SteeringTarget(spread: spread, worker: 0, reach: .auto)
        #expect(tracker.pass(.tcp(ip(10, 0, 1, 99), 7000, server, 80, TCPFlags.syn), source: NATRange(outer).ports(4000, 4031), steering: target, now: 0).dropReason != .none)
    }

    @Test func whatIsNotKnownIsLeftAlone() {
        var random = SplitMix(state: 2)
        let nic = NIC(workers: 2, entries: 128, symmetric: true, using: &random)
        let onlyTCP = nic.spread(.ipv4TCP)
        defer { onlyTCP.deallocate() }
        for (spread, transport) in [(onlyTCP, IPProtocol.udp), (ReceiveSpread.unknown, IPProtocol.tcp)] {
            let tracker = TestTracker(seed: 1)
            for last in 2 ..< 34 as Range<UInt32> {
                let target = SteeringTarget(spread: spread, worker: 1, reach: .all)
                let tracking = tracker.pass(first(ip(10, 0, 1, last), 7000 + UInt16(last), server, 80, transport), source: NATRange(outer), steering: target, now: 0)
                #expect(tracker.connection(tracking.connection).pointee.reply.destinationPort == 7000 + UInt16(last))
            }
            #expect(tracker.statistics.steering.unknown == 32)
        }
        // A worker that the port's table never names.
        let lopsided = NIC(key: nic.key).spread()
        defer { lopsided.deallocate() }
        let tracker = TestTracker(seed: 1)
        _ = tracker.pass(.tcp(client, 7000, server, 80, TCPFlags.syn), source: NATRange(outer), steering: SteeringTarget(spread: lopsided, worker: 1, reach: .all), now: 0)
        #expect(tracker.statistics.steering.exhausted == 1)
    }

    /// Without a target nothing is drawn: the ports are those of a tracker that has never heard of steering, also behind connections without NAT.
    @Test func oneWorkerDrawsNothing() {
        var random = SplitMix(state: 2)
        let spread = NIC(workers: 2, entries: 128, symmetric: true, using: &random).spread()
        defer { spread.deallocate() }
        var chosen: [[UInt16]] = []
        for steers in [false, true] {
            let tracker = TestTracker(seed: 9)
            var range = NATRange(outer)
            range.flags.insert(.random)
            var ports: [UInt16] = []
            for port in 2000 ..< 2032 as Range<UInt16> {
                _ = tracker.pass(.tcp(client, port, server, 443, TCPFlags.syn), steering: steers ? SteeringTarget(spread: spread, worker: 1, reach: .all) : nil, now: 0)
                let tracking = tracker.pass(.tcp(client, port, server, 80, TCPFlags.syn), source: range, now: 0)
                ports.append(tracker.connection(tracking.connection).pointee.reply.destinationPort)
            }
            chosen.append(ports)
            #expect(tracker.statistics.steering == SteeringCounts())
        }
        #expect(chosen[0] == chosen[1])
    }
}
