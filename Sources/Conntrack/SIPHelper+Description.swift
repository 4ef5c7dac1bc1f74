// Session descriptions in SIP messages: the media streams that they announce, and what the other end is to read in them.
//
// Sources: RFC 4566, RFC 3264; nf_conntrack_sip.c (process_sdp, set_expected_rtp_rtcp), nf_nat_sip.c (nf_nat_sdp_media).
import Wire

extension ConnectionTracker {
    /// Expects the streams of a session description, if the message has one.
    mutating func readDescription(_ message: inout SIPMessage, now: Timestamp) -> Bool {
        guard case .found(let version) = message.text.line(.version, from: 0) else { return true }
        let description = version.start
        let family = message.family
        var common: IPAddress?
        if case .found(let range) = message.text.line(.connection(family), from: description, before: .media) {
            common = message.text.address(at: range.start, before: range.end, .refused)?.address
        }
        var seen = common
        var offset = description
        var streams = 0
        while streams < 3, case .found(var media) = message.text.line(.media, from: offset) {
            offset = media.start
            let text = message.text
            let purpose: UInt8
            if text.equals("audio ", at: media.start, before: media.end) { purpose = SIPPurpose.audio } else if text.equals("video ", at: media.start, before: media.end) { purpose = SIPPurpose.video }
            else if text.equals("image ", at: media.start, before: media.end) { purpose = SIPPurpose.image } else {
                offset += media.count
                continue
            }
            media = SIPRange(start: media.start + 6, count: media.count - 6)
            offset = media.start
            let port = text.number(at: media.start).value
            // An inactive stream.
            if port == 0 { continue }
            guard port >= 1024, port <= 65535 else { return false }
            var own: IPAddress?
            if case .found(let range) = text.line(.connection(family), from: media.start, before: .media) { own = text.address(at: range.start, before: range.end, .refused)?.address }
            guard var address = own ?? common else { return false }
            guard expectStream(&message, &address, UInt16(port), purpose, media, now: now) else { return false }
            seen = address
            if own != nil, pool[Int(message.tracking.connection)].isTranslated {
                guard replaceAddress(&message, .connection(family), from: media.start, address) != false, replaceLength(&message) else { return false }
            }
            streams += 1
        }
        guard let seen, pool[Int(message.tracking.connection)].isTranslated else { return true }
        guard replaceAddress(&message, .owner(family), from: description, seen) == true else { return false }
        guard replaceAddress(&message, .connection(family), from: description, seen) != false else { return false }
        return replaceLength(&message)
    }

    /// Expects RTP and RTCP of one stream. `address` becomes what the other end is to send to.
    private mutating func expectStream(
        _ message: inout SIPMessage, _ address: inout IPAddress, _ port: UInt16, _ purpose: UInt8, _ range: SIPRange, now: Timestamp
    ) -> Bool {
        let connection = pool[Int(message.tracking.connection)]
        let own = connection.tuple(message.tracking.direction), opposite = connection.tuple(message.tracking.direction.opposite)
        // Media for somebody else.
        guard address == own.source else { return true }
        var wanted = Expectation()
        wanted.tuple.family = own.family
        wanted.tuple.transportProtocol = IPProtocol.udp
        wanted.tuple.source = opposite.source
        wanted.tuple.destination = address
        wanted.tuple.destinationPort = port
        wanted.tuple.zone = connection.original.zone
        wanted.purpose = purpose
        // The same description may be seen on several connections: then the other's expectation serves. Where both are
        // translated, the ends can reach each other directly, and do.
        var isDirect = false
        while let other = expectations.find(wanted.tuple, hash, now: now), other.master != message.tracking.connection, other.purpose == purpose,
              isCurrent(other.master, generation: other.masterGeneration), pool[Int(other.master)].helper == connection.helper {
            let isMapped = other.translation == .sip && (other.savedAddress != other.tuple.destination || other.savedPort != other.tuple.destinationPort)
            guard isMapped, !isDirect, connection.isTranslated else { return isDirect ? writePort(&message, range, wanted.tuple.destinationPort & ~1) : true }
            address = other.savedAddress
            wanted.tuple.destination = other.savedAddress
            wanted.tuple.destinationPort = other.savedPort
            isDirect = true
        }
        wanted.tuple.destinationPort &= ~1
        if isDirect, !writePort(&message, range, wanted.tuple.destinationPort) { return false }
        var control = wanted
        control.tuple.destinationPort += 1
        let limit = SIPPurpose.limit(purpose)
        if connection.isTranslated, !isDirect { return expectTranslatedStream(&message, &address, wanted, range, now: now) }
        // Several descriptions may name the same ports: then what is expected already serves.
        let refusal = expect(&wanted, message.tracking, limit: limit, seconds: SIPPurpose.seconds, ofAnyMaster: true, now: now)
        guard refusal == nil || refusal == .known else { return false }
        let other = expect(&control, message.tracking, limit: limit, seconds: SIPPurpose.seconds, ofAnyMaster: true, now: now)
        guard other == nil || other == .known else {
            if refusal == nil { expectations.remove(like: wanted, hash) }
            return false
        }
        return true
    }

    private mutating func expectTranslatedStream(_ message: inout SIPMessage, _ address: inout IPAddress, _ wanted: Expectation, _ range: SIPRange, now: Timestamp) -> Bool {
        let connection = pool[Int(message.tracking.connection)]
        let own = connection.tuple(message.tracking.direction), opposite = connection.tuple(message.tracking.direction.opposite)
        if own.source != opposite.destination { address = opposite.destination }
        var media = wanted
        media.savedAddress = wanted.tuple.destination
        media.savedPort = wanted.tuple.destinationPort
        media.direction = message.tracking.direction.opposite
        media.translation = .sip
        media.tuple.destination = address
        var control = media
        control.savedPort += 1
        let limit = SIPPurpose.limit(wanted.purpose)
        var port = UInt32(media.savedPort)
        // The same pair of ports, or the next that is free.
        while port < 65535 {
            media.tuple.destinationPort = UInt16(port)
            control.tuple.destinationPort = UInt16(port + 1)
            let refusal = expect(&media, message.tracking, limit: limit, seconds: SIPPurpose.seconds, ofAnyMaster: true, now: now)
            if refusal == nil {
                switch expect(&control, message.tracking, limit: limit, seconds: SIPPurpose.seconds, ofAnyMaster: true, now: now) {
                case nil: return media.tuple.destinationPort == media.savedPort || writePort(&message, range, media.tuple.destinationPort)
                case .full, .known:
                    expectations.remove(like: media, hash)
                    return false
                case .clash: expectations.remove(like: media, hash)
                }
            } else if refusal != .clash {
                return false
            }
            port += 2
        }
        return false
    }

    private mutating func writePort(_ message: inout SIPMessage, _ range: SIPRange, _ port: UInt16) -> Bool {
        var text = PayloadText()
        text.append(decimal: UInt32(port))
        return replaceSIP(&message, range, text) && replaceLength(&message)
    }

    /// Writes the address into the first such line behind `offset` and before the media; nil if there is none.
    private mutating func replaceAddress(_ message: inout SIPMessage, _ field: SIPField, from offset: Int, _ address: IPAddress) -> Bool? {
        switch message.text.line(field, from: offset, before: .media) {
        case .none, .unreadable: return nil
        case .found(let range): return replaceSIP(&message, range, ConnectionTracker.sipText(address, isBracketed: false))
        }
    }

    /// Content-Length: what the description has become.
    private mutating func replaceLength(_ message: inout SIPMessage) -> Bool {
        guard case .found(let version) = message.text.line(.version, from: 0), case .found(let range) = message.text.header(.contentLength) else { return false }
        var text = PayloadText()
        text.append(decimal: UInt32(message.count - version.start + 2))
        return replaceSIP(&message, range, text)
    }
}
