// The guards: whether the cached verdict holds for this packet, too.
//
// Invariant: a packet that passes would have had the same verdict, effects and rewrite in the slow path; in doubt it fails.
import Synchronization
import Wire

/// What the NIC verified, from an mbuf's flags.
@frozen public struct VerifiedChecksums: Sendable {
    public var network: Bool
    public var transport: Bool
    @inlinable @inline(__always) public init(network: Bool, transport: Bool) {
        self.network = network
        self.transport = transport
    }
}

/// Where the connections' records lie; the first field of each is its `TCPWindowPair`.
@frozen public struct ConnectionRecords: Sendable {
    public nonisolated(unsafe) var base: UnsafeMutableRawPointer?
    public var stride: Int
    @inlinable public init(base: UnsafeMutableRawPointer?, stride: Int) {
        self.base = base
        self.stride = stride
    }
}

extension FlowProbe {
    /// The first guard that the probe's entry (its key compared already) fails for this packet; `.none` if it may be forwarded.
    /// `isIPv6` is the probe's own.
    @inlinable @inline(__always)
    public static func judge(
        _ probe: UnsafeMutablePointer<FlowProbe>, isIPv6: Bool, action: UnsafePointer<FlowAction>, generation: UInt32, verified: VerifiedChecksums,
        connections: ConnectionRecords, owner: FlowOwner = FlowOwner(worker: 0)
    ) -> FlowGuardReason {
        let network = probe.pointee.network
        let entry = probe.pointee.entry
        let transport = network + (isIPv6 ? 40 : 20)
        let trafficClass: UInt8
        let made: UInt32
        if isIPv6 {
            guard load8(network, 7) > 1 else { return .timeToLive }
            made = entry.atomic32(FlowEntryOffset.generation6).pointee.load(ordering: .relaxed)
            trafficClass = UInt8(truncatingIfNeeded: big16(network, 0) &>> 4)
        } else {
            guard verified.network || Checksum.verifyIPv4Header(network, length: 20) else { return .networkChecksum }
            guard load8(network, 8) > 1 else { return .timeToLive }
            made = entry.atomic32(FlowEntryOffset.generation4).pointee.load(ordering: .relaxed)
            trafficClass = load8(network, 1)
        }
        guard probe.pointee.totalLength <= action.pointee.maximumLength else { return .tooLong }
        guard made == generation else { return .generation }
        let held = FlowProbe.owner(probe, isIPv6: isIPv6)
        guard held == owner.word || held == FlowOwner.shared.word else { return .worker }
        guard trafficClass & action.pointee.guardTrafficClassMask == action.pointee.guardTrafficClassValue else { return .trafficClass }
        let flags = action.pointee.flags
        if flags & FlowAction.Flag.checksTransportChecksum != 0 && !verified.transport {
            guard isTransportChecksumRight(probe, transport) else { return .transportChecksum }
        }
        if probe.pointee.transportProtocol == IPProtocol.tcp {
            guard load8(transport, 13) & action.pointee.tcpFlagsMask == action.pointee.tcpFlagsValue else { return .tcpFlags }
            if flags & FlowAction.Flag.checksTCPWindow != 0 {
                // Last, because it notes an acceptable segment in the connection.
                guard let base = connections.base else { return .tcpWindow }
                let connection = isIPv6
                    ? entry.assumingMemoryBound(to: FlowEntry6.self).pointee.connection : entry.assumingMemoryBound(to: FlowEntry4.self).pointee.connection
                let pair = (base + Int(connection) &* connections.stride).assumingMemoryBound(to: TCPWindowPair.self)
                let length = Int(probe.pointee.totalLength) &- (isIPv6 ? 40 : 20)
                guard TCPWindow.acceptEstablished(pair, header: transport, length: length, direction: flags & FlowAction.Flag.isReply) else { return .tcpWindow }
            }
        }
        return .none
    }

    /// As conntrack checks it: from the transport header to the end of the IP packet.
    @inlinable @inline(never)
    static func isTransportChecksumRight(_ probe: UnsafeMutablePointer<FlowProbe>, _ transport: UnsafeMutableRawPointer) -> Bool {
        let network = probe.pointee.network
        let transportProtocol = probe.pointee.transportProtocol
        let count = Int(probe.pointee.totalLength) &- (transport - network)
        switch transportProtocol {
        case IPProtocol.tcp, IPProtocol.icmpv6:
            break
        case IPProtocol.udp:
            if raw16(transport, 6) == 0 { return true }
        case IPProtocol.icmp:
            return Checksum.fold(Checksum.partial(transport, count)) == 0xffff
        default:
            var parsed = ParsedPacket()
            let packet = PacketBuffer(start: probe.pointee.frame, length: probe.pointee.frameLength)
            return PacketParser.parse(packet, into: &parsed, ipv4ChecksumIsGood: true) == .none && Checksum.verifyTracked(packet, parsed)
        }
        var sum = probe.pointee.isIPv6 ? Checksum.partial(network + 8, 32) : Checksum.partial(network + 12, 8)
        sum = Checksum.add(sum, UInt64(transportProtocol) &+ UInt64(truncatingIfNeeded: count))
        return Checksum.fold(Checksum.partial(transport, count, initial: sum)) == 0xffff
    }
}
