// Configurations and captures that the tests make themselves.
import Foundation

enum Sample {
    /// Two ports, `a` (10.0.1.1/24) and `b` (10.0.2.1/24), a neighbour .2 on each, a default route via b.
    static func configuration(ruleset: String?, devices: (a: String, b: String) = ("net_null0", "net_null1"), socket: String = "control.sock", extra: String = "") -> String {
        """
        seed = 1
        [eal]
        main-core = 0
        slow-path-core = 0
        worker-cores = [0]
        share-cores = true
        huge-pages = false
        memory-mb = 256
        [[port]]
        name = "a"
        device = "\(devices.a)"
        mac = "02:00:00:00:0a:01"
        addresses = ["10.0.1.1/24"]
        [[port]]
        name = "b"
        device = "\(devices.b)"
        mac = "02:00:00:00:0b:01"
        addresses = ["10.0.2.1/24"]
        [[routing.route]]
        to = "0.0.0.0/0"
        via = "10.0.2.2"
        [[routing.neighbour]]
        port = "a"
        address = "10.0.1.2"
        mac = "02:00:00:00:0a:02"
        [[routing.neighbour]]
        port = "b"
        address = "10.0.2.2"
        mac = "02:00:00:00:0b:02"
        [ruleset]
        \(ruleset.map { "file = \"\($0)\"" } ?? "")
        [conntrack]
        max = 4096
        [flow-cache]
        entries = 8192
        [control]
        socket = "\(socket)"
        \(extra)
        """
    }
}

/// A UDP datagram in an Ethernet frame, checksums right.
struct Datagram {
    var sourceMAC: [UInt8]
    var destinationMAC: [UInt8]
    var source: [UInt8]
    var destination: [UInt8]
    var sourcePort: UInt16
    var destinationPort: UInt16
    var timeToLive: UInt8 = 64
    var payload: [UInt8] = Array("payload".utf8)

    /// From the host behind port a, as port a receives it.
    static func fromA(to destination: [UInt8] = [192, 0, 2, 9], sourcePort: UInt16 = 1000, destinationPort: UInt16 = 2000) -> Datagram {
        Datagram(
            sourceMAC: [2, 0, 0, 0, 0x0a, 2], destinationMAC: [2, 0, 0, 0, 0x0a, 1], source: [10, 0, 1, 2], destination: destination,
            sourcePort: sourcePort, destinationPort: destinationPort)
    }

    /// The same one hop later, as port b sends it.
    var forwardedByB: Datagram {
        var copy = self
        copy.sourceMAC = [2, 0, 0, 0, 0x0b, 1]
        copy.destinationMAC = [2, 0, 0, 0, 0x0b, 2]
        copy.timeToLive -= 1
        return copy
    }

    var frame: [UInt8] {
        func words(_ value: Int) -> [UInt8] { [UInt8(value >> 8 & 255), UInt8(value & 255)] }
        func checksum(_ bytes: [UInt8]) -> [UInt8] {
            var sum = 0
            for index in stride(from: 0, to: bytes.count, by: 2) { sum += Int(bytes[index]) << 8 | (index + 1 < bytes.count ? Int(bytes[index + 1]) : 0) }
            while sum > 0xffff { sum = sum & 0xffff + sum >> 16 }
            return words(~sum & 0xffff)
        }
        let length = 8 + payload.count
        var udp = words(Int(sourcePort)) + words(Int(destinationPort)) + words(length) + [0, 0] + payload
        let sum = checksum(source + destination + [0, 17] + words(length) + udp)
        udp.replaceSubrange(6..<8, with: sum == [0, 0] ? [255, 255] : sum)
        var ip: [UInt8] = [0x45, 0] + words(20 + length) + [0, 1, 0x40, 0, timeToLive, 17, 0, 0] + source + destination
        ip.replaceSubrange(10..<12, with: checksum(ip))
        return destinationMAC + sourceMAC + [8, 0] + ip + udp
    }
}

/// Classic pcap files, nanoseconds.
enum Capture {
    static func write(_ frames: [[UInt8]], to path: String, start: UInt32 = 1_700_000_000, spacing: UInt32 = 1_000_000) throws {
        try write(frames.enumerated().map { (UInt64($0) * UInt64(spacing), $1) }, to: path, start: start)
    }

    /// Each frame with its time, in nanoseconds from `start`.
    static func write(_ frames: [(time: UInt64, frame: [UInt8])], to path: String, start: UInt32 = 1_700_000_000) throws {
        func word(_ value: UInt32) -> [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: value >> (8 * UInt32($0))) } }
        var bytes = word(0xa1b2_3c4d) + [2, 0, 4, 0] + word(0) + word(0) + word(65_535) + word(1)
        for (time, frame) in frames {
            bytes += word(start + UInt32(time / 1_000_000_000))
            bytes += word(UInt32(time % 1_000_000_000)) + word(UInt32(frame.count)) + word(UInt32(frame.count))
            bytes += frame
        }
        try Data(bytes).write(to: URL(fileURLWithPath: path))
    }

    /// Frames of a file that needletail wrote.
    static func read(_ path: String) throws -> [[UInt8]] {
        let bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
        func word(_ offset: Int) -> Int { (0..<4).reduce(0) { $0 | Int(bytes[offset + $1]) << (8 * $1) } }
        var frames: [[UInt8]] = []
        var offset = 24
        while offset + 16 <= bytes.count {
            let length = word(offset + 8)
            frames.append(Array(bytes[offset + 16..<offset + 16 + length]))
            offset += 16 + length
        }
        return frames
    }
}
