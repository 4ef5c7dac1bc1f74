// Shared by the tests: a cache in plain memory, random keys and descriptions, packets built from scratch.
import FlowCache
import Wire

/// splitmix64: the same numbers in every run.
struct Random: RandomNumberGenerator {
    var state: UInt64
    init(_ seed: UInt64) { state = seed }
    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}

/// A cache and its memory, behind copyable methods (the test macros take no noncopyable receiver).
final class CacheFixture {
    private var cache: FlowCache
    private let memory: UnsafeMutableRawPointer
    /// Tables of resizes that the cache holds.
    private var added: [UnsafeMutableRawPointer] = []

    init(ipv4: Int = 1024, ipv6: Int = 1024, actions: Int = 256, seed: UInt64 = 1, maximum: Int = 0) {
        let configuration = FlowCacheConfiguration(
            ipv4Capacity: ipv4, ipv6Capacity: ipv6, actionCapacity: actions, seed: seed, ipv4Maximum: maximum, ipv6Maximum: maximum)
        memory = .allocate(byteCount: FlowCache.memoryRequired(configuration), alignment: 64)
        cache = FlowCache(memory: memory, configuration: configuration)
    }
    deinit {
        memory.deallocate()
        for table in added { table.deallocate() }
    }

    var isResizing: Bool { cache.isResizing }
    func wantedResize() -> FlowResize? { cache.wantedResize() }
    @discardableResult func beginResize(_ resize: FlowResize) -> Bool {
        let table = UnsafeMutableRawPointer.allocate(byteCount: resize.memoryBytes, alignment: 64)
        table.initializeMemory(as: UInt8.self, repeating: 0, count: resize.memoryBytes)
        guard cache.beginResize(resize, memory: table) else {
            table.deallocate()
            return false
        }
        added.append(table)
        return true
    }
    /// Frees what a finished resize gives back.
    func advanceResize(budget: Int, now: Timestamp = 0, _ body: (FlowRecord, FlowHandle?) -> Void = { _, _ in }) -> FlowCache.ResizeStep {
        let step = cache.advanceResize(budget: budget, now: now, body)
        if case .finished(let released?) = step {
            added.removeAll { $0 == released }
            released.deallocate()
        }
        return step
    }
    /// To its end, with nobody to wait for.
    func finishResize(_ body: (FlowRecord, FlowHandle?) -> Void = { _, _ in }, reclaimed: (FlowRecord) -> Void = { _ in }) {
        while advanceResize(budget: 50, body) == .unfinished {
            if beginGracePeriod() { endGracePeriod(reclaimed) }
        }
    }
    func current(_ handle: FlowHandle) -> FlowHandle? { cache.current(handle) }
    var reader: FlowCacheReader { cache.reader }
    var statistics: FlowCacheStatistics { cache.statistics }
    @discardableResult func insert(_ flow: FlowDescription, now: Timestamp = 0) -> FlowHandle? { cache.insert(flow, now: now) }
    /// For a packet of `worker`, as the slow path does it; nil if nothing was published.
    @discardableResult func publish(_ flow: FlowDescription, worker: Int, last: FlowHandle? = nil, now: Timestamp) -> (FlowClaim, FlowHandle?) {
        var flow = flow
        flow.owner = FlowOwner(worker: worker)
        let claim = cache.claim(&flow, last: last, now: now)
        return (claim, claim.isGranted ? cache.insert(flow, now: now) : nil)
    }
    @discardableResult func remove(_ handle: FlowHandle) -> Bool { cache.remove(handle) }
    func lookup(_ key: FlowKey) -> FlowHandle? { cache.lookup(key) }
    func inspect(_ handle: FlowHandle, now: Timestamp = 0) -> FlowRecord? { cache.inspect(handle, now: now) }
    func inspect(_ key: FlowKey, now: Timestamp = 0) -> FlowRecord? { cache.lookup(key).flatMap { cache.inspect($0, now: now) } }
    func isLive(_ handle: FlowHandle) -> Bool { cache.isLive(handle) }
    func invalidateAll() { cache.invalidateAll() }
    func watch(ports: UInt64) { cache.watch(ports: ports) }
    var generation: UInt32 { cache.generation }
    func beginGracePeriod() -> Bool { cache.beginGracePeriod() }
    func endGracePeriod(now: Timestamp = 0, _ body: (FlowRecord) -> Void = { _ in }) { cache.endGracePeriod(now: now, body) }
    func sweep(now: Timestamp = 0, _ body: (FlowRecord) -> Bool) { cache.sweep(now: now, body) }
    func sweep(_ cursor: inout FlowSweepCursor, budget: Int, _ body: (FlowRecord) -> Bool) -> Bool {
        cache.sweep(&cursor, budget: budget, now: 0, body)
    }
}

extension FlowDescription {
    /// Forwarding from port 0 to port 1 without translation.
    static func plain(_ key: FlowKey) -> FlowDescription {
        var flow = FlowDescription()
        flow.key = key
        flow.rewrite.outputPort = 1
        flow.rewrite.sourceMAC = EthernetAddress(rawValue: 0x0200_0000_0b01)
        flow.rewrite.destinationMAC = EthernetAddress(rawValue: 0x0200_0000_0b02)
        flow.rewrite.source = key.source
        flow.rewrite.destination = key.destination
        flow.rewrite.sourcePort = key.sourcePort
        flow.rewrite.destinationPort = key.destinationPort
        flow.rewrite.vlanCount = key.vlanCount
        flow.rewrite.vlanTags = key.vlanTags
        flow.guard.maximumLength = 1500
        return flow
    }
}

func key(_ number: UInt32, ipv6: Bool = false, transportProtocol: UInt8 = IPProtocol.udp) -> FlowKey {
    var key = FlowKey()
    if ipv6 {
        key.source = IPAddress(ipv6High: 0x2001_0db8_0000_0001, low: UInt64(number >> 8) + 2)
        key.destination = IPAddress(ipv6High: 0x2001_0db8_0000_0002, low: 1)
    } else {
        key.source = IPAddress(ipv4: 0x0a00_0002 + number >> 8)
        key.destination = IPAddress(ipv4: 0xc633_6401)
    }
    key.sourcePort = UInt16(1024 + number & 0xff)
    key.destinationPort = 53
    key.transportProtocol = transportProtocol
    return key
}

/// A frame to build and to change; 256 bytes of room before it.
final class Frame {
    let memory: UnsafeMutableRawPointer
    /// Where the frame begins in `memory`.
    var start = 256
    var length: Int
    init(_ bytes: [UInt8]) {
        memory = .allocate(byteCount: 65536 + 256, alignment: 64)
        memory.initializeMemory(as: UInt8.self, repeating: 0xee, count: 65536 + 256)
        (memory + 256).copyMemory(from: bytes, byteCount: bytes.count)
        length = bytes.count
    }
    deinit { memory.deallocate() }
    var buffer: PacketBuffer { PacketBuffer(start: memory + start, length: length, headroom: start, tailroom: 65536 - length) }
    var bytes: [UInt8] { [UInt8](UnsafeRawBufferPointer(start: memory + start, count: length)) }
}

func big16(_ value: Int) -> [UInt8] { [UInt8(truncatingIfNeeded: value >> 8), UInt8(truncatingIfNeeded: value)] }

/// What a test wants in a packet; `frame` lays it out with right checksums.
struct Packet {
    var key = FlowKey()
    var trafficClass: UInt8 = 0
    var timeToLive: UInt8 = 64
    var tcpFlags: UInt8 = TCPFlags.ack
    var payload: [UInt8] = Array(0..<20)
    var padding = 0
    var options: [UInt8] = []
    var fragmentField = 0x4000
    var udpWithoutChecksum = false

    init(_ key: FlowKey) { self.key = key }

    func bytes(_ address: IPAddress) -> [UInt8] {
        address.family == .ipv4
            ? (0..<4).map { UInt8(truncatingIfNeeded: address.low >> (24 - 8 * $0)) }
            : (0..<16).map { UInt8(truncatingIfNeeded: ($0 < 8 ? address.high : address.low) >> (56 - 8 * ($0 % 8))) }
    }

    var transport: [UInt8] {
        let ports = big16(Int(key.sourcePort)) + big16(Int(key.destinationPort))
        switch key.transportProtocol {
        case IPProtocol.tcp: return ports + [0, 0, 0, 1, 0, 0, 0, 2, 0x50, tcpFlags, 0xff, 0xff, 0, 0, 0, 0] + payload
        case IPProtocol.udp: return ports + big16(8 + payload.count) + [0, 0] + payload
        case IPProtocol.udplite: return ports + [0, 8, 0, 0] + payload
        case IPProtocol.dccp: return ports + [4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0] + payload
        case IPProtocol.sctp: return ports + [0, 0, 0, 1, 0, 0, 0, 0] + payload
        case IPProtocol.icmp, IPProtocol.icmpv6: return big16(Int(key.destinationPort)) + [0, 0] + big16(Int(key.sourcePort)) + [0, 7] + payload
        // Version 0; version 1 has a call ID.
        case IPProtocol.gre: return [0, 0, 8, 0] + payload
        default: return payload
        }
    }

    func frame(destinationMAC: UInt64 = 0x0200_0000_0a01) -> Frame {
        var bytes = (0..<6).map { UInt8(truncatingIfNeeded: destinationMAC >> (40 - 8 * $0)) } + [2, 0, 0, 0, 0x0c, 1]
        for vlan in 0..<Int(key.vlanCount) {
            let tag = vlan == 0 ? key.outerVLAN : key.innerVLAN
            bytes += (tag & FlowKey.serviceTag == 0 ? [0x81, 0] : [0x88, 0xa8]) + big16(Int(tag & 0xfff))
        }
        let transport = self.transport
        if key.source.family == .ipv4 {
            let header = 20 + options.count
            bytes += [8, 0, 0x40 | UInt8(header / 4), trafficClass] + big16(header + transport.count) + [0x12, 0x34] + big16(fragmentField)
            bytes += [timeToLive, key.transportProtocol, 0, 0] + self.bytes(key.source) + self.bytes(key.destination) + options
        } else {
            bytes += [0x86, 0xdd, 0x60 | trafficClass >> 4, trafficClass << 4, 0, 1] + big16(transport.count)
            bytes += [key.transportProtocol, timeToLive] + self.bytes(key.source) + self.bytes(key.destination)
        }
        bytes += transport + [UInt8](repeating: 0xab, count: padding)
        let frame = Frame(bytes)
        fillChecksums(frame)
        return frame
    }

    /// Both checksums anew, by Wire's general functions.
    func fillChecksums(_ frame: Frame) {
        let network = 14 + 4 * Int(key.vlanCount)
        if key.source.family == .ipv4 { Checksum.fillIPv4Header(frame.buffer.start + network, length: 20 + options.count) }
        var parsed = ParsedPacket()
        _ = PacketParser.parse(frame.buffer, into: &parsed)
        Checksum.fillTransport(frame.buffer, parsed)
        if udpWithoutChecksum { frame.buffer.store16(0, at: Int(parsed.transportOffset) + 6) }
    }
}
