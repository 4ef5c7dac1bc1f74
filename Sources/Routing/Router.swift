// Ports, addresses, routes and neighbours together: what the slow path asks "where does this go".
//
// Invariant: one thread owns it. Own addresses come before rules and routes, as Linux's table "local" comes first.
import Wire

public struct Router: ~Copyable {
    public var interfaces: InterfaceTable
    /// The table "main".
    public var fib: FIB
    public var tables = RouteTables()
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
    /// Takes over the addresses, routes, tables and rules of a router with the same interfaces, which gets what was here. What is known of the
    /// network stays: neighbours, whether links are up, MTUs.
    public mutating func exchange(_ other: inout Router) {
        for port in 0 ..< interfaces.capacity {
            other.interfaces.setMTU(interfaces[PortIndex(port)].mtu, port: PortIndex(port))
            other.interfaces.setUp(interfaces[PortIndex(port)].isUp, port: PortIndex(port))
        }
        swap(&interfaces, &other.interfaces)
        swap(&fib, &other.fib)
        swap(&tables, &other.tables)
    }

    static func connectedMetric(_ family: AddressFamily) -> UInt32 { family == .ipv4 ? 0 : 256 }

    /// Adds a route whose gateways must be neighbours. A next hop with a gateway may leave its port out
    /// (`Router.anyPort`): it is found by the gateway's connected route.
    /// - Parameter table: one that `tables` has, or "main".
    public mutating func addRoute(_ route: Route, table: UInt32 = RouteTables.main) throws(RoutingError) {
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
        if table == RouteTables.main { try fib.add(route) } else { try tables.addRoute(route, table: table) }
    }

    /// Stands for "find the port" in a next hop given to `addRoute`.
    public static var anyPort: PortIndex { PortIndex.max }
}
