// The most frequent packets' way through an entry: one look at everything that could speak against it, then the rewrite
// without a question. Whatever fails the look goes the long way (FlowProbe+Guards, FlowProbe+Rewrite), which decides.
//
// Invariant: `acceptPlain` says yes only where the entry is the packet's and `judge` says `.none`, and then `rewritePlain`
// leaves the same bytes as `rewrite` (a test holds them to it).
import Synchronization
import Wire

extension FlowProbe {
    /// The action of this packet, its checksums verified by the NIC, if it is TCP or UDP and may be forwarded as its entry says;
    /// nil says only that the long way decides. Notes an acceptable TCP segment in its connection. Up to the 14th byte of the transport header is read, which lies in an mbuf's
    /// data room whatever the packet's length; the caller has fenced since it saw the entry's tag.
    @inlinable @inline(__always)
    public static func acceptPlain(
        _ probe: UnsafeMutablePointer<FlowProbe>, isIPv6: Bool, actions: UnsafePointer<FlowAction>, generation: UInt32, connections: ConnectionRecords,
        owner: FlowOwner = FlowOwner(worker: 0)
    ) -> UnsafePointer<FlowAction>? {
        let network = probe.pointee.network
        let entry = probe.pointee.entry
        let transportProtocol = probe.pointee.transportProtocol
        guard entry != network, transportProtocol == IPProtocol.udp || transportProtocol == IPProtocol.tcp else { return nil }
        let transport = network + (isIPv6 ? 40 : 20)
        // Relaxed: a worker that reads the older generation takes the slow path once more.
        let made = entry.atomic64(isIPv6 ? FlowEntryOffset.encapsulation6 : FlowEntryOffset.encapsulation4).pointee.load(ordering: .relaxed)
        var difference = made ^ (UInt64(probe.pointee.encapsulation) | UInt64(generation) &<< 32)
        let trafficClass: UInt8
        let timeToLive: UInt8
        if isIPv6 {
            let entry = entry.assumingMemoryBound(to: FlowEntry6.self)
            difference |= entry.pointee.tuple ^ (probe.pointee.tuple | owner.word)
            difference |= entry.pointee.address0 ^ raw64(network, 8)
            difference |= entry.pointee.address1 ^ raw64(network, 16)
            difference |= entry.pointee.address2 ^ raw64(network, 24)
            difference |= entry.pointee.address3 ^ raw64(network, 32)
            trafficClass = UInt8(truncatingIfNeeded: big16(network, 0) &>> 4)
            timeToLive = load8(network, 7)
        } else {
            let entry = entry.assumingMemoryBound(to: FlowEntry4.self)
            difference |= entry.pointee.tuple ^ (probe.pointee.tuple | owner.word)
            difference |= entry.pointee.addresses ^ raw64(network, 12)
            trafficClass = load8(network, 1)
            timeToLive = load8(network, 8)
        }
        guard difference == 0 else { return nil }
        let action = actions + FlowProbe.action(probe, isIPv6: isIPv6)
        let guarded = UnsafeRawPointer(action)
        let bytes = UInt16(trafficClass) | UInt16(load8(transport, 13)) &<< 8
        guard bytes & guarded.load(fromByteOffset: FlowAction.guardMaskOffset, as: UInt16.self)
                == guarded.load(fromByteOffset: FlowAction.guardValueOffset, as: UInt16.self) else { return nil }
        guard timeToLive > 1, probe.pointee.totalLength <= action.pointee.maximumLength else { return nil }
        let flags = action.pointee.flags
        guard flags & (FlowAction.Flag.isNotPlain | FlowAction.Flag.checksTCPWindow) != 0 else { return action }
        guard flags & FlowAction.Flag.isNotPlain == 0, transportProtocol == IPProtocol.tcp, let base = connections.base else { return nil }
        let connection = isIPv6
            ? entry.assumingMemoryBound(to: FlowEntry6.self).pointee.connection : entry.assumingMemoryBound(to: FlowEntry4.self).pointee.connection
        let pair = (base + Int(connection) &* connections.stride).assumingMemoryBound(to: TCPWindowPair.self)
        let length = Int(probe.pointee.totalLength) &- (isIPv6 ? 40 : 20)
        return TCPWindow.acceptEstablished(pair, header: transport, length: length, direction: flags & FlowAction.Flag.isReply) ? action : nil
    }

    /// Rewrites and counts a TCP or UDP packet that `acceptPlain` accepted.
    @inlinable @inline(__always)
    public static func rewritePlain(_ probe: UnsafeMutablePointer<FlowProbe>, isIPv6: Bool, action: UnsafePointer<FlowAction>, tick: UInt32) {
        let network = probe.pointee.network
        let entry = probe.pointee.entry
        let frame = network - Int(probe.pointee.linkLength)
        frame.storeBytes(of: action.pointee.linkHead, toByteOffset: 0, as: UInt64.self)
        frame.storeBytes(of: action.pointee.linkTail, toByteOffset: 8, as: UInt32.self)
        let transport = network + (isIPv6 ? 40 : 20)
        let newPorts: UInt32
        let delta: UInt16
        if isIPv6 {
            let entry = entry.assumingMemoryBound(to: FlowEntry6.self)
            network.storeBytes(of: entry.pointee.newAddress0, toByteOffset: 8, as: UInt64.self)
            network.storeBytes(of: entry.pointee.newAddress1, toByteOffset: 16, as: UInt64.self)
            network.storeBytes(of: entry.pointee.newAddress2, toByteOffset: 24, as: UInt64.self)
            network.storeBytes(of: entry.pointee.newAddress3, toByteOffset: 32, as: UInt64.self)
            network.storeBytes(of: load8(network, 7) &- 1, toByteOffset: 7, as: UInt8.self)
            newPorts = entry.pointee.newPorts
            delta = entry.pointee.transportDelta
        } else {
            let entry = entry.assumingMemoryBound(to: FlowEntry4.self)
            network.storeBytes(of: entry.pointee.newAddresses, toByteOffset: 12, as: UInt64.self)
            network.storeBytes(of: load8(network, 8) &- 1, toByteOffset: 8, as: UInt8.self)
            store16(adjusted(raw16(network, 10), entry.pointee.networkDelta), network, 10)
            newPorts = entry.pointee.newPorts
            delta = entry.pointee.transportDelta
        }
        transport.storeBytes(of: newPorts, as: UInt32.self)
        if probe.pointee.transportProtocol == IPProtocol.udp {
            let checksum = raw16(transport, 6)
            if checksum != 0 {
                let updated = adjusted(checksum, delta)
                store16(updated == 0 ? 0xffff : updated, transport, 6)
            }
        } else {
            store16(adjusted(raw16(transport, 16), delta), transport, 16)
        }
        countOwn(probe, isIPv6: isIPv6, tick: tick)
    }
}
