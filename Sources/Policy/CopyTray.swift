// What `dup to` copied while a base chain ran: each copy as the packet stood at its rule, sent when the chain has ended.
//
// Invariant: a stack. Who runs a chain takes off what the chain put on, chains that such a copy passes included. Bounded: a
// chain's copies beyond the last place are not made, and a ruleset that wants more loses them, never anything else.
import Wire

public struct CopyTray {
    /// Copies at a time.
    public static var capacity: Int { 8 }
    private static var room: Int { 1 << 17 }

    public private(set) var count = 0
    private let memory: UnsafeMutableRawPointer
    private let lengths: UnsafeMutablePointer<Int>
    private let requests: UnsafeMutablePointer<ForwardRequest>

    public init() {
        memory = .allocate(byteCount: CopyTray.capacity * CopyTray.room, alignment: 64)
        lengths = .allocate(capacity: CopyTray.capacity)
        lengths.initialize(repeating: 0, count: CopyTray.capacity)
        requests = .allocate(capacity: CopyTray.capacity)
        requests.initialize(repeating: ForwardRequest(), count: CopyTray.capacity)
    }

    public func deallocate() {
        memory.deallocate()
        lengths.deallocate()
        requests.deallocate()
    }

    mutating func put(_ packet: PacketBuffer, _ request: ForwardRequest) {
        guard count < CopyTray.capacity, packet.length <= CopyTray.room else { return }
        (memory + count &* CopyTray.room).copyMemory(from: packet.start, byteCount: packet.length)
        lengths[count] = packet.length
        requests[count] = request
        count &+= 1
    }

    /// The copy of that number from below; `index` < `count`.
    public func packet(_ index: Int) -> PacketBuffer { PacketBuffer(start: memory + index &* CopyTray.room, length: lengths[index]) }
    public func request(_ index: Int) -> ForwardRequest { requests[index] }

    /// Takes off all copies above the lowest `kept`.
    public mutating func drop(to kept: Int) { count = min(count, kept) }
}
