// A worker's entrance to the window law: plain segments of established connections, in memory that two workers may share.
//
// Invariant: what is accepted leaves the state that `TCPWindow.judge` would (a property test holds both to it); what is not
// leaves no trace.
import Synchronization

extension TCPWindow {
    /// A worker's question: is this plain segment (ACK, neither SYN, FIN nor RST) of an established connection in
    /// window? If so, the state is brought up to date, exactly as `judge` would; if not, nothing is touched and the
    /// packet belongs to the slow path.
    ///
    /// The connection's directions may be two workers': each stores, field by field, only what its own segments teach, so
    /// that neither undoes the other's. Relaxed loads and stores: a worker that has not seen its neighbour's newest yet
    /// refuses a segment at most, and the slow path judges it. What both may write (`retransmissions` and the last segment, the
    /// unacknowledged flag, a window that grew by data beyond it) only chooses among timeouts or widens again with the next segment.
    /// - Parameter direction: 0 original, 1 reply.
    @inlinable @inline(__always)
    public static func acceptEstablished(_ pair: UnsafeMutablePointer<TCPWindowPair>, _ segment: TCPSegment, direction: UInt8) -> Bool {
        let base = UnsafeMutableRawPointer(pair)
        guard segment.flags & (TCPFlags.syn | TCPFlags.fin | TCPFlags.rst | TCPFlags.ack) == TCPFlags.ack,
            pair.pointee.state == TCPState.established.rawValue
        else { return false }
        // Without SACK blocks the edge that a segment acknowledges is its acknowledgement.
        var sack = segment.acknowledgement
        let receiver = SharedEndpoint(base + (1 &- Int(direction)) &* SharedEndpoint.stride)
        if segment.headerLength != 20, receiver.flags & TCPEndpoint.Flag.sackPermitted != 0 { sack = segment.highestAcknowledged }
        return accept(
            base, sequence: segment.sequence, acknowledgement: segment.acknowledgement, sack: sack, end: segment.end, window: segment.window,
            direction: UInt32(direction & 1))
    }

    /// `position` and `update` in one, on shared memory: the four conditions are four differences of which none may be
    /// negative, and only what changes is stored.
    @inlinable @inline(never)
    static func accept(
        _ base: UnsafeMutableRawPointer, sequence: UInt32, acknowledgement: UInt32, sack: UInt32, end: UInt32, window: UInt16, direction: UInt32
    ) -> Bool {
        let sender = SharedEndpoint(base + Int(direction) &* SharedEndpoint.stride)
        let receiver = SharedEndpoint(base + Int(1 &- direction) &* SharedEndpoint.stride)
        let senderEnd = sender.end, senderMaxEnd = sender.maxEnd, senderMaxWindow = sender.maxWindow, senderWord = sender.scaleAndFlags
        let receiverEnd = receiver.end, receiverMaxWindow = receiver.maxWindow
        guard senderMaxWindow != 0, receiverMaxWindow != 0 else { return false }
        let belowUpper = senderMaxEnd &- sequence
        let aboveLower = end &- (senderEnd &- receiverMaxWindow)
        let seen = receiverEnd &- sack
        let recent = sack &- (receiverEnd &- max(senderMaxWindow, 66000))
        guard Int32(bitPattern: belowUpper | aboveLower | seen | recent) >= 0 else { return false }

        let scaled = UInt32(window) &<< (senderWord & 15)
        let granted = scaled &+ (sack &- acknowledgement)
        if granted > senderMaxWindow { sender.store(maxWindow: granted) }
        var newSenderWord = senderWord
        if isAfter(end, senderEnd) {
            sender.store(end: end)
            newSenderWord |= SharedEndpoint.word(TCPEndpoint.Flag.dataUnacknowledged)
        }
        if senderWord & SharedEndpoint.word(TCPEndpoint.Flag.maxAckSet) == 0 || isAfter(acknowledgement, sender.maxAck) {
            sender.store(maxAck: acknowledgement)
            newSenderWord |= SharedEndpoint.word(TCPEndpoint.Flag.maxAckSet)
        }
        if newSenderWord != senderWord { sender.store(scaleAndFlags: newSenderWord) }
        if isAfter(end, senderMaxEnd) { receiver.store(maxWindow: receiverMaxWindow &+ (end &- senderMaxEnd)) }
        let edge = sack &+ scaled
        if isAfter(edge, receiver.maxEnd &- 1) { receiver.store(maxEnd: scaled == 0 ? edge &+ 1 : edge) }
        if acknowledgement == receiverEnd {
            let word = receiver.scaleAndFlags
            if word & SharedEndpoint.word(TCPEndpoint.Flag.dataUnacknowledged) != 0 {
                receiver.store(scaleAndFlags: word & ~SharedEndpoint.word(TCPEndpoint.Flag.dataUnacknowledged))
            }
        }

        // The last segment's numbers are two words: sequence and acknowledgement; end, window, direction, kind.
        let numbers = base.sharedWord(SharedEndpoint.lastNumbers), place = base.sharedWord(SharedEndpoint.lastPlace)
        let newNumbers = UInt64(sequence) | UInt64(acknowledgement) &<< 32
        let newPlace = UInt64(end) | UInt64(window) &<< 32 | UInt64(direction) &<< 48 | UInt64(TCPSegment.Kind.ack.rawValue) &<< 56
        let isRepeated = (numbers.pointee.load(ordering: .relaxed) ^ newNumbers) | ((place.pointee.load(ordering: .relaxed) ^ newPlace) &<< 8) == 0
        numbers.pointee.store(newNumbers, ordering: .relaxed)
        place.pointee.store(newPlace, ordering: .relaxed)
        let pair = base.assumingMemoryBound(to: TCPWindowPair.self)
        pair.pointee.retransmissions = isRepeated ? pair.pointee.retransmissions &+ 1 : 0
        return true
    }
}

/// A `TCPEndpoint` in memory that two workers may write.
@usableFromInline struct SharedEndpoint {
    @usableFromInline static var stride: Int { 20 }
    @usableFromInline static var lastNumbers: Int { 40 }
    @usableFromInline static var lastPlace: Int { 48 }
    @usableFromInline let base: UnsafeMutableRawPointer
    @inlinable @inline(__always) init(_ base: UnsafeMutableRawPointer) { self.base = base }

    @inlinable @inline(__always) func field(_ index: Int) -> UnsafeMutablePointer<Atomic<UInt32>> {
        (base + index &<< 2).assumingMemoryBound(to: Atomic<UInt32>.self)
    }

    @inlinable @inline(__always) var end: UInt32 { field(0).pointee.load(ordering: .relaxed) }
    @inlinable @inline(__always) var maxEnd: UInt32 { field(1).pointee.load(ordering: .relaxed) }
    @inlinable @inline(__always) var maxWindow: UInt32 { field(2).pointee.load(ordering: .relaxed) }
    @inlinable @inline(__always) var maxAck: UInt32 { field(3).pointee.load(ordering: .relaxed) }
    /// The scale in the low byte, the flags in the next.
    @inlinable @inline(__always) var scaleAndFlags: UInt32 { field(4).pointee.load(ordering: .relaxed) }
    @inlinable @inline(__always) var flags: UInt8 { UInt8(truncatingIfNeeded: scaleAndFlags &>> 8) }
    /// A flag's place in `scaleAndFlags`.
    @inlinable @inline(__always) static func word(_ flag: UInt8) -> UInt32 { UInt32(flag) &<< 8 }

    @inlinable @inline(__always) func store(end value: UInt32) { field(0).pointee.store(value, ordering: .relaxed) }
    @inlinable @inline(__always) func store(maxEnd value: UInt32) { field(1).pointee.store(value, ordering: .relaxed) }
    @inlinable @inline(__always) func store(maxWindow value: UInt32) { field(2).pointee.store(value, ordering: .relaxed) }
    @inlinable @inline(__always) func store(maxAck value: UInt32) { field(3).pointee.store(value, ordering: .relaxed) }
    @inlinable @inline(__always) func store(scaleAndFlags value: UInt32) { field(4).pointee.store(value, ordering: .relaxed) }

    /// Whether `TCPWindowPair` lies in memory as the numbers above say.
    static var matchesLayout: Bool {
        MemoryLayout<TCPWindowPair>.offset(of: \.reply) == stride && MemoryLayout<TCPWindowPair>.offset(of: \.lastSequence) == lastNumbers
            && MemoryLayout<TCPWindowPair>.offset(of: \.lastEnd) == lastPlace && MemoryLayout<TCPWindowPair>.offset(of: \.lastKind) == lastPlace + 7
            && MemoryLayout<TCPWindowPair>.offset(of: \.lastWindow) == lastPlace + 4 && MemoryLayout<TCPWindowPair>.offset(of: \.lastDirection) == lastPlace + 6
            && MemoryLayout<TCPEndpoint>.offset(of: \.end) == 0 && MemoryLayout<TCPEndpoint>.offset(of: \.maxEnd) == 4
            && MemoryLayout<TCPEndpoint>.offset(of: \.maxWindow) == 8 && MemoryLayout<TCPEndpoint>.offset(of: \.maxAck) == 12
            && MemoryLayout<TCPEndpoint>.offset(of: \.scale) == 16 && MemoryLayout<TCPEndpoint>.offset(of: \.flags) == 17
    }
}

extension UnsafeMutableRawPointer {
    @inlinable @inline(__always) func sharedWord(_ offset: Int) -> UnsafeMutablePointer<Atomic<UInt64>> {
        (self + offset).assumingMemoryBound(to: Atomic<UInt64>.self)
    }
}
