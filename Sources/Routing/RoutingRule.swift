// Rules of policy routing: which table answers for which packets (`ip rule`; net/core/fib_rules.c, fib4_rule_match).
//
// Invariant: plain values in host byte order, so that the packet path walks them as they lie in memory.
import Wire

/// What a rule does with the packets that it matches.
@frozen public enum RoutingAction: Hashable, Sendable {
    /// Looks into this table; where that has no route, the next rule is asked.
    case table(UInt32)
    case blackhole
    /// Linux answers "network unreachable", unlike a route of this kind.
    case unreachable
    case prohibit
}

/// One rule. What is nil, or 0 with the mark's mask, matches everything.
public struct RoutingRule: Hashable, Sendable {
    /// Lower is asked first; of equal ones the one added first.
    public var priority: UInt32
    public var family: AddressFamily
    public var source: IPPrefix?
    public var destination: IPPrefix?
    public var mark: UInt32 = 0
    public var mask: UInt32 = 0
    /// The port that the packet came in by; `Router.anyPort` matches the router's own packets (`iif lo`).
    public var ingress: PortIndex?
    public var transportProtocol: UInt8?
    public var sourcePorts: ClosedRange<UInt16>?
    public var destinationPorts: ClosedRange<UInt16>?
    /// Matches what the rest does not (`ip rule add not ...`).
    public var isInverted = false
    /// Routes whose prefix is not longer than this do not count (`suppress_prefixlength`); -1: all do.
    public var suppressedLength: Int16 = -1
    public var action: RoutingAction

    public init(priority: UInt32, family: AddressFamily, action: RoutingAction) {
        self.priority = priority
        self.family = family
        self.action = action
    }

    func matches(_ query: RouteQuery) -> Bool {
        family == query.destination.family && matchesSelectors(query) != isInverted
    }

    private func matchesSelectors(_ query: RouteQuery) -> Bool {
        if (mark ^ query.mark) & mask != 0 { return false }
        if let ingress, ingress != query.ingress { return false }
        if let source, !source.contains(query.source) { return false }
        if let destination, !destination.contains(query.destination) { return false }
        if let transportProtocol, transportProtocol != query.transportProtocol { return false }
        if let sourcePorts, !sourcePorts.contains(query.sourcePort) { return false }
        if let destinationPorts, !destinationPorts.contains(query.destinationPort) { return false }
        return true
    }
}

/// What a lookup is for: everything that a rule may ask (`struct flowi`).
@frozen public struct RouteQuery: Sendable {
    public var destination: IPAddress
    /// Unspecified for a packet whose source is not chosen yet.
    public var source: IPAddress
    public var mark: UInt32 = 0
    /// The port that the packet came in by; `Router.anyPort` for the router's own.
    public var ingress: PortIndex
    /// The port that link-local and multicast destinations speak of.
    public var link: PortIndex
    /// See `FIB.lookup`.
    public var flowHash: UInt32 = 0
    public var transportProtocol: UInt8 = 0
    public var sourcePort: UInt16 = 0
    public var destinationPort: UInt16 = 0

    /// A packet of the router's own without source, mark or ports.
    public init(to destination: IPAddress, link: PortIndex) {
        self.destination = destination
        source = IPAddress(family: destination.family, high: 0, low: 0)
        ingress = PortIndex.max
        self.link = link
    }
}
