// The stress tests' writer and reader, each in steps, so that threads can run them at once and one thread in any order.
import FlowCache
import Synchronization
import Wire

/// A rule of the protocol that a run breaks on purpose.
enum BrokenRule: CaseIterable {
    /// What was withdrawn is reused without asking the readers.
    case reusesAtOnce
    /// An entry is said to be gone before the readers have been quiescent.
    case forgetsTooEarly
    /// The ruleset that flows were judged by is said to be gone before they have.
    case dropsRulesTooEarly
    /// Two readers count in the same entries without locked additions.
    case countsTogether
}

/// What writer and readers know of each other.
final class StressFlags: Sendable {
    /// By key: the oldest version of its entry that may still be acted on.
    private final class Version: Sendable { let value = Atomic<UInt32>(0) }
    private let versions: [Version]
    init(keys: UInt32) { versions = (0 ..< keys).map { _ in Version() } }
    /// Reader. Acquire, pairs with `raise`: what is looked up next is no older.
    func oldest(_ key: UInt32) -> UInt32 { versions[Int(key)].value.load(ordering: .acquiring) }
    /// Writer, after every reader has been quiescent.
    func raise(_ key: UInt32, to version: UInt32) { versions[Int(key)].value.store(version, ordering: .releasing) }

    let torn = Atomic<UInt64>(0)
    /// Packets handled by an entry or a ruleset that was gone, and the oldest ruleset that may be in use.
    let stale = Atomic<UInt64>(0)
    let minimum = Atomic<UInt32>(0)
    /// What the readers have counted, complete once they are done.
    let hits = Atomic<UInt64>(0)
    let bytes = Atomic<UInt64>(0)
}

/// What a run came to.
struct StressOutcome {
    var torn: UInt64 = 0, stale: UInt64 = 0, hits: UInt64 = 0, resizes: UInt64 = 0
    var countsAreExact = false
    var isRight: Bool { torn == 0 && stale == 0 && countsAreExact }
}

/// What an entry must say: all of it is a function of its connection number, which here is the version.
enum StressEntry {
    static let keys: UInt32 = 900

    static func flow(_ key: FlowKey, version: UInt32) -> FlowDescription {
        var flow = FlowDescription.plain(key)
        flow.connection = version
        flow.rewrite.sourcePort = UInt16(truncatingIfNeeded: version &* 40503 >> 8)
        flow.rewrite.source = key.source.family == .ipv4
            ? IPAddress(ipv4: version &* 2_654_435_761) : IPAddress(ipv6High: UInt64(version) << 32 | UInt64(version), low: UInt64(version))
        flow.rewrite.destinationMAC = EthernetAddress(rawValue: UInt64(version & 15))
        return flow
    }

    static func version(_ memory: UnsafeMutableRawPointer, ipv6: Bool) -> UInt32 {
        ipv6 ? memory.assumingMemoryBound(to: FlowEntry6.self).pointee.connection : memory.assumingMemoryBound(to: FlowEntry4.self).pointee.connection
    }

    static func isWhole(_ memory: UnsafeMutableRawPointer, _ actions: UnsafePointer<FlowAction>, ipv6: Bool) -> Bool {
        ipv6 ? isWhole6(memory, actions) : isWhole4(memory, actions)
    }

    private static func isWhole4(_ memory: UnsafeMutableRawPointer, _ actions: UnsafePointer<FlowAction>) -> Bool {
        let entry = memory.assumingMemoryBound(to: FlowEntry4.self)
        let version = entry.pointee.connection
        let source = UInt32(bigEndian: UInt32(truncatingIfNeeded: entry.pointee.newAddresses))
        let port = UInt16(bigEndian: UInt16(truncatingIfNeeded: entry.pointee.newPorts))
        let link = actions[Int(entry.pointee.action)].linkHead.bigEndian >> 16
        return source == version &* 2_654_435_761 && port == UInt16(truncatingIfNeeded: version &* 40503 >> 8) && link == UInt64(version & 15)
    }

    private static func isWhole6(_ memory: UnsafeMutableRawPointer, _ actions: UnsafePointer<FlowAction>) -> Bool {
        let entry = memory.assumingMemoryBound(to: FlowEntry6.self)
        let version = UInt64(entry.pointee.connection)
        let link = actions[Int(entry.pointee.action)].linkHead.bigEndian >> 16
        return entry.pointee.newAddress0.bigEndian == version << 32 | version && entry.pointee.newAddress1.bigEndian == version && link == version & 15
    }
}

/// A worker: a burst's entries are found first, then judged by one reading of the generation, then used.
struct StressReader {
    private let ipv6: Bool, lane: UInt32, flags: StressFlags
    private var reader: FlowCacheReader, random: Random
    private var found: [(key: UInt32, entry: UnsafeMutableRawPointer)] = [], generation: UInt32 = 0
    private var hits: UInt64 = 0, bytes: UInt64 = 0
    static let count = 4

    /// Each reader forwards its own keys, as RSS has it: an entry's counters have one writer.
    init(_ number: Int, ipv6: Bool, _ reader: FlowCacheReader, _ flags: StressFlags, sharesKeys: Bool = false) {
        (self.ipv6, self.reader, self.flags) = (ipv6, reader, flags)
        lane = sharesKeys ? UInt32(number & 2) : UInt32(number)
        random = Random(UInt64(number) + 1)
    }

    mutating func begin() {
        found.removeAll(keepingCapacity: true)
        for _ in 0 ..< 32 {
            let wanted = UInt32.random(in: 0 ..< StressEntry.keys / UInt32(Self.count), using: &random) * UInt32(Self.count) + lane
            if let entry = reader.find(PackedFlowKey(key(wanted, ipv6: ipv6))) { found.append((wanted, entry)) }
        }
        generation = reader.currentGeneration()
    }

    /// `amid`: what happens in the middle of each addition to a count.
    mutating func finish(amid: (() -> Void)? = nil) {
        let packetsAt = ipv6 ? FlowEntryOffset.packets6 : FlowEntryOffset.packets4, bytesAt = ipv6 ? FlowEntryOffset.bytes6 : FlowEntryOffset.bytes4
        for (wanted, entry) in found {
            // Acquire, pairs with the release after a quiescent period: what this burst goes by must be no older.
            if generation < flags.minimum.load(ordering: .acquiring) { flags.stale.add(1, ordering: .relaxed) }
            guard entry.atomic32(ipv6 ? FlowEntryOffset.generation6 : FlowEntryOffset.generation4).pointee.load(ordering: .relaxed) == generation else { continue }
            if !StressEntry.isWhole(entry, reader.actions, ipv6: ipv6) { flags.torn.add(1, ordering: .relaxed) }
            if StressEntry.version(entry, ipv6: ipv6) < flags.oldest(wanted) { flags.stale.add(1, ordering: .relaxed) }
            if let amid {
                let packets = entry.atomic32(packetsAt), before = packets.pointee.load(ordering: .relaxed)
                amid()
                packets.pointee.store(before &+ 1, ordering: .relaxed)
            } else {
                entry.addRelaxed32(packetsAt, 1)
            }
            entry.addRelaxed64(bytesAt, UInt64(wanted))
            hits += 1
            bytes += UInt64(wanted)
        }
        found.removeAll(keepingCapacity: true)
    }

    /// After the report of quiescence, as workers do.
    mutating func refresh() { reader.refresh() }

    func addTotals() {
        flags.hits.add(hits, ordering: .relaxed)
        flags.bytes.add(bytes, ordering: .relaxed)
    }
}

/// The slow path: flows come and go, the table is resized, now and then the ruleset changes.
struct StressWriter {
    private let ipv6: Bool, fixture: CacheFixture, flags: StressFlags, broken: BrokenRule?
    private var random = Random(77), version: UInt32 = 0, packets: UInt64 = 0, bytes: UInt64 = 0

    init(ipv6: Bool, _ fixture: CacheFixture, _ flags: StressFlags, without broken: BrokenRule? = nil) {
        (self.ipv6, self.fixture, self.flags, self.broken) = (ipv6, fixture, flags, broken)
    }

    private mutating func account(_ record: FlowRecord) {
        packets += record.packets
        bytes += record.bytes
    }

    /// `wait` returns when every reader has been quiescent since.
    mutating func round(wait: () -> Void) {
        var changes: [(key: UInt32, version: UInt32)] = []
        for _ in 0 ..< 40 {
            let number = UInt32.random(in: 0 ..< StressEntry.keys, using: &random)
            let key = key(number, ipv6: ipv6)
            version += 1
            if Int.random(in: 0 ..< 3, using: &random) == 0 {
                if let handle = fixture.lookup(key), fixture.remove(handle) { changes.append((number, version)) }
            } else if fixture.insert(StressEntry.flow(key, version: version)) != nil {
                changes.append((number, version))
            }
        }
        // Reused at once, a table that a resize gives back would be freed under a reader.
        if broken != .reusesAtOnce, !fixture.isResizing, let size = [300, 600, 1200, 5000].randomElement(using: &random) {
            fixture.beginResize(FlowResize(isIPv6: ipv6, capacity: size, isGrowth: true))
        }
        _ = fixture.advanceResize(budget: 300) { record, _ in account(record) }
        if Int.random(in: 0 ..< 8, using: &random) == 0 {
            // Another ruleset: every flow is judged again.
            fixture.invalidateAll()
            if broken == .dropsRulesTooEarly { flags.minimum.store(fixture.generation, ordering: .releasing) }
            wait()
            flags.minimum.store(fixture.generation, ordering: .releasing)
        }
        if broken == .forgetsTooEarly { for change in changes { flags.raise(change.key, to: change.version) } }
        if fixture.beginGracePeriod() {
            if broken != .reusesAtOnce { wait() }
            for change in changes { flags.raise(change.key, to: change.version) }
            fixture.endGracePeriod { account($0) }
        }
        fixture.sweep { account($0); return true }
    }

    /// When every reader has ended.
    mutating func finish() -> StressOutcome {
        fixture.finishResize({ record, _ in account(record) }, reclaimed: { account($0) })
        fixture.sweep { account($0); return false }
        if fixture.beginGracePeriod() { fixture.endGracePeriod { account($0) } }
        let hits = flags.hits.load(ordering: .relaxed)
        return StressOutcome(
            torn: flags.torn.load(ordering: .relaxed), stale: flags.stale.load(ordering: .relaxed), hits: hits, resizes: fixture.statistics.resizes,
            countsAreExact: packets == hits && bytes == flags.bytes.load(ordering: .relaxed))
    }
}
