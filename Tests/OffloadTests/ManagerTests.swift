// The manager's promises: one fate, credit before farewell, nothing freed that a rule may still use.
import CDPDK
import DPDK
import FlowCache
import Testing
import Wire

@testable import Offload

extension OffloadSuite {
    @Test func creditsFlowsAndNames() throws {
        try withBench { bench in
            let flow = TestFlow()
            #expect(bench.manager.offer(flow.candidate))
            bench.run()
            for _ in 0..<3 { _ = bench.pass(flow.original.bytes, port: 0) }
            _ = bench.pass(flow.reply.bytes, port: 1)
            bench.run(after: Bench.second / 2)
            #expect(bench.events(.credit).isEmpty, "no faster than the poll period")
            let seen = bench.now - Bench.second / 2
            bench.run(after: Bench.second / 2)
            let credits = bench.events(.credit)
            #expect(credits.map(\.direction) == [0, 1])
            #expect(credits.map(\.packets) == [3, 1])
            #expect(credits.map(\.bytes) == [150, 50])
            #expect(credits.map(\.connection) == [1001, 1001])
            #expect(credits.map(\.creditList) == [2001, 2002])
            #expect(credits.allSatisfy { $0.time == seen && $0.slot == flow.slot })
            bench.run(after: Bench.second)
            #expect(bench.events(.credit).count == 2, "nothing is credited twice")
            _ = bench.pass(flow.original.bytes)
            #expect(bench.manager.creditAll(now: bench.now) == 1)
            bench.run()
            #expect(bench.events(.credit).count == 3)
            let summary = bench.manager.summary
            #expect(summary.active == 1 && summary.installed == 1)
            #expect(summary.carriedPackets == 5)
            #expect(summary.carriedBytes == 320, "frame bytes")
            #expect(summary.ports.map(\.carriedPackets) == [4, 1])
            #expect(summary.ports.map(\.rules) == [1, 1])
            #expect(bench.manager.flows(limit: 10).map(\.state) == [.active])
        }
    }

    @Test func withdrawsWithTheLastCreditFirst() throws {
        try withBench { bench in
            let flow = TestFlow()
            #expect(bench.manager.offer(flow.candidate))
            bench.run()
            _ = bench.pass(flow.original.bytes)
            #expect(bench.manager.withdraw(flow.slot))
            bench.run()
            #expect(bench.events.map(\.kind) == [.installed, .credit, .removed])
            #expect(bench.pass(flow.original.bytes).software == [flow.original.bytes])
            #expect(bench.manager.summary.ports.allSatisfy { $0.rules == 0 && $0.emulated?.rules == 2 }, "the two guards remain")
            #expect(bench.manager.withdraw(flow.slot))
            bench.run()
            #expect(bench.events.count == 3, "a flow has one farewell")
        }
    }

    @Test func aRecallTakesBackWhatWasOfferedBefore() throws {
        try withBench { bench in
            var slots: [OffloadSlot] = []
            for number: UInt32 in 0..<600 {
                var flow = TestFlow(sourcePort: 1000 + UInt16(number))
                flow.slot = OffloadSlot(index: number * 2, generation: 1)
                slots.append(flow.slot)
                #expect(bench.manager.offer(flow.candidate))
            }
            for _ in 0..<20 { bench.run() }
            #expect(bench.events(.installed).count == 600)
            #expect(bench.manager.client.withdrawAll())
            var late = TestFlow(sourcePort: 900)
            late.slot = OffloadSlot(index: 5000, generation: 1)
            #expect(bench.manager.offer(late.candidate))
            for _ in 0..<20 { bench.run() }
            #expect(bench.events(.removed).map(\.slot) == slots)
            #expect(bench.manager.summary.active == 1)
            #expect(bench.manager.runOnce(now: bench.now) == 0, "and then it is idle")
        }
    }

    @Test func idleFlowsLeaveTheNIC() throws {
        var options = OffloadOptions()
        options.idleTimeout = 3 * Bench.second
        try withBench(options: options) { bench in
            let flow = TestFlow()
            #expect(bench.manager.offer(flow.candidate))
            bench.run()
            for _ in 0..<5 {
                _ = bench.pass(flow.reply.bytes, port: 1)
                bench.run(after: Bench.second)
            }
            #expect(bench.events(.removed).isEmpty)
            for _ in 0..<3 { bench.run(after: Bench.second) }
            #expect(bench.events.last?.kind == .removed)
            #expect(bench.events(.credit).count == 5)
        }
    }

    @Test func refusesWithReasons() throws {
        try withBench { bench in
            func refusal(_ change: (inout OffloadCandidate) -> Void) -> OffloadRefusal? {
                var candidate = TestFlow().candidate
                change(&candidate)
                #expect(bench.manager.offer(candidate))
                let before = bench.events.count
                bench.run()
                guard bench.events.count == before + 1, bench.events[before].kind == .refused else { return nil }
                return bench.events[before].refusal
            }
            let wanted: [(OffloadRefusal, OffloadRefusal?)] = [
                (.pathMTU, refusal { $0.original.guard.maximumLength = 1400 }),
                (.transportProtocol, refusal { $0.original.key.transportProtocol = 47; $0.reply.key.transportProtocol = 47 }),
                (.outputPort, refusal { $0.original.rewrite.outputPort = 9; $0.reply.key.ingressPort = 9 }),
                (.shape, refusal { $0.original.key.vlanCount = 3 }),
                (.shape, refusal { $0.reply.key.sourcePort = 1 }),
                (.shape, refusal { $0.original.guard.tcpFlagsValue = 2 }),
                (.vlanTags, refusal { ($0.original.rewrite.vlanCount, $0.original.rewrite.vlanTags) = (1, 0x0700_0081) }),
                (.trafficClass, refusal { $0.reply.rewrite.trafficClassMask = 3 }),
            ]
            for (reason, got) in wanted { #expect(got == reason) }
            #expect(bench.manager.summary.ports.allSatisfy { $0.rules == 0 })
        }
    }

    @Test func aPortReceivesNoMoreThanItsMTUSays() throws {
        try withBench { bench in
            var ports = bench.ports
            ports[0].mtu = 60
            ports[1].mtu = 60
            let manager = OffloadManager(ports: ports)
            bench.manager.stop(now: bench.now)
            manager.start(now: bench.now)
            var candidate = TestFlow().candidate
            candidate.original.guard.maximumLength = 60
            candidate.reply.guard.maximumLength = 60
            #expect(manager.offer(candidate))
            manager.runOnce(now: bench.now)
            var long = TestFlow().original
            #expect(bench.pass(long.bytes).software.isEmpty)
            long.payload += [UInt8](repeating: 0, count: 11)
            #expect(bench.pass(long.bytes).software.count == 1)
            manager.stop(now: bench.now)
        }
    }

    @Test func portsWithoutOffloadRefuse() throws {
        try withBench(profile: nil) { bench in
            #expect(bench.manager.summary.ports.map(\.tier) == [.none, .none])
            #expect(bench.manager.summary.ports.map(\.front) == ["rte_flow", "rte_flow"])
            #expect(bench.manager.offer(TestFlow().candidate))
            bench.run()
            #expect(bench.events.map(\.refusal) == [.capability])
            bench.manager.stop(now: bench.now)
            #expect(bench.manager.summary.failures.isEmpty)
        }
    }

    @Test func bothDirectionsHaveOneFate() throws {
        // Two guards and one rule a port: the second flow's reply finds no room on port 1.
        var options = OffloadOptions()
        options.idleTimeout = 0
        try withBench(capacity: 3, options: options) { bench in
            let first = TestFlow()
            var second = TestFlow(sourcePort: 41000)
            second.slot = OffloadSlot(index: 10, generation: 4)
            #expect(bench.manager.offer(first.candidate) && bench.manager.offer(second.candidate))
            bench.run()
            #expect(bench.events.map(\.kind) == [.installed, .refused])
            #expect(bench.events[1].refusal == .tableFull && bench.events[1].slot == second.slot)
            #expect(bench.events[1].time > bench.now)
            #expect(bench.manager.summary.failures == ["create ENOSPC": 1])
            #expect(bench.manager.summary.ports.map(\.learnedCapacity) == [nil, 1])
            // Learnt: the next is refused without a call.
            #expect(bench.manager.offer(second.candidate))
            bench.run()
            #expect(bench.events.last?.refusal == .tableFull)
            #expect(bench.manager.summary.failures == ["create ENOSPC": 1])
            // A place is free again.
            #expect(bench.manager.withdraw(first.slot) && bench.manager.offer(second.candidate))
            bench.run()
            #expect(bench.events.suffix(2).map(\.kind) == [.removed, .installed])
        }
        // Port 0 has room for nothing: the reply's rule on port 1 has to go again.
        try withBench { bench in
            let full = TestFlow()
            var other = TestFlow()
            other.slot = OffloadSlot(index: 50, generation: 1)
            #expect(bench.manager.offer(full.candidate))
            bench.run()
            // The same original key with another reply: reply is created, original is a duplicate.
            var candidate = other.candidate
            candidate.original.rewrite.sourcePort = 7
            candidate.reply.key.destinationPort = 7
            #expect(bench.manager.offer(candidate))
            bench.run()
            #expect(bench.events.last?.kind == .refused && bench.events.last?.refusal == .driver)
            #expect(bench.manager.summary.ports.map(\.rules) == [1, 1])
            #expect(bench.manager.summary.ports.map { $0.emulated?.rules } == [3, 3])
        }
    }

    @Test func flushesAPortAndTakesItBack() throws {
        try withBench { bench in
            let flow = TestFlow()
            #expect(bench.manager.offer(flow.candidate))
            bench.run()
            _ = bench.pass(flow.original.bytes)
            bench.manager.flushPort(1, now: bench.now)
            bench.run()
            #expect(bench.events.map(\.kind) == [.installed, .credit, .removed])
            #expect(bench.manager.summary.ports[1].emulated?.rules == 0)
            #expect(bench.manager.offer(flow.candidate))
            bench.run()
            #expect(bench.events.last?.refusal == .portDown)
            bench.manager.resumePort(1, now: bench.now)
            #expect(bench.manager.offer(flow.candidate))
            bench.run()
            #expect(bench.events.last?.kind == .installed)
            bench.manager.stop(now: bench.now)
            bench.run()
            #expect(bench.events.last?.kind == .removed)
            #expect(bench.manager.summary.ports.allSatisfy { $0.emulated?.rules == 0 })
        }
    }

    @Test func losesNoCreditWhenTheRingIsFull() throws {
        var options = OffloadOptions()
        options.outboxCapacity = 2
        try withBench(options: options) { bench in
            var flows: [TestFlow] = []
            for number: UInt32 in 0..<6 {
                var flow = TestFlow(sourcePort: 40000 + UInt16(number))
                flow.slot = OffloadSlot(index: number * 2, generation: 1)
                flows.append(flow)
                #expect(bench.manager.offer(flow.candidate))
            }
            for _ in 0..<10 { bench.run() }
            #expect(bench.events(.installed).count == 6)
            for flow in flows {
                _ = bench.pass(flow.original.bytes, port: 0)
                _ = bench.pass(flow.reply.bytes, port: 1)
            }
            bench.now += Bench.second
            for _ in 0..<3 { bench.manager.runOnce(now: bench.now) }
            for flow in flows { _ = bench.manager.withdraw(flow.slot) }
            for _ in 0..<40 { bench.run() }
            #expect(bench.events(.credit).reduce(0) { $0 + $1.packets } == 12)
            #expect(bench.events(.removed).count == 6)
            for flow in flows {
                let mine = bench.events.filter { $0.slot == flow.slot }.map(\.kind)
                #expect(mine.first == .installed && mine.last == .removed)
            }
        }
    }
}
