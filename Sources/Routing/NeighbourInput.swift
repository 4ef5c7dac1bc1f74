// What ARP and neighbour discovery messages from the wire teach us, and what we answer: arp_process and ndisc_rcv with
// Linux's default settings (arp_ignore=0, arp_accept=0, no proxy).
//
// Invariant: a message makes at most one entry, and only one that asked for one of our addresses.
import Wire

extension Router {
    /// Takes an ARP message.
    ///
    /// - Parameter isToUs: the frame was sent to the port's own MAC address.
    /// - Returns: the answer to be sent to the message's sender, if there is one.
    public mutating func receive(_ message: ARPMessage, port: PortIndex, isToUs: Bool, now: Timestamp) -> ARPMessage? {
        let sender = message.senderAddress, target = message.targetAddress
        guard !target.isMulticast, !target.isLoopback else { return nil }
        let isRequest = message.operation == ARPMessage.request
        let isForUs = interfaces.isOwn(target)
        if sender.isUnspecified {
            // Duplicate address detection (RFC 5227): answered, nothing learned.
            return isRequest && isForUs ? answer(message, port: port) : nil
        }
        if isRequest, isForUs, checkIngress(source: sender, destination: target) == .none {
            if interfaces.kind(of: sender) == .none {
                neighbours.update(sender, port: port, mac: message.senderMAC, isConfirmation: false, mayCreate: true, overrides: true, now: now)
            }
            return answer(message, port: port)
        }
        let isGratuitous = sender == target && (isRequest || message.targetMAC == message.senderMAC)
        neighbours.update(
            sender, port: port, mac: message.senderMAC, isConfirmation: !isRequest && isToUs, mayCreate: false,
            overrides: isGratuitous || !neighbours.isLocked(sender, port: port, now: now), now: now)
        return nil
    }

    private func answer(_ request: ARPMessage, port: PortIndex) -> ARPMessage {
        ARPMessage(
            operation: ARPMessage.reply, senderMAC: interfaces[port].mac, senderAddress: request.targetAddress, targetMAC: request.senderMAC, targetAddress: request.senderAddress)
    }

    /// Takes a solicitation or advertisement that `NeighbourMessage.read` found right.
    ///
    /// - Returns: the advertisement to be sent, if there is one; it goes the way of every other packet of ours, so that a
    ///   sender who did not say its MAC address is asked for it first.
    public mutating func receive(_ message: NeighbourMessage, port: PortIndex, now: Timestamp) -> NeighbourMessage? {
        message.type == NeighbourMessage.solicitation ? solicited(message, port: port, now: now) : advertised(message, port: port, now: now)
    }

    private mutating func solicited(_ message: NeighbourMessage, port: PortIndex, now: Timestamp) -> NeighbourMessage? {
        // Unlike ARP: only addresses of this very port.
        let isAnycast = interfaces.owner(of: message.target) == (.anycast, port)
        guard isAnycast || interfaces.isOwn(message.target, on: port) else { return nil }
        let mac = interfaces[port].mac
        if message.source.isUnspecified {
            guard !isAnycast else { return nil }
            var answer = NeighbourMessage(
                type: NeighbourMessage.advertisement, source: message.target, destination: IPAddress(ipv6High: 0xff02_0000_0000_0000, low: 1), target: message.target, linkAddress: mac)
            answer.isRouter = true
            answer.overrides = true
            return answer
        }
        guard !interfaces.isOwn(message.source) else { return nil }
        let toGroup = message.destination.isMulticast
        let isKnown = neighbours.update(
            message.source, port: port, mac: message.linkAddress, isConfirmation: false, mayCreate: message.linkAddress != nil, overrides: true, weakly: true, now: now)
        // Asked by multicast without saying its own address: nobody to answer.
        guard isKnown || !toGroup else { return nil }
        // An anycast address cannot be a source, and several may answer for it (RFC 4861 section 7.2.7; Linux waits a
        // random time before it does).
        var onPort = RouteResult()
        onPort.port = port
        guard let source = isAnycast ? sourceAddress(for: onPort, to: message.source) : message.target else { return nil }
        var answer = NeighbourMessage(type: NeighbourMessage.advertisement, source: source, destination: message.source, target: message.target, linkAddress: toGroup ? mac : nil)
        answer.isRouter = true
        answer.isSolicited = true
        answer.overrides = toGroup && !isAnycast
        return answer
    }

    private mutating func advertised(_ message: NeighbourMessage, port: PortIndex, now: Timestamp) -> NeighbourMessage? {
        guard !interfaces.isOwn(message.target, on: port), neighbours.state(of: message.target, port: port) != .failed else { return nil }
        neighbours.update(
            message.target, port: port, mac: message.linkAddress, isConfirmation: message.isSolicited, mayCreate: false, overrides: message.overrides, weakly: true,
            isRouter: message.isRouter, now: now)
        return nil
    }
}
