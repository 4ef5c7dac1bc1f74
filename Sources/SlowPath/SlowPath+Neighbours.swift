// Packets that wait for a neighbour, what is said to find it, and what is said when it cannot be found.
//
// Invariant: every handle that the neighbour table holds names a slot of `pendingPackets`, or is `unkept`.
import Policy
import Routing
import Wire

extension SlowPath {
    /// A packet for which there was no slot: its neighbour is asked all the same.
    static var unkept: UInt32 { UInt32.max }

    /// To the neighbour; the packet waits if its address is not known yet.
    mutating func send(_ transit: inout Transit) -> Disposition {
        // A session has one station at its other end.
        if router.interfaces[transit.egress].pppoeSession != 0 { return send(&transit, to: router.interfaces[transit.egress].pppoePeer) }
        if let mac = groupAddress(transit.nextHop) { return send(&transit, to: mac) }
        let handle = pendingPackets.next ?? SlowPath.unkept
        switch router.neighbours.resolve(transit.nextHop, port: transit.egress, now: transit.now, handle: handle) {
        case .resolved(let mac, let neighbour):
            transit.neighbour = neighbour
            return send(&transit, to: mac)
        case .failed(let reason): return .dropped(reason)
        case .pending(let displaced):
            if let displaced { giveUp(displaced, .neighbourQueueFull) }
            guard handle != SlowPath.unkept, pendingPackets.keep(transit.packet, port: transit.egress, ingress: transit.ingress) == handle else {
                return .dropped(.neighbourQueueFull)
            }
            return .held
        }
    }

    private mutating func send(_ transit: inout Transit, to mac: EthernetAddress) -> Disposition {
        writeLinkHeader(transit.packet, to: mac, port: transit.egress)
        if let ended = runLinkHook(.egress, &transit) { return ended }
        let interface = router.interfaces[transit.egress]
        if interface.vlan.count > 0 || interface.pppoeSession != 0 {
            transit.departureTags = interface.vlan
            transit.departureSession = interface.pppoeSession
            guard leaveVLAN(&transit.context.packet, &transit.egress) else { return .dropped(.noBuffer) }
            if let ended = runLinkHook(.egress, &transit) { return ended }
        }
        return handOut(&transit)
    }

    /// The MAC address of a group or broadcast address (RFC 1112 section 6.4, RFC 2464 section 7); nil for unicast.
    private mutating func groupAddress(_ address: IPAddress) -> EthernetAddress? {
        if address.isLimitedBroadcast || router.interfaces.kind(of: address) == .broadcast { return .broadcast }
        guard address.isMulticast else { return nil }
        if address.family == .ipv4 { return EthernetAddress(rawValue: 0x0100_5e00_0000 | UInt64(address.ipv4 & 0x7f_ffff)) }
        return NeighbourMessage.groupMAC(address)
    }

    /// Does what the neighbour table wants done: solicitations, packets whose neighbour answered, packets without hope.
    mutating func serveNeighbours(now: Timestamp) {
        if router.neighbours.generation != neighbourGeneration {
            neighbourGeneration = router.neighbours.generation
            invalidateFlows()
        }
        while let event = router.neighbours.nextEvent() {
            switch event.kind {
            case .solicit: solicit(event, now: now)
            case .transmit: release(event, now: now)
            case .discard:
                guard event.handle != SlowPath.unkept else { continue }
                answerUnreachable(event.handle, now: now)
                giveUp(event.handle, .neighbourUnresolved)
            }
        }
    }

    private mutating func giveUp(_ handle: UInt32, _ reason: DropReason) {
        guard handle != SlowPath.unkept else { return }
        pendingPackets.release(handle)
        statistics.count(reason)
    }

    private mutating func release(_ event: NeighbourEvent, now: Timestamp) {
        guard event.handle != SlowPath.unkept else { return }
        let (kept, port, ingress) = pendingPackets.packet(event.handle)
        defer { pendingPackets.release(event.handle) }
        guard let room = outbox.copy(kept) else { return statistics.count(.noBuffer) }
        var transit = Transit(packet: room, ingress: ingress, now: now, isInPlace: false)
        prepare(&transit.context, records: false)
        transit.egress = port
        let defect = PacketParser.parse(room, into: &transit.context.parsed)
        let disposition: Disposition = defect == .none ? send(&transit, to: event.mac) : .dropped(defect)
        finish(disposition, &transit)
    }

    /// Linux answers "host unreachable" (IPv6: "address unreachable") for a packet whose neighbour is silent.
    private mutating func answerUnreachable(_ handle: UInt32, now: Timestamp) {
        let (kept, _, ingress) = pendingPackets.packet(handle)
        guard ingress != Transit.noPort else { return }
        var transit = Transit(packet: kept, ingress: ingress, now: now, isInPlace: false)
        prepare(&transit.context, records: false)
        guard PacketParser.parse(kept, into: &transit.context.parsed) == .none else { return }
        sendError(.hostUnreachable(transit.parsed.family ?? .ipv4), about: transit)
    }

    private mutating func solicit(_ event: NeighbourEvent, now: Timestamp) {
        guard let source = router.solicitationSource(port: event.port, target: event.address),
              var room = outbox.reserve(128) else { return }
        let own = router.interfaces[event.port].mac
        if event.address.family == .ipv4 {
            let isProbe = event.mac != .zero
            let message = ARPMessage(operation: ARPMessage.request, senderMAC: own, senderAddress: source, targetMAC: .zero, targetAddress: event.address)
            room.length = message.build(into: room, link: LinkHeader(destination: isProbe ? event.mac : .broadcast, source: own))
        } else {
            let group = NeighbourMessage.solicitedNode(event.address)
            let isProbe = event.mac != .zero
            let message = NeighbourMessage(type: NeighbourMessage.solicitation, source: source, destination: isProbe ? event.address : group,
                                           target: event.address, linkAddress: own)
            room.length = message.build(into: room, link: LinkHeader(destination: isProbe ? event.mac : NeighbourMessage.groupMAC(group), source: own))
        }
        guard room.length > 0 else { return }
        let isSent = event.address.family == .ipv4 ? sendARP(room, by: event.port, now: now) : emit(room, by: event.port)
        if isSent { statistics.generated &+= 1 } else { statistics.count(.noBuffer) }
    }
}
