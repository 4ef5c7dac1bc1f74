// What a benchmark found, for people and for programs.
import Foundation

struct BenchReport: Codable {
    var flows = 0
    var entries = 0
    var family = "ipv4"
    var nat = true
    var workers = 1
    var windows = 0
    /// Nanoseconds of worker CPU time per packet, source and sink included.
    var nsPerPacket = 0.0
    /// The same loop without the worker.
    var floorNsPerPacket = 0.0
    var packets: UInt64 = 0
    var packetsPerSecond = 0.0
    var hitRate = 0.0
    var spread = 0.0
    var hugePages = false
    var realtime = false
    var tableBytes = 0

    static func median(_ values: [Double]) -> Double {
        let sorted = values.sorted()
        guard !sorted.isEmpty else { return 0 }
        return sorted.count % 2 == 1 ? sorted[sorted.count / 2] : (sorted[sorted.count / 2 - 1] + sorted[sorted.count / 2]) / 2
    }

    func print(json: Bool) {
        if json {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
            if let data = try? encoder.encode(self) { Swift.print(String(decoding: data, as: UTF8.self)) }
            return
        }
        func number(_ value: Double, _ digits: Int = 1) -> String { String(format: "%.\(digits)f", value) }
        Swift.print("flows            \(flows) (\(entries) entries, \(family)\(nat ? ", NAT" : ""), table \(tableBytes >> 20) MiB)")
        Swift.print("workers          \(workers)\(realtime ? ", SCHED_FIFO" : ", ordinary priority: expect noise")\(hugePages ? ", huge pages" : ", no huge pages in DPDK")")
        Swift.print("ns per packet    \(number(nsPerPacket)) (source and sink alone \(number(floorNsPerPacket)); spread \(number(spread * 100)) % over \(windows) windows)")
        Swift.print("packets          \(packets), \(number(packetsPerSecond / 1e6, 2)) million a second")
        Swift.print("hit rate         \(number(hitRate * 100, 3)) %")
    }
}
