// A connection enters the table when its first packet is about to leave (nf_conntrack_confirm).
//
// Invariant: no two entries of the table are equal that a packet could take for each other (`findEqual`). A clash, which only NAT with exhausted ranges brings about while
// there is one writer, drops the packet, or for UDP and GRE is resolved as in Linux.
import Wire

extension ConnectionTracker {
    /// Last in postrouting and input: makes the packet's connection known. Nothing happens for a packet without a
    /// connection, of a confirmed one, or in reply direction.
    /// - Parameter tracking: may name another connection afterwards, if a clash was resolved in its favour.
    /// - Returns: a reason to drop the packet; the connection is given up then.
    public mutating func confirm(_ tracking: inout Tracking, now: Timestamp) -> DropReason {
        guard tracking.hasConnection, !tracking.isReply else { return .none }
        let index = tracking.connection
        let connection = pool + Int(index)
        guard !connection.pointee.isConfirmed else { return .none }
        guard !connection.pointee.status.contains(.dying) else { return .connectionInsertRace }

        let own = links + Int(index)
        own.pointee.reply.hash = hash.tuple(connection.pointee.reply)
        let lifetime = connection.pointee.deadline
        let zone = connection.pointee.zone
        var clash = findEqual(connection.pointee.original, hash: own.pointee.original.hash, zone: zone, now: now)
        if clash == Connection.none { clash = findEqual(connection.pointee.reply, hash: own.pointee.reply.hash, zone: zone, now: now) }
        if clash != Connection.none { return resolve(clash, &tracking, now: now) }
        if connection.pointee.isTranslated, isHeld(connection.pointee.reply, connection) { return giveUp(&tracking) }
        guard insert(index, replyOnly: false) else {
            statistics.insertFailed &+= 1
            release(tracking)
            tracking.connection = Connection.none
            return .connectionTableFull
        }
        connection.pointee.deadline = now &+ lifetime
        connection.pointee.start = now
        connection.pointee.status.insert(.confirmed)
        statistics.inserted &+= 1
        return .none
    }

    /// Gives up the unconfirmed connection of a packet that ends before `confirm` (dropped, or handed to the host without
    /// input hooks). Harmless for any other packet.
    public mutating func release(_ tracking: Tracking) {
        guard tracking.hasConnection, pool[Int(tracking.connection)].generation == tracking.generation else { return }
        discard(tracking.connection)
    }

    private static func allowsClash(_ transportProtocol: UInt8) -> Bool {
        transportProtocol == IPProtocol.udp || transportProtocol == IPProtocol.udplite || transportProtocol == IPProtocol.gre
    }

    private mutating func resolve(_ clash: UInt32, _ tracking: inout Tracking, now: Timestamp) -> DropReason {
        let loser = tracking.connection
        let connection = pool + Int(loser)
        if ConnectionTracker.allowsClash(connection.pointee.transportProtocol) {
            if merge(loser, into: clash >> 1, &tracking) { return .none }
            let other = findEqual(connection.pointee.reply, hash: links[Int(loser)].reply.hash, zone: connection.pointee.zone, now: now)
            if other == Connection.none {
                // Only the answers will find it, for a second.
                if insert(loser, replyOnly: true) {
                    connection.pointee.deadline = now &+ 1_000_000_000
                    connection.pointee.start = now
                    connection.pointee.status.formUnion([.fixedTimeout, .natClash, .confirmed])
                    return .none
                }
            } else if merge(loser, into: other >> 1, &tracking) {
                return .none
            }
        }
        return giveUp(&tracking)
    }

    /// Drops the packet of a connection whose tuples are another's.
    private mutating func giveUp(_ tracking: inout Tracking) -> DropReason {
        let loser = tracking.connection
        let connection = pool + Int(loser)
        statistics.insertFailed &+= 1
        statistics.dropped &+= 1
        let isTranslated = connection.pointee.isTranslated
        if isTranslated { statistics.natExhausted &+= 1 }
        discard(loser)
        tracking.connection = Connection.none
        return isTranslated ? .natExhausted : .natClash
    }

    /// The packet joins the connection that was there first, if that one is the same altogether.
    private mutating func merge(_ loser: UInt32, into winner: UInt32, _ tracking: inout Tracking) -> Bool {
        let lost = pool[Int(loser)]
        let won = pool + Int(winner)
        guard won.pointee.original == lost.original, won.pointee.reply == lost.reply else { return false }
        won.pointee.originalPackets &+= lost.originalPackets
        won.pointee.originalBytes &+= lost.originalBytes
        discard(loser)
        tracking.connection = winner
        tracking.generation = won.pointee.generation
        return true
    }
}
