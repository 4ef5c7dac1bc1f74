// One ruleset through the slow path: windows of first packets, windows of packets of established flows without a cache.
//
// Invariant: between two batches of first packets every connection has died of old age and been reclaimed, so that each batch
// finds an empty table; that time is not counted.
import Conntrack
import DPDK
import FlowCache
import Foundation
import Policy
import Routing
import Ruleset
import SlowPath
import Wire

private func cpuNanoseconds() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}

struct SlowPathRunError: Error, CustomStringConvertible {
    var description: String
    init(_ description: String) { self.description = description }
}

final class SlowPathRun {
    private static var frameLength: Int { 60 }
    private static var batch: Int { 32_768 }
    private static var burst: Int { 32 }
    static var stations: [UInt64] { [0x0200_0000_0a01, 0x0200_0000_0b01] }
    private var path: SlowPath
    private let cacheMemory: UnsafeMutableRawPointer
    private let trackerMemory: HugeMemory
    /// First packets of `batch` connections, in an order of their own; replies to them behind.
    private let frames: UnsafeMutableRawPointer
    private let buffer: UnsafeMutableRawPointer
    private var now: Timestamp = 1_000_000_000
    private let loadMilliseconds: Double

    init(ruleset text: String, packets: [BenchPacket]) throws {
        let start = cpuNanoseconds()
        let loaded = RulesetValue().applying(text: text)
        guard loaded.isAccepted else { throw SlowPathRunError("the benchmark's ruleset does not load: \(loaded.diagnostics.map(\.message).prefix(3))") }
        let compiled = CompiledRuleset(loaded.value, interfaces: [Interface(name: "lan0", index: 1), Interface(name: "wan0", index: 2)], seed: 1)
        loadMilliseconds = Double(cpuNanoseconds() - start) / 1e6
        let router = try Self.router()
        let layout = FlowCacheConfiguration(ipv4Capacity: 1024, ipv6Capacity: 1024, seed: 1)
        cacheMemory = .allocate(byteCount: FlowCache.memoryRequired(layout), alignment: 128)
        var tracking = TrackerConfiguration()
        tracking.maximumConnections = 4 * Self.batch
        trackerMemory = HugeMemory(byteCount: ConnectionTracker.memorySize(tracking))
        var settings = SlowPathSettings()
        settings.cachesFlows = false
        settings.timerBudget = 1 << 20
        path = SlowPath(
            settings: settings, tracker: ConnectionTracker(configuration: tracking, memory: trackerMemory.base, seed: 1), flows: FlowCache(memory: cacheMemory, configuration: layout),
            ruleset: compiled, router: router, reassembler: Reassembler())
        frames = .allocate(byteCount: Self.batch * 64, alignment: 64)
        buffer = .allocate(byteCount: 4096, alignment: 64)
        Self.write(packets, to: frames)
    }

    deinit {
        cacheMemory.deallocate()
        frames.deallocate()
        buffer.deallocate()
    }

    /// Clients behind lan0, servers behind wan0, one neighbour on each side that everything goes through.
    static func router() throws -> Router {
        var router = Router()
        for port in 0 ..< 2 {
            let index = PortIndex(port), net = UInt32(0xc0a8_0000 + port << 8)
            try router.interfaces.add(port: index, name: port == 0 ? "lan0" : "wan0", mac: EthernetAddress(rawValue: stations[port]))
            try router.addAddress(IPPrefix(address: IPAddress(ipv4: net | 1), length: 24), port: index)
            try router.neighbours.addPermanent(IPAddress(ipv4: net | 2), port: index, mac: EthernetAddress(rawValue: stations[port] | 2), now: 0)
        }
        for (network, length, port) in [(UInt32(0x0a00_0000), 8, 0), (0, 0, 1)] {
            let gateway = IPAddress(ipv4: 0xc0a8_0002 + UInt32(port) << 8)
            try router.addRoute(Route(destination: IPPrefix(address: IPAddress(ipv4: network), length: UInt8(length)), nextHops: [NextHop(port: PortIndex(port), gateway: gateway)]))
        }
        return router
    }

    private static func write(_ packets: [BenchPacket], to frames: UnsafeMutableRawPointer) {
        var random = SplitMix64(seed: 4711)
        for number in 0 ..< batch {
            let wanted = packets[Int(random.next() % UInt64(packets.count))]
            let frame = PacketBuffer(start: frames + number * 64, length: frameLength)
            (frames + number * 64).initializeMemory(as: UInt8.self, repeating: 0, count: 64)
            frame.storeMAC(EthernetAddress(rawValue: stations[0]), at: 0)
            frame.storeMAC(EthernetAddress(rawValue: stations[0] | 2), at: 6)
            frame.store16(EtherType.ipv4, at: 12)
            frame.store16(0x4500, at: 14)
            frame.store16(UInt16(frameLength - 14), at: 16)
            frame.store16(0x4000, at: 20)
            frame.store8(64, at: 22)
            frame.store8(wanted.isTCP ? IPProtocol.tcp : IPProtocol.udp, at: 23)
            frame.store32(wanted.source, at: 26)
            frame.store32(wanted.destination, at: 30)
            // Packets for the same rule come from different ports, where the rule leaves them free.
            frame.store16(wanted.sourcePort != 0 ? wanted.sourcePort : UInt16(1024 + number), at: 34)
            frame.store16(wanted.destinationPort, at: 36)
            if wanted.isTCP {
                frame.store32(UInt32(number), at: 38)
                frame.store16(0x5002, at: 46)
                frame.store16(0x2000, at: 48)
            } else {
                frame.store16(UInt16(frameLength - 34), at: 38)
            }
            Checksum.fillIPv4Header(frame.start + 14, length: 20)
            var parsed = ParsedPacket()
            _ = PacketParser.parse(frame, into: &parsed)
            Checksum.fillTransport(frame, parsed)
        }
    }

    func measure(windows: Int, nanoseconds: UInt64) throws -> SlowPathFigures {
        var first: [Double] = [], later: [Double] = []
        for window in -1 ..< windows {
            var time: UInt64 = 0, packets = 0
            repeat {
                time += batchOfFirstPackets()
                packets += Self.batch
                guard path.statistics.forwarded == UInt64(Self.batch) else {
                    throw SlowPathRunError("only \(path.statistics.forwarded) of \(Self.batch) packets were forwarded")
                }
                expireAll()
            } while time < nanoseconds
            if window >= 0 { first.append(Double(time) / Double(packets)) }
        }
        // Established flows of UDP: every connection has seen both directions, and stays.
        let flows = Array((0 ..< Self.batch).filter { (frames + $0 * 64).load(fromByteOffset: 23, as: UInt8.self) == IPProtocol.udp }.prefix(4096))
        for number in flows { exchange(number) }
        for window in -1 ..< windows {
            var time: UInt64 = 0, packets = 0
            repeat {
                let start = cpuNanoseconds()
                for number in flows { send(frames + number * 64, port: 0) }
                time += cpuNanoseconds() - start
                packets += flows.count
            } while time < nanoseconds
            if window >= 0 { later.append(Double(time) / Double(packets)) }
        }
        return SlowPathFigures(firstPackets: first, packets: later, loadMilliseconds: loadMilliseconds)
    }

    private func batchOfFirstPackets() -> UInt64 {
        path.statistics = SlowPathStatistics()
        let start = cpuNanoseconds()
        for first in stride(from: 0, to: Self.batch, by: Self.burst) {
            anticipate(first)
            for number in first ..< first + Self.burst { send(frames + number * 64, port: 0) }
        }
        return cpuNanoseconds() - start
    }

    /// A burst's cache misses together, as the slow-path core has them.
    private func anticipate(_ first: Int) {
        for place in 0 ..< Self.burst { path.anticipate(frames + (first + place) * 64, length: Self.frameLength, ingress: 0) }
        path.anticipateAll()
    }

    @discardableResult
    private func send(_ frame: UnsafeMutableRawPointer, port: PortIndex) -> Outcome {
        let start = buffer + 256
        start.copyMemory(from: frame, byteCount: Self.frameLength)
        now &+= 100
        return path.process(PacketBuffer(start: start, length: Self.frameLength, headroom: 256, tailroom: 1024), ingress: port, now: now)
    }

    /// Makes a connection an established one: sends its first packet and answers what comes out.
    private func exchange(_ number: Int) {
        guard send(frames + number * 64, port: 0).sendsInPlace else { return }
        let sent = path.inPlace
        let reply = UnsafeMutableRawPointer.allocate(byteCount: 64, alignment: 64)
        defer { reply.deallocate() }
        reply.copyMemory(from: sent.start, byteCount: Self.frameLength)
        let frame = PacketBuffer(start: reply, length: Self.frameLength)
        frame.storeMAC(EthernetAddress(rawValue: Self.stations[1]), at: 0)
        frame.storeMAC(EthernetAddress(rawValue: Self.stations[1] | 2), at: 6)
        let (source, destination) = (frame.load32(26), frame.load32(30))
        frame.store32(destination, at: 26)
        frame.store32(source, at: 30)
        let ports = (frame.load16(34), frame.load16(36))
        frame.store16(ports.1, at: 34)
        frame.store16(ports.0, at: 36)
        var parsed = ParsedPacket()
        _ = PacketParser.parse(frame, into: &parsed)
        Checksum.fillTransport(frame, parsed)
        send(reply, port: 1)
    }

    /// Lets every connection die and be forgotten.
    private func expireAll() {
        now &+= 3_600_000_000_000
        repeat {
            now &+= 1_000_000_000
            path.runTimers(now: now)
            _ = path.beginGracePeriod()
            path.endGracePeriod(now: now)
        } while path.resources.connections > 0
    }
}
