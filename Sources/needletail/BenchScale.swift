// `needletail bench scale`: established flows with 1, 2, ... N workers. DPDK starts once in a process, so each count is measured
// by a process of its own.
import ArgumentParser
import DPDK
import Foundation

struct BenchScale: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "scale", abstract: "Established flows with 1 to N workers.",
        discussion: """
            Each worker has its share of the flows, its own queues and one CPU, from the second on; with fewer CPUs than workers \
            some share one, and rates per CPU time say nothing of that. JSON: an array of what `bench established --json` prints, \
            one for each number of workers.
            """)
    @OptionGroup var options: BenchOptions

    func run() throws {
        var reports: [BenchReport] = []
        for workers in 1 ... max(1, options.workers) {
            let report = try measure(workers)
            reports.append(report)
            guard !options.json else { continue }
            let first = reports[0].packetsPerSecond
            Swift.print("\(workers) workers  \(BenchReport.number(report.packetsPerSecond / 1e6, 2)) million packets a second, "
                + "\(BenchReport.number(report.nsPerPacket)) ns each (spread \(BenchReport.number(report.spread * 100)) %), "
                + "\(BenchReport.number(first > 0 ? report.packetsPerSecond / first : 0, 2)) times one worker's")
        }
        if options.json { BenchReport.printJSON(reports) }
    }

    private func measure(_ workers: Int) throws -> BenchReport {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
        var words = ["bench", "established", "--json", "--workers", "\(workers)", "--flows", "\(options.flows)"]
        words += ["--seconds", "\(options.seconds)", "--windows", "\(options.windows)"]
        if options.ipv6 { words.append("--v6") }
        if options.tcp { words.append("--tcp") }
        if options.liberal { words.append("--liberal") }
        if options.imix { words.append("--imix") }
        if !options.nat { words.append("--no-nat") }
        process.arguments = words
        let output = Pipe()
        process.standardOutput = output
        try process.run()
        let data = output.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        guard process.terminationStatus == 0 else { throw ExitCode(process.terminationStatus) }
        return try JSONDecoder().decode(BenchReport.self, from: data)
    }
}
