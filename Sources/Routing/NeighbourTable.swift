// Neighbours: which MAC address a next hop has, with Linux's states (NUD_) and timers (net/core/neighbour.c).
//
// Invariant: fixed memory, one owner. An entry is in exactly one bucket chain or on the free list; a waiting packet's
// node is on exactly one neighbour's queue, on the ready list or on the free list. The table never sends: it queues
// events (a solicitation is due, a packet may go, a packet is given up), and the owner takes them by `nextEvent`.
//
// Overload:
// - When is a new entry refused? When the table is full and none of 64 looked-at entries may go, or when half of the
//   table already waits for an answer (`neighbourTableFull`).
// - When is an old one evicted? A failed one at any time; a stale one after 60 s without use, or, to make room, at once.
//   Permanent, reachable and waiting entries never.
// - Can an attacker make this blow up? A scan of a connected network fills at most half the table with waiting entries
//   for 3 s each; forged ARP requests can only displace stale entries, which costs one more solicitation. Waiting
//   packets: `queueLength` a neighbour (then the oldest goes, as in Linux, which counts bytes), and a total.
import Wire

public struct NeighbourTable: ~Copyable {
    struct Entry {
        var address = IPAddress(ipv4: 0)
        var mac = EthernetAddress.zero
        var port: PortIndex = 0
        var state = NeighbourState.none
        var probes: UInt8 = 0
        var isRouter = false
        var solicitationQueued = false
        var queueCount: UInt16 = 0
        /// Bucket chain, or free list.
        var next = NeighbourTable.nothing
        var nextSolicitation = NeighbourTable.nothing
        var queueHead = NeighbourTable.nothing
        var queueTail = NeighbourTable.nothing
        var updated: Timestamp = 0
        var confirmed: Timestamp = 0
        var used: Timestamp = 0
        var deadline: Timestamp = 0
    }
    struct Waiting {
        var address = IPAddress(ipv4: 0)
        var mac = EthernetAddress.zero
        var handle: UInt32 = 0
        var next = NeighbourTable.nothing
        var port: PortIndex = 0
        var transmits = false
    }
    static var nothing: UInt32 { .max }

    public let capacity: Int
    /// Packets that wait for one neighbour.
    public let queueLength: Int
    public let timers: NeighbourTimers
    let entries: UnsafeMutablePointer<Entry>
    let buckets: UnsafeMutablePointer<UInt32>
    let bucketMask: Int
    let waiting: UnsafeMutablePointer<Waiting>
    let seed: UInt64
    var freeEntry: UInt32
    var freeWaiting: UInt32
    var readyHead = NeighbourTable.nothing
    var readyTail = NeighbourTable.nothing
    var solicitHead = NeighbourTable.nothing
    var solicitTail = NeighbourTable.nothing
    var scanHand = 0
    var timerHand = 0
    public internal(set) var count = 0
    var incompleteCount = 0
    /// Changes whenever a MAC address in use changes or becomes unusable: flows cached under an older one are to be
    /// judged again.
    public internal(set) var generation: UInt32 = 1

    /// - Parameters:
    ///   - capacity: entries of both families.
    ///   - waitingCapacity: packets that wait for all neighbours together.
    ///   - queueLength: packets that wait for one neighbour; the oldest gives way.
    ///   - seed: keys the hash, so that nobody can choose addresses that share a bucket.
    public init(capacity: Int = 4096, waitingCapacity: Int = 4096, queueLength: Int = 101, seed: UInt64 = 0x6e65_6564_6c65_7461, timers: NeighbourTimers = NeighbourTimers()) {
        self.capacity = capacity
        self.queueLength = queueLength
        self.timers = timers
        self.seed = seed
        entries = .allocate(capacity: capacity)
        entries.initialize(repeating: Entry(), count: capacity)
        for index in 0..<capacity { entries[index].next = index + 1 < capacity ? UInt32(index + 1) : NeighbourTable.nothing }
        var size = 16
        while size < capacity { size *= 2 }
        bucketMask = size - 1
        buckets = .allocate(capacity: size)
        buckets.initialize(repeating: NeighbourTable.nothing, count: size)
        waiting = .allocate(capacity: waitingCapacity)
        waiting.initialize(repeating: Waiting(), count: waitingCapacity)
        for index in 0..<waitingCapacity { waiting[index].next = index + 1 < waitingCapacity ? UInt32(index + 1) : NeighbourTable.nothing }
        freeEntry = capacity > 0 ? 0 : NeighbourTable.nothing
        freeWaiting = waitingCapacity > 0 ? 0 : NeighbourTable.nothing
    }

    deinit {
        entries.deallocate()
        buckets.deallocate()
        waiting.deallocate()
    }

    // MARK: - Configuration and display

    /// Adds or replaces a permanent neighbour.
    public mutating func addPermanent(_ address: IPAddress, port: PortIndex, mac: EthernetAddress, now: Timestamp) throws(RoutingError) {
        guard !mac.isGroup else { throw RoutingError("neighbour \(address): \(mac) is a group address") }
        let index = find(address, port: port)
        let entry = index == NeighbourTable.nothing ? create(address, port: port, now: now) : index
        guard entry != NeighbourTable.nothing else { throw RoutingError("the neighbour table is full (\(capacity) entries)") }
        setAddress(entry, mac: mac, state: .permanent, now: now)
    }

    /// Forgets a neighbour; packets that wait for it are given up.
    public mutating func remove(_ address: IPAddress, port: PortIndex) {
        let index = find(address, port: port)
        if index != NeighbourTable.nothing { destroy(index) }
    }

    /// Forgets all learned neighbours of a port that went down.
    public mutating func flush(port: PortIndex) {
        for index in 0..<capacity where entries[index].state != .none && entries[index].state != .permanent && entries[index].port == port {
            destroy(UInt32(index))
        }
    }

    /// A neighbour as it is shown.
    public struct Neighbour: Sendable {
        public var address: IPAddress
        public var port: PortIndex
        public var mac: EthernetAddress
        public var state: NeighbourState
        public var isRouter: Bool
        public var waitingPackets: Int
    }

    /// All neighbours; not for the packet path.
    public var neighbours: [Neighbour] {
        (0..<capacity).compactMap { index in
            let entry = entries[index]
            return entry.state == .none ? nil : Neighbour(
                address: entry.address, port: entry.port, mac: entry.mac, state: entry.state, isRouter: entry.isRouter, waitingPackets: Int(entry.queueCount))
        }
    }

    public func state(of address: IPAddress, port: PortIndex) -> NeighbourState {
        let index = find(address, port: port)
        return index == NeighbourTable.nothing ? .none : entries[Int(index)].state
    }

    // MARK: - Packet path

    /// The MAC address for a packet to `address`. If it is not known, takes `handle` into the neighbour's queue and asks
    /// for it.
    public mutating func resolve(_ address: IPAddress, port: PortIndex, now: Timestamp, handle: UInt32) -> NeighbourResolution {
        var index = find(address, port: port)
        if index == NeighbourTable.nothing {
            guard incompleteCount < max(1, capacity / 2) else { return .failed(.neighbourTableFull) }
            index = create(address, port: port, now: now)
            guard index != NeighbourTable.nothing else { return .failed(.neighbourTableFull) }
        }
        if let mac = use(index, now: now) { return .resolved(mac, neighbour: index) }
        let entry = entries + Int(index)
        if entry.pointee.state != .incomplete {
            // New, or failed: ask (again).
            entry.pointee.state = .incomplete
            incompleteCount += 1
            entry.pointee.probes = 1
            entry.pointee.deadline = now &+ timers.retransmit
            queueSolicitation(index)
        }
        var displaced: UInt32? = nil
        if Int(entry.pointee.queueCount) >= queueLength || freeWaiting == NeighbourTable.nothing {
            guard entry.pointee.queueCount > 0 else { return .failed(.neighbourQueueFull) }
            let oldest = popWaiting(index)
            displaced = waiting[Int(oldest)].handle
            waiting[Int(oldest)].next = freeWaiting
            freeWaiting = oldest
        }
        let node = freeWaiting
        freeWaiting = waiting[Int(node)].next
        waiting[Int(node)] = Waiting(address: address, handle: handle, port: port)
        if entry.pointee.queueTail == NeighbourTable.nothing { entry.pointee.queueHead = node } else { waiting[Int(entry.pointee.queueTail)].next = node }
        entry.pointee.queueTail = node
        entry.pointee.queueCount += 1
        return .pending(displaced: displaced)
    }

    /// Packets that did not come by here went to the neighbour that `resolve` gave this number, the last of them at `time`: it has the effect
    /// on the neighbour's state that they would have had. A number that has another neighbour by now does no more than have that one asked.
    public mutating func noteUse(_ neighbour: UInt32, at time: Timestamp, now: Timestamp) {
        guard Int(neighbour) < capacity, time > entries[Int(neighbour)].used else { return }
        // A timer that this starts runs from now on.
        if use(neighbour, now: now) != nil { entries[Int(neighbour)].used = time }
    }

    /// The MAC address that is in use for a neighbour; nil if none is. Not for the packet path.
    public func address(of address: IPAddress, port: PortIndex) -> EthernetAddress? {
        let index = find(address, port: port)
        return index == NeighbourTable.nothing || !NeighbourTable.isUsable(entries[Int(index)].state) ? nil : entries[Int(index)].mac
    }

    /// What is to be done next; nil when nothing is.
    public mutating func nextEvent() -> NeighbourEvent? {
        if readyHead != NeighbourTable.nothing {
            let node = readyHead
            let packet = waiting[Int(node)]
            readyHead = packet.next
            if readyHead == NeighbourTable.nothing { readyTail = NeighbourTable.nothing }
            waiting[Int(node)].next = freeWaiting
            freeWaiting = node
            return NeighbourEvent(kind: packet.transmits ? .transmit : .discard, address: packet.address, port: packet.port, mac: packet.mac, handle: packet.handle)
        }
        guard solicitHead != NeighbourTable.nothing else { return nil }
        let index = Int(solicitHead)
        solicitHead = entries[index].nextSolicitation
        if solicitHead == NeighbourTable.nothing { solicitTail = NeighbourTable.nothing }
        entries[index].nextSolicitation = NeighbourTable.nothing
        entries[index].solicitationQueued = false
        let entry = entries[index]
        return NeighbourEvent(kind: .solicit, address: entry.address, port: entry.port, mac: entry.state == .probe ? entry.mac : .zero, handle: 0)
    }

    /// Runs the timers of up to `budget` entries; all are visited in turn. Call it often enough to visit every entry
    /// some times a second.
    public mutating func expire(now: Timestamp, budget: Int) {
        for _ in 0..<min(budget, capacity) {
            let index = timerHand
            timerHand = timerHand + 1 < capacity ? timerHand + 1 : 0
            let entry = entries + index
            switch entry.pointee.state {
            case .none, .permanent: break
            case .incomplete where now >= entry.pointee.deadline:
                if entry.pointee.probes >= timers.multicastSolicitations { fail(UInt32(index), now: now) } else { probeAgain(UInt32(index), now: now) }
            case .probe where now >= entry.pointee.deadline:
                if entry.pointee.probes >= timers.unicastSolicitations { fail(UInt32(index), now: now) } else { probeAgain(UInt32(index), now: now) }
            case .delay where now >= entry.pointee.deadline:
                if now < entry.pointee.confirmed &+ timers.delayFirstProbe {
                    entry.pointee.state = .reachable
                } else {
                    entry.pointee.state = .probe
                    entry.pointee.probes = 0
                    probeAgain(UInt32(index), now: now)
                }
            case .reachable where now >= entry.pointee.confirmed &+ timers.reachable:
                if now < entry.pointee.used &+ timers.delayFirstProbe {
                    entry.pointee.state = .delay
                    entry.pointee.deadline = now &+ timers.delayFirstProbe
                } else {
                    entry.pointee.state = .stale
                }
            case .stale where now >= max(entry.pointee.used, entry.pointee.updated) &+ timers.staleCollection && count > capacity / 8: destroy(UInt32(index))
            case .failed where now >= entry.pointee.updated &+ timers.staleCollection: destroy(UInt32(index))
            default: break
            }
        }
    }

    // MARK: - What the wire says

    /// News about a neighbour: neigh_update.
    ///
    /// - Parameters:
    ///   - mac: nil if the message does not say it.
    ///   - mayCreate: a message that makes an entry (an ARP request or neighbour solicitation to us).
    ///   - overrides: a different MAC address replaces the known one.
    ///   - weakly: without `overrides`, a different MAC address makes a reachable entry stale.
    /// - Returns: false if the neighbour is unknown and was not created.
    @discardableResult
    public mutating func update(
        _ address: IPAddress, port: PortIndex, mac: EthernetAddress?, isConfirmation: Bool, mayCreate: Bool, overrides: Bool, weakly: Bool = false,
        isRouter: Bool? = nil, now: Timestamp
    ) -> Bool {
        var index = find(address, port: port)
        if index == NeighbourTable.nothing {
            guard mayCreate, mac != nil else { return false }
            index = create(address, port: port, now: now)
            guard index != NeighbourTable.nothing else { return false }
        }
        let entry = entries + Int(index)
        guard entry.pointee.state != .permanent else { return true }
        let isValid = NeighbourTable.isUsable(entry.pointee.state)
        guard let mac = mac ?? (isValid ? entry.pointee.mac : nil), !mac.isGroup else { return true }
        if isValid, mac != entry.pointee.mac {
            if !overrides {
                if weakly, entry.pointee.state == .reachable { entry.pointee.state = .stale }
                return true
            }
            setAddress(index, mac: mac, state: isConfirmation ? .reachable : .stale, now: now)
        } else if isConfirmation {
            setAddress(index, mac: mac, state: .reachable, now: now)
        } else if !isValid {
            setAddress(index, mac: mac, state: .stale, now: now)
        }
        if let isRouter { entry.pointee.isRouter = isRouter }
        return true
    }

    /// Whether an ARP answer may change a MAC address yet.
    func isLocked(_ address: IPAddress, port: PortIndex, now: Timestamp) -> Bool {
        let index = find(address, port: port)
        return index != NeighbourTable.nothing && now <= entries[Int(index)].updated &+ timers.lock
    }
}
