// A next hop whose packets workers send is asked for as if the slow path sent them, and its end ends their flows.
import FlowCache
import Routing
import Testing
import Wire

@testable import SlowPath

@Suite struct CachedNeighbourTests {
    private static let second: Timestamp = 1_000_000_000

    /// A frame from the known host behind r0 to host 9 behind r1, and its flow's key.
    private static let (frame, key): ([UInt8], FlowKey) = {
        var frame = PublicationTests.frame(payload: 10), key = PublicationTests.key
        frame[33] = 9
        frame.withUnsafeMutableBytes { if let start = $0.baseAddress { Checksum.fillIPv4Header(start + 14, length: 20) } }
        key.destination = IPAddress(ipv4: 0x0a00_0209)
        return (frame, key)
    }()

    /// Host 9 was learned and the flow is cached; nobody answers.
    private func harness() -> SlowPathHarness {
        var harness = SlowPathHarness()
        let now = harness.now
        harness.path.changeRouter {
            _ = $0.neighbours.update(IPAddress(ipv4: 0x0a00_0209), port: 1, mac: EthernetAddress(rawValue: 0x0200_0000_0b09), isConfirmation: true, mayCreate: true, overrides: true, now: now)
        }
        #expect(harness.send(Self.frame, port: 0).count == 1)
        return harness
    }

    private func state(_ harness: inout SlowPathHarness) -> NeighbourState {
        harness.path.router.neighbours.state(of: IPAddress(ipv4: 0x0a00_0209), port: 1)
    }

    /// A second in which a worker sends `packets`; what the router then says by r1.
    private func pass(_ harness: inout SlowPathHarness, packets: UInt32) -> [[UInt8]] {
        harness.now += Self.second
        let entry = harness.path.flows.pointee.reader.find(PackedFlowKey(Self.key))
        if packets > 0 {
            entry?.addRelaxed32(FlowEntryOffset.packets4, packets)
            entry?.atomic32(FlowEntryOffset.lastUsed4).pointee.store(FlowCache.tick(harness.now), ordering: .relaxed)
        }
        harness.path.sweepFlows(budget: .max, now: harness.now)
        harness.path.router.neighbours.expire(now: harness.now, budget: 4096)
        return harness.timers().filter { $0.port == 1 }.map(\.frame)
    }

    private func isStale(_ harness: inout SlowPathHarness) -> Bool {
        let handle = harness.path.flows.pointee.lookup(Self.key)
        return handle.flatMap { harness.path.flows.pointee.inspect($0, now: harness.now)?.isStale } ?? true
    }

    @Test func aNextHopInUseIsAskedAndGivenUp() {
        var harness = harness()
        var asked: [Int] = [], ended: [Int] = []
        for moment in 1 ... 45 {
            let said = pass(&harness, packets: 10)
            // ARP requests to the station itself.
            if said.contains(where: { $0[12] == 8 && $0[13] == 6 && $0[5] == 9 && $0[0] == 2 }) { asked.append(moment) }
            if isStale(&harness) { ended.append(moment) }
        }
        // 30 seconds reachable, 5 in doubt, then three requests a second apart.
        #expect(asked == [35, 36, 37] && ended.first == 38)
        let end = state(&harness)
        #expect(end == .failed)
        // The next packet waits, and everybody is asked.
        let sent = harness.send(Self.frame, port: 0)
        #expect(sent.isEmpty && harness.disposition == .held)
        let said = pass(&harness, packets: 0)
        #expect(said.contains { $0[0 ..< 6] == [255, 255, 255, 255, 255, 255] })
    }

    @Test func aSilentFlowAsksForNobody() {
        var harness = harness()
        for _ in 1 ... 45 {
            let said = pass(&harness, packets: 0)
            #expect(said.isEmpty)
        }
        let end = state(&harness)
        #expect(end == .stale)
    }
}
