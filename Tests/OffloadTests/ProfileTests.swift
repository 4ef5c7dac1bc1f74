// What the trial finds on each emulated NIC, and that flows keep to it.
import CDPDK
import FlowCache
import Testing
import Wire

@testable import Offload

extension OffloadSuite {
    @Test(arguments: [
        ("full", OffloadTier.full), ("mlx5", .full), ("mlx5-hws", .full), ("nfp", .drop), ("bnxt", .mark), ("sfc", .mark),
        ("cxgbe", .drop), ("ice", .mark), ("i40e", .mark),
    ])
    func trialFindsTheTier(_ name: String, tier: OffloadTier) throws {
        #expect(EmulatedNIC.profiles.contains(name))
        try withBench(profile: name) { bench in
            let summary = bench.manager.summary
            #expect(summary.ports.map(\.tier) == [tier, tier])
            #expect(summary.ports.allSatisfy { !$0.capability.isEmpty && $0.front == "emulated NIC (\(name))" })
            let flow = TestFlow()
            #expect(bench.manager.offer(flow.candidate))
            bench.run()
            if tier == .full {
                #expect(bench.events.map(\.kind) == [.installed])
                #expect(bench.pass(flow.original.bytes).sent == [flow.originalOut.bytes])
                #expect(bench.pass(flow.reply.bytes, port: 1).sent == [flow.replyOut.bytes])
                var dying = flow.original
                dying.ttl = 1
                #expect(bench.pass(dying.bytes).software == [dying.bytes])
            } else {
                #expect(bench.events.map(\.refusal) == [.capability])
                #expect(summary.ports.allSatisfy { $0.emulated?.rules == 0 }, "the trial leaves nothing behind")
            }
        }
    }

    @Test func reportSaysWhy() throws {
        let wanted = [
            "full": "full, out by represented port, SET actions, TTL decremented, NAT",
            "mlx5": "full, out by hairpin queue, SET actions, TTL decremented, NAT",
            "mlx5-hws": "full, out by hairpin queue, MODIFY_FIELD, TTL decremented, NAT",
            "nfp": "drop (fragments cannot be left to software)",
            "sfc": "mark (fragments cannot be left to software)",
        ]
        for (name, words) in wanted {
            try withBench(profile: name) { bench in
                let lines = bench.manager.summary.ports[0].capability
                #expect(lines.contains { $0.hasPrefix("to o0 IPv4 TCP") && $0.hasSuffix(words) }, "\(name): \(lines)")
            }
        }
    }

    @Test func countersAsOldAsTheNICsAreNotTakenForIdle() throws {
        try withBench(profile: "mlx5") { bench in
            let flow = TestFlow()
            #expect(bench.manager.offer(flow.candidate))
            bench.run()
            for _ in 0..<20 {
                _ = bench.pass(flow.original.bytes)
                bench.run(after: Bench.second / 2)
            }
            #expect(bench.events(.removed).isEmpty)
            #expect(bench.events(.credit).reduce(0) { $0 + $1.packets } >= 18)
        }
    }

    @Test func theLastCountIsExactAlthoughCountersAreOld() throws {
        try withBench(profile: "mlx5") { bench in
            let flow = TestFlow()
            #expect(bench.manager.offer(flow.candidate))
            bench.run()
            for _ in 0..<7 {
                _ = bench.pass(flow.original.bytes)
                bench.run(after: Bench.second / 3)
            }
            _ = bench.pass(flow.original.bytes)
            _ = bench.pass(flow.reply.bytes, port: 1)
            #expect(bench.manager.withdraw(flow.slot))
            bench.run()
            #expect(bench.events(.removed).isEmpty, "not before its counters are final")
            #expect(bench.pass(flow.original.bytes).software.count == 1)
            bench.run(after: Bench.second)
            #expect(bench.events.last?.kind == .removed)
            #expect(bench.events(.credit).filter { $0.direction == 0 }.reduce(0) { $0 + $1.packets } == 8)
            #expect(bench.events(.credit).filter { $0.direction == 1 }.reduce(0) { $0 + $1.packets } == 1)
            // A port that stops does not wait.
            #expect(bench.manager.offer(flow.candidate))
            bench.run()
            bench.manager.stop(now: bench.now)
            bench.run()
            #expect(bench.events.last?.kind == .removed)
            #expect(bench.manager.summary.pending == 0)
        }
    }

    @Test func paddingCountsOnRealNICs() throws {
        try withBench(profile: "mlx5") { bench in
            var flow = TestFlow()
            flow.original.payload = []
            flow.original.padding = 6
            #expect(bench.manager.offer(flow.candidate))
            bench.run()
            #expect(bench.pass(flow.original.bytes).sent.first?.count == 60)
        }
    }
}
