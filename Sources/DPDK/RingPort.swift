// A port on two rings: what a harness puts in is received, what is sent can be taken out. Replay and tests drive the
// data plane with it, packet by packet, without a network.
//
// Invariant: one thread injects, one thread takes out (they may be the same); each queue of the port is polled by one worker.
// Overload: an injected frame is refused when the ring is full or the pool empty; a frame sent into a full ring is
// refused to the sender, as by a real transmit queue.
import CDPDK
import Synchronization

public final class RingPort: Sendable {
    public let port: EthernetPort
    private let pool: Mempool
    // The rings outlive the port, which polls them.
    private let rings: [Rings]
    private static let serial = Atomic<Int>(0)

    private final class Rings: Sendable {
        let inbound: SPSCRing
        let outbound: SPSCRing
        init(capacity: Int) {
            inbound = SPSCRing(capacity: capacity)
            outbound = SPSCRing(capacity: capacity)
        }
    }

    /// - Parameters:
    ///   - queues: of each direction.
    ///   - capacity: packets in each ring.
    ///   - pool: where injected frames get their mbufs from.
    public init(name: String, queues: Int = 1, capacity: Int = 1023, pool: Mempool) throws {
        guard EAL.current != nil else { throw DPDKError(.state, "port \(name): DPDK is not running") }
        self.pool = pool
        let rings = (0 ..< queues).map { _ in Rings(capacity: capacity) }
        self.rings = rings
        let serial = RingPort.serial.wrappingAdd(1, ordering: .relaxed).newValue
        let id = EAL.control { () -> Int32 in
            _ = EAL.takeLog()
            let inbound = rings.map { Optional($0.inbound.handle.raw) }, outbound = rings.map { Optional($0.outbound.handle.raw) }
            return nt_port_from_rings("nt\(serial)", inbound, outbound, UInt32(queues), 0)
        }
        guard id >= 0 else { throw DPDKError(.machine, "port \(name): no port on rings: \(errnoText(id))", log: EAL.takeLog()) }
        port = try EthernetPort(name: name, device: "", id: UInt16(id))
    }

    deinit { close() }

    /// Closes the port and frees what is still in its rings.
    public func close() {
        port.close()
        for ring in rings {
            _ = ring.inbound.handle.drainAndFree()
            _ = ring.outbound.handle.drainAndFree()
        }
    }

    /// Puts a frame where the worker will receive it, with what a NIC found out about it; false if the ring is full, the pool empty, or
    /// the frame too long.
    public func inject(_ frame: UnsafeRawBufferPointer, queue: Int = 0, flags: OffloadFlags = []) -> Bool {
        guard let packet = pool.packet(frame) else { return false }
        packet.offloadFlags = flags
        packet.port = port.id
        if rings[queue].inbound.handle.put(packet) { return true }
        packet.free()
        return false
    }

    /// The next packet that was sent; the caller frees it.
    public func take(queue: Int = 0) -> Mbuf? { rings[queue].outbound.handle.get() }

    /// Packets injected and not yet received; packets sent and not yet taken.
    public var pendingCount: Int { rings.reduce(0) { $0 + $1.inbound.handle.count } }
    public var sentCount: Int { rings.reduce(0) { $0 + $1.outbound.handle.count } }
}
