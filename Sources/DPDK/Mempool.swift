// A pool of mbufs on one NUMA node.
//
// Overload: a pool never grows. When it is empty, allocation fails and the NIC drops what it receives (counted by the
// device as `receiveNoBuffer`); nothing is evicted. Whoever holds packets back must be bounded (rings, queues), so that
// a flood cannot hold the pool empty.
// Invariant: after all ports are closed and all rings drained, `inUse` is 0: that is the leak check.
import CDPDK
import Glibc
import Synchronization

public final class Mempool: @unchecked Sendable {
    /// Free bytes before a received frame.
    public static let headroom = 128
    /// Data room of DPDK's own default: a frame of up to 2048 bytes.
    public static let defaultDataRoom = 2048 + headroom

    public let raw: OpaquePointer
    public let name: String
    /// Number of mbufs.
    public let capacity: Int
    /// Bytes of each mbuf's data, headroom included.
    public let dataRoom: Int
    private static let serial = Atomic<Int>(0)

    /// - Parameters:
    ///   - count: mbufs; one less than a power of two wastes no memory.
    ///   - dataRoom: bytes of each, headroom included; a received frame longer than `dataRoom - headroom` takes several.
    ///   - privateBytes: the holder's own bytes beside each mbuf (`Mbuf.privateData`), a multiple of 8.
    ///   - cache: mbufs kept by each lcore, at most 512 and two thirds of `count`.
    ///   - node: NUMA node, or -1 for any.
    /// - Throws: `DPDKError` (.machine) if the EAL has not so much memory.
    public init(name: String = "packets", count: Int, dataRoom: Int = Mempool.defaultDataRoom, privateBytes: Int = 0, cache: Int = 256, node: Int32 = -1) throws {
        guard count > 0, count <= 1 << 28, dataRoom > Mempool.headroom, dataRoom <= 65535, privateBytes >= 0, privateBytes < 4096 else {
            throw DPDKError(.configuration, "packet pool '\(name)': \(count) packets of \(dataRoom) + \(privateBytes) bytes is out of range",
                            advice: "a pool has 1 to 2^28 packets of 129 to 65535 bytes")
        }
        // The registry of pools wants unique names of at most 25 bytes.
        let serial = Mempool.serial.wrappingAdd(1, ordering: .relaxed).newValue
        let unique = "\(name.prefix(12))_\(getpid() & 0xffff)_\(serial)"
        let largest = min(512, count * 2 / 3)
        guard let pool = EAL.control({
            rte_pktmbuf_pool_create(unique, UInt32(count), UInt32(max(0, min(cache, largest))), UInt16((privateBytes + 7) & ~7), UInt16(dataRoom), node)
        }) else {
            let megabytes = count * (dataRoom + privateBytes + 192) >> 20
            throw DPDKError(.machine, "packet pool '\(name)': no memory for \(count) packets of \(dataRoom) bytes (about \(megabytes) MB): \(errnoText(nt_errno()))",
                            advice: "raise eal.memory-mb, reserve more huge pages, or make the pool smaller", log: EAL.takeLog())
        }
        raw = pool
        self.name = name
        capacity = count
        self.dataRoom = dataRoom
    }

    deinit {
        // A stopped EAL took its memory along.
        if EAL.current != nil { EAL.control { rte_mempool_free(raw) } }
    }

    /// mbufs taken and not given back; those in lcores' caches count as given back. Slow (walks the caches).
    public var inUse: Int { Int(rte_mempool_in_use_count(raw)) }
    public var available: Int { Int(rte_mempool_avail_count(raw)) }

    /// The part that a worker needs: allocation without the class.
    public var allocator: PacketAllocator { PacketAllocator(raw: raw) }

    /// An mbuf that holds a copy of `frame`; nil if the pool is empty or the frame is longer than the data room.
    public func packet(_ frame: UnsafeRawBufferPointer) -> Mbuf? { allocator.packet(frame) }
}

/// Takes mbufs out of a pool; a plain value for per-packet code. The pool outlives it.
@frozen public struct PacketAllocator: @unchecked Sendable {
    public let raw: OpaquePointer
    @inlinable public init(raw: OpaquePointer) { self.raw = raw }

    /// An empty mbuf with the usual headroom; nil if the pool is empty.
    @inlinable @inline(__always) public func allocate() -> Mbuf? {
        guard let mbuf = rte_pktmbuf_alloc(raw) else { return nil }
        return Mbuf(mbuf)
    }
    /// Fills `storage` with `count` empty mbufs, all or none.
    @inlinable @inline(__always) public func allocate(_ storage: UnsafeMutablePointer<OpaquePointer?>, count: Int) -> Bool {
        rte_pktmbuf_alloc_bulk(raw, storage, UInt32(truncatingIfNeeded: count)) == 0
    }
    /// An mbuf that holds a copy of `frame`; nil if the pool is empty or the frame is longer than the data room.
    @inlinable public func packet(_ frame: UnsafeRawBufferPointer) -> Mbuf? {
        guard frame.count <= 65535, let mbuf = allocate() else { return nil }
        guard let room = mbuf.append(frame.count) else {
            mbuf.free()
            return nil
        }
        if let bytes = frame.baseAddress { room.copyMemory(from: bytes, byteCount: frame.count) }
        return mbuf
    }
}
