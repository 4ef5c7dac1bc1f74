// Which cached flows are offered to a NIC, with what is known of them, and what is told of those that are there.
import FlowCache
import Ruleset
import Testing
import Wire

@testable import SlowPath

@Suite struct OffloadRateTests {
    private static let second: Timestamp = 1_000_000_000

    @Test func aRateIsOverAWindow() {
        var measure = FlowMeasure()
        func add(_ count: UInt64, _ milliseconds: Timestamp) -> Bool { measure.add(count, enough: 400, now: 5 * Self.second + milliseconds * 1_000_000) }
        // What was counted before the first visit was counted since nobody knows when.
        let steps = [add(1000, 0), add(10, 100)]
        #expect(steps == [false, false] && measure.packetsPerSecond == 0)
        let isWhole = add(15, 260)
        #expect(isWhole && (90 ... 105).contains(measure.packetsPerSecond))
        // Silence counts.
        let isSilent = add(5, 10_000)
        #expect(isSilent && measure.packetsPerSecond == 1 && measure.total == 1030)
        // What is enough for a whole window needs not wait for its end.
        let early = [add(99, 10_100), add(5, 10_150)]
        #expect(early == [false, true] && (400 ... 420).contains(measure.packetsPerSecond))
        let isHuge = add(.max, 25_000)
        #expect(isHuge && measure.packets == 0 && measure.total == .max)
    }

    private func harness(_ threshold: OffloadThreshold) -> SlowPathHarness {
        let rules = "table ip t { chain f { type filter hook forward priority 0; ct state established counter accept; udp dport 53 counter accept; }; }\n"
        let ruleset = RulesetValue().applying(text: rules, name: "f", options: LoadOptions(interfaces: ["r0", "r1"])).value
        var harness = SlowPathHarness(ruleset: ruleset, offload: threshold)
        // Three seconds of answered traffic: assured, both directions cached.
        for _ in 0 ..< 3 {
            _ = harness.send(PublicationTests.frame(payload: 10), port: 0)
            _ = harness.send(PublicationTests.frame(payload: 10, isAnswer: true, timeToLive: 57), port: 1)
            harness.now += Self.second
        }
        return harness
    }

    /// A worker forwards packets of the client's direction.
    private func forward(_ harness: inout SlowPathHarness, _ packets: UInt32) {
        let entry = harness.path.flows.pointee.reader.find(PackedFlowKey(PublicationTests.key))
        entry?.addRelaxed32(FlowEntryOffset.packets4, packets)
        entry?.atomic32(FlowEntryOffset.lastUsed4).pointee.store(FlowCache.tick(harness.now), ordering: .relaxed)
        #expect(entry != nil)
    }

    private func sweep(_ harness: inout SlowPathHarness, after: Timestamp) {
        harness.now += after
        harness.path.sweepFlows(budget: .max, now: harness.now)
    }

    @Test func aFlowIsOfferedWithItsRateAndItsTTLs() throws {
        var harness = harness(OffloadThreshold(packetsPerSecond: 50, packets: 100))
        func next(_ harness: inout SlowPathHarness) -> FlowPair? { harness.path.nextBusyFlow(now: harness.now) }
        forward(&harness, 1)
        sweep(&harness, after: 1_000_000)
        #expect(next(&harness) == nil)
        // Fast enough, and too few.
        forward(&harness, 50)
        sweep(&harness, after: Self.second / 2)
        #expect(next(&harness) == nil)
        // Enough, and too slow.
        forward(&harness, 60)
        sweep(&harness, after: 2 * Self.second)
        #expect(next(&harness) == nil)
        forward(&harness, 60)
        sweep(&harness, after: Self.second / 2)
        let found = next(&harness)
        let pair = try #require(found)
        #expect((115 ... 125).contains(pair.packetsPerSecond) && pair.originalTimeToLive == 64 && pair.replyTimeToLive == 57)
        #expect(next(&harness) == nil)
        // What software forwards although a rule should take it is told, by the offer's name, once it is installed.
        harness.path.offerTaken(pair)
        forward(&harness, 60)
        sweep(&harness, after: Self.second / 2)
        let early = harness.path.nextSoftwareHit()
        #expect(early == nil && next(&harness) == nil)
        harness.path.offloadInstalled(pair.original.connection, pair.originalHandle)
        forward(&harness, 60)
        sweep(&harness, after: Self.second / 2)
        let late = harness.path.nextSoftwareHit()
        #expect(late?.handle == pair.originalHandle && late?.direction == 0)
        // Back in software it is measured anew.
        harness.path.offloadEnded(pair.original.connection, pair.originalHandle, retryAt: 0)
        forward(&harness, 60)
        sweep(&harness, after: Self.second / 2)
        #expect(next(&harness) == nil)
        forward(&harness, 60)
        sweep(&harness, after: Self.second / 2)
        let again = next(&harness)
        #expect(again != nil)
    }

    @Test func withoutAMinimumTheFirstVisitIsEnough() {
        var harness = harness(OffloadThreshold(packetsPerSecond: 0, packets: 0))
        forward(&harness, 1)
        sweep(&harness, after: 1_000_000)
        let pair = harness.path.nextBusyFlow(now: harness.now)
        #expect(pair?.packetsPerSecond == 0)
    }
}
