// What a worker and the slow path hand each other: packets up, by class, and packets to send down.
//
// When is a packet refused? When its class's ring is full (`puntRingFull`), so that a flood of new flows cannot starve ARP or
// the packets of known flows. Nothing is evicted. The worker is the only producer of the punt rings and the only consumer of
// the transmit ring; the slow path is the other end of both.
import DPDK
import Wire

/// Why a packet goes up; one ring each, drained in this order of preference.
@frozen public enum PuntClass: UInt8, CaseIterable, Sendable {
    /// ARP, neighbour discovery, multicast and broadcast.
    case control
    /// The flow is cached, but a guard sent this packet up.
    case knownFlow
    /// No entry for it.
    case newFlow
    /// For one of the router's own addresses.
    case local
}

/// A packet to send, from the slow path to the worker that owns the transmit queue.
@frozen public struct TransmitRequest: BitwiseCopyable, Sendable {
    /// mbuf; ownership goes with it.
    public var packet: UInt
    public var port: PortIndex
    public var reserved: UInt16 = 0
    public var reserved32: UInt32 = 0
    @inlinable public init(packet: Mbuf, port: PortIndex) {
        self.packet = UInt(bitPattern: UnsafeRawPointer(packet.raw))
        self.port = port
    }
    @inlinable public var mbuf: Mbuf { Mbuf(OpaquePointer(bitPattern: packet).unsafelyUnwrapped) }
}

/// The rings of one worker. A punted mbuf's `port` is set to the `PortIndex` that it came in by.
public struct PuntRings: ~Copyable, Sendable {
    let control: SPSCRing
    let knownFlow: SPSCRing
    let newFlow: SPSCRing
    let local: SPSCRing
    let transmit: MessageRing<TransmitRequest>

    /// - Parameter capacity: packets per class and in the transmit ring; rounded up to a power of two, less one.
    public init(capacity: Int, node: Int32 = -1) {
        control = SPSCRing(capacity: capacity, node: node)
        knownFlow = SPSCRing(capacity: capacity, node: node)
        newFlow = SPSCRing(capacity: capacity, node: node)
        local = SPSCRing(capacity: capacity, node: node)
        transmit = MessageRing<TransmitRequest>(capacity: capacity, node: node)
    }

    /// What both ends hold; the rings outlive it.
    @frozen public struct Handle: Sendable {
        public let control: SPSCRing.Handle
        public let knownFlow: SPSCRing.Handle
        public let newFlow: SPSCRing.Handle
        public let local: SPSCRing.Handle
        public let transmit: MessageRing<TransmitRequest>.Handle

        @inlinable @inline(__always) public func ring(_ punt: PuntClass) -> SPSCRing.Handle {
            switch punt {
            case .control: control
            case .knownFlow: knownFlow
            case .newFlow: newFlow
            case .local: local
            }
        }
    }

    public var handle: Handle {
        Handle(control: control.handle, knownFlow: knownFlow.handle, newFlow: newFlow.handle, local: local.handle, transmit: transmit.handle)
    }

    /// Frees every packet still in the rings, after both ends stopped; their number.
    @discardableResult public func drainAndFree() -> Int {
        var freed = control.handle.drainAndFree() + knownFlow.handle.drainAndFree() + newFlow.handle.drainAndFree() + local.handle.drainAndFree()
        while let request = transmit.handle.get() {
            request.mbuf.free()
            freed += 1
        }
        return freed
    }
}
