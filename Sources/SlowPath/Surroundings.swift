// What rules may ask outside of their packet (`fib`, `rt mtu`, `ct count`), behind C function pointers.
//
// Invariant: lives at one address as long as its SlowPath; the functions only read.
import Conntrack
import Policy
import Routing
import Wire

struct Surroundings: ~Copyable {
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
            return tracker.pointee.isCurrent(index, generation: UInt32(truncatingIfNeeded: identifier >> 32))
        }
        return lookups
    }

    /// `fib`: net/ipv4/netfilter/nft_fib_ipv4.c, net/ipv6/netfilter/nft_fib_ipv6.c.
    private func answer(_ query: FIBQuery) -> FIBAnswer {
        let hash = Router.flowHash(query.other, query.address, seed: 0)
        let route = router.route(to: query.address, ingress: query.interface, flowHash: hash)
        var answer = FIBAnswer()
        answer.addressType = Self.addressType(route.kind)
        answer.interface = route.port
        answer.found = route.kind != .none
        if query.interface != PacketContext.noInterface, route.kind == .unicast || route.kind == .local, route.port != query.interface {
            answer = FIBAnswer()
        }
        return answer
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
        }
    }
}
