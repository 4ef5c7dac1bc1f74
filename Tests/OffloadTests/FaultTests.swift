// The manager over a NIC that fails: zombies, lost counters, late answers. In every case the flow keeps what it holds
// until its rules are gone, and software takes over.
import CDPDK
import FlowCache
import Testing
import Wire

@testable import Offload

extension OffloadSuite {
    @Test func aRuleThatDoesNotGoKeepsItsFlow() throws {
        try withBench { bench in
            let flow = TestFlow()
            #expect(bench.manager.offer(flow.candidate))
            bench.run()
            EmulatedNIC.setFaults(port: bench.ports[0].dpdkPort) { $0.destroy_failures = 3 }
            #expect(bench.manager.withdraw(flow.slot))
            bench.run()
            #expect(bench.events(.removed).isEmpty)
            #expect(bench.manager.flows(limit: 1).map(\.state) == [.zombie])
            #expect(bench.manager.summary.ports.map(\.rules) == [1, 0])
            // The rule goes on forwarding, and what it carries is credited.
            #expect(bench.pass(flow.original.bytes).sent == [flow.originalOut.bytes])
            // Withdrawing or offering again changes nothing.
            #expect(bench.manager.withdraw(flow.slot) && bench.manager.offer(flow.candidate))
            bench.run()
            #expect(bench.events(.removed).isEmpty)
            for _ in 0..<20 where bench.events(.removed).isEmpty { bench.run(after: Bench.second / 10) }
            #expect(bench.events(.removed).count == 1)
            #expect(bench.events(.credit).reduce(0) { $0 + $1.packets } == 1)
            let summary = bench.manager.summary
            #expect(summary.zombies == 0 && summary.recoveredZombies == 1)
            #expect(summary.failures == ["destroy EIO": 3])
            #expect(bench.pass(flow.original.bytes).software.count == 1)
        }
    }

    @Test func aZombieForGoodFlushesItsPort() throws {
        try withBench { bench in
            let flow = TestFlow()
            var other = TestFlow(sourcePort: 41000)
            other.slot = OffloadSlot(index: 20, generation: 2)
            #expect(bench.manager.offer(flow.candidate) && bench.manager.offer(other.candidate))
            bench.run()
            EmulatedNIC.setFaults(port: bench.ports[0].dpdkPort) { $0.destroy_failures = 10 }
            #expect(bench.manager.withdraw(flow.slot))
            bench.run()
            #expect(bench.manager.summary.zombies == 1)
            for _ in 0..<600 where bench.manager.summary.zombies > 0 { bench.run(after: Bench.second / 10) }
            #expect(bench.events(.removed).map(\.slot).contains(flow.slot))
            #expect(bench.manager.summary.zombies == 0)
            #expect(bench.manager.summary.ports.map { $0.emulated?.rules } == [2, 2], "only the guards are left")
            #expect(bench.manager.offer(other.candidate))
            bench.run()
            #expect(bench.events.last?.kind == .installed)
        }
    }

    @Test func installationThatFailsHalfwayMayEndAsZombie() throws {
        try withBench { bench in
            // Reply is created on port 1, original fails on port 0, and the reply does not go away at once.
            EmulatedNIC.setFaults(port: bench.ports[0].dpdkPort) { $0.create_every = 1 }
            EmulatedNIC.setFaults(port: bench.ports[1].dpdkPort) { $0.destroy_failures = 1 }
            let flow = TestFlow()
            #expect(bench.manager.offer(flow.candidate))
            bench.run()
            #expect(bench.events.isEmpty)
            #expect(bench.manager.summary.zombies == 1)
            bench.run(after: Bench.second)
            #expect(bench.events.map(\.kind) == [.refused])
            #expect(bench.events[0].refusal == .driver)
        }
    }

    @Test func failuresInARowPauseTheAdapter() throws {
        try withBench { bench in
            EmulatedNIC.setFaults(port: bench.ports[1].dpdkPort) { $0.create_every = 1 }
            for number: UInt32 in 0..<8 {
                var flow = TestFlow(sourcePort: 40000 + UInt16(number))
                flow.slot = OffloadSlot(index: number, generation: 1)
                #expect(bench.manager.offer(flow.candidate))
            }
            bench.run()
            #expect(bench.events.map(\.refusal) == Array(repeating: .driver, count: 5) + Array(repeating: .breaker, count: 3))
            #expect(bench.manager.summary.failures == ["create EIO": 5])
            EmulatedNIC.setFaults(port: bench.ports[1].dpdkPort) { _ in }
            bench.run(after: 4 * Bench.second)
            #expect(bench.manager.offer(TestFlow().candidate))
            bench.run()
            #expect(bench.events.last?.refusal == .breaker)
            bench.run(after: Bench.second)
            #expect(bench.manager.offer(TestFlow().candidate))
            bench.run()
            #expect(bench.events.last?.kind == .installed)
        }
    }

    @Test func queriesThatFailOrStandOrRestartLoseNothing() throws {
        try withBench { bench in
            let flow = TestFlow()
            #expect(bench.manager.offer(flow.candidate))
            bench.run()
            func credited() -> UInt64 { bench.events(.credit).reduce(0) { $0 + $1.packets } }
            let port = bench.ports[0].dpdkPort
            _ = bench.pass(flow.original.bytes)
            EmulatedNIC.setFaults(port: port) { $0.query_every = 1 }
            bench.run(after: Bench.second)
            #expect(credited() == 0)
            EmulatedNIC.setFaults(port: port) { $0.counters_stand = 1 }
            bench.run(after: Bench.second)
            #expect(credited() == 0)
            EmulatedNIC.setFaults(port: port) { _ in }
            bench.run(after: Bench.second)
            #expect(credited() == 1)
            for _ in 0..<3 { _ = bench.pass(flow.original.bytes) }
            bench.run(after: Bench.second)
            #expect(credited() == 4)
            _ = bench.pass(flow.original.bytes)
            EmulatedNIC.setFaults(port: port) { $0.counters_restart = 1 }
            bench.run(after: Bench.second)
            #expect(credited() == 5)
        }
    }

    @Test func insertionKeepsItsRate() throws {
        var options = OffloadOptions()
        options.insertRate = 10
        options.installsPerRun = 2
        try withBench(options: options) { bench in
            for number: UInt32 in 0..<20 {
                var flow = TestFlow(sourcePort: 40000 + UInt16(number))
                flow.slot = OffloadSlot(index: number, generation: 1)
                #expect(bench.manager.offer(flow.candidate))
            }
            for _ in 0..<10 { bench.run(after: Bench.second / 10) }
            #expect((10...12).contains(bench.events(.installed).count))
            #expect(bench.manager.summary.pending == 20 - bench.events(.installed).count)
        }
    }
}
