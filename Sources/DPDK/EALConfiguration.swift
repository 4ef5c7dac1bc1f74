// What the EAL is started with, as a typed value, and its translation to the EAL's words.
//
// Invariant: `arguments` never holds a word that the EAL would answer with its usage text (it prints that to stdout);
// what a user can get wrong is checked here and reported with the way out.
import CDPDK
import Glibc

public struct EALConfiguration: Sendable, Equatable {
    /// CPU of the main lcore, which runs the control plane.
    public var mainCPU: Int
    /// CPU of the slow path's lcore; nil for none (tests, single-threaded replay).
    public var slowPathCPU: Int?
    /// CPUs of the workers, one lcore each.
    public var workerCPUs: [Int]
    /// CPUs of further lcores, such as offload managers.
    public var extraCPUs: [Int] = []
    public var hugePages: Bool
    /// Memory for packets in MB: the whole of it without huge pages; with them, what is reserved at the start (0: on demand).
    public var memoryMB: Int
    /// PCI addresses, "0000:01:00.0", or with devargs, "0000:01:00.0,dv_flow_en=1". Empty: the PCI bus is not scanned.
    public var pciDevices: [String] = []
    /// Virtual devices that must exist from the start. EthernetPort makes its own later, so this is seldom needed.
    public var virtualDevices: [String] = []
    /// Name of the runtime directory; nil for one of this process.
    public var filePrefix: String?
    /// DPDK's telemetry socket.
    public var telemetry = false
    public enum LogLevel: String, Sendable, CaseIterable { case emergency, alert, critical, error, warning, notice, info, debug }
    /// Least important message that DPDK keeps for `EAL.takeLog()`.
    public var logLevel = LogLevel.warning
    /// Leaves the calling thread on `mainCPU`, as DPDK does. False: its affinity is restored (tests).
    public var pinsCaller = true
    /// Further words for the EAL, as they are.
    public var extraArguments: [String] = []

    public init(mainCPU: Int = 0, slowPathCPU: Int? = nil, workerCPUs: [Int] = [], hugePages: Bool = true, memoryMB: Int = 0) {
        self.mainCPU = mainCPU
        self.slowPathCPU = slowPathCPU
        self.workerCPUs = workerCPUs
        self.hugePages = hugePages
        self.memoryMB = memoryMB
    }

    /// A small EAL without huge pages or PCI, for tests and replay: everything on the CPUs that the process may use.
    public static func small(memoryMB: Int = 256, workers: Int = 1) -> EALConfiguration {
        let cpus = EALConfiguration.allowedCPUs
        let first = cpus.first ?? 0
        var configuration = EALConfiguration(mainCPU: first, workerCPUs: (0 ..< workers).map { cpus.isEmpty ? 0 : cpus[($0 + 1) % cpus.count] }, hugePages: false, memoryMB: memoryMB)
        configuration.pinsCaller = false
        return configuration
    }

    /// CPUs that the process may run on.
    public static var allowedCPUs: [Int] {
        var cpus = [UInt8](repeating: 0, count: 1024)
        guard nt_affinity_get(&cpus, 1024) == 0 else { return [0] }
        return cpus.indices.filter { cpus[$0] != 0 }
    }

    /// The CPU of each lcore: 0 main, then the slow path, the workers, the extra ones.
    public var lcoreCPUs: [Int] { [mainCPU] + (slowPathCPU.map { [$0] } ?? []) + workerCPUs + extraCPUs }

    /// The EAL's words, after a check of everything that a user can get wrong.
    /// - Throws: `DPDKError` (.configuration or .machine).
    public func arguments(program: String = "needletail") throws -> [String] {
        let allowed = EALConfiguration.allowedCPUs
        for cpu in lcoreCPUs where !allowed.contains(cpu) {
            throw DPDKError(.machine, "CPU \(cpu) is not available to this process", advice: "choose among \(ranges(allowed)), or start it with another affinity")
        }
        guard lcoreCPUs.count <= 128 else {
            throw DPDKError(.configuration, "\(lcoreCPUs.count) lcores are more than DPDK's 128", advice: "use fewer workers")
        }
        guard memoryMB >= 0, memoryMB <= 1 << 20 else {
            throw DPDKError(.configuration, "\(memoryMB) MB of memory is out of range", advice: "0 to 1048576")
        }
        if !hugePages && memoryMB < 16 {
            throw DPDKError(.configuration, "\(memoryMB) MB of memory is too little without huge pages", advice: "use 64 MB or more")
        }
        var words = [program, "--main-lcore=0", "--lcores=" + lcoreCPUs.enumerated().map { "\($0)@\($1)" }.joined(separator: ",")]
        if hugePages {
            // In memory: no hugetlbfs need be mounted, and a crash leaves no files behind in it.
            words.append("--in-memory")
        } else {
            words += ["--no-huge", "--no-shconf"]
        }
        if memoryMB > 0 { words += ["-m", "\(memoryMB)"] }
        if pciDevices.isEmpty {
            words.append("--no-pci")
        } else {
            for device in pciDevices {
                try PortDevice(device).requirePCI()
                words += ["-a", device]
            }
        }
        words += virtualDevices.map { "--vdev=" + $0 }
        words.append("--file-prefix=" + (filePrefix ?? "needletail-\(getpid())"))
        if !telemetry { words.append("--no-telemetry") }
        words.append("--log-level=" + logLevel.rawValue)
        return words + extraArguments
    }

    /// "0-3,8" for 0, 1, 2, 3, 8.
    private func ranges(_ numbers: [Int]) -> String {
        var parts: [String] = []
        var index = 0
        while index < numbers.count {
            var last = index
            while last + 1 < numbers.count, numbers[last + 1] == numbers[last] + 1 { last += 1 }
            parts.append(last == index ? "\(numbers[index])" : "\(numbers[index])-\(numbers[last])")
            index = last + 1
        }
        return parts.joined(separator: ",")
    }
}
