// Endpoint-independent mapping and filtering: what RFC 4787 asks of them (REQ-1, REQ-8), and their bounds.
import Testing
import Wire

@testable import Conntrack

@Suite struct ConeTests {
    private func tracker(_ mappings: Int = 64) -> TestTracker {
        var configuration = TrackerConfiguration()
        configuration.coneMappings = mappings
        return TestTracker(configuration: configuration, seed: 1)
    }

    /// A first packet from inside to outside, by interface 7 with source NAT to `outer`.
    @discardableResult
    private func send(_ tracker: TestTracker, _ source: IPAddress, _ port: UInt16, _ destination: IPAddress, _ destinationPort: UInt16, range: NATRange = NATRange(outer), now: Timestamp = 0) -> ConnectionTuple {
        let test = TestPacket.udp(source, port, destination, destinationPort)
        var tracking = tracker.track(test, now: now)
        _ = tracker.setUpNAT(tracking.connection, .destination, range: nil, now: now)
        let isBound = tracker.tracker.setUpConeNAT(tracking.connection, range: range, interface: 7, masqueradeInterface: 0, now: now)
        #expect(isBound)
        let reason = tracker.confirm(&tracking, now: now)
        #expect(reason == .none)
        return tracker.connection(tracking.connection).pointee.reply
    }

    /// Where a packet from outside to `port` of `outer` arrives.
    private func arrive(_ tracker: TestTracker, _ source: IPAddress, _ port: UInt16, interface: UInt32 = 7) -> NATRange? {
        let tracking = tracker.track(.udp(source, 9, outer, port), now: 0)
        defer { tracker.release(tracking) }
        return tracker.tracker.coneTarget(tracking, interface: interface)
    }

    @Test func oneMappingTowardsEverybody() {
        let tracker = tracker()
        let first = send(tracker, client, 5000, server, 53)
        #expect(first.destination == outer && first.destinationPort == 5000)
        for last in 3 ..< 40 as Range<UInt32> {
            let next = send(tracker, client, 5000, ip(10, 0, 2, last), 53)
            #expect(next.destination == outer && next.destinationPort == 5000)
        }
        // Another client with the same port gets another one, even towards a server of its own.
        let other = send(tracker, ip(10, 0, 1, 3), 5000, ip(10, 0, 9, 9), 53)
        #expect(other.destination == outer && other.destinationPort != 5000)
        let again = send(tracker, ip(10, 0, 1, 3), 5000, server, 53)
        #expect(again.destinationPort == other.destinationPort)
        #expect(tracker.tracker.coneMappingCount == 2)
    }

    @Test func anybodyReachesTheClient() {
        let tracker = tracker()
        send(tracker, client, 5000, server, 53)
        let range = arrive(tracker, ip(203, 0, 113, 1), 5000)
        #expect(range?.minimumAddress == client && range?.minimumPort == 5000)
        let unknown = arrive(tracker, ip(203, 0, 113, 1), 5001), elsewhere = arrive(tracker, ip(203, 0, 113, 1), 5000, interface: 8)
        #expect(unknown == nil && elsewhere == nil)
        let tcp = tracker.track(.tcp(ip(203, 0, 113, 1), 9, outer, 5000, TCPFlags.syn), now: 0)
        let target = tracker.tracker.coneTarget(tcp, interface: 7)
        #expect(target == nil)
    }

    @Test func mappingsGoWithTheirOutgoingConnections() {
        let tracker = tracker()
        send(tracker, client, 5000, server, 53)
        send(tracker, client, 5000, ip(10, 0, 2, 3), 53, now: 10 * second)
        // The first connection has expired, the second holds the mapping.
        tracker.expire(now: 31 * second, budget: 1000)
        #expect(tracker.tracker.coneMappingCount == 1)
        tracker.expire(now: 41 * second, budget: 1000)
        #expect(tracker.tracker.coneMappingCount == 0)
    }

    @Test func theTableIsBounded() {
        let tracker = tracker(16)
        for port in 0 ..< 40 as Range<UInt16> { send(tracker, client, 5000 + port, server, 53) }
        #expect(tracker.tracker.coneMappingCount == 16 && tracker.statistics.coneMappingsRefused == 24)
        tracker.removeAll()
        #expect(tracker.tracker.coneMappingCount == 0)
    }

    @Test func portsOfARangeRunOut() {
        let tracker = tracker()
        let range = NATRange(outer).ports(40000, 40001)
        let a = send(tracker, client, 1, server, 53, range: range), b = send(tracker, client, 2, ip(10, 0, 2, 9), 53, range: range)
        #expect(a.destinationPort != b.destinationPort)
        // A third client endpoint gets ordinary NAT, which shares a port towards another server.
        let c = send(tracker, client, 3, ip(10, 0, 2, 10), 53, range: range)
        #expect(c.destinationPort == 40000 || c.destinationPort == 40001)
        #expect(tracker.tracker.coneMappingCount == 2)
    }
}
