// One family's table, and, while it is resized, the table that takes over from it.
//
// A resize never moves a visible entry: entries are copied, and the packets that workers counted in either copy are reported
// from that copy. Its phases, each begun by the writer alone:
//
//   settled    one table.
//   copying    readers use `current`; the writer copies its entries, a few at a time, into `other`, which no reader knows. What is
//              inserted, confirmed or removed meanwhile is so in both.
//   leaving    all is copied, `other` became `current` and its view is published; a reader takes it up after it next reported
//              quiescence, until then it uses the old table, now `other`. Changes still reach both: what is removed is found in
//              neither, so a verdict ends for all readers alike, whichever table they use.
//   draining   every reader has been quiescent since, so none knows the old table: its entries' last counts are reported, a few
//              at a time; then its memory is the caller's again.
//
// The credit list's reference (FlowRecord.holdsCredits) goes to the newest copy; an entry's older copy is always reclaimed
// before or together with its heir, and before it within `endGracePeriod`.
import Wire

struct FlowTableFamily {
    enum Phase { case settled, copying, leaving, draining }

    /// What lookups and sweeps use; readers too, but for those that have not taken it up yet (`leaving`).
    /// First, so that a pointer to the family is one to it.
    var current: FlowTable
    /// Meaningless in phase `settled`.
    var other: FlowTable
    var phase = Phase.settled
    /// The next slot to copy or to drain.
    var cursor = 0
    /// Phase `leaving`: a grace period that began after the view was published is under way.
    var isCovered = false
    /// Sizes between which `FlowCache.wantedResize` moves.
    let smallest: Int
    let largest: Int

    init(_ table: FlowTable, largest: Int) {
        current = table
        other = table
        smallest = table.capacity
        self.largest = max(largest, table.capacity)
    }

    var isResizing: Bool { phase != .settled }
    /// Something is withdrawn, or readers are to leave a table, and no grace period covers that yet.
    var hasToWait: Bool { openCount > 0 || phase == .leaving && !isCovered }

    mutating func beginGracePeriod() {
        current.closeRetired()
        if isResizing { other.closeRetired() }
        if phase == .leaving { isCovered = true }
    }

    var openCount: Int { current.openCount + (isResizing ? other.openCount : 0) }
    var waitingCount: Int { current.waitingCount + (isResizing ? other.waitingCount : 0) }

    // Always inlined: called by itself, each would be given a copy of all of this.

    /// The visible entry that `handle` names: its slot, and whether it is in `other`.
    @inline(__always) func locate(_ handle: FlowHandle) -> (slot: Int, isOther: Bool)? {
        if handle.isAlternate == current.isAlternate { return current.holds(handle) ? (handle.place, false) : nil }
        return isResizing && other.holds(handle) ? (handle.place, true) : nil
    }

    /// The entry of `key` that counts as the flow's: in `current`, or, while that could not take it, in the table being filled.
    @inline(__always) func find(_ key: PackedFlowKey, hash: UInt64) -> (slot: Int, isOther: Bool)? {
        let slot = current.view.find(key, hash: hash)
        if slot >= 0 { return (slot, false) }
        guard phase == .copying else { return nil }
        let there = other.view.find(key, hash: hash)
        return there >= 0 ? (there, true) : nil
    }

    @inline(__always) func handle(_ found: (slot: Int, isOther: Bool)) -> FlowHandle { found.isOther ? other.handle(found.slot) : current.handle(found.slot) }

    /// Withdraws every copy of the entry that `handle` names; false if it names none.
    mutating func retire(_ handle: FlowHandle, _ seeds: FlowHashSeeds) -> Bool {
        guard let found = locate(handle) else { return false }
        let key = found.isOther ? other.key(found.slot) : current.key(found.slot)
        let hash = seeds.hash(key)
        let slot = current.view.find(key, hash: hash)
        if slot >= 0 { current.retire(slot: slot, hash: hash) }
        retireOther(key, hash: hash)
        return true
    }

    mutating func retireOther(_ key: PackedFlowKey, hash: UInt64) {
        guard isResizing else { return }
        let slot = other.view.find(key, hash: hash)
        if slot >= 0 { other.retire(slot: slot, hash: hash) }
    }
}
