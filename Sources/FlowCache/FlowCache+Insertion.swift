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
              description.key.vlanCount <= 2 else {
            events.refusedUnsupported += 1
            return nil
        }
        var table = key.isIPv6 ? ipv6 : ipv4
        let handle = insert(description, key, &table, now)
        if key.isIPv6 { ipv6 = table } else { ipv4 = table }
        return handle
    }

    private mutating func insert(_ description: FlowDescription, _ key: PackedFlowKey, _ table: inout FlowTable, _ now: Timestamp) -> FlowHandle? {
        let rewrite = FlowEntryRewrite(description, key: key)
        guard let rewrite else {
            events.refusedUnsupported += 1
            return nil
        }
        guard let action = actionTable.retain(FlowAction(description, rewritesTransport: rewrite.changesTransport)) else {
            events.refusedActionTableFull += 1
            return nil
        }
        let hash = seeds.hash(key)
        let family: UInt32 = key.isIPv6 ? 1 << 31 : 0
        let existing = table.view.find(key, hash: hash)
        if existing >= 0 && table.records[existing].creditList == description.creditList
            && rewrite.isHeld(by: table.view.entry(slot: existing), action: action, connection: description.connection) {
            // Release, pairs with nothing that matters: a worker that reads the older value takes the slow path once more.
            table.generation(existing).pointee.store(generation, ordering: .releasing)
            actionTable.release(action)
            events.refreshed += 1
            return FlowHandle(slot: UInt32(existing) | family, generation: table.records[existing].generation)
        }
        guard table.count < table.capacity || existing >= 0, let place = table.freeSlot(for: hash) else {
            actionTable.release(action)
            events.refusedTableFull += 1
            return nil
        }
        rewrite.write(
            to: table.view.entry(slot: place.slot), action: action, connection: description.connection, generation: generation,
            tick: FlowCache.tick(now))
        table.records[place.slot].creditList = description.creditList
        table.records[place.slot].sweptPackets = 0
        table.records[place.slot].sweptBytes = 0
        table.publish(slot: place.slot, level: place.level, hash: hash)
        if existing >= 0 {
            table.retire(slot: existing, hash: hash)
            events.replaced += 1
        } else {
            events.inserted += 1
        }
        return FlowHandle(slot: UInt32(place.slot) | family, generation: table.records[place.slot].generation)
    }

    /// Withdraws an entry: no worker that starts a burst after this finds it. Its last counts come from `endGracePeriod`.
    /// False if `handle` is not of a visible entry.
    @discardableResult
    public mutating func remove(_ handle: FlowHandle) -> Bool {
        guard isLive(handle) else { return false }
        let slot = Int(handle.slot & 0x7fff_ffff)
        if handle.isIPv6 {
            ipv6.retire(slot: slot, hash: seeds.hash(ipv6.key(slot)))
        } else {
            ipv4.retire(slot: slot, hash: seeds.hash(ipv4.key(slot)))
        }
        events.removed += 1
        return true
    }
}

/// The part of an entry that follows from key and rewrite, before it is known where it will live.
struct FlowEntryRewrite {
    let key: PackedFlowKey
    let new: PackedFlowKey
    let networkDelta: UInt16
    let transportDelta: UInt16
    let changesTransport: Bool

    /// nil if workers cannot do this rewrite.
    init?(_ description: FlowDescription, key: PackedFlowKey) {
        self.key = key
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
            entry.tuple = key.tuple
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
            entry.tuple = key.tuple
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
            return entry.pointee.action == action && entry.pointee.connection == connection
                && entry.pointee.newPorts == UInt32(truncatingIfNeeded: new.tuple)
                && entry.pointee.newAddress0 == new.address0 && entry.pointee.newAddress1 == new.address1
                && entry.pointee.newAddress2 == new.address2 && entry.pointee.newAddress3 == new.address3
        }
        let entry = memory.assumingMemoryBound(to: FlowEntry4.self)
        return entry.pointee.action == action && entry.pointee.connection == connection
            && entry.pointee.newPorts == UInt32(truncatingIfNeeded: new.tuple) && entry.pointee.newAddresses == new.address0
    }
}
