// Two workers on threads of their own, each with a queue of the same port, and packets of every flow in both queues: what they count
// and what they send is the same number, whoever owns an entry. This thread is the slow path.
import DPDK
import Dataplane
import FlowCache
import Foundation
import Synchronization
import Testing
import Wire

private final class Stop: Sendable {
    let flag = Atomic<Bool>(false)
    let ended = Atomic<Int>(0)
}

extension WorkerSuite {
    /// - Parameter spread: one packet in so many reaches the other worker than the flow's own.
    @Test(arguments: [2, 200]) func twoWorkersCountExactly(spread: Int) throws {
        let pool = try Mempool(name: "two\(spread)", count: 4095, cache: 0)
        func port(_ name: String) throws -> RingPort {
            let ring = try RingPort(name: "\(name)\(spread)", capacity: 1023, pool: pool)
            var wanted = PortConfiguration()
            wanted.symmetricRSS = false
            _ = try ring.port.configure(wanted, pools: [pool])
            try ring.port.start()
            return ring
        }
        let inputs = [try port("ta"), try port("tb")], outputs = [try port("tc"), try port("td")]
        let firstRings = PuntRings(capacity: 1023), secondRings = PuntRings(capacity: 1023)
        let rings = [firstRings.handle, secondRings.handle]
        let configuration = FlowCacheConfiguration(ipv4Capacity: 64, ipv6Capacity: 64, actionCapacity: 64, seed: 9)
        let memory = UnsafeMutableRawPointer.allocate(byteCount: FlowCache.memoryRequired(configuration), alignment: 64)
        var cache = FlowCache(memory: memory, configuration: configuration)
        let quiescence = QuiescentState(readers: 2)
        let workers = (0 ..< 2).map { index in
            var setup = WorkerConfiguration()
            setup.index = index
            setup.holdsBurst = true
            setup.inputs = [WorkerInput(queue: inputs[index].port.receiveQueue(0), port: 0, address: WorkerSuite.routerAddresses[0])]
            setup.outputs = [nil, outputs[index].port.transmitQueue(0)]
            let worker = UnsafeMutablePointer<Worker>.allocate(capacity: 1)
            worker.initialize(to: Worker(configuration: setup, reader: cache.reader, rings: rings[index], quiescence: quiescence.handle))
            return worker
        }
        let statistics = workers.map { $0.pointee.statistics }
        let stop = Stop()
        for worker in workers.map({ UInt(bitPattern: $0) }) {
            Thread.detachNewThread {
                guard let worker = UnsafeMutablePointer<Worker>(bitPattern: worker) else { return }
                while !stop.flag.load(ordering: .acquiring) { if worker.pointee.runOnce(tick: 1) == 0 { Thread.sleep(forTimeInterval: 0) } }
                worker.pointee.finish(tick: 1)
                // Release, pairs with the acquiring load below: the worker's last counts are seen.
                stop.ended.add(1, ordering: .releasing)
            }
        }
        var random = SystemRandomNumberGenerator()
        let hosts: [UInt8] = Array(2 ..< 18)
        let frames = hosts.map { udpFrame(host: $0) }
        var credited: UInt64 = 0, creditedBytes: UInt64 = 0, slow = 0, injected = 0, sent = 0, now: Timestamp = 0
        var token: UInt64?
        var changes = 0
        func account(_ record: FlowRecord) {
            credited += record.packets
            creditedBytes += record.bytes
        }
        func drain() {
            for (index, handle) in rings.enumerated() {
                for punt in PuntClass.allCases {
                    while let packet = handle.ring(punt).get() {
                        var flow = udpFlow(host: (packet.data + 29).load(as: UInt8.self))
                        packet.free()
                        slow += 1
                        flow.owner = FlowOwner(worker: index)
                        if cache.claim(&flow, last: nil, now: now).isGranted, cache.insert(flow, now: now) != nil { changes += 1 }
                    }
                }
            }
            for output in outputs {
                while let packet = output.take() {
                    packet.free()
                    sent += 1
                }
            }
            if let waiting = token {
                if quiescence.handle.hasPassed(waiting) {
                    token = nil
                    cache.endGracePeriod(now: now, account)
                }
            } else if cache.beginGracePeriod() {
                token = quiescence.handle.start()
            }
        }
        let end = Date().addingTimeInterval(2)
        while Date() < end {
            now += [1_000_000, 700_000_000].randomElement(using: &random) ?? 0
            for _ in 0 ..< 64 {
                let place = Int.random(in: 0 ..< hosts.count, using: &random)
                let other = Int.random(in: 0 ..< spread, using: &random) == 0 ? 1 : 0
                if frames[place].withUnsafeBytes({ inputs[place & 1 ^ other].inject($0) }) { injected += 1 }
            }
            if Int.random(in: 0 ..< 200, using: &random) == 0 { cache.invalidateAll() }
            drain()
            cache.sweep(now: now) { account($0); return true }
        }
        let patience = Date().addingTimeInterval(20)
        // A worker that outran this thread has dropped what no ring took.
        func dropped(_ reason: DropReason) -> Int { statistics.reduce(0) { $0 + Int($1.value(drop: reason)) } }
        while sent + slow + dropped(.transmitFailed) + dropped(.puntRingFull) < injected, Date() < patience { drain() }
        stop.flag.store(true, ordering: .releasing)
        while stop.ended.load(ordering: .acquiring) < 2 { Thread.sleep(forTimeInterval: 0.001) }
        for worker in workers {
            worker.deinitialize(count: 1)
            worker.deallocate()
        }
        cache.sweep(now: now) { account($0); return false }
        while token != nil || cache.beginGracePeriod() {
            token = nil
            cache.endGracePeriod(now: now, account)
        }
        let hits = statistics.reduce(0) { $0 + $1.value(.hits) }
        #expect(sent + slow + dropped(.transmitFailed) + dropped(.puntRingFull) == injected && injected > 1000)
        #expect(credited == hits && UInt64(sent + dropped(.transmitFailed)) == hits && creditedBytes == hits * 32)
        #expect(statistics.allSatisfy { $0.value(.hits) > 100 } && changes >= hosts.count)
        // Flows that both workers get from the start may be shared before either has met the other's entry.
        #expect(spread == 2 || statistics.contains { $0.value(guard: .worker) > 0 })
        for ring in inputs + outputs { ring.close() }
        firstRings.drainAndFree()
        secondRings.drainAndFree()
        memory.deallocate()
    }
}
