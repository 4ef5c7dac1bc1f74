// Packets of the router itself, on their way out: routed, through the output and postrouting hooks, to the link.
//
// Invariant: an own packet causes another one at most once, where a rule refuses it (`depth`), so that one frame from the
// wire has a bounded echo.
import Conntrack
import Policy
import Routing
import Wire

extension SlowPath {
    /// Sends a packet that was built in the outbox because of `cause`. `attached` is the connection that it belongs to
    /// without asking conntrack (nf_ct_attach: what a reject rule sends is related to what it refused). Linux routes an ICMP
    /// error about a passing packet before it knows the error's source: `isSourceOpen`. `beginsSynproxy`: the connection that it
    /// begins is synproxy's. `isPartial`: see `PacketContext.hasPartialChecksum`.
    mutating func sendOwn(
        _ packet: PacketBuffer, _ cause: borrowing Transit, attached: Tracking = .unseen, isSourceOpen: Bool = false, beginsSynproxy: Bool = false, isPartial: Bool = false
    ) {
        // Only what rules refuse of our own at the output hook is answered, and ICMP never: Linux's socket for it is busy then.
        if depth > 0 { guard depth == 1, cause.isOwn, !isICMP(cause) else { return } }
        depth += 1
        var own = Transit(packet: packet, ingress: Transit.noPort, now: cause.context.now, isInPlace: false)
        prepare(&own.context, records: false)
        own.beginsSynproxy = beginsSynproxy
        own.context.hasPartialChecksum = isPartial
        own.cause = cause.ingress
        let disposition = sendOwn(&own, attached: attached, template: cause.context.conntrack, isSourceOpen: isSourceOpen)
        if disposition == .forwarded { statistics.answered &+= 1 }
        finish(disposition, &own)
        depth -= 1
        if depth == 0, hasReturning { receiveReturning() }
    }

    private func isICMP(_ transit: borrowing Transit) -> Bool {
        transit.context.parsed.transportProtocol == (transit.context.parsed.family == .ipv4 ? IPProtocol.icmp : IPProtocol.icmpv6)
    }

    private mutating func sendOwn(_ own: inout Transit, attached: Tracking, template: borrowing ConntrackView, isSourceOpen: Bool) -> Disposition {
        let defect = PacketParser.parse(own.packet, into: &own.context.parsed)
        guard defect == .none else { return .dropped(defect) }
        guard routeOwn(&own, isSourceOpen: isSourceOpen) else { return .dropped(.noRoute) }
        own.tracking = attached
        // Rules may ask how much the connection carried, workers' packets included.
        if attached.hasConnection { creditFlows(of: attached.connection, now: own.now) }
        refreshView(&own)
        if template.hasTemplate { inheritTemplate(template, &own) }
        if let ended = runHook(.output, &own) { return ended }
        return postroute(&own)
    }

    /// What was refused before it was tracked had a stand-in for its connection, and so has the answer: related, the other way, in the same zone
    /// (nf_conntrack_attach).
    private func inheritTemplate(_ template: borrowing ConntrackView, _ own: inout Transit) {
        guard !own.tracking.hasConnection else { return }
        own.context.conntrack.hasTemplate = true
        own.context.conntrack.state = ConntrackState.related
        own.context.conntrack.direction = 1
        own.context.conntrack.requestedZone = template.requestedZone
        own.context.conntrack.requestedZoneDirections = template.requestedZoneDirections
    }

    /// A chain of type route at the output hook changed what routing asks, or NAT did: routed anew at once, whatever later chains change
    /// (ip_route_me_harder). nil if the packet goes on; the hook's chains go on seeing the port of before.
    mutating func routeAgain(_ own: inout Transit) -> Disposition? {
        guard routeOwn(&own, isSourceOpen: false) else { return .dropped(.noRoute) }
        own.context.routeMTU = UInt32(own.pathMTU)
        own.context.nextHop = own.nextHop
        own.context.isOnLink = own.isOnLink
        return nil
    }

    private mutating func routeOwn(_ own: inout Transit, isSourceOpen: Bool) -> Bool {
        let port = own.cause
        if NeighbourMessage.isDiscovery(own.parsed) {
            // Never leaves the link that it speaks of, whatever the routes say (ndisc_send_skb).
            own.egress = port
            own.nextHop = own.parsed.destinationAddress
            own.pathMTU = Int(router.interfaces[port].mtu)
            return router.interfaces[port].exists
        }
        var query = routeQuery(&own)
        query.link = port
        if isSourceOpen { query.source = IPAddress(family: query.destination.family, high: 0, low: 0) }
        let result = router.route(query)
        own.isLooped = result.kind == .local
        guard own.isLooped || result.kind == .unicast || result.kind == .multicast || result.kind == .broadcast else { return false }
        apply(result, &own)
        if own.isLooped {
            own.egress = Transit.noPort
            if query.destination.family == .ipv4 { own.pathMTU = SlowPath.loopbackMTU }
            own.isOnLink = true
        }
        return true
    }

    /// `reject`: a TCP reset or an ICMP error, as nf_send_reset and nf_send_unreach send it. Nothing for a packet with a
    /// bad transport checksum, a later fragment, a reset.
    mutating func reject(_ transit: borrowing Transit) {
        let parsed = transit.context.parsed, packet = transit.context.packet, request = transit.context.reject
        // Over lo a packet has its route already.
        let isReturned = transit.isReturned, hook = transit.context.hook
        if transit.context.family == .netdev { return answerOnLink(transit) }
        guard let upper = UpperLayer(packet, parsed) else { return }
        if !transit.isInPlace { outbox.protect(packet) }
        let isHeaderWrong = hasWrongHeader(transit)
        // On a device the padding is not cut off yet, and Linux sums it up with the packet.
        let isPadded = transit.context.hook == .ingress && packet.length > Int(parsed.networkOffset) + Int(parsed.networkLength)
        if isPadded, request.kind == .tcpReset || !upper.protectsItself(packet) { return }
        if request.kind == .tcpReset {
            // Linux forgets on the way to the forward hook that the checksum was verified (skb_forward_csum), and asks again for a reset only.
            var judged = parsed
            let isForgotten = transit.context.hook == .forward && !judged.flags.contains(.needsNoChecksum)
            if isForgotten { judged.flags.remove(.hasVerifiedChecksum) }
            let isUnrouted = hook == .prerouting && parsed.family == .ipv4 && !isReturned
            let isLinkBroadcast = isBroadcast(isUnrouted ? parsed.sourceAddress : parsed.destinationAddress)
            guard isForgotten ? !transit.options.isStale : isChecksumUsable(transit), judged.flags.contains(.hasVerifiedChecksum) || !isHeaderWrong,
                  TCPReset.mayAnswer(packet, judged, upper, isLinkBroadcast: isLinkBroadcast, isReject: true, isUnrouted: isUnrouted),
                  var room = outbox.reserve(TCPReset.maximumLength) else { return }
            room.length = TCPReset.build(into: room, answering: packet, parsed, upper, style: .reject, link: LinkHeader())
            guard room.length > 0 else { return }
            if transit.tracking.hasConnection {
                tracker.pointee.close(transit.tracking.connection, now: transit.context.now)
                withdrawIfClosing(transit.tracking.connection)
            }
            sendOwn(room, transit, attached: attachment(transit.tracking), isPartial: parsed.family == .ipv4)
        } else {
            if !upper.protectsItself(packet), parsed.flags.isDisjoint(with: [.hasVerifiedChecksum, .hadVerifiedChecksum]) {
                guard !isHeaderWrong else { return }
                let isRight = transit.options.isStale ? isChecksumUsable(transit) : upper.hasRightChecksum(packet, parsed)
                guard isRight else { return }
            }
            quoteUnfinished(transit)
            // Before routing, Linux gives the packet the route back to its sender, and so no longer knows that it is for the router.
            sendError(ICMPError(type: request.type, code: request.code), about: transit, isUnrouted: hook == .prerouting && !isReturned)
        }
    }

    /// Linux's check of a transport checksum takes the IP header in, whose own is stale once an option was filled in
    /// (nf_ip_checksum): such a packet is dropped without an answer, unless connection tracking made the check before.
    private func isChecksumUsable(_ transit: borrowing Transit) -> Bool {
        guard transit.options.isStale else { return true }
        switch transit.context.parsed.transportProtocol {
        case IPProtocol.tcp, IPProtocol.udp, IPProtocol.icmp: return transit.tracking.hasConnection
        default: return false
        }
    }

    /// A reset of our own that is refused before Linux has completed its checksum: the error quotes the pseudo header's sum.
    private func quoteUnfinished(_ transit: borrowing Transit) {
        let parsed = transit.context.parsed
        guard transit.context.hasPartialChecksum, parsed.transportProtocol == IPProtocol.tcp, parsed.transportLength >= 20 else { return }
        let sum = Checksum.pseudoHeader(
            source: parsed.sourceAddress, destination: parsed.destinationAddress, transportProtocol: IPProtocol.tcp, length: parsed.transportLength)
        transit.context.packet.store16(Checksum.fold(sum), at: Int(parsed.transportOffset) + 16)
    }

    /// What an answer to a packet is to the packet's connection: related, the other way (nf_conntrack_attach).
    func attachment(_ tracking: Tracking) -> Tracking {
        guard tracking.hasConnection else { return .unseen }
        var answer = tracking
        answer.state = .related
        answer.direction = tracking.direction.opposite
        return answer
    }
}
