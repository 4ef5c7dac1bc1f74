// The neighbour table's memory: entries in bucket chains, packets on queues, neighbours that are to be solicited.
//
// Invariant: see NeighbourTable.swift; every function here leaves each entry and each node on exactly one list.
import Wire

extension NeighbourTable {
    // MARK: - Entries

    static func isUsable(_ state: NeighbourState) -> Bool {
        switch state {
        case .reachable, .stale, .delay, .probe, .permanent: true
        case .none, .incomplete, .failed: false
        }
    }

    func bucket(_ address: IPAddress, _ port: PortIndex) -> Int {
        let product = (address.high ^ seed).multipliedFullWidth(by: address.low ^ UInt64(port) << 48 ^ 0x9e37_79b9_7f4a_7c15)
        let mixed = (product.high ^ product.low ^ seed).multipliedFullWidth(by: 0xd6e8_feb8_6659_fd93)
        return Int(truncatingIfNeeded: mixed.high ^ mixed.low) & bucketMask
    }

    @inline(__always) func find(_ address: IPAddress, port: PortIndex) -> UInt32 {
        var index = buckets[bucket(address, port)]
        while index != NeighbourTable.nothing {
            if entries[Int(index)].address == address, entries[Int(index)].port == port { return index }
            index = entries[Int(index)].next
        }
        return NeighbourTable.nothing
    }

    mutating func use(_ index: UInt32, now: Timestamp) -> EthernetAddress? {
        let entry = entries + Int(index)
        guard NeighbourTable.isUsable(entry.pointee.state) else { return nil }
        entry.pointee.used = now
        if entry.pointee.state == .stale {
            entry.pointee.state = .delay
            entry.pointee.deadline = now &+ timers.delayFirstProbe
        }
        return entry.pointee.mac
    }

    mutating func create(_ address: IPAddress, port: PortIndex, now: Timestamp) -> UInt32 {
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
    mutating func makeRoom(now: Timestamp) {
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

    mutating func destroy(_ index: UInt32) {
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

    mutating func setAddress(_ index: UInt32, mac: EthernetAddress, state: NeighbourState, now: Timestamp) {
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

    mutating func fail(_ index: UInt32, now: Timestamp) {
        let entry = entries + Int(index)
        if entry.pointee.state == .incomplete { incompleteCount -= 1 }
        if NeighbourTable.isUsable(entry.pointee.state) { generation &+= 1 }
        entry.pointee.state = .failed
        entry.pointee.updated = now
        release(index, mac: nil)
    }

    // MARK: - Queues

    mutating func probeAgain(_ index: UInt32, now: Timestamp) {
        entries[Int(index)].probes += 1
        entries[Int(index)].deadline = now &+ timers.retransmit
        queueSolicitation(index)
    }

    mutating func queueSolicitation(_ index: UInt32) {
        guard !entries[Int(index)].solicitationQueued else { return }
        entries[Int(index)].solicitationQueued = true
        entries[Int(index)].nextSolicitation = NeighbourTable.nothing
        if solicitTail == NeighbourTable.nothing { solicitHead = index } else { entries[Int(solicitTail)].nextSolicitation = index }
        solicitTail = index
    }

    mutating func unqueueSolicitation(_ index: UInt32) {
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

    mutating func popWaiting(_ index: UInt32) -> UInt32 {
        let entry = entries + Int(index)
        let node = entry.pointee.queueHead
        entry.pointee.queueHead = waiting[Int(node)].next
        if entry.pointee.queueHead == NeighbourTable.nothing { entry.pointee.queueTail = NeighbourTable.nothing }
        entry.pointee.queueCount -= 1
        return node
    }

    /// Moves a neighbour's packets to the ready list: to be sent to `mac`, or to be given up.
    mutating func release(_ index: UInt32, mac: EthernetAddress?) {
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
