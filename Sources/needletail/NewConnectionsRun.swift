// The benchmark of new connections: source, punt ring, slow-path core, transmit ring, the network that answers, sink.
//
// Invariant: one lcore runs all of it, alternately; a packet has one owner at any time, and none is left at the end.
import Conntrack
import DPDK
import Dataplane
import FlowCache
import Foundation
import Policy
import Routing
import Ruleset
import SlowPath
import Wire

private func threadNanoseconds() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}

/// What the lcore works with.
private struct NewConnectionsLcore {
    static var burst: Int { 32 }
    static var frameLength: Int { 60 }
    var core: UnsafeMutablePointer<SlowPathCore>
    var rings: PuntRings.Handle
    var pool: PacketAllocator
    var frames: UnsafeMutableRawPointer
    var frameCount: Int
    var packets: Int
    var table: Int
    var windows: Int
    var nanosecondsPerWindow: UInt64
    var batch: UnsafeMutablePointer<OpaquePointer?>
    var requests: UnsafeMutablePointer<TransmitRequest>
    var serial: UInt64 = 0
    var isRealtime = false
    var lost = 0
    var residentBefore = 0
    var times: UnsafeMutablePointer<Double>
    var floors: UnsafeMutablePointer<Double>

    /// A burst of first packets in the punt ring; their number.
    mutating func offer() -> Int {
        guard pool.allocate(batch, count: Self.burst) else { return 0 }
        for place in 0 ..< Self.burst {
            let packet = Mbuf(batch[place].unsafelyUnwrapped)
            packet.setFrame(headroom: Mempool.headroom, length: Self.frameLength)
            packet.port = 0
            let frame = packet.data
            // All frames with one source port, then all with the next.
            let (round, index) = serial.quotientAndRemainder(dividingBy: UInt64(frameCount))
            serial &+= 1
            frame.copyMemory(from: frames + Int(index) * 64, byteCount: 64)
            let port = UInt16(1024 + round % 64_000)
            frame.storeBytes(of: port.bigEndian, toByteOffset: 34, as: UInt16.self)
            // The template's checksum is that of source port 0.
            let sum = UInt32(~frame.load(fromByteOffset: 40, as: UInt16.self)) + UInt32(port.bigEndian)
            let checksum = ~UInt16(truncatingIfNeeded: (sum & 0xffff) + sum >> 16)
            frame.storeBytes(of: checksum == 0 ? 0xffff : checksum, toByteOffset: 40, as: UInt16.self)
        }
        return rings.newFlow.put(batch, count: Self.burst)
    }

    /// Takes what is to be sent and puts the answers into the punt ring; at the last turn it goes to the sink.
    mutating func answer(isLast: Bool) {
        let count = rings.transmit.get(into: requests, maximum: Self.burst)
        for place in 0 ..< count {
            let packet = requests[place].mbuf
            batch[place] = packet.raw
            guard !isLast else { continue }
            let frame = packet.data
            func swap<Word: BitwiseCopyable>(_ a: Int, _ b: Int, _: Word.Type) {
                let word = frame.loadUnaligned(fromByteOffset: a, as: Word.self)
                frame.storeBytes(of: frame.loadUnaligned(fromByteOffset: b, as: Word.self), toByteOffset: a, as: Word.self)
                frame.storeBytes(of: word, toByteOffset: b, as: Word.self)
            }
            swap(0, 6, UInt32.self)
            swap(4, 10, UInt16.self)
            swap(26, 30, UInt32.self)
            swap(34, 36, UInt16.self)
            packet.port = requests[place].port
        }
        if isLast { for place in 0 ..< count { Mbuf(batch[place].unsafelyUnwrapped).free() } } else { _ = rings.newFlow.put(batch, count: count) }
        lost += Self.burst - count
    }

    /// The same without the slow path: what came up goes down.
    mutating func bounce() {
        let count = rings.newFlow.get(into: batch, maximum: Self.burst)
        for place in 0 ..< count {
            _ = rings.transmit.put(TransmitRequest(packet: Mbuf(batch[place].unsafelyUnwrapped), port: 1 - Mbuf(batch[place].unsafelyUnwrapped).port))
        }
    }

    mutating func turn(withCore: Bool) {
        _ = offer()
        for turn in 1 ... packets {
            if withCore { _ = core.pointee.runOnce(now: Clock.nanoseconds) } else { bounce() }
            answer(isLast: turn == packets)
        }
    }

    /// Nanoseconds per connection.
    mutating func window(withCore: Bool) -> Double {
        let start = threadNanoseconds()
        var now = start
        var connections = 0
        repeat {
            for _ in 0 ..< 64 { turn(withCore: withCore) }
            connections += 64 * Self.burst
            now = threadNanoseconds()
        } while now - start < nanosecondsPerWindow
        return Double(now - start) / Double(connections)
    }
}

private func newConnectionsLcore(_ context: UnsafeMutableRawPointer?) -> Int32 {
    guard let lcore = context?.assumingMemoryBound(to: NewConnectionsLcore.self) else { return -1 }
    var parameter = sched_param()
    parameter.sched_priority = 1
    lcore.pointee.isRealtime = sched_setscheduler(0, SCHED_FIFO, &parameter) == 0
    // Until the table has been full for a while.
    while lcore.pointee.serial < UInt64(lcore.pointee.table) * 2 { lcore.pointee.turn(withCore: true) }
    lcore.pointee.residentBefore = NewConnectionsRun.residentBytes
    for window in 0 ..< lcore.pointee.windows {
        let serial = lcore.pointee.serial
        lcore.pointee.floors[window] = lcore.pointee.window(withCore: false)
        lcore.pointee.serial = serial
        lcore.pointee.times[window] = lcore.pointee.window(withCore: true)
    }
    parameter.sched_priority = 0
    _ = sched_setscheduler(0, SCHED_OTHER, &parameter)
    return 0
}

struct NewConnectionsRun {
    let options: BenchNewConnections

    init(_ options: BenchNewConnections) { self.options = options }

    static var residentBytes: Int {
        let text = (try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8)) ?? ""
        return (text.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0) * 4096
    }

    func run() throws -> NewConnectionsReport {
        let rules = BenchRules(count: options.rules, translates: options.nat)
        // UDP, and rules that leave the source port free: each can be met by any number of connections.
        let packets = rules.linearPackets.filter { !$0.isTCP && $0.sourcePort == 0 }
        let loaded = RulesetValue().applying(text: rules.linear)
        guard loaded.isAccepted, !packets.isEmpty else {
            throw DPDKError(.configuration, "the benchmark's ruleset does not load: \(loaded.diagnostics.map(\.message).prefix(3))")
        }
        var tracking = TrackerConfiguration()
        tracking.maximumConnections = options.table
        let layout = FlowCacheConfiguration(ipv4Capacity: options.table * 2, ipv6Capacity: 1024, seed: UInt64.random(in: 0...UInt64.max))
        let trackerBytes = ConnectionTracker.memorySize(tracking), cacheBytes = FlowCache.memoryRequired(layout)

        let cpus = EALConfiguration.allowedCPUs
        let usesHugePages = BenchRun.freeHugePages >= 64 + (trackerBytes + cacheBytes) >> 21
        var eal = EALConfiguration(mainCPU: cpus[0], workerCPUs: [cpus[1 % cpus.count]], hugePages: usesHugePages, memoryMB: usesHugePages ? 0 : 128)
        eal.pinsCaller = false
        let unit = try EAL.start(eal).workers[0]
        defer { EAL.stop() }

        let pool = try Mempool(name: "bench", count: 8191, cache: 256)
        let trackerMemory = HugeMemory(byteCount: trackerBytes), cacheMemory = HugeMemory(byteCount: cacheBytes)
        var settings = SlowPathSettings()
        settings.creditLists = max(65_536, options.rules)
        let path = UnsafeMutablePointer<SlowPath>.allocate(capacity: 1)
        path.initialize(to: SlowPath(
            settings: settings, tracker: ConnectionTracker(configuration: tracking, memory: trackerMemory.base, seed: UInt64.random(in: 0...UInt64.max)),
            flows: FlowCache(memory: cacheMemory.base, configuration: layout),
            ruleset: CompiledRuleset(loaded.value, interfaces: [Interface(name: "lan0", index: 1), Interface(name: "wan0", index: 2)], seed: 1),
            router: try SlowPathRun.router(), reassembler: Reassembler()))
        let rings = PuntRings(capacity: 1023)
        let core = UnsafeMutablePointer<SlowPathCore>.allocate(capacity: 1)
        core.initialize(to: SlowPathCore(
            path: path, rings: [rings.handle], allocator: pool.allocator, quiescence: nil, offload: nil, mailbox: SlowPathMailbox(), tables: FlowTableMemories(node: -1)))
        let frames = Self.frames(packets)
        let batch = UnsafeMutablePointer<OpaquePointer?>.allocate(capacity: NewConnectionsLcore.burst)
        let requests = UnsafeMutablePointer<TransmitRequest>.allocate(capacity: NewConnectionsLcore.burst)
        let times = UnsafeMutablePointer<Double>.allocate(capacity: options.windows * 2)
        defer {
            frames.deallocate()
            batch.deallocate()
            requests.deallocate()
            times.deallocate()
        }
        var lcore = NewConnectionsLcore(
            core: core, rings: rings.handle, pool: pool.allocator, frames: frames, frameCount: packets.count, packets: options.packets, table: options.table,
            windows: options.windows, nanosecondsPerWindow: UInt64(options.seconds * 1e9 / Double(options.windows) / 2), batch: batch, requests: requests,
            times: times, floors: times + options.windows)
        try withUnsafeMutablePointer(to: &lcore) { lcore in
            try unit.launch(newConnectionsLcore, context: lcore)
            unit.wait()
        }

        var report = NewConnectionsReport()
        report.rules = options.rules
        report.nat = options.nat
        report.packets = options.packets
        report.table = options.table
        report.windows = options.windows
        let measured = (0 ..< options.windows).map { times[$0] }
        report.nsPerConnection = BenchReport.median(measured)
        report.connectionsPerSecond = 1e9 / max(1, report.nsPerConnection)
        report.spread = BenchReport.spread(measured)
        report.floorNsPerConnection = BenchReport.median((0 ..< options.windows).map { times[options.windows + $0] })
        report.connections = path.pointee.resources.connections
        let cache = path.pointee.flows.pointee.statistics
        report.cachedEntries = cache.ipv4Entries
        report.inserted = cache.inserted
        report.residentBytesBefore = lcore.residentBefore
        report.residentBytesAfter = Self.residentBytes
        report.hugePages = usesHugePages
        report.realtime = lcore.isRealtime
        // A full table may refuse one in thousands, and a connection may lose its place to a newer one before its reply comes.
        report.notForwarded = lcore.lost
        if lcore.lost > Int(lcore.serial) / 1000 * (options.packets == 1 ? 1 : 10) {
            let reasons = DropReason.allCases.filter { $0 != .none && path.pointee.statistics.dropped($0) > 0 }.map { "\(path.pointee.statistics.dropped($0)) \($0.name)" }
            throw DPDKError(.machine, "\(lcore.lost) packets were not forwarded (\(reasons.joined(separator: ", ")))")
        }
        core.deinitialize(count: 1)
        core.deallocate()
        rings.drainAndFree()
        path.deinitialize(count: 1)
        path.deallocate()
        return report
    }

    /// A first packet for each rule, source port 0, 64 bytes apart.
    private static func frames(_ packets: [BenchPacket]) -> UnsafeMutableRawPointer {
        let frames = UnsafeMutableRawPointer.allocate(byteCount: packets.count * 64, alignment: 64)
        frames.initializeMemory(as: UInt8.self, repeating: 0, count: packets.count * 64)
        for (number, wanted) in packets.enumerated() {
            let frame = PacketBuffer(start: frames + number * 64, length: NewConnectionsLcore.frameLength)
            frame.storeMAC(EthernetAddress(rawValue: SlowPathRun.stations[0]), at: 0)
            frame.storeMAC(EthernetAddress(rawValue: SlowPathRun.stations[0] | 2), at: 6)
            frame.store16(EtherType.ipv4, at: 12)
            frame.store16(0x4500, at: 14)
            frame.store16(UInt16(frame.length - 14), at: 16)
            frame.store16(0x4000, at: 20)
            frame.store8(64, at: 22)
            frame.store8(IPProtocol.udp, at: 23)
            frame.store32(wanted.source, at: 26)
            frame.store32(wanted.destination, at: 30)
            frame.store16(wanted.destinationPort, at: 36)
            frame.store16(UInt16(frame.length - 34), at: 38)
            Checksum.fillIPv4Header(frame.start + 14, length: 20)
            var parsed = ParsedPacket()
            _ = PacketParser.parse(frame, into: &parsed)
            Checksum.fillTransport(frame, parsed)
        }
        return frames
    }
}
