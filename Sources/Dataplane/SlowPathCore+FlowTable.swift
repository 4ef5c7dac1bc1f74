// The slow-path core's clockwork for the flow cache's tables: sweeping them in small steps, and resizing them when that does good.
import FlowCache
import SlowPath
import Wire

/// Where resizing stands.
struct FlowTableUpkeep {
    /// A table's memory was asked for and has not come.
    var isAsked = false
    /// Since when shrinking would do good; 0: it would not.
    var sparseSince: Timestamp = 0
    var nextSweep: Timestamp = 0
}

extension SlowPathCore {
    /// How often a part of the flow cache is swept, ns: often and little, so that no packet waits long for it.
    static var sweepPeriod: UInt64 { 1_000_000 }
    /// Slots that a round copies or drains while a table is resized: some tens of microseconds.
    static var resizeBudget: Int { 256 }
    /// How long a table stays sparse before it shrinks, ns.
    static var sparsePeriod: UInt64 { 60_000_000_000 }

    mutating func sweepFlowTable(now: Timestamp) {
        guard now >= upkeep.nextSweep else { return }
        // Periods that a busy round overran are not made up for at once.
        upkeep.nextSweep = now &+ Self.sweepPeriod
        let budget = FlowCache.sweepBudget(slots: path.pointee.flows.pointee.slotCount)
        _ = path.pointee.sweepFlows(budget: budget, now: now)
    }

    /// A step of the resize under way; true if there was one.
    mutating func advanceResize(now: Timestamp) -> Bool {
        guard path.pointee.flows.pointee.isResizing else { return false }
        if case .finished(let released?) = path.pointee.advanceFlowResize(budget: Self.resizeBudget, now: now) {
            tables.release(released, isLater: isThreaded)
        }
        return true
    }

    /// Begins a resize if one would do good: at once to grow, after a minute to shrink.
    mutating func considerResize(now: Timestamp) {
        guard !upkeep.isAsked else { return }
        guard let wanted = path.pointee.flows.pointee.wantedResize() else {
            upkeep.sparseSince = 0
            return
        }
        if !wanted.isGrowth {
            if upkeep.sparseSince == 0 { upkeep.sparseSince = max(1, now) }
            guard now &- upkeep.sparseSince >= Self.sparsePeriod else { return }
        }
        upkeep.sparseSince = 0
        guard isThreaded else {
            if let base = tables.allocate(wanted) { beginResize(wanted, FlowTableAddress(base: base)) }
            return
        }
        upkeep.isAsked = true
        let mailbox = mailbox
        tables.request(wanted) { address in
            mailbox.post { core in
                core.upkeep.isAsked = false
                core.beginResize(wanted, address)
            }
        }
    }

    private mutating func beginResize(_ wanted: FlowResize, _ address: FlowTableAddress) {
        if !path.pointee.flows.pointee.beginResize(wanted, memory: address.base) { tables.release(address.base, isLater: isThreaded) }
    }
}
