// What rules may ask outside of their packet (`fib`, `rt mtu`, `ct count`), behind C function pointers.
//
// Invariant: lives at one address as long as its SlowPath; the functions only read.
import Conntrack
import Policy
import Routing
import Wire

struct Surroundings: ~Copyable {
    /// First, so that a pointer to the whole is one to it.
    var router: Router
    let tracker: UnsafeMutablePointer<ConnectionTracker>

    static func lookups(_ surroundings: UnsafeMutablePointer<Surroundings>) -> PolicyLookups {
        var lookups = PolicyLookups()
        lookups.userData = UnsafeMutableRawPointer(surroundings)
        lookups.fib = { user, query, answer in
            guard let user else { return }
            let query = query.assumingMemoryBound(to: FIBQuery.self).pointee
            answer.assumingMemoryBound(to: FIBAnswer.self).pointee = user.assumingMemoryBound(to: Surroundings.self).pointee.answer(query)
        }
        lookups.routeMTU = { user, address in
            guard let user else { return 0 }
            let address = address.assumingMemoryBound(to: IPAddress.self).pointee
            let route = user.assumingMemoryBound(to: Surroundings.self).pointee.router.route(to: address, ingress: PortIndex.max)
            return route.kind == .unicast ? route.mtu : 0
        }
        lookups.isConnectionAlive = { user, identifier in
            guard let user else { return false }
            let tracker = user.assumingMemoryBound(to: Surroundings.self).pointee.tracker
            let index = UInt32(truncatingIfNeeded: identifier & 0xffff_ffff) &- 1
            guard tracker.pointee.isCurrent(index, generation: UInt32(truncatingIfNeeded: identifier >> 32)) else { return false }
            // A TCP connection that has ended counts no more, though it is remembered for a while (nf_conncount's already_closed).
            let connection = tracker.pointee.connection(index)
            return connection.pointee.transportProtocol != IPProtocol.tcp || (connection.pointee.tcpState != .timeWait && connection.pointee.tcpState != .close)
        }
        return lookups
    }

    /// `fib`: net/ipv4/netfilter/nft_fib_ipv4.c, net/ipv6/netfilter/nft_fib_ipv6.c.
    private mutating func answer(_ query: FIBQuery) -> FIBAnswer {
        var answer = FIBAnswer()
        if query.wantsType {
            answer.addressType = query.address.family == .ipv4 ? ipv4Type(query) : ipv6Type(query)
            return answer
        }
        // A DHCP client's first words: no route leads to 0.0.0.0.
        let source = query.isSource ? query.address : query.other, destination = query.isSource ? query.other : query.address
        if source.family == .ipv4, source.isUnspecified, destination.isLimitedBroadcast || destination.ipv4 >> 8 == 0xe0_0000 {
            answer.found = true
            answer.interface = query.device
            return answer
        }
        let own = router.interfaces.owner(of: query.address)
        guard own.kind == .none || (own.kind == .broadcast && query.address.family == .ipv4) else { return answer }
        var lookup = routeQuery(query)
        // Linux does not look up groups and the limited broadcast address apart: the default route leads there.
        let isGroup = query.address.family == .ipv4 && (query.address.isMulticast || query.address.isLimitedBroadcast)
        lookup.link = query.interface != PacketContext.noInterface ? query.interface : query.device
        let route = isGroup ? router.tables.lookup(lookup, main: router.fib, interfaces: router.interfaces) : router.route(lookup)
        switch route.kind {
        case .unicast, .broadcast, .multicast: break
        case .local, .none, .blackhole, .unreachable, .prohibit, .throw: return answer
        }
        answer.found = true
        answer.interface = route.port
        if query.interface != PacketContext.noInterface, route.port != query.interface {
            // Any of a route's next hops will do for IPv4, and nothing but the one that the lookup gives for IPv6.
            guard query.address.family == .ipv4, router.reaches(lookup, by: query.interface) else { return FIBAnswer() }
            answer.interface = query.interface
        }
        return answer
    }

    private func routeQuery(_ query: FIBQuery) -> RouteQuery {
        var lookup = RouteQuery(to: query.address, link: query.device)
        let other = query.other
        let isUnusable = other.isMulticast || (other.family == .ipv4 && (other.isLimitedBroadcast || other.isUnspecified))
        if !isUnusable { lookup.source = other }
        if query.address.isLinkLocal { lookup.ingress = query.device }
        lookup.mark = query.mark
        lookup.transportProtocol = query.transportProtocol
        lookup.flowHash = Router.flowHash(query.other, query.address, seed: 0)
        return lookup
    }

    /// IPv4 asks the table "local" alone: what is not ours is unicast, whatever the routes say (inet_dev_addr_type).
    private mutating func ipv4Type(_ query: FIBQuery) -> UInt8 {
        let address = query.address
        if address.isUnspecified || address.isLimitedBroadcast { return Self.addressType(.broadcast) }
        if address.isMulticast { return Self.addressType(.multicast) }
        if address.isLoopback { return Self.addressType(query.interface == PacketContext.noInterface ? .local : .unicast) }
        let own = router.interfaces.owner(of: address)
        guard own.kind != .none, query.interface == PacketContext.noInterface || query.interface == own.port else { return Self.addressType(.unicast) }
        return Self.addressType(own.kind == .broadcast ? .broadcast : .local)
    }

    private mutating func ipv6Type(_ query: FIBQuery) -> UInt8 {
        // Unspecified and IPv4-mapped addresses have no type.
        if query.address.isUnspecified || (query.address.high == 0 && query.address.low >> 32 == 0xffff) { return Self.addressType(.none) }
        let hasDevice = query.interface != PacketContext.noInterface
        let own = router.interfaces.owner(of: query.address)
        if own.kind == .anycast { return 4 }
        if own.kind == .unicast {
            let isHere = !hasDevice || router.interfaces.isOwn(query.address, on: query.interface)
            return Self.addressType(isHere ? .local : .unicast)
        }
        if query.address.isMulticast { return Self.addressType(.multicast) }
        if query.address.isLoopback { return Self.addressType(hasDevice ? .unicast : .local) }
        var lookup = routeQuery(query)
        if hasDevice { lookup.link = query.interface }
        let route = router.route(lookup)
        return Self.addressType(route.kind == .none ? .unreachable : route.kind)
    }

    /// Linux's RTN_* numbers.
    private static func addressType(_ kind: RouteKind) -> UInt8 {
        switch kind {
        case .none: 0
        case .unicast: 1
        case .local: 2
        case .broadcast: 3
        case .multicast: 5
        case .blackhole: 6
        case .unreachable: 7
        case .prohibit: 8
        case .throw: 9
        }
    }
}
