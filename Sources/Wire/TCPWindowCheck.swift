// The one judge of TCP sequence numbers: is a segment within what the two ends can have meant?
//
// Model: "Real Stateful TCP Packet Filtering in IP Filter" (G. van Rooij) in the form that Linux gave it in
// tcp_in_window(): with `sack` the highest edge that the segment acknowledges,
//
//     I.   sequence       <= sender.maxEnd                          upper bound of data
//     II.  sequence + len >= sender.end - receiver.maxWindow        lower bound of data
//     III. sack           <= receiver.end                           upper bound of acknowledgements
//     IV.  sack           >= receiver.end - max(sender.maxWindow, 66000)
//
// Two entrances over the same bounds and the same update: `acceptEstablished` for a worker (a plain segment of an
// established connection; touches nothing unless it accepts), `judge` for connection tracking (every segment).
//
// Invariant: no load outside the TCP header that the caller checked; at most 40 steps over the options.

/// The numbers of one TCP header, in host order.
@frozen public struct TCPSegment {
    /// Which of SYN, FIN, RST, ACK decides the transition (`enum tcp_bit_set`); raw values index the transition table.
    @frozen public enum Kind: UInt8, CaseIterable, Sendable { case syn, synAck, fin, ack, rst, none }

    public var sequence: UInt32
    public var acknowledgement: UInt32
    /// As it stands in the header, not scaled.
    public var window: UInt16
    public var flags: UInt8
    /// Bytes of the header with options, at least 20.
    public var headerLength: UInt8
    /// Bytes behind the header.
    public var payloadLength: UInt32
    /// First byte of the TCP header.
    @usableFromInline var header: UnsafeMutableRawPointer

    /// - Parameters:
    ///   - header: a TCP header of which at least `min(length, data offset)` bytes are readable, 20 at least.
    ///   - length: bytes from the header to the end of the IP packet, 20 at least.
    @inlinable @inline(__always)
    public init(header: UnsafeMutableRawPointer, length: Int) {
        self.header = header
        sequence = UInt32(bigEndian: header.loadUnaligned(fromByteOffset: 4, as: UInt32.self))
        acknowledgement = UInt32(bigEndian: header.loadUnaligned(fromByteOffset: 8, as: UInt32.self))
        let word = UInt32(bigEndian: header.loadUnaligned(fromByteOffset: 12, as: UInt32.self))
        window = UInt16(truncatingIfNeeded: word)
        flags = UInt8(truncatingIfNeeded: word >> 16)
        let claimed = Int(word >> 28) &* 4
        let bounded = claimed < 20 ? 20 : (claimed > length ? length : claimed)
        headerLength = UInt8(truncatingIfNeeded: bounded)
        payloadLength = UInt32(truncatingIfNeeded: length &- bounded)
    }

    /// Sequence number behind the segment: SYN and FIN count one each.
    @inlinable @inline(__always)
    public var end: UInt32 { sequence &+ payloadLength &+ UInt32((flags >> 1) & 1) &+ UInt32(flags & 1) }

    @inlinable @inline(__always)
    public var kind: Kind {
        if flags & TCPFlags.rst != 0 { return .rst }
        if flags & TCPFlags.syn != 0 { return flags & TCPFlags.ack != 0 ? .synAck : .syn }
        if flags & TCPFlags.fin != 0 { return .fin }
        return flags & TCPFlags.ack != 0 ? .ack : .none
    }

    /// Highest edge that the segment acknowledges: the acknowledgement, or the furthest right edge of a SACK block.
    @inlinable
    public var highestAcknowledged: UInt32 {
        let length = Int(headerLength) &- 20
        if length <= 0 { return acknowledgement }
        // NOP, NOP, timestamp: what nearly every segment of a bulk transfer carries.
        if length == 12, UInt32(bigEndian: header.loadUnaligned(fromByteOffset: 20, as: UInt32.self)) == 0x0101_080a {
            return acknowledgement
        }
        return highestSelectivelyAcknowledged()
    }

    @inlinable @inline(never)
    func highestSelectivelyAcknowledged() -> UInt32 {
        for option in options where option.kind == 5 && option.length >= 10 && (option.length &- 2) % 8 == 0 {
            var highest = acknowledgement
            var block = option.offset &+ 2
            while block < option.offset &+ option.length {
                let right = UInt32(bigEndian: header.loadUnaligned(fromByteOffset: block &+ 4, as: UInt32.self))
                if TCPWindow.isAfter(right, highest) { highest = right }
                block &+= 8
            }
            return highest
        }
        return acknowledgement
    }

    @inlinable var options: TCPOptions { TCPOptions(header: header, length: Int(headerLength)) }

    /// Takes window scale and SACK-permitted from the options of a SYN, as tcp_options() does: a header without any
    /// option leaves the endpoint as it was.
    public func readOptions(into endpoint: inout TCPEndpoint) {
        if headerLength <= 20 { return }
        endpoint.scale = 0
        endpoint.flags &= TCPEndpoint.Flag.beLiberal
        for option in options {
            if option.kind == 4, option.length == 2 {
                endpoint.flags |= TCPEndpoint.Flag.sackPermitted
            } else if option.kind == 3, option.length == 3 {
                endpoint.scale = min(header.load(fromByteOffset: option.offset &+ 2, as: UInt8.self), 14)
                endpoint.flags |= TCPEndpoint.Flag.windowScale
            }
        }
    }
}

/// Sequence-number law; a namespace.
public enum TCPWindow {
    /// Where a segment lies; all but `within` have a name of their own among the invalid reasons.
    @frozen public enum Position: UInt8, Sendable {
        case within
        /// Data beyond the window, by no more than a window: passed by Linux without a change of state.
        case slightlyBeyond
        case dataBeyondWindow, acknowledgesUnseenData, dataBelowWindow, acknowledgementTooOld
    }

    @inlinable @inline(__always) public static func isAfter(_ a: UInt32, _ b: UInt32) -> Bool { Int32(bitPattern: b &- a) < 0 }
    @inlinable @inline(__always) public static func isBefore(_ a: UInt32, _ b: UInt32) -> Bool { Int32(bitPattern: a &- b) < 0 }

    /// Conditions I to IV.
    @inlinable @inline(__always)
    static func position(sender: TCPEndpoint, receiver: TCPEndpoint, sequence: UInt32, end: UInt32, sack: UInt32) -> Position {
        let oldest = receiver.end &- max(sender.maxWindow, 66000) &- 1
        let reachesWindow = isAfter(end, sender.end &- receiver.maxWindow &- 1)
        if !isBefore(sequence, sender.maxEnd &+ 1) {
            if receiver.maxWindow != 0, reachesWindow, isAfter(sack, oldest), end &- sender.maxEnd &+ 1 <= receiver.maxWindow, isBefore(sack, receiver.end &+ 1) {
                return .slightlyBeyond
            }
            return .dataBeyondWindow
        }
        if !isBefore(sack, receiver.end &+ 1) { return .acknowledgesUnseenData }
        if receiver.maxWindow != 0 && !reachesWindow { return .dataBelowWindow }
        if !isAfter(sack, oldest) { return .acknowledgementTooOld }
        return .within
    }

    /// What an acceptable segment teaches about both ends.
    /// - Parameter scaledWindow: the advertised window, scaled unless the segment is a SYN.
    @inlinable @inline(__always)
    static func update(
        sender: inout TCPEndpoint, receiver: inout TCPEndpoint, end: UInt32, acknowledgement: UInt32, sack: UInt32, scaledWindow: UInt32, hasAck: Bool
    ) {
        sender.maxWindow = max(sender.maxWindow, scaledWindow &+ (sack &- acknowledgement))
        if isAfter(end, sender.end) {
            sender.end = end
            sender.flags |= TCPEndpoint.Flag.dataUnacknowledged
        }
        if hasAck {
            if sender.flags & TCPEndpoint.Flag.maxAckSet == 0 {
                sender.maxAck = acknowledgement
                sender.flags |= TCPEndpoint.Flag.maxAckSet
            } else if isAfter(acknowledgement, sender.maxAck) {
                sender.maxAck = acknowledgement
            }
        }
        if receiver.maxWindow != 0, isAfter(end, sender.maxEnd) { receiver.maxWindow &+= end &- sender.maxEnd }
        if isAfter(sack &+ scaledWindow, receiver.maxEnd &- 1) {
            receiver.maxEnd = sack &+ scaledWindow
            if scaledWindow == 0 { receiver.maxEnd &+= 1 }
        }
        if acknowledgement == receiver.end { receiver.flags &= ~TCPEndpoint.Flag.dataUnacknowledged }
    }

    /// Counts identical pure ACK segments, from which a dead peer is told.
    @inlinable @inline(__always)
    static func noteAck(_ pair: UnsafeMutablePointer<TCPWindowPair>, direction: UInt8, sequence: UInt32, acknowledgement: UInt32, end: UInt32, window: UInt16) {
        if pair.pointee.lastDirection == direction && pair.pointee.lastSequence == sequence && pair.pointee.lastAcknowledgement == acknowledgement
            && pair.pointee.lastEnd == end && pair.pointee.lastWindow == window
        {
            pair.pointee.retransmissions &+= 1
        } else {
            pair.pointee.lastDirection = direction
            pair.pointee.lastSequence = sequence
            pair.pointee.lastAcknowledgement = acknowledgement
            pair.pointee.lastEnd = end
            pair.pointee.lastWindow = window
            pair.pointee.retransmissions = 0
        }
    }
}
