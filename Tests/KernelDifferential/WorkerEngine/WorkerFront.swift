// Two real workers and the slow-path core, round by round in one thread: `Worker.runOnce` over ring ports, the punt and transmit rings
// between them, quiescent states, the core's own clockwork, sweeps and resizes.
//
// Invariant: a frame has passed through everything before the next one comes; what is left over from it is only what may be: entries that wait
// for a worker that has not run since. Time and the seed decide everything.
import Conntrack
import DPDK
import Dataplane
import DialogueEngine
import FlowCache
import Routing
import SlowPath
import Wire

final class WorkerFront: Front {
    private let parts: EngineParts
    private let wires: Wires
    private let quiescence: QuiescentState
    private let rings: [WorkerRings]
    private let tables = FlowTableMemories(node: -1, wantsHugePages: false, isSynchronous: true)
    private let workers: UnsafeMutablePointer<Worker>
    private let core: UnsafeMutablePointer<SlowPathCore>
    private var disturbance: Disturbance
    private var received = 0
    private(set) var verifiedHits = 0
    private(set) var frames = 0
    private(set) var disposition = ""

    /// Keeps a worker's rings, which an array cannot.
    private final class WorkerRings {
        let rings = PuntRings(capacity: 255)
    }

    init(_ parts: EngineParts, _ wires: Wires) {
        self.parts = parts
        self.wires = wires
        disturbance = Disturbance(seed: parts.seed)
        quiescence = QuiescentState(readers: Wires.workers)
        rings = (0 ..< Wires.workers).map { _ in WorkerRings() }
        let path = parts.path
        workers = .allocate(capacity: Wires.workers)
        for index in 0 ..< Wires.workers {
            var setup = WorkerConfiguration()
            setup.index = index
            setup.holdsBurst = disturbance.holdsBursts
            setup.tagged = parts.links.tagged(path.pointee.router)
            setup.connections = ConnectionRecords(base: path.pointee.tracker.pointee.poolBase, stride: ConnectionTracker.stride)
            for port in 0 ..< Wires.ports {
                let device = wires.device(port: port, worker: index)
                setup.inputs.append(WorkerInput(queue: device.receiveQueue(0), port: PortIndex(port), address: path.pointee.router.interfaces[PortIndex(port)].mac))
                setup.outputs.append(device.transmitQueue(0))
            }
            (workers + index).initialize(to: Worker(
                configuration: setup, reader: path.pointee.flows.pointee.reader, rings: rings[index].rings.handle, quiescence: quiescence.handle))
        }
        core = .allocate(capacity: 1)
        core.initialize(to: SlowPathCore(
            path: path, rings: rings.map { $0.rings.handle }, allocator: wires.pool.allocator, quiescence: quiescence.handle, offload: nil,
            mailbox: SlowPathMailbox(), tables: tables))
    }

    func close() {
        core.deinitialize(count: 1)
        core.deallocate()
        for index in 0 ..< Wires.workers { (workers + index).deinitialize(count: 1) }
        workers.deallocate()
        for pair in rings { pair.rings.drainAndFree() }
        tables.close()
        _ = wires.takeSent()
    }

    var hits: Int { (0 ..< Wires.workers).reduce(0) { $0 + Int(workers[$1].statistics.value(.hits)) } }

    /// Packets that vanished or came twice, and buffers that did.
    var defect: String {
        var text = ""
        if wires.inUse != 0 { text += "\(wires.inUse) packet buffers were not given back\n" }
        let sums = (0 ..< Wires.workers).map { index -> (Int, Int) in
            let counts = workers[index].statistics
            let ended = counts.value(.hits) + counts.value(.punted) + DropReason.allCases.reduce(0) { $0 + counts.value(drop: $1) }
            return (Int(counts.value(.received)), Int(ended))
        }
        let got = sums.reduce(0) { $0 + $1.0 }, ended = sums.reduce(0) { $0 + $1.1 }
        if got != received || ended != received { text += "\(received) frames were sent, \(got) received, \(ended) came to an end\n" }
        return text
    }

    // MARK: - Time and frames

    func pass(now: Timestamp) -> [SentFrame] {
        _ = core.pointee.runOnce(now: now)
        drain(now)
        return wires.takeSent()
    }

    func send(_ frame: [UInt8], port: Int, now: Timestamp) -> [SentFrame] {
        frames += 1
        let worker = disturbance.worker()
        if parts.cachesFlows, parts.mutation == .none, disturbance.invalidates() { parts.path.pointee.invalidateFlows() }
        let verified = frames % 2 == 0 ? verdict(frame) : VerifiedChecksums(network: false, transport: false)
        var flags: OffloadFlags = []
        if verified.network { flags.insert(.ipChecksumGood) }
        if verified.transport { flags.insert(.transportChecksumGood) }
        // Shorter than any Ethernet header: no NIC delivers it.
        guard !frame.isEmpty, wires.inject(frame, port: port, worker: worker, flags: flags) else { return [] }
        received += 1
        let before = hits
        planted { run(worker, now) }
        if hits > before, verified.network, verified.transport { verifiedHits += 1 }
        disposition = hits > before ? "cached" : "slow path"
        drain(now)
        // A worker that does not run holds every grace period open.
        for index in 0 ..< Wires.workers where disturbance.runs() { run(index, now) }
        return wires.takeSent()
    }

    /// A worker's round; two, if it ends a burst with the next one only.
    private func run(_ worker: Int, _ now: Timestamp) {
        let tick = FlowCache.tick(now)
        _ = workers[worker].runOnce(tick: tick)
        if disturbance.holdsBursts { _ = workers[worker].runOnce(tick: tick) }
    }

    /// Until nothing is on its way any more.
    private func drain(_ now: Timestamp) {
        while true {
            let goesUp = rings.contains { pair in PuntClass.allCases.contains { !pair.rings.handle.ring($0).isEmpty } }
            if goesUp { _ = core.pointee.runOnce(now: now) }
            let goesDown = rings.indices.filter { !rings[$0].rings.handle.transmit.isEmpty }
            for index in goesDown { run(index, now) }
            if !goesUp, goesDown.isEmpty { return }
        }
    }

    func settle(now: Timestamp) {
        for index in 0 ..< Wires.workers {
            run(index, now)
            // One thread runs everything: the core must not wait for a worker that it keeps from running.
            quiescence.handle.offline(reader: index)
        }
        core.pointee.settle(now: now)
        for index in 0 ..< Wires.workers { quiescence.handle.online(reader: index) }
    }

    private func verdict(_ frame: [UInt8]) -> VerifiedChecksums {
        var copy = frame
        return copy.withUnsafeMutableBytes { bytes in
            guard let start = bytes.baseAddress else { return VerifiedChecksums(network: false, transport: false) }
            return VerifiedChecksums(start, bytes.count)
        }
    }

    // MARK: - Planted faults

    /// Runs `work` with the planted fault in what the workers read.
    private func planted(_ work: () -> Void) {
        let layout = parts.path.pointee.flows.pointee.reader.layout
        let actions = UnsafeMutablePointer(mutating: layout.actions)
        switch parts.mutation {
        case .none: work()
        case .wrongGuard:
            // Actions are shared and looked up by content: the fault is there only while the worker looks.
            let kept = (0 ..< 1024).map { actions[$0] }
            for place in 0 ..< 1024 { actions[place].loosen() }
            work()
            for place in 0 ..< 1024 { actions[place] = kept[place] }
        case .missingCredit:
            let counts = [counts(layout.ipv4, FlowEntryOffset.stride4, FlowEntryOffset.packets4), counts(layout.ipv6, FlowEntryOffset.stride6, FlowEntryOffset.packets6)]
            let kept = counts.map { $0.map { $0.load(as: Counts.self) } }
            work()
            for (places, values) in zip(counts, kept) { for (place, value) in zip(places, values) { place.storeBytes(of: value, as: Counts.self) } }
        }
    }

    /// An entry's packets and bytes as they lie in it.
    private typealias Counts = (UInt32, UInt32, UInt32)

    private func counts(_ table: FlowCacheLayout.Table, _ stride: Int, _ offset: Int) -> [UnsafeMutableRawPointer] {
        (0 ..< Int(table.buckets) * FlowTableView.lanes).map { table.entries + $0 * stride + offset }
    }
}

/// What is random in a run and must not show, by the engine's seed alone.
private struct Disturbance {
    /// Workers leave their last burst to their next round.
    let holdsBursts: Bool
    /// One frame in so many reaches the other worker; 0: none does.
    private let spread: UInt64
    private let invalidating: Bool
    private var state: UInt64

    init(seed: UInt64) {
        state = seed &* 0x9e37_79b9_7f4a_7c15 ^ 0x5851_f42d
        holdsBursts = state >> 61 & 1 == 1
        spread = [0, 0, 12, 3][Int(state >> 56 & 3)]
        invalidating = state >> 52 & 3 == 3
    }

    private mutating func random(_ bound: UInt64) -> UInt64 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return (state >> 33) % bound
    }

    mutating func worker() -> Int { spread != 0 && random(spread) == 0 ? 1 : 0 }
    mutating func invalidates() -> Bool { invalidating && random(10) == 0 }
    mutating func runs() -> Bool { random(3) != 0 }
}
