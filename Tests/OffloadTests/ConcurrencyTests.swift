// A worker that polls while the manager installs and removes: every frame comes out once, rewritten whole or not at all.
import CDPDK
import DPDK
import FlowCache
import Foundation
import Synchronization
import Testing
import Wire

@testable import Offload

/// What the polling thread saw.
private final class PollingResult: Sendable {
    let stop = Atomic<Bool>(false)
    let received = Atomic<Int>(0)
    let rewritten = Atomic<Int>(0)
    let untouched = Atomic<Int>(0)
    let strange = Atomic<Int>(0)
    let done = Atomic<Bool>(false)
}

extension OffloadSuite {
    @Test func rulesComeAndGoUnderTraffic() throws {
        try withBench { bench in
            let flows = (0..<4).map { number -> TestFlow in
                var flow = TestFlow(sourcePort: 40000 + UInt16(number))
                flow.slot = OffloadSlot(index: UInt32(number) * 2, generation: 1)
                return flow
            }
            let frames = flows.map(\.original.bytes)
            let rewritten = flows.map(\.originalOut.bytes)
            let result = PollingResult()
            let rings = bench.rings
            let thread = Thread {
                var batch = PacketBatch(capacity: 32)
                func judge(_ mbuf: Mbuf) {
                    let bytes = [UInt8](UnsafeRawBufferPointer(start: mbuf.data, count: mbuf.length))
                    if rewritten.contains(bytes) {
                        result.rewritten.add(1, ordering: .relaxed)
                    } else if frames.contains(bytes) {
                        result.untouched.add(1, ordering: .relaxed)
                    } else {
                        result.strange.add(1, ordering: .relaxed)
                    }
                    mbuf.free()
                }
                while !result.stop.load(ordering: .acquiring) { // pairs with the release store below
                    for frame in frames { frame.withUnsafeBytes { if rings[0].inject($0) { result.received.add(1, ordering: .relaxed) } } }
                    rings[0].port.receiveQueue(0).receive(into: &batch)
                    for place in 0..<batch.count { judge(batch[place]) }
                    batch.count = 0
                    while let mbuf = rings[1].take() { judge(mbuf) }
                }
                result.done.store(true, ordering: .releasing) // pairs with the acquiring load below
            }
            thread.start()
            var rounds = 0
            while rounds < 3000 || result.rewritten.load(ordering: .relaxed) == 0 && rounds < 1_000_000 {
                rounds += 1
                let flow = flows[rounds % flows.count]
                _ = bench.manager.offer(flow.candidate)
                bench.run()
                if rounds % 50 == 0 { Thread.sleep(forTimeInterval: 0.001) }
                _ = bench.manager.withdraw(flow.slot)
                bench.run()
            }
            result.stop.store(true, ordering: .releasing) // pairs with the thread's acquiring load
            while !result.done.load(ordering: .acquiring) { Thread.sleep(forTimeInterval: 0.001) }
            let carried = result.rewritten.load(ordering: .relaxed)
            #expect(result.strange.load(ordering: .relaxed) == 0)
            #expect(carried > 0)
            #expect(carried + result.untouched.load(ordering: .relaxed) == result.received.load(ordering: .relaxed))
            #expect(bench.events(.credit).reduce(0) { $0 + Int($1.packets) } == carried, "each frame credited once")
            #expect(bench.events(.installed).count == bench.events(.removed).count)
        }
    }
}
