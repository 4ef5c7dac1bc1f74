// The table as a worker sees it: lines of tags, and entries whose place follows from the place of their tag.
//
// A bucket is one cache line: 30 tags of 16 bits and a 32-bit overflow word. The entry of lane l of bucket b is entry
// 30 b + l, so the tags need no index beside them and a million flows' tags (2.7 bytes a flow at a load of 0.8) stay in the
// last-level cache; a hit costs one line of tags and one entry. A key belongs in its primary bucket; when that is full, in
// the first of `FlowTableView.levels - 1` alternatives that has a free lane, and the primary's overflow word says so.
// Nothing is ever moved while it is visible, so a slot number stays good until its table is replaced by another size's.
//
// Publication: the writer fills the entry with plain stores, then stores the tag with release. A reader loads the tags
// (relaxed, see ntl_match_tags), then executes an acquire fence (`FlowCacheReader.fence`, once a burst), then loads the entry:
// the fence pairs with the release store. A tag is withdrawn by a relaxed store of `retired`; its entry is written again
// only after every worker has reported quiescence (a release store in rte_rcu) and the writer has seen that (acquire).
// A reader may miss a flow that is replaced or removed in this moment: that packet takes the slow path, which is always right.
import CIntrinsics
import Synchronization

@frozen public struct FlowTableView: Sendable {
    /// 64-byte aligned lines of tags.
    @usableFromInline nonisolated(unsafe) let tags: UnsafeMutableRawPointer
    @usableFromInline nonisolated(unsafe) let entries: UnsafeMutableRawPointer
    @usableFromInline let bucketCount: UInt64
    /// Bytes from one entry to the next.
    @usableFromInline let stride: Int

    init(tags: UnsafeMutableRawPointer, entries: UnsafeMutableRawPointer, bucketCount: Int, stride: Int) {
        self.tags = tags
        self.entries = entries
        self.bucketCount = UInt64(bucketCount)
        self.stride = stride
    }

    @inlinable public static var lanes: Int { 30 }
    @inlinable static var laneMask: UInt32 { 0x3fff_ffff }
    /// Offset of the overflow word in a bucket's line: entries that belong here but live elsewhere in bits 0 to 15, the
    /// highest level among them in bits 16 to 23.
    @inlinable static var overflowOffset: Int { 60 }
    /// Buckets that a key may live in: at a load of 0.8 one in six is full, and all of a key's never were.
    @inlinable static var levels: Int { 16 }
    /// Tags of lanes without a visible entry.
    @inlinable static var free: UInt16 { 0 }
    @inlinable static var retired: UInt16 { 1 }

    /// The tag of a hash: never `free` or `retired`.
    @inlinable @inline(__always) public static func tag(_ hash: UInt64) -> UInt16 {
        UInt16(truncatingIfNeeded: hash) | 2
    }

    /// The bucket for `hash` at `level`; level 0 is the primary one.
    @inlinable @inline(__always) public func bucket(_ hash: UInt64, level: Int = 0) -> Int {
        let spread = level == 0 ? hash : (hash ^ hash &>> 31) &* (0x9e37_79b9_7f4a_7c15 &+ UInt64(truncatingIfNeeded: level) &<< 33)
        return Int(truncatingIfNeeded: spread.multipliedFullWidth(by: bucketCount).high)
    }

    @inlinable @inline(__always) public func line(_ bucket: Int) -> UnsafeMutableRawPointer { tags + bucket &<< 6 }

    /// Bit l is set if lane l of `line` shows `tag`.
    @inlinable @inline(__always) public func match(_ line: UnsafeMutableRawPointer, _ tag: UInt16) -> UInt32 {
        #if NEEDLETAIL_THREAD_SANITIZER
        // ThreadSanitizer knows neither fences nor the C code: the same loads, each an acquire, as the fence makes them.
        var lanes: UInt32 = 0
        for lane in 0..<FlowTableView.lanes where line.atomic16(lane * 2).pointee.load(ordering: .acquiring) == tag { lanes |= 1 << UInt32(lane) }
        return lanes
        #else
        return ntl_match_tags(line, tag) & FlowTableView.laneMask
        #endif
    }

    @inlinable @inline(__always) public func entry(slot: Int) -> UnsafeMutableRawPointer { entries + slot &* stride }

    /// The same where the family is known: the stride is a constant.
    @inlinable @inline(__always) public func entry(slot: Int, isIPv6: Bool) -> UnsafeMutableRawPointer {
        entries + slot &* (isIPv6 ? FlowEntryOffset.stride6 : FlowEntryOffset.stride4)
    }

    @inlinable @inline(__always) public func overflow(_ line: UnsafeMutableRawPointer) -> UInt32 {
        line.atomic32(FlowTableView.overflowOffset).pointee.load(ordering: .relaxed)
    }

    /// Whether the entry's key is `key`; the caller has fenced since it saw the tag.
    @inlinable @inline(__always) func holds(_ entry: UnsafeMutableRawPointer, _ key: PackedFlowKey) -> Bool {
        if key.isIPv6 {
            let entry = entry.assumingMemoryBound(to: FlowEntry6.self)
            return entry.pointee.tuple & ~FlowOwner.mask == key.tuple && entry.pointee.encapsulation == key.encapsulation
                && entry.pointee.address0 == key.address0 && entry.pointee.address1 == key.address1
                && entry.pointee.address2 == key.address2 && entry.pointee.address3 == key.address3
        }
        let entry = entry.assumingMemoryBound(to: FlowEntry4.self)
        return entry.pointee.addresses == key.address0 && entry.pointee.tuple & ~FlowOwner.mask == key.tuple && entry.pointee.encapsulation == key.encapsulation
    }

    /// The slot that holds `key`, or -1: the whole search, one packet at a time. Workers use it where their staged lookup finds
    /// a tag that was another flow's, or an overflowed bucket.
    @inlinable public func find(_ key: PackedFlowKey, hash: UInt64) -> Int {
        let tag = FlowTableView.tag(hash)
        let primary = bucket(hash)
        var last = 0
        var level = 0
        while level <= last {
            let bucket = bucket(hash, level: level)
            let line = line(bucket)
            var candidates = match(line, tag)
            atomicMemoryFence(ordering: .acquiring)
            while candidates != 0 {
                let slot = bucket &* FlowTableView.lanes &+ candidates.trailingZeroBitCount
                if holds(entry(slot: slot), key) { return slot }
                candidates &= candidates &- 1
            }
            if level == 0 {
                let overflow = overflow(self.line(primary))
                last = overflow & 0xffff == 0 ? 0 : Int(overflow >> 16 & 0xff)
            }
            level &+= 1
        }
        return -1
    }
}

/// What a worker needs of the flow cache: plain pointers, copied into each worker. A resize gives it others: `refresh`.
@frozen public struct FlowCacheReader: Sendable {
    public internal(set) var ipv4: FlowTableView
    public internal(set) var ipv6: FlowTableView
    public let seeds: FlowHashSeeds
    public nonisolated(unsafe) let actions: UnsafePointer<FlowAction>
    @usableFromInline nonisolated(unsafe) let shared: UnsafeMutableRawPointer
    /// Of the views that it has.
    var publication: UInt64 = 0

    init(ipv4: FlowTableView, ipv6: FlowTableView, seeds: FlowHashSeeds, actions: UnsafePointer<FlowAction>, shared: UnsafeMutableRawPointer) {
        self.ipv4 = ipv4
        self.ipv6 = ipv6
        self.seeds = seeds
        self.actions = actions
        self.shared = shared
    }

    /// The generation that entries must have: loaded once a burst. Acquire, pairs with the release store of
    /// `FlowCache.invalidateAll`, so that a worker that sees the new generation also sees what led to it.
    @inlinable @inline(__always) public func currentGeneration() -> UInt32 {
        shared.atomic32(0).pointee.load(ordering: .acquiring)
    }

    /// Whether every frame of the port goes up, even what no IP input would take (`FlowCache.watch`, which orders nothing by it).
    @inlinable @inline(__always) public func watches(_ port: UInt16) -> Bool {
        shared.atomic64(FlowCacheReader.watchOffset).pointee.load(ordering: .relaxed) >> UInt64(min(port, 63)) & 1 != 0
    }

    /// Between matching tags and reading the entries they stand for; pairs with the release store of a tag.
    @inlinable @inline(__always) public func fence() { atomicMemoryFence(ordering: .acquiring) }

    /// The entry that holds `key`, or nil.
    @inlinable public func find(_ key: PackedFlowKey) -> UnsafeMutableRawPointer? {
        let hash = seeds.hash(key)
        let view = key.isIPv6 ? ipv6 : ipv4
        let slot = view.find(key, hash: hash)
        return slot < 0 ? nil : view.entry(slot: slot)
    }
}
