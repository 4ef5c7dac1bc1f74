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
    /// Sizes that `FlowCache.wantedResize` may ask for; as large as the first ones if the tables are not to grow.
    public var ipv4Maximum: Int
    public var ipv6Maximum: Int
    public init(ipv4Capacity: Int, ipv6Capacity: Int, actionCapacity: Int = 1 << 16, seed: UInt64, ipv4Maximum: Int = 0, ipv6Maximum: Int = 0) {
        self.ipv4Capacity = max(0, min(ipv4Capacity, 1 << 28))
        self.ipv6Capacity = max(0, min(ipv6Capacity, 1 << 28))
        self.ipv4Maximum = max(self.ipv4Capacity, min(ipv4Maximum, 1 << 28))
        self.ipv6Maximum = max(self.ipv6Capacity, min(ipv6Maximum, 1 << 28))
        self.actionCapacity = max(1, min(actionCapacity, 1 << 24))
        self.seed = seed
    }
}

/// A cached direction of a flow. Bit 31 of `slot` is the family (1 for IPv6), bit 30 which of a resize's tables it is in, the rest
/// its place there; `generation`, never 0, tells apart the tenants that a slot has in turn.
@frozen public struct FlowHandle: Hashable, Sendable {
    public var slot: UInt32
    public var generation: UInt32
    @inlinable public init(slot: UInt32, generation: UInt32) {
        self.slot = slot
        self.generation = generation
    }
    /// Names no entry.
    @inlinable public static var none: FlowHandle { FlowHandle(slot: 0, generation: 0) }
    @inlinable public var isIPv6: Bool { slot >> 31 != 0 }
    var isAlternate: Bool { slot & FlowTable.alternateBit != 0 }
    var place: Int { Int(slot & 0x3fff_ffff) }
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
    /// Bytes of table memory.
    public var memoryBytes = 0
    /// Entries that the tables of now take at least.
    public var ipv4Capacity = 0
    public var ipv6Capacity = 0
    /// Packets that wanted an entry of another worker's: it changed hands, became shared, or the flow had to wait.
    public var handovers: UInt64 = 0
    /// Resizes that came to their end.
    public var resizes: UInt64 = 0
    /// Entries copied by resizes.
    public var copied: UInt64 = 0
    public init() {}
}

public struct FlowCache: ~Copyable {
    /// Nanoseconds of one tick of `lastUsed`, as a shift: 2^20 ns, about a millisecond.
    public static var tickShift: UInt64 { 20 }
    /// The coarse clock that workers stamp entries with.
    @inlinable public static func tick(_ now: Timestamp) -> UInt32 { UInt32(truncatingIfNeeded: now >> 20) }
    @inlinable public static func nanoseconds(ticks: UInt32) -> UInt64 { UInt64(ticks) << 20 }

    /// IPv4's and IPv6's, in the cache's own memory: a call touches a family where it lies, it is too much to be handed about.
    let families: UnsafeMutablePointer<FlowTableFamily>
    var actionTable: FlowActionTable
    var events = FlowCacheStatistics()
    /// In the cache's own memory, as the families are.
    private let seedMemory: UnsafeMutablePointer<FlowHashSeeds>
    var seeds: FlowHashSeeds { seedMemory.pointee }
    let shared: UnsafeMutableRawPointer
    /// Of what `init` was given.
    private let initialBytes: Int

    private static func rounded(_ bytes: Int) -> Int { (bytes + 127) & ~127 }

    /// Bytes that `init(memory:configuration:)` needs, a multiple of 128.
    public static func memoryRequired(_ configuration: FlowCacheConfiguration) -> Int {
        128 + FlowCacheReader.sharedBytes + rounded(2 * MemoryLayout<FlowTableFamily>.stride) + rounded(MemoryLayout<FlowHashSeeds>.stride)
            + FlowTable.memoryRequired(capacity: configuration.ipv4Capacity, isIPv6: false)
            + FlowTable.memoryRequired(capacity: configuration.ipv6Capacity, isIPv6: true)
            + rounded(FlowActionTable.memoryRequired(capacity: configuration.actionCapacity))
    }

    /// `memory` has `memoryRequired(configuration)` bytes and outlives the cache and every reader.
    public init(memory: UnsafeMutableRawPointer, configuration: FlowCacheConfiguration) {
        precondition(FlowEntryOffset.matchesLayout, "flow cache entries are not laid out as the workers expect")
        var next = memory.alignedUp(toMultipleOf: 128)
        func take(_ bytes: Int) -> UnsafeMutableRawPointer {
            defer { next += FlowCache.rounded(bytes) }
            return next
        }
        func table(_ capacity: Int, isIPv6: Bool) -> FlowTable {
            let memory = take(FlowTable.memoryRequired(capacity: capacity, isIPv6: isIPv6))
            FlowTable.clear(memory, capacity: capacity, isIPv6: isIPv6)
            return FlowTable(zeroed: memory, capacity: capacity, isIPv6: isIPv6)
        }
        shared = take(FlowCacheReader.sharedBytes)
        shared.initializeMemory(as: UInt8.self, repeating: 0, count: FlowCacheReader.sharedBytes)
        shared.storeBytes(of: 1, as: UInt32.self)
        families = take(2 * MemoryLayout<FlowTableFamily>.stride).bindMemory(to: FlowTableFamily.self, capacity: 2)
        families.initialize(to: FlowTableFamily(table(configuration.ipv4Capacity, isIPv6: false), largest: configuration.ipv4Maximum))
        (families + 1).initialize(to: FlowTableFamily(table(configuration.ipv6Capacity, isIPv6: true), largest: configuration.ipv6Maximum))
        actionTable = FlowActionTable(memory: take(FlowActionTable.memoryRequired(capacity: configuration.actionCapacity)), capacity: configuration.actionCapacity)
        seedMemory = take(MemoryLayout<FlowHashSeeds>.stride).bindMemory(to: FlowHashSeeds.self, capacity: 1)
        seedMemory.initialize(to: FlowHashSeeds(seed: configuration.seed))
        initialBytes = FlowCache.memoryRequired(configuration)
        publishViews()
    }

    /// Good for as long as the cache's memory.
    public var foresight: FlowForesight { FlowForesight(families: families, seeds: seedMemory) }

    func family(isIPv6: Bool) -> UnsafeMutablePointer<FlowTableFamily> { isIPv6 ? families + 1 : families }

    /// A reader that begins now.
    public var reader: FlowCacheReader {
        var reader = FlowCacheReader(
            ipv4: families[0].current.view, ipv6: families[1].current.view, seeds: seeds, actions: UnsafePointer(actionTable.actions), shared: shared)
        reader.refresh()
        return reader
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
        shared.atomic64(FlowCacheReader.watchOffset).pointee.store(ports, ordering: .relaxed)
    }

    public var statistics: FlowCacheStatistics {
        var result = events
        result.ipv4Entries = families[0].current.count
        result.ipv6Entries = families[1].current.count
        result.ipv4Capacity = families[0].current.capacity
        result.ipv6Capacity = families[1].current.capacity
        result.actions = actionTable.count
        result.memoryBytes = initialBytes
        for family in UnsafeBufferPointer(start: families, count: 2) {
            result.overflowedEntries += family.current.overflowed
            result.retiredEntries += family.openCount + family.waitingCount
            result.memoryBytes += addedBytes(family)
        }
        return result
    }

    private func addedBytes(_ family: FlowTableFamily) -> Int {
        func bytes(_ table: FlowTable) -> Int { table.memory == nil ? 0 : FlowTable.memoryRequired(capacity: table.capacity, isIPv6: table.isIPv6) }
        return bytes(family.current) + (family.isResizing ? bytes(family.other) : 0)
    }

    /// The name that a cached flow has now, for one that it had when it was published; nil if it is not cached any more.
    public func current(_ handle: FlowHandle) -> FlowHandle? {
        let family = family(isIPv6: handle.isIPv6)
        guard let found = family.pointee.locate(handle) else { return nil }
        if !found.isOther { return handle }
        let key = family.pointee.other.key(found.slot)
        return family.pointee.find(key, hash: seeds.hash(key)).map { family.pointee.handle($0) }
    }

    /// Whether `handle` names an entry that is visible now.
    public func isLive(_ handle: FlowHandle) -> Bool { current(handle) != nil }

    /// Whether workers forward by the entry: it is visible, and its flow was judged since the last `invalidateAll`.
    public func isInForce(_ handle: FlowHandle) -> Bool {
        guard let record = inspect(handle, now: 0) else { return false }
        return !record.isStale
    }

    /// The entry for `key`, if it is cached.
    public func lookup(_ key: FlowKey) -> FlowHandle? {
        let packed = PackedFlowKey(key)
        let family = family(isIPv6: packed.isIPv6)
        return family.pointee.find(packed, hash: seeds.hash(packed)).map { family.pointee.handle($0) }
    }
}
