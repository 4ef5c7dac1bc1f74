// Where the packets go that the cache does not forward: dropped under a reason, or up by class.
//
// Invariant: Wire's parser alone says that a packet is malformed. A packet that is only unusual goes up; the slow path decides. Of
// a port with netdev chains everything goes up, since such a chain sees what no IP input would take.
import DPDK
import FlowCache
import Wire

extension Worker {
    /// Deals with a frame that is not plain TCP or UDP for this port: a place among the burst's probes, or its end.
    @inline(never)
    mutating func takeOdd(_ packet: Mbuf, _ burst: UnsafeMutablePointer<BurstState>) {
        let input = burst.pointee.input
        let port = input.pointee.port
        packet.port = port
        guard packet.length >= 14 else { return drop(packet, .frameTooShort) }
        let frame = packet.data
        if !tagged.isEmpty { countArrival(packet, port: port) }
        let destination = frame.loadUnaligned(as: UInt64.self) & 0xffff_ffff_ffff
        // The group bit is the lowest of the first byte on the wire.
        if destination & 1 != 0 { return punt(packet, .control, burst) }
        guard destination == input.pointee.address else { return reader.watches(port) ? punt(packet, .control, burst) : drop(packet, .notForUs) }
        guard packet.segmentCount == 1 else {
            statistics.add(guard: .multipleSegments)
            return punt(packet, .newFlow, burst)
        }
        if packet.length >= 42, FlowProbe.readGeneral(frame, length: packet.length, ingress: port, seeds: reader.seeds, into: burst.pointee.ipv4.probes + burst.pointee.ipv4.count) {
            return take(packet, burst.pointee.ipv4.probes[burst.pointee.ipv4.count], burst)
        }
        var parsed = ParsedPacket()
        let flags = packet.offloadFlags
        let isGood = flags.contains(.ipChecksumGood) && !flags.contains(.ipChecksumBad)
        let reason = PacketParser.parse(packet.packetBuffer, into: &parsed, ipv4ChecksumIsGood: isGood)
        guard reason == .none else { return reader.watches(port) ? punt(packet, .control, burst) : drop(packet, reason) }
        guard parsed.family != nil else {
            if parsed.etherType == EtherType.pppoeSession { return punt(packet, .newFlow, burst) }
            return parsed.etherType == EtherType.arp || reader.watches(port) ? punt(packet, .control, burst) : drop(packet, .unknownEtherType)
        }
        if parsed.transportProtocol == IPProtocol.icmpv6, parsed.icmpType >= 133, parsed.icmpType <= 137, !parsed.flags.contains(.isFragment) {
            return punt(packet, .control, burst)
        }
        if let probe = FlowProbe(parsed: parsed, frame: frame, ingress: port, seeds: reader.seeds) { return take(packet, probe, burst) }
        if parsed.flags.contains(.isFragment) {
            statistics.add(guard: .fragment)
        } else if parsed.flags.contains(.hasOptions) {
            statistics.add(guard: .options)
        } else if parsed.flags.contains(.transportMalformed) {
            statistics.add(guard: .transportMalformed)
        } else {
            statistics.add(guard: .notAFlow)
        }
        punt(packet, .newFlow, burst)
    }

    /// A place among its family's probes for a packet that was read the long way.
    private mutating func take(_ packet: Mbuf, _ probe: FlowProbe, _ burst: UnsafeMutablePointer<BurstState>) {
        if probe.isIPv6 { Worker.append(packet, probe, to: &burst.pointee.ipv6, reader.ipv6) } else { Worker.append(packet, probe, to: &burst.pointee.ipv4, reader.ipv4) }
    }

    private static func append(_ packet: Mbuf, _ probe: FlowProbe, to lane: inout ProbeLane, _ view: FlowTableView) {
        (lane.probes + lane.count).initialize(to: probe)
        request(lane.probes + lane.count, view)
        lane.packets[lane.count] = packet.raw
        lane.count &+= 1
        if probe.transportProtocol == IPProtocol.tcp { lane.hasTCP = true }
    }

    @inline(never)
    mutating func drop(_ packet: Mbuf, _ reason: DropReason) {
        statistics.add(drop: reason)
        packet.free()
    }

    /// Puts a packet among those that go up at the end of the burst.
    @inline(__always)
    mutating func punt(_ packet: Mbuf, _ puntClass: PuntClass, _ burst: UnsafeMutablePointer<BurstState>) {
        let state = burst.pointee.punts + Int(puntClass.rawValue)
        state.pointee.packets[state.pointee.count] = packet.raw
        state.pointee.count &+= 1
    }
}
