// The slow path's side of hardware offload: which flows are worth it, what is out there, what has to come back.
//
// Invariant: between an offer and its `refused` or `removed`, the flow's credit lists stay referenced and the connection
// is not offered again, so that a late credit always finds the counters that it is for. What the offers are made of
// and who carries them out is not known here (Offload, one floor up).
import Conntrack
import FlowCache
import Routing
import Wire

/// What is known of a connection's offer.
struct OfferedFlow {
    /// The original direction's entry when it was offered; names the offer.
    var handle = FlowHandle.none
    var originalCredits: UInt32 = 0
    var replyCredits: UInt32 = 0
    var connectionGeneration: UInt32 = 0
    /// The ruleset whose counters the lists name.
    var rulesetGeneration: UInt32 = 0
    var isOut = false
    var isInstalled = false
    var retryAt: Timestamp = 0
}

/// Both directions of a flow, for the NIC.
public struct FlowPair: Sendable {
    public var original: FlowDescription
    public var reply: FlowDescription
    public var originalHandle: FlowHandle
    public var replyHandle: FlowHandle
    /// Measured in software, both directions; 0: not known.
    public var packetsPerSecond: UInt32
    /// As the directions' packets arrive; 0: not known.
    public var originalTimeToLive: UInt8
    public var replyTimeToLive: UInt8
}

extension SlowPath {
    /// Most flows that a round of sweeping reports as busy, and most withdrawals waiting to be passed on.
    static var offloadQueueCapacity: Int { 1024 }

    /// The next flow to offer, as it is cached now; nil when there is none left. Answer with `offerTaken`.
    public mutating func nextBusyFlow(now: Timestamp) -> FlowPair? {
        while busyCount > 0 {
            busyCount -= 1
            let connection = busy[busyCount]
            guard !offered[Int(connection)].isOut, tracker.pointee.connection(connection).pointee.status.contains(.assured),
                  let original = flows.pointee.inspect(handles[Int(connection) * 2], now: now), original.connection == connection, !original.isStale,
                  let reply = flows.pointee.inspect(handles[Int(connection) * 2 + 1], now: now), reply.connection == connection, !reply.isStale else { continue }
            let measure = measures[Int(connection)]
            return FlowPair(
                original: original.description, reply: reply.description, originalHandle: original.handle, replyHandle: reply.handle,
                packetsPerSecond: measure.packetsPerSecond, originalTimeToLive: measure.originalTimeToLive, replyTimeToLive: measure.replyTimeToLive)
        }
        return nil
    }

    /// The pair was handed over: it is out until `offloadEnded`.
    public mutating func offerTaken(_ pair: FlowPair) {
        let connection = pair.original.connection
        tracker.pointee.noteOffered(connection)
        credits.retain(pair.original.creditList)
        credits.retain(pair.reply.creditList)
        offered[Int(connection)] = OfferedFlow(
            handle: pair.originalHandle, originalCredits: pair.original.creditList, replyCredits: pair.reply.creditList,
            connectionGeneration: tracker.pointee.connection(connection).pointee.generation, rulesetGeneration: rulesetGeneration, isOut: true)
    }

    private func isOffered(_ connection: UInt32, _ handle: FlowHandle) -> Bool {
        Int(connection) < tracker.pointee.slots && offered[Int(connection)].isOut && offered[Int(connection)].handle == handle
    }

    private func isSameConnection(_ connection: UInt32) -> Bool {
        tracker.pointee.connection(connection).pointee.generation == offered[Int(connection)].connectionGeneration
    }

    /// The NIC forwards the flow from here on.
    public mutating func offloadInstalled(_ connection: UInt32, _ handle: FlowHandle) {
        guard isOffered(connection, handle) else { return }
        offered[Int(connection)].isInstalled = true
        guard isSameConnection(connection) else { return }
        tracker.pointee.noteOffloaded(connection, hardware: true)
    }

    /// No rule exists any more, or none came to be; `retryAt` is when a new offer makes sense.
    public mutating func offloadEnded(_ connection: UInt32, _ handle: FlowHandle, retryAt: Timestamp) {
        guard isOffered(connection, handle) else { return }
        let record = offered[Int(connection)]
        if record.isInstalled, isSameConnection(connection) { tracker.pointee.noteOffloadEnded(connection) }
        tracker.pointee.offerEnded(connection, generation: record.connectionGeneration)
        credits.release(record.originalCredits)
        credits.release(record.replyCredits)
        offered[Int(connection)] = OfferedFlow(retryAt: retryAt)
        // What it does in software from here on.
        measures[Int(connection)].from = 0
        measures[Int(connection)].packets = 0
    }

    /// Packets that the NIC forwarded: to the counters on the flow's way and to its connection.
    public mutating func creditOffloaded(_ connection: UInt32, _ handle: FlowHandle, direction: UInt8, packets: UInt64, bytes: UInt64, lastSeen: Timestamp) {
        guard isOffered(connection, handle), packets > 0 else { return }
        let record = offered[Int(connection)]
        let list = direction == 0 ? record.originalCredits : record.replyCredits
        // What the NIC forwarded between a change of the ruleset and its recall counts for the connection alone.
        if record.rulesetGeneration == rulesetGeneration {
            for counter in credits[list] { ruleset.credit(counter: counter, packets: packets, bytes: bytes) }
        }
        guard isSameConnection(connection) else { return }
        if let entry = flows.pointee.inspect(handles[Int(connection) * 2 + Int(direction)], now: lastSeen) { noteNeighbour(entry, at: lastSeen, now: lastSeen) }
        tracker.pointee.noteActivity(connection, generation: record.connectionGeneration, direction: direction == 0 ? .original : .reply, packets: packets, bytes: bytes, lastSeen: lastSeen)
    }

    /// The connection's entries are going: what is out in the NIC has to come back.
    mutating func noteWithdrawn(_ connection: UInt32) {
        guard settings.offload != nil, offered[Int(connection)].isOut else { return }
        guard withdrawnCount < Self.offloadQueueCapacity else {
            recallsOffers = true
            return
        }
        withdrawn[withdrawnCount] = offered[Int(connection)].handle
        withdrawnCount += 1
    }

    /// What cached flows were published by is no longer so: each takes the slow path again, and the NIC gives back its own,
    /// which send no packet that could.
    public mutating func invalidateFlows() {
        flows.pointee.invalidateAll()
        recallsOffers = true
    }

    /// `ConnectionTracker.dropMasqueraded`, for an interface that has lost an address.
    public mutating func dropMasqueraded(_ address: IPAddress, interface: PortIndex, cursor: inout Int, budget: Int) -> Bool {
        defer { withdrawRetired() }
        return tracker.pointee.dropMasqueraded(address, interface: UInt32(interface) + 1, cursor: &cursor, budget: budget)
    }

    /// Changes what packets are routed by; every cached flow is judged again.
    public mutating func changeRouter<Result>(_ change: (inout Router) throws -> Result) rethrows -> Result {
        defer { invalidateFlows() }
        return try change(&router)
    }

    /// Whether every offer is to be called back; true once for each reason.
    public mutating func takeRecall() -> Bool {
        defer { recallsOffers = false }
        return recallsOffers
    }

    /// The next offer to call back; nil when there is none.
    public mutating func nextWithdrawn() -> FlowHandle? {
        guard withdrawnCount > 0 else { return nil }
        withdrawnCount -= 1
        return withdrawn[withdrawnCount]
    }
}
