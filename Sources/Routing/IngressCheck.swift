// Which addresses may come in by a port at all: Linux's martian checks (ip_route_input_slow, fib_validate_source), made
// behind prerouting and before the route lookup. IPv6's own are made by the parser, as in ip6_rcv_core.
//
// Reverse-path filtering is off, as rp_filter=0; `fib saddr . iif oif missing` in a ruleset does that job.
import Wire

extension Router {
    /// `.none` if an IPv4 packet with these addresses may be routed.
    public mutating func checkIngress(source: IPAddress, destination: IPAddress) -> DropReason {
        guard source.family == .ipv4 else { return .none }
        if source.isMulticast || source.isLimitedBroadcast { return .martianSource }
        let isBroadcast = destination.isLimitedBroadcast || (source.isUnspecified && destination.isUnspecified)
        if !isBroadcast {
            // Who has no address yet may speak to the groups of the link (ip_mc_validate_source).
            if source.isUnspecified { return destination.isLinkLocalGroup ? .none : .martianSource }
            if destination.isUnspecified { return .martianDestination }
            if destination.isLoopback { return .martianDestination }
            if source.isLoopback { return .martianSource }
        } else if source.isUnspecified {
            // A DHCP client's first words.
            return .none
        } else if source == IPAddress(ipv4: 0x7f00_0001) {
            // The loopback interface's own, as the router's are.
            return .martianSource
        }
        // Our own address from outside (accept_local=0). Where there are rules, Linux looks the source up, and then a
        // subnet's broadcast address is refused as well.
        let kind = interfaces.kind(of: source)
        return kind == .unicast || (kind == .broadcast && tables.hasRules) ? .martianSource : .none
    }
}
