// A set or map in memory: exact (hashed), intervals (sorted), concatenations with ranges (RangeIndex).
//
// Invariant: all memory is there when the set is compiled; a packet can only use up free elements. A new element is
// refused when the set is full (the `add` statement then breaks the rule, as in Linux). An element whose timeout has passed,
// or that a rule deleted, is found no more, and goes when the collector runs, once a second or every `gc-interval`: until
// then it counts against the size, as in Linux. An attacker who fills a dynamic set makes `add` fail and nothing else grow.
// The hash is seeded.
import Wire

enum SetKind: UInt8 {
    case hash, interval, ranges
}

/// Header of an element; key (and for intervals the last key), then data follow.
struct ElementRecord {
    var next: UInt32 = ElementRecord.none
    var hash: UInt32 = 0
    /// Its place among the records of each statement that it carries.
    var state: UInt32 = 0
    /// Which of the set's statements it carries: one of the set's origins.
    var origin: UInt16 = 0
    var flags: UInt16 = 0
    /// When it expires; `UInt64.max` for never.
    var expires: Timestamp = UInt64.max
    /// Its own timeout in ns, 0 for none.
    var timeout: UInt64 = 0
    static var none: UInt32 { UInt32.max }
    @inline(__always) static var size: Int { MemoryLayout<ElementRecord>.stride }
    enum Flag {
        static let inUse: UInt16 = 1
        /// Came from a packet, not from the ruleset.
        static let dynamic: UInt16 = 2
        /// The other bits count the elements that had this place: two in a row that have the same key are not the same element.
        static let nextTenant: UInt16 = 4
        @inline(__always) static func tenant(_ flags: UInt16) -> UInt16 { flags & ~3 }
    }
}

/// One stateful statement that elements of a set carry.
struct ElementStatement {
    var op: Opcode
    /// First of the run of records for this set's elements.
    var base: UInt32
}

struct SetHeader {
    var kind: SetKind = .hash
    var keyLength = 0
    var dataLength = 0
    var stride = ElementRecord.size
    var capacity: UInt32 = 0
    /// Elements in use, expired ones that were not collected yet included.
    var count: UInt32 = 0
    var free: UInt32 = ElementRecord.none
    /// First element never used.
    var fresh: UInt32 = 0
    var bucketMask: UInt32 = 0
    var seed: UInt64 = 0
    var elements: UnsafeMutableRawPointer
    var buckets: UnsafeMutablePointer<UInt32>
    /// Element for `*`, outside the index.
    var catchAll: UInt32 = ElementRecord.none
    /// Default timeout in ns, 0 for none.
    var timeout: UInt64 = 0
    var hasTimeout = false
    var isDynamic = false
    /// The collector's period in ns, and when it last ran: both as in Linux from the set's creation on.
    var collectionInterval: UInt64 = 1_000_000_000
    var lastCollection: Timestamp = 0
    var statements: UnsafeMutablePointer<ElementStatement>
    var origins: UnsafeMutablePointer<ElementOrigin>
    /// Records that those of new elements start with.
    var templates: UnsafeMutablePointer<UInt32>
    var statementCount = 0
    /// `ranges`: offset and length of each field in the key.
    var fields: UnsafeMutablePointer<(offset: UInt16, length: UInt16)>
    var fieldCount = 0
    /// `interval`: first and last keys as 128-bit numbers, sorted; element numbers beside them.
    var bounds: UnsafeMutablePointer<IntervalBound>
    var boundCount = 0
    /// `ranges`: the index.
    var index: RangeIndex

    @inline(__always) func element(_ index: UInt32) -> UnsafeMutablePointer<ElementRecord> {
        (elements + Int(index) &* stride).assumingMemoryBound(to: ElementRecord.self)
    }
    @inline(__always) func key(_ index: UInt32) -> UnsafeMutableRawPointer { elements + (Int(index) &* stride &+ ElementRecord.size) }
    @inline(__always) func lastKey(_ index: UInt32) -> UnsafeMutableRawPointer { key(index) + keyLength }
    @inline(__always) func data(_ index: UInt32) -> UnsafeMutableRawPointer {
        key(index) + (kind == .hash ? keyLength : keyLength &* 2)
    }
}

struct IntervalBound {
    var firstHigh: UInt64
    var firstLow: UInt64
    var lastHigh: UInt64
    var lastLow: UInt64
    var element: UInt32
    var padding: UInt32 = 0
}

extension SetHeader {
    @inline(__always) static func mix(_ a: UInt64, _ b: UInt64) -> UInt64 {
        let product = a.multipliedFullWidth(by: b)
        return product.high ^ product.low
    }

    @inline(__always) func hash(_ key: UnsafeRawPointer) -> UInt32 {
        var state = seed ^ 0x9e37_79b9_7f4a_7c15
        var index = 0
        while index &+ 8 <= keyLength {
            state = SetHeader.mix(state ^ key.loadUnaligned(fromByteOffset: index, as: UInt64.self), 0xa076_1d64_78bd_642f)
            index &+= 8
        }
        var rest: UInt64 = 0
        while index < keyLength {
            rest = rest << 8 | UInt64(key.load(fromByteOffset: index, as: UInt8.self))
            index &+= 1
        }
        state = SetHeader.mix(state ^ rest, 0xe703_7ed1_a0b4_28db ^ UInt64(keyLength))
        return UInt32(truncatingIfNeeded: state ^ (state >> 32))
    }

    @inline(__always) func isAlive(_ index: UInt32, _ now: Timestamp) -> Bool { element(index).pointee.expires > now }

    /// The element that holds `key`, the `*` element aside; `ElementRecord.none` if there is none.
    @inline(__always) func find(_ key: UnsafeRawPointer, _ now: Timestamp) -> UInt32 {
        switch kind {
        case .hash: return findExact(key, hash(key), now)
        case .interval: return findInterval(key, now)
        case .ranges: return findRanges(key, now)
        }
    }

    @inline(__always) func findExact(_ key: UnsafeRawPointer, _ hash: UInt32, _ now: Timestamp) -> UInt32 {
        var index = buckets[Int(hash & bucketMask)]
        while index != ElementRecord.none {
            let element = element(index)
            if element.pointee.hash == hash, UnsafeRawPointer(self.key(index)).equals(key, keyLength), isAlive(index, now) { return index }
            index = element.pointee.next
        }
        return ElementRecord.none
    }

    private func findInterval(_ key: UnsafeRawPointer, _ now: Timestamp) -> UInt32 {
        let (high, low) = SetHeader.wide(key, keyLength)
        var lower = 0, upper = boundCount
        // The last interval that begins at or before the key.
        while lower < upper {
            let middle = (lower &+ upper) >> 1
            let bound = bounds[middle]
            if bound.firstHigh < high || (bound.firstHigh == high && bound.firstLow <= low) { lower = middle &+ 1 } else { upper = middle }
        }
        guard lower > 0 else { return ElementRecord.none }
        let bound = bounds[lower &- 1]
        guard high < bound.lastHigh || (high == bound.lastHigh && low <= bound.lastLow), isAlive(bound.element, now) else { return ElementRecord.none }
        return bound.element
    }

    /// A key of up to 16 bytes as a number.
    @inline(__always) static func wide(_ key: UnsafeRawPointer, _ length: Int) -> (UInt64, UInt64) {
        let bytes = UnsafeMutableRawPointer(mutating: key)
        return length <= 8 ? (0, bytes.number(0, length)) : (bytes.number(0, length &- 8), bytes.number(length &- 8, 8))
    }

    /// Takes a free element, or none if the set is full. The caller fills it and puts it into the index.
    mutating func take(_ now: Timestamp) -> UInt32 {
        if now &- lastCollection >= collectionInterval, hasTimeout || isDynamic {
            lastCollection &+= (now &- lastCollection) / collectionInterval &* collectionInterval
            collect()
        }
        guard count < capacity else { return ElementRecord.none }
        let index: UInt32
        if free != ElementRecord.none {
            index = free
            free = element(index).pointee.next
        } else {
            index = fresh
            fresh &+= 1
        }
        count &+= 1
        let tenant = ElementRecord.Flag.tenant(element(index).pointee.flags) &+ ElementRecord.Flag.nextTenant
        element(index).pointee = ElementRecord()
        element(index).pointee.flags = ElementRecord.Flag.inUse | tenant
        element(index).pointee.state = index
        return index
    }

    /// Puts an element whose key is in place into the hash index.
    mutating func link(_ index: UInt32) {
        let hash = hash(key(index))
        let bucket = Int(hash & bucketMask)
        element(index).pointee.hash = hash
        element(index).pointee.next = buckets[bucket]
        buckets[bucket] = index
    }

    /// Takes an element of a hashed set, or of one with ranges, out of the index and frees it.
    mutating func remove(_ index: UInt32) {
        if kind == .ranges {
            removeRanges(index)
            return release(index)
        }
        let bucket = Int(element(index).pointee.hash & bucketMask)
        var previous = ElementRecord.none
        var current = buckets[bucket]
        while current != ElementRecord.none, current != index {
            previous = current
            current = element(current).pointee.next
        }
        guard current == index else { return }
        if previous == ElementRecord.none { buckets[bucket] = element(index).pointee.next } else { element(previous).pointee.next = element(index).pointee.next }
        release(index)
    }

    /// Takes an element away as a rule does: it is found no more, and counts until the collector comes by.
    mutating func kill(_ index: UInt32, _ now: Timestamp) {
        guard hasTimeout || isDynamic else { return remove(index) }
        element(index).pointee.expires = now
    }

    private mutating func release(_ index: UInt32) {
        element(index).pointee.flags = ElementRecord.Flag.tenant(element(index).pointee.flags)
        element(index).pointee.next = free
        free = index
        count &-= 1
    }

    /// Frees what had expired or been deleted when the collector last ran.
    private mutating func collect() {
        guard kind != .interval else { return }
        var index: UInt32 = 0
        while index < fresh {
            let element = element(index).pointee
            if element.flags & ElementRecord.Flag.inUse != 0, element.expires <= lastCollection, index != catchAll { remove(index) }
            index &+= 1
        }
    }
}
