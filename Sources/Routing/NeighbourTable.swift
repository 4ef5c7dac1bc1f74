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
//   packets: 64 a neighbour (then the oldest goes, as in Linux, which counts bytes: about as many), and a total.
import Wire

/// NUD_ states.
@frozen public enum NeighbourState: UInt8, Sendable {
    case none
    /// Solicited, never answered; packets wait.
    case incomplete
    case reachable
    /// The address is known, but not confirmed lately; it is used, and checked upon use.
    case stale
    /// Used while stale: 5 s for a confirmation to turn up by itself.
    case delay
    /// Being asked by unicast.
    case probe
    case failed
    /// Configured; never expires, never learns.
    case permanent
}

/// Linux's defaults, in nanoseconds.
public struct NeighbourTimers: Sendable {
    public var reachable: Timestamp = 30_000_000_000
    public var delayFirstProbe: Timestamp = 5_000_000_000
    public var retransmit: Timestamp = 1_000_000_000
    public var staleCollection: Timestamp = 60_000_000_000
    /// An answer that changes the MAC address is ignored for this long after the last change (`locktime`; ARP only).
    public var lock: Timestamp = 1_000_000_000
    public var multicastSolicitations: UInt8 = 3
    public var unicastSolicitations: UInt8 = 3
    public init() {}
}

/// What `resolve` says.
public enum NeighbourResolution: Sendable {
    case resolved(EthernetAddress)
    /// The handle is queued. `displaced` is the handle that had to go for it (`DropReason.neighbourQueueFull`).
    case pending(displaced: UInt32?)
    /// The handle is not queued.
    case failed(DropReason)
}

/// What the table wants done.
public struct NeighbourEvent: Sendable {
    public enum Kind: Sendable {
        /// Send an ARP request or a neighbour solicitation for `address`: to `mac`, or, if that is zero, to everyone.
        case solicit
        /// The packet `handle` may go to `mac`.
        case transmit
        /// The packet `handle` is given up (`neighbourUnresolved`): Linux answers "host unreachable".
        case discard
    }
    public var kind: Kind
    public var address: IPAddress
    public var port: PortIndex
    public var mac: EthernetAddress
    public var handle: UInt32
}

public struct NeighbourTable: ~Copyable {
    /// Most packets that wait for one neighbour.
    public static var queueLength: Int { 64 }

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
    public let timers: NeighbourTimers
    let entries: UnsafeMutablePointer<Entry>
    private let buckets: UnsafeMutablePointer<UInt32>
    private let bucketMask: Int
    private let waiting: UnsafeMutablePointer<Waiting>
    private let seed: UInt64
    private var freeEntry: UInt32
    private var freeWaiting: UInt32
    private var readyHead = NeighbourTable.nothing
    private var readyTail = NeighbourTable.nothing
    private var solicitHead = NeighbourTable.nothing
    private var solicitTail = NeighbourTable.nothing
    private var scanHand = 0
    private var timerHand = 0
    public private(set) var count = 0
    private(set) var incompleteCount = 0
    /// Changes whenever a MAC address in use changes or becomes unusable: flows cached under an older one are to be
    /// judged again.
    public private(set) var generation: UInt32 = 1

    /// - Parameters:
    ///   - capacity: entries of both families.
    ///   - waitingCapacity: packets that wait for all neighbours together.
    ///   - seed: keys the hash, so that nobody can choose addresses that share a bucket.
    public init(capacity: Int = 4096, waitingCapacity: Int = 4096, seed: UInt64 = 0x6e65_6564_6c65_7461, timers: NeighbourTimers = NeighbourTimers()) {
        self.capacity = capacity
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
        if let mac = use(index, now: now) { return .resolved(mac) }
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
        if Int(entry.pointee.queueCount) >= NeighbourTable.queueLength || freeWaiting == NeighbourTable.nothing {
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

    /// The MAC address if it is known, and the same effect on the neighbour's state as a packet would have; for flows
    /// whose packets do not come by here.
    public mutating func noteUse(_ address: IPAddress, port: PortIndex, now: Timestamp) -> EthernetAddress? {
        let index = find(address, port: port)
        return index == NeighbourTable.nothing ? nil : use(index, now: now)
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

    // MARK: - Entries

    static func isUsable(_ state: NeighbourState) -> Bool {
        switch state {
        case .reachable, .stale, .delay, .probe, .permanent: true
        case .none, .incomplete, .failed: false
        }
    }

    private func bucket(_ address: IPAddress, _ port: PortIndex) -> Int {
        let product = (address.high ^ seed).multipliedFullWidth(by: address.low ^ UInt64(port) << 48 ^ 0x9e37_79b9_7f4a_7c15)
        let mixed = (product.high ^ product.low ^ seed).multipliedFullWidth(by: 0xd6e8_feb8_6659_fd93)
        return Int(truncatingIfNeeded: mixed.high ^ mixed.low) & bucketMask
    }

    private func find(_ address: IPAddress, port: PortIndex) -> UInt32 {
        var index = buckets[bucket(address, port)]
        while index != NeighbourTable.nothing {
            if entries[Int(index)].address == address, entries[Int(index)].port == port { return index }
            index = entries[Int(index)].next
        }
        return NeighbourTable.nothing
    }

    private mutating func use(_ index: UInt32, now: Timestamp) -> EthernetAddress? {
        let entry = entries + Int(index)
        guard NeighbourTable.isUsable(entry.pointee.state) else { return nil }
        entry.pointee.used = now
        if entry.pointee.state == .stale {
            entry.pointee.state = .delay
            entry.pointee.deadline = now &+ timers.delayFirstProbe
        }
        return entry.pointee.mac
    }

    private mutating func create(_ address: IPAddress, port: PortIndex, now: Timestamp) -> UInt32 {
        if freeEntry == NeighbourTable.nothing { makeRoom(now: now) }
        let index = freeEntry
        guard index != NeighbourTable.nothing else { return index }
        freeEntry = entries[Int(index)].next
        let home = bucket(address, port)
        // A new entry is "failed" until it is solicited or learned: not usable, free to be evicted.
        entries[Int(index)] = Entry(address: address, port: port, state: .failed, next: buckets[home], updated: now, confirmed: 0, used: now)
        buckets[home] = index
        count += 1
        return index
    }

    /// Frees one entry that may go, out of the next 64.
    private mutating func makeRoom(now: Timestamp) {
        var oldestStale = NeighbourTable.nothing
        for _ in 0..<min(64, capacity) {
            let index = scanHand
            scanHand = scanHand + 1 < capacity ? scanHand + 1 : 0
            switch entries[index].state {
            case .failed:
                destroy(UInt32(index))
                return
            case .stale:
                if oldestStale == NeighbourTable.nothing || entries[index].used < entries[Int(oldestStale)].used { oldestStale = UInt32(index) }
            default: break
            }
        }
        if oldestStale != NeighbourTable.nothing { destroy(oldestStale) }
    }

    private mutating func destroy(_ index: UInt32) {
        let entry = entries + Int(index)
        if NeighbourTable.isUsable(entry.pointee.state) { generation &+= 1 }
        if entry.pointee.state == .incomplete { incompleteCount -= 1 }
        release(index, mac: nil)
        if entry.pointee.solicitationQueued { unqueueSolicitation(index) }
        let home = bucket(entry.pointee.address, entry.pointee.port)
        if buckets[home] == index {
            buckets[home] = entry.pointee.next
        } else {
            var previous = Int(buckets[home])
            while entries[previous].next != index { previous = Int(entries[previous].next) }
            entries[previous].next = entry.pointee.next
        }
        entry.pointee = Entry(next: freeEntry)
        freeEntry = index
        count -= 1
    }

    private mutating func setAddress(_ index: UInt32, mac: EthernetAddress, state: NeighbourState, now: Timestamp) {
        let entry = entries + Int(index)
        if entry.pointee.state == .incomplete { incompleteCount -= 1 }
        if NeighbourTable.isUsable(entry.pointee.state), entry.pointee.mac != mac { generation &+= 1 }
        if entry.pointee.mac != mac || entry.pointee.state != state { entry.pointee.updated = now }
        entry.pointee.mac = mac
        entry.pointee.state = state
        entry.pointee.probes = 0
        if state == .reachable || state == .permanent { entry.pointee.confirmed = now }
        release(index, mac: mac)
    }

    private mutating func fail(_ index: UInt32, now: Timestamp) {
        let entry = entries + Int(index)
        if entry.pointee.state == .incomplete { incompleteCount -= 1 }
        if NeighbourTable.isUsable(entry.pointee.state) { generation &+= 1 }
        entry.pointee.state = .failed
        entry.pointee.updated = now
        release(index, mac: nil)
    }

    // MARK: - Queues

    private mutating func probeAgain(_ index: UInt32, now: Timestamp) {
        entries[Int(index)].probes += 1
        entries[Int(index)].deadline = now &+ timers.retransmit
        queueSolicitation(index)
    }

    private mutating func queueSolicitation(_ index: UInt32) {
        guard !entries[Int(index)].solicitationQueued else { return }
        entries[Int(index)].solicitationQueued = true
        entries[Int(index)].nextSolicitation = NeighbourTable.nothing
        if solicitTail == NeighbourTable.nothing { solicitHead = index } else { entries[Int(solicitTail)].nextSolicitation = index }
        solicitTail = index
    }

    private mutating func unqueueSolicitation(_ index: UInt32) {
        var previous = NeighbourTable.nothing
        var current = solicitHead
        while current != index {
            previous = current
            current = entries[Int(current)].nextSolicitation
        }
        let next = entries[Int(index)].nextSolicitation
        if previous == NeighbourTable.nothing { solicitHead = next } else { entries[Int(previous)].nextSolicitation = next }
        if solicitTail == index { solicitTail = previous }
    }

    private mutating func popWaiting(_ index: UInt32) -> UInt32 {
        let entry = entries + Int(index)
        let node = entry.pointee.queueHead
        entry.pointee.queueHead = waiting[Int(node)].next
        if entry.pointee.queueHead == NeighbourTable.nothing { entry.pointee.queueTail = NeighbourTable.nothing }
        entry.pointee.queueCount -= 1
        return node
    }

    /// Moves a neighbour's packets to the ready list: to be sent to `mac`, or to be given up.
    private mutating func release(_ index: UInt32, mac: EthernetAddress?) {
        while entries[Int(index)].queueCount > 0 {
            let node = popWaiting(index)
            waiting[Int(node)].mac = mac ?? .zero
            waiting[Int(node)].transmits = mac != nil
            waiting[Int(node)].next = NeighbourTable.nothing
            if readyTail == NeighbourTable.nothing { readyHead = node } else { waiting[Int(readyTail)].next = node }
            readyTail = node
        }
    }
}
