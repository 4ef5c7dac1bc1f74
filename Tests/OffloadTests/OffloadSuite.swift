// Everything that needs ports: two ring ports with an emulated NIC each, a manager, and flows between them. One
// serialized suite; files of this target extend it.
import CDPDK
import DPDK
import FlowCache
import Testing
import Wire

@testable import Offload

@Suite(.serialized) struct OffloadSuite {
    static let eal = Result { try EAL.shared(.small(memoryMB: 256, workers: 1)) }

    init() throws { _ = try OffloadSuite.eal.get() }

    /// Runs `body` on a fresh pair of ports; fails if a packet leaked or a handle was used after its rule's end.
    func withBench(
        profile: String? = "full", capacity: UInt32 = 0, options: OffloadOptions = OffloadOptions(), _ body: (Bench) throws -> Void
    ) throws {
        let pool = try Mempool(name: "offload", count: 1023, cache: 0)
        do {
            let bench = try Bench(pool: pool, profile: profile, capacity: capacity, options: options)
            try body(bench)
            for port in bench.rings.map(\.port.id) {
                #expect((EmulatedNIC.statistics(port: port)?.staleHandles ?? 0) == 0, "a handle was used after its end")
            }
            bench.close()
        }
        #expect(pool.inUse == 0, "packets leaked")
    }
}

/// Two ports, 0 inside (10.0.1.0/24) and 1 outside, and the manager between them.
final class Bench {
    static let second: Timestamp = 1_000_000_000
    let rings: [RingPort]
    let ports: [OffloadPort]
    let manager: OffloadManager
    var events: [OffloadEvent] = []
    var now: Timestamp = 100 * Bench.second

    init(pool: Mempool, profile: String?, capacity: UInt32, options: OffloadOptions) throws {
        rings = try (0..<2).map { try RingPort(name: "o\($0)", capacity: 255, pool: pool) }
        for ring in rings {
            _ = try ring.port.configure(PortConfiguration(), pools: [pool])
            try ring.port.start()
            if let profile { try EmulatedNIC.attach(port: ring.port.id, profile: profile, capacity: capacity) }
        }
        ports = rings.enumerated().map { place, ring in
            OffloadPort(
                index: PortIndex(place), name: "o\(place)", dpdkPort: ring.port.id,
                address: EthernetAddress(rawValue: 0x0200_0000_0001 + UInt64(place)), mtu: 1500)
        }
        manager = OffloadManager(ports: ports, options: options)
        manager.start(now: now)
    }

    func close() {
        for ring in rings {
            EmulatedNIC.detach(port: ring.port.id)
            ring.close()
        }
    }

    /// One round of the manager, its events kept.
    func run(after delay: Timestamp = 0) {
        now += delay
        manager.runOnce(now: now)
        manager.drainEvents { events.append($0) }
    }

    func events(_ kind: OffloadEvent.Kind) -> [OffloadEvent] { events.filter { $0.kind == kind } }

    /// What came out on port `other` and what the worker of `port` got to see, after `frame` came in on `port`.
    func pass(_ frame: [UInt8], port: Int = 0) -> (sent: [[UInt8]], software: [[UInt8]]) {
        frame.withUnsafeBytes { _ = rings[port].inject($0) }
        return poll(port: port)
    }

    func poll(port: Int) -> (sent: [[UInt8]], software: [[UInt8]]) {
        nt_nic_set_time(now)
        var batch = PacketBatch(capacity: 32)
        rings[port].port.receiveQueue(0).receive(into: &batch)
        let software = (0..<batch.count).map { [UInt8](UnsafeRawBufferPointer(start: batch[$0].data, count: batch[$0].length)) }
        batch.freeAll()
        var sent: [[UInt8]] = []
        for ring in rings {
            while let mbuf = ring.take() {
                sent.append([UInt8](UnsafeRawBufferPointer(start: mbuf.data, count: mbuf.length)))
                mbuf.free()
            }
        }
        return (sent, software)
    }
}

/// A flow from inside to outside as frames: what arrives and what has to leave, in both directions.
struct TestFlow {
    var original: Frame
    var originalOut: Frame
    var reply: Frame
    var replyOut: Frame
    var slot = OffloadSlot(index: 1, generation: 1)

    /// TCP or UDP through source NAT to 192.168.0.1 (or fd00:0:9::1) with another port.
    init(family: UInt8 = 4, transportProtocol: UInt8 = 6, nat: Bool = true, vlans: [UInt16] = [], sourcePort: UInt16 = 40000) {
        original = Frame()
        original.family = family
        original.transportProtocol = transportProtocol
        original.vlans = vlans
        original.sourcePort = sourcePort
        if family == 6 {
            original.source = Frame.v6(1, 2)
            original.destination = Frame.v6(2, 2)
        }
        originalOut = original
        originalOut.ttl -= 1
        originalOut.sourceMAC = 0x0200_0000_0002
        originalOut.destinationMAC = 0x0200_0000_00bb
        if nat {
            originalOut.source = family == 4 ? [192, 168, 0, 1] : Frame.v6(9, 1)
            originalOut.sourcePort = sourcePort ^ 0x5555
        }
        reply = originalOut
        swap(&reply.source, &reply.destination)
        swap(&reply.sourcePort, &reply.destinationPort)
        reply.ttl = 57
        reply.destinationMAC = 0x0200_0000_0002
        reply.sourceMAC = 0x0200_0000_00bb
        replyOut = reply
        replyOut.ttl -= 1
        replyOut.destination = original.source
        replyOut.destinationPort = original.sourcePort
        replyOut.sourceMAC = 0x0200_0000_0001
        replyOut.destinationMAC = 0x0200_0000_00aa
    }

    func description(_ came: Frame, _ leaves: Frame, ingress: PortIndex, output: PortIndex, direction: UInt8) -> FlowDescription {
        var flow = FlowDescription()
        flow.key.source = Frame.address(came.source)
        flow.key.destination = Frame.address(came.destination)
        flow.key.sourcePort = came.sourcePort
        flow.key.destinationPort = came.destinationPort
        flow.key.transportProtocol = came.transportProtocol
        flow.key.ingressPort = ingress
        flow.key.vlanCount = UInt8(came.vlans.count)
        flow.key.outerVLAN = came.vlans.first.map { $0 & 0xfff } ?? 0
        flow.key.innerVLAN = came.vlans.count > 1 ? came.vlans[1] & 0xfff : 0
        flow.rewrite.vlanCount = flow.key.vlanCount
        flow.rewrite.vlanTags = flow.key.vlanTags
        flow.rewrite.outputPort = output
        flow.rewrite.sourceMAC = EthernetAddress(rawValue: leaves.sourceMAC)
        flow.rewrite.destinationMAC = EthernetAddress(rawValue: leaves.destinationMAC)
        flow.rewrite.source = Frame.address(leaves.source)
        flow.rewrite.destination = Frame.address(leaves.destination)
        flow.rewrite.sourcePort = leaves.sourcePort
        flow.rewrite.destinationPort = leaves.destinationPort
        flow.guard.maximumLength = 1500
        if came.transportProtocol == 6 { flow.guard.tcpFlagsMask = 7 }
        flow.connection = slot.index &+ 1000
        flow.direction = direction
        flow.creditList = slot.index &+ 2000 &+ UInt32(direction)
        return flow
    }

    var candidate: OffloadCandidate {
        OffloadCandidate(
            slot: slot, replySlot: OffloadSlot(index: slot.index + 1, generation: slot.generation),
            original: description(original, originalOut, ingress: 0, output: 1, direction: 0),
            reply: description(reply, replyOut, ingress: 1, output: 0, direction: 1))
    }
}
