// The loops of the lcores: workers, slow path, offload manager.
//
// Invariant: a loop touches only what its context points to. The stop flag is stored with release and loaded with
// acquire: who sees it raised sees everything that happened before.
import DPDK
import FlowCache
import Offload
import Synchronization
import Wire

/// What a loop does in a round without work.
struct IdleLoop {
    /// Rests once nothing has come for about a millisecond; the CPU is another's until then.
    let sleeps: Bool
    /// Another lcore runs on the same CPU.
    let yields: Bool
    private var rounds = 0
    private static let patience = 2000

    init(sleeps: Bool, yields: Bool) {
        self.sleeps = sleeps
        self.yields = yields
    }

    mutating func reset() { rounds = 0 }

    /// True if it slept: the clock has moved on.
    @discardableResult
    mutating func rest() -> Bool {
        rounds &+= 1
        if sleeps, rounds > IdleLoop.patience {
            Clock.rest(microseconds: 50)
            return true
        }
        if yields { Clock.yield() } else { Clock.pause() }
        return false
    }
}

final class LcoreCrew {
    private struct WorkerContext {
        var worker: UnsafeMutablePointer<Worker>
        var stop: UnsafeMutablePointer<Atomic<Bool>>
        var idle: IdleLoop
    }

    private struct CoreContext {
        var core: UnsafeMutablePointer<SlowPathCore>
        var stop: UnsafeMutablePointer<Atomic<Bool>>
        var idle: IdleLoop
    }

    private struct ManagerContext {
        var manager: Unmanaged<OffloadManager>
        var stop: UnsafeMutablePointer<Atomic<Bool>>
    }

    private let assembly: Assembly
    private let eal: EAL
    /// Workers stop first, so that what they punted last is still dealt with.
    private let stopWorkers: UnsafeMutablePointer<Atomic<Bool>>
    private let stopOthers: UnsafeMutablePointer<Atomic<Bool>>
    private let workers: UnsafeMutablePointer<WorkerContext>
    private let core: UnsafeMutablePointer<CoreContext>
    private let manager: UnsafeMutablePointer<ManagerContext>?

    init(assembly: Assembly, eal: EAL) {
        self.assembly = assembly
        self.eal = eal
        let sleeps = assembly.configuration.sleepsWhenIdle
        stopWorkers = .allocate(capacity: 1)
        stopWorkers.initialize(to: Atomic(false))
        stopOthers = .allocate(capacity: 1)
        stopOthers.initialize(to: Atomic(false))
        workers = .allocate(capacity: assembly.workers.count)
        for (index, worker) in assembly.workers.enumerated() {
            (workers + index).initialize(to: WorkerContext(worker: worker, stop: stopWorkers, idle: IdleLoop(sleeps: sleeps, yields: eal.sharesCPU(eal.workers[index]))))
        }
        core = .allocate(capacity: 1)
        core.initialize(to: CoreContext(core: assembly.core, stop: stopOthers, idle: IdleLoop(sleeps: sleeps, yields: eal.slowPath.map(eal.sharesCPU) ?? true)))
        if let owner = assembly.manager {
            let context = UnsafeMutablePointer<ManagerContext>.allocate(capacity: 1)
            context.initialize(to: ManagerContext(manager: .passUnretained(owner), stop: stopOthers))
            manager = context
        } else {
            manager = nil
        }
    }

    deinit {
        workers.deallocate()
        core.deallocate()
        manager?.deallocate()
        stopWorkers.deallocate()
        stopOthers.deallocate()
    }

    func launch() throws {
        if let slowPath = eal.slowPath { try slowPath.launch(LcoreCrew.slowPathLoop, context: core) }
        if let manager, let lcore = eal.extras.first { try lcore.launch(LcoreCrew.managerLoop, context: manager) }
        for index in assembly.workers.indices { try eal.workers[index].launch(LcoreCrew.workerLoop, context: workers + index) }
    }

    /// Returns when every lcore has returned.
    func stop() {
        stopWorkers.pointee.store(true, ordering: .releasing)
        for lcore in eal.workers { lcore.wait() }
        stopOthers.pointee.store(true, ordering: .releasing)
        eal.slowPath?.wait()
        for lcore in eal.extras { lcore.wait() }
    }

    private static let workerLoop: @convention(c) (UnsafeMutableRawPointer?) -> Int32 = { raw in
        guard let context = raw?.assumingMemoryBound(to: WorkerContext.self) else { return 1 }
        let worker = context.pointee.worker, stop = context.pointee.stop
        var idle = context.pointee.idle
        var tick = FlowCache.tick(Clock.nanoseconds)
        var rounds = 0
        while !stop.pointee.load(ordering: .acquiring) {
            rounds &+= 1
            // A tick is a millisecond; a clock reading costs 23 ns.
            if rounds & 7 == 0 { tick = FlowCache.tick(Clock.nanoseconds) }
            if worker.pointee.runOnce(tick: tick) != 0 {
                idle.reset()
            } else if idle.rest() {
                tick = FlowCache.tick(Clock.nanoseconds)
            }
        }
        worker.pointee.finish(tick: tick)
        return 0
    }

    private static let slowPathLoop: @convention(c) (UnsafeMutableRawPointer?) -> Int32 = { raw in
        guard let context = raw?.assumingMemoryBound(to: CoreContext.self) else { return 1 }
        let core = context.pointee.core, stop = context.pointee.stop
        var idle = context.pointee.idle
        while !stop.pointee.load(ordering: .acquiring) {
            if core.pointee.runOnce(now: Clock.nanoseconds) != 0 { idle.reset() } else { idle.rest() }
        }
        return 0
    }

    private static let managerLoop: @convention(c) (UnsafeMutableRawPointer?) -> Int32 = { raw in
        guard let context = raw?.assumingMemoryBound(to: ManagerContext.self) else { return 1 }
        let manager = context.pointee.manager, stop = context.pointee.stop
        while !stop.pointee.load(ordering: .acquiring) {
            let handled = manager._withUnsafeGuaranteedRef { $0.runOnce(now: Clock.nanoseconds) }
            if handled == 0 { Clock.rest(microseconds: 200) }
        }
        return 0
    }
}
