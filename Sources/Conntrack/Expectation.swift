// Connections that a helper has read about in another one's payload, and that are let in as related
// (nf_conntrack_expect.c).
//
// A new expectation is refused when one for the same destination clashes with it, or when the pool is full; the oldest of
// a connection gives way to its newest beyond the helper's limit. They die by their timeout, by use, and with their
// master. An attacker needs a tracked control connection for each, and gets at most the helper's limit out of it.
//
// Invariant: `expectationCount` is the number of records in the buckets; a record's master may have died, which a look at
// its generation tells.
import Wire

@frozen public struct Expectation: Sendable {
    /// Destination address and port, protocol, zone; the source port is open, the source address if `anySource`.
    public var tuple = ConnectionTuple()
    public var anySource = false
    public var master = Connection.none
    public var masterGeneration: UInt32 = 0
    public var deadline: Timestamp = 0
    /// How the connection is translated.
    var translation = ExpectationNAT.none
    /// The address and the port (or call ID) that the announcing end really listens on.
    var savedAddress = IPAddress(ipv4: 0)
    var savedPort: UInt16 = 0
    /// The source port has to be the tuple's as well.
    public internal(set) var checksSourcePort = false
    /// What it is for, as its helper counts: each purpose has a limit of its own.
    var purpose: UInt8 = 0
    /// Stays when a connection has fulfilled it, and gives that one its master's helper.
    var isPermanent = false
    /// Lets nothing in yet.
    var isInactive = false
    /// Direction that the expected connection has, seen from its master's.
    var direction = ConnectionDirection.original
    var order: UInt64 = 0
    var isUsed = false
    var next = Connection.none
}

/// How an expected connection is translated: by its helper's manner.
@frozen public enum ExpectationNAT: UInt8, Sendable {
    case none
    /// As its master is, to the announced port.
    case master
    case pptp, sip
}

/// Fixed pool and buckets of expectations.
struct ExpectationTable: ~Copyable {
    static var capacity: Int { 1024 }
    private static var buckets: Int { 256 }
    private let pool: UnsafeMutablePointer<Expectation>
    private let heads: UnsafeMutablePointer<UInt32>
    private(set) var count = 0
    private var order: UInt64 = 0

    init() {
        pool = .allocate(capacity: ExpectationTable.capacity)
        pool.initialize(repeating: Expectation(), count: ExpectationTable.capacity)
        heads = .allocate(capacity: ExpectationTable.buckets)
        heads.initialize(repeating: Connection.none, count: ExpectationTable.buckets)
    }
    deinit {
        pool.deallocate()
        heads.deallocate()
    }

    private static func bucket(_ tuple: ConnectionTuple, _ hash: SeededHash) -> Int {
        let rest = UInt64(tuple.destinationPort) << 32 | UInt64(tuple.transportProtocol) << 8 | UInt64(tuple.family.rawValue)
        return Int(hash(tuple.destinationHigh, tuple.destinationLow, rest, 0, 2)) & (buckets - 1)
    }

    private static func matches(_ expectation: Expectation, _ tuple: ConnectionTuple) -> Bool {
        let expected = expectation.tuple
        return expected.destinationHigh == tuple.destinationHigh && expected.destinationLow == tuple.destinationLow && expected.destinationPort == tuple.destinationPort
            && expected.transportProtocol == tuple.transportProtocol && expected.family == tuple.family && expected.zone == tuple.zone
            && (!expectation.checksSourcePort || expected.sourcePort == tuple.sourcePort)
            && (expectation.anySource || (expected.sourceHigh == tuple.sourceHigh && expected.sourceLow == tuple.sourceLow))
    }

    /// The expectation that a new connection's tuple fulfils, taken out of the table.
    mutating func take(_ tuple: ConnectionTuple, _ hash: SeededHash, now: Timestamp) -> Expectation? {
        let bucket = ExpectationTable.bucket(tuple, hash)
        var current = heads[bucket]
        while current != Connection.none {
            let expectation = pool[Int(current)]
            if expectation.deadline > now, !expectation.isInactive, ExpectationTable.matches(expectation, tuple) {
                if !expectation.isPermanent { remove(current, bucket) }
                return expectation
            }
            current = expectation.next
        }
        return nil
    }

    /// The expectation that this tuple would fulfil, active or not.
    func find(_ tuple: ConnectionTuple, _ hash: SeededHash, now: Timestamp) -> Expectation? {
        var current = heads[ExpectationTable.bucket(tuple, hash)]
        while current != Connection.none {
            let expectation = pool[Int(current)]
            if expectation.deadline > now, ExpectationTable.matches(expectation, tuple) { return expectation }
            current = expectation.next
        }
        return nil
    }

    /// Takes out the one that this tuple would fulfil, if there is one.
    mutating func remove(for tuple: ConnectionTuple, _ hash: SeededHash) {
        let bucket = ExpectationTable.bucket(tuple, hash)
        var current = heads[bucket]
        while current != Connection.none {
            if ExpectationTable.matches(pool[Int(current)], tuple) { return remove(current, bucket) }
            current = pool[Int(current)].next
        }
    }

    /// Takes out one that equals `other` in destination and master, if there is one.
    mutating func remove(like other: Expectation, _ hash: SeededHash) {
        let bucket = ExpectationTable.bucket(other.tuple, hash)
        var current = heads[bucket]
        while current != Connection.none {
            let expectation = pool[Int(current)]
            if expectation.master == other.master, ExpectationTable.matches(expectation, other.tuple) { return remove(current, bucket) }
            current = expectation.next
        }
    }

    /// Takes out a master's expectations of which `isWanted` says so; only the first if `once`.
    mutating func removeAll(of master: UInt32, _ hash: SeededHash, once: Bool = false, where isWanted: (Expectation) -> Bool) {
        guard count != 0 else { return }
        for slot in 0..<ExpectationTable.capacity where pool[slot].isUsed && pool[slot].master == master && isWanted(pool[slot]) {
            remove(UInt32(slot), ExpectationTable.bucket(pool[slot].tuple, hash))
            if once { return }
        }
    }

    /// Changes the first of a master's expectations of which `isWanted` says so.
    mutating func update(of master: UInt32, where isWanted: (Expectation) -> Bool, _ change: (inout Expectation) -> Void) -> Bool {
        for slot in 0..<ExpectationTable.capacity where pool[slot].isUsed && pool[slot].master == master && isWanted(pool[slot]) {
            change(&pool[slot])
            return true
        }
        return false
    }

    /// Every expectation that still holds, in no order.
    func forEach(now: Timestamp, _ body: (Expectation) -> Void) {
        guard count != 0 else { return }
        for slot in 0..<ExpectationTable.capacity where pool[slot].isUsed && pool[slot].deadline > now { body(pool[slot]) }
    }

    /// The first of a master's expectations of which `isWanted` says so.
    func first(of master: UInt32, where isWanted: (Expectation) -> Bool) -> Expectation? {
        for slot in 0..<ExpectationTable.capacity where pool[slot].isUsed && pool[slot].master == master && isWanted(pool[slot]) { return pool[slot] }
        return nil
    }

    /// `known`: the same is expected already, for another purpose or by another master.
    enum Refusal { case clash, full, known }

    /// Adds an expectation; one of the same master for the same destination is renewed.
    /// - Parameters:
    ///   - limit: of its master; 0 for none.
    ///   - ofAnyMaster: the same expectation of another master is `known`, instead of a clash.
    mutating func add(_ new: Expectation, _ hash: SeededHash, limit: Int, ofAnyMaster: Bool, now: Timestamp) -> Refusal? {
        sweep(hash, now: now)
        let bucket = ExpectationTable.bucket(new.tuple, hash)
        var current = heads[bucket]
        while current != Connection.none {
            let other = pool[Int(current)]
            let following = other.next
            let overlaps = other.anySource || new.anySource || (other.tuple.sourceHigh == new.tuple.sourceHigh && other.tuple.sourceLow == new.tuple.sourceLow)
            var aligned = other
            aligned.anySource = true
            aligned.checksSourcePort = other.checksSourcePort && new.checksSourcePort
            if overlaps && ExpectationTable.matches(aligned, new.tuple) {
                let isOwn = other.master == new.master && other.masterGeneration == new.masterGeneration
                guard isOwn || ofAnyMaster, other.anySource == new.anySource, other.tuple == new.tuple else { return .clash }
                guard isOwn, other.purpose == new.purpose else { return .known }
                remove(current, bucket)
                break
            }
            current = following
        }
        if limit != 0 { removeOldest(of: new, beyond: limit, hash) }
        guard count < ExpectationTable.capacity, let slot = (0..<ExpectationTable.capacity).first(where: { !pool[$0].isUsed }) else { return .full }
        order &+= 1
        pool[slot] = new
        pool[slot].order = order
        pool[slot].isUsed = true
        pool[slot].next = heads[bucket]
        heads[bucket] = UInt32(slot)
        count += 1
        return nil
    }

    private mutating func removeOldest(of new: Expectation, beyond limit: Int, _ hash: SeededHash) {
        var found = 0
        var oldest = -1
        for slot in 0..<ExpectationTable.capacity where pool[slot].isUsed && pool[slot].master == new.master && pool[slot].masterGeneration == new.masterGeneration && pool[slot].purpose == new.purpose {
            found += 1
            if oldest < 0 || pool[slot].order < pool[oldest].order { oldest = slot }
        }
        if found >= limit { remove(UInt32(oldest), ExpectationTable.bucket(pool[oldest].tuple, hash)) }
    }

    private mutating func sweep(_ hash: SeededHash, now: Timestamp) {
        guard count != 0 else { return }
        for slot in 0..<ExpectationTable.capacity where pool[slot].isUsed && pool[slot].deadline <= now {
            remove(UInt32(slot), ExpectationTable.bucket(pool[slot].tuple, hash))
        }
    }

    mutating func removeAll(of master: UInt32, _ hash: SeededHash) {
        guard count != 0 else { return }
        for slot in 0..<ExpectationTable.capacity where pool[slot].isUsed && pool[slot].master == master {
            remove(UInt32(slot), ExpectationTable.bucket(pool[slot].tuple, hash))
        }
    }

    private mutating func remove(_ slot: UInt32, _ bucket: Int) {
        if heads[bucket] == slot {
            heads[bucket] = pool[Int(slot)].next
        } else {
            var current = heads[bucket]
            while current != Connection.none && pool[Int(current)].next != slot { current = pool[Int(current)].next }
            if current != Connection.none { pool[Int(current)].next = pool[Int(slot)].next }
        }
        pool[Int(slot)].isUsed = false
        count -= 1
    }
}

extension ConnectionTracker {
    /// Every expectation that still holds, in no order. For the control plane and tests: linear in the table's size.
    public func forEachExpectation(now: Timestamp, _ body: (Expectation) -> Void) { expectations.forEach(now: now, body) }
}
