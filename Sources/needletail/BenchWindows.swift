// What runs on a worker lcore during a benchmark: windows of each loop in turn, timed by the thread's own CPU time.
//
// Invariant: plain memory only; the main thread reads the results after the lcore has ended. The worker and its twin go on
// where the other left the flows; the loops that no connection may see put the source back as they found it.
import CDPDK
import DPDK
import Dataplane
import FlowCache
import Foundation

/// The loops that are compared, in the order of their windows.
enum BenchLoop: Int, CaseIterable {
    case floor, memory, twin, twinGivenHash, worker
}

/// One worker lcore's part. The first round of windows warms up.
struct BenchLcore {
    var worker: UnsafeMutablePointer<Worker>
    var twin: UnsafeMutablePointer<nt_twin>
    var sources: (UnsafeMutablePointer<nt_flow_source>, UnsafeMutablePointer<nt_flow_source>)
    var portA: UInt16
    var portB: UInt16
    var queue: UInt16
    var windows: Int
    var nanosecondsPerWindow: UInt64
    /// Only the floor, or all.
    var measuresForwarding: Bool
    /// The source plays a NIC that computes the flow cache's hash.
    var givesHash: Bool
    var lines: UnsafeMutablePointer<UInt8>
    var lineCount: UInt64
    var random: UInt64
    var isRealtime = false
    /// CPU nanoseconds and packets, by loop and window.
    var times: UnsafeMutablePointer<UInt64>
    var packets: UnsafeMutablePointer<UInt64>
}

private func cpuNanoseconds() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}

/// Rounds over both ports between two looks at the clock.
private let roundsPerLook: UInt32 = 256

@inline(never)
private func window(_ lcore: UnsafeMutablePointer<BenchLcore>, _ loop: BenchLoop) -> (time: UInt64, packets: UInt64) {
    let it = lcore.pointee
    let progress = (it.sources.0.pointee.progress, it.sources.1.pointee.progress)
    let start = cpuNanoseconds()
    var now = start
    var packets: UInt64 = 0
    repeat {
        switch loop {
        case .floor: packets &+= nt_floor_run(it.portA, it.portB, it.queue, roundsPerLook)
        case .memory: packets &+= nt_memory_run(it.portA, it.portB, it.queue, roundsPerLook, it.lines, it.lineCount, &lcore.pointee.random)
        case .twin:
            it.twin.pointee.tick = FlowCache.tick(Clock.nanoseconds)
            packets &+= nt_twin_run(it.twin, roundsPerLook)
        case .twinGivenHash:
            it.twin.pointee.tick = FlowCache.tick(Clock.nanoseconds)
            packets &+= nt_twin_run_hash_given(it.twin, roundsPerLook)
        case .worker:
            let tick = FlowCache.tick(Clock.nanoseconds)
            for _ in 0 ..< roundsPerLook { packets &+= UInt64(truncatingIfNeeded: it.worker.pointee.runOnce(tick: tick)) }
        }
        now = cpuNanoseconds()
    } while now - start < it.nanosecondsPerWindow
    switch loop {
    case .floor, .memory:
        it.sources.0.pointee.progress = progress.0
        it.sources.1.pointee.progress = progress.1
    case .twin, .twinGivenHash: nt_twin_finish(it.twin)
    case .worker: it.worker.pointee.finish(tick: FlowCache.tick(Clock.nanoseconds))
    }
    return (now - start, packets)
}

/// The body of a worker lcore.
func benchLcore(_ context: UnsafeMutableRawPointer?) -> Int32 {
    guard let lcore = context?.assumingMemoryBound(to: BenchLcore.self) else { return -1 }
    var parameter = sched_param()
    parameter.sched_priority = 1
    lcore.pointee.isRealtime = sched_setscheduler(0, SCHED_FIFO, &parameter) == 0
    let windows = lcore.pointee.windows
    for number in -1 ..< windows {
        for loop in BenchLoop.allCases where loop == .floor || lcore.pointee.measuresForwarding && (loop != .twinGivenHash || lcore.pointee.givesHash) {
            let found = window(lcore, loop)
            guard number >= 0 else { continue }
            lcore.pointee.times[loop.rawValue * windows + number] = found.time
            lcore.pointee.packets[loop.rawValue * windows + number] = found.packets
        }
    }
    parameter.sched_priority = 0
    _ = sched_setscheduler(0, SCHED_OTHER, &parameter)
    return 0
}
