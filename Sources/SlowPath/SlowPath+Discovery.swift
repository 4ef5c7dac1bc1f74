// ARP and IPv6 neighbour discovery from the wire: what we learn, what we answer.
//
// Sources: net/ipv4/arp.c (arp_process), net/ipv6/ndisc.c, RFC 826, RFC 4861 section 7.2.
import Policy
import Routing
import Wire

extension SlowPath {
    mutating func receiveARP(_ transit: inout Transit) -> Disposition {
        guard ARPMessage.isWhole(transit.packet, transit.parsed) else { return .dropped(.arpMalformed) }
        transit.context.family = .arp
        transit.context.hook = .input
        for chain in program.chains(.input, .arp) {
            if let ended = run(chain, &transit) { return ended }
        }
        // Rules see what nobody understands, too, and may have mended it.
        guard let message = ARPMessage.read(transit.packet, transit.parsed) else { return .dropped(.arpMalformed) }
        let isForUs = router.interfaces.isOwn(message.targetAddress)
        let received = router.receive(message, port: transit.ingress, isToUs: transit.context.packetType == PacketType.host, now: transit.now)
        defer { serveNeighbours(now: transit.now) }
        guard let answer = received else { return isForUs ? .delivered : .dropped(.arpNotForUs) }
        guard var room = outbox.reserve(64) else { return .dropped(.noBuffer) }
        var link = LinkHeader()
        link.destination = message.senderMAC
        link.source = answer.senderMAC
        room.length = answer.build(into: room, link: link)
        guard room.length > 0, sendARP(room, by: transit.ingress, now: transit.now) else { return .dropped(.noBuffer) }
        statistics.answered &+= 1
        return .delivered
    }

    /// An ARP message of the router's own, through the arp output chains and the device's egress chains; false if there is no room.
    mutating func sendARP(_ packet: PacketBuffer, by port: PortIndex, now: Timestamp) -> Bool {
        var own = Transit(packet: packet, ingress: Transit.noPort, now: now, isInPlace: false)
        prepare(&own.context, records: false)
        guard PacketParser.parse(packet, into: &own.context.parsed) == .none else { return false }
        own.egress = port
        own.context.family = .arp
        own.context.hook = .output
        own.context.output = port
        for chain in program.chains(.output, .arp) {
            if run(chain, &own) != nil { return true }
        }
        if runLinkHook(.egress, &own) != nil { return true }
        var leaving = own.packet, device = port
        return leaveVLAN(&leaving, &device) && outbox.send(leaving, to: device)
    }

    mutating func discoverNeighbour(_ transit: inout Transit) -> Disposition {
        var message = NeighbourMessage(type: 0, source: transit.parsed.sourceAddress, destination: transit.parsed.destinationAddress, target: transit.parsed.destinationAddress)
        let defect = NeighbourMessage.read(transit.packet, transit.parsed, into: &message)
        guard defect == .none else { return .dropped(defect) }
        defer { serveNeighbours(now: transit.now) }
        guard let answer = router.receive(message, port: transit.ingress, now: transit.now) else { return .delivered }
        guard var room = outbox.reserve(128) else { return .dropped(.noBuffer) }
        room.length = answer.build(into: room, link: LinkHeader())
        if room.length > 0 { sendOwn(room, transit) }
        return .delivered
    }
}
