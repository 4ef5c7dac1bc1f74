import Testing
import Wire

@testable import Routing

let second: Timestamp = 1_000_000_000

/// The events that are due, as text.
func drain(_ table: inout NeighbourTable) -> [String] {
    var result: [String] = []
    while let event = table.nextEvent() {
        switch event.kind {
        case .solicit: result.append("solicit \(event.address)\(event.mac == .zero ? "" : " at \(event.mac)")")
        case .transmit: result.append("transmit \(event.handle) to \(event.mac)")
        case .discard: result.append("discard \(event.handle)")
        }
    }
    return result
}

@Suite struct NeighbourTableTests {
    @Test func resolution() {
        var table = NeighbourTable(capacity: 16)
        let a = ip("10.0.1.2")
        guard case .pending(displaced: nil) = table.resolve(a, port: 0, now: 0, handle: 1), case .pending = table.resolve(a, port: 0, now: 5, handle: 2) else {
            Issue.record("not pending")
            return
        }
        #expect(drain(&table) == ["solicit 10.0.1.2"])
        // Another port's answer is another neighbour's.
        var known = table.update(a, port: 1, mac: mac(9), isConfirmation: true, mayCreate: false, overrides: true, now: 6)
        #expect(!known)
        known = table.update(a, port: 0, mac: mac(2), isConfirmation: true, mayCreate: false, overrides: true, now: 6)
        #expect(known)
        #expect(drain(&table) == ["transmit 1 to 02:00:00:00:00:02", "transmit 2 to 02:00:00:00:00:02"])
        guard case .resolved(let found, _) = table.resolve(a, port: 0, now: 7, handle: 3) else {
            Issue.record("not resolved")
            return
        }
        let state = table.state(of: a, port: 0)
        #expect(found == mac(2) && state == .reachable)
    }

    @Test func silence() {
        var table = NeighbourTable(capacity: 16)
        let a = ip("fd00:1::2")
        _ = table.resolve(a, port: 0, now: 0, handle: 1)
        var events = drain(&table)
        for moment in 1...2 {
            table.expire(now: Timestamp(moment) * second, budget: 16)
            events += drain(&table)
        }
        #expect(events == ["solicit fd00:1::2", "solicit fd00:1::2", "solicit fd00:1::2"])
        table.expire(now: 3 * second, budget: 16)
        #expect(drain(&table) == ["discard 1"])
        var state = table.state(of: a, port: 0)
        #expect(state == .failed)
        // The next packet asks again, and is answered now.
        _ = table.resolve(a, port: 0, now: 4 * second, handle: 2)
        table.update(a, port: 0, mac: mac(2), isConfirmation: true, mayCreate: false, overrides: true, now: 4 * second)
        #expect(drain(&table).contains("transmit 2 to 02:00:00:00:00:02"))
        state = table.state(of: a, port: 0)
        #expect(state == .reachable && table.incompleteCount == 0)
    }

    @Test func lifeOfAReachableNeighbour() {
        var table = NeighbourTable(capacity: 16)
        let a = ip("10.0.1.2")
        table.update(a, port: 0, mac: mac(2), isConfirmation: true, mayCreate: true, overrides: true, now: 0)
        func state(_ table: borrowing NeighbourTable) -> NeighbourState { table.state(of: a, port: 0) }
        table.expire(now: 30 * second - 1, budget: 16)
        #expect(state(table) == .reachable)
        table.expire(now: 30 * second, budget: 16)
        #expect(state(table) == .stale)
        // Used: five seconds of grace, then asked by unicast three times, then given up.
        guard case .resolved(mac(2), let number) = table.resolve(a, port: 0, now: 31 * second, handle: 1) else {
            Issue.record("a stale neighbour is not used")
            return
        }
        #expect(state(table) == .delay)
        table.expire(now: 36 * second, budget: 16)
        #expect(state(table) == .probe)
        var events = drain(&table)
        let generation = table.generation
        for moment in 37...39 {
            table.noteUse(number, at: Timestamp(moment) * second - 1, now: Timestamp(moment) * second - 1)
            #expect(table.address(of: a, port: 0) == mac(2))
            table.expire(now: Timestamp(moment) * second, budget: 16)
            events += drain(&table)
        }
        #expect(events == Array(repeating: "solicit 10.0.1.2 at 02:00:00:00:00:02", count: 3))
        #expect(state(table) == .failed && table.generation != generation)
    }

    /// Packets that others sent keep a neighbour asked for as its own would: it is in doubt with the end of its 30 seconds, not stale.
    @Test func packetsThatOthersSent() {
        var table = NeighbourTable(capacity: 16)
        let a = ip("10.0.1.2")
        table.update(a, port: 0, mac: mac(2), isConfirmation: true, mayCreate: true, overrides: true, now: 0)
        guard case .resolved(_, let number) = table.resolve(a, port: 0, now: 1, handle: 1) else {
            Issue.record("not resolved")
            return
        }
        table.noteUse(number, at: 29 * second, now: 29 * second)
        table.expire(now: 30 * second, budget: 16)
        #expect(table.state(of: a, port: 0) == .delay)
        // What was sent before does not count twice.
        table.update(a, port: 0, mac: mac(2), isConfirmation: true, mayCreate: true, overrides: true, now: 31 * second)
        table.expire(now: 61 * second, budget: 16)
        table.noteUse(number, at: 29 * second, now: 62 * second)
        #expect(table.state(of: a, port: 0) == .stale)
        table.noteUse(number, at: 62 * second, now: 63 * second)
        #expect(table.state(of: a, port: 0) == .delay)
        // Numbers of nobody.
        table.remove(a, port: 0)
        table.noteUse(number, at: 70 * second, now: 70 * second)
        table.noteUse(UInt32(table.capacity), at: 70 * second, now: 70 * second)
        #expect(table.count == 0)
    }

    @Test func changesOfTheAddress() {
        var table = NeighbourTable(capacity: 16)
        let a = ip("10.0.1.2")
        table.update(a, port: 0, mac: mac(2), isConfirmation: true, mayCreate: true, overrides: true, now: 0)
        var generation = table.generation
        table.update(a, port: 0, mac: mac(2), isConfirmation: false, mayCreate: true, overrides: true, now: 1)
        #expect(table.generation == generation && table.state(of: a, port: 0) == .reachable)
        // A different address, without the right to override: ignored, or (neighbour discovery) doubt.
        table.update(a, port: 0, mac: mac(3), isConfirmation: true, mayCreate: true, overrides: false, now: 2)
        #expect(table.state(of: a, port: 0) == .reachable)
        table.update(a, port: 0, mac: mac(3), isConfirmation: true, mayCreate: true, overrides: false, weakly: true, now: 2)
        #expect(table.state(of: a, port: 0) == .stale && table.generation == generation)
        table.update(a, port: 0, mac: mac(3), isConfirmation: false, mayCreate: true, overrides: true, now: 3)
        let used = table.address(of: a, port: 0)
        #expect(used == mac(3) && table.generation != generation)
        generation = table.generation
        table.update(a, port: 0, mac: EthernetAddress.broadcast, isConfirmation: true, mayCreate: true, overrides: true, now: 4)
        #expect(table.address(of: a, port: 0) == mac(3) && table.generation == generation)
        table.flush(port: 0)
        #expect(table.count == 0 && table.generation != generation)
    }

    @Test func permanentNeighboursStay() throws {
        var table = NeighbourTable(capacity: 4)
        try table.addPermanent(ip("10.0.1.2"), port: 0, mac: mac(2), now: 0)
        table.update(ip("10.0.1.2"), port: 0, mac: mac(3), isConfirmation: true, mayCreate: true, overrides: true, now: 1)
        table.expire(now: 1000 * second, budget: 4)
        table.flush(port: 0)
        let used = table.address(of: ip("10.0.1.2"), port: 0)
        #expect(used == mac(2))
        var refused = false
        do { try table.addPermanent(ip("10.0.1.3"), port: 0, mac: .broadcast, now: 0) } catch { refused = true }
        #expect(refused)
    }

    @Test func queuesAreBounded() {
        var table = NeighbourTable(capacity: 16, waitingCapacity: 100, queueLength: 64)
        let a = ip("10.0.1.2"), b = ip("10.0.1.3")
        var displaced: [UInt32] = []
        for handle in 0..<70 {
            if case .pending(let old?) = table.resolve(a, port: 0, now: 0, handle: UInt32(handle)) { displaced.append(old) }
        }
        #expect(displaced == [0, 1, 2, 3, 4, 5])
        // 36 nodes are left for the other.
        for handle in 100..<136 { _ = table.resolve(b, port: 0, now: 0, handle: UInt32(handle)) }
        guard case .pending(displaced: 100) = table.resolve(b, port: 0, now: 0, handle: 136), case .failed(.neighbourQueueFull) = table.resolve(ip("10.0.1.4"), port: 0, now: 0, handle: 200) else {
            Issue.record("the total is not bounded")
            return
        }
        _ = drain(&table)
        table.remove(a, port: 0)
        let discarded = drain(&table)
        #expect(discarded.count == 64 && discarded.first == "discard 6" && discarded.last == "discard 69")
        guard case .pending(displaced: nil) = table.resolve(b, port: 0, now: 0, handle: 300) else {
            Issue.record("nodes did not come back")
            return
        }
    }

    /// A scan of a connected network fills half the table, no more, and known neighbours survive it.
    @Test func scans() {
        var table = NeighbourTable(capacity: 64, waitingCapacity: 256)
        table.update(ip("10.0.1.2"), port: 0, mac: mac(2), isConfirmation: true, mayCreate: true, overrides: true, now: 0)
        var refused = 0
        for index in 0..<200 {
            if case .failed(.neighbourTableFull) = table.resolve(IPAddress(ipv4: 0x0a00_0200 + UInt32(index)), port: 0, now: 0, handle: UInt32(index)) { refused += 1 }
        }
        #expect(table.count == 33 && refused == 168 && table.incompleteCount == 32)
        for moment in 1...3 { table.expire(now: Timestamp(moment) * second, budget: 64) }
        #expect(table.incompleteCount == 0)
        guard case .pending = table.resolve(ip("10.0.9.9"), port: 0, now: 4 * second, handle: 1) else {
            Issue.record("failed entries do not make room")
            return
        }
        // Forged requests only push each other out.
        for index in 0..<1000 {
            table.update(IPAddress(ipv4: 0x0b00_0000 + UInt32(index)), port: 0, mac: mac(7), isConfirmation: false, mayCreate: true, overrides: true, now: 4 * second)
        }
        let used = table.address(of: ip("10.0.1.2"), port: 0)
        #expect(table.count <= 64 && used == mac(2))
    }

    /// Random operations: counts agree with what is in the table, every handle comes back exactly once.
    @Test func randomOperations() {
        var random = SplitMix64(seed: 14)
        var table = NeighbourTable(capacity: 24, waitingCapacity: 80)
        var out: Set<UInt32> = []
        var next: UInt32 = 0
        var now: Timestamp = 0
        func collect() {
            while let event = table.nextEvent() {
                guard event.kind != .solicit else { continue }
                #expect(out.remove(event.handle) != nil)
            }
        }
        for _ in 0..<30000 {
            now += Timestamp.random(in: 0...second / 4, using: &random)
            let address = IPAddress(ipv4: UInt32.random(in: 1...60, using: &random)), port = PortIndex.random(in: 0...1, using: &random)
            switch Int.random(in: 0..<12, using: &random) {
            case 0..<5:
                next += 1
                switch table.resolve(address, port: port, now: now, handle: next) {
                case .resolved, .failed: break
                case .pending(let displaced):
                    out.insert(next)
                    if let displaced { #expect(out.remove(displaced) != nil) }
                }
            case 5..<8:
                table.update(
                    address, port: port, mac: Bool.random(using: &random) ? mac(UInt64.random(in: 1...3, using: &random)) : nil, isConfirmation: Bool.random(using: &random),
                    mayCreate: Bool.random(using: &random), overrides: Bool.random(using: &random), weakly: Bool.random(using: &random), now: now)
            case 8: table.remove(address, port: port)
            case 9: if Int.random(in: 0..<50, using: &random) == 0 { table.flush(port: port) }
            case 10: table.expire(now: now, budget: Int.random(in: 1...24, using: &random))
            default: collect()
            }
            let neighbours = table.neighbours
            #expect(neighbours.count == table.count && neighbours.count(where: { $0.state == .incomplete }) == table.incompleteCount)
        }
        table.flush(port: 0)
        table.flush(port: 1)
        collect()
        #expect(out.isEmpty && table.count == 0)
    }
}
