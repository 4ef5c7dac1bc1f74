// SIP (RFC 3261; nf_conntrack_sip.c, nf_nat_sip.c): expects the incoming calls of whoever registers and the media streams
// that session descriptions announce, and where the connection is translated, writes what the other end sees into
// requests, headers and descriptions.
//
// As Linux's defaults have it, calls are expected from the registrar only (sip_direct_signalling) and media between the
// ends of the signalling only (sip_direct_media).
//
// A connection has at most one expected call, and four audio, four video and two image streams; the oldest gives way.
//
// Invariant: a message that cannot be read as it must be, or not be changed as it must be, drops its packet.
import Wire

/// What a SIP connection remembers.
struct SIPDialogue {
    var registerSequence: UInt32 = 0
    var inviteSequence: UInt32 = 0
    /// The port that the client listens on, where it sends from another; 0 if it is the same.
    var forcedPort: UInt16 = 0
}

/// What an expectation is for, and how many of it a connection may have.
enum SIPPurpose {
    static let signalling: UInt8 = 0, audio: UInt8 = 1, video: UInt8 = 2, image: UInt8 = 3
    static func limit(_ purpose: UInt8) -> Int { purpose == signalling ? 1 : purpose == image ? 2 : 4 }
    static let seconds: UInt32 = 180
    /// For which a connection with messages lives (SIP_TIMEOUT).
    static let connectionSeconds: UInt32 = 3600
}

/// One message in its packet.
struct SIPMessage {
    var packet: PacketBuffer
    var parsed: ParsedPacket
    var start: Int
    var count: Int
    let tracking: Tracking
    let family: AddressFamily
    /// By how many bytes the message has grown.
    var growth = 0

    var text: SIPText { SIPText(packet: packet, start: start, count: count, family: family) }
}

extension ConnectionTracker {
    /// - Returns: false: drop the packet.
    mutating func readSIP(_ packet: inout PacketBuffer, _ parsed: inout ParsedPacket, _ tracking: Tracking, now: Timestamp) -> Bool {
        guard parsed.flags.contains(.hasTransport), let family = parsed.family else { return true }
        let isTCP = parsed.transportProtocol == IPProtocol.tcp
        if isTCP, tracking.state != .established { return true }
        let header = isTCP ? Int(packet.load8(Int(parsed.transportOffset) + 12) >> 4) * 4 : 8
        let start = Int(parsed.transportOffset) + header, count = parsed.transportLength - header
        guard count > 0 else { return true }
        prolong(tracking.connection, seconds: SIPPurpose.connectionSeconds, now: now)
        // "SIP/2.0 200"
        guard count >= 11 else { return true }
        var message = SIPMessage(packet: packet, parsed: parsed, start: start, count: count, tracking: tracking, family: family)
        let isGood = isTCP ? readSIPStream(&message, count, now: now) : readSIPMessage(&message, now: now)
        packet = message.packet
        parsed = message.parsed
        return isGood
    }

    func prolong(_ index: UInt32, seconds: UInt32, now: Timestamp) {
        let connection = pool + Int(index)
        guard !connection.pointee.status.contains(.fixedTimeout) else { return }
        let lifetime = UInt64(seconds) &* 1_000_000_000
        connection.pointee.deadline = connection.pointee.isConfirmed ? now &+ lifetime : lifetime
    }

    /// The whole messages of a segment, each with the length that it names.
    private mutating func readSIPStream(_ message: inout SIPMessage, _ available: Int, now: Timestamp) -> Bool {
        var rest = available
        var growth = 0
        var isGood = true
        let sequence = message.packet.load32(Int(message.parsed.transportOffset) + 4)
        while rest > 0 {
            message.count = rest
            guard case .found(let length) = message.text.header(.contentLength) else { break }
            let (body, behind) = message.text.number(at: length.start)
            guard behind != length.start, body <= rest, let end = message.text.bodyStart(from: behind) else { break }
            let whole = end + Int(body)
            // The rest of the message comes in another segment. What was changed before it stays unknown to the stream, as in Linux.
            guard whole <= rest else { return true }
            message.count = whole
            message.growth = 0
            isGood = readSIPMessage(&message, now: now)
            guard isGood else { break }
            growth += message.growth
            rest -= whole
            message.start += message.count
        }
        if isGood, pool[Int(message.tracking.connection)].isTranslated { noteShift(message.tracking, by: Int32(growth), at: sequence) }
        return isGood
    }

    private mutating func readSIPMessage(_ message: inout SIPMessage, now: Timestamp) -> Bool {
        let isRequest = !message.text.matches("SIP/2.0 ", at: 0)
        guard isRequest ? readSIPRequest(&message, now: now) : readSIPResponse(&message, now: now) else { return false }
        guard pool[Int(message.tracking.connection)].isTranslated else { return true }
        // What names the version alone counts as an answer here.
        return translateSIP(&message, isRequest: !message.text.matches("SIP/2.0", at: 0))
    }

    private func sequence(_ text: SIPText) -> (number: UInt32, end: Int)? {
        guard case .found(let range) = text.header(.sequence) else { return nil }
        let (number, end) = text.number(at: range.start)
        return end == range.start ? nil : (number, range.end)
    }

    /// Whether a request has this method, and a word behind it.
    private func hasMethod(_ text: SIPText, _ method: StaticString) -> Bool {
        let length = method.utf8CodeUnitCount
        return text.count >= length + 2 && text.matches(method, at: 0) && text.byte(length) == 32 && text.isLetter(length + 1)
    }

    private mutating func readSIPRequest(_ message: inout SIPMessage, now: Timestamp) -> Bool {
        let connection = pool + Int(message.tracking.connection)
        let state = helpers.states + Int(connection.pointee.helperState)
        // Some telephones send from one port and listen on another, which their Via header names.
        let own = connection.pointee.tuple(message.tracking.direction)
        if case .found(let via) = message.text.address(.viaUDP), via.port != own.sourcePort, via.address == own.source { state.pointee.sip.forcedPort = via.port }
        let text = message.text
        let isInvite = hasMethod(text, "INVITE"), isRegister = hasMethod(text, "REGISTER"), isBye = hasMethod(text, "BYE")
        guard isInvite || isRegister || isBye || hasMethod(text, "UPDATE") || hasMethod(text, "ACK") || hasMethod(text, "PRACK") else { return true }
        guard let (number, _) = sequence(text) else { return false }
        if isRegister { return readRegistration(&message, number, now: now) }
        if isInvite || isBye { removeSIP(message, media: true) }
        if isBye { return true }
        guard readDescription(&message, now: now) else { return false }
        if isInvite { state.pointee.sip.inviteSequence = number }
        return true
    }

    private mutating func readSIPResponse(_ message: inout SIPMessage, now: Timestamp) -> Bool {
        let text = message.text
        let code = text.number(at: 8).value
        guard code != 0, let (number, end) = sequence(text) else { return false }
        let method = end + 1
        let state = helpers.states[Int(pool[Int(message.tracking.connection)].helperState)].sip
        if text.matches("INVITE", at: method) || text.matches("UPDATE", at: method) || text.matches("PRACK", at: method) {
            if (100 ... 299).contains(code) { return readDescription(&message, now: now) }
            if state.inviteSequence == number { removeSIP(message, media: true) }
        } else if text.matches("REGISTER", at: method), state.registerSequence == number, !(100 ... 199).contains(code) {
            return readRegistered(message, code, now: now)
        }
        return true
    }

    /// `flush`: the media streams of a connection, or its expected call.
    private mutating func removeSIP(_ message: SIPMessage, media: Bool) {
        expectations.removeAll(of: message.tracking.connection, hash, once: !media) { ($0.purpose != SIPPurpose.signalling) == media }
    }

    // MARK: - Registration

    /// REGISTER: a call may come to the contact that is registered, once the registrar has agreed.
    private mutating func readRegistration(_ message: inout SIPMessage, _ number: UInt32, now: Timestamp) -> Bool {
        let connection = pool + Int(message.tracking.connection)
        // An expected connection cannot register again.
        if connection.pointee.status.contains(.expected) { return true }
        let text = message.text
        var seconds: UInt32 = 0
        if case .found(let range) = text.header(.expires) { seconds = text.number(at: range.start).value }
        let contact: SIPAddress
        switch text.address(.contact) {
        case .none: return true
        case .unreadable: return false
        case .found(let found): contact = found
        }
        let own = connection.pointee.tuple(message.tracking.direction), opposite = connection.pointee.tuple(message.tracking.direction.opposite)
        guard contact.address == own.source, usesSameTransport(text, contact.range.end, own.transportProtocol) else { return true }
        if let (start, _) = text.parameter("expires=", from: contact.range.end) {
            let (value, end) = text.number(at: start)
            guard end != start else { return false }
            seconds = value
        }
        if seconds != 0 {
            var expectation = Expectation()
            expectation.tuple.family = own.family
            expectation.tuple.transportProtocol = own.transportProtocol
            expectation.tuple.source = opposite.source
            expectation.tuple.destination = contact.address
            expectation.tuple.destinationPort = contact.port
            expectation.purpose = SIPPurpose.signalling
            expectation.isPermanent = true
            expectation.isInactive = true
            if connection.pointee.isTranslated {
                guard expectTranslated(&message, &expectation, contact.range, now: now) else { return false }
            } else {
                guard expect(&expectation, message.tracking, limit: 1, seconds: SIPPurpose.seconds, now: now) == nil else { return false }
            }
        }
        helpers.states[Int(connection.pointee.helperState)].sip.registerSequence = number
        return true
    }

    private func usesSameTransport(_ text: SIPText, _ offset: Int, _ transportProtocol: UInt8) -> Bool {
        guard let (start, _) = text.parameter("transport=", from: offset) else { return true }
        return transportProtocol == IPProtocol.tcp ? text.matches("TCP", at: start) : text.matches("UDP", at: start)
    }

    /// The registrar's answer: the expected call lives as long as the registration, or not at all.
    private mutating func readRegistered(_ message: SIPMessage, _ code: UInt32, now: Timestamp) -> Bool {
        let text = message.text
        let own = pool[Int(message.tracking.connection)].tuple(message.tracking.direction)
        var offset = 0
        var isInList = false
        var seconds: UInt32 = 0
        if case .found(let range) = text.header(.expires) { seconds = text.number(at: range.start).value }
        while (200 ... 299).contains(code) {
            let contact: SIPAddress
            switch text.address(.contact, from: &offset, isInList: &isInList) {
            case .unreadable: return false
            case .none:
                removeSIP(message, media: false)
                return true
            case .found(let found): contact = found
            }
            guard contact.address == own.destination, usesSameTransport(text, contact.range.end, own.transportProtocol) else { continue }
            var lifetime = seconds
            if let (start, _) = text.parameter("expires=", from: contact.range.end) {
                let (value, end) = text.number(at: start)
                guard end != start else { return false }
                lifetime = value
            }
            if lifetime == 0 { break }
            let isFound = expectations.update(of: message.tracking.connection) {
                $0.purpose == SIPPurpose.signalling && $0.tuple.destination == contact.address && $0.tuple.destinationPort == contact.port
                    && $0.tuple.transportProtocol == own.transportProtocol
            } _: {
                $0.isInactive = false
                $0.deadline = now &+ UInt64(lifetime) &* 1_000_000_000
            }
            if isFound { return true }
        }
        removeSIP(message, media: false)
        return true
    }

    /// Expects on the address and port that the other end will see, and writes them in place of the announced ones.
    private mutating func expectTranslated(_ message: inout SIPMessage, _ expectation: inout Expectation, _ range: SIPRange, now: Timestamp) -> Bool {
        let connection = pool[Int(message.tracking.connection)]
        let own = connection.tuple(message.tracking.direction), opposite = connection.tuple(message.tracking.direction.opposite)
        let forced = helpers.states[Int(connection.helperState)].sip.forcedPort
        expectation.savedAddress = expectation.tuple.destination
        expectation.savedPort = expectation.tuple.destinationPort
        expectation.direction = message.tracking.direction.opposite
        expectation.translation = .sip
        if own.source != opposite.destination { expectation.tuple.destination = opposite.destination }
        if expectation.savedPort == (forced != 0 ? forced : own.sourcePort) { expectation.tuple.destinationPort = opposite.destinationPort }
        while true {
            switch expect(&expectation, message.tracking, limit: SIPPurpose.limit(expectation.purpose), seconds: SIPPurpose.seconds, now: now) {
            case nil:
                guard expectation.tuple.destination != expectation.savedAddress || expectation.tuple.destinationPort != expectation.savedPort else { return true }
                let text = ConnectionTracker.sipText(expectation.tuple.destination, expectation.tuple.destinationPort)
                return replaceSIP(&message, range, text)
            case .full, .known: return false
            case .clash:
                guard expectation.tuple.destinationPort < 65535 else { return false }
                expectation.tuple.destinationPort += 1
            }
        }
    }

    // MARK: - Expected connections

    /// An expected call or media stream: to where its end really listens, and from where its signalling comes.
    mutating func setUpSIPNAT(_ expectation: Expectation, _ index: UInt32, _ known: ConnectionTuple, now: Timestamp) {
        let connection = pool + Int(index)
        setUpNAT(index, .destination, range: NATRange(expectation.savedAddress).ports(expectation.savedPort), now: now)
        let original = connection.pointee.original
        if expectation.purpose != SIPPurpose.signalling {
            // The stream's other direction may be expected as well: then it comes from where that one is expected.
            let pair = expectations.first(of: expectation.master) {
                $0.tuple.family == original.family && $0.tuple.transportProtocol == original.transportProtocol && $0.savedAddress == original.source
                    && $0.savedPort == original.sourcePort && $0.translation == .sip
            }
            if let pair {
                setUpNAT(index, .source, range: NATRange(pair.tuple.destination).ports(pair.tuple.destinationPort), now: now)
                return
            }
        }
        if original.source == pool[Int(expectation.master)].tuple(expectation.direction).source {
            setUpNAT(index, .source, range: NATRange(known.destination), now: now)
        }
    }

    // MARK: - Writing

    /// Replaces a part of the message.
    mutating func replaceSIP(_ message: inout SIPMessage, _ range: SIPRange, _ text: PayloadText) -> Bool {
        guard ConnectionTracker.replace(&message.packet, &message.parsed, at: message.start + range.start, count: range.count, with: text) else { return false }
        message.count += text.count - range.count
        message.growth += text.count - range.count
        return true
    }

    /// `address:port`, an IPv6 address in brackets.
    static func sipText(_ address: IPAddress, _ port: UInt16) -> PayloadText {
        var text = sipText(address, isBracketed: true)
        text.append(UInt8(ascii: ":"))
        text.append(decimal: UInt32(port))
        return text
    }

    static func sipText(_ address: IPAddress, isBracketed: Bool) -> PayloadText {
        var text = PayloadText()
        guard address.family == .ipv6 else {
            for shift in [24, 16, 8, 0] as [UInt32] {
                text.append(decimal: address.ipv4 >> shift & 255)
                if shift != 0 { text.append(UInt8(ascii: ".")) }
            }
            return text
        }
        if isBracketed { text.append(UInt8(ascii: "[")) }
        text.append(ipv6: address)
        if isBracketed { text.append(UInt8(ascii: "]")) }
        return text
    }
}

extension PayloadText {
    /// RFC 5952.
    mutating func append(ipv6 address: IPAddress) {
        func word(_ index: Int) -> UInt16 { UInt16(truncatingIfNeeded: (index < 4 ? address.high : address.low) >> UInt64(48 - 16 * (index & 3))) }
        var best = (start: 8, count: 1)
        var index = 0
        while index < 8 {
            var end = index
            while end < 8, word(end) == 0 { end += 1 }
            if end - index > best.count { best = (index, end - index) }
            index = max(end, index + 1)
        }
        index = 0
        while index < 8 {
            if index == best.start {
                append("::")
                index += best.count
                continue
            }
            if index > 0, index != best.start + best.count || best.start == 8 { append(UInt8(ascii: ":")) }
            append(shortHexadecimal: word(index))
            index += 1
        }
    }

    private mutating func append(shortHexadecimal value: UInt16) {
        var isLeading = true
        for shift in stride(from: 12 as UInt16, through: 0, by: -4) {
            let digit = UInt8(value >> shift & 15)
            if digit == 0, isLeading, shift != 0 { continue }
            isLeading = false
            append(digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") + digit - 10)
        }
    }
}
