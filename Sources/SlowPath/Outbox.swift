// Packets that the slow path makes or holds in its own memory: ICMP errors, resets, ARP, fragments, packets that
// waited for a neighbour. The caller sends them after `process` returned; the next call reuses the memory.
//
// Invariant: bounded by `capacity` packets and `arenaBytes` bytes; a packet that does not fit is refused (the caller
// counts it as `noBuffer`), so an attacker gets at most one arena of answers for one packet.
import Wire

/// One packet to be sent.
@frozen public struct OutboundPacket {
    public var port: PortIndex
    public var start: UnsafeMutableRawPointer
    public var length: Int
}

public struct Outbox: ~Copyable {
    /// Free bytes before each packet, enough for two VLAN tags and any alignment the caller wants.
    public static var headroom: Int { 64 }
    private let arena: UnsafeMutableRawPointer
    private let arenaBytes: Int
    private let packets: UnsafeMutablePointer<OutboundPacket>
    private let capacity: Int
    private var used = 0
    public private(set) var count = 0

    public init(capacity: Int = 256, arenaBytes: Int = 512 << 10) {
        self.capacity = capacity
        self.arenaBytes = arenaBytes
        arena = .allocate(byteCount: arenaBytes, alignment: 64)
        packets = .allocate(capacity: capacity)
    }

    deinit {
        arena.deallocate()
        packets.deallocate()
    }

    public subscript(index: Int) -> OutboundPacket { packets[index] }

    mutating func removeAll() {
        used = 0
        count = 0
    }

    /// Room for a packet of up to `maximum` bytes behind the headroom; nil if the arena or the list is full.
    mutating func reserve(_ maximum: Int) -> PacketBuffer? {
        guard count < capacity, used &+ Outbox.headroom &+ maximum <= arenaBytes else { return nil }
        return PacketBuffer(start: arena + used + Outbox.headroom, length: 0, headroom: Outbox.headroom, tailroom: maximum)
    }

    /// Sends what was written into the room that `reserve` gave.
    mutating func commit(_ packet: PacketBuffer, to port: PortIndex) {
        packets[count] = OutboundPacket(port: port, start: packet.start, length: packet.length)
        count += 1
        used = ((packet.start + packet.length - arena) + 63) & ~63
    }

    /// Keeps the room last reserved from being given out again until the next `removeAll`.
    mutating func protect(_ packet: PacketBuffer) {
        if packet.start == arena + used + Outbox.headroom { used = ((packet.start + packet.length - arena) + 63) & ~63 }
    }

    /// Room with a copy of a packet in it, not committed yet; nil if it does not fit.
    mutating func copy(_ packet: PacketBuffer) -> PacketBuffer? {
        guard var room = reserve(packet.length) else { return nil }
        room.start.copyMemory(from: packet.start, byteCount: packet.length)
        room.length = packet.length
        room.tailroom = 0
        return room
    }

    /// Sends a packet: one that lies in the room last reserved as it stands, any other as a copy.
    mutating func send(_ packet: PacketBuffer, to port: PortIndex) -> Bool {
        if packet.start == arena + used + Outbox.headroom {
            guard count < capacity else { return false }
            commit(packet, to: port)
            return true
        }
        guard let room = copy(packet) else { return false }
        commit(room, to: port)
        return true
    }
}
