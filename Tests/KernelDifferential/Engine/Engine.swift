// What a random dialogue is played to: the slow path with its ruleset and router, on a clock of its own, and before it a `Front`
// through which every frame comes in and goes out.
//
// Invariant: frames, commands and the seed decide everything. Two engines with the same seed and different fronts answer the same.
import Conntrack
import FlowCache
import Policy
import Routing
import Ruleset
import SlowPath
import Wire

/// A frame and the port that it leaves by.
public typealias SentFrame = (port: Int, frame: [UInt8])

/// A fault planted on purpose.
public enum Mutation: String {
    case none
    /// Cached flows take packets whatever their TCP flags, traffic class and length.
    case wrongGuard = "wrong-guard"
    /// Every packet that the cache forwards goes uncounted.
    case missingCredit = "missing-credit"
}

/// How frames reach the slow path and leave it.
public protocol Front: AnyObject {
    /// Frames that did not need the slow path, and of them those whose checksums the NIC had verified; all frames.
    var hits: Int { get }
    var verifiedHits: Int { get }
    var frames: Int { get }
    /// What became of the last frame, for a report.
    var disposition: String { get }
    /// Time has passed: does what is to be done by the clock; what that sent.
    func pass(now: Timestamp) -> [SentFrame]
    /// One frame in; everything that comes out of it.
    func send(_ frame: [UInt8], port: Int, now: Timestamp) -> [SentFrame]
    /// Every count is where it belongs, and nothing waits to be reclaimed.
    func settle(now: Timestamp)
    /// What is wrong with the front itself, at rest; empty if nothing is.
    var defect: String { get }
    /// The end of it.
    func close()
}

/// What an engine is made of.
public struct EngineParts {
    public var path: UnsafeMutablePointer<SlowPath>
    public var links: Links
    public var cachesFlows: Bool
    public var mutation: Mutation
    public var seed: UInt64
}

public final class Engine {
    private var compiled: CompiledRuleset
    private var pending: PendingChange?
    private let path: UnsafeMutablePointer<SlowPath>
    private var now: Timestamp = 1_000_000_000_000
    private let cacheMemory: UnsafeMutableRawPointer
    let front: any Front
    private let links: Links
    /// The bits of a connection's status that Linux tells and ctnetlink.py compares.
    private static let comparedStatus: UInt32 = 0x25ff

    init(ruleset: RulesetValue, links: Links, cachesFlows: Bool, mutation: Mutation, seed: UInt64, front make: (EngineParts) throws -> any Front) throws {
        let seed = seed &+ UInt64(truncatingIfNeeded: ruleset.tables.count)
        self.links = links
        let capacity = Upkeep(seed: seed).resizes ? 4 : 1024
        let layout = FlowCacheConfiguration(ipv4Capacity: capacity, ipv6Capacity: capacity, actionCapacity: 1024, seed: seed, ipv4Maximum: 1024, ipv6Maximum: 1024)
        cacheMemory = .allocate(byteCount: FlowCache.memoryRequired(layout), alignment: 128)
        var tracking = TrackerConfiguration()
        tracking.maximumConnections = 1024
        var settings = SlowPathSettings()
        settings.cachesFlows = cachesFlows
        settings.icmpErrorsPerSecond = 0
        settings.seed = seed
        compiled = CompiledRuleset(ruleset, interfaces: links.interfaces, seed: seed, now: now)
        path = .allocate(capacity: 1)
        path.initialize(to: SlowPath(
            settings: settings, tracker: ConnectionTracker(configuration: tracking, seed: seed), flows: FlowCache(memory: cacheMemory, configuration: layout),
            ruleset: compiled, router: try makeRouter(links), reassembler: Reassembler()))
        front = try make(EngineParts(path: path, links: links, cachesFlows: cachesFlows, mutation: mutation, seed: seed))
    }

    deinit {
        // Before what its workers read.
        front.close()
        path.deinitialize(count: 1)
        path.deallocate()
        cacheMemory.deallocate()
    }

    /// One frame in, `advance` nanoseconds after the last; everything that comes out. `ports`: what NAT is to choose where it may choose.
    func send(_ frame: [UInt8], port: Int, advance: UInt64, ports: (source: UInt16, destination: UInt16)?) -> [SentFrame] {
        now += advance
        // What hosts answer at once to the router's questions is no frame of the dialogue.
        if advance > 0, let frames = pending?.frames {
            pending?.frames = frames - 1
            if frames == 0 { adoptPending() }
        }
        if let ports { path.pointee.tracker.pointee.wantPorts(ports) }
        return front.pass(now: now) + front.send(frame, port: port, now: now)
    }

    /// Changes what packets are routed by, as `words` say (Session.swift); what is wrong with them.
    func change(_ words: [Substring]) -> String {
        guard words.count == 3, let link = Int(words[1]), links.numbers.indices.contains(link) else { return "change WHAT LINK VALUE" }
        let port = links.numbers[link]
        let value = words[2].split(separator: ",")
        do {
            try path.pointee.changeRouter { router in
                switch words[0] {
                case "mtu": router.interfaces.setMTU(UInt32(words[2]) ?? 1500, port: port)
                case "address": try router.addAddress(prefix(value[0]), port: port)
                case "no-address": try router.removeAddress(prefix(value[0]).address, port: port)
                case "route": try router.addRoute(try self.route(value, port))
                case "no-route": try router.fib.remove(prefix(value[0]))
                case "neighbour": try router.neighbours.addPermanent(prefix(value[0]).address, port: port, mac: EthernetAddress(String(value.last ?? "")) ?? .zero, now: now)
                case "no-neighbour": try router.neighbours.remove(prefix(value[0]).address, port: port)
                default: throw RoutingError("change \(words[0])?")
                }
            }
            return ""
        } catch { return "\(error)" }
    }

    private func route(_ value: [Substring], _ port: PortIndex) throws -> Route {
        guard value.count == 2 else { throw RoutingError("PREFIX,GATEWAY") }
        return Route(destination: try prefix(value[0]), nextHops: [NextHop(port: port, gateway: try prefix(value[1]).address)])
    }

    /// A prefix, or an address as a whole one.
    private func prefix(_ text: Substring) throws -> IPPrefix {
        if let prefix = IPPrefix(String(text)) { return prefix }
        guard let address = IPAddress(String(text)) else { throw RoutingError("\(text) is no address") }
        return IPPrefix(address: address, length: UInt8(address.family.addressBits))
    }

    /// A change of the ruleset that is made but not yet in force.
    private struct PendingChange {
        var next: CompiledRuleset
        var transfer: StateTransfer
        var snapshot: StateSnapshot
        /// The frames that still pass before it.
        var frames: Int
    }

    /// Runs an nft command line as the running router does: against a copy of the state; what it changes is in force `held` frames later,
    /// or with the next command, with the state of what stays.
    func nft(_ arguments: [String], input: String = "", held: Int = 0) -> String {
        adoptPending()
        front.settle(now: now)
        var line = NFTCommandLine(arguments: arguments)
        line.standardInput = input
        line.options.interfaces = ["lo"] + links.interfaces.map(\.name)
        let snapshot = compiled.snapshot(now: now)
        var changed = compiled.value(of: snapshot)
        let result = line.run(on: &changed)
        if !result.changes.isEmpty || result.altersState {
            let next = CompiledRuleset(changed, interfaces: links.interfaces, seed: 1, now: now)
            pending = PendingChange(next: next, transfer: StateTransfer(to: next, from: compiled), snapshot: snapshot, frames: held)
            if held == 0 { adoptPending() }
        }
        return result.output + result.errors
    }

    private func adoptPending() {
        guard let change = pending else { return }
        pending = nil
        path.pointee.invalidateFlows()
        front.settle(now: now)
        change.transfer.run(now: now, since: change.snapshot)
        compiled = change.next
        path.pointee.adopt(change.next)
    }

    /// The live connections, one line each, sorted.
    /// - Parameter isWhole: with what Linux does not tell of them: the window of TCP, NAT's bindings' owner, timeout policy.
    func connections(isWhole: Bool) -> [String] {
        front.settle(now: now)
        var lines: [String] = []
        path.pointee.tracker.pointee.forEach(now: now) { _, pointer in
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
            if isWhole { line += " \(whole(record))" }
            line += " seconds=\((record.deadline - min(now, record.deadline)) / 1_000_000_000)"
            lines.append(line)
        }
        return lines.sorted()
    }

    private func whole(_ record: Connection) -> String {
        var text = "masquerade=\(record.masqueradeInterface) policy=\(record.timeoutPolicy) master=\(record.master) since=\(record.start)"
        guard record.transportProtocol == IPProtocol.tcp else { return text }
        for end in [record.window.original, record.window.reply] {
            text += " [\(end.end) \(end.maxEnd) \(end.maxWindow) \(end.maxAck) \(end.scale) \(end.flags)]"
        }
        let window = record.window
        text += " last [\(window.lastDirection) \(window.lastKind) \(window.lastSequence) \(window.lastAcknowledgement) \(window.lastEnd) \(window.lastWindow)]"
        return text + " again=\(window.retransmissions)"
    }

    /// The expectations, one line each, as ctnetlink.py writes them.
    func expectations() -> [String] {
        let now = self.now, tracker = path.pointee.tracker
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
