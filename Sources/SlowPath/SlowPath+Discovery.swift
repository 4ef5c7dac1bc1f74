// ARP and IPv6 neighbour discovery from the wire: what we learn, what we answer.
//
// Sources: net/ipv4/arp.c (arp_process), net/ipv6/ndisc.c, RFC 826, RFC 4861 section 7.2.
import Policy
import Routing
import Wire

extension SlowPath {
    mutating func receiveARP(_ transit: inout Transit) -> Disposition {
        guard let message = ARPMessage.read(transit.packet, transit.parsed) else { return .dropped(.arpMalformed) }
        transit.context.family = .arp
        transit.context.hook = .input
        for chain in program.chains(.input, .arp) {
            if let ended = run(chain, &transit) { return ended }
        }
        let isForUs = router.interfaces.isOwn(message.targetAddress)
        let isSenderValid = !message.senderAddress.isUnspecified && !message.senderAddress.isMulticast && !router.interfaces.isOwn(message.senderAddress)
        if isSenderValid {
            // A request to us makes an entry; an answer completes one (arp_accept=0: nothing else makes one).
            router.neighbours.update(
                message.senderAddress, port: transit.ingress, mac: message.senderMAC, isConfirmation: message.operation == ARPMessage.reply && transit.context.packetType == PacketType.host,
                mayCreate: isForUs && message.operation == ARPMessage.request, overrides: true, now: transit.now)
        }
        defer { serveNeighbours(now: transit.now) }
        guard isForUs, message.operation == ARPMessage.request else { return isForUs ? .delivered : .dropped(.arpNotForUs) }
        guard var room = outbox.reserve(64) else { return .dropped(.noBuffer) }
        let own = router.interfaces[transit.ingress].mac
        let answer = ARPMessage(operation: ARPMessage.reply, senderMAC: own, senderAddress: message.targetAddress, targetMAC: message.senderMAC, targetAddress: message.senderAddress)
        var link = answerLink(transit)
        link.destination = message.senderMAC
        link.source = own
        room.length = answer.build(into: room, link: link)
        guard room.length > 0 else { return .dropped(.noBuffer) }
        outbox.commit(room, to: transit.ingress)
        statistics.answered &+= 1
        return .delivered
    }

    mutating func discoverNeighbour(_ transit: inout Transit) -> Disposition {
        var message = NeighbourMessage(type: 0, source: transit.parsed.sourceAddress, destination: transit.parsed.destinationAddress, target: transit.parsed.destinationAddress)
        let defect = NeighbourMessage.read(transit.packet, transit.parsed, into: &message)
        guard defect == .none else { return .dropped(defect) }
        defer { serveNeighbours(now: transit.now) }
        if message.type == NeighbourMessage.advertisement {
            router.neighbours.update(
                message.target, port: transit.ingress, mac: message.linkAddress, isConfirmation: message.isSolicited, mayCreate: false,
                overrides: message.overrides, weakly: true, isRouter: message.isRouter, now: transit.now)
            return .delivered
        }
        guard router.interfaces.isOwn(message.target) else { return .delivered }
        let isDuplicateCheck = message.source.isUnspecified
        if !isDuplicateCheck, let mac = message.linkAddress {
            router.neighbours.update(message.source, port: transit.ingress, mac: mac, isConfirmation: false, mayCreate: true, overrides: true, now: transit.now)
        }
        let own = router.interfaces[transit.ingress].mac
        let allNodes = IPAddress(ipv6High: 0xff02_0000_0000_0000, low: 1)
        var answer = NeighbourMessage(
            type: NeighbourMessage.advertisement, source: message.target, destination: isDuplicateCheck ? allNodes : message.source, target: message.target, linkAddress: own)
        answer.isRouter = true
        answer.isSolicited = !isDuplicateCheck
        answer.overrides = true
        guard var room = outbox.reserve(128) else { return .dropped(.noBuffer) }
        room.length = answer.build(into: room, link: answerLink(transit))
        if room.length > 0 { sendOwn(room, transit) }
        return .delivered
    }
}
