// A router with two workers on threads of their own, put together from a configuration, between ports whose NIC is played here: a software
// RSS with a key of its own spreads the frames over the ports' queues. This thread is the slow path.
import CDPDK
import Configuration
import Conntrack
import DPDK
import Foundation
import SlowPath
import Synchronization
import Testing
import Wire

@testable import Dataplane

private final class Stop: Sendable {
    let flag = Atomic<Bool>(false)
    let ended = Atomic<Int>(0)
}

/// What the NICs do.
private struct SoftwareRSS {
    let key: [UInt8]
    let queues = (0 ..< 128).map { UInt16($0 & 1) }

    init(seed: UInt64) {
        let word = ReceiveHashing.keyWord(seed: seed)
        key = (0 ..< 44).map { UInt8(truncatingIfNeeded: $0 & 1 == 0 ? word >> 8 : word) }
    }

    var spread: ReceiveSpread? { ReceiveSpread(key: Array(key.prefix(40)), workers: queues, kinds: [.ipv4TCP, .ipv4UDP, .ipv6TCP, .ipv6UDP]) }

    func queue(_ frame: [UInt8]) -> Int {
        let isIPv6 = frame[12] == 0x86
        let addresses = isIPv6 ? 22 ..< 54 : 26 ..< 34, ports = isIPv6 ? 54 : 34
        var words: [UInt32] = []
        var rest = Array(frame[addresses]) + Array(frame[ports ..< ports + 4])
        while !rest.isEmpty {
            words.append(rest.prefix(4).reduce(UInt32(0)) { $0 << 8 | UInt32($1) })
            rest = Array(rest.dropFirst(4))
        }
        let hash = key.withUnsafeBytes { rte_softrss(&words, UInt32(words.count), $0.bindMemory(to: UInt8.self).baseAddress) }
        return Int(queues[Int(hash & 127)])
    }
}

private enum Frames {
    static func parsed<Result>(_ frame: inout [UInt8], _ body: (PacketBuffer, ParsedPacket) -> Result) -> Result {
        frame.withUnsafeMutableBytes { bytes in
            let packet = PacketBuffer(start: bytes.baseAddress.unsafelyUnwrapped, length: bytes.count)
            var parsed = ParsedPacket()
            _ = PacketParser.parse(packet, into: &parsed)
            return body(packet, parsed)
        }
    }

    static func seal(_ frame: inout [UInt8]) {
        frame.withUnsafeMutableBytes { if $0[12] == 8 { Checksum.fillIPv4Header($0.baseAddress.unsafelyUnwrapped + 14, length: 20) } }
        parsed(&frame) { Checksum.fillTransport($0, $1) }
    }

    static func make(to mac: EthernetAddress, isIPv6: Bool, isTCP: Bool, client: UInt16, server: UInt8, flags: UInt8 = TCPFlags.syn) -> [UInt8] {
        var frame: [UInt8] = (0 ..< 6).map { UInt8(truncatingIfNeeded: mac.rawValue >> UInt64(40 - 8 * $0)) }
        frame += [2, 0, 0, 0, 1, 0x0a] as [UInt8]
        let transport: UInt8 = isTCP ? 6 : 17
        if isIPv6 {
            frame += [0x86, 0xdd, 0x60, 0, 0, 0, 0, 20, transport, 64] as [UInt8]
            frame += [0xfd, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2] as [UInt8]
            frame += [0xfd, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, server] as [UInt8]
        } else {
            frame += [8, 0, 0x45, 0, 0, 40, 0, 1, 0x40, 0, 64, transport, 0, 0] as [UInt8]
            frame += [10, 0, 1, 2, 203, 0, 113, server] as [UInt8]
        }
        frame += [UInt8(client >> 8), UInt8(client & 255), 1, 187] as [UInt8]
        if isTCP {
            frame += [0, 0, 0, 100, 0, 0, 0, 0, 0x50, flags, 0x20, 0, 0, 0, 0, 0] as [UInt8]
        } else {
            frame += [0, 20, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12] as [UInt8]
        }
        seal(&frame)
        return frame
    }

    /// From the other end of what `frame` came through: addresses and ports exchanged.
    static func answer(_ frame: [UInt8], to mac: EthernetAddress, flags: UInt8, sequence: UInt32, acknowledgement: UInt32) -> [UInt8] {
        var result = frame
        let isIPv6 = frame[12] == 0x86
        let size = isIPv6 ? 16 : 4, addresses = isIPv6 ? 22 : 26, ports = isIPv6 ? 54 : 34
        for place in 0 ..< 6 { (result[place], result[place + 6]) = (UInt8(truncatingIfNeeded: mac.rawValue >> UInt64(40 - 8 * place)), frame[place]) }
        for place in 0 ..< size { (result[addresses + place], result[addresses + size + place]) = (frame[addresses + size + place], frame[addresses + place]) }
        for place in 0 ..< 2 { (result[ports + place], result[ports + 2 + place]) = (frame[ports + 2 + place], frame[ports + place]) }
        result[isIPv6 ? 21 : 22] = 64
        setTCP(&result, flags: flags, sequence: sequence, acknowledgement: acknowledgement)
        seal(&result)
        return result
    }

    static func setTCP(_ frame: inout [UInt8], flags: UInt8, sequence: UInt32, acknowledgement: UInt32) {
        let isIPv6 = frame[12] == 0x86, ports = isIPv6 ? 54 : 34
        guard frame[isIPv6 ? 20 : 23] == 6 else { return }
        for place in 0 ..< 4 {
            frame[ports + 4 + place] = UInt8(truncatingIfNeeded: sequence >> UInt32(24 - 8 * place))
            frame[ports + 8 + place] = UInt8(truncatingIfNeeded: acknowledgement >> UInt32(24 - 8 * place))
        }
        frame[ports + 13] = flags
    }
}

/// The router, its two workers running.
private final class SteeredRouter {
    let nic = SoftwareRSS(seed: 77)
    let ports: [RingPort]
    let assembly: Assembly
    private let pool: Mempool
    private let stop = Stop()

    init(_ steering: String, knowsKey: Bool = true) throws {
        let directory = NSTemporaryDirectory() + "needletail-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: directory) }
        try """
        table inet nat { chain post { type nat hook postrouting priority srcnat; oifname "wan" masquerade; }
          chain forward { type filter hook forward priority filter; ct state established,related accept; iifname "lan" accept; drop; }
        }
        """.write(toFile: directory + "/rules.nft", atomically: true, encoding: .utf8)
        try """
        seed = 1
        [eal]
        worker-cores = [1, 2]
        huge-pages = false
        [[port]]
        name = "lan"
        device = "net_null8"
        mac = "02:00:00:00:01:01"
        addresses = ["10.0.1.1/24", "fd00:1::1/64"]
        [[port]]
        name = "wan"
        device = "net_null9"
        mac = "02:00:00:00:02:01"
        addresses = ["192.0.2.1/24", "fd00:2::1/64"]
        [flow-cache]
        entries = 4096
        [conntrack]
        max = 4096
        [nat]
        steer-ports = "\(steering)"
        [offload]
        tier = "none"
        [ruleset]
        file = "rules.nft"
        [[routing.route]]
        to = "0.0.0.0/0"
        via = "192.0.2.2"
        [[routing.route]]
        to = "::/0"
        via = "fd00:2::2"
        [[routing.neighbour]]
        port = "lan"
        address = "10.0.1.2"
        mac = "02:00:00:00:01:0a"
        [[routing.neighbour]]
        port = "lan"
        address = "fd00:1::2"
        mac = "02:00:00:00:01:0a"
        [[routing.neighbour]]
        port = "wan"
        address = "192.0.2.2"
        mac = "02:00:00:00:02:0a"
        [[routing.neighbour]]
        port = "wan"
        address = "fd00:2::2"
        mac = "02:00:00:00:02:0a"
        """.write(toFile: directory + "/router.toml", atomically: true, encoding: .utf8)
        let configuration = try Configuration.load(file: directory + "/router.toml")
        let pool = try Mempool(name: "steer\(UInt16.random(in: 0 ... .max))", count: 8191, cache: 0)
        self.pool = pool
        ports = try configuration.ports.map { port in
            let ring = try RingPort(name: port.name, queues: 2, capacity: 1023, pool: pool)
            var wanted = PortConfiguration()
            wanted.receiveQueues = 2
            wanted.transmitQueues = 2
            _ = try ring.port.configure(wanted, pools: [pool])
            try ring.port.start()
            return ring
        }
        let assembled = try zip(configuration.ports, ports).map { port, ring in
            AssembledPort(configuration: port, device: ring.port, setup: try #require(ring.port.setup), address: try #require(port.mac))
        }
        let ruleset = try LiveRuleset(configuration: configuration, seed: 1, now: 0)
        assembly = try Assembly(configuration: configuration, ports: assembled, pool: pool, ruleset: ruleset, workerCount: 2, isThreaded: true, seed: 1, wallClockOffset: 0)
        if knowsKey { for port in 0 ..< 2 { assembly.path.pointee.setSpread(try #require(nic.spread), port: PortIndex(port)) } }
        let stop = stop
        for worker in assembly.workers.map({ UInt(bitPattern: $0) }) {
            Thread.detachNewThread {
                guard let worker = UnsafeMutablePointer<Worker>(bitPattern: worker) else { return }
                while !stop.flag.load(ordering: .acquiring) { if worker.pointee.runOnce(tick: 1) == 0 { Thread.sleep(forTimeInterval: 0) } }
                worker.pointee.finish(tick: 1)
                // Release, pairs with the acquiring load in `end`: the worker's last counts are seen.
                stop.ended.add(1, ordering: .releasing)
            }
        }
    }

    /// Sends frames in by one port and gives as many as come out of the other, in any order.
    func pass(_ frames: [[UInt8]], from port: Int) -> [[UInt8]] {
        for frame in frames { #expect(frame.withUnsafeBytes { ports[port].inject($0, queue: nic.queue(frame)) }) }
        var out: [[UInt8]] = []
        let patience = Date().addingTimeInterval(20)
        while out.count < frames.count, Date() < patience {
            _ = assembly.core.pointee.runOnce(now: 1_000_000)
            for queue in 0 ..< 2 {
                while let packet = ports[1 - port].take(queue: queue) {
                    out.append([UInt8](UnsafeRawBufferPointer(start: packet.data, count: packet.length)))
                    packet.free()
                }
            }
        }
        #expect(out.count == frames.count)
        return out
    }

    func end() -> ForwardingSummary {
        stop.flag.store(true, ordering: .releasing)
        while stop.ended.load(ordering: .acquiring) < 2 { Thread.sleep(forTimeInterval: 0.001) }
        assembly.core.pointee.settleStopped(now: 2_000_000)
        let summary = assembly.summary(now: 2_000_000)
        #expect(assembly.dismantle() == 0)
        for ring in ports { ring.close() }
        #expect(pool.inUse == 0)
        return summary
    }
}

extension WorkerSuite {
    private static var flows: Int { 120 }

    /// Handshakes and data of TCP, and requests and answers of UDP, of both families, masqueraded.
    private func talk(_ router: SteeredRouter, isTCP: Bool) {
        for isIPv6 in [false, true] {
            let lan = EthernetAddress(rawValue: 0x0200_0000_0101), wan = EthernetAddress(rawValue: 0x0200_0000_0201)
            var first: [[UInt8]] = []
            for flow in 0 ..< WorkerSuite.flows {
                first.append(Frames.make(to: lan, isIPv6: isIPv6, isTCP: isTCP, client: UInt16(20_000 + flow * 7), server: UInt8(1 + flow % 200)))
            }
            func repeated(_ flags: UInt8, _ sequence: UInt32, _ acknowledgement: UInt32) -> [[UInt8]] {
                first.map { (original: [UInt8]) -> [UInt8] in
                    var frame = original
                    Frames.setTCP(&frame, flags: flags, sequence: sequence, acknowledgement: acknowledgement)
                    Frames.seal(&frame)
                    return frame
                }
            }
            var outside = router.pass(first, from: 0)
            #expect(Set(outside).count == WorkerSuite.flows)
            func answers(_ flags: UInt8, _ sequence: UInt32) -> [[UInt8]] {
                outside.map { (frame: [UInt8]) -> [UInt8] in Frames.answer(frame, to: wan, flags: flags, sequence: sequence, acknowledgement: 101) }
            }
            _ = router.pass(answers(TCPFlags.syn | TCPFlags.ack, 500), from: 1)
            for _ in 0 ..< 6 {
                outside = router.pass(repeated(TCPFlags.ack, 101, 501), from: 0)
                _ = router.pass(answers(TCPFlags.ack, 501), from: 1)
            }
        }
    }

    @Test(arguments: [(true, "auto"), (false, "all")]) func noEntryChangesHands(isTCP: Bool, steering: String) throws {
        let router = try SteeredRouter(steering)
        talk(router, isTCP: isTCP)
        let summary = router.end(), flows = UInt64(2 * WorkerSuite.flows)
        #expect(summary.nat.portsKept + summary.nat.portsMoved == flows && summary.nat.portsMoved > flows / 4, "\(summary.nat)")
        #expect(summary.nat.directionsApart == 0 && summary.nat.directionsTogether >= flows && summary.flowCache.handovers == 0, "\(summary.nat)")
        #expect(summary.flowCache.punts["worker"] == nil && summary.flowCache.softwareHits > flows * 4 && summary.drops.isEmpty, "\(summary.flowCache) \(summary.drops)")
    }

    /// The same without a wish or without a key: everything arrives all the same, and half of the flows have two workers.
    @Test(arguments: [(true, "off", true), (false, "auto", true), (true, "auto", false)]) func whatIsNotSteeredHasTwoWorkers(isTCP: Bool, steering: String, knowsKey: Bool) throws {
        let router = try SteeredRouter(steering, knowsKey: knowsKey)
        talk(router, isTCP: isTCP)
        let summary = router.end(), flows = UInt64(2 * WorkerSuite.flows)
        #expect(summary.nat.portsMoved == 0 && summary.flowCache.handovers == 0 && summary.flowCache.softwareHits > flows * 4 && summary.drops.isEmpty)
        #expect(summary.nat.spreadUnknown == (knowsKey ? 0 : flows))
        if steering != "off" { #expect(summary.nat.directionsApart > flows / 4 && summary.nat.directionsTogether > flows / 4, "\(summary.nat)") }
    }
}
