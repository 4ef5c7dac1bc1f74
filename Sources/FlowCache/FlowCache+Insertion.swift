// Publishing and withdrawing entries.
//
// Invariant: a reader finds a key's old entry, its new one, or (for an instant) none, never a mixture.
import Synchronization
import Wire

extension FlowCache {
    /// Publishes one direction of a flow, or brings the entry of the same key up to date (in place if only its generation is
    /// old). Returns nil if it is refused; `statistics` says for what reason.
    @discardableResult
    public mutating func insert(_ description: FlowDescription, now: Timestamp) -> FlowHandle? {
        let key = PackedFlowKey(description.key)
        guard description.rewrite.source.family == description.key.source.family,
              description.rewrite.destination.family == description.key.source.family,
              description.key.destination.family == description.key.source.family,
              description.key.vlanCount <= (description.key.pppoeSession == 0 ? 2 : 1),
              description.rewrite.vlanCount <= (description.rewrite.pppoeSession == 0 ? 2 : 1) else {
            events.refusedUnsupported += 1
            return nil
        }
        guard let rewrite = FlowEntryRewrite(description, key: key) else {
            events.refusedUnsupported += 1
            return nil
        }
        return insert(description, rewrite, &family(isIPv6: key.isIPv6).pointee, now)
    }

    private enum Placement {
        case published(Int), replaced(Int), confirmed(Int), tableFull, actionTableFull

        var slot: Int? {
            switch self {
            case .published(let slot), .replaced(let slot), .confirmed(let slot): slot
            case .tableFull, .actionTableFull: nil
            }
        }
        var isConfirmed: Bool { if case .confirmed = self { true } else { false } }
    }

    private mutating func insert(_ description: FlowDescription, _ rewrite: FlowEntryRewrite, _ family: inout FlowTableFamily, _ now: Timestamp) -> FlowHandle? {
        let hash = seeds.hash(rewrite.key)
        // A flow that only the table being filled has stays there alone: who refers to it has one name for it.
        let before = family.phase == .copying ? family.find(rewrite.key, hash: hash) : nil
        if let before, before.isOther { return count(place(description, rewrite, hash, &family.other, now)).map { family.other.handle($0) } }
        let here = place(description, rewrite, hash, &family.current, now)
        switch family.phase {
        case .settled: break
        case .leaving, .draining:
            // Readers of the old table act on the old verdict no longer.
            if !here.isConfirmed, here.slot != nil { family.retireOther(rewrite.key, hash: hash) }
        case .copying:
            let isCopied = family.other.view.find(rewrite.key, hash: hash) >= 0
            guard let slot = here.slot else {
                if before == nil { return count(place(description, rewrite, hash, &family.other, now)).map { family.other.handle($0) } }
                break
            }
            if here.isConfirmed {
                // What is not copied yet will be.
                if isCopied { _ = place(description, rewrite, hash, &family.other, now) }
            } else if place(description, rewrite, hash, &family.other, now).slot != nil {
                family.current.records[slot].hasHeir = true
            } else {
                // What the other table has of it, if anything, is an older verdict.
                family.retireOther(rewrite.key, hash: hash)
            }
        }
        return count(here).map { family.current.handle($0) }
    }

    private mutating func count(_ placement: Placement) -> Int? {
        switch placement {
        case .published: events.inserted += 1
        case .replaced: events.replaced += 1
        case .confirmed: events.refreshed += 1
        case .tableFull: events.refusedTableFull += 1
        case .actionTableFull: events.refusedActionTableFull += 1
        }
        return placement.slot
    }

    private mutating func place(
        _ description: FlowDescription, _ rewrite: FlowEntryRewrite, _ hash: UInt64, _ table: inout FlowTable, _ now: Timestamp
    ) -> Placement {
        guard let action = actionTable.retain(FlowAction(description, rewritesTransport: rewrite.changesTransport), neighbour: description.neighbour) else { return .actionTableFull }
        let existing = table.view.find(rewrite.key, hash: hash)
        if existing >= 0 && table.records[existing].creditList == description.creditList
            && rewrite.isHeld(by: table.view.entry(slot: existing), action: action, connection: description.connection) {
            // Release, pairs with nothing that matters: a worker that reads the older value takes the slow path once more.
            table.generation(existing).pointee.store(generation, ordering: .releasing)
            actionTable.release(action)
            return .confirmed(existing)
        }
        guard table.count < table.capacity || existing >= 0, let place = table.freeSlot(for: hash) else {
            actionTable.release(action)
            return .tableFull
        }
        rewrite.write(
            to: table.view.entry(slot: place.slot), action: action, connection: description.connection, generation: generation,
            tick: FlowCache.tick(now))
        table.records[place.slot].creditList = description.creditList
        table.records[place.slot].sweptPackets = 0
        table.records[place.slot].sweptBytesAndHeir = 0
        table.records[place.slot].next = FlowCache.tick(now)
        table.publish(slot: place.slot, level: place.level, hash: hash)
        if existing < 0 { return .published(place.slot) }
        table.retire(slot: existing, hash: hash)
        return .replaced(place.slot)
    }

    /// Withdraws an entry: no worker that starts a burst after this finds it. Its last counts come from `endGracePeriod`.
    /// False if `handle` is not of a visible entry.
    @discardableResult
    public mutating func remove(_ handle: FlowHandle) -> Bool {
        guard family(isIPv6: handle.isIPv6).pointee.retire(handle, seeds) else { return false }
        events.removed += 1
        return true
    }

    /// Withdraws the entry that `handle` names, unless it is the one that `kept` names.
    public mutating func remove(_ handle: FlowHandle, except kept: FlowHandle) {
        guard handle != kept, let now = current(handle), now != kept else { return }
        remove(now)
    }
}

/// The part of an entry that follows from key and rewrite, before it is known where it will live.
struct FlowEntryRewrite {
    let key: PackedFlowKey
    let owner: FlowOwner
    let new: PackedFlowKey
    let networkDelta: UInt16
    let transportDelta: UInt16
    let changesTransport: Bool

    /// nil if workers cannot do this rewrite.
    init?(_ description: FlowDescription, key: PackedFlowKey) {
        self.key = key
        owner = description.owner
        var changed = description.key
        changed.source = description.rewrite.source
        changed.destination = description.rewrite.destination
        changed.sourcePort = description.rewrite.sourcePort
        changed.destinationPort = description.rewrite.destinationPort
        new = PackedFlowKey(changed)
        let oldPorts = UInt32(truncatingIfNeeded: key.tuple)
        let newPorts = UInt32(truncatingIfNeeded: new.tuple)
        let transportProtocol = description.key.transportProtocol
        switch transportProtocol {
        case IPProtocol.tcp, IPProtocol.udp, IPProtocol.udplite, IPProtocol.dccp:
            break
        case IPProtocol.icmp, IPProtocol.icmpv6:
            // Only the identifier may change: the other half is the type and code.
            guard oldPorts >> 16 == newPorts >> 16 else { return nil }
        default:
            guard oldPorts == newPorts else { return nil }
        }
        let addresses = FlowDelta.difference(old: key.address0, new: new.address0)
            + (key.isIPv6
                ? FlowDelta.difference(old: key.address1, new: new.address1) + FlowDelta.difference(old: key.address2, new: new.address2)
                    + FlowDelta.difference(old: key.address3, new: new.address3) : 0)
        let addressesChange = key.address0 != new.address0 || key.address1 != new.address1 || key.address2 != new.address2 || key.address3 != new.address3
        let covers = FlowDelta.coversAddresses(transportProtocol)
        networkDelta = key.isIPv6 ? 0 : FlowDelta.network(old: key.address0, new: new.address0)
        changesTransport = oldPorts != newPorts || covers && addressesChange
        // Zero, and not the other zero, where nothing changes: workers add it whether or not it does.
        transportDelta = changesTransport ? FlowDelta.fold(FlowDelta.difference(old: oldPorts, new: newPorts) + (covers ? addresses : 0)) : 0
    }

    func write(to memory: UnsafeMutableRawPointer, action: UInt32, connection: UInt32, generation: UInt32, tick: UInt32) {
        if key.isIPv6 {
            var entry = FlowEntry6()
            entry.address0 = key.address0
            entry.address1 = key.address1
            entry.address2 = key.address2
            entry.address3 = key.address3
            entry.tuple = key.tuple | owner.word
            entry.encapsulation = key.encapsulation
            entry.generation = generation
            entry.action = action
            entry.connection = connection
            entry.transportDelta = transportDelta
            entry.newPorts = UInt32(truncatingIfNeeded: new.tuple)
            entry.newAddress0 = new.address0
            entry.newAddress1 = new.address1
            entry.newAddress2 = new.address2
            entry.newAddress3 = new.address3
            entry.lastUsed = tick
            memory.initializeMemory(as: FlowEntry6.self, to: entry)
        } else {
            var entry = FlowEntry4()
            entry.addresses = key.address0
            entry.tuple = key.tuple | owner.word
            entry.encapsulation = key.encapsulation
            entry.generation = generation
            entry.newAddresses = new.address0
            entry.newPorts = UInt32(truncatingIfNeeded: new.tuple)
            entry.action = action
            entry.networkDelta = networkDelta
            entry.transportDelta = transportDelta
            entry.connection = connection
            entry.lastUsed = tick
            memory.initializeMemory(as: FlowEntry4.self, to: entry)
        }
    }

    /// Whether the entry at `memory`, of the same key, already says the same.
    func isHeld(by memory: UnsafeMutableRawPointer, action: UInt32, connection: UInt32) -> Bool {
        if key.isIPv6 {
            let entry = memory.assumingMemoryBound(to: FlowEntry6.self)
            return entry.pointee.action == action && entry.pointee.connection == connection && entry.pointee.tuple == key.tuple | owner.word
                && entry.pointee.newPorts == UInt32(truncatingIfNeeded: new.tuple)
                && entry.pointee.newAddress0 == new.address0 && entry.pointee.newAddress1 == new.address1
                && entry.pointee.newAddress2 == new.address2 && entry.pointee.newAddress3 == new.address3
        }
        let entry = memory.assumingMemoryBound(to: FlowEntry4.self)
        return entry.pointee.action == action && entry.pointee.connection == connection && entry.pointee.tuple == key.tuple | owner.word
            && entry.pointee.newPorts == UInt32(truncatingIfNeeded: new.tuple) && entry.pointee.newAddresses == new.address0
    }
}
