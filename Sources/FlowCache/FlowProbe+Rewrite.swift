// Carrying out an entry on a packet: link header, addresses, ports, TTL, traffic class, checksums; and the entry's counters.
//
// Invariant: the result is byte for byte what rewriting the fields and computing all checksums anew would give (a test
// compares them), and what Linux's csum_replace functions give: RFC 1624 equation 3, UDP's zero kept or sent as 0xffff.
import Synchronization
import Wire

extension FlowProbe {
    /// `checksum` as it lies, after `delta` (see FlowDelta) was added.
    @inlinable @inline(__always) static func adjusted(_ checksum: UInt16, _ delta: UInt16) -> UInt16 {
        let sum = UInt32(~checksum) &+ UInt32(delta)
        return ~UInt16(truncatingIfNeeded: (sum & 0xffff) &+ (sum &>> 16))
    }

    @inlinable @inline(__always) static func store16(_ value: UInt16, _ pointer: UnsafeMutableRawPointer, _ offset: Int) {
        pointer.storeBytes(of: value, toByteOffset: offset, as: UInt16.self)
    }

    /// Rewrites the frame as the entry says. A link header with other tags ends where the old one did, so `frame` may move: the
    /// caller has seen to `maximumTagBytes` of headroom if the action rewrites tags. `isIPv6` is the probe's own.
    @inlinable @inline(__always)
    public static func rewrite(_ probe: UnsafeMutablePointer<FlowProbe>, isIPv6: Bool, action: UnsafePointer<FlowAction>) {
        let network = probe.pointee.network
        let flags = action.pointee.flags
        if flags & FlowAction.Flag.rewritesTags != 0 { rewriteTags(probe, isIPv6: isIPv6, action) }
        let frame = network - Int(probe.pointee.linkLength)
        frame.storeBytes(of: action.pointee.linkHead, toByteOffset: 0, as: UInt64.self)
        frame.storeBytes(of: action.pointee.linkTail, toByteOffset: 8, as: UInt32.self)
        let transport = network + (isIPv6 ? 40 : 20)
        let newPorts: UInt32
        let transportDelta: UInt16
        if isIPv6 {
            let entry = probe.pointee.entry.assumingMemoryBound(to: FlowEntry6.self)
            network.storeBytes(of: entry.pointee.newAddress0, toByteOffset: 8, as: UInt64.self)
            network.storeBytes(of: entry.pointee.newAddress1, toByteOffset: 16, as: UInt64.self)
            network.storeBytes(of: entry.pointee.newAddress2, toByteOffset: 24, as: UInt64.self)
            network.storeBytes(of: entry.pointee.newAddress3, toByteOffset: 32, as: UInt64.self)
            network.storeBytes(of: load8(network, 7) &- 1, toByteOffset: 7, as: UInt8.self)
            newPorts = entry.pointee.newPorts
            transportDelta = entry.pointee.transportDelta
        } else {
            let entry = probe.pointee.entry.assumingMemoryBound(to: FlowEntry4.self)
            network.storeBytes(of: entry.pointee.newAddresses, toByteOffset: 12, as: UInt64.self)
            network.storeBytes(of: load8(network, 8) &- 1, toByteOffset: 8, as: UInt8.self)
            store16(adjusted(raw16(network, 10), entry.pointee.networkDelta), network, 10)
            newPorts = entry.pointee.newPorts
            transportDelta = entry.pointee.transportDelta
        }
        if flags & FlowAction.Flag.rewritesTransport != 0 {
            let transportProtocol = probe.pointee.transportProtocol
            if transportProtocol == IPProtocol.tcp {
                transport.storeBytes(of: newPorts, as: UInt32.self)
                store16(adjusted(raw16(transport, 16), transportDelta), transport, 16)
            } else if transportProtocol == IPProtocol.udp {
                transport.storeBytes(of: newPorts, as: UInt32.self)
                let checksum = raw16(transport, 6)
                if checksum != 0 {
                    let updated = adjusted(checksum, transportDelta)
                    store16(updated == 0 ? 0xffff : updated, transport, 6)
                }
            } else {
                rewriteOtherTransport(transportProtocol, transport, newPorts, transportDelta)
            }
        }
        if flags & FlowAction.Flag.rewritesTrafficClass != 0 { rewriteTrafficClass(network, isIPv6: isIPv6, action) }
    }

    /// What tags and a PPPoE session header can add to a frame, bytes.
    @inlinable @inline(__always) public static var maximumTagBytes: Int { 12 }

    /// The tags, a PPPoE session header, and the EtherType, before the network header; moves the frame's start to where the MAC addresses go.
    @inlinable @inline(never)
    static func rewriteTags(_ probe: UnsafeMutablePointer<FlowProbe>, isIPv6: Bool, _ action: UnsafePointer<FlowAction>) {
        let isSession = action.pointee.vlanCount & PackedFlowKey.pppoe != 0
        let length = 14 &+ 4 &* Int(action.pointee.vlanCount & ~PackedFlowKey.pppoe) &+ (isSession ? PPPoE.headerLength : 0)
        probe.pointee.linkLength = UInt8(truncatingIfNeeded: length)
        let frame = probe.pointee.frame
        if isSession {
            if length > 22 { frame.storeBytes(of: UInt32(truncatingIfNeeded: action.pointee.vlanTags), toByteOffset: 12, as: UInt32.self) }
            let header = length &- PPPoE.headerLength
            store16(etherPPPoE, frame, header &- 2)
            // Version 1, type 1, code 0; session; length with the PPP protocol; PPP protocol.
            store16(0x0011, frame, header)
            store16(UInt16(truncatingIfNeeded: action.pointee.vlanTags &>> 32), frame, header &+ 2)
            store16((probe.pointee.totalLength &+ 2).byteSwapped, frame, header &+ 4)
            store16(isIPv6 ? pppIPv6 : pppIPv4, frame, header &+ 6)
            return
        }
        if length > 14 { frame.storeBytes(of: UInt32(truncatingIfNeeded: action.pointee.vlanTags), toByteOffset: 12, as: UInt32.self) }
        if length > 18 { frame.storeBytes(of: UInt32(truncatingIfNeeded: action.pointee.vlanTags &>> 32), toByteOffset: 16, as: UInt32.self) }
        store16(isIPv6 ? etherIPv6 : etherIPv4, frame, length &- 2)
    }

    @inlinable @inline(never)
    static func rewriteOtherTransport(_ transportProtocol: UInt8, _ transport: UnsafeMutableRawPointer, _ newPorts: UInt32, _ delta: UInt16) {
        switch transportProtocol {
        case IPProtocol.icmp, IPProtocol.icmpv6:
            store16(UInt16(truncatingIfNeeded: newPorts), transport, 4)
            store16(adjusted(raw16(transport, 2), delta), transport, 2)
        case IPProtocol.udplite:
            transport.storeBytes(of: newPorts, as: UInt32.self)
            let updated = adjusted(raw16(transport, 6), delta)
            store16(updated == 0 ? 0xffff : updated, transport, 6)
        case IPProtocol.dccp:
            transport.storeBytes(of: newPorts, as: UInt32.self)
            store16(adjusted(raw16(transport, 6), delta), transport, 6)
        default:
            break
        }
    }

    @inlinable @inline(never)
    static func rewriteTrafficClass(_ network: UnsafeMutableRawPointer, isIPv6: Bool, _ action: UnsafePointer<FlowAction>) {
        let first = raw16(network, 0)
        if isIPv6 {
            let word = first.byteSwapped
            let old = UInt8(truncatingIfNeeded: word &>> 4)
            let new = old & ~action.pointee.trafficClassMask | action.pointee.trafficClassValue
            store16((word & 0xf00f | UInt16(new) &<< 4).byteSwapped, network, 0)
        } else {
            let old = UInt8(truncatingIfNeeded: first &>> 8)
            let new = old & ~action.pointee.trafficClassMask | action.pointee.trafficClassValue
            let changed = first & 0xff | UInt16(new) &<< 8
            let difference = folded(UInt32(~first) &+ UInt32(changed))
            store16(changed, network, 0)
            let updated = adjusted(raw16(network, 10), difference)
            store16(updated == 0 && action.pointee.flags & FlowAction.Flag.writesChecksumLast != 0 ? 0xffff : updated, network, 10)
        }
    }

    @inlinable @inline(__always) static func folded(_ sum: UInt32) -> UInt16 {
        let once = (sum & 0xffff) &+ (sum &>> 16)
        return UInt16(truncatingIfNeeded: (once & 0xffff) &+ (once &>> 16))
    }

    /// Counts the packet in its entry, which `judge` accepted.
    @inlinable @inline(__always) public static func count(_ probe: UnsafeMutablePointer<FlowProbe>, isIPv6: Bool, tick: UInt32) {
        guard owner(probe, isIPv6: isIPv6) == FlowOwner.shared.word else { return countOwn(probe, isIPv6: isIPv6, tick: tick) }
        let entry = probe.pointee.entry
        entry.atomic32(isIPv6 ? FlowEntryOffset.lastUsed6 : FlowEntryOffset.lastUsed4).pointee.store(tick, ordering: .relaxed)
        entry.addShared(
            packets: isIPv6 ? FlowEntryOffset.packets6 : FlowEntryOffset.packets4, bytes: isIPv6 ? FlowEntryOffset.bytes6 : FlowEntryOffset.bytes4,
            UInt64(probe.pointee.totalLength))
    }

    /// The same for an entry of this worker's own: it is the only one that writes these fields.
    @inlinable @inline(__always) static func countOwn(_ probe: UnsafeMutablePointer<FlowProbe>, isIPv6: Bool, tick: UInt32) {
        let entry = probe.pointee.entry
        let bytes = UInt64(probe.pointee.totalLength)
        entry.atomic32(isIPv6 ? FlowEntryOffset.lastUsed6 : FlowEntryOffset.lastUsed4).pointee.store(tick, ordering: .relaxed)
        entry.addRelaxed32(isIPv6 ? FlowEntryOffset.packets6 : FlowEntryOffset.packets4, 1)
        entry.addRelaxed64(isIPv6 ? FlowEntryOffset.bytes6 : FlowEntryOffset.bytes4, bytes)
    }
}
