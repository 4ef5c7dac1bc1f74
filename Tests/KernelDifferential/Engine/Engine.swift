// The slow path with, if wanted, a flow cache before it, frame by frame: what the worker does, without DPDK.
//
// Invariant: with the cache on, each frame is looked up first, as a worker does it, and only a miss or a failed guard
// takes the slow path. `Mutation` plants a fault in what the cache holds, so that a test can show that it would be seen.
import Conntrack
import FlowCache
import Policy
import Routing
import Ruleset
import SlowPath
import Wire

/// A fault planted on purpose.
enum Mutation: String {
    case none
    /// Cached flows take packets whatever their TCP flags, traffic class and length.
    case wrongGuard = "wrong-guard"
    /// Every packet that the cache forwards goes uncounted.
    case missingCredit = "missing-credit"
}

struct Engine: ~Copyable {
    private(set) var value: RulesetValue
    private var compiled: CompiledRuleset
    private var path: SlowPath
    private var now: Timestamp = 1_000_000_000_000
    private let cacheMemory: UnsafeMutableRawPointer
    private let buffer = UnsafeMutableRawPointer.allocate(byteCount: 1 << 17, alignment: 64)
    private let probe = UnsafeMutablePointer<FlowProbe>.allocate(capacity: 1)
    private let mutation: Mutation
    private(set) var hits = 0
    private(set) var frames = 0
    private(set) var disposition = ""
    /// Why the last frame did not pass by the cache.
    private var miss = ""
    /// Hits so far whose checksums the NIC had verified.
    private(set) var plainHits = 0
    /// What happens to the cache while it works and must not show.
    private var upkeep: Upkeep
    private static let interfaces = [Interface(name: "r0", index: 2), Interface(name: "r1", index: 3)]
    private static let headroom = 256
    /// The bits of a connection's status that Linux tells and ctnetlink.py compares.
    private static let comparedStatus: UInt32 = 0x25ff

    init(ruleset: RulesetValue, cachesFlows: Bool, mutation: Mutation, seed: UInt64) throws {
        upkeep = Upkeep(seed: seed &+ UInt64(truncatingIfNeeded: ruleset.tables.count))
        let layout = FlowCacheConfiguration(
            ipv4Capacity: upkeep.resizes ? 4 : 1024, ipv6Capacity: upkeep.resizes ? 4 : 1024, seed: seed, ipv4Maximum: 1024, ipv6Maximum: 1024)
        cacheMemory = .allocate(byteCount: FlowCache.memoryRequired(layout), alignment: 128)
        var tracking = TrackerConfiguration()
        tracking.maximumConnections = 1024
        var settings = SlowPathSettings()
        settings.cachesFlows = cachesFlows
        settings.icmpErrorsPerSecond = 0
        settings.seed = seed
        self.mutation = mutation
        value = ruleset
        compiled = CompiledRuleset(ruleset, interfaces: Self.interfaces, seed: seed, now: now)
        path = SlowPath(
            settings: settings, tracker: ConnectionTracker(configuration: tracking, seed: seed), flows: FlowCache(memory: cacheMemory, configuration: layout),
            ruleset: compiled, router: try makeRouter(), reassembler: Reassembler())
    }

    deinit {
        cacheMemory.deallocate()
        buffer.deallocate()
        probe.deallocate()
    }

    /// One frame in, `advance` nanoseconds after the last; everything that comes out.
    mutating func send(_ frame: [UInt8], port: Int, advance: UInt64) -> [(port: Int, frame: [UInt8])] {
        now += advance
        frames += 1
        var sent: [(port: Int, frame: [UInt8])] = []
        if advance >= 1_000_000_000 { tick(&sent) }
        upkeep.next()
        if path.settings.cachesFlows, mutation == .none { upkeep.run(&path, now: now) }
        let start = buffer + Self.headroom
        frame.withUnsafeBytes { if let base = $0.baseAddress { start.copyMemory(from: base, byteCount: $0.count) } }
        if let hit = forward(start, frame.count, port) {
            hits += 1
            disposition = "cached"
            sent.append(hit)
            return sent
        }
        let outcome = path.process(PacketBuffer(start: start, length: frame.count, headroom: Self.headroom, tailroom: 4096), ingress: PortIndex(port), now: now)
        disposition = "\(outcome.disposition) \(miss)"
        takeOutbox(&sent)
        if outcome.sendsInPlace { sent.append((Int(outcome.port), [UInt8](UnsafeRawBufferPointer(start: path.inPlace.start, count: path.inPlace.length)))) }
        if outcome.publishes { path.commitPublication(worker: upkeep.worker, now: now) }
        return sent
    }

    private mutating func takeOutbox(_ sent: inout [(port: Int, frame: [UInt8])]) {
        for index in 0 ..< path.outbox.count {
            let packet = path.outbox[index]
            sent.append((Int(packet.port), [UInt8](UnsafeRawBufferPointer(start: packet.start, count: packet.length))))
        }
    }

    /// What happens by the clock.
    private mutating func tick(_ sent: inout [(port: Int, frame: [UInt8])]) {
        path.sweepFlows(budget: .max, now: now)
        path.runTimers(now: now)
        takeOutbox(&sent)
        if path.beginGracePeriod() { path.endGracePeriod(now: now) }
    }

    /// A worker's way: the frame rewritten in place and counted, or nil if it is the slow path's.
    private mutating func forward(_ start: UnsafeMutableRawPointer, _ length: Int, _ port: Int) -> (port: Int, frame: [UInt8])? {
        let reader = path.flows.pointee.reader
        let address = path.router.interfaces[PortIndex(port)].mac
        miss = ""
        guard path.settings.cachesFlows, length >= 14, PacketBuffer(start: start, length: length).loadMAC(0) == address else { return nil }
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
        if mutation == .wrongGuard { loosen(&judged) }
        let connections = ConnectionRecords(base: path.tracker.pointee.poolBase, stride: ConnectionTracker.stride)
        let generation = reader.currentGeneration()
        let owner = FlowOwner.reader(worker: upkeep.worker)
        // Every other frame comes as from a NIC that verifies checksums: what it found right takes the worker's short way.
        let verified = frames % 2 == 0 ? verifiedByNIC(start, length) : VerifiedChecksums(network: false, transport: false)
        if mutation == .none, verified.network, verified.transport,
           let plain = FlowProbe.acceptPlain(probe, isIPv6: isIPv6, actions: reader.actions, generation: generation, connections: connections, owner: owner) {
            FlowProbe.rewritePlain(probe, isIPv6: isIPv6, action: plain, tick: FlowCache.tick(now))
            plainHits += 1
            return (Int(plain.pointee.outputPort), [UInt8](UnsafeRawBufferPointer(start: probe.pointee.frame, count: probe.pointee.frameLength)))
        }
        let refusal = FlowProbe.judge(probe, isIPv6: isIPv6, action: &judged, generation: generation, verified: verified, connections: connections, owner: owner)
        miss = "guard \(refusal)"
        guard refusal == .none else { return nil }
        FlowProbe.rewrite(probe, isIPv6: isIPv6, action: action)
        if mutation != .missingCredit { FlowProbe.count(probe, isIPv6: isIPv6, tick: FlowCache.tick(now)) }
        return (Int(action.pointee.outputPort), [UInt8](UnsafeRawBufferPointer(start: probe.pointee.frame, count: probe.pointee.frameLength)))
    }

    /// What a NIC would say of the frame's checksums.
    private func verifiedByNIC(_ start: UnsafeMutableRawPointer, _ length: Int) -> VerifiedChecksums {
        var parsed = ParsedPacket()
        let packet = PacketBuffer(start: start, length: length)
        guard PacketParser.parse(packet, into: &parsed) == .none else { return VerifiedChecksums(network: false, transport: false) }
        return VerifiedChecksums(network: true, transport: Checksum.verifyTracked(packet, parsed))
    }

    private func loosen(_ action: inout FlowAction) {
        action.maximumLength = UInt16.max
        action.guardTrafficClassMask = 0
        action.guardTrafficClassValue = 0
        action.tcpFlagsMask = 0
        action.tcpFlagsValue = 0
        action.flags &= ~FlowAction.Flag.checksTCPWindow
    }

    /// Every count is where it belongs.
    private mutating func settle() {
        path.creditAllFlows(now: now)
        if path.beginGracePeriod() { path.endGracePeriod(now: now) }
    }

    /// Runs an nft command line; a change is in force afterwards, with the state of what stays.
    mutating func nft(_ arguments: [String], input: String = "") -> String {
        settle()
        var line = NFTCommandLine(arguments: arguments)
        line.standardInput = input
        line.options.interfaces = ["lo"] + Self.interfaces.map(\.name)
        var changed = compiled.currentValue(now: now)
        let result = line.run(on: &changed)
        if !result.changes.isEmpty || result.altersState {
            let next = CompiledRuleset(changed, interfaces: Self.interfaces, seed: 1, now: now)
            path.invalidateFlows()
            settle()
            StateTransfer(to: next, from: compiled).run(now: now)
            compiled = next
            value = changed
            path.adopt(next)
        }
        return result.output + result.errors
    }

    /// The live connections, one line each, sorted.
    mutating func connections() -> [String] {
        settle()
        var lines: [String] = []
        path.tracker.pointee.forEach(now: now) { _, pointer in
            let record = pointer.pointee
            func side(_ tuple: ConnectionTuple, _ packets: UInt64, _ bytes: UInt64) -> String {
                (record.zone.directions != 3 && tuple.zone != 0 ? "zone=\(tuple.zone) " : "")
                    + "src=\(tuple.source) dst=\(tuple.destination) sport=\(tuple.sourcePort) dport=\(tuple.destinationPort) packets=\(packets) bytes=\(bytes)"
            }
            let isTCP = record.transportProtocol == IPProtocol.tcp
            var line = "\(record.transportProtocol) \(isTCP ? record.stateName : "-") "
            line += side(record.original, record.originalPackets, record.originalBytes) + " | "
            line += side(record.reply, record.replyPackets, record.replyBytes)
            let known = record.status.contains(.assured) ? "A" : record.status.contains(.seenReply) ? "R" : "U"
            line += " \(known) mark=\(record.mark) zone=\(record.zone.directions == 3 ? record.zone.identifier : 0) labels=\(record.labelsHigh),\(record.labelsLow)"
            line += " status=\(record.status.rawValue & Self.comparedStatus) helper=\(ConnectionHelper(rawValue: record.helper)?.name ?? "")"
            line += " seconds=\((record.deadline - min(now, record.deadline)) / 1_000_000_000)"
            lines.append(line)
        }
        return lines.sorted()
    }

    /// The expectations, one line each, as ctnetlink.py writes them.
    func expectations() -> [String] {
        let now = self.now, tracker = path.tracker
        var lines: [String] = []
        tracker.pointee.forEachExpectation(now: now) { expected in
            func ends(_ source: IPAddress, _ destination: IPAddress, _ from: UInt16, _ to: UInt16) -> String { "src=\(source) dst=\(destination) sport=\(from) dport=\(to)" }
            let tuple = expected.tuple, master = tracker.pointee.connection(expected.master).pointee.original
            let none = IPAddress(family: tuple.family, high: 0, low: 0), all = IPAddress(family: tuple.family, high: tuple.family == .ipv4 ? 0 : .max, low: tuple.family == .ipv4 ? 0xffff_ffff : .max)
            var line = "\(tuple.transportProtocol) " + ends(expected.anySource ? none : tuple.source, tuple.destination, expected.checksSourcePort ? tuple.sourcePort : 0, tuple.destinationPort)
            line += " mask " + ends(expected.anySource ? none : all, all, expected.checksSourcePort ? .max : 0, .max)
            line += " master " + ends(master.source, master.destination, master.sourcePort, master.destinationPort)
            lines.append(line + " seconds=\((expected.deadline - now) / 1_000_000_000)")
        }
        return lines.sorted()
    }
}
