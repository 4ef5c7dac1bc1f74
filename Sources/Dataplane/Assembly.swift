// The parts of a forwarder, put together from its configuration: memory, tables, slow path, workers, offload. `Runtime`
// runs them on lcores, `Replayer` in one thread.
//
// Invariant: parts are made in the order of their dependence and given back in the reverse; nothing here runs by itself.
import Configuration
import Conntrack
import DPDK
import FlowCache
import Logging
import Offload
import Policy
import Routing
import Ruleset
import SlowPath
import Wire

/// A port of the forwarder: its configuration and the device behind it.
struct AssembledPort {
    let configuration: Configuration.Port
    let device: EthernetPort
    let setup: PortSetup
    let address: EthernetAddress
}

final class Assembly {
    let configuration: Configuration
    let ports: [AssembledPort]
    let pool: Mempool
    let manager: OffloadManager?
    let offloadLink: OffloadLink?
    let mailbox = SlowPathMailbox()
    let path: UnsafeMutablePointer<SlowPath>
    let core: UnsafeMutablePointer<SlowPathCore>
    let workers: [UnsafeMutablePointer<Worker>]
    /// The workers' counter blocks, readable by anybody.
    let statistics: [WorkerStatistics]
    let ruleset: LiveRuleset
    private let flowMemory: HugeMemory
    private let trackerMemory: HugeMemory
    private let rings: [WorkerRings]
    let quiescence: SharedQuiescence?
    private let tables: FlowTableMemories

    /// Keeps a worker's rings, which an array cannot.
    private final class WorkerRings {
        let rings: PuntRings
        init(capacity: Int) { rings = PuntRings(capacity: capacity) }
    }

    final class SharedQuiescence {
        let state: QuiescentState
        init(readers: Int) { state = QuiescentState(readers: readers) }
    }

    /// - Parameters:
    ///   - ports: in the order of the configuration, configured and not started.
    ///   - isThreaded: workers run on lcores of their own; otherwise one thread runs everything.
    init(configuration: Configuration, ports: [AssembledPort], pool: Mempool, ruleset: LiveRuleset, workerCount: Int, isThreaded: Bool, seed: UInt64,
         wallClockOffset: UInt64) throws {
        self.configuration = configuration
        self.ports = ports
        self.pool = pool
        self.ruleset = ruleset
        var tracking = TrackerConfiguration()
        tracking.apply(configuration.conntrack)
        tracking.coneMappings = configuration.nat.fullCone.isEmpty ? 0 : configuration.nat.fullConeMappings
        if configuration.offload.tier != .none { tracking.heldTuples = min(configuration.offload.maxFlows, configuration.conntrack.max, 65_536) }
        tables = FlowTableMemories(node: -1, wantsHugePages: configuration.eal.hugePages != .off)
        trackerMemory = HugeMemory(byteCount: ConnectionTracker.memorySize(tracking), wantsHugePages: configuration.eal.hugePages != .off)
        let tracker = ConnectionTracker(configuration: tracking, memory: trackerMemory.base, seed: seed)
        let records = ConnectionRecords(base: tracker.poolBase, stride: ConnectionTracker.stride)

        let entries = configuration.flowCache.entries
        let initial = configuration.flowCache.initialEntries == 0 ? entries : min(entries, configuration.flowCache.initialEntries)
        let cached = FlowCacheConfiguration(
            ipv4Capacity: initial, ipv6Capacity: initial / 2, seed: seed &+ 1, ipv4Maximum: entries, ipv6Maximum: entries / 2)
        flowMemory = HugeMemory(byteCount: FlowCache.memoryRequired(cached), wantsHugePages: configuration.eal.hugePages != .off)
        let flows = FlowCache(memory: flowMemory.base, configuration: cached)
        let reader = flows.reader

        let router = try Assembly.router(configuration, ports)
        let numbers = ports.count ..< ports.count + configuration.vlans.count + configuration.sessions.count
        let tagged = numbers.map { (number: PortIndex($0), interface: router.interfaces[PortIndex($0)]) }
        var settings = SlowPathSettings(configuration)
        settings.seed = seed &+ 2
        settings.wallClockOffset = wallClockOffset
        if workerCount > 1 { settings.portSteering = PortSteering(configuration.nat.steerPorts) }
        path = .allocate(capacity: 1)
        path.initialize(to: SlowPath(settings: settings, tracker: tracker, flows: flows, ruleset: ruleset.compiled, router: router,
                                     reassembler: Reassembler(limits: ReassemblyLimits(configuration.reassembly), seed: seed &+ 3)))

        let manager = Assembly.offloadManager(configuration, ports)
        self.manager = manager
        offloadLink = manager.map { OffloadLink(client: $0.client) }
        quiescence = isThreaded ? SharedQuiescence(readers: workerCount) : nil
        rings = (0 ..< workerCount).map { _ in WorkerRings(capacity: configuration.worker.puntRing) }
        var workers: [UnsafeMutablePointer<Worker>] = []
        for index in 0 ..< workerCount {
            var part = WorkerConfiguration()
            part.index = index
            part.holdsBurst = isThreaded
            part.connections = records
            part.tagged = tagged
            for (place, port) in ports.enumerated() {
                if index < port.setup.receiveQueues {
                    part.inputs.append(WorkerInput(queue: port.device.receiveQueue(index), port: PortIndex(place), address: port.address))
                }
                part.outputs.append(index < port.setup.transmitQueues ? port.device.transmitQueue(index) : nil)
            }
            let worker = UnsafeMutablePointer<Worker>.allocate(capacity: 1)
            worker.initialize(to: Worker(configuration: part, reader: reader, rings: rings[index].rings.handle, quiescence: quiescence?.state.handle))
            workers.append(worker)
        }
        self.workers = workers
        statistics = workers.map { $0.pointee.statistics }
        core = .allocate(capacity: 1)
        core.initialize(to: SlowPathCore(
            path: path, rings: rings.map { $0.rings.handle }, allocator: pool.allocator, quiescence: quiescence?.state.handle, offload: offloadLink,
            mailbox: mailbox, tables: tables))
    }

    /// Ends everything; no thread runs any part any more, and the ports are stopped. Returns the packets left in rings.
    @discardableResult
    func dismantle() -> Int {
        core.deinitialize(count: 1)
        core.deallocate()
        for worker in workers {
            worker.deinitialize(count: 1)
            worker.deallocate()
        }
        let left = rings.reduce(0) { $0 + $1.rings.drainAndFree() }
        path.deinitialize(count: 1)
        path.deallocate()
        tables.close()
        return left
    }

    private static func offloadManager(_ configuration: Configuration, _ ports: [AssembledPort]) -> OffloadManager? {
        guard configuration.offload.tier != .none, ports.allSatisfy({ $0.setup.receiveQueues > 0 }) else { return nil }
        var options = OffloadOptions()
        options.maximumFlows = configuration.offload.maxFlows
        options.pollPeriod = UInt64(configuration.offload.queryInterval) * 1_000_000
        options.idleTimeout = UInt64(configuration.offload.idle) * 1_000_000_000
        options.minimumRate = UInt32(configuration.offload.minimumRate)
        options.carriesFlows = configuration.offload.tier != .mark
        return OffloadManager(ports: ports.enumerated().map { place, port in
            OffloadPort(index: PortIndex(place), name: port.configuration.name, dpdkPort: port.device.id, address: port.address, mtu: UInt16(clamping: port.configuration.mtu))
        }, options: options)
    }
}
