// A worker: polls its receive queues, forwards the packets of cached flows, hands the rest up, sends what comes down.
//
// Invariant: one thread runs it; `runOnce` takes no lock, allocates nothing, makes no system call and touches no class instance,
// Array or closure (scripts/check-hot-path reads its disassembly). Every packet received leaves in exactly one way: sent,
// punted, or dropped under a counted reason.
//
// Order: in a burst, packets are looked up first, then what the slow path handed down is queued for sending, then the
// burst's hits. A visible entry was published after its flow's last slow-path packet was put into the ring, so a flow's
// packets leave in the order in which they came.
//
// Overload: a full punt ring drops (`puntRingFull`), a full transmit queue is retried `transmitAttempts` times and then drops
// (`transmitFailed`); neither blocks the worker.
import CDPDK
import DPDK
import FlowCache
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

/// A class's packets of this burst on their way up.
struct PuntState {
    var count = 0
    var packets: UnsafeMutablePointer<OpaquePointer?>
}

public struct Worker: ~Copyable {
    /// Packets per receive call.
    public static var burst: Int { 32 }
    /// Packets a port's batch holds before it is sent.
    static var batch: Int { 64 }

    public let statistics: WorkerStatistics
    let index: Int
    let reader: FlowCacheReader
    let connections: ConnectionRecords
    let rings: PuntRings.Handle
    let quiescence: QuiescentState.Handle?
    let roundsPerQuiescence: Int
    let transmitAttempts: Int
    let inputs: UnsafeMutablePointer<InputState>
    let inputCount: Int
    let outputs: UnsafeMutablePointer<OutputState>
    let outputCount: Int
    let punts: UnsafeMutablePointer<PuntState>
    /// The burst as received, its cacheable packets and their probes, and its hits with where they go.
    let received: UnsafeMutablePointer<OpaquePointer?>
    let candidates: UnsafeMutablePointer<OpaquePointer?>
    let probes: UnsafeMutablePointer<FlowProbe>
    let hits: UnsafeMutablePointer<OpaquePointer?>
    let hitPorts: UnsafeMutablePointer<PortIndex>
    let requests: UnsafeMutablePointer<TransmitRequest>
    private let memory: UnsafeMutableRawPointer
    var roundsSinceQuiescence = 0

    /// `reader`'s cache, `rings` and `quiescence` outlive the worker. `quiescence` nil: the one thread that runs everything
    /// reclaims between rounds.
    public init(configuration: WorkerConfiguration, reader: FlowCacheReader, rings: PuntRings.Handle, quiescence: QuiescentState.Handle?) {
        index = configuration.index
        self.reader = reader
        self.rings = rings
        self.quiescence = quiescence
        connections = configuration.connections
        roundsPerQuiescence = configuration.roundsPerQuiescence
        transmitAttempts = configuration.transmitAttempts
        statistics = WorkerStatistics(portCount: max(configuration.outputs.count, Int(configuration.inputs.map(\.port).max() ?? 0) + 1))
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
        let puntsAt = reserve(punted * MemoryLayout<PuntState>.stride)
        let receivedAt = reserve(burst * 8)
        let candidatesAt = reserve(burst * 8)
        let probesAt = reserve(burst * MemoryLayout<FlowProbe>.stride)
        let hitsAt = reserve(burst * 8)
        let hitPortsAt = reserve(burst * 2)
        let requestsAt = reserve(burst * MemoryLayout<TransmitRequest>.stride)
        let puntPacketsAt = reserve(punted * burst * 8)
        let outputPacketsAt = reserve(outputCount * Worker.batch * 8)
        memory = UnsafeMutableRawPointer.allocate(byteCount: offset, alignment: 64)
        memory.initializeMemory(as: UInt8.self, repeating: 0, count: offset)
        inputs = (memory + inputsAt).bindMemory(to: InputState.self, capacity: inputCount)
        outputs = (memory + outputsAt).bindMemory(to: OutputState.self, capacity: outputCount)
        punts = (memory + puntsAt).bindMemory(to: PuntState.self, capacity: punted)
        received = (memory + receivedAt).bindMemory(to: OpaquePointer?.self, capacity: burst)
        candidates = (memory + candidatesAt).bindMemory(to: OpaquePointer?.self, capacity: burst)
        probes = (memory + probesAt).bindMemory(to: FlowProbe.self, capacity: burst)
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
        for place in 0..<punted {
            let packets = (memory + puntPacketsAt + place * burst * 8).bindMemory(to: OpaquePointer?.self, capacity: burst)
            (punts + place).initialize(to: PuntState(packets: packets))
        }
        quiescence?.register(reader: index)
    }

    deinit {
        quiescence?.unregister(reader: index)
        for place in 0..<outputCount where outputs[place].count > 0 {
            rte_pktmbuf_free_bulk(outputs[place].packets, UInt32(outputs[place].count))
        }
        memory.deallocate()
    }

    /// One polling round over all queues, at the coarse time `tick` (`FlowCache.tick`): the number of packets received and
    /// taken from the slow path. 0 is an idle round.
    @inline(never)
    public mutating func runOnce(tick: UInt32) -> Int {
        var handled = 0
        var place = 0
        while place < inputCount {
            handled &+= poll(inputs + place, tick: tick)
            place &+= 1
        }
        handled &+= takeFromSlowPath()
        flushOutputs()
        statistics.add(.rounds, 1)
        roundsSinceQuiescence &+= 1
        if handled == 0 { statistics.add(.idleRounds, 1) }
        if handled == 0 || roundsSinceQuiescence >= roundsPerQuiescence {
            roundsSinceQuiescence = 0
            // Here the worker holds no pointer into the flow cache.
            quiescence?.quiescent(reader: index)
        }
        return handled
    }

    /// One burst of one queue.
    @inline(__always)
    private mutating func poll(_ input: UnsafeMutablePointer<InputState>, tick: UInt32) -> Int {
        let count = input.pointee.queue.receive(into: received, maximum: UInt16(truncatingIfNeeded: Worker.burst))
        guard count > 0 else { return 0 }
        let cacheable = classify(count, input)
        match(cacheable)
        let hitCount = forward(cacheable, input, tick: tick)
        _ = takeFromSlowPath()
        var place = 0
        while place < hitCount {
            queue(hits[place].unsafelyUnwrapped, to: hitPorts[place])
            place &+= 1
        }
        flushPunts()
        return count
    }
}
