// `dup to` and `fwd to`: a copy of the packet, or the packet itself, leaves by another way.
//
// Invariant: a copy that passes chains is copied again at most `copyLimit` times over (netdev), or not at all (ip, ip6), so that
// rules that send packets in a circle end. Sources: net/netfilter/nf_dup_netdev.c, nft_fwd_netdev.c,
// net/ipv4/netfilter/nf_dup_ipv4.c, net/ipv6/netfilter/nf_dup_ipv6.c.
import Conntrack
import Policy
import Routing
import Wire

extension SlowPath {
    /// How deep link-layer copies may nest (NF_RECURSION_LIMIT).
    private static var copyLimit: Int { 2 }

    /// `dup to`: a copy that a chain has made of the packet goes to the named device or gateway.
    mutating func duplicate(_ index: Int, _ transit: borrowing Transit) {
        if !transit.isInPlace { outbox.protect(transit.context.packet) }
        guard let room = outbox.copy(copies.pointee.packet(index)) else { return statistics.count(.noBuffer) }
        let request = copies.pointee.request(index)
        if transit.context.family == .netdev { return leave(room, request, transit) }
        guard copyDepth == 0 else { return }
        copyDepth += 1
        defer { copyDepth -= 1 }
        sendDuplicate(room, request, transit)
    }

    /// `fwd to`: the packet leaves by the named device, past everything but that device's egress chains.
    mutating func steal(_ transit: borrowing Transit) -> Disposition {
        if transit.context.synproxy != UInt32.max { return answerSynproxy(transit) }
        guard let room = copy(transit) else { return .dropped(.noBuffer) }
        let request = transit.context.forward
        guard request.hasAddress else {
            leave(room, request, transit)
            return .delivered
        }
        var copy = Transit(packet: room, ingress: transit.ingress, now: transit.context.now, isInPlace: false)
        prepare(&copy.context, records: false)
        let defect = PacketParser.parse(room, into: &copy.context.parsed)
        guard defect == .none else { return .dropped(defect) }
        guard copy.parsed.timeToLive > 1 else { return .dropped(.timeToLiveExceeded) }
        guard linkCopyDepth <= SlowPath.copyLimit, router.interfaces[request.device].exists else { return .dropped(.portDown) }
        linkCopyDepth += 1
        defer { linkCopyDepth -= 1 }
        decrementTimeToLive(&copy)
        copy.egress = request.device
        copy.nextHop = request.address
        _ = send(&copy)
        return .delivered
    }

    /// A copy that later ones do not overwrite.
    private mutating func copy(_ transit: borrowing Transit) -> PacketBuffer? {
        if !transit.isInPlace { outbox.protect(transit.context.packet) }
        return outbox.copy(transit.context.packet)
    }

    /// A whole frame leaves by a device, through its egress chains.
    private mutating func leave(_ packet: PacketBuffer, _ request: ForwardRequest, _ cause: borrowing Transit) {
        leave(packet, by: request.device, mark: request.mark, priority: request.priority, cause)
    }

    /// `reject` in a chain on a device: the answer goes back by that device, past everything but its egress chains.
    mutating func answerOnLink(_ transit: borrowing Transit) {
        if !transit.isInPlace { outbox.protect(transit.context.packet) }
        let request = transit.context.reject
        guard var room = outbox.reserve(LinkReject.maximumLength) else { return statistics.count(note: .noBuffer) }
        room.length = LinkReject.build(
            into: room, answering: transit.context.packet, request.kind == .tcpReset ? .tcpReset : .icmp(type: request.type, code: request.code))
        guard room.length > 0 else { return }
        statistics.answered &+= 1
        leave(room, by: transit.ingress, mark: 0, priority: 0, transit)
    }

    private mutating func leave(_ packet: PacketBuffer, by device: PortIndex, mark: UInt32, priority: UInt32, _ cause: borrowing Transit) {
        guard router.interfaces[device].exists, linkCopyDepth <= SlowPath.copyLimit else { return statistics.count(.portDown) }
        linkCopyDepth += 1
        defer { linkCopyDepth -= 1 }
        var copy = Transit(packet: packet, ingress: cause.ingress, now: cause.context.now, isInPlace: false)
        prepare(&copy.context, records: false)
        (copy.context.mark, copy.context.priority) = (mark, priority)
        if PacketParser.parse(packet, into: &copy.context.parsed) != .none { copy.context.parsed.keepLinkHeader() }
        copy.egress = device
        guard runLinkHook(.egress, &copy) == nil else { return }
        var leaving = copy.packet, port = device
        if !leaveVLAN(&leaving, &port) || !outbox.send(leaving, to: port) { statistics.count(.noBuffer) }
    }

    /// The copy of an IP packet: untracked, by the gateway's route, through the output and postrouting hooks.
    private mutating func sendDuplicate(_ packet: PacketBuffer, _ request: ForwardRequest, _ cause: borrowing Transit) {
        let hook = cause.context.hook
        var copy = Transit(packet: packet, ingress: Transit.noPort, now: cause.context.now, isInPlace: false)
        prepare(&copy.context, records: false)
        (copy.context.mark, copy.context.priority) = (request.mark, request.priority)
        copy.context.packetType = cause.context.packetType
        copy.context.keepsLinkHeader = cause.context.input != PacketContext.noInterface
        if cause.context.parsed.family == .ipv4 {
            // Summed up before it is looked at: an option that was filled in has left the sum stale.
            let network = Int(cause.context.parsed.networkOffset)
            packet.store16(packet.load16(network + 6) | 0x4000, at: network + 6)
            Checksum.fillIPv4Header(packet.start + network, length: Int(cause.context.parsed.networkHeaderLength))
        }
        guard PacketParser.parse(packet, into: &copy.context.parsed) == .none else { return }
        if hook == .prerouting || hook == .input { decrementTimeToLive(&copy) }
        // What came in pieces leaves in pieces no larger, if not the same: those are the original's (skb_shared).
        (copy.fragments, copy.largestFragment, copy.fragmentsHadDontFragment) = (cause.fragments, cause.largestFragment, cause.fragmentsHadDontFragment)
        copy.fragments.lengths = nil
        let result = router.route(to: request.address, ingress: cause.ingress)
        apply(result, &copy)
        // Whom the rule named is asked for, not the packet's destination.
        copy.isOnLink = false
        if request.device != PacketContext.noInterface { copy.egress = request.device }
        guard router.interfaces[copy.egress].exists else { return statistics.count(.portDown) }
        if result.kind != .unicast { copy.nextHop = request.address }
        copy.tracking = .untracked
        refreshView(&copy)
        if runHook(.output, &copy) == nil { _ = postroute(&copy) }
    }
}
