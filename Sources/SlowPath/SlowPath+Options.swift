// IP options on a packet's way: IPv6 hop-by-hop options before prerouting, IPv4 options behind the route lookup and again
// behind the forward hook, where Linux looks at them.
//
// What the router answers with carries some of the options again.
//
// Sources: net/ipv6/exthdrs.c (ipv6_parse_hopopts), net/ipv4/ip_input.c (ip_rcv_options), net/ipv4/ip_options.c.
import Routing
import Wire

extension SlowPath {
    /// Hop-by-hop options; nil if the packet goes on.
    mutating func checkHopByHop(_ transit: inout Transit) -> Disposition? {
        var error: ICMPError?
        let defect = IPv6Options.check(transit.context.packet, transit.context.parsed, error: &error)
        guard defect != .none else { return nil }
        if let error { sendError(error, about: transit) }
        return .dropped(defect)
    }

    /// IPv4 options of a packet from the wire; nil if it goes on.
    mutating func receiveOptions(_ transit: inout Transit) -> Disposition? {
        guard transit.context.parsed.flags.contains(.hasOptions), transit.context.parsed.family == .ipv4 else { return nil }
        let parsed = transit.context.parsed
        let sender = parsed.sourceAddress
        let back = router.route(to: sender, ingress: transit.ingress)
        let local = router.errorSource(aboutPacketTo: parsed.destinationAddress, routeBack: back, to: sender) ?? IPAddress(ipv4: 0)
        var error: ICMPError?
        let defect = router.receiveOptions(
            transit.packet, parsed, localAddress: local, millisecondsOfDay: millisecondsOfDay(transit.now), state: &transit.options, error: &error)
        guard defect != .none else { return nil }
        if let error { sendError(error, about: transit) }
        return .dropped(defect)
    }

    /// The options of an answer from `source` to a packet; nil if Linux would not answer for its options' sake.
    func answerOptions(_ transit: borrowing Transit, source: IPAddress) -> IPv4AnswerOptions? {
        guard transit.context.parsed.flags.contains(.hasOptions), transit.context.parsed.family == .ipv4 else { return IPv4AnswerOptions() }
        return router.answerOptions(
            to: transit.context.packet, transit.context.parsed, state: transit.options, source: source, millisecondsOfDay: millisecondsOfDay(transit.context.now))
    }

    /// Since midnight UT.
    private func millisecondsOfDay(_ now: Timestamp) -> UInt32 { UInt32(truncatingIfNeeded: (settings.wallClockOffset &+ now) / 1_000_000 % 86_400_000) }

    /// IPv4 options of a packet that is to leave.
    mutating func forwardOptions(_ transit: inout Transit) {
        guard transit.context.parsed.flags.contains(.hasOptions), transit.context.parsed.family == .ipv4 else { return }
        let parsed = transit.context.parsed
        let destination = parsed.destinationAddress
        let route = router.route(routeQuery(&transit))
        // A rule wrote a destination that is not this port's: the port's own address (ip_rt_get_source looks for a route by this port alone).
        let outgoing = route.port == transit.egress
            ? router.sourceAddress(for: route, to: destination) : router.solicitationSource(port: transit.egress, target: transit.isOnLink ? destination : transit.nextHop)
        router.forwardOptions(transit.context.packet, parsed, state: transit.options, outgoingAddress: outgoing ?? IPAddress(ipv4: 0))
    }
}
