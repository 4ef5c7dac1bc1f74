// Packets that wait for a neighbour's MAC address, in memory of their own.
//
// When is a packet refused? When its neighbour holds its bounded queue already (the oldest is dropped, as Linux does)
// or all slots are taken (`neighbourQueueFull`). When is one evicted? When its neighbour fails to answer. Can an
// attacker make this blow up? No: the slots are a fixed block, allocated once.
import Wire

/// Where a waiting packet goes once its neighbour is known.
struct PendingPacket {
    var length: Int32 = 0
    var port: PortIndex = 0
    var ingress: PortIndex = 0
    /// The next waiting packet of the same neighbour, or of the free list; -1 at the end.
    var next: Int32 = -1
}

public struct PendingPackets: ~Copyable {
    static var slotBytes: Int { 9216 + 128 }
    /// Memory that one waiting packet takes.
    public static var bytesPerPacket: Int { slotBytes }
    private let memory: UnsafeMutableRawPointer
    private let slots: UnsafeMutablePointer<PendingPacket>
    private var free: Int32
    private(set) var used = 0
    let capacity: Int

    init(capacity: Int) {
        self.capacity = capacity
        memory = .allocate(byteCount: max(1, capacity) * Self.slotBytes, alignment: 64)
        slots = .allocate(capacity: max(1, capacity))
        for index in 0 ..< capacity {
            slots[index] = PendingPacket(next: index + 1 < capacity ? Int32(index + 1) : -1)
        }
        free = capacity > 0 ? 0 : -1
    }

    deinit {
        memory.deallocate()
        slots.deallocate()
    }

    /// Keeps a copy; nil if no slot is free or the packet is larger than one.
    mutating func keep(_ packet: PacketBuffer, port: PortIndex, ingress: PortIndex) -> UInt32? {
        guard free >= 0, packet.length <= Self.slotBytes else { return nil }
        let slot = Int(free)
        free = slots[slot].next
        used += 1
        slots[slot] = PendingPacket(length: Int32(packet.length), port: port, ingress: ingress, next: -1)
        (memory + slot * Self.slotBytes).copyMemory(from: packet.start, byteCount: packet.length)
        return UInt32(slot)
    }

    /// The slot that the next `keep` takes.
    var next: UInt32? { free >= 0 ? UInt32(free) : nil }

    func packet(_ handle: UInt32) -> (buffer: PacketBuffer, port: PortIndex, ingress: PortIndex) {
        let slot = slots[Int(handle)]
        return (PacketBuffer(start: memory + Int(handle) * Self.slotBytes, length: Int(slot.length)), slot.port, slot.ingress)
    }

    mutating func release(_ handle: UInt32) {
        slots[Int(handle)].next = free
        free = Int32(handle)
        used -= 1
    }
}
