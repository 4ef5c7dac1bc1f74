// Which counters a cached flow's packets count for: lists of the ruleset's counter numbers, shared by all flows that
// took the same way through it.
//
// Invariant: a list lives as long as a flow refers to it. When is a new list refused? When all are in use: then the
// flow is not cached (its packets keep counting in the slow path). Can an attacker make this blow up? The number of
// lists is fixed; lists differ only by the way through the ruleset and by the set elements that count on it.

struct CreditLists: ~Copyable {
    /// Most counters on one flow's way; a longer way keeps its flow in the slow path.
    static var maximumLength: Int { 28 }

    private struct List {
        var hash: UInt64 = 0
        var references: UInt32 = 0
        var length: UInt32 = 0
        var next: Int32 = -1
    }

    private let capacity: Int
    private let mask: Int
    private let lists: UnsafeMutablePointer<List>
    private let counters: UnsafeMutablePointer<UInt32>
    private let buckets: UnsafeMutablePointer<Int32>
    private var free: Int32
    private(set) var used = 0

    init(capacity: Int) {
        self.capacity = capacity
        var size = 1
        while size < capacity * 2 { size *= 2 }
        mask = size - 1
        lists = .allocate(capacity: capacity)
        counters = .allocate(capacity: capacity * Self.maximumLength)
        buckets = .allocate(capacity: size)
        buckets.initialize(repeating: -1, count: size)
        for index in 0 ..< capacity {
            (lists + index).initialize(to: List(next: index + 1 < capacity ? Int32(index + 1) : -1))
        }
        free = 0
    }

    deinit {
        lists.deallocate()
        counters.deallocate()
        buckets.deallocate()
    }

    subscript(index: UInt32) -> UnsafeBufferPointer<UInt32> {
        UnsafeBufferPointer(start: counters + Int(index) * Self.maximumLength, count: Int(lists[Int(index)].length))
    }

    /// The list with these counters, made if there is none, with one more reference; nil if it is too long or none is free.
    mutating func intern(_ ids: UnsafeBufferPointer<UInt32>) -> UInt32? {
        guard ids.count <= Self.maximumLength else { return nil }
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325 ^ UInt64(ids.count)
        for id in ids { hash = (hash ^ UInt64(id)) &* 0x9e37_79b9_7f4a_7c15; hash ^= hash >> 29 }
        let bucket = Int(truncatingIfNeeded: hash) & mask
        var at = buckets[bucket]
        while at >= 0 {
            if lists[Int(at)].hash == hash, self[UInt32(at)].elementsEqual(ids) {
                lists[Int(at)].references += 1
                return UInt32(at)
            }
            at = lists[Int(at)].next
        }
        guard free >= 0 else { return nil }
        let index = Int(free)
        free = lists[index].next
        lists[index] = List(hash: hash, references: 1, length: UInt32(ids.count), next: buckets[bucket])
        buckets[bucket] = Int32(index)
        for (place, id) in ids.enumerated() { counters[index * Self.maximumLength + place] = id }
        used += 1
        return UInt32(index)
    }

    /// Takes one more reference.
    mutating func retain(_ index: UInt32) { lists[Int(index)].references += 1 }

    /// Gives one reference back.
    mutating func release(_ index: UInt32) {
        let index = Int(index)
        lists[index].references -= 1
        guard lists[index].references == 0 else { return }
        let bucket = Int(truncatingIfNeeded: lists[index].hash) & mask
        if buckets[bucket] == Int32(index) {
            buckets[bucket] = lists[index].next
        } else {
            var before = Int(buckets[bucket])
            while lists[before].next != Int32(index) { before = Int(lists[before].next) }
            lists[before].next = lists[index].next
        }
        lists[index].next = free
        free = Int32(index)
        used -= 1
    }
}
