// What the verdicts over a packet depended on and what they did: the ground on which the slow path decides whether the
// flow's next packets may skip the rules, and what to credit when they do.
//
// Invariant: if `isCacheable`, every packet of the same flow that passes the guards (`tcpFlagsMask`,
// `trafficClassMask`) has the same verdicts and the same constant effects, and passes exactly `counters`.
// Bounded: more than `counterCapacity` counters make the walk uncacheable; nothing a packet can do makes it larger.

@frozen public struct WalkRecord {
    /// Flow-constant things that decisions read; informational, except that a change of them invalidates the flow.
    @frozen public struct Reads: OptionSet, Sendable {
        public var rawValue: UInt16
        @inlinable public init(rawValue: UInt16) { self.rawValue = rawValue }
        public static var tcpFlags: Reads { Reads(rawValue: 1) }
        public static var trafficClass: Reads { Reads(rawValue: 2) }
        public static var connectionState: Reads { Reads(rawValue: 4) }
        public static var connectionMark: Reads { Reads(rawValue: 8) }
        public static var connectionDirection: Reads { Reads(rawValue: 16) }
        public static var connectionStatus: Reads { Reads(rawValue: 32) }
        public static var route: Reads { Reads(rawValue: 64) }
        public static var sets: Reads { Reads(rawValue: 128) }
    }

    /// Why a walk holds for this packet only.
    @frozen public enum Reason: UInt8, Sendable {
        case none
        /// A statement that has to see each packet.
        case limit, quota, log, numgen, random, dynamicSet, connectionLimit, last, time, trace, queue, copy, synproxy
        /// A field that differs between packets of a flow and that no guard covers.
        case length, timeToLive, linkHeader, otherHeader, payload, tcpOption, connectionAccounting, timeoutSet, cpu
        /// A change of the packet that the flow cache cannot repeat.
        case mangle
        /// More counters on the way than a record holds.
        case tooManyCounters
        /// The rule changed the connection (mark, label, ...): the next packet may see something else.
        case connectionChange
    }

    public static var counterCapacity: Int { 60 }

    public var reads: Reads = []
    /// Bits of the TCP flags that decisions read.
    public var tcpFlagsMask: UInt8 = 0
    /// Bits of traffic class that decisions read.
    public var trafficClassMask: UInt8 = 0
    /// Constant effect: `trafficClass = old & ~setTrafficClassMask | setTrafficClassValue`.
    public var setTrafficClassMask: UInt8 = 0
    public var setTrafficClassValue: UInt8 = 0
    /// Of all that changed the IPv4 header's checksum such an effect was the last: a sum of zero is then written as 0xffff, by nobody else
    /// (nft_payload_csum_inet). Who changes the header behind the rules clears it.
    public var writesChecksumLast = false
    /// Constant effect: the packet's mark (only the slow path reads it).
    public var setsMark = false
    /// The first rule that needs every packet; `CompiledRuleset.ruleDescription` names it.
    public var uncacheableReason: Reason = .none
    public var uncacheableRule: UInt32 = UInt32.max
    /// `flow add` was reached.
    public var flowtable: UInt32 = UInt32.max
    public var counterCount: UInt16 = 0
    /// The counters passed, as identifiers for `CompiledRuleset.credit`; the first `counterCount` are valid.
    public var counters: CounterList = CounterList()

    @frozen public struct CounterList: Sendable {
        public var storage: (
            UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64,
            UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64,
            UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64
        ) = (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
        @inlinable public init() {}
    }

    @inlinable public init() {}
    @inlinable public var isCacheable: Bool { uncacheableReason == .none }

    /// Forgets everything, for the next packet. The counters behind `counterCount` need no clearing.
    @inlinable public mutating func reset() {
        reads = []
        tcpFlagsMask = 0
        trafficClassMask = 0
        setTrafficClassMask = 0
        setTrafficClassValue = 0
        writesChecksumLast = false
        setsMark = false
        uncacheableReason = .none
        uncacheableRule = UInt32.max
        flowtable = UInt32.max
        counterCount = 0
    }

    /// Identifier of the counter at `index`, 0 ..< counterCount.
    @inlinable public func counter(_ index: Int) -> UInt32 {
        withUnsafeBytes(of: counters.storage) { $0.loadUnaligned(fromByteOffset: (index % WalkRecord.counterCapacity) &* 4, as: UInt32.self) }
    }

    @inlinable mutating func note(counter: UInt32, rule: UInt32) {
        guard counterCount < WalkRecord.counterCapacity else { return refuse(.tooManyCounters, rule: rule) }
        let offset = Int(counterCount) &* 4
        withUnsafeMutableBytes(of: &counters.storage) { $0.storeBytes(of: counter, toByteOffset: offset, as: UInt32.self) }
        counterCount += 1
    }

    @inlinable mutating func refuse(_ reason: Reason, rule: UInt32) {
        guard uncacheableReason == .none else { return }
        uncacheableReason = reason
        uncacheableRule = rule
    }
}
