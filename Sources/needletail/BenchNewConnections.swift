// `needletail bench new-connections`: how many connections a second one slow-path core takes, from the punt ring to the
// transmit ring, with rules, NAT and the flow cache.
import ArgumentParser
import DPDK
import Foundation

struct BenchNewConnections: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "new-connections", abstract: "New connections a second through one slow-path core.",
        discussion: """
            Every connection is new: UDP, for one of the ruleset's rules. Its first packet is tracked, judged by all rules, \
            translated and sent; with --packets 2 or 3 what was sent comes back as a reply (the reply direction is cached) and as \
            the client's next packet (both are). One packet alone caches nothing, whatever the settings: a flow \
            may skip the rules only once its connection is established, as Linux's flowtable has it, so inserted is 0 then. The table of connections is full after the first moments, so each connection \
            takes the place of another. The source, the rings and the sink run on the same core and are included; by themselves \
            they are floorNsPerConnection.

            JSON keys: connectionsPerSecond, nsPerConnection, floorNsPerConnection, spread (largest window less smallest, over the \
            median), packets (of each connection), rules, nat, table (connections it holds), connections, cachedEntries, inserted \
            (cache entries), notForwarded (packets whose connection had lost its place to a newer one), residentBytesBefore and residentBytesAfter (of the process, when the table was full and at the end).
            """)
    @Option(help: "Rules of the ruleset.") var rules = 100
    @Option(help: "Packets of each connection that take the slow path, 1 to 3.") var packets = 1
    @Option(help: "Connections that the table holds.") var table = 262_144
    @Flag(inversion: .prefixedNo, help: "Translate source addresses.") var nat = true
    @Option(help: "CPU seconds to measure, over all windows.") var seconds = 5.0
    @Option(help: "Windows; the median of them is reported (at least 5).") var windows = 5
    @Flag(help: "Print one JSON object.") var json = false

    func validate() throws {
        guard rules >= 10, rules <= 200_000 else { throw ValidationError("--rules is \(rules); 10 to 200000 are possible.") }
        guard packets >= 1, packets <= 3 else { throw ValidationError("--packets is \(packets); 1 to 3 are possible.") }
        guard table >= 1024, table <= 1 << 24 else { throw ValidationError("--table is \(table); 1024 to \(1 << 24) are possible.") }
        guard seconds > 0, seconds <= 3600 else { throw ValidationError("--seconds is \(seconds); more than 0 and at most 3600 are possible.") }
        guard windows >= 5, windows <= 1000 else { throw ValidationError("--windows is \(windows); 5 to 1000 are possible.") }
    }

    func run() throws {
        do {
            try NewConnectionsRun(self).run().print(json: json)
        } catch let error as DPDKError {
            FileHandle.standardError.write(Data("needletail bench: \(error)\n".utf8))
            throw ExitCode(2)
        }
    }
}

struct NewConnectionsReport: Codable {
    var rules = 0
    var nat = true
    var packets = 1
    var table = 0
    var windows = 0
    var connectionsPerSecond = 0.0
    var nsPerConnection = 0.0
    var floorNsPerConnection = 0.0
    var spread = 0.0
    var connections = 0
    var cachedEntries = 0
    var inserted: UInt64 = 0
    /// Packets of connections that had lost their place to newer ones.
    var notForwarded = 0
    var residentBytesBefore = 0
    var residentBytesAfter = 0
    var hugePages = false
    var realtime = false

    func print(json: Bool) {
        if json { return BenchReport.printJSON(self) }
        func number(_ value: Double, _ digits: Int = 1) -> String { BenchReport.number(value, digits) }
        Swift.print("rules            \(rules)\(nat ? ", NAT" : ""); \(packets) packets a connection\(realtime ? "; SCHED_FIFO" : "; ordinary priority: expect noise")\(hugePages ? ", huge pages" : ", no huge pages")")
        Swift.print("connections      \(number(connectionsPerSecond / 1e6, 2)) million a second (spread \(number(spread * 100)) % over \(windows) windows)")
        Swift.print("ns each          \(number(nsPerConnection)) (source, rings and sink alone \(number(floorNsPerConnection)))")
        Swift.print("table            \(connections) of \(table) connections, \(cachedEntries) cache entries, \(inserted) inserted")
        Swift.print("memory           \(residentBytesBefore >> 20) MiB when the table was full, \(residentBytesAfter >> 20) MiB at the end")
    }
}
