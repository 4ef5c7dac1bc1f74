// A NAT port whose connection died is nobody else's while a NIC may have rules for it.
import Testing
import Wire

@testable import Conntrack

@Suite struct HeldTupleTests {
    private static let port = NATRange(outer).ports(40_000, 40_000)

    private func tracker(held: Int = 8) -> TestTracker {
        var configuration = TrackerConfiguration()
        configuration.heldTuples = held
        return TestTracker(configuration: configuration, seed: 1)
    }

    /// A client's first packet through a source NAT to one port; whether it got it.
    private func gets(_ tracker: TestTracker, _ from: UInt16, protocol number: UInt8 = IPProtocol.udp, now: Timestamp = 0) -> (Bool, Tracking) {
        let packet = number == IPProtocol.udp ? TestPacket.udp(client, from, server, 53) : TestPacket.tcp(client, from, server, 53, TCPFlags.syn, sequence: 1)
        let tracking = tracker.pass(packet, source: Self.port, now: now)
        guard tracking.dropReason == .none, tracking.hasConnection else { return (false, tracking) }
        return (tracker.connection(tracking.connection).pointee.reply.destinationPort == 40_000, tracking)
    }

    @Test(arguments: [IPProtocol.udp, IPProtocol.tcp]) func aPortStaysTakenUntilTheRuleIsGone(_ number: UInt8) {
        let tracker = tracker()
        let (hasPort, first) = gets(tracker, 1000, protocol: number)
        #expect(hasPort && !gets(tracker, 1001, protocol: number).0)
        tracker.tracker.noteOffered(first.connection)
        let generation = tracker.connection(first.connection).pointee.generation
        tracker.remove(first.connection)
        #expect(tracker.tracker.heldCount == 1)
        #expect(!gets(tracker, 1002, protocol: number).0)
        // Even once the slot has been given to another connection.
        tracker.reclaim()
        #expect(!gets(tracker, 1003, protocol: number).0)
        tracker.tracker.offerEnded(first.connection, generation: generation &+ 7)
        #expect(!gets(tracker, 1004, protocol: number).0)
        tracker.tracker.offerEnded(first.connection, generation: generation)
        #expect(tracker.tracker.heldCount == 0 && gets(tracker, 1005, protocol: number).0)
    }

    /// The rule treats the same connection's packets as it did.
    @Test func theSameConnectionMayHaveItAgain() {
        let tracker = tracker()
        let first = gets(tracker, 1000).1
        tracker.tracker.noteOffered(first.connection)
        tracker.remove(first.connection)
        #expect(gets(tracker, 1000).0)
    }

    @Test func anOfferThatEndsBeforeTheConnectionHoldsNothing() {
        let tracker = tracker()
        let first = gets(tracker, 1000).1
        tracker.tracker.noteOffered(first.connection)
        tracker.tracker.offerEnded(first.connection, generation: tracker.connection(first.connection).pointee.generation)
        tracker.remove(first.connection)
        #expect(tracker.tracker.heldCount == 0 && gets(tracker, 1001).0)
    }

    /// Many come and go in any order; the table is bounded.
    @Test func holdsAndReleasesInAnyOrder() {
        let tracker = tracker(held: 500)
        var random = SystemRandomNumberGenerator()
        var held: [(UInt32, UInt32)] = []
        for round in 0 ..< 3000 {
            if held.count < 480, Bool.random(using: &random) {
                let tracking = tracker.pass(.udp(client, UInt16(1000 + round), server, 53), now: 0)
                tracker.tracker.noteOffered(tracking.connection)
                held.append((tracking.connection, tracker.connection(tracking.connection).pointee.generation))
                tracker.remove(tracking.connection)
                tracker.reclaim()
            } else if let place = held.indices.randomElement(using: &random) {
                let (connection, generation) = held.remove(at: place)
                tracker.tracker.offerEnded(connection, generation: generation)
            }
            #expect(tracker.tracker.heldCount == held.count)
        }
        for (connection, generation) in held { tracker.tracker.offerEnded(connection, generation: generation) }
        #expect(tracker.tracker.heldCount == 0)
    }

    @Test func aFullTableHoldsNoMore() {
        let tracker = tracker(held: 1)
        for port in [1000, 1001] as [UInt16] {
            let tracking = tracker.pass(.udp(client, port, server, 53), now: 0)
            tracker.tracker.noteOffered(tracking.connection)
            tracker.remove(tracking.connection)
        }
        #expect(tracker.tracker.heldCount == 1 && tracker.tracker.held.refused == 1)
    }
}
