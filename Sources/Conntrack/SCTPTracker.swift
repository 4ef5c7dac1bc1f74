// SCTP associations (nf_conntrack_proto_sctp.c): chunks, verification tags, states.
//
// Invariant: a chunk's header is loaded only inside the packet; the walk takes at most a step for four bytes, since a
// chunk of length zero ends it.
import Wire

/// States of a tracked association; raw values index the transition table.
public enum SCTPState: UInt8, CaseIterable, Sendable {
    case none, closed, cookieWait, cookieEchoed, established, shutdownSent, shutdownReceived, shutdownAckSent, heartbeatSent

    /// As `conntrack -L` prints it.
    var name: String {
        switch self {
        case .none: "NONE"
        case .closed: "CLOSED"
        case .cookieWait: "COOKIE_WAIT"
        case .cookieEchoed: "COOKIE_ECHOED"
        case .established: "ESTABLISHED"
        case .shutdownSent: "SHUTDOWN_SENT"
        case .shutdownReceived: "SHUTDOWN_RECD"
        case .shutdownAckSent: "SHUTDOWN_ACK_SENT"
        case .heartbeatSent: "HEARTBEAT_SENT"
        }
    }
}

/// What is remembered of an association. 12 bytes.
@frozen public struct SCTPAssociation: Sendable {
    /// Verification tag of packets in each direction; 0 while unknown.
    public var originalTag: UInt32 = 0
    public var replyTag: UInt32 = 0
    public var state: UInt8 = 0
    /// Directions in which an INIT was seen that no COOKIE ACK has ended: bit 0 original, bit 1 reply.
    @usableFromInline var initiating: UInt8 = 0
    /// A heartbeat with a tag of its own waits for its acknowledgement, sent in `heartbeatDirection`.
    @usableFromInline var heartbeatPending = false
    @usableFromInline var heartbeatDirection: UInt8 = 0
    @inlinable public init() {}

    func tag(_ direction: ConnectionDirection) -> UInt32 { direction == .original ? originalTag : replyTag }
    mutating func setTag(_ direction: ConnectionDirection, _ tag: UInt32) {
        if direction == .original { originalTag = tag } else { replyTag = tag }
    }
    func isInitiating(_ direction: ConnectionDirection) -> Bool { initiating & (1 << direction.rawValue) != 0 }
}

private enum Chunk {
    static let data: UInt8 = 0
    static let initiation: UInt8 = 1
    static let initiationAck: UInt8 = 2
    static let heartbeat: UInt8 = 4
    static let heartbeatAck: UInt8 = 5
    static let abort: UInt8 = 6
    static let shutdown: UInt8 = 7
    static let shutdownAck: UInt8 = 8
    static let error: UInt8 = 9
    static let cookieEcho: UInt8 = 10
    static let cookieAck: UInt8 = 11
    static let shutdownComplete: UInt8 = 14

    /// Row of the transition table; nil for chunks that change no state.
    static func row(_ type: UInt8) -> Int? {
        switch type {
        case initiation: 0
        case initiationAck: 1
        case abort: 2
        case shutdown: 3
        case shutdownAck: 4
        case error: 5
        case cookieEcho: 6
        case cookieAck: 7
        case shutdownComplete: 8
        case heartbeat: 9
        case heartbeatAck: 10
        default: nil
        }
    }

    /// A digit a cell, the raw value of the next state, or `-` for invalid; columns are the states.
    private static let original: StaticString =
        "112341172112345671111111111112355671712347777112345671113345671112445671112345611812345678112345678"
    private static let reply: StaticString =
        "-1234567--2234567--1111111--1236567--1234777--1214567--1334567--1244567--1234561--12345678-12345674"

    /// nil: invalid.
    static func next(_ direction: ConnectionDirection, _ state: UInt8, _ type: UInt8) -> UInt8? {
        guard let row = row(type) else { return state }
        let cell = (direction == .original ? original : reply).utf8Start[row * 9 + Int(min(state, 8))]
        return cell == UInt8(ascii: "-") ? nil : cell - UInt8(ascii: "0")
    }
}

extension ConnectionTracker {
    mutating func trackSCTP(_ packet: PacketBuffer, _ parsed: ParsedPacket, _ index: UInt32, _ tracking: Tracking, verifies: Bool, now: Timestamp) -> TrackerVerdict {
        let length = parsed.transportLength
        guard length >= 12 else { return .invalid(.badHeader) }
        let offset = Int(parsed.transportOffset)
        let end = offset + length
        if verifies, !parsed.flags.contains(.hasVerifiedChecksum), !Checksum.verifySCTP(UnsafeRawPointer(packet.start + offset), length: length) { return .invalid(.badChecksum) }
        guard let kinds = chunkKinds(packet, offset: offset, end: end) else { return .invalid(.sctpBadChunk) }
        func has(_ type: UInt8) -> Bool { kinds & (1 << UInt32(type)) != 0 }

        let connection = pool + Int(index)
        let direction = tracking.direction
        let tag = packet.load32(offset + 4)
        if !connection.pointee.isConfirmed {
            guard !has(Chunk.abort), !has(Chunk.shutdownComplete), !has(Chunk.cookieAck) else { return .invalid(.noTransition) }
            guard beginSCTP(&connection.pointee.sctp, packet, offset: offset, end: end, tag: tag) else { return .invalid(.noTransition) }
        }
        let exempt: UInt32 =
            1 << UInt32(Chunk.initiation) | 1 << UInt32(Chunk.shutdownComplete) | 1 << UInt32(Chunk.cookieEcho) | 1 << UInt32(Chunk.abort)
            | 1 << UInt32(Chunk.shutdownAck) | 1 << UInt32(Chunk.heartbeat) | 1 << UInt32(Chunk.heartbeatAck)
        if kinds & exempt == 0, tag != connection.pointee.sctp.tag(direction) { return .invalid(.sctpBadTag) }

        var newState: UInt8 = 0
        var keepsDeadline = false
        var position = offset + 12
        while position + 4 <= end {
            let type = packet.load8(position)
            switch judgeTag(&connection.pointee.sctp, type, flags: packet.load8(position + 1), tag: tag, direction, hasData: has(Chunk.data), ignored: keepsDeadline) {
            case .wrong: return .invalid(.sctpBadTag)
            case .foreignHeartbeat:
                keepsDeadline = true
                position += (Int(packet.load16(position + 2)) + 3) & ~3
                continue
            case .right: break
            }
            let oldState = connection.pointee.sctp.state
            guard let next = Chunk.next(direction, oldState, type) else { return .invalid(.noTransition) }
            newState = next
            if type == Chunk.initiation || type == Chunk.initiationAck {
                guard position + 4 + 16 <= end else { return .invalid(.sctpBadChunk) }
                let announced = packet.load32(position + 4)
                if type == Chunk.initiation {
                    if connection.pointee.sctp.initiating == 3 { connection.pointee.sctp.initiating &= ~(1 << direction.opposite.rawValue) }
                    connection.pointee.sctp.initiating |= 1 << direction.rawValue
                    // A repeated INIT must not keep an unanswered association alive.
                    if next == SCTPState.closed.rawValue && oldState == next && connection.pointee.isConfirmed { keepsDeadline = true }
                } else {
                    let known = connection.pointee.sctp.tag(direction.opposite)
                    if !connection.pointee.sctp.isInitiating(direction.opposite), known != 0, known != announced { return .invalid(.sctpBadTag) }
                    if connection.pointee.sctp.initiating == 3, known != announced { return .invalid(.sctpBadTag) }
                }
                connection.pointee.sctp.setTag(direction.opposite, announced)
            }
            connection.pointee.sctp.state = next
            if oldState != next && next == SCTPState.established.rawValue { connection.pointee.status.insert(.assured) }
            position += (Int(packet.load16(position + 2)) + 3) & ~3
        }
        if !keepsDeadline {
            let seconds = timeouts(connection).pointee.sctp(SCTPState(rawValue: newState) ?? .closed)
            refresh(index, direction, seconds: seconds, bytes: parsed.networkLength, now: now)
        }
        return .accept
    }

    /// One bit a chunk type below 32; nil if there is no chunk, one of length zero, or one that must stand alone (or first)
    /// and does not (RFC 9260 section 3).
    private func chunkKinds(_ packet: PacketBuffer, offset: Int, end: Int) -> UInt32? {
        var kinds: UInt32 = 0
        var count = 0
        var mustBeAlone = false
        var position = offset + 12
        while position + 4 <= end {
            let type = packet.load8(position)
            let length = Int(packet.load16(position + 2))
            if type == Chunk.initiation || type == Chunk.initiationAck || type == Chunk.shutdownComplete { mustBeAlone = true }
            let mustBeFirst = mustBeAlone || type == Chunk.cookieAck || type == Chunk.cookieEcho
            guard length != 0, !mustBeFirst || count == 0 else { return nil }
            if type < 32 { kinds |= 1 << UInt32(type) }
            count += 1
            position += (length + 3) & ~3
        }
        return count == 0 ? nil : kinds
    }

    private func beginSCTP(_ association: inout SCTPAssociation, _ packet: PacketBuffer, offset: Int, end: Int, tag: UInt32) -> Bool {
        association = SCTPAssociation()
        var position = offset + 12
        while position + 4 <= end {
            let type = packet.load8(position)
            guard let next = Chunk.next(.original, 0, type), next != 0 else { return false }
            switch type {
            case Chunk.initiation:
                guard tag == 0, position + 4 + 16 <= end else { return false }
                association.replyTag = packet.load32(position + 4)
            case Chunk.heartbeat: association.originalTag = tag
            case Chunk.shutdownAck: association.replyTag = tag
            default: break
            }
            position += (Int(packet.load16(position + 2)) + 3) & ~3
        }
        return true
    }

    private enum TagJudgement { case right, wrong, foreignHeartbeat }

    /// Verification tag rules of RFC 9260 section 8.5.1, and Linux's for a path that has a tag of its own.
    private mutating func judgeTag(
        _ association: inout SCTPAssociation, _ type: UInt8, flags: UInt8, tag: UInt32, _ direction: ConnectionDirection, hasData: Bool, ignored: Bool
    ) -> TagJudgement {
        let own = association.tag(direction)
        switch type {
        case Chunk.initiation:
            return tag == 0 ? .right : .wrong
        case Chunk.abort, Chunk.shutdownComplete:
            return tag == (flags & 1 == 0 ? own : association.tag(direction.opposite)) ? .right : .wrong
        case Chunk.cookieEcho:
            return tag == own ? .right : .wrong
        case Chunk.cookieAck:
            association.initiating = 0
        case Chunk.heartbeat:
            if own == 0 {
                association.setTag(direction, tag)
            } else if tag != own {
                if hasData || ignored { return .wrong }
                association.heartbeatPending = true
                association.heartbeatDirection = direction.rawValue
                return .foreignHeartbeat
            } else {
                association.heartbeatPending = false
            }
        case Chunk.heartbeatAck:
            if own == 0 {
                association.setTag(direction, tag)
            } else if tag != own {
                if hasData || ignored || !association.heartbeatPending || association.heartbeatDirection == direction.rawValue { return .wrong }
                association.heartbeatPending = false
                association.setTag(direction, tag)
                association.setTag(direction.opposite, 0)
            } else {
                association.heartbeatPending = false
            }
        default: break
        }
        return .right
    }
}
