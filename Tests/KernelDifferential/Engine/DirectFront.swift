// The cache's own probe, judge and rewrite before the slow path, frame by frame: what a worker does, without DPDK.
//
// Invariant: with the cache on, each frame is looked up first, and only a miss or a failed guard takes the slow path.
import Conntrack
import FlowCache
import SlowPath
import Wire

public final class DirectFront: Front {
    private let path: UnsafeMutablePointer<SlowPath>
    private let mutation: Mutation
    private let buffer = UnsafeMutableRawPointer.allocate(byteCount: 1 << 17, alignment: 64)
    private let probe = UnsafeMutablePointer<FlowProbe>.allocate(capacity: 1)
    public private(set) var hits = 0
    public private(set) var verifiedHits = 0
    public private(set) var frames = 0
    public private(set) var disposition = ""
    public var defect: String { "" }
    /// Why the last frame did not pass by the cache.
    private var miss = ""
    /// What happens to the cache while it works and must not show.
    private var upkeep: Upkeep
    private var clock = Clockwork()
    private static let headroom = 256

    public init(_ parts: EngineParts) {
        path = parts.path
        mutation = parts.mutation
        upkeep = Upkeep(seed: parts.seed)
    }

    deinit {
        buffer.deallocate()
        probe.deallocate()
    }

    public func close() {}

    public func pass(now: Timestamp) -> [SentFrame] {
        guard clock.isDue(now) else { return [] }
        var sent: [SentFrame] = []
        if clock.wasLong { path.pointee.sweepFlows(budget: .max, now: now) }
        path.pointee.runTimers(now: now)
        takeOutbox(&sent)
        if clock.wasLong, path.pointee.beginGracePeriod() { path.pointee.endGracePeriod(now: now) }
        return sent
    }

    public func send(_ frame: [UInt8], port: Int, now: Timestamp) -> [SentFrame] {
        frames += 1
        var sent: [SentFrame] = []
        upkeep.next()
        if path.pointee.settings.cachesFlows, mutation == .none { upkeep.run(&path.pointee, now: now) }
        let start = buffer + Self.headroom
        frame.withUnsafeBytes { if let base = $0.baseAddress { start.copyMemory(from: base, byteCount: $0.count) } }
        if let hit = forward(start, frame.count, port, now) {
            hits += 1
            disposition = "cached"
            return [hit]
        }
        let packet = PacketBuffer(start: start, length: frame.count, headroom: Self.headroom, tailroom: 4096)
        let outcome = path.pointee.process(packet, ingress: PortIndex(port), now: now)
        disposition = "\(outcome.disposition) \(miss)"
        takeOutbox(&sent)
        if outcome.sendsInPlace { sent.append((Int(outcome.port), [UInt8](UnsafeRawBufferPointer(start: path.pointee.inPlace.start, count: path.pointee.inPlace.length)))) }
        if outcome.publishes { path.pointee.commitPublication(worker: upkeep.worker, now: now) }
        return sent
    }

    public func settle(now: Timestamp) {
        path.pointee.creditAllFlows(now: now)
        if path.pointee.beginGracePeriod() { path.pointee.endGracePeriod(now: now) }
    }

    private func takeOutbox(_ sent: inout [SentFrame]) {
        for index in 0 ..< path.pointee.outbox.count {
            let packet = path.pointee.outbox[index]
            sent.append((Int(packet.port), [UInt8](UnsafeRawBufferPointer(start: packet.start, count: packet.length))))
        }
    }

    /// A worker's way: the frame rewritten in place and counted, or nil if it is the slow path's.
    private func forward(_ start: UnsafeMutableRawPointer, _ length: Int, _ port: Int, _ now: Timestamp) -> SentFrame? {
        let reader = path.pointee.flows.pointee.reader
        let address = path.pointee.router.interfaces[PortIndex(port)].mac
        miss = ""
        guard path.pointee.settings.cachesFlows, length >= 14, PacketBuffer(start: start, length: length).loadMAC(0) == address else { return nil }
        let ingress = PortIndex(port)
        if !FlowProbe.read(start, length: length, ingress: ingress, seeds: reader.seeds, into: probe) {
            var parsed = ParsedPacket()
            guard PacketParser.parse(PacketBuffer(start: start, length: length), into: &parsed) == .none,
                  let odd = FlowProbe(parsed: parsed, frame: start, ingress: ingress, seeds: reader.seeds) else { return nil }
            probe.initialize(to: odd)
        }
        miss = "no entry"
        guard let entry = reader.find(probe.pointee.key) else { return nil }
        probe.pointee.entry = entry
        let isIPv6 = probe.pointee.isIPv6
        let action = reader.actions + FlowProbe.action(probe, isIPv6: isIPv6)
        // Actions are shared and looked up by content: the fault goes into a copy.
        var judged = action.pointee
        if mutation == .wrongGuard { judged.loosen() }
        let connections = ConnectionRecords(base: path.pointee.tracker.pointee.poolBase, stride: ConnectionTracker.stride)
        let generation = reader.currentGeneration()
        let owner = FlowOwner.reader(worker: upkeep.worker)
        // Every other frame comes as from a NIC that verifies checksums: what it found right takes the worker's short way.
        let verified = frames % 2 == 0 ? VerifiedChecksums(start, length) : VerifiedChecksums(network: false, transport: false)
        if mutation == .none, verified.network, verified.transport,
           let plain = FlowProbe.acceptPlain(probe, isIPv6: isIPv6, actions: reader.actions, generation: generation, connections: connections, owner: owner) {
            FlowProbe.rewritePlain(probe, isIPv6: isIPv6, action: plain, tick: FlowCache.tick(now))
            verifiedHits += 1
            return (Int(plain.pointee.outputPort), [UInt8](UnsafeRawBufferPointer(start: probe.pointee.frame, count: probe.pointee.frameLength)))
        }
        let refusal = FlowProbe.judge(probe, isIPv6: isIPv6, action: &judged, generation: generation, verified: verified, connections: connections, owner: owner)
        miss = "guard \(refusal)"
        guard refusal == .none else { return nil }
        FlowProbe.rewrite(probe, isIPv6: isIPv6, action: action)
        if mutation != .missingCredit { FlowProbe.count(probe, isIPv6: isIPv6, tick: FlowCache.tick(now)) }
        return (Int(action.pointee.outputPort), [UInt8](UnsafeRawBufferPointer(start: probe.pointee.frame, count: probe.pointee.frameLength)))
    }
}
