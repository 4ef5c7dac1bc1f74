// Which flows deserve the NIC's table: by measured rate, heavy ones first, with hysteresis.
//
// Invariant: a flow is evicted only for one more than twice as fast, and not before it was measured for two poll
// periods, so two flows never chase each other out. Evictions per round are bounded: updating rules costs a NIC
// throughput. When a port's room is not known, every flow above the floor is taken: room is learnt by using it.
import Wire

extension OffloadManager {
    private static let lowFill = 70
    private static let highFill = 95
    /// Records looked at for one eviction: the slowest of so many is slow enough, whatever the table's size.
    private static let sample = 64

    /// Whether a flow deserves a rule now. A flow of unknown rate is taken while there is room.
    func isFastEnough(_ record: OffloadRecord, now: Timestamp) -> Bool {
        let rate = record.candidate.packetsPerSecond
        guard rate > 0 else { return true }
        guard rate >= options.minimumRate else { return false }
        let fill = max(adapters[record.original.adapter].fill, adapters[record.reply.adapter].fill)
        guard fill >= OffloadManager.lowFill, let slowest = slowest(on: nil, now: now) else { return true }
        // From the floor at 70 % to twice the slowest resident's rate at 95 %.
        let ceiling = UInt64(records[slowest].packetsPerSecond) * 2
        let floor = UInt64(options.minimumRate)
        guard ceiling > floor else { return true }
        let share = UInt64(min(fill, OffloadManager.highFill) - OffloadManager.lowFill)
        let range = UInt64(OffloadManager.highFill - OffloadManager.lowFill)
        return UInt64(rate) >= floor + (ceiling - floor) * share / range
    }

    /// Evicts a slow flow if the port of either direction is full and this one is fast enough.
    func makeRoom(_ index: Int, now: Timestamp) {
        let rate = UInt64(records[index].candidate.packetsPerSecond)
        for place in [records[index].reply.adapter, records[index].original.adapter] where adapters[place].isFull(now: now) {
            guard evictionsLeft > 0, rate > 0, let victim = slowest(on: place, now: now),
                rate > 2 * UInt64(records[victim].packetsPerSecond)
            else { return }
            evictionsLeft -= 1
            account.evicted += 1
            tearDown(victim, refusal: .evicted, retryAfter: now &+ OffloadManager.retryDelay, now: now)
        }
    }

    /// The slowest of the next active flows that were measured for long enough, on a port or on any.
    private func slowest(on place: Int?, now: Timestamp) -> Int? {
        var found: Int?
        var looked = 0
        var steps = 0
        while steps < records.count && looked < OffloadManager.sample {
            steps += 1
            evictionCursor = evictionCursor + 1 < records.count ? evictionCursor + 1 : 0
            let record = records[evictionCursor]
            guard record.state == .active, now &- record.installedAt >= 2 * options.pollPeriod else { continue }
            guard place == nil || record.original.adapter == place || record.reply.adapter == place else { continue }
            looked += 1
            if found.map({ record.packetsPerSecond < records[$0].packetsPerSecond }) ?? true { found = evictionCursor }
        }
        return found
    }
}
