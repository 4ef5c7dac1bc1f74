// How many ICMP errors leave: a global token bucket, as net.ipv4.icmp_msgs_per_sec and icmp_msgs_burst.
//
// Invariant: at most `burst` errors at once and `perSecond` sustained, whatever arrives; a suppressed error is counted
// under `icmpRateLimited` beside the reason for which its cause was dropped.
import Wire

@frozen public struct ICMPRateLimiter: Sendable {
    private let perSecond: UInt64
    private let burst: UInt64
    private var tokens: UInt64
    private var last: Timestamp = 0

    /// `perSecond` 0 switches the limit off.
    public init(perSecond: Int, burst: Int) {
        self.perSecond = UInt64(max(0, perSecond))
        self.burst = UInt64(max(1, burst))
        tokens = self.burst
    }

    /// Takes a token if there is one.
    public mutating func allows(now: Timestamp) -> Bool {
        if perSecond == 0 { return true }
        let interval = 1_000_000_000 / perSecond
        let elapsed = now &- last
        if now > last, elapsed >= interval {
            let earned = elapsed / interval
            tokens = min(burst, tokens &+ earned)
            last = tokens == burst ? now : last &+ earned &* interval
        }
        guard tokens > 0 else { return false }
        tokens &-= 1
        return true
    }
}
