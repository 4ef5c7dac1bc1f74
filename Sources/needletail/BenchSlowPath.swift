// `needletail bench slow-path`: what the first packet of a connection costs, and what packets of flows that no cache holds cost.
//
// Invariant: one thread, no DPDK, no NIC: frames are copied into one buffer and given to the slow path as a worker's punt ring
// would; time is CPU time of the thread, and the slow path's clock is a number of ours.
import ArgumentParser
import Foundation

struct BenchSlowPath: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "slow-path", abstract: "First packets of connections, and packets of uncached flows, by the number of rules.",
        discussion: """
            Two rulesets of the same size are measured: a linear one (addresses, prefixes, ranges, ports, protocols, interfaces, \
            connection states, negations, anonymous sets, counters, jumps) and one whose rules look up sets and maps with as many \
            elements. Each packet is accepted by some rule, any with the same probability. Connection tracking is on, and NAT unless \
            --no-nat is given.

            JSON keys: rules, nat, windows, and for linear and sets: nsPerFirstPacket, firstPacketsPerSecond, firstPacketSpread, \
            nsPerPacket and packetsPerSecond (packets of established flows that are not cached), spread (largest window less \
            smallest, over the median), loadMilliseconds (parse and compile).
            """)
    @Option(help: "Rules of the linear ruleset, elements of the other's sets.") var rules = 1000
    @Flag(inversion: .prefixedNo, help: "Translate source addresses.") var nat = true
    @Option(help: "CPU seconds to measure, over all windows.") var seconds = 4.0
    @Option(help: "Windows; the median of them is reported (at least 5).") var windows = 5
    @Flag(help: "Print one JSON object.") var json = false

    func validate() throws {
        guard rules >= 1, rules <= 200_000 else { throw ValidationError("--rules is \(rules); 1 to 200000 are possible.") }
        guard seconds > 0, seconds <= 3600 else { throw ValidationError("--seconds is \(seconds); more than 0 and at most 3600 are possible.") }
        guard windows >= 5, windows <= 1000 else { throw ValidationError("--windows is \(windows); 5 to 1000 are possible.") }
    }

    func run() throws {
        var parameter = sched_param()
        parameter.sched_priority = 1
        _ = sched_setscheduler(0, SCHED_FIFO, &parameter)
        let texts = BenchRules(count: rules, translates: nat)
        let window = UInt64(seconds * 1e9 / Double(windows) / 4)
        var report = SlowPathReport(rules: rules, nat: nat, windows: windows)
        try Failure.reporting {
            let linear = try SlowPathRun(ruleset: texts.linear, packets: texts.linearPackets)
            report.linear = try linear.measure(windows: windows, nanoseconds: window)
            let sets = try SlowPathRun(ruleset: texts.sets, packets: texts.setPackets)
            report.sets = try sets.measure(windows: windows, nanoseconds: window)
        }
        report.print(json: json)
    }
}

struct SlowPathFigures: Codable {
    var nsPerFirstPacket = 0.0
    var firstPacketsPerSecond = 0.0
    var firstPacketSpread = 0.0
    var nsPerPacket = 0.0
    var packetsPerSecond = 0.0
    var spread = 0.0
    var loadMilliseconds = 0.0

    init() {}

    /// - Parameters: nanoseconds per packet of each window.
    init(firstPackets: [Double], packets: [Double], loadMilliseconds: Double) {
        func spread(_ windows: [Double], _ median: Double) -> Double { median > 0 ? ((windows.max() ?? 0) - (windows.min() ?? 0)) / median : 0 }
        nsPerFirstPacket = BenchReport.median(firstPackets)
        firstPacketsPerSecond = nsPerFirstPacket > 0 ? 1e9 / nsPerFirstPacket : 0
        firstPacketSpread = spread(firstPackets, nsPerFirstPacket)
        nsPerPacket = BenchReport.median(packets)
        packetsPerSecond = nsPerPacket > 0 ? 1e9 / nsPerPacket : 0
        self.spread = spread(packets, nsPerPacket)
        self.loadMilliseconds = loadMilliseconds
    }
}

struct SlowPathReport: Codable {
    var rules: Int
    var nat: Bool
    var windows: Int
    var linear = SlowPathFigures()
    var sets = SlowPathFigures()

    func print(json: Bool) {
        if json {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
            if let data = try? encoder.encode(self) { Swift.print(String(decoding: data, as: UTF8.self)) }
            return
        }
        func line(_ name: String, _ figures: SlowPathFigures) {
            func number(_ value: Double, _ digits: Int) -> String { String(format: "%.\(digits)f", value) }
            Swift.print("\(name)  first packet \(number(figures.nsPerFirstPacket, 0)) ns (\(number(figures.firstPacketsPerSecond / 1e6, 2)) million a second, spread \(number(figures.firstPacketSpread * 100, 1)) %)")
            Swift.print("\(name)  uncached     \(number(figures.nsPerPacket, 0)) ns (\(number(figures.packetsPerSecond / 1e6, 2)) million a second, spread \(number(figures.spread * 100, 1)) %), loaded in \(number(figures.loadMilliseconds, 0)) ms")
        }
        Swift.print("rules   \(rules)\(nat ? ", NAT" : ""), medians of \(windows) windows")
        line("linear", linear)
        line("sets  ", sets)
    }
}
