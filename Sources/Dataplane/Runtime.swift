// The running router: cores, ports and everything on them, from start to an orderly stop.
//
// Threads: one lcore a worker, one for the slow path, one for the offload manager. Whoever else wants to see or change
// something posts a task to the slow-path core (`perform`) and waits for it; the cores wait for nobody.
// Stop: the flag is raised, every lcore returns, ports stop, what was counted is summed up, memory goes back.
import Configuration
import DPDK
import FlowCache
import Foundation
import Logging
import Offload
import Policy
import Ruleset
import SlowPath
import Synchronization
import Wire

public final class Runtime: @unchecked Sendable {
    /// The configuration in force; `reload` takes another one over.
    let configurationInForce: Mutex<Configuration>
    var configurationValue: Configuration { configurationInForce.withLock { $0 } }
    let logger: Logger
    let assembly: Assembly
    private let pool: Mempool
    private let eal: EAL
    private let crew: LcoreCrew
    private let started = Clock.nanoseconds
    private let stopper = Stopper()
    let rulesetControl = RulesetControl()

    /// Wakes `run` when somebody calls `stop`.
    private final class Stopper: Sendable {
        private struct State {
            var isStopped = false
            var waiter: CheckedContinuation<Void, Never>?
        }
        private let state = Mutex(State())
        func stop() {
            state.withLock { state -> CheckedContinuation<Void, Never>? in
                state.isStopped = true
                defer { state.waiter = nil }
                return state.waiter
            }?.resume()
        }
        func wait() async {
            await withCheckedContinuation { continuation in
                let isStopped = state.withLock { state in
                    if !state.isStopped { state.waiter = continuation }
                    return state.isStopped
                }
                if isStopped { continuation.resume() }
            }
        }
    }

    /// Starts the EAL, opens the ports, loads the ruleset. Nothing is forwarded before `run`.
    /// - Throws: `InputError` for a ruleset that does not load, `DPDKError` for what the machine cannot do.
    public init(configuration: Configuration, logger: Logger) throws {
        configurationInForce = Mutex(configuration)
        self.logger = logger
        let seed = configuration.seed ?? UInt64.random(in: .min ... .max)
        let ruleset = try LiveRuleset(configuration: configuration, seed: seed, now: Clock.nanoseconds)
        for warning in ruleset.compiled.warnings { logger.warning("\(warning)") }
        var wanted = EALConfiguration(
            mainCPU: configuration.eal.mainCore, slowPathCPU: configuration.eal.slowPathCore, workerCPUs: configuration.eal.workerCores,
            hugePages: configuration.eal.usesHugePages, memoryMB: configuration.eal.memoryMB)
        if wanted.memoryMB == 0, !wanted.hugePages { wanted.memoryMB = 512 }
        wanted.extraCPUs = [configuration.eal.mainCore]
        wanted.pciDevices = configuration.ports.map(\.device).filter { (try? PortDevice($0).bus) == .pci }
        wanted.logLevel = DPDKLogRelay.level(for: configuration.log.level)
        wanted.extraArguments = configuration.eal.arguments
        wanted.pinsCaller = false
        eal = try EAL.start(wanted)
        do {
            (assembly, pool) = try Runtime.assemble(configuration, ruleset, seed, logger)
            crew = LcoreCrew(assembly: assembly, eal: eal)
        } catch {
            EAL.stop()
            throw error
        }
    }

    private static func assemble(_ configuration: Configuration, _ ruleset: LiveRuleset, _ seed: UInt64, _ logger: Logger) throws -> (Assembly, Mempool) {
        let workers = configuration.eal.workerCores.count
        let largest = configuration.ports.map(\.mtu).max() ?? 1500
        let room = max(configuration.worker.bufferBytes, largest + 64) + Mempool.headroom
        let pool = try Mempool(count: configuration.packetBuffersNeeded, dataRoom: room, node: configuration.bufferNode)
        var ports: [AssembledPort] = []
        for var port in configuration.ports {
            let device = try EthernetPort(name: port.name, device: port.device)
            if let below = device.hostInterfaceMTU, below < port.mtu {
                logger.notice("port \(port.name): its interface takes \(below) bytes, less than the configured mtu of \(port.mtu)")
                port.mtu = below
            }
            var wanted = PortConfiguration()
            wanted.receiveQueues = port.rxQueues == 0 ? workers : port.rxQueues
            wanted.transmitQueues = port.txQueues == 0 ? workers : port.txQueues
            wanted.receiveDescriptors = port.rxDescriptors
            wanted.transmitDescriptors = port.txDescriptors
            wanted.promiscuous = port.promiscuous
            // One key for all ports: a flow that is not translated comes to one worker both ways.
            wanted.hashKeyWord = ReceiveHashing.keyWord(seed: seed)
            // Virtual devices take what they are given; a NIC has to be told what to let in.
            if port.mtu != 1500, (try? PortDevice(port.device).bus) == .pci { wanted.mtu = port.mtu }
            if let mac = port.mac { try device.setMACAddress(mac) }
            let setup = try device.configure(wanted, pools: [pool])
            for note in setup.notes { logger.notice("\(note)") }
            guard setup.transmitQueues >= workers else {
                throw DPDKError(.configuration, "port \(port.name): \(setup.transmitQueues) transmit queues for \(workers) workers",
                                advice: "give the device more queues (net_af_packet: qpairs=\(workers)) or use fewer eal.worker-cores")
            }
            if configuration.eal.numa {
                for cpu in configuration.eal.workerCores {
                    if let warning = NUMA.warning(workerCPU: cpu, port: port.name, portNode: device.node) { logger.warning("\(warning)") }
                }
            }
            ports.append(AssembledPort(configuration: port, device: device, setup: setup, address: port.mac ?? device.macAddress))
            if port.emulateOffload != .none { try EmulatedNIC.attach(port: device.id, profile: port.emulateOffload.rawValue) }
        }
        let wall = UInt64(Date().timeIntervalSince1970 * 1e9) &- Clock.nanoseconds
        let assembly = try Assembly(configuration: configuration, ports: ports, pool: pool, ruleset: ruleset, workerCount: workers, isThreaded: true,
                                    seed: seed, wallClockOffset: wall)
        return (assembly, pool)
    }

    /// Forwards packets until `stop`, closes everything, and gives the totals.
    public func run() async throws -> ForwardingSummary {
        for port in assembly.ports { try port.device.start() }
        assembly.learnSpreads(logger)
        assembly.manager?.start(now: Clock.nanoseconds)
        try crew.launch()
        logger.notice("forwarding", metadata: ["ports": "\(assembly.ports.count)", "workers": "\(assembly.workers.count)"])
        let followers = [Task { await followHostMTU() }, Task { await followDPDKLog() }]
        await stopper.wait()
        for follower in followers { follower.cancel() }
        for follower in followers { await follower.value }
        return close()
    }

    private func close() -> ForwardingSummary {
        crew.stop()
        let now = Clock.nanoseconds
        _ = assembly.manager?.creditAll(now: now)
        assembly.core.pointee.settleStopped(now: now)
        let totals = summaryNow(now)
        assembly.manager?.stop(now: now)
        for port in assembly.ports { port.device.stop() }
        assembly.dismantle()
        for port in assembly.ports {
            EmulatedNIC.detach(port: port.device.id)
            port.device.close()
        }
        var relay = DPDKLogRelay()
        relay.relay(to: logger)
        if pool.inUse > 0 { logger.error("\(pool.inUse) packet buffers were not given back") }
        EAL.stop()
        return totals
    }

    /// Makes `run` return soon; may be called from anywhere, more than once.
    public func stop() async { stopper.stop() }

    /// Runs a task on the slow-path core, between two rounds, and gives its result.
    func perform<Result: Sendable>(_ task: @escaping @Sendable (inout SlowPathCore) -> Result) async -> Result {
        await withCheckedContinuation { continuation in
            assembly.mailbox.post { core in continuation.resume(returning: task(&core)) }
        }
    }

    func summaryNow(_ now: Timestamp) -> ForwardingSummary {
        var summary = assembly.summary(now: now)
        summary.seconds = Double(now - started) / 1e9
        summary.wallSeconds = summary.seconds
        return summary
    }

    public func status() async -> StatusReport {
        var report = StatusReport()
        report.processIdentifier = Int(ProcessInfo.processInfo.processIdentifier)
        report.uptime = Double(Clock.nanoseconds - started) / 1e9
        report.configurationFile = configurationValue.file
        report.rulesetFile = configurationValue.ruleset.file
        report.workers = assembly.workers.count
        report.ports = assembly.ports.count
        report.generation = await perform { [self] _ in assembly.ruleset.generation }
        return report
    }

    public func summary() async -> ForwardingSummary {
        await perform { [self] core in
            let now = Clock.nanoseconds
            core.settle(now: now)
            return summaryNow(now)
        }
    }

    public func ports() async -> [PortReport] { await perform { [self] _ in assembly.portReports() } }
    public func interfaces() async -> [InterfaceReport] { await perform { [self] _ in assembly.interfaceReports() } }
    public func offload() async -> OffloadReport { await perform { [self] _ in assembly.offloadReport() } }
}
