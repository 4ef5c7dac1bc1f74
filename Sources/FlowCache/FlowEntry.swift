// The entries as they lie in memory: one cache line for IPv4, two for IPv6.
//
// Ownership: every field is written by the writer before the entry's tag is published and not changed while it is visible,
// except `generation` (writer, relaxed: a worker that reads an older one takes the slow path once more) and the
// worker-owned `lastUsed`, `packets` and `bytes` (written by the worker that owns the entry, or, if it is shared, by all with locked
// additions; read by the writer's sweep, all relaxed: they are statistics, and the final values are read after quiescence, which
// orders them). The owner stands in `tuple`; FlowOwner.swift says who it is and what becomes of other workers' packets.
import Synchronization
import Wire

@frozen public struct FlowEntry4: Sendable {
    public var addresses: UInt64 = 0
    /// The key's, and the owner (`FlowOwner.mask`).
    public var tuple: UInt64 = 0
    public var encapsulation: UInt32 = 0
    public var generation: UInt32 = 0
    /// New source and destination as they will lie at bytes 12 to 19 of the IPv4 header.
    public var newAddresses: UInt64 = 0
    public var newPorts: UInt32 = 0
    public var action: UInt32 = 0
    /// To be added (ones' complement) to the IPv4 header checksum: addresses and the TTL decrement.
    public var networkDelta: UInt16 = 0
    /// To be added to the transport checksum: addresses where it covers them, ports, echo identifier.
    public var transportDelta: UInt16 = 0
    public var connection: UInt32 = 0
    public var lastUsed: UInt32 = 0
    public var packets: UInt32 = 0
    public var bytes: UInt64 = 0
    @inlinable public init() {}
}

@frozen public struct FlowEntry6: Sendable {
    public var address0: UInt64 = 0
    public var address1: UInt64 = 0
    public var address2: UInt64 = 0
    public var address3: UInt64 = 0
    public var tuple: UInt64 = 0
    public var encapsulation: UInt32 = 0
    public var generation: UInt32 = 0
    public var action: UInt32 = 0
    public var connection: UInt32 = 0
    public var transportDelta: UInt16 = 0
    public var reserved16: UInt16 = 0
    public var newPorts: UInt32 = 0
    // Second line.
    public var newAddress0: UInt64 = 0
    public var newAddress1: UInt64 = 0
    public var newAddress2: UInt64 = 0
    public var newAddress3: UInt64 = 0
    public var lastUsed: UInt32 = 0
    public var packets: UInt32 = 0
    public var bytes: UInt64 = 0
    public var reserved0: UInt64 = 0
    public var reserved1: UInt64 = 0
    @inlinable public init() {}
}

/// Where the fields lie that are loaded or stored atomically.
public enum FlowEntryOffset {
    /// `encapsulation` and `generation` are one aligned 64-bit word.
    @inlinable public static var encapsulation4: Int { 16 }
    @inlinable public static var encapsulation6: Int { 40 }
    @inlinable public static var generation4: Int { 20 }
    @inlinable public static var lastUsed4: Int { 48 }
    @inlinable public static var packets4: Int { 52 }
    @inlinable public static var bytes4: Int { 56 }
    @inlinable public static var generation6: Int { 44 }
    @inlinable public static var lastUsed6: Int { 96 }
    @inlinable public static var packets6: Int { 100 }
    @inlinable public static var bytes6: Int { 104 }
    @inlinable public static var stride4: Int { 64 }
    @inlinable public static var stride6: Int { 128 }

    /// Whether the compiler laid the structs out as the constants say; asserted by `FlowCache.init` and by a test.
    public static var matchesLayout: Bool {
        MemoryLayout<FlowEntry4>.size == stride4 && MemoryLayout<FlowEntry6>.size == stride6
            && MemoryLayout<FlowEntry4>.offset(of: \.generation) == generation4 && MemoryLayout<FlowEntry6>.offset(of: \.generation) == generation6
            && MemoryLayout<FlowEntry4>.offset(of: \.lastUsed) == lastUsed4 && MemoryLayout<FlowEntry6>.offset(of: \.lastUsed) == lastUsed6
            && MemoryLayout<FlowEntry4>.offset(of: \.packets) == packets4 && MemoryLayout<FlowEntry6>.offset(of: \.packets) == packets6
            && MemoryLayout<FlowEntry4>.offset(of: \.bytes) == bytes4 && MemoryLayout<FlowEntry6>.offset(of: \.bytes) == bytes6
            && MemoryLayout<FlowEntry4>.offset(of: \.encapsulation) == encapsulation4 && MemoryLayout<FlowEntry6>.offset(of: \.encapsulation) == encapsulation6
            && MemoryLayout<FlowAction>.size == 32
            && MemoryLayout<FlowAction>.offset(of: \.guardTrafficClassMask) == FlowAction.guardMaskOffset
            && MemoryLayout<FlowAction>.offset(of: \.guardTrafficClassValue) == FlowAction.guardValueOffset
    }
}

extension UnsafeMutableRawPointer {
    @inlinable @inline(__always) public func atomic16(_ offset: Int) -> UnsafeMutablePointer<Atomic<UInt16>> {
        (self + offset).assumingMemoryBound(to: Atomic<UInt16>.self)
    }
    @inlinable @inline(__always) public func atomic32(_ offset: Int) -> UnsafeMutablePointer<Atomic<UInt32>> {
        (self + offset).assumingMemoryBound(to: Atomic<UInt32>.self)
    }
    @inlinable @inline(__always) public func atomic64(_ offset: Int) -> UnsafeMutablePointer<Atomic<UInt64>> {
        (self + offset).assumingMemoryBound(to: Atomic<UInt64>.self)
    }
    /// Adds by load and store, not by a locked instruction: the caller is the field's only writer.
    @inlinable @inline(__always) public func addRelaxed32(_ offset: Int, _ amount: UInt32) {
        let field = atomic32(offset)
        field.pointee.store(field.pointee.load(ordering: .relaxed) &+ amount, ordering: .relaxed)
    }
    /// Adds a packet of `amount` bytes where other workers do, too.
    @inlinable @inline(__always) public func addShared(packets: Int, bytes: Int, _ amount: UInt64) {
        // Relaxed, as the others: only the sums count.
        atomic32(packets).pointee.wrappingAdd(1, ordering: .relaxed)
        atomic64(bytes).pointee.wrappingAdd(amount, ordering: .relaxed)
    }
    @inlinable @inline(__always) public func addRelaxed64(_ offset: Int, _ amount: UInt64) {
        let field = atomic64(offset)
        field.pointee.store(field.pointee.load(ordering: .relaxed) &+ amount, ordering: .relaxed)
    }
}
