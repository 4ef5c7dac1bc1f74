// Routes as they are configured, and the answer to a lookup.
//
// Invariant: plain values in host byte order. `RouteResult` holds no reference, so that the packet path may copy it.
import Wire

/// What a route does with a packet (rtnetlink's RTN_ types).
@frozen public enum RouteKind: UInt8, Sendable, CaseIterable {
    /// No route at all: Linux answers "network unreachable".
    case none
    /// To a neighbour: directly connected, or by a gateway.
    case unicast
    /// One of our own addresses.
    case local
    /// The broadcast address of one of our subnets, or 255.255.255.255.
    case broadcast
    /// A multicast group. Needletail forwards no multicast.
    case multicast
    /// Dropped without a word.
    case blackhole
    /// Dropped with "host unreachable".
    case unreachable
    /// Dropped with "administratively prohibited".
    case prohibit
    /// This table has no answer: the next rule is asked.
    case `throw`
}

/// One next hop of a route.
@frozen public struct NextHop: Hashable, Sendable {
    public var port: PortIndex
    /// The gateway, of the route's family; nil for a directly connected network.
    public var gateway: IPAddress?
    /// Share of the flows, 1 or more.
    public var weight: UInt16
    @inlinable public init(port: PortIndex, gateway: IPAddress? = nil, weight: UInt16 = 1) {
        self.port = port
        self.gateway = gateway
        self.weight = weight
    }
}

/// A route to be added to the FIB.
public struct Route: Hashable, Sendable {
    public var destination: IPPrefix
    public var kind: RouteKind
    /// One or more for `.unicast`; empty for the others.
    public var nextHops: [NextHop]
    /// Bytes of an IP packet; 0 for the port's own MTU.
    public var mtu: UInt32
    public var preferredSource: IPAddress?
    /// Of two routes to one prefix, the lower metric counts.
    public var metric: UInt32

    public init(destination: IPPrefix, kind: RouteKind = .unicast, nextHops: [NextHop] = [], mtu: UInt32 = 0, preferredSource: IPAddress? = nil, metric: UInt32 = 0) {
        self.destination = destination
        self.kind = kind
        self.nextHops = nextHops
        self.mtu = mtu
        self.preferredSource = preferredSource
        self.metric = metric
    }
}

/// What the packet path learns from a lookup.
@frozen public struct RouteResult: Sendable {
    public var kind: RouteKind = .none
    /// Where the packet leaves (`.unicast`), or the port that owns the address (`.local`, `.broadcast`).
    public var port: PortIndex = 0
    /// Length of the prefix that matched; 32 or 128 for our own addresses.
    public var prefixLength: UInt8 = 0
    /// True if the next hop is the destination itself.
    public var isOnLink = true
    /// The neighbour to resolve: the gateway, or the destination.
    public var nextHop = IPAddress(ipv4: 0)
    /// Longest IP packet for this route, in bytes: the route's MTU, else the port's.
    public var mtu: UInt32 = 0
    /// Source address for packets that Needletail itself sends this way; unspecified if there is none.
    public var preferredSource = IPAddress(ipv4: 0)
    @inlinable public init() {}
}

/// Why a route or an address was refused. `description` is a sentence for the user.
public struct RoutingError: Error, Equatable, CustomStringConvertible, Sendable {
    public let description: String
    public init(_ description: String) { self.description = description }
}
