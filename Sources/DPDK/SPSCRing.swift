// Handover between two threads: a ring of mbuf pointers, and a ring of fixed-size messages. Both are rte_ring with one
// producer and one consumer, in memory of our own, so they work without the EAL.
//
// Invariant: one thread puts, one thread gets. DPDK's enqueue publishes with a release store of the tail, which the
// consumer's acquire load reads (and the other way round for free places), so an element is whole before it is seen.
// Overload: a full ring refuses, nothing in it is evicted; the producer keeps the element and counts the refusal. An
// attacker can fill a ring, and then only its own class of packets is refused.
import CDPDK

/// Memory for a ring of at least `capacity` elements, and the ring in it.
func makeRing(elementBytes: Int, capacity: Int, node: Int32) -> HugeMemory {
    precondition(capacity > 0 && capacity < 1 << 27, "a ring holds 1 to 2^27 - 1 elements")
    precondition(elementBytes > 0 && elementBytes % 4 == 0, "a ring's element is a multiple of 4 bytes")
    // rte_ring keeps one place free and wants a power of two.
    var count = 2
    while count - 1 < capacity { count <<= 1 }
    let bytes = nt_ring_bytes(UInt32(elementBytes), UInt32(count))
    precondition(bytes > 0, "rte_ring refuses \(count) elements of \(elementBytes) bytes")
    let memory = HugeMemory(byteCount: bytes, node: node)
    precondition(nt_ring_spsc_init(memory.base, "spsc", UInt32(count)) == 0, "rte_ring_init refused a checked size")
    return memory
}

/// A ring of packets. The ring owns the packets in it; whoever destroys it drains it first.
public struct SPSCRing: ~Copyable, @unchecked Sendable {
    public let handle: Handle
    private let memory: HugeMemory

    /// Room for at least `capacity` packets (rounded up to a power of two, less one).
    public init(capacity: Int, node: Int32 = -1) {
        memory = makeRing(elementBytes: 8, capacity: capacity, node: node)
        handle = Handle(raw: OpaquePointer(memory.base))
    }

    /// What the two threads hold: a plain pointer. The ring outlives it.
    @frozen public struct Handle: @unchecked Sendable {
        public let raw: OpaquePointer
        @inlinable public init(raw: OpaquePointer) { self.raw = raw }

        /// As many of the first `count` as there is room for; the number taken. Producer only.
        @inlinable @inline(__always) public func put(_ packets: UnsafeMutablePointer<OpaquePointer?>, count: Int) -> Int {
            Int(nt_ring_put(raw, UnsafeRawPointer(packets).assumingMemoryBound(to: UnsafeMutableRawPointer?.self), UInt32(truncatingIfNeeded: count)))
        }
        /// All or nothing. Producer only.
        @inlinable @inline(__always) public func putAll(_ packets: UnsafeMutablePointer<OpaquePointer?>, count: Int) -> Bool {
            count == 0 || nt_ring_put_all(raw, UnsafeRawPointer(packets).assumingMemoryBound(to: UnsafeMutableRawPointer?.self), UInt32(truncatingIfNeeded: count)) != 0
        }
        /// One packet; false if the ring is full (the caller keeps it). Producer only.
        @inlinable @inline(__always) public func put(_ packet: Mbuf) -> Bool {
            var pointer = UnsafeMutableRawPointer?(UnsafeMutableRawPointer(packet.raw))
            return nt_ring_put(raw, &pointer, 1) == 1
        }
        /// Up to `maximum` packets; the number got. Consumer only.
        @inlinable @inline(__always) public func get(into packets: UnsafeMutablePointer<OpaquePointer?>, maximum: Int) -> Int {
            Int(nt_ring_get(raw, UnsafeMutableRawPointer(packets).assumingMemoryBound(to: UnsafeMutableRawPointer?.self), UInt32(truncatingIfNeeded: maximum)))
        }
        /// One packet; nil if the ring is empty. Consumer only.
        @inlinable @inline(__always) public func get() -> Mbuf? {
            var pointer: UnsafeMutableRawPointer?
            guard nt_ring_get(raw, &pointer, 1) == 1 else { return nil }
            return Mbuf(OpaquePointer(pointer.unsafelyUnwrapped))
        }
        /// Packets in the ring: never more than there are for the consumer, never fewer for the producer.
        @inlinable @inline(__always) public var count: Int { Int(nt_ring_count(raw)) }
        @inlinable @inline(__always) public var freeCount: Int { Int(nt_ring_free_count(raw)) }
        @inlinable @inline(__always) public var isEmpty: Bool { count == 0 }
        @inlinable public var capacity: Int { Int(nt_ring_capacity(raw)) }

        /// Frees every packet in the ring; their number. Consumer only.
        public func drainAndFree() -> Int {
            var freed = 0
            while let packet = get() {
                packet.free()
                freed += 1
            }
            return freed
        }
    }
}

/// A ring of messages: plain values whose stride is a multiple of 4 bytes.
public struct MessageRing<Message: BitwiseCopyable>: ~Copyable, @unchecked Sendable {
    public let handle: Handle
    private let memory: HugeMemory

    /// Room for at least `capacity` messages (rounded up to a power of two, less one).
    public init(capacity: Int, node: Int32 = -1) {
        memory = makeRing(elementBytes: MemoryLayout<Message>.stride, capacity: capacity, node: node)
        handle = Handle(raw: OpaquePointer(memory.base))
    }

    /// What the two threads hold. The ring outlives it.
    @frozen public struct Handle: @unchecked Sendable {
        public let raw: OpaquePointer
        @inlinable public init(raw: OpaquePointer) { self.raw = raw }

        /// One message; false if the ring is full. Producer only.
        @inlinable @inline(__always) public func put(_ message: Message) -> Bool {
            withUnsafePointer(to: message) { nt_ring_put_elements(raw, $0, UInt32(MemoryLayout<Message>.stride), 1) == 1 }
        }
        /// As many of the first `count` as there is room for; the number taken. Producer only.
        @inlinable @inline(__always) public func put(_ messages: UnsafePointer<Message>, count: Int) -> Int {
            Int(nt_ring_put_elements(raw, messages, UInt32(MemoryLayout<Message>.stride), UInt32(truncatingIfNeeded: count)))
        }
        /// Up to `maximum` messages; the number got. Consumer only.
        @inlinable @inline(__always) public func get(into messages: UnsafeMutablePointer<Message>, maximum: Int) -> Int {
            Int(nt_ring_get_elements(raw, messages, UInt32(MemoryLayout<Message>.stride), UInt32(truncatingIfNeeded: maximum)))
        }
        /// One message; nil if the ring is empty. Consumer only.
        @inlinable @inline(__always) public func get() -> Message? {
            withUnsafeTemporaryAllocation(of: Message.self, capacity: 1) { room in
                let place = room.baseAddress.unsafelyUnwrapped
                return nt_ring_get_elements(raw, place, UInt32(MemoryLayout<Message>.stride), 1) == 1 ? place.pointee : nil
            }
        }
        @inlinable @inline(__always) public var count: Int { Int(nt_ring_count(raw)) }
        @inlinable @inline(__always) public var freeCount: Int { Int(nt_ring_free_count(raw)) }
        @inlinable @inline(__always) public var isEmpty: Bool { count == 0 }
        @inlinable public var capacity: Int { Int(nt_ring_capacity(raw)) }
    }
}
