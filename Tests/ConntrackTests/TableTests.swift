// Limits, early drop, limbo, and the conservation of connections.
import Testing
import Wire

@testable import Conntrack

@Suite struct TableTests {
    @Test func everyWindowHasACacheLine() {
        #expect(MemoryLayout<TCPWindowPair>.size == 64)
        #expect(ConnectionTracker.stride == 256)
        #expect(MemoryLayout<Connection>.offset(of: \.window) == 0)
        let tracker = TestTracker(seed: 1)
        #expect(UInt(bitPattern: tracker.tracker.poolBase) % 64 == 0)
    }

    @Test func unconfirmedConnectionsAreNotFound() {
        let tracker = TestTracker(seed: 1)
        let first = TestPacket.udp(client, 1, server, 2)
        let a = tracker.track(first, now: 0)
        let b = tracker.track(first, now: 0)
        #expect(a.state == .new && b.state == .new && a.connection != b.connection)
        #expect(tracker.count == 2)
        tracker.release(a)
        tracker.release(b)
        tracker.release(b)
        #expect(tracker.count == 0 && tracker.limboCount == 0)
    }

    @Test func secondConfirmationOfOneFlowJoinsTheFirst() {
        let tracker = TestTracker(seed: 1)
        let first = TestPacket.udp(client, 1, server, 2)
        var a = tracker.track(first, now: 0)
        var b = tracker.track(first, now: 0)
        #expect(tracker.confirm(&a, now: 0) == .none)
        #expect(tracker.confirm(&b, now: 0) == .none)
        #expect(b.connection == a.connection)
        #expect(tracker.count == 1)
        #expect(tracker.connection(a.connection).pointee.originalPackets == 2)
    }

    @Test func secondConfirmationOfOneTCPFlowIsDropped() {
        let tracker = TestTracker(seed: 1)
        let first = TestPacket.tcp(client, 1, server, 2, TCPFlags.syn)
        var a = tracker.track(first, now: 0)
        var b = tracker.track(first, now: 0)
        #expect(tracker.confirm(&a, now: 0) == .none)
        #expect(tracker.confirm(&b, now: 0) == .natClash)
        #expect(tracker.count == 1 && tracker.statistics.insertFailed == 1)
    }

    @Test func fullTableDropsUnassuredConnectionsOnly() {
        var configuration = TrackerConfiguration()
        configuration.maximumConnections = 64
        let tracker = TestTracker(configuration: configuration, seed: 3)
        var assured: [UInt32] = []
        for port in 0..<32 as Range<UInt16> { assured.append(tracker.establish(2000 + port, now: 0)) }
        #expect(assured.allSatisfy { tracker.connection($0).pointee.status.contains(.assured) })
        var refused = 0
        for port in 0..<2000 as Range<UInt16> {
            let tracking = tracker.pass(.udp(client, port, server, 53), now: second)
            if tracking.dropReason == .connectionTableFull { refused += 1 }
            #expect(tracker.count <= 64)
            while tracker.takeRetired() != nil {}
            tracker.reclaim()
        }
        #expect(tracker.statistics.earlyDropped > 0)
        #expect(UInt64(refused) == tracker.statistics.dropped)
        for index in assured { #expect(tracker.connection(index).pointee.isConfirmed && !tracker.connection(index).pointee.status.contains(.dying)) }
    }

    @Test func tableFullOfAssuredConnectionsRefuses() {
        var configuration = TrackerConfiguration()
        configuration.maximumConnections = 16
        let tracker = TestTracker(configuration: configuration, seed: 3)
        for port in 0..<16 as Range<UInt16> { _ = tracker.establish(2000 + port, now: 0) }
        #expect(tracker.count == 16)
        #expect(tracker.pass(.udp(client, 1, server, 53), now: second).dropReason == .connectionTableFull)
        // Assured ones that are closing go in the sweep after that, when nothing else helps.
        _ = tracker.pass(.tcp(client, 2000, server, 80, TCPFlags.finAck, sequence: 101, acknowledgement: 501), now: second)
        #expect(tracker.expire(now: second, budget: 1000) == 1)
        #expect(tracker.pass(.udp(client, 1, server, 53), now: second).dropReason == .none)
    }

    @Test func limboHoldsASlotUntilReclaimed() {
        var configuration = TrackerConfiguration()
        configuration.maximumConnections = 1
        configuration.limboSlots = 0
        let tracker = TestTracker(configuration: configuration, seed: 3)
        let slots = tracker.slots
        var generations: Set<UInt64> = []
        var made = 0
        for port in 0..<UInt16(slots + 8) {
            let tracking = tracker.pass(.udp(client, port, server, 53), now: 0)
            if tracking.hasConnection {
                made += 1
                generations.insert(UInt64(tracking.connection) << 32 | UInt64(tracking.generation))
                tracker.remove(tracking.connection)
                #expect(!tracker.isCurrent(tracking.connection, generation: tracking.generation))
            } else {
                #expect(tracking.dropReason == .connectionTableFull)
            }
        }
        #expect(made == slots && generations.count == slots)
        // A mark taken before the announcement frees nothing.
        tracker.reclaim()
        #expect(tracker.limboCount == slots)
        var announced = 0
        while tracker.takeRetired() != nil { announced += 1 }
        #expect(announced == slots)
        tracker.reclaim()
        #expect(tracker.limboCount == 0)
        let again = tracker.pass(.udp(client, 9, server, 53), now: 0)
        #expect(again.hasConnection && again.generation == 2)
    }

    @Test func zonesSeparateEqualTuples() {
        let tracker = TestTracker(seed: 1)
        let test = TestPacket.udp(client, 1, server, 2)
        let answer = TestPacket.udp(server, 2, client, 1)
        var one = tracker.track(test, zone: ConnectionZone(1), now: 0)
        _ = tracker.confirm(&one, now: 0)
        #expect(tracker.track(answer, zone: ConnectionZone(1), now: 0).state == .established)
        #expect(tracker.track(answer, zone: ConnectionZone(2), now: 0).state == .new)
        // Zone in original direction only: the answer comes back in zone 0.
        let other = TestPacket.udp(client, 3, server, 2)
        let otherAnswer = TestPacket.udp(server, 2, client, 3)
        var two = tracker.track(other, zone: ConnectionZone(5, directions: 1), now: 0)
        _ = tracker.confirm(&two, now: 0)
        #expect(tracker.track(other, zone: ConnectionZone(5, directions: 1), now: 0).connection == two.connection)
        #expect(tracker.track(otherAnswer, now: 0).connection == two.connection)
    }

    /// Any traffic, hostile included: nothing traps, the table answers for exactly its members, and nothing is lost.
    @Test(arguments: [1, 2, 3, 4, 5, 6, 7, 8] as [UInt64]) func randomTraffic(seed: UInt64) {
        var random = RandomChoice(state: seed)
        var configuration = TrackerConfiguration()
        configuration.maximumConnections = 100
        let tracker = TestTracker(configuration: configuration, seed: seed)
        var now: Timestamp = 0
        var sent: [[UInt8]] = []
        func below(_ bound: UInt64) -> UInt64 { random.next() % bound }
        for _ in 0..<6000 {
            now += below(second / 2)
            let hosts = [client, server, ip(10, 0, 1, 3), outer]
            let (a, b) = (hosts[Int(below(4))], hosts[Int(below(4))])
            let (p, q) = (UInt16(below(6)), UInt16(below(6)))
            var test: TestPacket
            switch below(10) {
            case 0...2: test = .udp(a, p, b, q)
            case 3...6:
                test = .tcp(
                    a, p, b, q, UInt8(truncatingIfNeeded: random.next()) & 0x3f, sequence: UInt32(below(3)) &* 50_000, acknowledgement: UInt32(below(3)) &* 50_000,
                    window: UInt16(below(65536)), options: (0..<Int(below(4)) * 4).map { _ in UInt8(below(12)) }, payload: Array(repeating: 7, count: Int(below(200))))
            case 7: test = .icmp(a, b, type: UInt8(below(20)), identifier: p)
            case 8 where !sent.isEmpty:
                test = .icmp(a, b, type: [3, 4, 5, 11, 12][Int(below(5))], body: Array(sent[Int(below(UInt64(sent.count)))].prefix(Int(below(80)))))
            default: test = TestPacket(a, b, protocol: UInt8(below(256)), (0..<Int(below(30))).map { _ in UInt8(below(256)) }, fill: false)
            }
            if below(8) == 0, test.packet.length > 14 { test.packet.store8(UInt8(below(256)), at: 14 + Int(below(UInt64(test.packet.length - 14)))) }
            test = TestPacket((0..<test.packet.length).map { test.packet.load8($0) })
            guard test.parsed.family != nil else { continue }
            let source: NATRange? = below(2) == 0 ? NATRange(outer).ports(1, 30) : nil
            let destination: NATRange? = below(4) == 0 ? NATRange(server, ip(10, 0, 2, 9)) : nil
            let wasRight = test.checksumsAreRight
            let tracking = tracker.pass(test, destination: destination, source: source, now: now)
            if tracking.hasConnection && wasRight && test.parsed.flags.contains(.hasTransport) { #expect(test.checksumsAreRight) }
            if tracking.hasConnection { sent.append(test.network) }
            if sent.count > 50 { sent.removeFirst() }
            if below(50) == 0 { tracker.expire(now: now, budget: 64) }
            if below(9) == 0 {
                while tracker.takeRetired() != nil {}
                tracker.reclaim()
            }
        }
        var living = 0
        var members: [(UInt32, Connection)] = []
        tracker.tracker.forEach(now: 0) { index, connection in
            living += 1
            members.append((index, connection.pointee))
        }
        #expect(living == tracker.count)
        for (index, connection) in members {
            // A packet from an address to itself is its own answer; the table finds it as such, as Linux does.
            let isOwnAnswer = connection.original == connection.reply
            if !connection.status.contains(.natClash) && !isOwnAnswer { #expect(tracker.find(connection.original, now: 0) == index << 1) }
            #expect(tracker.find(connection.reply, now: 0) == index << 1 | 1)
        }
        tracker.removeAll()
        #expect(tracker.count == 0)
        while tracker.takeRetired() != nil {}
        tracker.reclaim()
        #expect(tracker.limboCount == 0)
        // The free list holds every slot that was ever touched, once.
        var free: Set<UInt32> = []
        var slot = tracker.tracker.freeHead
        while slot != Connection.none, free.insert(slot).inserted { slot = tracker.tracker.links[Int(slot)].original.next }
        #expect(free.count == tracker.tracker.touched)
    }
}
