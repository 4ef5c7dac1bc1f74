// Where the packets go that the cache does not forward: dropped under a reason, or up by class.
//
// Invariant: Wire's parser alone says that a packet is malformed. A packet that is only unusual goes up; the slow path decides.
import DPDK
import FlowCache
import Wire

extension Worker {
    /// Deals with a frame that `FlowProbe.read` does not take. True if it can be cached all the same: then its probe stands at
    /// `place` and the caller goes on with it.
    @inline(never)
    mutating func takeOdd(_ packet: Mbuf, _ input: UnsafeMutablePointer<InputState>, place: Int) -> Bool {
        let port = input.pointee.port
        packet.port = port
        guard packet.length >= 14 else {
            drop(packet, .frameTooShort)
            return false
        }
        let frame = packet.data
        let destination = frame.loadUnaligned(as: UInt64.self) & 0xffff_ffff_ffff
        // The group bit is the lowest of the first byte on the wire.
        if destination & 1 != 0 {
            punt(packet, .control)
            return false
        }
        guard destination == input.pointee.address else {
            drop(packet, .notForUs)
            return false
        }
        guard packet.segmentCount == 1 else {
            statistics.add(guard: .multipleSegments)
            punt(packet, .newFlow)
            return false
        }
        var parsed = ParsedPacket()
        let flags = packet.offloadFlags
        let isGood = flags.contains(.ipChecksumGood) && !flags.contains(.ipChecksumBad)
        let reason = PacketParser.parse(packet.packetBuffer, into: &parsed, ipv4ChecksumIsGood: isGood)
        guard reason == .none else {
            drop(packet, reason)
            return false
        }
        guard parsed.family != nil else {
            if parsed.etherType == EtherType.arp { punt(packet, .control) } else { drop(packet, .unknownEtherType) }
            return false
        }
        if parsed.transportProtocol == IPProtocol.icmpv6, parsed.icmpType >= 133, parsed.icmpType <= 137, !parsed.flags.contains(.isFragment) {
            punt(packet, .control)
            return false
        }
        if let probe = FlowProbe(parsed: parsed, frame: frame, ingress: port, seeds: reader.seeds) {
            (probes + place).initialize(to: probe)
            return true
        }
        if parsed.flags.contains(.isFragment) {
            statistics.add(guard: .fragment)
        } else if parsed.flags.contains(.hasOptions) {
            statistics.add(guard: .options)
        } else if parsed.flags.contains(.transportMalformed) {
            statistics.add(guard: .transportMalformed)
        } else {
            statistics.add(guard: .notAFlow)
        }
        punt(packet, .newFlow)
        return false
    }

    @inline(never)
    mutating func drop(_ packet: Mbuf, _ reason: DropReason) {
        statistics.add(drop: reason)
        packet.free()
    }

    /// Puts a packet among those that go up at the end of the burst.
    @inline(__always)
    mutating func punt(_ packet: Mbuf, _ puntClass: PuntClass) {
        let state = punts + Int(puntClass.rawValue)
        state.pointee.packets[state.pointee.count] = packet.raw
        state.pointee.count &+= 1
    }
}
