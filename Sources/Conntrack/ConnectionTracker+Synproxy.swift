// What the tracker keeps of a connection whose handshake with the client was synproxy's: the number that stood for the server's
// first, and how far the server's clock is from the one that the client was shown (nf_conn_synproxy).
//
// Invariant: the state lives in the connection's helper state, a bounded pool: when that is full, the connection is refused,
// and the client's next acknowledgement tries again.
import Wire

public struct SynproxyState: Sendable {
    /// First sequence number that the client was given.
    public var initialSequence: UInt32 = 0
    /// Time stamp that the client was given.
    public var initialTimestamp: UInt32 = 0
    /// The server's time stamps minus those of the cookie.
    public var timestampOffset: UInt32 = 0
    var isActive = false
    public init() {}
}

extension ConnectionTracker {
    /// Makes an unconfirmed connection synproxy's; false if there is no room.
    public mutating func beginSynproxy(_ index: UInt32) -> Bool {
        let connection = self.connection(index)
        guard !connection.pointee.isConfirmed else { return true }
        if connection.pointee.helperState == Connection.none {
            guard let state = helpers.allocate() else {
                statistics.helperPoolFull &+= 1
                return false
            }
            connection.pointee.helperState = state
        }
        helpers.states[Int(connection.pointee.helperState)].synproxy.isActive = true
        return true
    }

    /// The state of a connection of synproxy's; nil for any other.
    public func synproxyState(_ index: UInt32) -> UnsafeMutablePointer<SynproxyState>? {
        let state = pool[Int(index)].helperState
        guard state != Connection.none, helpers.states[Int(state)].synproxy.isActive else { return nil }
        let base = UnsafeMutableRawPointer(helpers.states + Int(state))
        return (base + HelperState.synproxyOffset).assumingMemoryBound(to: SynproxyState.self)
    }

    /// From now on the sequence numbers of one direction are shifted (nf_ct_seqadj_init).
    public mutating func shiftSequences(_ index: UInt32, _ direction: ConnectionDirection, by offset: UInt32) {
        let connection = pool + Int(index)
        guard offset != 0, connection.pointee.helperState != Connection.none else { return }
        connection.pointee.status.insert(.sequenceAdjust)
        let state = helpers.states + Int(connection.pointee.helperState)
        var shift = direction == .original ? state.pointee.original : state.pointee.reply
        shift.before = Int32(bitPattern: offset)
        shift.after = shift.before
        if direction == .original { state.pointee.original = shift } else { state.pointee.reply = shift }
    }

    /// Translates the time stamps of a segment between the server's clock and the cookie's (synproxy_tstamp_adjust).
    public func adjustTimestamp(_ packet: PacketBuffer, _ parsed: ParsedPacket, _ state: SynproxyState, isReply: Bool) {
        guard state.timestampOffset != 0, parsed.flags.contains(.hasTransport) else { return }
        let offset = Int(parsed.transportOffset)
        let length = min(Int(packet.load8(offset + 12) >> 4) * 4, parsed.transportLength)
        guard let option = TCPOptions(header: packet.start + offset, length: length).first(where: { $0.kind == 8 && $0.length == 10 }) else { return }
        let inHeader = option.offset + (isReply ? 2 : 6), field = offset + inHeader, old = packet.load32(field)
        let new = isReply ? old &- state.timestampOffset : old &+ state.timestampOffset
        packet.store32(new, at: field)
        // At an odd place every 16 bits stand the other way round in the sum.
        func inSum(_ value: UInt32) -> UInt32 {
            inHeader & 1 == 0 ? value : (value & 0x00ff_00ff) << 8 | (value >> 8) & 0x00ff_00ff
        }
        packet.store16(Checksum.update(packet.load16(offset + 16), old: inSum(old), new: inSum(new)), at: offset + 16)
    }
}
