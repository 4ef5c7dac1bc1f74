// DPDK's environment abstraction layer: started once in a process, stopped at most once.
//
// Invariant: DPDK's control calls (probe, configure, create, free) run one at a time, under `EAL.control`; per-packet
// calls never take that lock.
import CDPDK
import Glibc
import Synchronization

/// A line that DPDK or one of its drivers logged.
public struct EALLogLine: Sendable, Equatable {
    public var level: EALConfiguration.LogLevel
    public var text: String
}

public struct EAL: Sendable {
    /// What the process's EAL was started with.
    public let configuration: EALConfiguration
    public let main: Lcore
    public let slowPath: Lcore?
    public let workers: [Lcore]
    public let extras: [Lcore]

    private enum State {
        case fresh
        case running(EAL)
        case stopped
        /// A failed start that DPDK cannot repeat in the process.
        case failed
    }
    private static let state = Mutex<State>(.fresh)
    private static let hugePagesInUse = Atomic<Bool>(false)

    /// Whether the EAL runs on huge pages.
    public static var hasHugePages: Bool { hugePagesInUse.load(ordering: .acquiring) } // pairs with the store in start()
    /// The running EAL.
    public static var current: EAL? {
        state.withLock { if case .running(let eal) = $0 { eal } else { nil } }
    }

    /// Starts the EAL. The caller's thread becomes the main lcore.
    /// - Throws: `DPDKError`: .configuration or .machine with DPDK's own words in `log`, .state if it was started before.
    public static func start(_ configuration: EALConfiguration) throws -> EAL {
        try state.withLock { state in
            switch state {
            case .fresh: break
            case .running: throw DPDKError(.state, "DPDK is already running in this process")
            case .stopped: throw DPDKError(.state, "DPDK was stopped and cannot be started twice in a process")
            case .failed: throw DPDKError(.state, "DPDK failed to start before and cannot be started twice in a process")
            }
            let words = try configuration.arguments()
            _ = nt_log_capture()
            var affinity = [UInt8](repeating: 0, count: 1024)
            let affinityIsKnown = nt_affinity_get(&affinity, 1024) == 0
            // DPDK keeps pointers into its argument vector, so the words live as long as the process.
            var vector: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
            let result = vector.withUnsafeMutableBufferPointer { nt_eal_init(Int32(words.count), $0.baseAddress) }
            if !configuration.pinsCaller, affinityIsKnown { _ = nt_affinity_set(affinity, 1024) }
            if let path = rte_eal_get_runtime_dir(), path.pointee != 0 { nt_remove_directory_at_exit(path) }
            guard result >= 0 else {
                let code = nt_errno()
                let log = takeLog()
                state = .failed
                throw DPDKError(.machine, "DPDK does not start: \(errnoText(code))", advice: advice(code: code, log: log, configuration), log: log)
            }
            // Pairs with the acquiring load in hasHugePages: who sees true may use the heap.
            hugePagesInUse.store(rte_eal_has_hugepages() != 0, ordering: .releasing)
            var next: UInt32 = 1
            func take(_ count: Int) -> [Lcore] {
                defer { next += UInt32(count) }
                return (0 ..< count).map { Lcore(id: next + UInt32($0)) }
            }
            let slowPath = take(configuration.slowPathCPU == nil ? 0 : 1).first
            let eal = EAL(configuration: configuration, main: Lcore(id: 0), slowPath: slowPath, workers: take(configuration.workerCPUs.count), extras: take(configuration.extraCPUs.count))
            state = .running(eal)
            return eal
        }
    }

    /// The running EAL, whatever it was started with, or a new one: for tests, several of which share a process.
    public static func shared(_ configuration: EALConfiguration) throws -> EAL {
        if let running = current { return running }
        do { return try start(configuration) } catch {
            if let running = current { return running }
            throw error
        }
    }

    /// Stops the EAL for good. All ports are closed, all lcores have returned, all pools are freed.
    public static func stop() {
        state.withLock { state in
            guard case .running = state else { return }
            hugePagesInUse.store(false, ordering: .releasing)
            control { _ = rte_eal_cleanup() }
            state = .stopped
        }
    }

    /// The CPU that an lcore is mapped to.
    public func cpu(of lcore: Lcore) -> Int { configuration.lcoreCPUs[Int(lcore.id)] }
    /// Whether another lcore is mapped to the same CPU: then idle loops yield.
    public func sharesCPU(_ lcore: Lcore) -> Bool { configuration.lcoreCPUs.filter { $0 == cpu(of: lcore) }.count > 1 }

    /// What DPDK logged since the last call (at most the newest 64 kB).
    public static func takeLog() -> String {
        takeLogBytes { String(decoding: $0.filter { $0 == 0 || $0 > 8 }, as: UTF8.self) }
    }

    /// The same, line by line, without empty ones.
    public static func takeLogLines() -> [EALLogLine] {
        takeLogBytes { bytes in
            bytes.split(separator: UInt8(ascii: "\n")).compactMap { line in
                let level = line.first.map(Int.init) ?? 0
                let text = String(decoding: (1 ... 8).contains(level) ? line.dropFirst() : line, as: UTF8.self)
                return text.isEmpty ? nil : EALLogLine(level: (1 ... 8).contains(level) ? EALConfiguration.LogLevel.allCases[level - 1] : .notice, text: text)
            }
        }
    }

    /// Bytes of the log that nobody took in time, since the start.
    public static var lostLogBytes: UInt64 { nt_log_lost() }

    private static func takeLogBytes<Result>(_ body: (UnsafeRawBufferPointer.SubSequence) -> Result) -> Result {
        let capacity = Int(NT_LOG_BYTES)
        return withUnsafeTemporaryAllocation(byteCount: capacity, alignment: 1) { room in
            let count = nt_log_take(room.baseAddress, capacity)
            return body(UnsafeRawBufferPointer(room)[..<count])
        }
    }

    /// Runs a control call of DPDK alone.
    @discardableResult static func control<Result>(_ body: () throws -> Result) rethrows -> Result {
        nt_control_lock()
        defer { nt_control_unlock() }
        return try body()
    }

    /// What to do about a failed start.
    private static func advice(code: Int32, log: String, _ configuration: EALConfiguration) -> String {
        let text = log.lowercased()
        if text.contains("usage:") { return "check eal.arguments: DPDK does not know one of them" }
        if text.contains("hugepage") || text.contains("no free") && configuration.hugePages {
            return "reserve huge pages (echo 512 > /sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages), or set eal.huge-pages = false"
        }
        if code == EACCES || code == EPERM || text.contains("permission") {
            return "run it as root or give it the devices and capabilities it needs; without huge pages and with virtual devices it needs none"
        }
        if text.contains("memory") || code == ENOMEM { return "lower eal.memory-mb (\(configuration.memoryMB)) or free memory" }
        if text.contains("plugin") || text.contains("driver") { return "check that DPDK's drivers are installed (librte-net-*)" }
        return "the lines below are DPDK's own"
    }
}
