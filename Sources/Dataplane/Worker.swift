// A worker: polls its receive queues, forwards the packets of cached flows, hands the rest up, sends what comes down.
//
// Invariant: one thread runs it; `runOnce` takes no lock, allocates nothing, makes no system call and touches no class instance,
// Array or closure (scripts/check-hot-path reads its disassembly). Every packet received leaves in exactly one way: sent,
// punted, or dropped under a counted reason.
//
// Two bursts are under way at once, so that each stage's cache misses pass while the other burst is worked on: a burst is
// received and read (its buckets requested), then the burst before it is forwarded and sent, then the new one's tags are matched
// (its entries requested); it is forwarded when the next burst has been read, or an empty poll came instead.
//
// Order: a burst's packets are looked up first, then what the slow path handed down is queued for sending, then the
// burst's hits. A visible entry was published after its flow's last slow-path packet was put into the ring, so a flow's
// packets leave in the order in which they came.
//
// Overload: a full punt ring drops (`puntRingFull`), a full transmit queue is retried `transmitAttempts` times and then drops
// (`transmitFailed`); neither blocks the worker.
import CDPDK
import DPDK
import FlowCache
import Routing
import Synchronization
import Wire

/// One queue that a worker polls.
public struct WorkerInput: Sendable {
    public var queue: ReceiveQueue
    public var port: PortIndex
    /// The port's own address: frames for other stations are not ours.
    public var address: EthernetAddress
    public init(queue: ReceiveQueue, port: PortIndex, address: EthernetAddress) {
        self.queue = queue
        self.port = port
        self.address = address
    }
}

public struct WorkerConfiguration: Sendable {
    /// Reader number in the quiescent state, and the worker's name in reports.
    public var index = 0
    public var inputs: [WorkerInput] = []
    /// The worker's own transmit queue of each port, by `PortIndex`; nil where it may not send.
    public var outputs: [TransmitQueue?] = []
    public var connections = ConnectionRecords(base: nil, stride: 0)
    /// The VLANs and PPPoE sessions among the interfaces, with their numbers, which come behind those of the ports.
    public var tagged: [(number: PortIndex, interface: Interface)] = []
    /// A round may leave its last burst to the next one. Off: every round ends what it began.
    public var holdsBurst = false
    /// Rounds between two reports of quiescence while packets come in; an idle round always reports.
    public var roundsPerQuiescence = 64
    public var transmitAttempts = 8
    public init() {}
}

/// A polled queue with its port's address as a frame's first six bytes show it. 16 bytes.
struct InputState {
    var address: UInt64
    var queue: ReceiveQueue
    var port: PortIndex
}

/// A port's batch of packets to send.
struct OutputState {
    var queue = TransmitQueue(port: 0, queue: 0)
    var isOpen = false
    var count = 0
    var bytes = 0
    var packets: UnsafeMutablePointer<OpaquePointer?>
}

/// A burst's packets of one family that may be cached, and what was read of each.
struct ProbeLane {
    var count = 0
    /// Some of them are TCP.
    var hasTCP = false
    var packets: UnsafeMutablePointer<OpaquePointer?>
    var probes: UnsafeMutablePointer<FlowProbe>
}

/// A class's packets of a burst on their way up.
struct PuntState {
    var count = 0
    var packets: UnsafeMutablePointer<OpaquePointer?>
}

/// A burst between its reception and its end.
struct BurstState {
    var input: UnsafeMutablePointer<InputState>
    /// As received.
    var packets: UnsafeMutablePointer<OpaquePointer?>
    var ipv4: ProbeLane
    var ipv6: ProbeLane
    /// By class.
    var punts: UnsafeMutablePointer<PuntState>
}

public struct Worker: ~Copyable {
    /// Packets per receive call.
    public static var burst: Int { 32 }
    /// Packets a port's batch holds before it is sent.
    static var batch: Int { 64 }

    public let statistics: WorkerStatistics
    let index: Int
    /// What its own entries say.
    let owner: FlowOwner
    var reader: FlowCacheReader
    let connections: ConnectionRecords
    let tagged: TaggedInterfaces
    let rings: PuntRings.Handle
    let quiescence: QuiescentState.Handle?
    let roundsPerQuiescence: Int
    let transmitAttempts: Int
    let inputs: UnsafeMutablePointer<InputState>
    let inputCount: Int
    let outputs: UnsafeMutablePointer<OutputState>
    let outputCount: Int
    /// The one to be received next, and the one under way, if `isUnderWay`.
    var next: UnsafeMutablePointer<BurstState>
    var current: UnsafeMutablePointer<BurstState>
    var isUnderWay = false
    let holdsBurst: Bool
    /// A burst's hits with where they go.
    let hits: UnsafeMutablePointer<OpaquePointer?>
    let hitPorts: UnsafeMutablePointer<PortIndex>
    /// Of the burst's hits: bytes in all, and whether they leave by more than one port.
    var hitBytes = 0
    var hitsDiffer = false
    let requests: UnsafeMutablePointer<TransmitRequest>
    private let memory: UnsafeMutableRawPointer
    var roundsSinceQuiescence = 0

    /// `reader`'s cache, `rings` and `quiescence` outlive the worker. `quiescence` nil: the one thread that runs everything
    /// reclaims between rounds.
    public init(configuration: WorkerConfiguration, reader: FlowCacheReader, rings: PuntRings.Handle, quiescence: QuiescentState.Handle?) {
        index = configuration.index
        owner = FlowOwner.reader(worker: configuration.index)
        tagged = TaggedInterfaces(configuration.tagged)
        self.reader = reader
        self.rings = rings
        self.quiescence = quiescence
        connections = configuration.connections
        roundsPerQuiescence = configuration.roundsPerQuiescence
        transmitAttempts = configuration.transmitAttempts
        holdsBurst = configuration.holdsBurst
        let numbers = configuration.inputs.map(\.port) + configuration.tagged.map(\.number)
        statistics = WorkerStatistics(portCount: max(configuration.outputs.count, Int(numbers.max() ?? 0) + 1))
        inputCount = configuration.inputs.count
        outputCount = configuration.outputs.count
        let burst = Worker.burst
        let punted = PuntClass.allCases.count
        var offset = 0
        func reserve(_ bytes: Int) -> Int {
            defer { offset += (bytes + 63) & ~63 }
            return offset
        }
        let inputsAt = reserve(inputCount * MemoryLayout<InputState>.stride)
        let outputsAt = reserve(outputCount * MemoryLayout<OutputState>.stride)
        let burstsAt = reserve(2 * MemoryLayout<BurstState>.stride)
        let puntsAt = reserve(2 * punted * MemoryLayout<PuntState>.stride)
        // For each burst: as received, and by family.
        let packetsAt = reserve(2 * burst * 8 * 3)
        let probesAt = reserve(2 * burst * MemoryLayout<FlowProbe>.stride * 2)
        let hitsAt = reserve(burst * 8)
        let hitPortsAt = reserve(burst * 2)
        let requestsAt = reserve(burst * MemoryLayout<TransmitRequest>.stride)
        let puntPacketsAt = reserve(2 * punted * burst * 8)
        let outputPacketsAt = reserve(outputCount * Worker.batch * 8)
        memory = UnsafeMutableRawPointer.allocate(byteCount: offset, alignment: 64)
        memory.initializeMemory(as: UInt8.self, repeating: 0, count: offset)
        inputs = (memory + inputsAt).bindMemory(to: InputState.self, capacity: inputCount)
        outputs = (memory + outputsAt).bindMemory(to: OutputState.self, capacity: outputCount)
        let punts = (memory + puntsAt).bindMemory(to: PuntState.self, capacity: 2 * punted)
        let packets = (memory + packetsAt).bindMemory(to: OpaquePointer?.self, capacity: 2 * burst * 3)
        let probes = (memory + probesAt).bindMemory(to: FlowProbe.self, capacity: 2 * burst * 2)
        next = (memory + burstsAt).bindMemory(to: BurstState.self, capacity: 2)
        current = next + 1
        for place in 0 ..< 2 {
            let packets = packets + place * burst * 3, probes = probes + place * burst * 2
            (next + place).initialize(to: BurstState(
                input: inputs, packets: packets, ipv4: ProbeLane(packets: packets + burst, probes: probes),
                ipv6: ProbeLane(packets: packets + burst * 2, probes: probes + burst), punts: punts + place * punted))
        }
        hits = (memory + hitsAt).bindMemory(to: OpaquePointer?.self, capacity: burst)
        hitPorts = (memory + hitPortsAt).bindMemory(to: PortIndex.self, capacity: burst)
        requests = (memory + requestsAt).bindMemory(to: TransmitRequest.self, capacity: burst)
        for (place, input) in configuration.inputs.enumerated() {
            let address = (input.address.rawValue << 16).bigEndian
            (inputs + place).initialize(to: InputState(address: address, queue: input.queue, port: input.port))
        }
        for (place, queue) in configuration.outputs.enumerated() {
            var state = OutputState(
                packets: (memory + outputPacketsAt + place * Worker.batch * 8).bindMemory(to: OpaquePointer?.self, capacity: Worker.batch))
            if let queue {
                state.queue = queue
                state.isOpen = true
            }
            (outputs + place).initialize(to: state)
        }
        for place in 0 ..< 2 * punted {
            let packets = (memory + puntPacketsAt + place * burst * 8).bindMemory(to: OpaquePointer?.self, capacity: burst)
            (punts + place).initialize(to: PuntState(packets: packets))
        }
        quiescence?.register(reader: index)
    }

    deinit {
        quiescence?.unregister(reader: index)
        if isUnderWay { abandon() }
        for place in 0..<outputCount where outputs[place].count > 0 {
            rte_pktmbuf_free_bulk(outputs[place].packets, UInt32(outputs[place].count))
        }
        memory.deallocate()
        tagged.deallocate()
    }

    /// One polling round over all queues, at the coarse time `tick` (`FlowCache.tick`): the number of packets received and
    /// taken from the slow path. 0 is an idle round.
    @inline(never)
    public mutating func runOnce(tick: UInt32) -> Int {
        // Without others to wait for it, the cache may have been resized between two rounds.
        if quiescence == nil { reader.refresh() }
        var handled = 0
        var place = 0
        while place < inputCount {
            handled &+= poll(inputs + place, tick: tick)
            place &+= 1
        }
        if !holdsBurst { complete(tick: tick) }
        handled &+= takeFromSlowPath()
        flushOutputs()
        statistics.add(.rounds, 1)
        roundsSinceQuiescence &+= 1
        if handled == 0 { statistics.add(.idleRounds, 1) }
        if handled == 0 || roundsSinceQuiescence >= roundsPerQuiescence {
            roundsSinceQuiescence = 0
            reportQuiescence(tick: tick)
        }
        return handled
    }

    /// Ends what is under way and sends what waits: the last call of a worker's thread.
    public mutating func finish(tick: UInt32) {
        complete(tick: tick)
        flushOutputs()
    }

    @inline(never)
    private mutating func reportQuiescence(tick: UInt32) {
        if isUnderWay { finish(tick: tick) }
        // Here the worker holds no pointer into the flow cache.
        guard let quiescence else { return }
        quiescence.quiescent(reader: index)
        // After the report, never before (FlowCacheReader+Refresh.swift).
        reader.refresh()
    }

    /// Receives a burst of one queue and brings it half way; ends the one before it.
    @inline(__always)
    private mutating func poll(_ input: UnsafeMutablePointer<InputState>, tick: UInt32) -> Int {
        let burst = next
        let count = input.pointee.queue.receive(into: burst.pointee.packets, maximum: UInt16(truncatingIfNeeded: Worker.burst))
        guard count > 0 else {
            if isUnderWay { complete(tick: tick) }
            return 0
        }
        if isUnderWay { requestConnections(current) }
        burst.pointee.input = input
        classify(count, burst)
        let hitCount = isUnderWay ? forward(current, tick: tick) : 0
        match(burst)
        if isUnderWay { send(current, hitCount) }
        next = current
        current = burst
        isUnderWay = true
        return count
    }

    /// Ends the burst under way, if there is one.
    @inline(never)
    mutating func complete(tick: UInt32) {
        guard isUnderWay else { return }
        requestConnections(current)
        let hitCount = forward(current, tick: tick)
        send(current, hitCount)
        isUnderWay = false
    }

    @inline(__always)
    private mutating func send(_ burst: UnsafeMutablePointer<BurstState>, _ hitCount: Int) {
        _ = takeFromSlowPath()
        send(hitCount)
        flushPunts(burst)
    }

    /// Frees the packets of a burst that will not be forwarded any more.
    private func abandon() {
        let burst = current.pointee
        if burst.ipv4.count > 0 { rte_pktmbuf_free_bulk(burst.ipv4.packets, UInt32(burst.ipv4.count)) }
        if burst.ipv6.count > 0 { rte_pktmbuf_free_bulk(burst.ipv6.packets, UInt32(burst.ipv6.count)) }
        for punt in PuntClass.allCases where burst.punts[Int(punt.rawValue)].count > 0 {
            rte_pktmbuf_free_bulk(burst.punts[Int(punt.rawValue)].packets, UInt32(burst.punts[Int(punt.rawValue)].count))
        }
    }
}
