// `needletail bench ruleset-load`: how long large rulesets take to be read and checked, and how much memory, beside nft.
//
// Invariant: each load is a process of its own (`nft --offline -c -f FILE`), so that time includes its start and memory is its peak;
// nft's are measured in the same way, in a network namespace of their own where that can be had.
import ArgumentParser
import Foundation

struct BenchRulesetLoad: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ruleset-load", abstract: "Reading and checking large rulesets, beside nft -c -f of the same files.",
        discussion: """
            Made and loaded: a set of so many intervals, plain elements, verdicts, concatenations with ranges; so many rules in one \
            chain; a chain of jumps; and a file that adds one element a command. Figures are medians of several runs of a process of \
            its own, wall time and CPU time, and the largest of their peak memories. nft is run where it is installed.

            JSON keys: windows, and for each file: name, seconds, cpuSeconds, spread (of the CPU times, largest less smallest, over \
            the median), memoryMB, and nftSeconds, nftCPUSeconds, nftSpread, nftMemoryMB where nft could be run.
            """)
    @Option(help: "Elements of the sets.") var elements = 100_000
    @Option(help: "Rules of the long chain.") var rules = 20_000
    @Option(help: "Chains of the file of jumps.") var chains = 5000
    @Option(help: "Runs of each; the median of them is reported (at least 3).") var windows = 5
    @Flag(inversion: .prefixedNo, help: "Run nft beside it, if it is installed.") var nft = true
    @Flag(help: "Print one JSON object.") var json = false

    func validate() throws {
        guard elements >= 1, elements <= 2_000_000 else { throw ValidationError("--elements is \(elements); 1 to 2000000 are possible.") }
        guard rules >= 1, rules <= 500_000 else { throw ValidationError("--rules is \(rules); 1 to 500000 are possible.") }
        guard chains >= 1, chains <= 100_000 else { throw ValidationError("--chains is \(chains); 1 to 100000 are possible.") }
        guard windows >= 3, windows <= 1000 else { throw ValidationError("--windows is \(windows); 3 to 1000 are possible.") }
    }

    func run() throws {
        try Failure.reporting {
            let folder = FileManager.default.temporaryDirectory.appendingPathComponent("needletail-\(UUID().uuidString.prefix(13))")
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
            defer { try? FileManager.default.removeItem(at: folder) }
            let files = RulesetFiles(elements: elements, rules: rules, chains: chains)
            let own = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? CommandLine.arguments[0]
            let other = nft ? Self.installedNFT(own) : nil
            var report = RulesetLoadReport(windows: windows)
            for (name, text) in files.all {
                let file = folder.appendingPathComponent("\(name).nft").path
                try text.write(toFile: file, atomically: false, encoding: .utf8)
                var load = RulesetLoad(name: name)
                let mine = try measure([own, "nft", "--offline", "-c", "-f", file])
                (load.seconds, load.cpuSeconds, load.spread, load.memoryMB) = mine
                if let other, let theirs = try? measure(other + ["-c", "-f", file]) {
                    (load.nftSeconds, load.nftCPUSeconds, load.nftSpread, load.nftMemoryMB) = theirs
                }
                report.files.append(load)
            }
            report.print(json: json)
        }
    }

    /// The words that run nft; in a namespace of its own, which takes root.
    private static func installedNFT(_ own: String) -> [String]? {
        func found(_ name: String) -> String? {
            let folders = (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":").map(String.init) + ["/usr/sbin", "/sbin"]
            return folders.map { "\($0)/\(name)" }.first { FileManager.default.isExecutableFile(atPath: $0) && URL(fileURLWithPath: $0).resolvingSymlinksInPath().path != own }
        }
        guard getuid() == 0, let nft = found("nft"), let unshare = found("unshare") else { return nil }
        return [unshare, "-n", nft]
    }

    /// Median seconds, median CPU seconds, spread of the CPU seconds and peak MB of several runs.
    private func measure(_ words: [String]) throws -> (Double, Double, Double, Double) {
        var times: [Double] = [], cpu: [Double] = []
        var peak = 0.0
        for _ in 0 ..< windows {
            let run = try MeasuredProcess.run(words)
            times.append(run.seconds)
            cpu.append(run.cpuSeconds)
            peak = max(peak, Double(run.peakBytes) / 1e6)
        }
        times.sort()
        cpu.sort()
        let median = cpu[cpu.count / 2]
        return (times[times.count / 2], median, (cpu[cpu.count - 1] - cpu[0]) / max(median, 1e-9), peak)
    }
}

struct RulesetLoad: Codable {
    var name: String
    /// Wall time, of one process.
    var seconds = 0.0
    /// CPU time, user and system: what a busy machine changes little.
    var cpuSeconds = 0.0
    /// Of the CPU times: largest less smallest, over the median.
    var spread = 0.0
    /// Peak resident memory, 10^6 bytes.
    var memoryMB = 0.0
    var nftSeconds: Double?
    var nftCPUSeconds: Double?
    var nftSpread: Double?
    var nftMemoryMB: Double?
    init(name: String) { self.name = name }
}

struct RulesetLoadReport: Codable {
    var windows: Int
    var files: [RulesetLoad] = []
    init(windows: Int) { self.windows = windows }

    func print(json: Bool) {
        if json {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys, .prettyPrinted]
            if let data = try? encoder.encode(self) { Swift.print(String(decoding: data, as: UTF8.self)) }
            return
        }
        func cell(_ text: String, _ width: Int) -> String { String(repeating: " ", count: max(0, width - text.count)) + text }
        func number(_ value: Double?, _ format: String) -> String { value.map { String(format: format, $0) } ?? "-" }
        Swift.print("file" + cell("seconds", 26) + cell("CPU s", 8) + cell("spread", 9) + cell("MB", 6) + cell("nft: s", 9) + cell("CPU s", 8) + cell("spread", 9) + cell("MB", 6))
        for load in files {
            var line = load.name + cell(number(load.seconds, "%.2f"), 30 - load.name.count) + cell(number(load.cpuSeconds, "%.2f"), 8)
            line += cell(number(load.spread * 100, "%.0f %%"), 9) + cell(number(load.memoryMB, "%.0f"), 6)
            line += cell(number(load.nftSeconds, "%.2f"), 9) + cell(number(load.nftCPUSeconds, "%.2f"), 8)
            line += cell(number(load.nftSpread.map { $0 * 100 }, "%.0f %%"), 9) + cell(number(load.nftMemoryMB, "%.0f"), 6)
            Swift.print(line)
        }
        Swift.print("medians of \(windows) runs; spread: largest CPU time less smallest, over the median")
    }
}
