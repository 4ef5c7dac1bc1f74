// The routing decision: own addresses, then rules and tables (fib_lookup, ip_route_input_slow, ip_route_output_key).
//
// Nothing here changes a router. What packets ask is `mutating` all the same, as is `checkIngress`: for a borrow the compiler copies the whole
// value before each call (measured: 85 instructions).
import Wire

extension Router {
    /// Where a packet of the router's own to `destination` goes, its source not chosen yet.
    ///
    /// - Parameters:
    ///   - ingress: for link-local and multicast destinations, the port that they speak of.
    ///   - flowHash: see `FIB.lookup`.
    public mutating func route(to destination: IPAddress, ingress: PortIndex, flowHash: UInt32 = 0) -> RouteResult {
        var query = RouteQuery(to: destination, link: ingress)
        query.flowHash = flowHash
        return route(query)
    }

    /// Where a packet goes.
    public mutating func route(_ query: RouteQuery) -> RouteResult {
        let destination = query.destination
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
        result.port = query.link
        result.nextHop = destination
        result.mtu = interfaces[query.link].mtu
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
            // A port without a link-local address has no route to such addresses but what the tables say.
            if !interfaces.hasLinkLocal(query.link) {
                var found = tables.lookup(query, main: fib, interfaces: interfaces)
                if found.kind == .unicast, found.port != query.link { found.kind = .none }
                return found
            }
            result.kind = interfaces[query.link].isUp ? .unicast : .none
            return result
        }
        return tables.lookup(query, main: fib, interfaces: interfaces)
    }

    /// Whether a next hop of the route that answers `query` is on `port`; false for own addresses.
    public func reaches(_ query: RouteQuery, by port: PortIndex) -> Bool {
        if interfaces.kind(of: query.destination) == .unicast { return false }
        return tables.reaches(query, by: port, main: fib, interfaces: interfaces)
    }

    /// The hash for `flowHash`, the same for both directions of a flow (as Linux's fib_multipath_hash_policy). Addresses
    /// only, unless ports are given, so that fragments stay with their flow.
    /// - Parameter ports: source, destination and protocol, in any order that is the same for both directions; 0 for none.
    public static func flowHash(_ source: IPAddress, _ destination: IPAddress, ports: UInt64 = 0, seed: UInt64) -> UInt32 {
        // Sum and exclusive or do not care which address comes first.
        let first = (source.high &+ destination.high ^ seed).multipliedFullWidth(by: 0x9e37_79b9_7f4a_7c15)
        let second = ((source.low &+ destination.low) ^ first.low ^ first.high).multipliedFullWidth(by: 0xd6e8_feb8_6659_fd93)
        let third = ((source.low ^ destination.low) &+ (source.high ^ destination.high) ^ second.low ^ second.high &+ ports).multipliedFullWidth(by: 0xe703_7ed1_a0b4_28db)
        return UInt32(truncatingIfNeeded: (third.high ^ third.low) >> 32)
    }
}
