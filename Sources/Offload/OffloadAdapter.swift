// What the manager knows and learns about one port's NIC: capability, room, budget, and whether to leave it alone.
//
// Invariant: a NIC is believed by what it did, not by what it says. A full table is learnt from the failure that told
// of it and probed again one rule at a time; failures in a row pause the adapter, for longer each time.
import CDPDK
import Wire

struct OffloadAdapter {
    var port: OffloadPort
    var capability = OffloadCapability()
    var isUp = false
    /// Rules that exist or may exist on the NIC, guards not counted.
    var rules = 0
    var learnedCapacity: Int?
    var nextGrowth: Timestamp = 0
    /// Guard rules, IPv4 and IPv6.
    var guards: (ipv4: UInt, ipv6: UInt) = (0, 0)
    var carriedPackets: UInt64 = 0
    var carriedBytes: UInt64 = 0

    private var failuresInWindow = 0
    private var windowStart: Timestamp = 0
    private var pausedUntil: Timestamp = 0
    private var pause: UInt64 = 0
    private var nextInsert: Timestamp = 0

    static let growthPeriod: UInt64 = 10_000_000_000
    static let failureWindow: UInt64 = 1_000_000_000
    static let failuresToPause = 5
    static let firstPause: UInt64 = 5_000_000_000
    static let longestPause: UInt64 = 320_000_000_000

    init(port: OffloadPort) { self.port = port }

    /// Whether one more rule is believed to fit; a table once full is tried with one rule more every ten seconds.
    mutating func hasRoom(now: Timestamp) -> Bool {
        guard let capacity = learnedCapacity, rules >= capacity else { return true }
        guard now >= nextGrowth else { return false }
        nextGrowth = now &+ OffloadAdapter.growthPeriod
        learnedCapacity = rules + 1
        return true
    }

    mutating func tableWasFull(now: Timestamp) {
        learnedCapacity = rules
        nextGrowth = now &+ OffloadAdapter.growthPeriod
    }

    /// How full the table is believed to be, in per cent of what it is known to hold; 0 while that is not known.
    var fill: Int { learnedCapacity.map { $0 > 0 ? rules * 100 / $0 : 100 } ?? 0 }

    /// Whether one more rule would be refused here.
    func isFull(now: Timestamp) -> Bool {
        guard let capacity = learnedCapacity else { return false }
        return rules >= capacity && now < nextGrowth
    }

    func isPaused(now: Timestamp) -> Bool { now < pausedUntil }
    var resumeTime: Timestamp { pausedUntil }

    /// Notes a failure that is neither a full table nor a missing feature.
    mutating func noteFailure(now: Timestamp) {
        if now &- windowStart > OffloadAdapter.failureWindow {
            windowStart = now
            failuresInWindow = 0
        }
        failuresInWindow += 1
        guard failuresInWindow >= OffloadAdapter.failuresToPause else { return }
        failuresInWindow = 0
        pause = pause == 0 ? OffloadAdapter.firstPause : min(pause * 2, OffloadAdapter.longestPause)
        pausedUntil = now &+ pause
    }

    mutating func noteSuccess(now: Timestamp) {
        if now > pausedUntil &+ OffloadAdapter.longestPause { pause = 0 }
    }

    /// Takes the budget of one rule (a virtual-time token bucket with a burst of `burst` rules); false if it is spent.
    mutating func takeBudget(rate: UInt64, burst: Int, now: Timestamp) -> Bool {
        guard rate > 0 else { return true }
        let interval = 1_000_000_000 / rate
        guard nextInsert <= now &+ interval &* UInt64(max(burst - 1, 0)) else { return false }
        nextInsert = max(nextInsert, now) &+ interval
        return true
    }
}
