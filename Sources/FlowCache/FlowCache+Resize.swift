// Growing and shrinking a family's table while readers run; the protocol stands in FlowTableFamily.swift.
//
// When does a table grow? When three quarters of its capacity are in use, to twice its size, at most to the configured maximum.
// When does it shrink? Never below the size it began with, and only if the caller wants what `wantedResize` offers: half,
// when less than an eighth is in use. Can an attacker make it blow up? Whoever may open connections can make it grow to its
// maximum, once; the memory of both tables is needed only while one takes over. A resize is done a few slots at a time, so it stalls
// nobody, and while it lasts new entries go where there is room: growing refuses nothing that the larger table would take.
import Synchronization
import Wire

/// A resize that would do good.
public struct FlowResize: Sendable, Equatable {
    public var isIPv6: Bool
    /// Entries that the table will take.
    public var capacity: Int
    public var isGrowth: Bool
    /// Bytes of zeroed memory that `beginResize` wants for it.
    public var memoryBytes: Int { 128 + FlowTable.memoryRequired(capacity: capacity, isIPv6: isIPv6) }
    public init(isIPv6: Bool, capacity: Int, isGrowth: Bool) {
        self.isIPv6 = isIPv6
        self.capacity = capacity
        self.isGrowth = isGrowth
    }
}

extension FlowCache {
    /// What should be resized now; nil if nothing, or while a resize is under way.
    public func wantedResize() -> FlowResize? {
        guard !isResizing else { return nil }
        for family in UnsafeBufferPointer(start: families, count: 2) {
            let table = family.current
            if table.capacity < family.largest, table.count >= table.capacity - table.capacity / 4 {
                return FlowResize(isIPv6: table.isIPv6, capacity: min(max(table.capacity * 2, 24), family.largest), isGrowth: true)
            }
        }
        for family in UnsafeBufferPointer(start: families, count: 2) {
            let table = family.current
            if table.capacity > family.smallest, table.count < table.capacity / 8 {
                return FlowResize(isIPv6: table.isIPv6, capacity: max(table.capacity / 2, family.smallest), isGrowth: false)
            }
        }
        return nil
    }

    public var isResizing: Bool { families[0].isResizing || families[1].isResizing }

    /// Begins `resize` in `memory`: `memoryBytes` zeroed bytes, the cache's until `advanceResize` gives back the table that it replaces.
    /// False if that family is being resized already.
    public mutating func beginResize(_ resize: FlowResize, memory: UnsafeMutableRawPointer) -> Bool {
        let family = family(isIPv6: resize.isIPv6)
        guard !family.pointee.isResizing else { return false }
        family.pointee.other = FlowTable(
            zeroed: memory.alignedUp(toMultipleOf: 128), capacity: max(0, min(resize.capacity, 1 << 28)), isIPv6: resize.isIPv6,
            isAlternate: !family.pointee.current.isAlternate, keeps: memory)
        family.pointee.phase = .copying
        family.pointee.cursor = 0
        return true
    }

    /// What `advanceResize` came to.
    public enum ResizeStep: Equatable {
        /// Nothing is being resized.
        case idle
        /// There is more to do, now or after a grace period.
        case unfinished
        /// The resize is complete. The memory that an earlier `beginResize` was given for the old table is the caller's again; nil if
        /// it was the first table, whose memory stays the cache's.
        case finished(released: UnsafeMutableRawPointer?)
    }

    /// Goes on with a resize for up to `budget` slots. `body` gets each entry of the old table at its end, with what it counted since
    /// its last report, and the name that the flow has from here on (nil if the new table has no room for it).
    public mutating func advanceResize(budget: Int, now: Timestamp, _ body: (FlowRecord, FlowHandle?) -> Void) -> ResizeStep {
        guard isResizing else { return .idle }
        let family = family(isIPv6: !families[0].isResizing)
        let wasCopying = family.pointee.phase == .copying
        let step = advance(&family.pointee, budget: budget, now: now, body)
        if wasCopying, family.pointee.phase == .leaving { publishViews() }
        return step
    }

    private mutating func advance(_ family: inout FlowTableFamily, budget: Int, now: Timestamp, _ body: (FlowRecord, FlowHandle?) -> Void) -> ResizeStep {
        switch family.phase {
        case .settled:
            return .idle
        case .leaving:
            return .unfinished
        case .copying:
            let end = min(family.cursor + budget, family.current.slotCount)
            while family.cursor < end {
                copy(&family, family.cursor)
                family.cursor += 1
            }
            guard family.cursor == family.current.slotCount else { return .unfinished }
            swap(&family.current, &family.other)
            family.phase = .leaving
            family.cursor = 0
            return .unfinished
        case .draining:
            let end = min(family.cursor + budget, family.other.slotCount)
            while family.cursor < end {
                let slot = family.cursor
                family.cursor += 1
                guard family.other.isLive(slot) else { continue }
                let key = family.other.key(slot)
                let heir = family.find(key, hash: seeds.hash(key)).map { family.handle($0) }
                reclaim(family.other, slot, now: now) { body($0, heir) }
            }
            guard family.cursor == family.other.slotCount, family.other.openCount == 0, family.other.waitingCount == 0 else { return .unfinished }
            let released = family.other.memory
            family.other = family.current
            family.phase = .settled
            events.resizes += 1
            return .finished(released: released)
        }
    }

    /// Copies the entry of `slot`, if there is one that has no copy yet and the other table has room.
    private mutating func copy(_ family: inout FlowTableFamily, _ slot: Int) {
        guard family.current.isLive(slot), !family.current.records[slot].hasHeir else { return }
        let hash = seeds.hash(family.current.key(slot))
        guard family.other.count < family.other.capacity, let place = family.other.freeSlot(for: hash) else { return }
        let old = family.current.view.entry(slot: slot)
        let new = family.other.view.entry(slot: place.slot)
        let isIPv6 = family.current.isIPv6
        let stride = isIPv6 ? FlowEntryOffset.stride6 : FlowEntryOffset.stride4
        // All fields before the worker-owned ones; of those the copy has the time, and counts by itself.
        let owned = isIPv6 ? FlowEntryOffset.lastUsed6 : FlowEntryOffset.lastUsed4
        new.copyMemory(from: old, byteCount: owned)
        (new + owned).initializeMemory(as: UInt8.self, repeating: 0, count: stride - owned)
        new.atomic32(owned).pointee.store(family.current.counters(slot).lastUsed, ordering: .relaxed)
        actionTable.retain(index: family.current.action(slot))
        family.other.records[place.slot].creditList = family.current.records[slot].creditList
        family.other.records[place.slot].sweptPackets = 0
        family.other.records[place.slot].sweptBytesAndHeir = 0
        family.other.records[place.slot].next = family.current.records[slot].next
        family.current.records[slot].hasHeir = true
        family.other.publish(slot: place.slot, level: place.level, hash: hash)
        events.copied += 1
    }
}
