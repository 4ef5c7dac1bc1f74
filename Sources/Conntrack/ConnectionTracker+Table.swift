// The hash table of tuples: chains of links, one a direction, beside the records.
//
// Invariant: a node is `index << 1 | direction`; a chain holds each node once. A link holds its whole hash, so that a walk
// looks at a record only where it has found what it looks for: links lie ten times closer together than records. An
// expired connection that is found is given up, so that a lookup never sees one.
import Wire

/// A place in a chain: the next node of it, and the hash that put it there.
struct ConnectionLink {
    var next: UInt32
    var hash: UInt32
}

/// A connection's places in the table of tuples, by direction, and in that of sources.
struct ConnectionLinks {
    var original = ConnectionLink(next: Connection.none, hash: 0)
    var reply = ConnectionLink(next: Connection.none, hash: 0)
    var source = ConnectionLink(next: Connection.none, hash: 0)
}

extension ConnectionTracker {
    /// Longest chain in which Linux still inserts (MIN_CHAINLEN plus the mean of its random part).
    static var maximumChain: Int { 80 }

    @inline(__always)
    func link(_ node: UInt32) -> UnsafeMutablePointer<ConnectionLink> {
        UnsafeMutableRawPointer(links + Int(node >> 1)).assumingMemoryBound(to: ConnectionLink.self) + Int(node & 1)
    }

    /// The node that holds this tuple, `Connection.none` if there is none.
    mutating func find(_ tuple: ConnectionTuple, now: Timestamp) -> UInt32 { find(tuple, hash: hash.tuple(tuple), now: now) }

    /// - Parameter directions: of the entries that count, bit 0 original, bit 1 reply.
    mutating func find(_ tuple: ConnectionTuple, hash: UInt32, directions: UInt8 = 3, now: Timestamp) -> UInt32 {
        let bucket = Int(hash & bucketMask)
        var node = table[bucket]
        while node != Connection.none {
            let link = link(node)
            guard link.pointee.hash == hash else {
                node = link.pointee.next
                continue
            }
            let connection = pool + Int(node >> 1)
            if connection.pointee.deadline <= now, !livesElsewhere(node >> 1, now: now) {
                statistics.expired &+= 1
                retire(node >> 1)
                // The chain has changed, perhaps by two nodes: start again. Each pass takes at least one away.
                node = table[bucket]
                continue
            }
            if node & 1 == 0 ? connection.pointee.original == tuple : connection.pointee.reply == tuple, directions >> UInt8(node & 1) & 1 != 0 { return node }
            node = link.pointee.next
        }
        return Connection.none
    }

    /// Whether packets that passed by the slow path and were not noted yet keep a connection alive beyond its deadline, which then
    /// moves.
    @inline(never)
    private mutating func livesElsewhere(_ index: UInt32, now: Timestamp) -> Bool {
        guard let lastUse, !pool[Int(index)].status.contains(.dying) else { return false }
        let connection = pool + Int(index)
        let lastSeen = lastUse.function(lastUse.userData, index, now)
        guard lastSeen > connection.pointee.lastSeen else { return false }
        noteSeen(connection, lastSeen)
        return connection.pointee.deadline > now
    }

    /// As a packet of this zone finds it: under the zone of either direction, in the direction that the zone is for.
    /// - Parameter hash: of the tuple under the zone of the original direction.
    mutating func find(_ tuple: ConnectionTuple, hash: UInt32, zone: ConnectionZone, now: Timestamp) -> UInt32 {
        var key = tuple
        key.zone = zone.identifier(of: .original)
        let node = findEqual(key, hash: hash, zone: zone, now: now)
        guard node == Connection.none, zone.identifier(of: .reply) != key.zone else { return node }
        key.zone = zone.identifier(of: .reply)
        return findEqual(key, hash: self.hash.tuple(key), zone: zone, now: now)
    }

    /// An entry of this tuple, its zone included, that a connection of `zone` cannot stand beside: where directions have zones of their own,
    /// an entry counts only if the zone of its direction is the one that `zone` has in that direction (nf_ct_key_equal).
    mutating func findEqual(_ tuple: ConnectionTuple, hash: UInt32, zone: ConnectionZone, now: Timestamp) -> UInt32 {
        var directions: UInt8 = tuple.zone == zone.identifier(of: .original) ? 1 : 0
        if tuple.zone == zone.identifier(of: .reply) { directions |= 2 }
        return find(tuple, hash: hash, directions: directions, now: now)
    }

    mutating func find(_ tuple: ConnectionTuple, zone: ConnectionZone, now: Timestamp) -> UInt32 {
        var key = tuple
        key.zone = zone.identifier(of: .original)
        return find(key, hash: hash.tuple(key), zone: zone, now: now)
    }

    private mutating func chainLength(_ hash: UInt32) -> Int {
        var length = 0
        var node = table[Int(hash & bucketMask)]
        while node != Connection.none && length <= ConnectionTracker.maximumChain {
            length &+= 1
            node = link(node).pointee.next
        }
        return length
    }

    /// Puts a connection into the table under the hashes in its links; false if a chain is too long.
    mutating func insert(_ index: UInt32, replyOnly: Bool) -> Bool {
        let own = links + Int(index)
        guard chainLength(own.pointee.original.hash) <= ConnectionTracker.maximumChain,
            chainLength(own.pointee.reply.hash) <= ConnectionTracker.maximumChain
        else {
            statistics.chainTooLong &+= 1
            return false
        }
        if !replyOnly {
            let head = table + Int(own.pointee.original.hash & bucketMask)
            own.pointee.original.next = head.pointee
            head.pointee = index << 1
        }
        let head = table + Int(own.pointee.reply.hash & bucketMask)
        own.pointee.reply.next = head.pointee
        head.pointee = index << 1 | 1
        return true
    }

    private mutating func unlink(_ node: UInt32) {
        let own = link(node)
        let head = table + Int(own.pointee.hash & bucketMask)
        var current = head.pointee
        if current == node {
            head.pointee = own.pointee.next
            return
        }
        while current != Connection.none {
            let before = link(current)
            if before.pointee.next == node {
                before.pointee.next = own.pointee.next
                return
            }
            current = before.pointee.next
        }
    }

    // MARK: - Slots

    /// A fresh unconfirmed connection, counted; nil if no slot is free.
    mutating func allocate(now: Timestamp) -> UInt32? {
        let index: UInt32
        if freeHead != Connection.none {
            index = freeHead
            freeHead = links[Int(index)].original.next
        } else if touched < slots {
            index = UInt32(touched)
            (pool + touched).initialize(to: Connection())
            (links + touched).initialize(to: ConnectionLinks())
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
        if connection.pointee.window.isOffered, connection.pointee.transportProtocol != IPProtocol.sctp { held.hold(index, connection.pointee, hash: hash.tuple(connection.pointee.reply)) }
        unlink(index << 1)
        unlink(index << 1 | 1)
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
        links[Int(index)].original.next = freeHead
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

    /// Dead connections that the caller has not heard of, and which `takeRetired` will give as the `place`th.
    @inline(__always) public var unannounced: Int { Int(retired &- announced) }
    @inline(__always) public func unannounced(_ place: Int) -> UInt32 { limbo[Int((announced &+ UInt64(place)) % UInt64(slots))] }

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
