// The stateful objects of rules, named objects and set elements: counters, limits, quotas, connection limits, last use.
//
// Invariant: arrays of plain records, sized when the ruleset is compiled; a set's elements own a fixed run of each array,
// so a packet can neither grow nor exhaust them. Semantics: net/netfilter/nft_{counter,limit,quota,connlimit,last}.c.
import Wire

public struct CounterState: Sendable, Equatable {
    public var packets: UInt64 = 0
    public var bytes: UInt64 = 0
}

/// A token bucket in nanoseconds: a packet costs the time in which the rate earns one.
public struct LimitState: Sendable {
    var tokens: UInt64 = 0
    var last: Timestamp = 0
    var maximum: UInt64 = 0
    /// ns per packet, or ns per unit time for bytes.
    var cost: UInt64 = 0
    /// Bytes per unit; 0 for a limit on packets.
    var rate: UInt64 = 0
    var inverted = false

    /// `limit rate [over] RATE/UNIT burst BURST packets`; a rate of 0 is taken for 1.
    init(packets rate: UInt64, unitSeconds: UInt64, burst: UInt64, inverted: Bool, now: Timestamp) {
        let nanoseconds = unitSeconds &* 1_000_000_000
        cost = nanoseconds / max(rate, 1)
        let (product, overflow) = cost.multipliedReportingOverflow(by: max(burst, 1))
        maximum = overflow ? UInt64.max : product
        tokens = maximum
        last = now
        self.inverted = inverted
    }

    /// `limit rate [over] RATE bytes/UNIT burst BURST bytes`.
    init(bytes rate: UInt64, unitSeconds: UInt64, burst: UInt64, inverted: Bool, now: Timestamp) {
        cost = unitSeconds &* 1_000_000_000
        self.rate = max(rate, 1)
        maximum = LimitState.scale(cost, self.rate &+ burst, self.rate)
        tokens = maximum
        last = now
        self.inverted = inverted
    }

    /// a × b / c without overflow, saturating.
    @inline(__always) static func scale(_ a: UInt64, _ b: UInt64, _ c: UInt64) -> UInt64 {
        let product = a.multipliedFullWidth(by: b)
        guard product.high < c else { return UInt64.max }
        return c.dividingFullWidth(product).quotient
    }

    /// True if the statement lets the rule go on.
    @inline(__always) mutating func passes(bytes: Int, now: Timestamp) -> Bool {
        let cost = rate == 0 ? self.cost : LimitState.scale(self.cost, UInt64(bytes), rate)
        let elapsed = now > last ? now &- last : 0
        let (sum, overflow) = tokens.addingReportingOverflow(elapsed)
        let filled = overflow ? maximum : min(sum, maximum)
        last = now
        if filled >= cost {
            tokens = filled &- cost
            return !inverted
        }
        tokens = filled
        return inverted
    }
}

public struct QuotaState: Sendable {
    public var limit: UInt64 = 0
    public var consumed: UInt64 = 0
    /// `over`: lets the rule go on when the quota is used up.
    public var inverted = false

    @inline(__always) mutating func passes(bytes: Int) -> Bool {
        consumed &+= UInt64(bytes)
        return (consumed > limit) == inverted
    }
}

public struct LastState: Sendable {
    public var isSet = false
    public var time: Timestamp = 0
}

/// `ct count`: the living connections that passed here, by identifier. Dead ones are dropped when the list is visited,
/// as nf_conncount does; the list is bounded, and a full one answers "over the limit".
public struct ConnectionLimitState {
    static let capacity = 65_536
    var limit: UInt32 = 0
    var inverted = false
    var count: UInt32 = 0
    /// Stands in `list` for a packet that had no connection.
    private static var stranger: UInt64 { UInt64.max }
    /// Room of `list`: more than `limit`, since connections beyond it that were let go on count, too, once others have died.
    var room: UInt32 = 0
    var list: UnsafeMutablePointer<UInt64>?

    /// True if the statement lets the rule go on; `identifier` 0: a packet without connection, counted until the next visit
    /// that comes by its place. As in Linux 6.18 (measured), the visit of a packet of an assured connection goes through the whole list
    /// and adds nothing; that of any other ends at its own connection, if it is listed and not just ended (`isDying`: by a reset before any answer).
    /// Nine dead ones are dropped at most.
    mutating func passes(_ identifier: UInt64, isAssured: Bool, isDying: Bool = false, _ lookups: PolicyLookups) -> Bool {
        guard let list else { return (0 > limit) == inverted }
        let own = identifier == 0 ? ConnectionLimitState.stranger : identifier
        var kept: UInt32 = 0
        var index: UInt32 = 0
        var known = false
        while index < count {
            let entry = list[Int(index)]
            if !isAssured, !isDying, entry == own, identifier != 0 { known = true }
            if known || index &- kept > 8 { break }
            index &+= 1
            if entry == ConnectionLimitState.stranger { continue }
            if let isAlive = lookups.isConnectionAlive, !isAlive(lookups.userData, entry) { continue }
            list[Int(kept)] = entry
            kept &+= 1
        }
        if kept != index { (list + Int(kept)).update(from: list + Int(index), count: Int(count &- index)) }
        count = kept &+ (count &- index)
        if !known, !isAssured || identifier == 0 {
            if count < room {
                list[Int(count)] = own
                count &+= 1
            } else {
                return inverted
            }
        }
        return (count > limit) == inverted
    }
}
