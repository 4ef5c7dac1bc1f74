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

    /// Rewrites the frame as `entry` says. The link header's tags stay.
    @inlinable @inline(__always) public func rewrite(action: UnsafePointer<FlowAction>) {
        let frame = frame
        frame.storeBytes(of: action.pointee.linkHead, toByteOffset: 0, as: UInt64.self)
        frame.storeBytes(of: action.pointee.linkTail, toByteOffset: 8, as: UInt32.self)
        let transport: UnsafeMutableRawPointer
        let newPorts: UInt32
        let transportDelta: UInt16
        if isIPv6 {
            let entry = entry.assumingMemoryBound(to: FlowEntry6.self)
            network.storeBytes(of: entry.pointee.newAddress0, toByteOffset: 8, as: UInt64.self)
            network.storeBytes(of: entry.pointee.newAddress1, toByteOffset: 16, as: UInt64.self)
            network.storeBytes(of: entry.pointee.newAddress2, toByteOffset: 24, as: UInt64.self)
            network.storeBytes(of: entry.pointee.newAddress3, toByteOffset: 32, as: UInt64.self)
            network.storeBytes(of: FlowProbe.load8(network, 7) &- 1, toByteOffset: 7, as: UInt8.self)
            newPorts = entry.pointee.newPorts
            transportDelta = entry.pointee.transportDelta
            transport = network + 40
        } else {
            let entry = entry.assumingMemoryBound(to: FlowEntry4.self)
            network.storeBytes(of: entry.pointee.newAddresses, toByteOffset: 12, as: UInt64.self)
            network.storeBytes(of: FlowProbe.load8(network, 8) &- 1, toByteOffset: 8, as: UInt8.self)
            FlowProbe.store16(FlowProbe.adjusted(FlowProbe.raw16(network, 10), entry.pointee.networkDelta), network, 10)
            newPorts = entry.pointee.newPorts
            transportDelta = entry.pointee.transportDelta
            transport = network + 20
        }
        let flags = action.pointee.flags
        if flags & FlowAction.Flag.rewritesTransport != 0 {
            if transportProtocol == IPProtocol.tcp {
                transport.storeBytes(of: newPorts, as: UInt32.self)
                FlowProbe.store16(FlowProbe.adjusted(FlowProbe.raw16(transport, 16), transportDelta), transport, 16)
            } else if transportProtocol == IPProtocol.udp {
                transport.storeBytes(of: newPorts, as: UInt32.self)
                let checksum = FlowProbe.raw16(transport, 6)
                if checksum != 0 {
                    let updated = FlowProbe.adjusted(checksum, transportDelta)
                    FlowProbe.store16(updated == 0 ? 0xffff : updated, transport, 6)
                }
            } else {
                rewriteOtherTransport(transport, newPorts, transportDelta)
            }
        }
        if flags & FlowAction.Flag.rewritesTrafficClass != 0 { rewriteTrafficClass(action) }
    }

    @inlinable func rewriteOtherTransport(_ transport: UnsafeMutableRawPointer, _ newPorts: UInt32, _ delta: UInt16) {
        switch transportProtocol {
        case IPProtocol.icmp, IPProtocol.icmpv6:
            FlowProbe.store16(UInt16(truncatingIfNeeded: newPorts), transport, 4)
            FlowProbe.store16(FlowProbe.adjusted(FlowProbe.raw16(transport, 2), delta), transport, 2)
        case IPProtocol.udplite:
            transport.storeBytes(of: newPorts, as: UInt32.self)
            let updated = FlowProbe.adjusted(FlowProbe.raw16(transport, 6), delta)
            FlowProbe.store16(updated == 0 ? 0xffff : updated, transport, 6)
        case IPProtocol.dccp:
            transport.storeBytes(of: newPorts, as: UInt32.self)
            FlowProbe.store16(FlowProbe.adjusted(FlowProbe.raw16(transport, 6), delta), transport, 6)
        default:
            break
        }
    }

    @inlinable func rewriteTrafficClass(_ action: UnsafePointer<FlowAction>) {
        let first = FlowProbe.raw16(network, 0)
        if isIPv6 {
            let word = first.byteSwapped
            let old = UInt8(truncatingIfNeeded: word &>> 4)
            let new = old & ~action.pointee.trafficClassMask | action.pointee.trafficClassValue
            FlowProbe.store16((word & 0xf00f | UInt16(new) &<< 4).byteSwapped, network, 0)
        } else {
            let old = UInt8(truncatingIfNeeded: first &>> 8)
            let new = old & ~action.pointee.trafficClassMask | action.pointee.trafficClassValue
            let changed = first & 0xff | UInt16(new) &<< 8
            let difference = FlowProbe.folded(UInt32(~first) &+ UInt32(changed))
            FlowProbe.store16(changed, network, 0)
            FlowProbe.store16(FlowProbe.adjusted(FlowProbe.raw16(network, 10), difference), network, 10)
        }
    }

    @inlinable @inline(__always) static func folded(_ sum: UInt32) -> UInt16 {
        let once = (sum & 0xffff) &+ (sum &>> 16)
        return UInt16(truncatingIfNeeded: (once & 0xffff) &+ (once &>> 16))
    }

    /// Counts the packet in its entry: this worker is the only one that writes these fields.
    @inlinable @inline(__always) public func count(tick: UInt32) {
        if isIPv6 {
            entry.atomic32(FlowEntryOffset.lastUsed6).pointee.store(tick, ordering: .relaxed)
            entry.addRelaxed32(FlowEntryOffset.packets6, 1)
            entry.addRelaxed64(FlowEntryOffset.bytes6, UInt64(totalLength))
        } else {
            entry.atomic32(FlowEntryOffset.lastUsed4).pointee.store(tick, ordering: .relaxed)
            entry.addRelaxed32(FlowEntryOffset.packets4, 1)
            entry.addRelaxed64(FlowEntryOffset.bytes4, UInt64(totalLength))
        }
    }
}
