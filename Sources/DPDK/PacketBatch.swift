// A burst of packets: a fixed array of mbuf pointers, as rte_eth_rx_burst fills and rte_eth_tx_burst takes it.
//
// Invariant: `count <= capacity`, and the first `count` places hold packets that the batch's owner owns. The batch frees
// its own memory, never the packets.
import CDPDK

@frozen public struct PacketBatch: ~Copyable {
    /// mbuf pointers, 64-byte aligned.
    public let storage: UnsafeMutablePointer<OpaquePointer?>
    public let capacity: Int
    public var count: Int = 0

    /// Room for `capacity` packets (1 to 65535).
    public init(capacity: Int) {
        precondition(capacity > 0 && capacity <= 65535, "a batch holds 1 to 65535 packets")
        self.capacity = capacity
        storage = UnsafeMutableRawPointer.allocate(byteCount: capacity * 8, alignment: 64).bindMemory(to: OpaquePointer?.self, capacity: capacity)
        storage.initialize(repeating: nil, count: capacity)
    }

    deinit { UnsafeMutableRawPointer(storage).deallocate() }

    /// The packet at `index`, which is below `count` (unchecked: the loop over a burst is bounded by it).
    @inlinable @inline(__always) public subscript(index: Int) -> Mbuf {
        get { Mbuf(storage[index].unsafelyUnwrapped) }
        nonmutating set { storage[index] = newValue.raw }
    }
    @inlinable @inline(__always) public var isEmpty: Bool { count == 0 }
    @inlinable @inline(__always) public var isFull: Bool { count == capacity }

    /// Appends a packet; false if the batch is full (the caller keeps the packet).
    @inlinable @inline(__always) public mutating func append(_ packet: Mbuf) -> Bool {
        guard count < capacity else { return false }
        storage[count] = packet.raw
        count &+= 1
        return true
    }

    /// Gives all packets back to their pools.
    @inlinable public mutating func freeAll() {
        if count > 0 { rte_pktmbuf_free_bulk(storage, UInt32(truncatingIfNeeded: count)) }
        count = 0
    }
}

/// One receive queue: what a worker polls.
@frozen public struct ReceiveQueue: Sendable {
    /// DPDK's port number.
    public var port: UInt16
    public var queue: UInt16
    @inlinable public init(port: UInt16, queue: UInt16) {
        self.port = port
        self.queue = queue
    }
    /// Up to `maximum` packets into `storage`; their number.
    @inlinable @inline(__always) public func receive(into storage: UnsafeMutablePointer<OpaquePointer?>, maximum: UInt16) -> Int {
        Int(nt_rx_burst(port, queue, storage, maximum))
    }
    /// Replaces the batch's packets (which the caller has dealt with) by the next burst.
    @inlinable @inline(__always) public func receive(into batch: inout PacketBatch) {
        batch.count = Int(nt_rx_burst(port, queue, batch.storage, UInt16(truncatingIfNeeded: batch.capacity)))
    }
}

/// One transmit queue; one thread owns it.
@frozen public struct TransmitQueue: Sendable {
    /// DPDK's port number.
    public var port: UInt16
    public var queue: UInt16
    @inlinable public init(port: UInt16, queue: UInt16) {
        self.port = port
        self.queue = queue
    }
    /// Hands the first `count` packets over; the number taken, which the driver will free. The caller keeps the rest.
    @inlinable @inline(__always) public func transmit(_ storage: UnsafeMutablePointer<OpaquePointer?>, count: Int) -> Int {
        Int(nt_tx_burst(port, queue, storage, UInt16(truncatingIfNeeded: count)))
    }
    /// Sends the batch, frees what the device did not take, empties the batch; the number not taken.
    @inlinable @inline(__always) public func transmitOrFree(_ batch: inout PacketBatch) -> Int {
        let sent = transmit(batch.storage, count: batch.count)
        let left = batch.count &- sent
        if left > 0 { rte_pktmbuf_free_bulk(batch.storage + sent, UInt32(truncatingIfNeeded: left)) }
        batch.count = 0
        return left
    }
}
