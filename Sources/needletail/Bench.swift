// `needletail bench`: how fast this machine is, measured so that a user can believe it.
//
// Invariant: each figure stands beside the floor (source and sink alone) of the same run; rates are per CPU time of the
// worker, so that a busy machine shows in the spread and not in the median.
import ArgumentParser
import DPDK
import Dataplane
import Foundation

struct Bench: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench", abstract: "Measure this machine's forwarding speed, without a NIC.",
        discussion: """
            Packets come from net_null ports, stamped with the headers of N flows in scattered order, and go to net_null. \
            Figures are medians of several windows, per CPU time of the worker thread. Run as root on a quiet machine with huge \
            pages (sysctl vm.nr_hugepages=1024) for figures that mean something.
            """,
        subcommands: [BenchEstablished.self, BenchFloor.self, BenchNewConnections.self, BenchScale.self, BenchSlowPath.self, BenchRulesetLoad.self])
}

struct BenchOptions: ParsableArguments {
    @Option(help: "Flows (connections); packets of both directions of each appear.") var flows = 65536
    @Flag(name: .customLong("v6"), help: "IPv6 (66-byte frames, TCP 80) instead of IPv4 (60 bytes).") var ipv6 = false
    @Flag(help: "TCP, with sequence numbers that advance, instead of UDP.") var tcp = false
    @Flag(help: "With --tcp: take sequence numbers as they come (conntrack.tcp-window = \"liberal\").") var liberal = false
    @Flag(help: "Frames of 64, 570 and 1518 bytes as 7 to 4 to 1, instead of the smallest.") var imix = false
    @Flag(inversion: .prefixedNo, help: "Translate the source address and port (and back).") var nat = true
    @Flag(name: .customLong("nic-hash"), help: "The source writes each flow's hash beside the packet, as a NIC might; a second twin takes it from there.") var nicHash = false
    @Option(help: "Worker threads, each with its share of the flows and its own queues.") var workers = 1
    @Option(help: "CPU seconds to measure, over all windows.") var seconds = 5.0
    @Option(help: "Windows; the median of them is reported (at least 5).") var windows = 5
    @Flag(help: "Print one JSON object.") var json = false

    func validate() throws {
        guard flows >= 1, flows <= 1 << 24 else { throw ValidationError("--flows is \(flows); 1 to \(1 << 24) are possible.") }
        guard workers >= 1, workers <= 64 else { throw ValidationError("--workers is \(workers); 1 to 64 are possible.") }
        guard flows >= workers else { throw ValidationError("--flows is \(flows), less than one for each of \(workers) workers.") }
        guard seconds > 0, seconds <= 3600 else { throw ValidationError("--seconds is \(seconds); more than 0 and at most 3600 are possible.") }
        guard windows >= 5, windows <= 1000 else { throw ValidationError("--windows is \(windows); 5 to 1000 are possible.") }
    }
}

struct BenchEstablished: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "established", abstract: "Packets of established flows through the worker and its flow cache.",
        discussion: """
            The entries are those that the slow path publishes for flows with connection tracking, NAT, timeouts and counters \
            on: checksums are verified (by the stamped source's word, as a NIC gives it), TCP segments held to their window, \
            addresses, ports, TTL and checksums rewritten, packets and bytes counted, the time of the last packet noted; beside \
            it a sweep goes through the table once a second.

            Measured beside it, in turn: the source and sink alone (floorNsPerPacket), the same loop written in C over the same \
            table (twinNsPerPacket), and the source and sink with one random line of memory a packet, prefetched and written \
            (memoryLimitNsPerPacket). Further JSON keys: flows, workers, nsPerPacket, packetsPerSecond, hitRate, spread (largest \
            window less smallest, over the median), and the conditions.
            """)
    @OptionGroup var options: BenchOptions

    func run() throws {
        let report = try runBench(options, measuresForwarding: true)
        report.print(json: options.json)
        if report.hitRate < 0.999 { throw ExitCode(2) }
    }
}

struct BenchFloor: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "floor", abstract: "The source and the sink alone: what every other figure includes.")
    @OptionGroup var options: BenchOptions

    func run() throws { try runBench(options, measuresForwarding: false).print(json: options.json) }
}

/// Sets up, runs, reports; machine trouble ends with exit code 2.
private func runBench(_ options: BenchOptions, measuresForwarding: Bool) throws -> BenchReport {
    do {
        return try BenchRun(options, measuresForwarding: measuresForwarding).run()
    } catch let error as DPDKError {
        FileHandle.standardError.write(Data("needletail bench: \(error)\n".utf8))
        throw ExitCode(2)
    }
}
