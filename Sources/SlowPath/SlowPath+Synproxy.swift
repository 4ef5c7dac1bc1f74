// `synproxy`: the client's handshake is answered with a cookie; only when the client has shown that it is there, the server is
// asked, and from then on the sequence numbers and time stamps of the two handshakes are translated.
//
// Invariant: nothing is kept before the client's acknowledgement was found good. Sources: net/netfilter/nft_synproxy.c,
// nf_synproxy_core.c (synproxy_send_client_synack, synproxy_recv_client_ack, ipv4_synproxy_hook).
import Conntrack
import Policy
import Wire

extension SlowPath {
    /// The statement, for a segment with SYN or ACK.
    mutating func answerSynproxy(_ transit: borrowing Transit) -> Disposition {
        let parsed = transit.context.parsed, packet = transit.context.packet
        let offset = Int(parsed.transportOffset)
        guard parsed.flags.contains(.hasTransport), Checksum.verifyTransport(packet, parsed),
              let options = HandshakeOptions(packet, at: offset, available: parsed.transportLength) else { return .dropped(.ruleDrop) }
        // Nothing is to be known of a connection that this packet may have begun.
        defer { tracker.pointee.release(transit.tracking) }
        if parsed.tcpFlags & TCPFlags.syn != 0 {
            answerSYN(transit, options)
            return .delivered
        }
        return takeAcknowledgement(transit, options, sequence: packet.load32(offset + 4)) ? .delivered : .dropped(.ruleDrop)
    }

    private mutating func answerSYN(_ transit: borrowing Transit, _ asked: HandshakeOptions) {
        let parsed = transit.context.parsed, parameters = SynproxyParameters(rawValue: transit.context.synproxy)
        var options = asked
        options.present.formIntersection(HandshakeOptions.Present(rawValue: parameters.options))
        options.maximumSegmentSize = parameters.maximumSegmentSize
        if options.present.contains(.timestamp) {
            // The time stamp keeps what the cookie has no room for.
            options.timestampEcho = asked.timestamp
            options.timestamp = UInt32(truncatingIfNeeded: transit.context.now / 1_000_000) & ~0x3f
            if options.present.contains(.windowScale) {
                options.timestamp |= UInt32(asked.windowScale)
                options.windowScale = parameters.windowScale
            } else {
                options.timestamp |= 0xf
            }
            if options.present.contains(.sackPermitted) { options.timestamp |= 0x10 }
        } else {
            options.present.formIntersection(.maximumSegmentSize)
        }
        let sequence = transit.context.packet.load32(Int(parsed.transportOffset) + 4)
        var answer = TCPControlSegment(from: parsed.destinationAddress, parsed.destinationPort, to: parsed.sourceAddress, parsed.sourcePort)
        answer.sequence = cookies.make(parsed, sequence: sequence, maximumSegmentSize: asked.maximumSegmentSize, now: transit.context.now)
        answer.acknowledgement = sequence &+ 1
        answer.flags = TCPFlags.syn | TCPFlags.ack
        answer.options = options
        send(answer, transit, attached: reply(transit.tracking))
    }

    /// The client's acknowledgement of a cookie: the server gets its SYN. False if it is no cookie of ours.
    private mutating func takeAcknowledgement(_ transit: borrowing Transit, _ given: HandshakeOptions, sequence: UInt32) -> Bool {
        let parsed = transit.context.parsed, packet = transit.context.packet, offset = Int(parsed.transportOffset)
        let cookie = packet.load32(offset + 8) &- 1
        guard let size = cookies.check(cookie, parsed, sequence: packet.load32(offset + 4) &- 1, now: transit.context.now) else { return false }
        var options = given
        options.maximumSegmentSize = size
        options.present.insert(.maximumSegmentSize)
        if options.present.contains(.timestamp) {
            options.windowScale = UInt8(given.timestampEcho & 0xf)
            if options.windowScale != 0xf { options.present.insert(.windowScale) }
            if given.timestampEcho & 0x10 != 0 { options.present.insert(.sackPermitted) }
        }
        var syn = TCPControlSegment(from: parsed.sourceAddress, parsed.sourcePort, to: parsed.destinationAddress, parsed.destinationPort)
        syn.sequence = sequence &- 1
        // Tells the cookie to `translateHandshake`, and travels on, as Linux sends it.
        syn.acknowledgement = cookie
        syn.flags = TCPFlags.syn
        syn.window = packet.load16(offset + 14)
        syn.options = options
        send(syn, transit, attached: .unseen, beginsSynproxy: true)
        return true
    }

    /// Before a packet of synproxy's connection is confirmed: both handshakes are brought together. Nil if it goes on.
    mutating func translateHandshake(_ transit: inout Transit) -> Disposition? {
        guard transit.tracking.hasConnection, !transit.tracking.isRelatedError, transit.parsed.transportProtocol == IPProtocol.tcp,
              let state = tracker.pointee.synproxyState(transit.tracking.connection) else { return nil }
        let parsed = transit.parsed, offset = Int(parsed.transportOffset)
        guard parsed.flags.contains(.hasTransport) else { return .dropped(.ruleDrop) }
        let connection = tracker.pointee.connection(transit.tracking.connection)
        let flags = parsed.tcpFlags & (TCPFlags.syn | TCPFlags.ack | TCPFlags.rst)
        let sequence = transit.packet.load32(offset + 4), isReply = transit.tracking.isReply
        guard let options = HandshakeOptions(transit.packet, at: offset, available: parsed.transportLength) else { return .dropped(.ruleDrop) }
        switch connection.pointee.tcpState {
        case .close where flags & TCPFlags.rst != 0 && isReply:
            tracker.pointee.shiftSequences(transit.tracking.connection, .reply, by: state.pointee.initialSequence &- sequence &+ 1)
        case .close where flags != TCPFlags.syn || isReply: break
        case .close, .synSent:
            if connection.pointee.tcpState == .close { state.pointee.timestampOffset = 0 }
            if flags & TCPFlags.syn == 0, flags & TCPFlags.ack != 0, !isReply {
                return takeAcknowledgement(transit, options, sequence: sequence &+ 1) ? .delivered : .dropped(.ruleDrop)
            }
            state.pointee.initialSequence = transit.packet.load32(offset + 8)
            if options.present.contains(.timestamp) { state.pointee.initialTimestamp = options.timestampEcho }
        case .synReceived where flags & (TCPFlags.syn | TCPFlags.ack) == TCPFlags.syn | TCPFlags.ack:
            if options.present.contains(.timestamp) { state.pointee.timestampOffset = options.timestamp &- state.pointee.initialTimestamp }
            finishHandshakes(transit, options, clientWindow: UInt16(clamping: connection.pointee.window.original.maxWindow), isn: state.pointee.initialSequence)
            return .delivered
        default: break
        }
        tracker.pointee.adjustTimestamp(transit.packet, parsed, state.pointee, isReply: isReply)
        return nil
    }

    /// The server's SYN+ACK: the server gets its acknowledgement, the client the server's window.
    private mutating func finishHandshakes(_ transit: borrowing Transit, _ given: HandshakeOptions, clientWindow: UInt16, isn: UInt32) {
        let parsed = transit.context.parsed, packet = transit.context.packet, offset = Int(parsed.transportOffset)
        let sequence = packet.load32(offset + 4)
        var options = given
        options.present.formIntersection(.timestamp)
        swap(&options.timestamp, &options.timestampEcho)
        var toServer = TCPControlSegment(from: parsed.destinationAddress, parsed.destinationPort, to: parsed.sourceAddress, parsed.sourcePort)
        toServer.sequence = packet.load32(offset + 8)
        toServer.acknowledgement = sequence &+ 1
        toServer.flags = TCPFlags.ack
        toServer.window = clientWindow
        toServer.options = options
        send(toServer, transit, attached: .unseen)

        tracker.pointee.shiftSequences(transit.tracking.connection, .reply, by: isn &- sequence)
        swap(&options.timestamp, &options.timestampEcho)
        var toClient = TCPControlSegment(from: parsed.sourceAddress, parsed.sourcePort, to: parsed.destinationAddress, parsed.destinationPort)
        toClient.sequence = sequence
        toClient.acknowledgement = packet.load32(offset + 8)
        toClient.flags = TCPFlags.ack
        toClient.window = packet.load16(offset + 14) >> UInt16(given.windowScale)
        toClient.options = options
        send(toClient, transit, attached: reply(transit.tracking))
    }

    /// What Linux attaches to answers: the packet's connection, as an established one's reply.
    private func reply(_ tracking: Tracking) -> Tracking {
        guard tracking.hasConnection else { return .unseen }
        var answer = tracking
        answer.state = .established
        answer.direction = .reply
        return answer
    }

    private mutating func send(_ segment: TCPControlSegment, _ cause: borrowing Transit, attached: Tracking, beginsSynproxy: Bool = false) {
        guard var room = outbox.reserve(TCPControlSegment.maximumLength) else { return statistics.count(note: .noBuffer) }
        room.length = segment.build(into: room, link: LinkHeader())
        if room.length > 0 { sendOwn(room, cause, attached: attached, beginsSynproxy: beginsSynproxy, isPartial: true) }
    }
}
