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
        guard segment.flags & (TCPFlags.syn | TCPFlags.fin | TCPFlags.rst | TCPFlags.ack) == TCPFlags.ack,
            pair.pointee.state == TCPState.established.rawValue
        else { return false }
        let base = UnsafeMutableRawPointer(pair)
        let own = SharedEndpoint(base + Int(direction) &* SharedEndpoint.stride)
        let other = SharedEndpoint(base + (1 &- Int(direction)) &* SharedEndpoint.stride)
        let sender = own.value, receiver = other.value
        guard sender.maxWindow != 0, receiver.maxWindow != 0 else { return false }
        let acknowledgement = segment.acknowledgement
        let sack = receiver.flags & TCPEndpoint.Flag.sackPermitted != 0 ? segment.highestAcknowledged : acknowledgement
        let end = segment.end
        guard position(sender: sender, receiver: receiver, sequence: segment.sequence, end: end, sack: sack) == .within else { return false }
        var newSender = sender, newReceiver = receiver
        update(
            sender: &newSender, receiver: &newReceiver, end: end, acknowledgement: acknowledgement, sack: sack,
            scaledWindow: UInt32(segment.window) &<< UInt32(sender.scale & 15), hasAck: true)
        own.store(newSender, over: sender)
        other.store(newReceiver, over: receiver)
        // The last segment's numbers are two words: sequence and acknowledgement; end, window, direction, kind.
        let numbers = base.sharedWord(SharedEndpoint.lastNumbers), place = base.sharedWord(SharedEndpoint.lastPlace)
        let newNumbers = UInt64(segment.sequence) | UInt64(acknowledgement) &<< 32
        let newPlace = UInt64(end) | UInt64(segment.window) &<< 32 | UInt64(direction) &<< 48 | UInt64(TCPSegment.Kind.ack.rawValue) &<< 56
        let oldPlace = place.pointee.load(ordering: .relaxed)
        if (numbers.pointee.load(ordering: .relaxed) ^ newNumbers) | ((oldPlace ^ newPlace) &<< 8) == 0 {
            pair.pointee.retransmissions &+= 1
            if oldPlace != newPlace { place.pointee.store(newPlace, ordering: .relaxed) }
        } else {
            numbers.pointee.store(newNumbers, ordering: .relaxed)
            place.pointee.store(newPlace, ordering: .relaxed)
            pair.pointee.retransmissions = 0
        }
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

    @inlinable @inline(__always) var value: TCPEndpoint {
        var endpoint = TCPEndpoint()
        endpoint.end = field(0).pointee.load(ordering: .relaxed)
        endpoint.maxEnd = field(1).pointee.load(ordering: .relaxed)
        endpoint.maxWindow = field(2).pointee.load(ordering: .relaxed)
        endpoint.maxAck = field(3).pointee.load(ordering: .relaxed)
        let word = field(4).pointee.load(ordering: .relaxed)
        endpoint.scale = UInt8(truncatingIfNeeded: word)
        endpoint.flags = UInt8(truncatingIfNeeded: word &>> 8)
        return endpoint
    }

    @inlinable @inline(__always) func store(_ new: TCPEndpoint, over old: TCPEndpoint) {
        if new.end != old.end { field(0).pointee.store(new.end, ordering: .relaxed) }
        if new.maxEnd != old.maxEnd { field(1).pointee.store(new.maxEnd, ordering: .relaxed) }
        if new.maxWindow != old.maxWindow { field(2).pointee.store(new.maxWindow, ordering: .relaxed) }
        if new.maxAck != old.maxAck { field(3).pointee.store(new.maxAck, ordering: .relaxed) }
        if new.flags != old.flags { field(4).pointee.store(UInt32(new.scale) | UInt32(new.flags) &<< 8, ordering: .relaxed) }
    }

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
