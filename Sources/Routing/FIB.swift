// The forwarding information base: routes in, next hops out.
//
// A longest-prefix backend maps a prefix to a group number; the group says what the route does and by which next hops.
// Invariant: one writer, the thread that also looks up; group 0 means "no route"; equal groups are shared and freed with
// their last route.
//
// Overload: `groupCapacity` groups, `hopsPerGroup` next hops each, and whatever the backend takes: beyond that a route is
// refused with an error and nothing has changed. Nothing is evicted. Packets cannot add anything.
import Wire

public struct FIB: ~Copyable {
    /// Most next hops of one route.
    public static var hopsPerGroup: Int { 16 }

    struct Hop {
        var gateway = IPAddress(ipv4: 0)
        var port: PortIndex = 0
        var weight: UInt16 = 0
        var hasGateway = false
    }
    struct Group {
        var kind = RouteKind.none
        var prefixLength: UInt8 = 0
        var hopCount: UInt8 = 0
        var mtu: UInt32 = 0
        var users: UInt32 = 0
        var preferredSource = IPAddress(ipv4: 0)
    }
    /// What makes two groups equal.
    private struct GroupKey: Hashable {
        var kind: RouteKind
        var prefixLength: UInt8
        var nextHops: [NextHop]
        var mtu: UInt32
        var preferredSource: IPAddress?
    }

    private let backend4: any FIBBackend
    private let backend6: any FIBBackend
    private let lookup4: FIBLookup
    private let lookup6: FIBLookup
    private let groups: UnsafeMutablePointer<Group>
    private let hops: UnsafeMutablePointer<Hop>
    private let groupCapacity: Int
    private var freeGroups: [UInt32] = []
    private var usedGroups = 1
    private var groupNumbers: [GroupKey: UInt32] = [:]
    private var keys: [UInt32: GroupKey] = [:]
    /// Every route that was added, lowest metric first.
    private var table: [IPPrefix: [Route]] = [:]
    private var active: [IPPrefix: UInt32] = [:]
    /// Changes with every change of a route: what was cached under an older one has to be looked up again.
    public private(set) var generation: UInt32 = 1

    /// - Parameters:
    ///   - ipv4: a backend of family IPv4; the reference table by default.
    ///   - ipv6: as well, for IPv6.
    public init(ipv4: any FIBBackend = PrefixTrie(family: .ipv4), ipv6: any FIBBackend = PrefixTrie(family: .ipv6), groupCapacity: Int = 4096) {
        precondition(ipv4.family == .ipv4 && ipv6.family == .ipv6)
        backend4 = ipv4
        backend6 = ipv6
        lookup4 = ipv4.lookup
        lookup6 = ipv6.lookup
        self.groupCapacity = groupCapacity
        groups = .allocate(capacity: groupCapacity)
        groups.initialize(repeating: Group(), count: groupCapacity)
        hops = .allocate(capacity: groupCapacity * FIB.hopsPerGroup)
        hops.initialize(repeating: Hop(), count: groupCapacity * FIB.hopsPerGroup)
    }

    deinit {
        groups.deallocate()
        hops.deallocate()
    }

    /// All routes, by prefix, longest last.
    public var routes: [Route] {
        table.values.flatMap { $0 }.sorted {
            ($0.destination.address.family.rawValue, $0.destination.address.high, $0.destination.address.low, $0.destination.length, $0.metric)
                < ($1.destination.address.family.rawValue, $1.destination.address.high, $1.destination.address.low, $1.destination.length, $1.metric)
        }
    }

    // MARK: - Configuration

    /// Adds a route; one to the same prefix with the same metric is replaced.
    public mutating func add(_ route: Route) throws(RoutingError) {
        let prefix = route.destination.network
        guard prefix == route.destination else { throw RoutingError("route \(route.destination): there are bits set behind the prefix; did you mean \(prefix)?") }
        try check(route)
        var routes = table[prefix] ?? []
        routes.removeAll { $0.metric == route.metric }
        routes.insert(route, at: routes.firstIndex { $0.metric > route.metric } ?? routes.endIndex)
        try activate(routes, for: prefix)
    }

    /// Removes the route with this prefix and metric, or with any metric if that is nil.
    public mutating func remove(_ destination: IPPrefix, metric: UInt32? = nil) throws(RoutingError) {
        let prefix = destination.network
        guard var routes = table[prefix] else { throw RoutingError("there is no route to \(prefix)") }
        let count = routes.count
        routes.removeAll { metric == nil || $0.metric == metric }
        guard routes.count < count else { throw RoutingError("there is no route to \(prefix) with metric \(metric!)") }
        try activate(routes, for: prefix)
    }

    private func check(_ route: Route) throws(RoutingError) {
        if route.kind == .unicast {
            guard !route.nextHops.isEmpty else { throw RoutingError("route \(route.destination): it needs a port or a gateway") }
            guard route.nextHops.count <= FIB.hopsPerGroup else { throw RoutingError("route \(route.destination): more than \(FIB.hopsPerGroup) next hops") }
        } else {
            guard route.nextHops.count <= 1 else { throw RoutingError("route \(route.destination): a \(route.kind) route has no next hops") }
            guard route.kind != .none else { throw RoutingError("route \(route.destination): it has no kind") }
        }
        for hop in route.nextHops {
            guard hop.weight > 0 else { throw RoutingError("route \(route.destination): a next hop of weight 0 takes no flows") }
            if let gateway = hop.gateway {
                guard gateway.family == route.destination.address.family else { throw RoutingError("route \(route.destination): gateway \(gateway) is of the other family") }
                guard !gateway.isMulticast, !gateway.isUnspecified, !gateway.isLimitedBroadcast else { throw RoutingError("route \(route.destination): \(gateway) cannot be a gateway") }
            }
        }
        if let source = route.preferredSource, source.family != route.destination.address.family {
            throw RoutingError("route \(route.destination): source \(source) is of the other family")
        }
    }

    /// Makes the first of `routes` the one that counts.
    private mutating func activate(_ routes: [Route], for prefix: IPPrefix) throws(RoutingError) {
        let backend = prefix.address.family == .ipv4 ? backend4 : backend6
        let previous = active[prefix]
        if let best = routes.first {
            let number = try acquire(best)
            do { try backend.insert(prefix, value: number) } catch {
                release(number)
                throw error
            }
            active[prefix] = number
            table[prefix] = routes
        } else {
            try backend.remove(prefix)
            active[prefix] = nil
            table[prefix] = nil
        }
        if let previous { release(previous) }
        generation &+= 1
    }

    private mutating func acquire(_ route: Route) throws(RoutingError) -> UInt32 {
        let key = GroupKey(kind: route.kind, prefixLength: route.destination.length, nextHops: route.nextHops, mtu: route.mtu, preferredSource: route.preferredSource)
        if let number = groupNumbers[key] {
            groups[Int(number)].users += 1
            return number
        }
        let number: UInt32
        if let free = freeGroups.popLast() {
            number = free
        } else {
            guard usedGroups < groupCapacity else { throw RoutingError("route \(route.destination): more than \(groupCapacity - 1) different next hops") }
            number = UInt32(usedGroups)
            usedGroups += 1
        }
        var group = Group()
        group.kind = route.kind
        group.prefixLength = route.destination.length
        group.hopCount = UInt8(route.nextHops.count)
        group.mtu = route.mtu
        group.users = 1
        group.preferredSource = route.preferredSource ?? IPAddress(family: route.destination.address.family, high: 0, low: 0)
        groups[Int(number)] = group
        for (index, hop) in route.nextHops.enumerated() {
            hops[Int(number) * FIB.hopsPerGroup + index] = Hop(
                gateway: hop.gateway ?? IPAddress(ipv4: 0), port: hop.port, weight: hop.weight, hasGateway: hop.gateway != nil)
        }
        groupNumbers[key] = number
        keys[number] = key
        return number
    }

    private mutating func release(_ number: UInt32) {
        groups[Int(number)].users -= 1
        guard groups[Int(number)].users == 0 else { return }
        if let key = keys.removeValue(forKey: number) { groupNumbers[key] = nil }
        freeGroups.append(number)
    }

    // MARK: - Packet path

    /// The route for a destination. Own addresses are not in here: `Router.route` asks for them first.
    ///
    /// - Parameters:
    ///   - flowHash: chooses among several next hops; one value for all packets of a flow keeps the flow on one path.
    ///   - interfaces: a next hop whose port is down is passed over; the port's MTU counts if the route has none.
    public func lookup(_ destination: IPAddress, flowHash: UInt32, interfaces: borrowing InterfaceTable) -> RouteResult {
        let lookup = destination.family == .ipv4 ? lookup4 : lookup6
        let number = lookup(destination)
        var result = RouteResult()
        result.nextHop = destination
        guard number != FIBLookup.noRoute, number < UInt64(usedGroups) else { return result }
        let group = groups[Int(number)]
        result.kind = group.kind
        result.prefixLength = group.prefixLength
        result.preferredSource = group.preferredSource
        result.mtu = group.mtu
        let first = hops + Int(number) * FIB.hopsPerGroup
        guard group.kind == .unicast else {
            if group.hopCount == 1 { result.port = first.pointee.port }
            return result
        }
        // Hash threshold (RFC 2992) over the next hops that are up: a flow moves only if the set changes.
        var total: UInt64 = 0
        for index in 0..<Int(group.hopCount) where interfaces[first[index].port].isUp { total &+= UInt64(first[index].weight) }
        guard total > 0 else {
            // As if the route were not there: a rule's next table may have another.
            result.kind = .none
            return result
        }
        var position = (UInt64(flowHash) &* total) >> 32
        for index in 0..<Int(group.hopCount) where interfaces[first[index].port].isUp {
            let hop = first[index]
            if position < UInt64(hop.weight) {
                result.port = hop.port
                result.isOnLink = !hop.hasGateway
                if hop.hasGateway { result.nextHop = hop.gateway }
                if result.mtu == 0 { result.mtu = interfaces[hop.port].mtu } else { result.mtu = min(result.mtu, interfaces[hop.port].mtu) }
                break
            }
            position &-= UInt64(hop.weight)
        }
        return result
    }

    /// Whether the route to `destination` has a next hop on `port` (fib_info_nh_uses_dev).
    public func reaches(_ destination: IPAddress, by port: PortIndex) -> Bool {
        let number = (destination.family == .ipv4 ? lookup4 : lookup6)(destination)
        guard number != FIBLookup.noRoute, number < UInt64(usedGroups), groups[Int(number)].kind == .unicast else { return false }
        for index in 0 ..< Int(groups[Int(number)].hopCount) where hops[Int(number) * FIB.hopsPerGroup + index].port == port { return true }
        return false
    }
}
