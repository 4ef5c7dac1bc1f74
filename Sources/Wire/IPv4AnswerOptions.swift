// IPv4 options of a packet that Needletail itself sends, ready for the wire.
//
// Invariant: `length` is a multiple of 4, at most 40, and counts the bytes that `append` has stored.

@frozen public struct IPv4AnswerOptions: Sendable {
    @usableFromInline var bytes: (UInt64, UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0, 0)
    public internal(set) var length = 0

    @inlinable public init() {}

    /// Adds an option of `count` bytes; false, and nothing added, if there is no room for it.
    public mutating func append(_ option: UnsafeRawPointer, _ count: Int) -> Bool {
        guard count >= 0, length + count <= 40 else { return false }
        let place = length
        withUnsafeMutableBytes(of: &bytes) { memory in
            if let base = memory.baseAddress { (base + place).copyMemory(from: option, byteCount: count) }
        }
        length += count
        return true
    }

    /// Fills up to a whole word with "end of options".
    public mutating func pad() { length = (length + 3) & ~3 }

    public subscript(place: Int) -> UInt8 {
        get { withUnsafeBytes(of: bytes) { $0[place] } }
        set { withUnsafeMutableBytes(of: &bytes) { $0[place] = newValue } }
    }

    /// Stores a number in network byte order.
    public mutating func store(_ value: UInt32, at place: Int) {
        for byte in 0 ..< 4 { self[place + byte] = UInt8(truncatingIfNeeded: value >> UInt32(24 - 8 * byte)) }
    }

    @inlinable func write(to frame: PacketBuffer, at offset: Int) {
        withUnsafeBytes(of: bytes) { memory in
            if let base = memory.baseAddress { (frame.start + offset).copyMemory(from: base, byteCount: length) }
        }
    }
}
