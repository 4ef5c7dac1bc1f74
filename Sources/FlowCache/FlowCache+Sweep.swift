// Reading back what workers counted, ageing, and reclaiming retired slots.
//
// Invariant: every packet that a worker counted in an entry is reported exactly once: by a sweep, or, for a removed entry, by the
// end of the grace period after which no worker can count any more.
import Synchronization
import Wire

/// A cached direction as the writer sees it during a sweep. Valid until the body that got it returns.
public struct FlowRecord {
    public let handle: FlowHandle
    public let creditList: UInt32
    public let connection: UInt32
    /// Packets and bytes (IP packet lengths) since the last report of this flow.
    public let packets: UInt64
    public let bytes: UInt64
    /// When a packet last hit, at the resolution of a tick.
    public let lastUsed: Timestamp
    /// The entry's generation is older than the cache's: its flow has sent no packet since `invalidateAll`.
    public let isStale: Bool
    /// The credit list is this entry's to give back when it is reclaimed; false if a copy of the entry took that over.
    public let holdsCredits: Bool
    /// `FlowDescription.neighbour`.
    public let neighbour: UInt32
    let table: FlowTable
    let actions: UnsafePointer<FlowAction>

    private var slot: Int { handle.place }

    /// 0 original, 1 reply.
    public var direction: UInt8 { actions[Int(table.action(slot))].flags & FlowAction.Flag.isReply }

    public var key: FlowKey { table.key(slot).flowKey }

    /// What was inserted, read back from the entry.
    public var description: FlowDescription {
        let packed = table.key(slot)
        let action = actions[Int(table.action(slot))]
        var new = packed
        let entry = table.view.entry(slot: slot)
        let ports: UInt32
        if packed.isIPv6 {
            let entry = entry.assumingMemoryBound(to: FlowEntry6.self)
            new.address0 = entry.pointee.newAddress0
            new.address1 = entry.pointee.newAddress1
            new.address2 = entry.pointee.newAddress2
            new.address3 = entry.pointee.newAddress3
            ports = entry.pointee.newPorts
        } else {
            let entry = entry.assumingMemoryBound(to: FlowEntry4.self)
            new.address0 = entry.pointee.newAddresses
            ports = entry.pointee.newPorts
        }
        new.tuple = packed.tuple & ~0xffff_ffff | UInt64(ports)
        let changed = new.flowKey
        var result = FlowDescription()
        result.key = packed.flowKey
        result.rewrite.outputPort = action.outputPort
        result.rewrite.vlanCount = action.vlanCount & ~PackedFlowKey.pppoe
        result.rewrite.pppoeSession = action.pppoeSession
        result.rewrite.vlanTags = action.pppoeSession == 0 ? action.vlanTags : action.vlanTags & 0xffff_ffff
        result.rewrite.destinationMAC = action.destinationMAC
        result.rewrite.sourceMAC = action.sourceMAC
        result.rewrite.source = changed.source
        result.rewrite.destination = changed.destination
        result.rewrite.sourcePort = changed.sourcePort
        result.rewrite.destinationPort = changed.destinationPort
        result.rewrite.trafficClassMask = action.trafficClassMask
        result.rewrite.trafficClassValue = action.trafficClassValue
        result.rewrite.writesChecksumLast = action.flags & FlowAction.Flag.writesChecksumLast != 0
        result.guard.tcpFlagsMask = action.tcpFlagsMask
        result.guard.tcpFlagsValue = action.tcpFlagsValue
        result.guard.trafficClassMask = action.guardTrafficClassMask
        result.guard.trafficClassValue = action.guardTrafficClassValue
        result.guard.maximumLength = action.maximumLength
        result.guard.checksTCPWindow = action.flags & FlowAction.Flag.checksTCPWindow != 0
        result.guard.checksTransportChecksum = action.flags & FlowAction.Flag.checksTransportChecksum != 0
        result.connection = connection
        result.direction = direction
        result.creditList = creditList
        result.neighbour = neighbour
        return result
    }
}

extension FlowCache {
    /// The most slots of one step of a sweep, which holds the slow path's packets for at most a quarter of a millisecond (a test holds it to
    /// that): a table of 16 million entries (21 million slots) is swept in six seconds of a step each millisecond. A connection's end does not wait
    /// for that: its entries are asked when its timeout has passed (`SlowPath.runTimers`).
    public static var largestSweep: Int { 3_500 }

    /// Slots of one step where a sweep makes a step each millisecond: a small table is swept in a hundred of them.
    public static func sweepBudget(slots: Int) -> Int { max(128, min(largestSweep, (slots + 99) / 100)) }
}

/// Where a sweep goes on; a sweep may be spread over many calls.
public struct FlowSweepCursor: Sendable {
    var isIPv6 = false
    var slot = 0
    public init() {}
}

extension FlowCache {
    private static func timestamp(tick: UInt32, now: Timestamp) -> Timestamp {
        let nowTick = now >> tickShift
        let age = Int32(bitPattern: UInt32(truncatingIfNeeded: nowTick) &- tick)
        // A worker's clock may be a tick ahead of the writer's.
        // The end of the tick: a life that a packet of the slow path began earlier in it is not cut short.
        return age <= 0 ? now : min(now, (nowTick &- UInt64(age) &+ 1) << tickShift &- 1)
    }

    func record(_ table: FlowTable, _ slot: Int, now: Timestamp) -> FlowRecord {
        let (lastUsed, packets, bytes) = table.counters(slot)
        let kept = table.records[slot]
        return FlowRecord(
            handle: table.handle(slot), creditList: kept.creditList, connection: table.connection(slot), packets: UInt64(packets &- kept.sweptPackets),
            bytes: bytes &- kept.sweptBytes, lastUsed: FlowCache.timestamp(tick: lastUsed, now: now),
            isStale: table.generation(slot).pointee.load(ordering: .relaxed) != generation, holdsCredits: !kept.hasHeir,
            neighbour: actionTable.neighbour(table.action(slot)), table: table, actions: reader.actions)
    }

    private func markReported(_ table: FlowTable, _ record: FlowRecord) {
        let slot = record.handle.place
        table.records[slot].sweptPackets &+= UInt32(truncatingIfNeeded: record.packets)
        table.records[slot].sweptBytes &+= record.bytes
    }

    /// What is known of a visible entry, without taking its counts as reported; nil if `handle` is not of one.
    public func inspect(_ handle: FlowHandle, now: Timestamp) -> FlowRecord? {
        guard let handle = current(handle) else { return nil }
        let family = family(isIPv6: handle.isIPv6)
        return record(handle.isAlternate == family.pointee.current.isAlternate ? family.pointee.current : family.pointee.other, handle.place, now: now)
    }

    /// Of a flow whose table is being resized: what is known of its other visible entry, in which workers count that have not taken up the
    /// new table yet. nil if there is none.
    public func inspectOther(_ handle: FlowHandle, now: Timestamp) -> FlowRecord? {
        let family = family(isIPv6: handle.isIPv6)
        guard family.pointee.isResizing, let here = current(handle), here.isAlternate == family.pointee.current.isAlternate else { return nil }
        let key = family.pointee.current.key(here.place)
        let slot = family.pointee.other.view.find(key, hash: seeds.hash(key))
        return slot < 0 ? nil : record(family.pointee.other, slot, now: now)
    }

    /// Takes what that other entry counted since its last report.
    public mutating func reportOther(_ handle: FlowHandle, now: Timestamp) -> FlowRecord? {
        guard let record = inspectOther(handle, now: now) else { return nil }
        markReported(record.table, record)
        return record
    }

    /// Takes what one entry counted since its last report; nil if `handle` is not of a visible entry.
    public mutating func report(_ handle: FlowHandle, now: Timestamp) -> FlowRecord? {
        guard let record = inspect(handle, now: now) else { return nil }
        markReported(record.table, record)
        return record
    }

    /// Slots that a sweep visits to come round.
    public var slotCount: Int {
        (families[0].current.count == 0 ? 0 : families[0].current.slotCount) + (families[1].current.count == 0 ? 0 : families[1].current.slotCount)
    }

    /// Visits up to `budget` slots from `cursor` on, reporting each visible entry once; removes those for which `body` returns
    /// false. Returns true when it has come round the whole table. A packet count wraps at 2^32 between two reports.
    @discardableResult
    public mutating func sweep(_ cursor: inout FlowSweepCursor, budget: Int, now: Timestamp, _ body: (FlowRecord) -> Bool) -> Bool {
        var left = budget
        while left > 0 {
            let table = family(isIPv6: cursor.isIPv6).pointee.current
            if table.count == 0 { cursor.slot = table.slotCount }
            while left > 0 && cursor.slot < table.slotCount {
                let slot = cursor.slot
                cursor.slot += 1
                left -= 1
                guard table.isLive(slot) else { continue }
                let record = record(table, slot, now: now)
                markReported(table, record)
                if !body(record) { remove(record.handle) }
            }
            guard cursor.slot >= table.slotCount else { return false }
            cursor.slot = 0
            cursor.isIPv6.toggle()
            if !cursor.isIPv6 { return true }
        }
        return false
    }

    /// Sweeps everything at once.
    public mutating func sweep(now: Timestamp, _ body: (FlowRecord) -> Bool) {
        // What was counted in a table that is being left is to be drained; its entries' fate is decided where their heirs are.
        for family in UnsafeBufferPointer(start: families, count: 2) where family.phase == .leaving || family.phase == .draining {
            let table = family.other
            for slot in 0..<table.slotCount where table.isLive(slot) {
                let record = record(table, slot, now: now)
                markReported(table, record)
                _ = body(record)
            }
        }
        var cursor = FlowSweepCursor()
        while !sweep(&cursor, budget: .max, now: now, body) {}
    }

    /// True if there is something to wait for and no grace period is under way: the caller now asks every worker for a
    /// quiescent state (after this call returned), and calls `endGracePeriod` when all have passed one.
    public mutating func beginGracePeriod() -> Bool {
        guard families[0].waitingCount == 0 && families[1].waitingCount == 0 && !families[0].isCovered && !families[1].isCovered else { return false }
        guard families[0].hasToWait || families[1].hasToWait else { return false }
        families[0].beginGracePeriod()
        families[1].beginGracePeriod()
        return true
    }

    /// Reclaims what `beginGracePeriod` set aside, reporting what each entry counted until its end.
    public mutating func endGracePeriod(now: Timestamp, _ body: (FlowRecord) -> Void) {
        let families = families
        endGracePeriod(&families[0], now: now, body)
        endGracePeriod(&families[1], now: now, body)
    }

    private mutating func endGracePeriod(_ family: inout FlowTableFamily, now: Timestamp, _ body: (FlowRecord) -> Void) {
        // The table that is left first, or the one that will be: its entries' heirs hold the credit lists.
        if family.phase == .copying {
            reclaim(&family.current, now: now, body)
            reclaim(&family.other, now: now, body)
            return
        }
        if family.isResizing { reclaim(&family.other, now: now, body) }
        if family.phase == .leaving && family.isCovered {
            // No reader knows the old table any more: what was withdrawn there since needs no other grace period.
            family.other.closeRetired()
            reclaim(&family.other, now: now, body)
            family.isCovered = false
            family.phase = .draining
            family.cursor = 0
        }
        reclaim(&family.current, now: now, body)
    }

    private mutating func reclaim(_ table: inout FlowTable, now: Timestamp, _ body: (FlowRecord) -> Void) {
        while table.waitingHead != FlowTable.none {
            let slot = Int(table.waitingHead)
            table.waitingHead = table.records[slot].next
            table.waitingCount -= 1
            reclaim(table, slot, now: now, body)
        }
    }

    mutating func reclaim(_ table: FlowTable, _ slot: Int, now: Timestamp, _ body: (FlowRecord) -> Void) {
        body(record(table, slot, now: now))
        actionTable.release(table.action(slot))
        table.takeBack(slot: slot)
        events.reclaimed += 1
    }
}
