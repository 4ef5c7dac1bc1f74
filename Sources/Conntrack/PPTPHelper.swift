// PPTP (RFC 2637; nf_conntrack_pptp.c, nf_nat_pptp.c): expects the GRE tunnel that an accepted call announces, in either
// direction, and where the control connection is translated, gives the call an ID of its own: the client's TCP port as
// seen outside.
//
// As in Linux the client (PNS) opens the control connection, and one call a control connection is known.
//
// Invariant: messages are read only where they are whole in one segment, and changed in place: the stream never shifts.
import Wire

/// Where a control connection stands, and its call's IDs.
struct PPTPCall {
    enum Session: UInt8 { case none, failed, stopping, requested, confirmed }
    enum State: UInt8 { case none, failed, outRequested, outConfirmed, inRequested, inReplied, inConfirmed, clearRequested }
    var session = Session.none
    var state = State.none
    /// The client's call ID as the server knows it.
    var clientID: UInt16 = 0
    var serverID: UInt16 = 0
    /// The client's own, where it is translated.
    var clientOwnID: UInt16 = 0
}

private enum PPTPMessage {
    static let headerLength = 12
    static let startRequest: UInt16 = 1, startReply: UInt16 = 2, stopRequest: UInt16 = 3, stopReply: UInt16 = 4
    static let outCallRequest: UInt16 = 7, outCallReply: UInt16 = 8, inCallRequest: UInt16 = 9, inCallReply: UInt16 = 10, inCallConnected: UInt16 = 11
    static let clearRequest: UInt16 = 12, disconnect: UInt16 = 13, wanError: UInt16 = 14, setLinkInfo: UInt16 = 15

    /// Bytes behind the header that a message must have (RFC 2637 section 2).
    static func length(_ type: UInt16) -> Int {
        switch type {
        case startRequest, startReply: 144
        case stopRequest, stopReply, clearRequest: 4
        case outCallRequest: 156
        case outCallReply: 20
        case inCallRequest: 208
        case inCallReply: 12
        case inCallConnected: 16
        case disconnect: 136
        case wanError: 28
        case setLinkInfo: 12
        default: 0
        }
    }
}

extension ConnectionTracker {
    mutating func readPPTP(_ packet: inout PacketBuffer, _ parsed: inout ParsedPacket, _ tracking: Tracking, now: Timestamp) {
        guard tracking.state == .established, parsed.flags.contains(.hasTransport) else { return }
        let start = Int(parsed.transportOffset) + Int(packet.load8(Int(parsed.transportOffset) + 12) >> 4) * 4
        let length = Int(parsed.transportOffset) + parsed.transportLength - start
        // A control message with the magic cookie.
        guard length >= PPTPMessage.headerLength, packet.load16(start + 2) == 1, packet.load32(start + 4) == 0x1a2b_3c4d else { return }
        let type = packet.load16(start + 8)
        let body = start + PPTPMessage.headerLength
        guard length - PPTPMessage.headerLength >= PPTPMessage.length(type) else { return }
        let position = tracking.direction == .original
            ? readPPTPFromClient(packet, type, body, tracking) : readPPTPFromServer(packet, type, body, tracking, now: now)
        guard let position, pool[Int(tracking.connection)].isTranslated else { return }
        let state = helpers.states[Int(pool[Int(tracking.connection)].helperState)]
        packet.store16(tracking.direction == .original ? state.call.clientID : state.call.clientOwnID, at: position)
        Checksum.fillTransport(packet, parsed)
    }

    /// - Returns: where the client's call ID stands, if NAT has to write another one.
    private mutating func readPPTPFromClient(_ packet: PacketBuffer, _ type: UInt16, _ body: Int, _ tracking: Tracking) -> Int? {
        let connection = pool + Int(tracking.connection)
        let call = helpers.states + Int(connection.pointee.helperState)
        switch type {
        case PPTPMessage.startRequest:
            if call.pointee.call.session == .none { call.pointee.call.session = .requested }
        case PPTPMessage.stopRequest:
            call.pointee.call.session = .stopping
        case PPTPMessage.outCallRequest:
            guard call.pointee.call.session == .confirmed else { return nil }
            call.pointee.call.state = .outRequested
            call.pointee.call.clientID = packet.load16(body)
            if connection.pointee.isTranslated {
                call.pointee.call.clientOwnID = call.pointee.call.clientID
                call.pointee.call.clientID = connection.pointee.reply.destinationPort
            }
            return body
        case PPTPMessage.inCallReply:
            guard call.pointee.call.state == .inRequested || call.pointee.call.state == .inReplied, call.pointee.call.serverID == packet.load16(body + 2) else { return nil }
            if packet.load8(body + 4) == 1 {
                call.pointee.call.state = .inReplied
                call.pointee.call.clientID = packet.load16(body)
            } else {
                call.pointee.call.state = .none
            }
            return body
        case PPTPMessage.clearRequest:
            guard call.pointee.call.session == .confirmed else { return nil }
            call.pointee.call.state = .clearRequested
            return body
        default:
            break
        }
        return nil
    }

    /// - Returns: where the client's call ID stands, if NAT has to write the client's own.
    private mutating func readPPTPFromServer(_ packet: PacketBuffer, _ type: UInt16, _ body: Int, _ tracking: Tracking, now: Timestamp) -> Int? {
        let call = helpers.states + Int(pool[Int(tracking.connection)].helperState)
        switch type {
        case PPTPMessage.startReply:
            guard call.pointee.call.session.rawValue >= PPTPCall.Session.requested.rawValue else { return nil }
            call.pointee.call.session = packet.load8(body + 2) == 1 ? .confirmed : .failed
        case PPTPMessage.stopReply:
            guard call.pointee.call.session.rawValue <= PPTPCall.Session.stopping.rawValue else { return nil }
            call.pointee.call.session = packet.load8(body) == 1 ? .none : .failed
        case PPTPMessage.outCallReply:
            guard call.pointee.call.session == .confirmed, call.pointee.call.state == .outRequested || call.pointee.call.state == .outConfirmed,
                  call.pointee.call.clientID == packet.load16(body + 2) else { return nil }
            if packet.load8(body + 4) == 1 {
                call.pointee.call.state = .outConfirmed
                call.pointee.call.serverID = packet.load16(body)
                expectCall(tracking, now: now)
            } else {
                call.pointee.call.state = .none
            }
            return body + 2
        case PPTPMessage.inCallRequest:
            guard call.pointee.call.session == .confirmed else { return nil }
            call.pointee.call.state = .inRequested
            call.pointee.call.serverID = packet.load16(body)
        case PPTPMessage.inCallConnected:
            guard call.pointee.call.session == .confirmed, call.pointee.call.state == .inReplied || call.pointee.call.state == .inConfirmed,
                  call.pointee.call.clientID == packet.load16(body) else { return nil }
            call.pointee.call.state = .inConfirmed
            expectCall(tracking, now: now)
            return body
        case PPTPMessage.disconnect:
            call.pointee.call.state = .none
            endCalls(tracking.connection)
            return body
        case PPTPMessage.wanError, PPTPMessage.setLinkInfo:
            return body
        default:
            break
        }
        return nil
    }

    /// Expects the tunnel from either end, and lets both ends' packets be known by their call IDs.
    private mutating func expectCall(_ tracking: Tracking, now: Timestamp) {
        let connection = pool[Int(tracking.connection)]
        let call = helpers.states[Int(connection.helperState)].call
        let isTranslated = connection.isTranslated
        var sent = Expectation()
        sent.tuple = tunnel(connection.original, isTranslated ? call.clientOwnID : call.clientID, call.serverID)
        sent.checksSourcePort = true
        sent.direction = .original
        sent.savedPort = call.clientID
        sent.translation = isTranslated ? .pptp : .none
        var received = Expectation()
        received.tuple = tunnel(connection.reply, call.serverID, call.clientID)
        received.checksSourcePort = true
        received.direction = .reply
        received.savedPort = call.clientOwnID
        received.translation = isTranslated ? .pptp : .none
        guard expect(&sent, tracking, limit: 2, seconds: 300, now: now) == nil else { return }
        guard expect(&received, tracking, limit: 2, seconds: 300, now: now) == nil else {
            return expectations.remove(like: sent, hash)
        }
        greKeys.removeAll(of: tracking.connection)
        guard greKeys.add(sent.tuple, of: tracking.connection), greKeys.add(received.tuple, of: tracking.connection) else {
            greKeys.removeAll(of: tracking.connection)
            expectations.remove(like: sent, hash)
            return expectations.remove(like: received, hash)
        }
    }

    private func tunnel(_ control: ConnectionTuple, _ sourceKey: UInt16, _ destinationKey: UInt16) -> ConnectionTuple {
        var tuple = control
        tuple.transportProtocol = IPProtocol.gre
        tuple.sourcePort = sourceKey
        tuple.destinationPort = destinationKey
        return tuple
    }

    /// One end's first packet came: the other end's belong to the same connection, so its expectation goes.
    mutating func removeOtherCall(_ expectation: Expectation) {
        let direction = expectation.direction
        expectations.removeAll(of: expectation.master, hash, once: true) { $0.tuple.transportProtocol == IPProtocol.gre && $0.direction != direction }
    }

    /// The call is over, or its control connection: the tunnel goes with it.
    mutating func endCalls(_ control: UInt32) {
        greKeys.removeAll(of: control)
        let connection = pool[Int(control)]
        guard connection.helperState != Connection.none else { return }
        let call = helpers.states[Int(connection.helperState)].call
        endTunnel(tunnel(connection.original, call.clientID, call.serverID))
        endTunnel(tunnel(connection.reply, call.serverID, call.clientID))
    }

    /// Ends the connection with these addresses and call IDs, or else what is expected to become it; also one that no call has made, as Linux does.
    private mutating func endTunnel(_ tuple: ConnectionTuple) {
        // Whatever has expired goes by itself: the time does not matter here.
        let node = find(tuple, now: 0)
        if node != Connection.none {
            retire(node >> 1)
        } else {
            expectations.remove(for: tuple, hash)
        }
    }
}
