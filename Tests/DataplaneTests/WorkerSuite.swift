// A worker between two ring ports, driven round by round in this thread. One serialized suite, since the EAL starts once in
// a process; files of this target extend it.
import DPDK
import Dataplane
import FlowCache
import Routing
import Testing
import Wire

@Suite(.serialized) struct WorkerSuite {
    static let eal = Result { try EAL.shared(.small()) }
    static let routerAddresses = [EthernetAddress(rawValue: 0x0200_0000_0a01), EthernetAddress(rawValue: 0x0200_0000_0a02)]

    init() throws { _ = try WorkerSuite.eal.get() }
}

/// Everything around one worker: pool, ports 0 and 1, rings, cache.
final class WorkerBench {
    let pool: Mempool
    let ports: [RingPort]
    private let rings: PuntRings
    private let memory: UnsafeMutableRawPointer
    private var cache: FlowCache
    private let worker: UnsafeMutablePointer<Worker>

    init(ringCapacity: Int = 255, portCapacity: Int = 255, outputs: Int = 2, tagged: [(number: PortIndex, interface: Interface)] = []) throws {
        let pool = try Mempool(name: "worker", count: 1023, cache: 32)
        self.pool = pool
        ports = try (0..<2).map { number in
            let ring = try RingPort(name: "w\(number)", capacity: portCapacity, pool: pool)
            var wanted = PortConfiguration()
            wanted.symmetricRSS = false
            _ = try ring.port.configure(wanted, pools: [pool])
            try ring.port.start()
            return ring
        }
        rings = PuntRings(capacity: ringCapacity)
        let configuration = FlowCacheConfiguration(ipv4Capacity: 256, ipv6Capacity: 256, actionCapacity: 64, seed: 9)
        memory = .allocate(byteCount: FlowCache.memoryRequired(configuration), alignment: 64)
        cache = FlowCache(memory: memory, configuration: configuration)
        var setup = WorkerConfiguration()
        setup.inputs = ports.enumerated().map {
            WorkerInput(queue: $0.element.port.receiveQueue(0), port: PortIndex($0.offset), address: WorkerSuite.routerAddresses[$0.offset])
        }
        setup.tagged = tagged
        setup.outputs = ports.prefix(outputs).map { $0.port.transmitQueue(0) }
        worker = .allocate(capacity: 1)
        worker.initialize(to: Worker(configuration: setup, reader: cache.reader, rings: rings.handle, quiescence: nil))
    }

    deinit {
        worker.deinitialize(count: 1)
        worker.deallocate()
        rings.drainAndFree()
        for port in ports { port.close() }
        memory.deallocate()
    }

    var handle: PuntRings.Handle { rings.handle }
    var statistics: WorkerStatistics { worker.pointee.statistics }
    @discardableResult func insert(_ flow: FlowDescription) -> FlowHandle? { cache.insert(flow, now: 0) }
    func lookup(_ key: FlowKey) -> FlowRecord? { cache.lookup(key).flatMap { cache.inspect($0, now: 1 << 30) } }
    func invalidateAll() { cache.invalidateAll() }
    @discardableResult func round(tick: UInt32 = 1) -> Int { worker.pointee.runOnce(tick: tick) }

    func inject(_ bytes: [UInt8], port: Int = 0) { #expect(bytes.withUnsafeBytes { ports[port].inject($0) }) }

    /// Frames sent by `port` since the last call.
    func sent(_ port: Int) -> [[UInt8]] {
        var frames: [[UInt8]] = []
        while let packet = ports[port].take() {
            frames.append([UInt8](UnsafeRawBufferPointer(start: packet.data, count: packet.length)))
            packet.free()
        }
        return frames
    }

    /// Packets of a class since the last call: their ingress port and bytes.
    func punted(_ punt: PuntClass) -> [(port: UInt16, frame: [UInt8])] {
        var frames: [(UInt16, [UInt8])] = []
        while let packet = handle.ring(punt).get() {
            frames.append((packet.port, [UInt8](UnsafeRawBufferPointer(start: packet.data, count: packet.length))))
            packet.free()
        }
        return frames
    }
}

func bytes(_ address: EthernetAddress) -> [UInt8] { (0..<6).map { UInt8(truncatingIfNeeded: address.rawValue >> (40 - 8 * $0)) } }
func big16(_ value: Int) -> [UInt8] { [UInt8(truncatingIfNeeded: value >> 8), UInt8(truncatingIfNeeded: value)] }

/// A UDP frame from client `host` to 198.51.100.1:53, right in every respect.
func udpFrame(
    host: UInt8 = 2, sourcePort: Int = 1000, destination: EthernetAddress = WorkerSuite.routerAddresses[0], timeToLive: UInt8 = 64,
    payload: [UInt8] = [1, 2, 3, 4], padding: Int = 0, fragment: Int = 0, options: [UInt8] = []
) -> [UInt8] {
    var frame = bytes(destination) + [2, 0, 0, 0, 0x0c, 1, 8, 0, UInt8(0x45 + options.count / 4), 0] + big16(28 + options.count + payload.count)
    frame += [0, 1] + big16(fragment) + [timeToLive, 17, 0, 0, 10, 0, 0, host, 198, 51, 100, 1] + options
    frame += big16(sourcePort) + big16(53) + big16(8 + payload.count) + [0, 0] + payload + [UInt8](repeating: 0, count: padding)
    frame.withUnsafeMutableBytes { memory in
        Checksum.fillIPv4Header(memory.baseAddress! + 14, length: 20 + options.count)
        let packet = PacketBuffer(start: memory.baseAddress!, length: memory.count)
        var parsed = ParsedPacket()
        _ = PacketParser.parse(packet, into: &parsed)
        Checksum.fillTransport(packet, parsed)
    }
    return frame
}

/// The flow of `udpFrame`, translated to 203.0.113.1:40000 and sent to port 1.
func udpFlow(host: UInt8 = 2, sourcePort: Int = 1000) -> FlowDescription {
    var flow = FlowDescription()
    flow.key.source = IPAddress(ipv4: 0x0a00_0000 | UInt32(host))
    flow.key.destination = IPAddress(ipv4: 0xc633_6401)
    flow.key.sourcePort = UInt16(sourcePort)
    flow.key.destinationPort = 53
    flow.key.transportProtocol = IPProtocol.udp
    flow.rewrite.outputPort = 1
    flow.rewrite.sourceMAC = WorkerSuite.routerAddresses[1]
    flow.rewrite.destinationMAC = EthernetAddress(rawValue: 0x0200_0000_0b09)
    flow.rewrite.source = IPAddress(ipv4: 0xcb00_7101)
    flow.rewrite.destination = flow.key.destination
    flow.rewrite.sourcePort = 40_000
    flow.rewrite.destinationPort = 53
    flow.guard.maximumLength = 1500
    flow.guard.checksTransportChecksum = true
    return flow
}
