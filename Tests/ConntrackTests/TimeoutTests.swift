// Deadlines: by protocol and state, at lookup, in the sweep, and from the flow cache's report.
import Testing
import Wire

@testable import Conntrack

@Suite struct TimeoutTests {
    private func left(_ tracker: TestTracker, _ index: UInt32, _ now: Timestamp) -> UInt64 {
        (tracker.connection(index).pointee.deadline - now) / second
    }

    @Test func udpBecomesAStreamAfterTwoSeconds() {
        let tracker = TestTracker(seed: 1)
        let index = tracker.pass(.udp(client, 1, server, 2), now: 0).connection
        #expect(left(tracker, index, 0) == 30)
        _ = tracker.pass(.udp(server, 2, client, 1), now: second)
        #expect(left(tracker, index, second) == 30)
        _ = tracker.pass(.udp(client, 1, server, 2), now: 2 * second)
        #expect(left(tracker, index, 2 * second) == 30)
        #expect(!tracker.connection(index).pointee.status.contains(.assured))
        _ = tracker.pass(.udp(client, 1, server, 2), now: 2 * second + 1)
        #expect(left(tracker, index, 2 * second + 1) == 120)
        #expect(tracker.connection(index).pointee.status.contains(.assured))
    }

    @Test func anExpiredConnectionIsNotFound() {
        let tracker = TestTracker(seed: 1)
        let index = tracker.pass(.udp(client, 1, server, 2), now: 0).connection
        #expect(tracker.pass(.udp(server, 2, client, 1), now: 30 * second - 1).state == .established)
        #expect(tracker.pass(.udp(server, 2, client, 1), now: 60 * second - 1).state == .new)
        #expect(tracker.statistics.expired == 1)
        #expect(tracker.takeRetired() == index)
    }

    @Test func theSweepIsBoundedAndComplete() {
        let tracker = TestTracker(seed: 1)
        for port in 0..<100 as Range<UInt16> { _ = tracker.pass(.udp(client, port, server, 2), now: 0) }
        #expect(tracker.expire(now: 29 * second, budget: 1000) == 0)
        #expect(tracker.expire(now: 30 * second, budget: 30) == 30)
        #expect(tracker.expire(now: 30 * second, budget: 1000) == 70)
        #expect(tracker.count == 0)
    }

    @Test func dueConnectionsAreNamedBeforeTheyEnd() {
        let tracker = TestTracker(seed: 1)
        for port in 0..<20 as Range<UInt16> { _ = tracker.pass(.udp(client, port, server, 2), now: 0) }
        func due(_ now: UInt64, _ budget: Int) -> [UInt32] {
            var named: [UInt32] = []
            tracker.forEachDue(now: now, budget: budget) { named.append($0) }
            return named
        }
        #expect(due(29 * second, 100).isEmpty && due(30 * second, 0).isEmpty && due(30 * second, -1).isEmpty)
        // Exactly those that `expire` with the same arguments gives up, from where its sweep stands, around the end as well.
        for budget in [7, 7, 100] {
            let named = Set(due(30 * second, budget))
            let ended = tracker.expire(now: 30 * second, budget: budget)
            #expect(named.count == min(budget, 20) && ended == named.count || budget == 100 && named.count == 6 && ended == 6)
            var retired: Set<UInt32> = []
            while let index = tracker.takeRetired() { retired.insert(index) }
            #expect(retired == named)
        }
        #expect(tracker.count == 0)
    }

    @Test func whatPassedByTheSlowPathKeepsAConnection() {
        let tracker = TestTracker(seed: 1)
        let index = tracker.pass(.udp(client, 1, server, 2), now: 0).connection
        #expect(tracker.pass(.udp(server, 2, client, 1), now: second).state == .established)
        let seen = UnsafeMutablePointer<UInt64>.allocate(capacity: 1)
        defer { seen.deallocate() }
        seen.initialize(to: 25 * second)
        tracker.setLastUse(ConnectionLastUse(userData: UnsafeMutableRawPointer(seen)) { user, _, _ in user.load(as: UInt64.self) })
        // Due at 31 s, but for what came at 25 s, which nobody has noted.
        let later = tracker.pass(.udp(server, 2, client, 1), now: 50 * second)
        #expect(later.state == .established && later.connection == index)
        // Nothing came since: it ends.
        #expect(tracker.pass(.udp(server, 2, client, 1), now: 400 * second).state == .new)
        #expect(tracker.takeRetired() == index)
    }

    @Test func aForgottenUnconfirmedConnectionIsSweptAway() {
        let tracker = TestTracker(seed: 1)
        let test = TestPacket.udp(client, 1, server, 2)
        _ = tracker.track(test, now: 0)
        #expect(tracker.expire(now: 59 * second, budget: 10) == 0)
        #expect(tracker.expire(now: 60 * second, budget: 10) == 1)
        #expect(tracker.count == 0 && tracker.limboCount == 0)
    }

    @Test func anUnansweredSYNIsNotKeptAliveByRetransmission() {
        let tracker = TestTracker(seed: 1)
        let index = tracker.pass(.tcp(client, 1, server, 80, TCPFlags.syn, sequence: 5), now: 0).connection
        #expect(left(tracker, index, 0) == 120)
        _ = tracker.pass(.tcp(client, 1, server, 80, TCPFlags.syn, sequence: 5), now: 100 * second)
        #expect(left(tracker, index, 100 * second) == 20)
    }

    @Test func unacknowledgedDataShortensTheTimeout() {
        let tracker = TestTracker(seed: 1)
        let index = tracker.establish(now: 0)
        #expect(left(tracker, index, 0) == 432_000)
        _ = tracker.pass(.tcp(client, 1000, server, 80, TCPFlags.ack, sequence: 101, acknowledgement: 501, payload: [1]), now: 0)
        #expect(left(tracker, index, 0) == 300)
        _ = tracker.pass(.tcp(server, 80, client, 1000, TCPFlags.ack, sequence: 501, acknowledgement: 102), now: 0)
        #expect(left(tracker, index, 0) == 432_000)
    }

    @Test func activityInTheFlowCacheKeepsAConnectionAlive() {
        let tracker = TestTracker(seed: 1)
        let first = tracker.pass(.udp(client, 1, server, 2), now: 0)
        tracker.tracker.noteActivity(first.connection, generation: first.generation, direction: .original, packets: 3, bytes: 300, lastSeen: 20 * second)
        #expect(left(tracker, first.connection, 20 * second) == 30)
        tracker.tracker.noteActivity(first.connection, generation: first.generation, direction: .reply, packets: 2, bytes: 200, lastSeen: 21 * second)
        let connection = tracker.connection(first.connection).pointee
        #expect(left(tracker, first.connection, 21 * second) == 120)
        #expect(connection.status.isSuperset(of: [.seenReply, .assured]))
        #expect(connection.originalPackets == 4 && connection.originalBytes == 331 && connection.replyPackets == 2 && connection.replyBytes == 200)
        // A report that comes late counts, but does not turn the clock back; one for an earlier tenant does nothing.
        tracker.tracker.noteActivity(first.connection, generation: first.generation, direction: .original, packets: 1, bytes: 1, lastSeen: 5 * second)
        #expect(left(tracker, first.connection, 21 * second) == 120)
        tracker.tracker.noteActivity(first.connection, generation: first.generation &+ 1, direction: .original, packets: 1, bytes: 1, lastSeen: 50 * second)
        #expect(left(tracker, first.connection, 21 * second) == 120)
        #expect(tracker.connection(first.connection).pointee.originalPackets == 5)
    }

    @Test func theWindowIsLearntAfreshAfterTheNIC() {
        let tracker = TestTracker(seed: 1)
        let index = tracker.establish(now: 0)
        tracker.tracker.noteOffloaded(index, hardware: true)
        tracker.tracker.noteOffloadEnded(index)
        #expect(tracker.connection(index).pointee.status.isDisjoint(with: [.offload, .hardwareOffload]))
        // A gigabyte later.
        for (source, flags, sequence, acknowledgement) in [(server, TCPFlags.ack, 1_000_000_501, 90_000), (client, TCPFlags.ack, 90_000, 1_000_000_601)] as [(IPAddress, UInt8, UInt32, UInt32)] {
            let test =
                source == client
                ? TestPacket.tcp(client, 1000, server, 80, flags, sequence: sequence, acknowledgement: acknowledgement)
                : TestPacket.tcp(server, 80, client, 1000, flags, sequence: sequence, acknowledgement: acknowledgement, payload: Array(repeating: 0, count: 100))
            #expect(tracker.pass(test, now: 0).state == .established)
        }
    }
}
