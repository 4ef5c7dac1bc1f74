// What the slow path is told once, at the start.
import Conntrack
import Policy
import Wire

public struct SlowPathSettings: Sendable {
    public var cachesFlows = true
    /// Only flows that a `flow add` rule names are cached.
    public var cachesOnlyFlowtables = false
    public var isTCPLiberal = false
    public var verifiesChecksums = true
    /// Of several next hops of equal worth a flow's is chosen by ports too, not by addresses alone.
    public var hashesPorts = false
    public var icmpErrorsPerSecond = 1000
    public var icmpErrorBurst = 1000
    /// Packets that may wait for neighbours, all together.
    public var pendingPackets = 256
    /// Which flows are offered to the NIC; nil: none.
    public var offload: OffloadThreshold?
    /// Source NAT brings a connection's answers to the worker that received its first packet, by such ports; nil: to any.
    public var portSteering: PortSteering?
    public var creditLists = 65_536
    public var logRecords = 1024
    /// Nanoseconds without a packet after which an entry of a flow without connection is removed.
    public var untrackedIdle: UInt64 = 30_000_000_000
    /// Wall clock minus monotonic clock, ns; and the local time zone's offset in seconds.
    public var wallClockOffset: UInt64 = 0
    public var zoneOffset: Int32 = 0
    public var seed: UInt64 = 0
    /// The table walked by the timers of one call.
    public var timerBudget = 4096
    public init() {}
}

/// The seeded generator of the slow path (Steele, Lea, Flood: splitmix64).
@frozen public struct SplitMix64: RandomNumberGenerator, Sendable {
    private var state: UInt64
    public init(seed: UInt64) { state = seed }
    public mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ z >> 30) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ z >> 27) &* 0x94d0_49bb_1331_11eb
        return z ^ z >> 31
    }
}
