// A frame in somebody else's memory: an mbuf's data room, a capture's record, a test's array.
//
// Invariant: `start ..< start + length` is readable and writable while the callee runs, and so are `headroom` bytes
// before it and `tailroom` bytes behind it. The value owns nothing.

@frozen public struct PacketBuffer {
    /// First byte of the Ethernet header.
    public var start: UnsafeMutableRawPointer
    /// Frame length in bytes, without FCS.
    public var length: Int
    public var headroom: Int
    public var tailroom: Int

    @inlinable public init(start: UnsafeMutableRawPointer, length: Int, headroom: Int = 0, tailroom: Int = 0) {
        self.start = start
        self.length = length
        self.headroom = headroom
        self.tailroom = tailroom
    }

    /// Big-endian loads and stores; the caller has checked the bounds once.
    @inlinable @inline(__always) public func load8(_ offset: Int) -> UInt8 { start.load(fromByteOffset: offset, as: UInt8.self) }
    @inlinable @inline(__always) public func load16(_ offset: Int) -> UInt16 { UInt16(bigEndian: start.loadUnaligned(fromByteOffset: offset, as: UInt16.self)) }
    @inlinable @inline(__always) public func load32(_ offset: Int) -> UInt32 { UInt32(bigEndian: start.loadUnaligned(fromByteOffset: offset, as: UInt32.self)) }
    @inlinable @inline(__always) public func load64(_ offset: Int) -> UInt64 { UInt64(bigEndian: start.loadUnaligned(fromByteOffset: offset, as: UInt64.self)) }
    @inlinable @inline(__always) public func store8(_ value: UInt8, at offset: Int) { start.storeBytes(of: value, toByteOffset: offset, as: UInt8.self) }
    @inlinable @inline(__always) public func store16(_ value: UInt16, at offset: Int) { start.storeBytes(of: value.bigEndian, toByteOffset: offset, as: UInt16.self) }
    @inlinable @inline(__always) public func store32(_ value: UInt32, at offset: Int) { start.storeBytes(of: value.bigEndian, toByteOffset: offset, as: UInt32.self) }
    @inlinable @inline(__always) public func store64(_ value: UInt64, at offset: Int) { start.storeBytes(of: value.bigEndian, toByteOffset: offset, as: UInt64.self) }
}
