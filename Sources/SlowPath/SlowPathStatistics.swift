// What the slow path counts. One writer, the slow-path core; others read with torn-free 64-bit loads.
import Wire

/// Counters of the slow path. Every packet that enters ends in exactly one of `forwarded`, `delivered`, `answered`,
/// `held` or a drop reason; a packet that was held counts again when it leaves or dies.
public struct SlowPathStatistics: ~Copyable {
    /// Packets that came in.
    public var received: UInt64 = 0
    /// Packets of others that were sent on.
    public var forwarded: UInt64 = 0
    /// Of these, packets of established connections: those that a worker might have forwarded.
    public var establishedPackets: UInt64 = 0
    /// Packets for an own address that were consumed without an answer.
    public var delivered: UInt64 = 0
    /// Packets for an own address that were answered (echo, reset, ARP, neighbour discovery).
    public var answered: UInt64 = 0
    /// Packets or fragments kept for later: neighbour resolution, reassembly.
    public var held: UInt64 = 0
    /// Packets that the slow path made itself.
    public var generated: UInt64 = 0
    /// Directions of connections that were published while the other direction was cached: for the same worker, and for another one.
    public var directionsTogether: UInt64 = 0
    public var directionsApart: UInt64 = 0
    private let drops: UnsafeMutablePointer<UInt64>
    public static var reasonCount: Int { DropReason.allCases.count }

    public init() {
        drops = .allocate(capacity: Self.reasonCount)
        drops.initialize(repeating: 0, count: Self.reasonCount)
    }

    deinit { drops.deallocate() }

    public mutating func count(_ reason: DropReason) { add(reason, 1) }

    /// Counts something that happened beside the packet's own end: an error that was not sent, an answer that found no room.
    public mutating func count(note reason: DropReason) { add(reason, 1) }

    public mutating func add(_ reason: DropReason, _ packets: UInt64) {
        guard reason != .none else { return }
        drops[Int(reason.rawValue)] &+= packets
    }

    /// Packets dropped for a reason.
    public func dropped(_ reason: DropReason) -> UInt64 { drops[Int(reason.rawValue)] }
}
