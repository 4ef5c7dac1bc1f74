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
    /// The first guard that `entry` (its key compared already) fails for this packet; `.none` if it may be forwarded.
    @inlinable @inline(__always)
    public func judge(action: UnsafePointer<FlowAction>, generation: UInt32, verified: VerifiedChecksums, connections: ConnectionRecords) -> FlowGuardReason {
        let transport: UnsafeMutableRawPointer
        let trafficClass: UInt8
        let made: UInt32
        if isIPv6 {
            guard FlowProbe.load8(network, 7) > 1 else { return .timeToLive }
            made = entry.atomic32(FlowEntryOffset.generation6).pointee.load(ordering: .relaxed)
            trafficClass = UInt8(truncatingIfNeeded: FlowProbe.big16(network, 0) &>> 4)
            transport = network + 40
        } else {
            guard verified.network || Checksum.verifyIPv4Header(network, length: 20) else { return .networkChecksum }
            guard FlowProbe.load8(network, 8) > 1 else { return .timeToLive }
            made = entry.atomic32(FlowEntryOffset.generation4).pointee.load(ordering: .relaxed)
            trafficClass = FlowProbe.load8(network, 1)
            transport = network + 20
        }
        guard totalLength <= action.pointee.maximumLength else { return .tooLong }
        guard made == generation else { return .generation }
        guard trafficClass & action.pointee.guardTrafficClassMask == action.pointee.guardTrafficClassValue else { return .trafficClass }
        let flags = action.pointee.flags
        if flags & FlowAction.Flag.checksTransportChecksum != 0 && !verified.transport {
            guard isTransportChecksumRight(transport) else { return .transportChecksum }
        }
        if transportProtocol == IPProtocol.tcp {
            guard FlowProbe.load8(transport, 13) & action.pointee.tcpFlagsMask == action.pointee.tcpFlagsValue else { return .tcpFlags }
            if flags & FlowAction.Flag.checksTCPWindow != 0 {
                // Last, because it notes an acceptable segment in the connection.
                guard let base = connections.base else { return .tcpWindow }
                let connection = isIPv6
                    ? entry.assumingMemoryBound(to: FlowEntry6.self).pointee.connection : entry.assumingMemoryBound(to: FlowEntry4.self).pointee.connection
                let pair = (base + Int(connection) &* connections.stride).assumingMemoryBound(to: TCPWindowPair.self)
                let segment = TCPSegment(header: transport, length: Int(totalLength) &- (transport - network))
                guard TCPWindow.acceptEstablished(pair, segment, direction: flags & FlowAction.Flag.isReply) else { return .tcpWindow }
            }
        }
        return .none
    }

    /// As conntrack checks it: from the transport header to the end of the IP packet.
    @inlinable func isTransportChecksumRight(_ transport: UnsafeMutableRawPointer) -> Bool {
        let headerLength = transport - network
        let count = Int(totalLength) &- headerLength
        var sum: UInt64 = 0
        switch transportProtocol {
        case IPProtocol.tcp, IPProtocol.icmpv6:
            break
        case IPProtocol.udp:
            if FlowProbe.raw16(transport, 6) == 0 { return true }
        case IPProtocol.icmp:
            return Checksum.fold(Checksum.partial(transport, count)) == 0xffff
        default:
            var parsed = ParsedPacket()
            let packet = PacketBuffer(start: frame, length: frameLength)
            return PacketParser.parse(packet, into: &parsed, ipv4ChecksumIsGood: true) == .none && Checksum.verifyTransport(packet, parsed)
        }
        sum = isIPv6 ? Checksum.partial(network + 8, 32) : Checksum.partial(network + 12, 8)
        sum = Checksum.add(sum, UInt64(transportProtocol) &+ UInt64(count))
        return Checksum.fold(Checksum.partial(transport, count, initial: sum)) == 0xffff
    }
}
