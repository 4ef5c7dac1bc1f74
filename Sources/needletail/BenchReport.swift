// What a benchmark found, for people and for programs.
import Foundation

struct BenchReport: Codable {
    var flows = 0
    var entries = 0
    var family = "ipv4"
    var transport = "udp"
    var mix = false
    var nat = true
    var workers = 1
    var windows = 0
    /// Nanoseconds of worker CPU time per packet, source and sink included.
    var nsPerPacket = 0.0
    /// Source and sink alone.
    var floorNsPerPacket = 0.0
    /// The worker's loop written in C, over the same table.
    var twinNsPerPacket = 0.0
    /// With `--nic-hash`: the twin that takes the hash from the mbuf.
    var twinGivenHashNsPerPacket: Double?
    /// Source, sink, and one random line a packet, prefetched and written, in as much memory as the flows' entries take.
    var memoryLimitNsPerPacket = 0.0
    var packets: UInt64 = 0
    var packetsPerSecond = 0.0
    var hitRate = 0.0
    /// Largest window less smallest, over the median.
    var spread = 0.0
    var hugePages = false
    var realtime = false
    var tableBytes = 0
    /// Entries in use, of the lanes that the table has.
    var tableLoad = 0.0

    static func median(_ values: [Double]) -> Double {
        let sorted = values.sorted()
        guard !sorted.isEmpty else { return 0 }
        return sorted.count % 2 == 1 ? sorted[sorted.count / 2] : (sorted[sorted.count / 2 - 1] + sorted[sorted.count / 2]) / 2
    }

    static func spread(_ values: [Double]) -> Double {
        let middle = median(values)
        return middle > 0 ? ((values.max() ?? 0) - (values.min() ?? 0)) / middle : 0
    }

    static func number(_ value: Double, _ digits: Int = 1) -> String { String(format: "%.\(digits)f", value) }

    static func printJSON(_ report: some Encodable) {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
        if let data = try? encoder.encode(report) { Swift.print(String(decoding: data, as: UTF8.self)) }
    }

    func print(json: Bool) {
        if json { return BenchReport.printJSON(self) }
        func number(_ value: Double, _ digits: Int = 1) -> String { BenchReport.number(value, digits) }
        let kind = "\(family), \(transport)\(nat ? ", NAT" : "")\(mix ? ", Internet mix" : "")"
        Swift.print("flows            \(flows) (\(entries) entries, \(kind); table \(tableBytes >> 20) MiB, load \(number(tableLoad, 2)))")
        Swift.print("workers          \(workers)\(realtime ? ", SCHED_FIFO" : ", ordinary priority: expect noise")\(hugePages ? ", huge pages" : ", no huge pages: sysctl vm.nr_hugepages=1536")")
        Swift.print("ns per packet    \(number(nsPerPacket)) (spread \(number(spread * 100)) % over \(windows) windows)")
        Swift.print("floor            \(number(floorNsPerPacket)) (source and sink alone)")
        if twinNsPerPacket > 0 {
            Swift.print("twin in C        \(number(twinNsPerPacket)) (the worker takes \(number(nsPerPacket / twinNsPerPacket, 2)) times as long)")
            if let given = twinGivenHashNsPerPacket { Swift.print("  NIC's hash     \(number(given)) (the twin without computing its own: \(number(twinNsPerPacket - given)) saved)") }
            Swift.print("memory limit     \(number(memoryLimitNsPerPacket)) (a random line for each packet)")
        }
        Swift.print("packets          \(packets), \(number(packetsPerSecond / 1e6, 2)) million a second")
        Swift.print("hit rate         \(number(hitRate * 100, 3)) %")
    }
}
