// The hash table of tuples: chains through the records themselves, one link a direction.
//
// Invariant: a node is `index << 1 | direction`; a chain holds each node once. Expired connections met on the way are
// given up, as in Linux, so that a lookup never sees one.
import Wire

extension ConnectionTracker {
    /// Longest chain in which Linux still inserts (MIN_CHAINLEN plus the mean of its random part).
    static var maximumChain: Int { 80 }

    @inline(__always)
    func next(of node: UInt32) -> UInt32 {
        let connection = pool + Int(node >> 1)
        return node & 1 == 0 ? connection.pointee.nextOriginal : connection.pointee.nextReply
    }

    @inline(__always)
    func setNext(of node: UInt32, _ next: UInt32) {
        let connection = pool + Int(node >> 1)
        if node & 1 == 0 { connection.pointee.nextOriginal = next } else { connection.pointee.nextReply = next }
    }

    /// The node that holds this tuple, `Connection.none` if there is none.
    mutating func find(_ tuple: ConnectionTuple, now: Timestamp) -> UInt32 { find(tuple, hash: hash.tuple(tuple), now: now) }

    mutating func find(_ tuple: ConnectionTuple, hash: UInt32, now: Timestamp) -> UInt32 {
        let bucket = Int(hash & bucketMask)
        var node = table[bucket]
        while node != Connection.none {
            let connection = pool + Int(node >> 1)
            if connection.pointee.deadline <= now {
                statistics.expired &+= 1
                retire(node >> 1)
                // The chain has changed, perhaps by two nodes: start again. Each pass takes at least one away.
                node = table[bucket]
                continue
            }
            let isOriginal = node & 1 == 0
            if (isOriginal ? connection.pointee.hashOriginal : connection.pointee.hashReply) == hash,
                (isOriginal ? connection.pointee.original : connection.pointee.reply) == tuple
            {
                return node
            }
            node = isOriginal ? connection.pointee.nextOriginal : connection.pointee.nextReply
        }
        return Connection.none
    }

    /// As a packet of this zone finds it: under the zone of either direction, in the direction that the zone is for.
    mutating func find(_ tuple: ConnectionTuple, zone: ConnectionZone, now: Timestamp) -> UInt32 {
        var key = tuple
        key.zone = zone.identifier(of: .original)
        if zone.identifier(of: .reply) == key.zone { return find(key, now: now) }
        let node = find(key, now: now)
        if node != Connection.none && node & 1 == 0 { return node }
        key.zone = zone.identifier(of: .reply)
        let other = find(key, now: now)
        return other != Connection.none && other & 1 == 1 ? other : Connection.none
    }

    private mutating func chainLength(_ hash: UInt32) -> Int {
        var length = 0
        var node = table[Int(hash & bucketMask)]
        while node != Connection.none && length <= ConnectionTracker.maximumChain {
            length &+= 1
            node = next(of: node)
        }
        return length
    }

    /// Puts a connection into the table under the hashes in its record; false if a chain is too long.
    mutating func insert(_ index: UInt32, replyOnly: Bool) -> Bool {
        let connection = pool + Int(index)
        guard chainLength(connection.pointee.hashOriginal) <= ConnectionTracker.maximumChain,
            chainLength(connection.pointee.hashReply) <= ConnectionTracker.maximumChain
        else {
            statistics.chainTooLong &+= 1
            return false
        }
        if !replyOnly {
            let head = table + Int(connection.pointee.hashOriginal & bucketMask)
            connection.pointee.nextOriginal = head.pointee
            head.pointee = index << 1
        }
        let head = table + Int(connection.pointee.hashReply & bucketMask)
        connection.pointee.nextReply = head.pointee
        head.pointee = index << 1 | 1
        return true
    }

    private mutating func unlink(_ node: UInt32, hash: UInt32) {
        let head = table + Int(hash & bucketMask)
        var current = head.pointee
        if current == node {
            head.pointee = next(of: node)
            return
        }
        while current != Connection.none {
            let following = next(of: current)
            if following == node {
                setNext(of: current, next(of: node))
                return
            }
            current = following
        }
    }

    // MARK: - Slots

    /// A fresh unconfirmed connection, counted; nil if no slot is free.
    mutating func allocate(now: Timestamp) -> UInt32? {
        let index: UInt32
        if freeHead != Connection.none {
            index = freeHead
            freeHead = pool[Int(index)].nextOriginal
        } else if touched < slots {
            index = UInt32(touched)
            (pool + touched).initialize(to: Connection())
            touched += 1
        } else {
            return nil
        }
        let generation = pool[Int(index)].generation &+ 1
        pool[Int(index)] = Connection()
        pool[Int(index)].generation = generation
        pool[Int(index)].start = now
        count += 1
        requestFree()
        return index
    }

    /// Gives up a confirmed connection: out of the table, into limbo. Its record stays readable until `reclaim`.
    mutating func retire(_ index: UInt32) {
        let connection = pool + Int(index)
        guard connection.pointee.isConfirmed, !connection.pointee.status.contains(.dying) else { return }
        connection.pointee.status.insert(.dying)
        unlink(index << 1, hash: connection.pointee.hashOriginal)
        unlink(index << 1 | 1, hash: connection.pointee.hashReply)
        unlinkBySource(index)
        releaseHelper(index)
        limbo[Int(retired % UInt64(slots))] = index
        retired &+= 1
        count -= 1
        statistics.deleted &+= 1
    }

    /// Gives up an unconfirmed connection; its slot is free at once, since no worker can know it.
    mutating func discard(_ index: UInt32) {
        let connection = pool + Int(index)
        guard !connection.pointee.isConfirmed, !connection.pointee.status.contains(.dying) else { return }
        connection.pointee.status.insert(.dying)
        unlinkBySource(index)
        releaseHelper(index)
        count -= 1
        freeHelperState(index)
        pushFree(index)
    }

    mutating func pushFree(_ index: UInt32) {
        pool[Int(index)].nextOriginal = freeHead
        freeHead = index
    }

    // MARK: - Limbo

    /// The next dead connection that the caller has not heard of, nil when there is none: the caller takes its entries
    /// out of the flow cache. Its record is still as it was.
    public mutating func takeRetired() -> UInt32? {
        guard announced < retired else { return nil }
        defer { announced &+= 1 }
        return limbo[Int(announced % UInt64(slots))]
    }

    /// A mark for `reclaim`: everything announced so far.
    public var limboMark: UInt64 { announced }

    /// Frees the slots of connections that were announced before `mark` was read: to be called once every worker has
    /// been quiescent since.
    public mutating func reclaim(upTo mark: UInt64) {
        let end = min(mark, announced)
        while reclaimed < end {
            let index = limbo[Int(reclaimed % UInt64(slots))]
            freeHelperState(index)
            pushFree(index)
            reclaimed &+= 1
        }
    }
}
