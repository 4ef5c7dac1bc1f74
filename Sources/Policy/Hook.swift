// Where a base chain hangs in a packet's way.
//
// Invariant: raw values index tables of the compiled program and equal Linux's hook numbers where Linux has them.

/// A netfilter hook.
@frozen public enum Hook: UInt8, CaseIterable, Sendable {
    case prerouting = 0, input = 1, forward = 2, output = 3, postrouting = 4
    /// netdev and inet `ingress`: before anything looks at the packet.
    case ingress = 5
    /// netdev `egress`: after everything, with the new link header in place.
    case egress = 6
}

/// Which chains see a packet: an IPv4 packet passes the chains of `ip` and `inet` tables, and so on.
@frozen public enum PacketFamily: UInt8, CaseIterable, Sendable {
    case ipv4 = 0, ipv6 = 1, arp = 2, bridge = 3, netdev = 4
}

/// What a base chain is for.
@frozen public enum ChainType: UInt8, Sendable {
    /// Passes every packet.
    case filter
    /// Passes the first packet of a connection only, once per hook; the caller sees to that.
    case nat
    /// As `filter`; the caller routes again if mark, addresses or traffic class changed (output hook).
    case route
}

/// A base chain in running order: plain data, valid as long as its `CompiledRuleset`.
@frozen public struct BaseChain: Sendable {
    public var priority: Int32 = 0
    public var type: ChainType = .filter
    public var hook: Hook = .prerouting
    /// True if the policy is drop.
    public var dropsByPolicy = false
    /// First instruction of the chain.
    public var programOffset: UInt32 = 0
    /// Identifies the chain in log records and in `CompiledRuleset.chainName`.
    public var chainID: UInt32 = 0
    /// For netdev and inet ingress/egress: the interface (place in the interface list); `PacketContext.noInterface` otherwise.
    public var device: UInt16 = 0xffff
    /// Of an inet table: at a link hook it sees IPv4 and IPv6 only.
    public var isInet = false
    @inlinable public init() {}
}

/// What the ruleset needs of the pipeline; Linux registers these hooks only where some rule asks for them.
@frozen public enum PipelineService: UInt8, Sendable {
    case conntrack, nat, defragmentation
}
