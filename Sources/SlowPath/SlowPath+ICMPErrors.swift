// ICMP errors that the router itself sends: when, from which address, how many.
//
// Invariant: never an error about an error, a later fragment, a broadcast or a packet without a source that may be answered
// (RFC 1122 section 3.2.2, RFC 4443 section 2.4(e); as Linux, to a subnet's broadcast address it is sent); the rate is bounded by ICMPRateLimiter.
import Routing
import Wire

extension SlowPath {
    /// Sends an ICMP error about the packet as it stands now, if one may be sent at all. `isAttached`: before conntrack looks,
    /// the error belongs to the packet's connection already. `isUnrouted`: nobody has asked yet whether the packet is for the
    /// router, and IPv4 answers from where it would answer for a passing one.
    mutating func sendError(_ error: ICMPError, about transit: borrowing Transit, isAttached: Bool = true, isUnrouted: Bool = false) {
        let parsed = transit.context.parsed
        let isAnywhere = isUnrouted && parsed.family == .ipv4
        let isBroadcastFrame = transit.context.packetType != PacketType.host || isBroadcast(isAnywhere ? parsed.sourceAddress : parsed.destinationAddress)
        guard let family = parsed.family, error.mayAnswer(transit.context.packet, parsed, isLinkBroadcast: isBroadcastFrame, isUnrouted: isAnywhere) else {
            return statistics.count(note: .icmpErrorSuppressed)
        }
        guard errorLimiter.allows(now: transit.context.now) else { return statistics.count(note: .icmpRateLimited) }
        let sender = parsed.sourceAddress
        var query = RouteQuery(to: sender, link: transit.ingress)
        // To everybody on a link IPv6 answers from an address of its choice.
        let isUnnamed = family == .ipv4 ? isUnrouted : transit.context.packetType != PacketType.host
        let isOwn = router.interfaces.isOwn(parsed.destinationAddress) && !isUnnamed
        // A rule of the input hook wrote an address that nobody has: no route begins there (ip_route_output_key).
        if family == .ipv4, transit.context.hook == .input, !isOwn { return statistics.count(note: .icmpErrorSuppressed) }
        if isOwn { query.source = parsed.destinationAddress }
        let back = router.route(query)
        // What claims to come from the router itself, IPv4 answers from where it was sent to, before routing too (RTCF_LOCAL).
        let isFromUs = isAnywhere && back.kind == .local
        if isFromUs, !router.interfaces.isOwn(parsed.destinationAddress), !parsed.destinationAddress.isLoopback { return statistics.count(note: .icmpErrorSuppressed) }
        let about = isUnnamed ? IPAddress(family: family, high: 0, low: 0) : parsed.destinationAddress
        guard back.kind == .unicast || back.kind == .broadcast || back.kind == .local,
              let source = isFromUs ? parsed.destinationAddress : router.errorSource(aboutPacketTo: about, routeBack: back, to: sender, ingress: transit.ingress) else {
            return statistics.count(note: .icmpErrorSuppressed)
        }
        guard let options = answerOptions(transit, source: source) else { return statistics.count(note: .icmpErrorSuppressed) }
        guard var room = outbox.reserve(ICMPError.maximumLength) else { return statistics.count(note: .noBuffer) }
        room.length = error.build(
            into: room, about: transit.context.packet, parsed, source: source, identification: UInt16(truncatingIfNeeded: random.next()),
            flowLabel: flowLabel(family, source, sender), link: LinkHeader(), options: options)
        guard room.length > 0 else { return }
        // Linux attaches the connection of what the error is about (icmp_glue_bits): it is related, and NAT undoes in the
        // quoted packet what it did to the original.
        var attached = isAttached ? attachment(transit.tracking) : .unseen
        attached.isRelatedError = attached.hasConnection
        sendOwn(room, transit, attached: attached, isSourceOpen: !isOwn)
    }

    /// RFC 6437: a label that looks random and is the same for all packets of a flow.
    mutating func flowLabel(_ family: AddressFamily, _ source: IPAddress, _ destination: IPAddress) -> UInt32 {
        family == .ipv4 ? 0 : max(1, Router.flowHash(source, destination, seed: ~settings.seed) & 0xf_ffff)
    }

    mutating func isBroadcast(_ address: IPAddress) -> Bool {
        address.isLimitedBroadcast || (address.family == .ipv4 && address.isUnspecified) || router.interfaces.kind(of: address) == .broadcast
    }
}
