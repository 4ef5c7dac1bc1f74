// The flow cache from its one writer's side: publish, withdraw, sweep, and give memory back after quiescence.
//
// Invariant: one thread calls the mutating functions; workers hold a `FlowCacheReader` and never call anything here. What
// refuses and what evicts stands in FlowTable.swift. A removed slot is not written again until the caller says that all
// workers have been quiescent: `beginGracePeriod`, then let every worker report, then `endGracePeriod`.
import Synchronization
import Wire

@frozen public struct FlowCacheConfiguration: Sendable {
    /// Most directions of flows that may be cached at once (a connection has two).
    public var ipv4Capacity: Int
    public var ipv6Capacity: Int
    /// Most different (next hop, guard) combinations.
    public var actionCapacity: Int
    /// Boot secret for the hash.
    public var seed: UInt64
    public init(ipv4Capacity: Int, ipv6Capacity: Int, actionCapacity: Int = 1 << 16, seed: UInt64) {
        self.ipv4Capacity = max(0, min(ipv4Capacity, 1 << 28))
        self.ipv6Capacity = max(0, min(ipv6Capacity, 1 << 28))
        self.actionCapacity = max(1, min(actionCapacity, 1 << 24))
        self.seed = seed
    }
}

/// A cached direction of a flow. Bit 31 of `slot` is the family (1 for IPv6), the rest its place in the table; `generation`
/// tells apart the tenants that a slot has in turn.
@frozen public struct FlowHandle: Hashable, Sendable {
    public var slot: UInt32
    public var generation: UInt32
    @inlinable public init(slot: UInt32, generation: UInt32) {
        self.slot = slot
        self.generation = generation
    }
    @inlinable public var isIPv6: Bool { slot >> 31 != 0 }
}

/// Counted events of the writer, and sizes now.
public struct FlowCacheStatistics: Sendable {
    public var inserted: UInt64 = 0
    public var refreshed: UInt64 = 0
    public var replaced: UInt64 = 0
    public var removed: UInt64 = 0
    public var reclaimed: UInt64 = 0
    public var refusedTableFull: UInt64 = 0
    public var refusedActionTableFull: UInt64 = 0
    /// The rewrite is one that workers cannot do (an SCTP port change needs a CRC over the payload).
    public var refusedUnsupported: UInt64 = 0
    public var ipv4Entries = 0
    public var ipv6Entries = 0
    /// Entries outside their primary bucket.
    public var overflowedEntries = 0
    /// Removed, not yet reclaimed.
    public var retiredEntries = 0
    public var actions = 0
    /// Bytes of table memory, all of it allocated at the start.
    public var memoryBytes = 0
    public init() {}
}

public struct FlowCache: ~Copyable {
    /// Nanoseconds of one tick of `lastUsed`, as a shift: 2^20 ns, about a millisecond.
    public static var tickShift: UInt64 { 20 }
    /// The coarse clock that workers stamp entries with.
    @inlinable public static func tick(_ now: Timestamp) -> UInt32 { UInt32(truncatingIfNeeded: now >> 20) }

    public let reader: FlowCacheReader
    var ipv4: FlowTable
    var ipv6: FlowTable
    var actionTable: FlowActionTable
    var events = FlowCacheStatistics()
    let seeds: FlowHashSeeds
    let shared: UnsafeMutableRawPointer
    private let memoryBytes: Int

    private static func rounded(_ bytes: Int) -> Int { (bytes + 127) & ~127 }

    /// Bytes that `init(memory:configuration:)` needs, a multiple of 128.
    public static func memoryRequired(_ configuration: FlowCacheConfiguration) -> Int {
        let v4 = configuration.ipv4Capacity
        let v6 = configuration.ipv6Capacity
        return 128 + 128 + rounded(FlowTable.tagBytes(capacity: v4)) + rounded(FlowTable.tagBytes(capacity: v6))
            + rounded(FlowTable.slotCount(capacity: v4) * FlowEntryOffset.stride4)
            + rounded(FlowTable.slotCount(capacity: v6) * FlowEntryOffset.stride6)
            + rounded(FlowTable.slotCount(capacity: v4) * MemoryLayout<FlowSlotRecord>.stride)
            + rounded(FlowTable.slotCount(capacity: v6) * MemoryLayout<FlowSlotRecord>.stride)
            + rounded(FlowActionTable.memoryRequired(capacity: configuration.actionCapacity))
    }

    /// `memory` has `memoryRequired(configuration)` bytes and outlives the cache and every reader.
    public init(memory: UnsafeMutableRawPointer, configuration: FlowCacheConfiguration) {
        precondition(FlowEntryOffset.matchesLayout, "flow cache entries are not laid out as the workers expect")
        let v4 = configuration.ipv4Capacity
        let v6 = configuration.ipv6Capacity
        // Pairs of lines, as IPv6 entries are: the adjacent-line prefetcher fetches by 128 bytes.
        var next = memory.alignedUp(toMultipleOf: 128)
        func take(_ bytes: Int) -> UnsafeMutableRawPointer {
            defer { next += FlowCache.rounded(bytes) }
            return next
        }
        shared = take(128)
        shared.initializeMemory(as: UInt8.self, repeating: 0, count: 128)
        shared.storeBytes(of: 1, as: UInt32.self)
        let tags4 = take(FlowTable.tagBytes(capacity: v4))
        let tags6 = take(FlowTable.tagBytes(capacity: v6))
        let entries4 = take(FlowTable.slotCount(capacity: v4) * FlowEntryOffset.stride4)
        let entries6 = take(FlowTable.slotCount(capacity: v6) * FlowEntryOffset.stride6)
        let records4 = take(FlowTable.slotCount(capacity: v4) * MemoryLayout<FlowSlotRecord>.stride)
        let records6 = take(FlowTable.slotCount(capacity: v6) * MemoryLayout<FlowSlotRecord>.stride)
        ipv4 = FlowTable(tags: tags4, entries: entries4, records: records4, capacity: v4, isIPv6: false)
        ipv6 = FlowTable(tags: tags6, entries: entries6, records: records6, capacity: v6, isIPv6: true)
        actionTable = FlowActionTable(memory: take(FlowActionTable.memoryRequired(capacity: configuration.actionCapacity)), capacity: configuration.actionCapacity)
        seeds = FlowHashSeeds(seed: configuration.seed)
        reader = FlowCacheReader(ipv4: ipv4.view, ipv6: ipv6.view, seeds: seeds, actions: UnsafePointer(actionTable.actions), shared: shared)
        memoryBytes = FlowCache.memoryRequired(configuration)
    }

    /// The generation that new entries get.
    public var generation: UInt32 { shared.atomic32(0).pointee.load(ordering: .relaxed) }

    /// Makes every entry stale: the next packet of each flow takes the slow path, which publishes it anew or removes it.
    public mutating func invalidateAll() {
        // Release, pairs with FlowCacheReader.currentGeneration.
        shared.atomic32(0).pointee.store(generation &+ 1, ordering: .releasing)
    }

    /// Sets the ports, one a bit, of which workers hand every frame up, whatever is wrong with it.
    public mutating func watch(ports: UInt64) {
        // Relaxed: nothing else hangs on it, and a frame of the moment of the change may be taken either way.
        shared.atomic64(64).pointee.store(ports, ordering: .relaxed)
    }

    public var statistics: FlowCacheStatistics {
        var result = events
        result.ipv4Entries = ipv4.count
        result.ipv6Entries = ipv6.count
        result.overflowedEntries = ipv4.overflowed + ipv6.overflowed
        result.retiredEntries = ipv4.openCount + ipv4.waitingCount + ipv6.openCount + ipv6.waitingCount
        result.actions = actionTable.count
        result.memoryBytes = memoryBytes
        return result
    }

    func table(_ handle: FlowHandle) -> FlowTable { handle.isIPv6 ? ipv6 : ipv4 }

    /// Whether `handle` names an entry that is visible now.
    public func isLive(_ handle: FlowHandle) -> Bool {
        let table = table(handle)
        let slot = Int(handle.slot & 0x7fff_ffff)
        return slot < table.slotCount && table.records[slot].generation == handle.generation && table.isLive(slot)
    }

    /// The entry for `key`, if it is cached.
    public func lookup(_ key: FlowKey) -> FlowHandle? {
        let packed = PackedFlowKey(key)
        let table = packed.isIPv6 ? ipv6 : ipv4
        let slot = table.view.find(packed, hash: seeds.hash(packed))
        return slot < 0 ? nil : FlowHandle(slot: UInt32(slot) | (packed.isIPv6 ? 1 << 31 : 0), generation: table.records[slot].generation)
    }
}
