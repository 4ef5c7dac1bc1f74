// The addresses in a SIP message's request line and headers, as the receiver is to read them (nf_nat_sip.c).
import Wire

extension ConnectionTracker {
    /// Exchanges the connection's own addresses where they stand: in the request line, the topmost Via with its parameters,
    /// the contacts, From and To.
    mutating func translateSIP(_ message: inout SIPMessage, isRequest: Bool) -> Bool {
        if isRequest, let target = requestTarget(message.text), !exchange(&message, target) { return false }
        guard translateVia(&message, isRequest: isRequest) else { return false }
        var offset = 0
        var isInList = false
        while case .found(let contact) = message.text.address(.contact, from: &offset, isInList: &isInList) {
            guard exchange(&message, contact) else { return false }
        }
        for field in [SIPField.from, .to] {
            if case .found(let found) = message.text.address(field), !exchange(&message, found) { return false }
        }
        // The client listens elsewhere than it sends from.
        let forced = helpers.states[Int(pool[Int(message.tracking.connection)].helperState)].sip.forcedPort
        if message.tracking.isReply, forced != 0, message.parsed.transportProtocol == IPProtocol.udp {
            let transport = Int(message.parsed.transportOffset)
            message.packet.store16(forced, at: transport + 2)
            message.parsed.destinationPort = forced
            if message.packet.load16(transport + 6) != 0 { Checksum.fillTransport(message.packet, message.parsed) }
        }
        return true
    }

    /// The address of a request line, `Method SP URI SP Version`; nil if there is none that counts.
    private func requestTarget(_ text: SIPText) -> SIPAddress? {
        let method = text.letters(at: 0)
        guard method > 0, method + 1 < text.count else { return nil }
        var place = method + 1
        while place < text.count - 4 {
            if text.byte(place) == 13 || text.byte(place) == 10 { return nil }
            if text.matches("sip:", at: place) {
                place += 4
                break
            }
            place += 1
        }
        guard let behind = text.addressBehindUser(at: place), let found = text.uri(behind) else { return nil }
        return SIPAddress(range: SIPRange(start: behind.start, count: found.end - behind.start), end: found.end, address: found.address, port: found.port)
    }

    /// Writes the other end's view of an address of the connection; anything else stays.
    private mutating func exchange(_ message: inout SIPMessage, _ found: SIPAddress) -> Bool {
        let connection = pool[Int(message.tracking.connection)]
        let own = connection.tuple(message.tracking.direction), opposite = connection.tuple(message.tracking.direction.opposite)
        let forced = helpers.states[Int(connection.helperState)].sip.forcedPort
        let address: IPAddress, port: UInt16
        if found.address == own.source, found.port == own.sourcePort {
            (address, port) = (opposite.destination, opposite.destinationPort)
        } else if found.address == own.destination, found.port == own.destinationPort {
            (address, port) = (opposite.source, forced != 0 ? forced : opposite.sourcePort)
        } else {
            return true
        }
        if address == found.address, port == found.port { return true }
        return replaceSIP(&message, found.range, ConnectionTracker.sipText(address, port))
    }

    private mutating func translateVia(_ message: inout SIPMessage, isRequest: Bool) -> Bool {
        let isTCP = message.parsed.transportProtocol == IPProtocol.tcp
        guard case .found(let via) = message.text.address(isTCP ? .viaTCP : .viaUDP) else { return true }
        let connection = pool[Int(message.tracking.connection)]
        let own = connection.tuple(message.tracking.direction), opposite = connection.tuple(message.tracking.direction.opposite)
        // A header of somebody further along.
        guard isRequest ? via.address == own.source && via.port == own.sourcePort : via.address == own.destination && via.port == own.destinationPort else { return true }
        let before = message.count
        guard exchange(&message, via) else { return false }
        let end = via.range.end + message.count - before
        // Where the answer is to go (RFC 2543), where the request came from (RFC 3261, RFC 3581).
        if own.source != opposite.destination, let range = addressParameter(message.text, "maddr=", end, .required, own.source),
           !replaceSIP(&message, range, ConnectionTracker.sipText(opposite.destination, isBracketed: true)) { return false }
        if own.destination != opposite.source, let range = addressParameter(message.text, "received=", end, .allowed, own.destination),
           !replaceSIP(&message, range, ConnectionTracker.sipText(opposite.source, isBracketed: false)) { return false }
        if own.destinationPort != opposite.sourcePort, let (start, _) = message.text.parameter("rport=", from: end), start < message.text.count, message.text.isDigit(start) {
            let (port, behind) = message.text.number(at: start)
            if port >= 1024, port == UInt32(own.destinationPort) {
                var text = PayloadText()
                text.append(decimal: UInt32(opposite.sourcePort))
                guard replaceSIP(&message, SIPRange(start: start, count: behind - start), text) else { return false }
            }
        }
        return true
    }

    private func addressParameter(_ text: SIPText, _ name: StaticString, _ offset: Int, _ brackets: SIPText.Brackets, _ wanted: IPAddress) -> SIPRange? {
        guard let (start, limit) = text.parameter(name, from: offset), let (end, address) = text.address(at: start, before: limit, brackets),
              address == wanted else { return nil }
        return SIPRange(start: start, count: end - start)
    }
}
