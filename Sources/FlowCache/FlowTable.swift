// One family's table from the writer's side: finding a lane, publishing, retiring, taking back.
//
// When is a new entry refused? When `capacity` entries live, or when all sixteen buckets that its key may live in are full
// (below a load of 0.9 that has not been seen in any test; lanes are 1.25 times the capacity). When is an old one evicted? Never
// by the table: the sweeper's owner removes what idled. Can an attacker make it blow up? No: a table's memory is fixed (how one
// replaces another stands in FlowCache+Resize.swift), the hash is seeded, a lookup visits at most sixteen lines, and those only for
// keys whose primary bucket overflowed.
import Synchronization
import Wire

/// What the writer keeps of a slot beside the entry. 24 bytes, never touched by workers.
/// All zero is a fresh one, so that a table in zeroed memory is ready.
struct FlowSlotRecord {
    /// Counts the slot's tenants; handles show one more, so that no handle is all zero.
    var tenants: UInt32 = 0
    var creditList: UInt32 = 0
    var sweptPackets: UInt32 = 0
    /// Next slot in a retirement list; of a visible entry: the tick when it was published.
    var next: UInt32 = 0
    /// Bytes reported so far; bit 63: the same flow has an entry in the table that takes over from this one.
    var sweptBytesAndHeir: UInt64 = 0

    var sweptBytes: UInt64 {
        get { sweptBytesAndHeir & ~(1 << 63) }
        set { sweptBytesAndHeir = sweptBytesAndHeir & 1 << 63 | newValue & ~(1 << 63) }
    }
    var hasHeir: Bool {
        get { sweptBytesAndHeir >> 63 != 0 }
        set { sweptBytesAndHeir = sweptBytes | (newValue ? 1 << 63 : 0) }
    }
}

/// Plain pointers and numbers; owned by `FlowCache`, single writer.
struct FlowTable {
    static let none = UInt32.max
    /// Handles of a table have it in bit 30 of their slot or not: it tells the two tables of a resize apart.
    static let alternateBit: UInt32 = 1 << 30
    let view: FlowTableView
    let isIPv6: Bool
    let isAlternate: Bool
    /// What `FlowCache.beginResize` was given; nil for the table that the cache began with.
    let memory: UnsafeMutableRawPointer?
    let capacity: Int
    let bucketCount: Int
    let records: UnsafeMutablePointer<FlowSlotRecord>
    var count = 0
    /// Entries that are not in their primary bucket.
    var overflowed = 0
    /// Retired and still to be waited for (`open`), and waited for already (`waiting`).
    var openHead = FlowTable.none
    var openCount = 0
    var waitingHead = FlowTable.none
    var waitingCount = 0

    static func bucketCount(capacity: Int) -> Int { capacity == 0 ? 1 : (capacity + 23) / 24 + 4 }
    static func tagBytes(capacity: Int) -> Int { bucketCount(capacity: capacity) * 64 }
    static func slotCount(capacity: Int) -> Int { bucketCount(capacity: capacity) * FlowTableView.lanes }

    private static func rounded(_ bytes: Int) -> Int { (bytes + 127) & ~127 }

    /// Bytes that `init` needs, a multiple of 128.
    static func memoryRequired(capacity: Int, isIPv6: Bool) -> Int {
        rounded(tagBytes(capacity: capacity))
            + rounded(slotCount(capacity: capacity) * (isIPv6 ? FlowEntryOffset.stride6 : FlowEntryOffset.stride4))
            + rounded(slotCount(capacity: capacity) * MemoryLayout<FlowSlotRecord>.stride)
    }

    /// In `memory`, aligned to 128 (pairs of lines, as IPv6 entries are: the adjacent-line prefetcher fetches by 128 bytes), whose
    /// tags and records are zero. `keeps` is what the caller wants back with the table's end.
    init(zeroed memory: UnsafeMutableRawPointer, capacity: Int, isIPv6: Bool, isAlternate: Bool = false, keeps: UnsafeMutableRawPointer? = nil) {
        bucketCount = FlowTable.bucketCount(capacity: capacity)
        let slots = FlowTable.slotCount(capacity: capacity)
        let stride = isIPv6 ? FlowEntryOffset.stride6 : FlowEntryOffset.stride4
        let entries = memory + FlowTable.rounded(FlowTable.tagBytes(capacity: capacity))
        view = FlowTableView(tags: memory, entries: entries, bucketCount: bucketCount, stride: stride)
        self.capacity = capacity
        self.isIPv6 = isIPv6
        self.isAlternate = isAlternate
        self.memory = keeps
        records = (entries + FlowTable.rounded(slots * stride)).bindMemory(to: FlowSlotRecord.self, capacity: slots)
    }

    /// Makes the tags and records of memory that may hold anything zero.
    static func clear(_ memory: UnsafeMutableRawPointer, capacity: Int, isIPv6: Bool) {
        let entries = rounded(slotCount(capacity: capacity) * (isIPv6 ? FlowEntryOffset.stride6 : FlowEntryOffset.stride4))
        let tags = rounded(tagBytes(capacity: capacity))
        memory.initializeMemory(as: UInt8.self, repeating: 0, count: tags)
        (memory + tags + entries).initializeMemory(as: UInt8.self, repeating: 0, count: slotCount(capacity: capacity) * MemoryLayout<FlowSlotRecord>.stride)
    }

    @inline(__always) func handle(_ slot: Int) -> FlowHandle {
        FlowHandle(
            slot: UInt32(slot) | (isAlternate ? FlowTable.alternateBit : 0) | (isIPv6 ? 1 << 31 : 0), generation: records[slot].tenants &+ 1)
    }

    /// Whether `handle`, of this table by its bits, names the slot's present tenant.
    @inline(__always) func holds(_ handle: FlowHandle) -> Bool {
        handle.place < slotCount && records[handle.place].tenants &+ 1 == handle.generation && isLive(handle.place)
    }

    var slotCount: Int { bucketCount * FlowTableView.lanes }

    @inline(__always) func tagField(_ slot: Int) -> UnsafeMutablePointer<Atomic<UInt16>> {
        let (bucket, lane) = slot.quotientAndRemainder(dividingBy: FlowTableView.lanes)
        return view.line(bucket).atomic16(lane * 2)
    }

    @inline(__always) func isLive(_ slot: Int) -> Bool { tagField(slot).pointee.load(ordering: .relaxed) > FlowTableView.retired }

    /// A free lane for `hash`: the slot, and the level of its bucket.
    func freeSlot(for hash: UInt64) -> (slot: Int, level: Int)? {
        let primary = view.bucket(hash)
        for level in 0..<FlowTableView.levels {
            let bucket = view.bucket(hash, level: level)
            if level > 0 && bucket == primary { continue }
            let lanes = view.match(view.line(bucket), FlowTableView.free)
            if lanes != 0 { return (bucket * FlowTableView.lanes + lanes.trailingZeroBitCount, level) }
        }
        return nil
    }

    /// Makes the filled entry of `slot` visible.
    mutating func publish(slot: Int, level: Int, hash: UInt64) {
        if level > 0 {
            let field = view.line(view.bucket(hash)).atomic32(FlowTableView.overflowOffset)
            let word = field.pointee.load(ordering: .relaxed)
            let highest = max(word >> 16 & 0xff, UInt32(level))
            // Relaxed: a reader that sees the tag but not yet this word misses, and the slow path takes the packet.
            field.pointee.store((word & 0xffff) + 1 | highest << 16, ordering: .relaxed)
            overflowed += 1
        }
        // Release, pairs with FlowCacheReader.fence: whoever sees the tag sees the entry whole.
        tagField(slot).pointee.store(FlowTableView.tag(hash), ordering: .releasing)
        count += 1
    }

    /// Withdraws the entry of `slot`; `hash` is its key's. The slot stays untouched until `takeBack`.
    mutating func retire(slot: Int, hash: UInt64) {
        // Relaxed: a reader that still sees the tag is what quiescence is waited for.
        tagField(slot).pointee.store(FlowTableView.retired, ordering: .relaxed)
        let primary = view.bucket(hash)
        if slot / FlowTableView.lanes != primary {
            let field = view.line(primary).atomic32(FlowTableView.overflowOffset)
            let word = field.pointee.load(ordering: .relaxed)
            let left = (word & 0xffff) - 1
            field.pointee.store(left == 0 ? 0 : left | word & 0xff_0000, ordering: .relaxed)
            overflowed -= 1
        }
        records[slot].next = openHead
        openHead = UInt32(slot)
        openCount += 1
        count -= 1
    }

    /// Moves what was retired so far to the list that the coming grace period covers.
    mutating func closeRetired() {
        waitingHead = openHead
        waitingCount = openCount
        openHead = FlowTable.none
        openCount = 0
    }

    /// Frees the lane of `slot`, which no reader holds any more.
    func takeBack(slot: Int) {
        records[slot].tenants &+= 1
        records[slot].hasHeir = false
        tagField(slot).pointee.store(FlowTableView.free, ordering: .relaxed)
    }

    // The fields of an entry that both layouts have.

    func generation(_ slot: Int) -> UnsafeMutablePointer<Atomic<UInt32>> {
        view.entry(slot: slot).atomic32(isIPv6 ? FlowEntryOffset.generation6 : FlowEntryOffset.generation4)
    }
    func action(_ slot: Int) -> UInt32 {
        let entry = view.entry(slot: slot)
        return isIPv6 ? entry.assumingMemoryBound(to: FlowEntry6.self).pointee.action : entry.assumingMemoryBound(to: FlowEntry4.self).pointee.action
    }
    func connection(_ slot: Int) -> UInt32 {
        let entry = view.entry(slot: slot)
        return isIPv6
            ? entry.assumingMemoryBound(to: FlowEntry6.self).pointee.connection : entry.assumingMemoryBound(to: FlowEntry4.self).pointee.connection
    }
    func owner(_ slot: Int) -> FlowOwner {
        let entry = view.entry(slot: slot)
        let tuple = isIPv6 ? entry.assumingMemoryBound(to: FlowEntry6.self).pointee.tuple : entry.assumingMemoryBound(to: FlowEntry4.self).pointee.tuple
        return FlowOwner(word: tuple & FlowOwner.mask)
    }
    @inline(__always) func key(_ slot: Int) -> PackedFlowKey {
        var key = PackedFlowKey()
        if isIPv6 {
            let entry = view.entry(slot: slot).assumingMemoryBound(to: FlowEntry6.self)
            key.address0 = entry.pointee.address0
            key.address1 = entry.pointee.address1
            key.address2 = entry.pointee.address2
            key.address3 = entry.pointee.address3
            key.tuple = entry.pointee.tuple & ~FlowOwner.mask
            key.encapsulation = entry.pointee.encapsulation
            key.isIPv6 = true
        } else {
            let entry = view.entry(slot: slot).assumingMemoryBound(to: FlowEntry4.self)
            key.address0 = entry.pointee.addresses
            key.tuple = entry.pointee.tuple & ~FlowOwner.mask
            key.encapsulation = entry.pointee.encapsulation
        }
        return key
    }

    /// What workers counted so far; relaxed, they are statistics.
    func counters(_ slot: Int) -> (lastUsed: UInt32, packets: UInt32, bytes: UInt64) {
        let entry = view.entry(slot: slot)
        return (
            entry.atomic32(isIPv6 ? FlowEntryOffset.lastUsed6 : FlowEntryOffset.lastUsed4).pointee.load(ordering: .relaxed),
            entry.atomic32(isIPv6 ? FlowEntryOffset.packets6 : FlowEntryOffset.packets4).pointee.load(ordering: .relaxed),
            entry.atomic64(isIPv6 ? FlowEntryOffset.bytes6 : FlowEntryOffset.bytes4).pointee.load(ordering: .relaxed)
        )
    }
}
