// Who gets the table's places, who loses one, and what happens when the NIC forgets.
import CDPDK
import FlowCache
import Testing
import Wire

@testable import Offload

extension OffloadSuite {
    private func flow(_ number: UInt32, rate: UInt32) -> (TestFlow, OffloadCandidate) {
        var flow = TestFlow(sourcePort: 40000 + UInt16(number))
        flow.slot = OffloadSlot(index: number * 2, generation: 1)
        var candidate = flow.candidate
        candidate.packetsPerSecond = rate
        return (flow, candidate)
    }

    @Test func takesWhatIsFastEnough() throws {
        var options = OffloadOptions()
        options.minimumRate = 30
        try withBench(options: options) { bench in
            for (number, rate): (UInt32, UInt32) in [(1, 29), (2, 30), (3, 0), (4, 4_000_000_000)] {
                #expect(bench.manager.offer(flow(number, rate: rate).1))
            }
            bench.run()
            #expect(bench.events.map(\.kind) == [.refused, .installed, .installed, .installed])
            #expect(bench.events[0].refusal == .rate && bench.events[0].time < .max)
        }
    }

    @Test func aFullTableGoesToTheFastest() throws {
        var options = OffloadOptions()
        options.idleTimeout = 0
        // Room for four flows besides the guards.
        try withBench(capacity: 6, options: options) { bench in
            let flows = (0..<5).map { flow(UInt32($0), rate: 10) }
            for (_, candidate) in flows { #expect(bench.manager.offer(candidate)) }
            bench.run()
            #expect(bench.events(.installed).count == 4)
            #expect(bench.events(.refused).map(\.refusal) == [.tableFull])
            // Rates: 1, 2, 3 and 4 packets in each second, for two seconds.
            for _ in 0..<2 {
                for place in 0..<4 {
                    for _ in 0...place { _ = bench.pass(flows[place].0.original.bytes) }
                }
                bench.run(after: Bench.second)
            }
            #expect(bench.manager.flows(limit: 9).map(\.packetsPerSecond) == [1, 2, 3, 4])
            bench.events = []
            // Not twice as fast as the slowest: refused. More than twice: it takes the slowest's place.
            #expect(bench.manager.offer(flow(7, rate: 2).1))
            bench.run()
            #expect(bench.events.map(\.refusal) == [.tableFull])
            #expect(bench.manager.offer(flow(8, rate: 3).1))
            bench.run()
            #expect(bench.events.suffix(2).map(\.kind) == [.removed, .installed])
            #expect(bench.events.first { $0.kind == .removed }?.slot == flows[0].0.slot)
            #expect(bench.events.first { $0.kind == .removed }?.refusal == .evicted)
            #expect(bench.manager.summary.evicted == 1)
            // The newcomer is not measured yet, so it cannot be the next victim.
            #expect(bench.manager.offer(flow(9, rate: 5).1))
            bench.run()
            #expect(bench.events.last { $0.kind == .removed }?.slot == flows[1].0.slot)
        }
    }

    @Test func aLostRuleIsMadeAnewOnce() throws {
        var options = OffloadOptions()
        options.idleTimeout = 0
        try withBench(options: options) { bench in
            let it = TestFlow()
            #expect(bench.manager.offer(it.candidate))
            bench.run()
            func softwareSees() {
                #expect(bench.pass(it.original.bytes).software.count == 1)
                #expect(bench.manager.client.noteSoftwareHits(it.slot, direction: 0))
                bench.run(after: Bench.second)
            }
            nt_nic_lose_rules(bench.ports[0].dpdkPort)
            softwareSees()
            #expect(bench.manager.summary.repaired == 0, "once may be chance")
            softwareSees()
            #expect(bench.manager.summary.repaired == 1)
            #expect(bench.pass(it.original.bytes).sent == [it.originalOut.bytes])
            bench.run(after: Bench.second)
            #expect(bench.events(.credit).map(\.packets) == [1])
            // Hits in software beside hits in the NIC are no loss (packets on their way when the rule came).
            _ = bench.pass(it.original.bytes)
            for _ in 0..<4 {
                _ = bench.pass(it.original.bytes)
                #expect(bench.manager.client.noteSoftwareHits(it.slot, direction: 0))
                bench.run(after: Bench.second)
            }
            #expect(bench.events(.removed).isEmpty)
            nt_nic_lose_rules(bench.ports[0].dpdkPort)
            softwareSees()
            softwareSees()
            #expect(bench.events(.removed).map(\.refusal) == [.lost])
            #expect(bench.events(.removed).allSatisfy { $0.time > bench.now })
        }
    }
}
