// Routes, tables and the rules that choose among them, as they are written.
//
// Invariant: `load` has filled in the port of each unicast next hop, and every rule's table has a route.
import Wire

extension Configuration {
    /// `[routing]`
    public struct Routing: Sendable, Equatable {
        public var source = RoutingSource.static
        public var multipathHash = MultipathHash.addresses
        public var routes: [Route] = []
        public var rules: [Rule] = []
        public var neighbours: [Neighbour] = []
        public init() {}
    }

    public enum RoutingSource: String, Sendable, Equatable, CaseIterable { case `static` }

    /// What chooses among several next hops (fib_multipath_hash_policy 0 and 1).
    public enum MultipathHash: String, Sendable, Equatable, CaseIterable { case addresses, ports }

    /// `[[routing.route]]`
    public struct Route: Sendable, Equatable {
        public var to = IPPrefix(address: IPAddress(ipv4: 0), length: 0)
        public var kind = RouteKind.unicast
        /// The table; 254 is "main".
        public var table = 254
        /// Next hop; nil with a `port`: every address of the prefix is on that port's link.
        public var via: IPAddress?
        /// Name of the port; nil: the port whose network holds `via` (`load` has filled it in for unicast routes).
        public var port: String?
        /// Several next hops, in place of `via` and `port`.
        public var nextHops: [NextHop] = []
        /// Of two routes to one prefix in one table the lower wins.
        public var metric = 0
        /// Path MTU in bytes; 0: the port's.
        public var mtu = 0
        /// Source address of packets that the router itself sends along this route.
        public var source: IPAddress?
        public init() {}
    }

    public enum RouteKind: String, Sendable, Equatable, CaseIterable { case unicast, blackhole, unreachable, prohibit, `throw` }

    /// `[[routing.route.next-hop]]`
    public struct NextHop: Sendable, Equatable {
        public var via: IPAddress?
        public var port: String?
        /// Share of the flows.
        public var weight = 1
        public init() {}
    }

    /// `[[routing.rule]]`: which table answers for which packets (`ip rule`).
    public struct Rule: Sendable, Equatable {
        /// Lower is asked first.
        public var priority = 1
        /// nil: the family of `from` or `to`, else both.
        public var family: RuleFamily?
        public var from: IPPrefix?
        public var to: IPPrefix?
        public var mark: Int?
        /// Bits of the mark that are compared.
        public var mask = Int(UInt32.max)
        /// Name of the port that the packet came in by; "lo": the router's own packets.
        public var inputPort: String?
        /// IP protocol number.
        public var transportProtocol: Int?
        public var sourcePorts: [Int] = []
        public var destinationPorts: [Int] = []
        public var not = false
        public var table: Int?
        public var action: RuleAction?
        /// Routes with no longer prefix do not count; nil: all do.
        public var suppressPrefixLength: Int?
        public init() {}
    }

    public enum RuleFamily: String, Sendable, Equatable, CaseIterable { case ipv4, ipv6 }
    public enum RuleAction: String, Sendable, Equatable, CaseIterable { case blackhole, unreachable, prohibit }
}

extension Configuration.Rule {
    /// The families that the rule speaks of.
    public var families: [AddressFamily] {
        if let prefix = from ?? to { return [prefix.address.family] }
        switch family {
        case .ipv4: return [.ipv4]
        case .ipv6: return [.ipv6]
        case nil: return [.ipv4, .ipv6]
        }
    }
}
