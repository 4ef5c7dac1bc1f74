// The walk over a TCP header's options (RFC 9293 section 3.1), for all who look for some of them.
//
// Invariant: an option that is returned lies within the header whose length the caller checked, with its kind and its length; the walk
// ends at an option that does not, or at the end of the list. At most 40 steps.

/// An option of two bytes or more.
@frozen public struct TCPOption: Sendable {
    public var kind: UInt8
    /// Of its first byte, from the TCP header's.
    public var offset: Int
    /// With kind and length, 2 at least.
    public var length: Int

    @inlinable init(kind: UInt8, offset: Int, length: Int) {
        self.kind = kind
        self.offset = offset
        self.length = length
    }
}

@frozen public struct TCPOptions: Sequence, IteratorProtocol {
    @usableFromInline let header: UnsafeMutableRawPointer
    @usableFromInline let end: Int
    @usableFromInline var place = 20

    /// - Parameter length: bytes of the header, all of them readable.
    @inlinable public init(header: UnsafeMutableRawPointer, length: Int) {
        self.header = header
        end = length
    }

    @inlinable public mutating func next() -> TCPOption? {
        while place < end {
            let kind = header.load(fromByteOffset: place, as: UInt8.self)
            if kind == 0 { return nil }
            if kind == 1 {
                place &+= 1
                continue
            }
            guard end &- place >= 2 else { return nil }
            let length = Int(header.load(fromByteOffset: place &+ 1, as: UInt8.self))
            guard length >= 2, length <= end &- place else { return nil }
            defer { place &+= length }
            return TCPOption(kind: kind, offset: place, length: length)
        }
        return nil
    }
}
