// TCP connections (nf_conntrack_proto_tcp.c): state, window, resets, timeouts.
//
// Invariant: the window of a connection that was never cached is read and written in place; that of one that was is judged by a copy, and what the
// segment taught is brought in beside what workers store (SharedWindows.swift).
import Wire

extension ConnectionTracker {
    /// SYN, SYN/ACK, RST, FIN/ACK and ACK, the last three and SYN with URG where a stack may set it.
    private static func isValidCombination(_ flags: UInt8) -> Bool {
        switch flags & (TCPFlags.fin | TCPFlags.syn | TCPFlags.rst | TCPFlags.ack | TCPFlags.urg) {
        case TCPFlags.syn, TCPFlags.syn | TCPFlags.urg, TCPFlags.syn | TCPFlags.ack, TCPFlags.rst, TCPFlags.rst | TCPFlags.ack,
            TCPFlags.fin | TCPFlags.ack, TCPFlags.fin | TCPFlags.ack | TCPFlags.urg, TCPFlags.ack, TCPFlags.ack | TCPFlags.urg:
            true
        default: false
        }
    }

    mutating func trackTCP(
        _ packet: PacketBuffer, _ parsed: ParsedPacket, _ index: UInt32, _ tracking: Tracking, verifies: Bool, now: Timestamp
    ) -> TrackerVerdict {
        let length = parsed.transportLength
        guard length >= 20 else { return .invalid(.badHeader) }
        let header = packet.start + Int(parsed.transportOffset)
        let headerLength = Int(packet.load8(Int(parsed.transportOffset) + 12) >> 4) * 4
        guard headerLength >= 20, headerLength <= length else { return .invalid(.badHeader) }
        if verifies, !Checksum.verifyTransport(packet, parsed) { return .invalid(.badChecksum) }
        let segment = TCPSegment(header: header, length: length)
        guard ConnectionTracker.isValidCombination(segment.flags) else { return .invalid(.badFlags) }

        let connection = pool + Int(index)
        guard connection.pointee.window.isShared else {
            return track(segment, index, tracking, &connection.pointee.window, bytes: parsed.networkLength, now: now)
        }
        let before = windows.view(index, connection), scratch = windows.scratch
        scratch.pointee = before
        let verdict = track(segment, index, tracking, scratch, bytes: parsed.networkLength, now: now)
        windows.commit(index, in: pool, from: before, to: scratch.pointee)
        return verdict
    }

    /// Judges a segment by `window`, its connection's.
    private mutating func track(
        _ segment: TCPSegment, _ index: UInt32, _ tracking: Tracking, _ window: UnsafeMutablePointer<TCPWindowPair>, bytes: UInt32, now: Timestamp
    ) -> TrackerVerdict {
        let connection = pool + Int(index)
        if !connection.pointee.isConfirmed {
            if let reason = beginTCP(&window.pointee, segment) { return .invalid(reason) }
        }
        let direction = tracking.direction
        let kind = segment.kind
        var oldState = (TCPState(rawValue: window.pointee.state) ?? .none)
        var newState: TCPState
        var isResynchronised = false
        switch TCPTransition.next(direction, kind, oldState) {
        case .invalid:
            return .invalid(.noTransition)
        case .to(.synSent) where oldState.rawValue >= TCPState.timeWait.rawValue:
            // A SYN on a connection that has been closed in order, or aborted by this side: a new connection.
            let isOver = (window.pointee.original.flags | window.pointee.reply.flags) & TCPEndpoint.Flag.closeInit != 0
            let isAborted = window.pointee.lastDirection == direction.rawValue && window.pointee.lastKind == TCPSegment.Kind.rst.rawValue
            if isOver || isAborted {
                guard connection.pointee.isConfirmed else { return .drop }
                retire(index)
                return .again
            }
            if !resynchronise(&window.pointee, segment, direction) { return ignored(&window.pointee, segment, direction, oldState) }
            isResynchronised = true
            newState = .synReceived
        case .ignore:
            if !resynchronise(&window.pointee, segment, direction) { return ignored(&window.pointee, segment, direction, oldState) }
            isResynchronised = true
            newState = .synReceived
        case .to(let state):
            newState = state
        }
        if isResynchronised { oldState = .synSent }

        var skipsWindow = false
        if !isResynchronised {
            switch newState {
            case .timeWait:
                // The answer to a spurious SYN in LAST_ACK is a challenge ACK; it does not acknowledge the FIN (RFC 5961).
                if oldState == .lastAck, kind == .ack, window.pointee.lastDirection != direction.rawValue,
                    window.pointee.lastKind == TCPSegment.Kind.syn.rawValue,
                    window.pointee.lastFlags & TCPEndpoint.Flag.expectChallengeAck != 0
                {
                    window.pointee.lastFlags &= ~TCPEndpoint.Flag.expectChallengeAck
                    return .accept
                }
            case .synSent2:
                window.pointee.lastFlags |= TCPEndpoint.Flag.simultaneousOpen
            case .synReceived:
                if direction == .reply, kind == .ack, window.pointee.lastFlags & TCPEndpoint.Flag.simultaneousOpen != 0 { newState = .established }
            case .close where kind == .rst:
                switch judgeReset(connection, window.pointee, segment, direction, oldState) {
                case .invalid: return .invalid(.resetOutOfWindow)
                case .checkWindow: break
                case .checkWindowKeepState:
                    newState = oldState
                case .skipWindow: skipsWindow = true
                case .skipWindowKeepState:
                    newState = oldState
                    skipsWindow = true
                }
            default: break
            }
        }

        if !skipsWindow {
            let shift = acknowledgementShift(connection, segment, direction)
            let position = TCPWindow.judge(&window.pointee, segment, direction: direction.rawValue, sequenceOffset: shift)
            let isLiberal =
                configuration.tcpLiberal
                || (direction == .original ? window.pointee.original : window.pointee.reply).flags & TCPEndpoint.Flag.beLiberal != 0
            if position != .within && !isLiberal {
                switch position {
                case .within, .slightlyBeyond, .dataBelowWindow, .acknowledgementTooOld: return .accept
                case .dataBeyondWindow, .acknowledgesUnseenData:
                    shortenAfterInvalid(connection, window, kind, direction, now: now)
                    return .invalid(position == .dataBeyondWindow ? .dataBeyondWindow : .acknowledgesUnseenData)
                }
            }
        }
        return advance(index, segment, window, direction, from: oldState, to: newState, bytes: bytes, now: now)
    }

    /// The first packet: a SYN begins a connection; an ACK is taken up in the middle of one, if loose.
    private mutating func beginTCP(_ window: inout TCPWindowPair, _ segment: TCPSegment) -> InvalidReason? {
        switch TCPTransition.next(.original, segment.kind, .none) {
        case .to(.synSent):
            window = TCPWindowPair()
            window.original.end = segment.end
            window.original.maxEnd = segment.end
            window.original.maxWindow = max(UInt32(segment.window), 1)
            segment.readOptions(into: &window.original)
        case .to:
            guard configuration.tcpLoose else { return .noPickUp }
            window = TCPWindowPair()
            window.original.end = segment.end
            window.original.maxWindow = max(UInt32(segment.window), 1)
            window.original.maxEnd = segment.end &+ window.original.maxWindow
            // Whether there is scaling is not known: SACK is assumed and the window not enforced.
            window.original.flags = TCPEndpoint.Flag.sackPermitted | TCPEndpoint.Flag.beLiberal
            window.reply.flags = window.original.flags
        default:
            return .noTransition
        }
        window.lastKind = TCPSegment.Kind.none.rawValue
        return nil
    }

    /// A SYN/ACK that acknowledges a SYN which was let through unbelieved: both ends are in step, and from the notes taken
    /// then the tracker is as well.
    private mutating func resynchronise(_ window: inout TCPWindowPair, _ segment: TCPSegment, _ direction: ConnectionDirection) -> Bool {
        guard segment.kind == .synAck, window.lastKind == TCPSegment.Kind.syn.rawValue, window.lastDirection != direction.rawValue,
            segment.acknowledgement == window.lastEnd
        else { return false }
        window.lastFlags &= ~TCPEndpoint.Flag.expectChallengeAck
        var other = TCPEndpoint()
        other.end = window.lastEnd
        other.maxEnd = window.lastEnd
        other.maxWindow = max(UInt32(window.lastWindow), 1)
        other.scale = window.lastScale
        other.flags = window.lastFlags
        var own = TCPEndpoint()
        own.flags = (direction == .original ? window.original : window.reply).flags & TCPEndpoint.Flag.beLiberal
        let previous = window.lastDirection == 0 ? window.original : window.reply
        other.maxAck = previous.maxAck
        if direction == .original {
            window.original = own
            window.reply = other
        } else {
            window.reply = own
            window.original = other
        }
        return true
    }

    /// Lets a segment pass unbelieved, and notes what a later answer may refer to.
    private mutating func ignored(_ window: inout TCPWindowPair, _ segment: TCPSegment, _ direction: ConnectionDirection, _ state: TCPState) -> TrackerVerdict {
        let kind = segment.kind
        window.lastKind = kind.rawValue
        window.lastDirection = direction.rawValue
        window.lastSequence = segment.sequence
        window.lastEnd = segment.end
        window.lastWindow = segment.window
        if kind == .syn && direction == .original {
            var seen = TCPEndpoint()
            segment.readOptions(into: &seen)
            window.lastScale = seen.scale
            window.lastFlags = seen.flags
            if state == .lastAck { window.lastFlags |= TCPEndpoint.Flag.expectChallengeAck }
        }
        // Possibly the challenge ACK that answers a SYN.
        if state == .synSent, kind == .ack, direction == .reply { window.lastAcknowledgement = segment.acknowledgement }
        return .accept
    }

    private enum ResetJudgement { case invalid, checkWindow, checkWindowKeepState, skipWindow, skipWindowKeepState }

    /// A reset closes an established connection only if its number is exactly the next one, or it follows its sender's
    /// last segment: otherwise the other end will ask back with a challenge ACK (RFC 5961 section 3).
    private mutating func judgeReset(_ connection: UnsafeMutablePointer<Connection>, _ window: TCPWindowPair, _ segment: TCPSegment, _ direction: ConnectionDirection, _ oldState: TCPState) -> ResetJudgement {
        // The tuple may have been reused while closing: what is known of the old connection says nothing.
        switch oldState {
        case .finWait, .lastAck, .timeWait, .close, .closeWait: return .skipWindow
        default: break
        }
        let isEstablished = oldState == .established && connection.pointee.status.contains(.assured)
        let receiver = direction == .original ? window.reply : window.original
        var keepsState = false
        if receiver.flags & TCPEndpoint.Flag.maxAckSet != 0 && window.lastKind != TCPSegment.Kind.syn.rawValue {
            // Most likely the answer to a SYN that was let through.
            if segment.sequence == 0 && !isEstablished { return .checkWindow }
            if TCPWindow.isBefore(segment.sequence, receiver.maxAck) && !configuration.tcpIgnoresInvalidResets { return .invalid }
            if !isEstablished || segment.sequence == receiver.maxAck { return .checkWindow }
            if window.lastKind == TCPSegment.Kind.ack.rawValue, window.lastDirection == direction.rawValue, segment.sequence == window.lastEnd { return .checkWindow }
            keepsState = true
        }
        let status = connection.pointee.status
        let answersIgnored =
            // Linux 6.18: only the SYN's other end can mean the SYN.
            (status.contains(.seenReply) && window.lastKind == TCPSegment.Kind.syn.rawValue && window.lastDirection != direction.rawValue)
            || (!status.contains(.assured) && window.lastKind == TCPSegment.Kind.ack.rawValue)
        if answersIgnored && segment.acknowledgement == window.lastEnd { return keepsState ? .skipWindowKeepState : .skipWindow }
        // The answer to a challenge ACK that was let through.
        if oldState == .synSent, window.lastKind == TCPSegment.Kind.ack.rawValue, window.lastDirection == 1, segment.sequence == window.lastAcknowledgement {
            return keepsState ? .skipWindowKeepState : .skipWindow
        }
        return keepsState ? .checkWindowKeepState : .checkWindow
    }

    /// A FIN or RST out of window, then one the other way: the tracker is out of step with a connection that is dying.
    private mutating func shortenAfterInvalid(
        _ connection: UnsafeMutablePointer<Connection>, _ window: UnsafeMutablePointer<TCPWindowPair>, _ kind: TCPSegment.Kind, _ direction: ConnectionDirection, now: Timestamp
    ) {
        guard connection.pointee.status.contains(.assured), !connection.pointee.status.contains(.fixedTimeout), kind == .rst || kind == .fin else { return }
        let lastKind = window.pointee.lastKind
        if window.pointee.lastDirection != direction.rawValue, lastKind == TCPSegment.Kind.fin.rawValue || lastKind == TCPSegment.Kind.rst.rawValue {
            let left = connection.pointee.deadline > now ? connection.pointee.deadline - now : 0
            let short = UInt64(timeouts(connection).pointee.tcpUnacknowledged) &* 1_000_000_000
            if left >= 120_000_000_000 && left > short { connection.pointee.deadline = now &+ short }
        } else {
            window.pointee.lastKind = kind.rawValue
            window.pointee.lastDirection = direction.rawValue
        }
    }

    /// An acceptable segment: new state, new deadline.
    private mutating func advance(
        _ index: UInt32, _ segment: TCPSegment, _ window: UnsafeMutablePointer<TCPWindowPair>, _ direction: ConnectionDirection, from oldState: TCPState, to newState: TCPState, bytes: UInt32, now: Timestamp
    ) -> TrackerVerdict {
        let connection = pool + Int(index)
        let kind = segment.kind
        window.pointee.lastKind = kind.rawValue
        window.pointee.lastDirection = direction.rawValue
        window.pointee.state = newState.rawValue
        if oldState != newState && newState == .finWait {
            if direction == .original {
                window.pointee.original.flags |= TCPEndpoint.Flag.closeInit
            } else {
                window.pointee.reply.flags |= TCPEndpoint.Flag.closeInit
            }
        }
        var seconds = tcpTimeout(connection, window.pointee, newState, isReset: kind == .rst)
        let status = connection.pointee.status
        if !status.contains(.seenReply) {
            if kind == .rst {
                // Refused, or withdrawn: nothing to remember.
                account(index, direction, packets: 1, bytes: UInt64(bytes))
                retire(index)
                return .accept
            }
            // A retransmitted SYN must not keep an unanswered connection alive.
            if kind == .syn && oldState == .synSent { return .accept }
            if newState == .established { seconds = min(seconds, timeouts(connection).pointee.tcpUnacknowledged) }
        } else if !status.contains(.assured), oldState == .synReceived || oldState == .established, newState == .established {
            connection.pointee.status.insert(.assured)
        }
        refresh(index, direction, seconds: seconds, bytes: bytes, now: now)
        return .accept
    }

    /// Seconds to live after a segment: the state's, or less while the connection looks stuck.
    mutating func tcpTimeout(_ connection: UnsafeMutablePointer<Connection>, _ window: TCPWindowPair, _ state: TCPState, isReset: Bool) -> UInt32 {
        let timeouts = timeouts(connection).pointee
        let usual = timeouts.tcp(state)
        if window.retransmissions >= configuration.tcpMaximumRetransmissions, usual > timeouts.tcpRetransmission { return timeouts.tcpRetransmission }
        if isReset { return timeouts.tcpClose }
        if (window.original.flags | window.reply.flags) & TCPEndpoint.Flag.dataUnacknowledged != 0, usual > timeouts.tcpUnacknowledged {
            return timeouts.tcpUnacknowledged
        }
        if window.lastWindow == 0, usual > timeouts.tcpRetransmission { return timeouts.tcpRetransmission }
        return usual
    }
}
