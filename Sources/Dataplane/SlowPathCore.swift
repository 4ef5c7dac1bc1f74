// The slow-path core: takes what workers punted, runs it through SlowPath, hands packets down to be sent, and does what
// has to be done by the clock: sweeping, ageing, reclaiming, neighbours, offload.
//
// Invariant: one thread owns it and everything below it (SlowPath and, through `manager`'s client, the offload rings).
// What another thread wants of it goes through `mailbox` and is done between two rounds.
// Overload: it takes a bounded number of packets a round, the classes in order of preference, so that a flood of new
// flows delays neither ARP nor its own clockwork.
import Conntrack
import DPDK
import FlowCache
import Offload
import SlowPath
import Synchronization
import Wire

/// Work for the slow-path core by another thread.
public final class SlowPathMailbox: Sendable {
    private let tasks = Mutex<[@Sendable (inout SlowPathCore) -> Void]>([])
    private let isFilled = Atomic<Bool>(false)
    public init() {}

    public func post(_ task: @escaping @Sendable (inout SlowPathCore) -> Void) {
        tasks.withLock { $0.append(task) }
        // Release, pairs with the acquiring load in `take`: whoever sees the flag finds the task.
        isFilled.store(true, ordering: .releasing)
    }

    func take() -> [@Sendable (inout SlowPathCore) -> Void] {
        guard isFilled.load(ordering: .acquiring) else { return [] }
        return tasks.withLock { tasks in
            isFilled.store(false, ordering: .relaxed)
            defer { tasks = [] }
            return tasks
        }
    }
}

public struct SlowPathCore: ~Copyable {
    /// How often the clockwork runs, ns.
    static var period: UInt64 { 10_000_000 }
    static var packetsPerRound: Int { 64 }

    public let path: UnsafeMutablePointer<SlowPath>
    let rings: [PuntRings.Handle]
    let allocator: PacketAllocator
    let quiescence: QuiescentState.Handle?
    let offload: OffloadLink?
    let mailbox: SlowPathMailbox
    let tables: FlowTableMemories
    var upkeep = FlowTableUpkeep()
    /// Workers are threads of their own; otherwise one thread does everything.
    var isThreaded: Bool { quiescence != nil }
    private let burst: UnsafeMutablePointer<OpaquePointer?>
    private var nextPeriod: Timestamp = 0
    private var graceToken: UInt64?
    private var isGraceOpen = false

    public init(path: UnsafeMutablePointer<SlowPath>, rings: [PuntRings.Handle], allocator: PacketAllocator,
                quiescence: QuiescentState.Handle?, offload: OffloadLink?, mailbox: SlowPathMailbox, tables: FlowTableMemories) {
        self.path = path
        self.rings = rings
        self.allocator = allocator
        self.quiescence = quiescence
        self.offload = offload
        self.mailbox = mailbox
        self.tables = tables
        burst = .allocate(capacity: Self.packetsPerRound)
        burst.initialize(repeating: nil, count: Self.packetsPerRound)
    }

    deinit {
        burst.deallocate()
    }

    /// One round at `now`: the number of packets, events and tasks handled; 0 means idle.
    public mutating func runOnce(now: Timestamp) -> Int {
        var handled = 0
        for worker in rings.indices {
            for punt in PuntClass.allCases {
                let ring = rings[worker].ring(punt)
                let count = ring.get(into: burst, maximum: Self.packetsPerRound)
                anticipate(count)
                for place in 0 ..< count { handle(Mbuf(burst[place].unsafelyUnwrapped), worker: worker, now: now) }
                handled += count
                if count > 0 { path.pointee.withdrawRetired() }
            }
        }
        if let offload { handled += offload.serve(path, now: now) }
        for task in mailbox.take() {
            task(&self)
            handled += 1
        }
        if advanceResize(now: now) { handled += 1 }
        advanceGracePeriod(now: now)
        sweepFlowTable(now: now)
        if now >= nextPeriod { runClockwork(now: now) }
        return handled
    }

    // MARK: - Packets

    /// Asks the memory for what the batch's packets will need, in stages: each stage's misses pass together.
    private mutating func anticipate(_ count: Int) {
        guard count > 2 else { return }
        for place in 0 ..< count { Mbuf(burst[place].unsafelyUnwrapped).prefetchData() }
        for place in 0 ..< count {
            let packet = Mbuf(burst[place].unsafelyUnwrapped)
            path.pointee.anticipate(packet.data, length: packet.length, ingress: packet.port)
        }
        path.pointee.anticipateAll()
    }

    private mutating func handle(_ packet: Mbuf, worker: Int, now: Timestamp) {
        guard packet.segmentCount == 1 || packet.linearize() else {
            path.pointee.statistics.count(.frameTooLong)
            packet.free()
            return
        }
        let outcome = path.pointee.process(packet.packetBuffer, ingress: packet.port, worker: worker, now: now)
        sendOutbox(worker: worker)
        if outcome.sendsInPlace {
            packet.setFrame(path.pointee.inPlace)
            hand(packet, to: outcome.port, worker: worker)
        } else {
            packet.free()
        }
        // The packet is in the ring: only now may the flow's next one find the entry (Worker, Order).
        if outcome.publishes { path.pointee.commitPublication(worker: worker, now: now) }
    }

    /// Copies what the slow path made into packets of their own and hands them down.
    private mutating func sendOutbox(worker: Int) {
        for index in 0 ..< path.pointee.outbox.count {
            let outbound = path.pointee.outbox[index]
            guard let packet = allocator.packet(UnsafeRawBufferPointer(start: outbound.start, count: outbound.length)) else {
                path.pointee.statistics.count(.noBuffer)
                continue
            }
            hand(packet, to: outbound.port, worker: worker)
        }
    }

    private mutating func hand(_ packet: Mbuf, to port: PortIndex, worker: Int) {
        guard rings[worker].transmit.put(TransmitRequest(packet: packet, port: port)) else {
            path.pointee.statistics.count(.transmitRingFull)
            packet.free()
            return
        }
    }

    // MARK: - Clockwork

    private mutating func runClockwork(now: Timestamp) {
        nextPeriod = now &+ Self.period
        considerResize(now: now)
        path.pointee.runTimers(now: now)
        sendOutbox(worker: 0)
        offload?.offerBusyFlows(path, now: now)
    }

    /// Reclaims withdrawn entries and dead connections once every worker has let go of them.
    private mutating func advanceGracePeriod(now: Timestamp) {
        if !isGraceOpen {
            guard path.pointee.beginGracePeriod() else { return }
            isGraceOpen = true
            graceToken = quiescence?.start()
        }
        if let graceToken, let quiescence, !quiescence.hasPassed(graceToken) { return }
        isGraceOpen = false
        path.pointee.endGracePeriod(now: now)
    }

    /// Lets every worker pass a quiescent state, then credits all counts: what a listing shows is exact up to this
    /// moment. Workers run on; this waits for a round of each.
    public mutating func settle(now: Timestamp) {
        if let quiescence { quiescence.wait(for: quiescence.start()) }
        path.pointee.creditAllFlows(now: now)
        if isGraceOpen {
            isGraceOpen = false
            path.pointee.endGracePeriod(now: now)
        }
        if path.pointee.beginGracePeriod() {
            if let quiescence { quiescence.wait(for: quiescence.start()) }
            path.pointee.endGracePeriod(now: now)
        }
        if let offload { _ = offload.serve(path, now: now) }
    }

    /// The same at the end, when no worker runs any more.
    public mutating func settleStopped(now: Timestamp) {
        if let offload { _ = offload.serve(path, now: now) }
        path.pointee.creditAllFlows(now: now)
        if isGraceOpen { path.pointee.endGracePeriod(now: now) }
        isGraceOpen = false
        if path.pointee.beginGracePeriod() { path.pointee.endGracePeriod(now: now) }
    }
}
