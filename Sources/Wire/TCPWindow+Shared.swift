// The slow path's side of a window that workers write as well: read it, and bring in what a segment taught, word by word.
//
// A worker stores plainly: it reads a word, and if its segment goes beyond, stores its own (TCPWindowCheck+Established.swift). The slow path
// raises a word with compare-and-exchange, so it never undoes what a worker has stored. A worker that read before may still store less
// than the slow path did, once; so the slow path keeps what it taught until it is certain to stay (Conntrack/SharedWindows.swift).
//
// Invariant: everything is relaxed; each word is an end's own knowledge and grows by itself, and no other memory is read by it.
import Synchronization

extension TCPWindowPair {
    /// Reads a window that workers may be writing.
    public init(shared window: UnsafeMutablePointer<TCPWindowPair>) {
        self.init()
        let base = UnsafeMutableRawPointer(window)
        withUnsafeMutableBytes(of: &self) { copy in
            for offset in stride(from: 0, to: MemoryLayout<TCPWindowPair>.size, by: 8) {
                copy.storeBytes(of: base.sharedWord(offset).pointee.load(ordering: .relaxed), toByteOffset: offset, as: UInt64.self)
            }
        }
    }


    /// Takes what only the slow path writes, the state and notes on a SYN that was let through, as `window` has it.
    public mutating func takeOwnBytes(of window: UnsafeMutablePointer<TCPWindowPair>) {
        lastScale = window.pointee.lastScale
        lastFlags = window.pointee.lastFlags
        state = window.pointee.state
    }

    /// Goes as far as `other` does wherever that went further.
    public mutating func raise(by other: TCPWindowPair) {
        original.raise(by: other.original)
        reply.raise(by: other.reply)
    }

    /// Whether nothing of `other` is missing.
    public func covers(_ other: TCPWindowPair) -> Bool { original.covers(other.original) && reply.covers(other.reply) }

    /// Whether workers accept nothing.
    public var isClosed: Bool { original.maxWindow == 0 && reply.maxWindow == 0 }

    /// Whether a segment that made `self` of `before` set an end back or taught it anew, instead of going further.
    public func replaces(_ before: TCPWindowPair) -> Bool { original.replaces(before.original) || reply.replaces(before.reply) }
}

extension TCPEndpoint {
    /// Flags that workers never set or clear.
    private static var slowFlags: UInt8 { ~(Flag.dataUnacknowledged | Flag.maxAckSet) }

    mutating func raise(by other: TCPEndpoint) {
        if TCPWindow.isAfter(other.end, end) { end = other.end }
        if TCPWindow.isAfter(other.maxEnd, maxEnd) { maxEnd = other.maxEnd }
        maxWindow = max(maxWindow, other.maxWindow)
        if other.flags & Flag.maxAckSet != 0, flags & Flag.maxAckSet == 0 || TCPWindow.isAfter(other.maxAck, maxAck) { maxAck = other.maxAck }
        flags |= other.flags & ~Flag.dataUnacknowledged
    }

    func covers(_ other: TCPEndpoint) -> Bool {
        !TCPWindow.isAfter(other.end, end) && !TCPWindow.isAfter(other.maxEnd, maxEnd) && other.maxWindow <= maxWindow && scale == other.scale
            && (other.flags & Flag.maxAckSet == 0 || flags & Flag.maxAckSet != 0 && !TCPWindow.isAfter(other.maxAck, maxAck))
            && other.flags & TCPEndpoint.slowFlags & ~flags == 0
    }

    func replaces(_ before: TCPEndpoint) -> Bool {
        before.maxWindow == 0 || maxWindow < before.maxWindow || TCPWindow.isBefore(end, before.end) || TCPWindow.isBefore(maxEnd, before.maxEnd)
            || scale != before.scale || before.flags & ~flags & ~Flag.dataUnacknowledged != 0
    }
}

extension TCPWindow {
    /// Brings into `window` what made `after` of `before`: ends go further and never back, the last segment is this one.
    public static func merge(from before: TCPWindowPair, to after: TCPWindowPair, into window: UnsafeMutablePointer<TCPWindowPair>) {
        let base = UnsafeMutableRawPointer(window)
        merge(from: before.original, to: after.original, into: SharedEndpoint(base))
        merge(from: before.reply, to: after.reply, into: SharedEndpoint(base + SharedEndpoint.stride))
        storeRest(after, into: window)
    }

    /// Puts `after` in the place of `window`.
    public static func replace(_ window: UnsafeMutablePointer<TCPWindowPair>, by after: TCPWindowPair) {
        let base = UnsafeMutableRawPointer(window)
        for (end, endpoint) in [(after.original, SharedEndpoint(base)), (after.reply, SharedEndpoint(base + SharedEndpoint.stride))] {
            endpoint.store(end: end.end)
            endpoint.store(maxEnd: end.maxEnd)
            endpoint.store(maxWindow: end.maxWindow)
            endpoint.store(maxAck: end.maxAck)
            endpoint.store(scaleAndFlags: UInt32(end.scale) | SharedEndpoint.word(end.flags))
        }
        storeRest(after, into: window)
    }

    /// Makes workers accept nothing; what is behind the ends is `rest`'s.
    public static func close(_ window: UnsafeMutablePointer<TCPWindowPair>, rest: TCPWindowPair) {
        let base = UnsafeMutableRawPointer(window)
        SharedEndpoint(base).store(maxWindow: 0)
        SharedEndpoint(base + SharedEndpoint.stride).store(maxWindow: 0)
        storeRest(rest, into: window)
    }

    /// What is behind the ends: the last segment, as two words, and bytes of the slow path's own.
    private static func storeRest(_ after: TCPWindowPair, into window: UnsafeMutablePointer<TCPWindowPair>) {
        let base = UnsafeMutableRawPointer(window)
        withUnsafeBytes(of: after) { copy in
            for offset in [SharedEndpoint.lastNumbers, SharedEndpoint.lastPlace] {
                base.sharedWord(offset).pointee.store(copy.loadUnaligned(fromByteOffset: offset, as: UInt64.self), ordering: .relaxed)
            }
        }
        window.pointee.retransmissions = after.retransmissions
        window.pointee.lastScale = after.lastScale
        window.pointee.lastFlags = after.lastFlags
        window.pointee.state = after.state
    }

    private static func merge(from before: TCPEndpoint, to after: TCPEndpoint, into endpoint: SharedEndpoint) {
        if after.end != before.end { raise(endpoint.field(0), to: after.end) { isAfter($0, $1) } }
        if after.maxEnd != before.maxEnd { raise(endpoint.field(1), to: after.maxEnd) { isAfter($0, $1) } }
        if after.maxWindow != before.maxWindow { raise(endpoint.field(2), to: after.maxWindow) { $0 > $1 } }
        if after.maxAck != before.maxAck {
            let isFirst = before.flags & TCPEndpoint.Flag.maxAckSet == 0
            raise(endpoint.field(3), to: after.maxAck) { isFirst || isAfter($0, $1) }
        }
        let set = SharedEndpoint.word(after.flags & ~before.flags), cleared = SharedEndpoint.word(before.flags & ~after.flags)
        guard set | cleared != 0 else { return }
        var word = endpoint.scaleAndFlags
        while true {
            let (done, now) = endpoint.field(4).pointee.compareExchange(expected: word, desired: (word | set) & ~cleared, ordering: .relaxed)
            if done { return }
            word = now
        }
    }

    private static func raise(_ field: UnsafeMutablePointer<Atomic<UInt32>>, to value: UInt32, ifBeyond isBeyond: (UInt32, UInt32) -> Bool) {
        var known = field.pointee.load(ordering: .relaxed)
        while isBeyond(value, known) {
            let (done, now) = field.pointee.compareExchange(expected: known, desired: value, ordering: .relaxed)
            if done { return }
            known = now
        }
    }
}
