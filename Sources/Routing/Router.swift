// Ports, addresses, routes and neighbours together: what the slow path asks "where does this go".
//
// Invariant: one thread owns it. Own addresses come before routes, as Linux's table "local" comes before "main".
import Wire

public struct Router: ~Copyable {
    public var interfaces: InterfaceTable
    public var fib: FIB
    public var neighbours: NeighbourTable

    public init(interfaces: consuming InterfaceTable = InterfaceTable(), fib: consuming FIB = FIB(), neighbours: consuming NeighbourTable = NeighbourTable()) {
        self.interfaces = interfaces
        self.fib = fib
        self.neighbours = neighbours
    }

    // MARK: - Configuration

    /// Adds an own address and, as Linux does, the connected route of its subnet.
    public mutating func addAddress(_ prefix: IPPrefix, port: PortIndex) throws(RoutingError) {
        let entry = try interfaces.insert(prefix, port: port)
        let hasSubnet = Int(prefix.length) < prefix.address.family.addressBits
        // Link-local prefixes exist on every port: they are never looked up in the FIB.
        let isLinkLocal = prefix.address.family == .ipv6 && prefix.address.isLinkLocal
        guard hasSubnet, !entry.isSecondary, !isLinkLocal else { return }
        do {
            try fib.add(Route(
                destination: prefix.network, nextHops: [NextHop(port: port)],
                preferredSource: prefix.address.family == .ipv4 ? prefix.address : nil, metric: Router.connectedMetric(prefix.address.family)))
        } catch {
            _ = interfaces.remove(prefix.address, port: port)
            throw error
        }
    }

    /// Removes an own address and its connected route.
    public mutating func removeAddress(_ address: IPAddress, port: PortIndex) throws(RoutingError) {
        guard let removed = interfaces.remove(address, port: port) else { throw RoutingError("\(address) is no address of port \(interfaces.name(of: port))") }
        let network = removed.prefix.network
        guard Int(network.length) < address.family.addressBits, !(address.family == .ipv6 && address.isLinkLocal), !removed.isSecondary else { return }
        if let heir = interfaces.addresses.first(where: { $0.port == port && $0.prefix.network == network }) {
            try fib.add(Route(
                destination: network, nextHops: [NextHop(port: port)], preferredSource: address.family == .ipv4 ? heir.prefix.address : nil,
                metric: Router.connectedMetric(address.family)))
        } else {
            try fib.remove(network, metric: Router.connectedMetric(address.family))
        }
    }

    /// Linux gives IPv6 prefix routes metric 256 and IPv4 ones 0.
    static func connectedMetric(_ family: AddressFamily) -> UInt32 { family == .ipv4 ? 0 : 256 }

    /// Adds a route whose gateways must be neighbours. A next hop with a gateway may leave its port out
    /// (`Router.anyPort`): it is found by the gateway's connected route.
    public mutating func addRoute(_ route: Route) throws(RoutingError) {
        var route = route
        for index in route.nextHops.indices where route.nextHops[index].port == Router.anyPort {
            guard let gateway = route.nextHops[index].gateway else { throw RoutingError("route \(route.destination): it needs a port or a gateway") }
            guard let own = interfaces.addresses.first(where: { $0.prefix.contains(gateway) && $0.prefix.address.family == gateway.family }) else {
                throw RoutingError("route \(route.destination): gateway \(gateway) is in no connected network")
            }
            route.nextHops[index].port = own.port
        }
        for hop in route.nextHops {
            guard interfaces[hop.port].exists else { throw RoutingError("route \(route.destination): there is no port \(hop.port)") }
            if let gateway = hop.gateway, interfaces.isOwn(gateway) { throw RoutingError("route \(route.destination): gateway \(gateway) is our own address") }
        }
        try fib.add(route)
    }

    /// Stands for "find the port" in a next hop given to `addRoute`.
    public static var anyPort: PortIndex { PortIndex.max }

    // MARK: - Packet path

    /// Where a packet to `destination` goes.
    ///
    /// - Parameters:
    ///   - ingress: for link-local and multicast destinations, the port that they speak of.
    ///   - flowHash: see `FIB.lookup`.
    public func route(to destination: IPAddress, ingress: PortIndex, flowHash: UInt32 = 0) -> RouteResult {
        let own = interfaces.owner(of: destination)
        if own.kind != .none {
            var result = RouteResult()
            result.kind = own.kind == .broadcast ? .broadcast : .local
            result.port = own.port
            result.prefixLength = UInt8(truncatingIfNeeded: destination.family.addressBits)
            result.nextHop = destination
            result.preferredSource = own.kind == .unicast ? destination : IPAddress(family: destination.family, high: 0, low: 0)
            result.mtu = interfaces[own.port].mtu
            return result
        }
        var result = RouteResult()
        result.port = ingress
        result.nextHop = destination
        result.mtu = interfaces[ingress].mtu
        if destination.isMulticast {
            result.kind = .multicast
            return result
        }
        if destination.isLimitedBroadcast {
            result.kind = .broadcast
            return result
        }
        if destination.isLoopback {
            result.kind = .local
            return result
        }
        if destination.family == .ipv6, destination.isLinkLocal {
            result.kind = interfaces[ingress].isUp ? .unicast : .none
            return result
        }
        return fib.lookup(destination, flowHash: flowHash, interfaces: interfaces)
    }

    /// The hash for `flowHash`: addresses only, so that fragments stay with their flow (Linux's
    /// fib_multipath_hash_policy 0).
    public static func flowHash(_ source: IPAddress, _ destination: IPAddress, seed: UInt64) -> UInt32 {
        let first = (source.high ^ source.low ^ seed).multipliedFullWidth(by: 0x9e37_79b9_7f4a_7c15)
        let second = (destination.high ^ destination.low ^ first.low ^ first.high).multipliedFullWidth(by: 0xd6e8_feb8_6659_fd93)
        return UInt32(truncatingIfNeeded: (second.high ^ second.low) >> 32)
    }
}
