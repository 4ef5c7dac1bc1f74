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
    /// - Parameters:
    ///   - header: as `TCPSegment` takes it; read here, so that a call out of the worker's loop passes four words and no more.
    ///   - length: as `TCPSegment` takes it.
    ///   - direction: 0 original, 1 reply.
    @inlinable @inline(never)
    public static func acceptEstablished(_ pair: UnsafeMutablePointer<TCPWindowPair>, header: UnsafeMutableRawPointer, length: Int, direction: UInt8) -> Bool {
        let base = UnsafeMutableRawPointer(pair)
        let segment = TCPSegment(header: header, length: length)
        guard segment.flags & (TCPFlags.syn | TCPFlags.fin | TCPFlags.rst | TCPFlags.ack) == TCPFlags.ack,
            pair.pointee.state == TCPState.established.rawValue
        else { return false }
        let sender = SharedEndpoint(base + Int(direction) &* SharedEndpoint.stride)
        let receiver = SharedEndpoint(base + (1 &- Int(direction)) &* SharedEndpoint.stride)
        // Without SACK blocks the edge that a segment acknowledges is its acknowledgement.
        var sack = segment.acknowledgement
        if segment.headerLength != 20, receiver.flags & TCPEndpoint.Flag.sackPermitted != 0 { sack = segment.highestAcknowledged }
        let end = segment.sequence &+ segment.payloadLength
        guard isWithin(sender, receiver, sequence: segment.sequence, sack: sack, end: end) else { return false }
        note(base, segment, end: end, direction: direction)
        learn(sender, receiver, acknowledgement: segment.acknowledgement, sack: sack, end: end, window: UInt32(segment.window))
        return true
    }

    /// `position`, on shared memory: the four conditions are four differences of which none may be negative.
    @inlinable @inline(__always)
    static func isWithin(_ sender: SharedEndpoint, _ receiver: SharedEndpoint, sequence: UInt32, sack: UInt32, end: UInt32) -> Bool {
        let senderMaxWindow = sender.maxWindow, receiverMaxWindow = receiver.maxWindow
        guard senderMaxWindow != 0, receiverMaxWindow != 0 else { return false }
        let unseen = receiver.end &- sack
        let belowUpper = sender.maxEnd &- sequence
        let aboveLower = end &- sender.end &+ receiverMaxWindow
        let recent = max(senderMaxWindow, 66000) &- unseen
        return Int32(bitPattern: belowUpper | aboveLower | unseen | recent) >= 0
    }

    /// `update`, on shared memory: only what changes is stored.
    @inlinable @inline(__always)
    static func learn(_ sender: SharedEndpoint, _ receiver: SharedEndpoint, acknowledgement: UInt32, sack: UInt32, end: UInt32, window: UInt32) {
        let senderWord = sender.scaleAndFlags
        let scaled = window &<< (senderWord & 15)
        let edge = sack &+ scaled
        if edge &- acknowledgement > sender.maxWindow { sender.store(maxWindow: edge &- acknowledgement) }
        var newWord = senderWord | SharedEndpoint.word(TCPEndpoint.Flag.maxAckSet)
        if isAfter(acknowledgement, sender.maxAck) || newWord != senderWord { sender.store(maxAck: acknowledgement) }
        if isAfter(end, sender.end) {
            sender.store(end: end)
            newWord |= SharedEndpoint.word(TCPEndpoint.Flag.dataUnacknowledged)
        }
        if newWord != senderWord { sender.store(scaleAndFlags: newWord) }
        if isAfter(end, sender.maxEnd) { receiver.store(maxWindow: receiver.maxWindow &+ (end &- sender.maxEnd)) }
        if !isBefore(edge, receiver.maxEnd) { receiver.store(maxEnd: scaled == 0 ? edge &+ 1 : edge) }
        if acknowledgement == receiver.end {
            let word = receiver.scaleAndFlags
            if word & SharedEndpoint.word(TCPEndpoint.Flag.dataUnacknowledged) != 0 {
                receiver.store(scaleAndFlags: word & ~SharedEndpoint.word(TCPEndpoint.Flag.dataUnacknowledged))
            }
        }
    }

    /// `noteAck`, on shared memory. The last segment's numbers are two words: sequence and acknowledgement; end, window, direction, kind.
    @inlinable @inline(__always)
    static func note(_ base: UnsafeMutableRawPointer, _ segment: TCPSegment, end: UInt32, direction: UInt8) {
        let numbers = base.sharedWord(SharedEndpoint.lastNumbers), place = base.sharedWord(SharedEndpoint.lastPlace)
        let newNumbers = UInt64(segment.sequence) | UInt64(segment.acknowledgement) &<< 32
        let newPlace = UInt64(end) | UInt64(segment.window) &<< 32 | UInt64(direction) &<< 48 | UInt64(TCPSegment.Kind.ack.rawValue) &<< 56
        let isRepeated = (numbers.pointee.load(ordering: .relaxed) ^ newNumbers) | ((place.pointee.load(ordering: .relaxed) ^ newPlace) &<< 8) == 0
        numbers.pointee.store(newNumbers, ordering: .relaxed)
        place.pointee.store(newPlace, ordering: .relaxed)
        let pair = base.assumingMemoryBound(to: TCPWindowPair.self)
        pair.pointee.retransmissions = isRepeated ? pair.pointee.retransmissions &+ 1 : 0
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
