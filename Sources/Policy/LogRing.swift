// Where `log` statements and traces leave their records: a fixed ring that somebody else reads and prints.
//
// Invariant: one owner (the slow path). A full ring gives up its oldest record and counts it in `lost`, so a flood of
// logged packets costs a copy of 128 bytes each and no memory.
import Wire

/// One packet that a `log` statement saw.
@frozen public struct LogRecord {
    public static var captureCapacity: Int { 128 }
    public var timestamp: Timestamp = 0
    /// Number of the rule; `CompiledRuleset.logPrefix(rule)` has the text.
    public var rule: UInt32 = 0
    /// Number of the `log` statement for `CompiledRuleset.logStatement`.
    public var statement: UInt32 = 0
    public var mark: UInt32 = 0
    public var hook: Hook = .prerouting
    public var family: PacketFamily = .ipv4
    public var input: UInt16 = 0xffff
    public var output: UInt16 = 0xffff
    /// Bytes of the whole frame.
    public var frameLength: UInt32 = 0
    /// Offset of the network header in the frame.
    public var networkOffset: UInt16 = 0
    /// Valid bytes of `capture`.
    public var captured: UInt16 = 0
    /// The frame's first bytes, from the link header on.
    public var capture: (
        UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64
    ) = (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
    @inlinable public init() {}
}

/// The ring itself: memory of its owner. `written` and `read` only grow; their difference is what is in the ring.
@frozen public struct LogRing {
    public var records: UnsafeMutablePointer<LogRecord>
    /// Power of two.
    public var capacity: Int
    public var written: Int = 0
    public var read: Int = 0
    public var lost: Int = 0

    /// Makes a ring with at least `capacity` records.
    public init(capacity: Int) {
        var size = 1
        while size < max(1, capacity) { size <<= 1 }
        self.capacity = size
        records = .allocate(capacity: size)
        records.initialize(repeating: LogRecord(), count: size)
    }

    public func deallocate() { records.deallocate() }

    mutating func append(_ record: LogRecord) {
        if written &- read >= capacity {
            read &+= 1
            lost &+= 1
        }
        records[written & (capacity &- 1)] = record
        written &+= 1
    }

    /// Takes the oldest record; nil if there is none.
    public mutating func next() -> LogRecord? {
        guard read < written else { return nil }
        defer { read &+= 1 }
        return records[read & (capacity &- 1)]
    }
}
