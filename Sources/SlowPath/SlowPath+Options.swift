// IP options on a packet's way: IPv6 hop-by-hop options before prerouting, IPv4 options behind the route lookup and again
// behind the forward hook, where Linux looks at them.
//
// Sources: net/ipv6/exthdrs.c (ipv6_parse_hopopts), net/ipv4/ip_input.c (ip_rcv_options), net/ipv4/ip_options.c.
import Routing
import Wire

extension SlowPath {
    /// Hop-by-hop options; nil if the packet goes on.
    mutating func checkHopByHop(_ transit: borrowing Transit) -> Disposition? {
        var error: ICMPError?
        let defect = HopByHopOptions.check(transit.context.packet, transit.context.parsed, error: &error)
        guard defect != .none else { return nil }
        if let error { sendError(error, about: transit) }
        return .dropped(defect)
    }

    /// IPv4 options of a packet from the wire; nil if it goes on.
    mutating func receiveOptions(_ transit: inout Transit) -> Disposition? {
        let parsed = transit.parsed
        guard parsed.family == .ipv4, parsed.flags.contains(.hasOptions) else { return nil }
        let sender = parsed.sourceAddress
        let back = router.route(to: sender, ingress: transit.ingress)
        let local = router.errorSource(aboutPacketTo: parsed.destinationAddress, routeBack: back, to: sender) ?? IPAddress(ipv4: 0)
        let milliseconds = (settings.wallClockOffset &+ transit.now) / 1_000_000 % 86_400_000
        var error: ICMPError?
        let defect = router.receiveOptions(
            transit.packet, parsed, localAddress: local, millisecondsOfDay: UInt32(truncatingIfNeeded: milliseconds), state: &transit.options, error: &error)
        guard defect != .none else { return nil }
        if let error { sendError(error, about: transit) }
        return .dropped(defect)
    }

    /// IPv4 options of a packet that is to leave.
    func forwardOptions(_ transit: borrowing Transit) {
        let parsed = transit.context.parsed
        guard parsed.family == .ipv4, parsed.flags.contains(.hasOptions) else { return }
        let destination = parsed.destinationAddress
        let route = router.route(routeQuery(transit))
        let outgoing = router.sourceAddress(for: route, to: destination) ?? IPAddress(ipv4: 0)
        router.forwardOptions(transit.context.packet, parsed, state: transit.options, outgoingAddress: outgoing)
    }
}
