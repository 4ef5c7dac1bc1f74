// Loads from packets inside tunnels: VXLAN, Geneve, GRE and GRE with Ethernet.
//
// Invariant: the inner headers are looked for anew at each load, so nothing about them is kept; a byte is read only below
// `layer.end`. Source: nft_inner.c.
import Wire

/// What carries the inner packet.
enum TunnelKind: UInt8 {
    case vxlan, geneve, gre, gretap
}

/// What is loaded from the inner packet.
enum TunnelField: UInt8 {
    /// From the tunnel's own header.
    case header, link, network, transport
    case family, networkProtocol, transportProtocol
}

/// Inner offsets from the frame's start; -1 for what is not there.
private struct InnerPacket {
    var header = -1
    var link = -1
    var network = -1
    var transport = -1
    var etherType: UInt16 = 0
    var transportProtocol: UInt8 = 0
    var hasTransport = false
}

extension Program {
    /// b = field, value = tunnel kind, x = offset, length; second = EtherType << 16 | transport protocol + 1 that the inner
    /// packet has to have, 0 for any.
    func loadTunnel(_ pc: UnsafePointer<Instruction>, _ context: inout PacketContext) -> Bool {
        context.walk?.pointee.refuse(.payload, rule: pc.pointee.rule)
        guard let kind = TunnelKind(rawValue: UInt8(truncatingIfNeeded: pc.pointee.value)), let inner = locateInner(kind, &context) else { return false }
        let wantedType = UInt16(truncatingIfNeeded: pc.pointee.second >> 16), wantedProtocol = UInt16(truncatingIfNeeded: pc.pointee.second)
        guard wantedType == 0 || wantedType == inner.etherType,
              wantedProtocol == 0 || (inner.transport >= 0 && wantedProtocol == UInt16(inner.transportProtocol) &+ 1) else { return false }
        let start: Int
        let target = Int(pc.pointee.a), length = Int(pc.pointee.length)
        switch TunnelField(rawValue: pc.pointee.b).unsafelyUnwrapped {
        case .header: start = inner.header
        case .link: start = inner.link
        case .network: start = inner.network
        case .transport: start = inner.hasTransport ? inner.transport : -1
        case .family:
            guard inner.network >= 0 else { return false }
            scratch.setNumber(inner.etherType == EtherType.ipv4 ? 2 : 10, target, length)
            return true
        case .networkProtocol:
            scratch.setNumber(UInt64(inner.etherType), target, length)
            return true
        case .transportProtocol:
            guard inner.hasTransport else { return false }
            scratch.setNumber(UInt64(inner.transportProtocol), target, length)
            return true
        }
        let offset = start &+ Int(pc.pointee.x)
        guard start >= 0, offset &+ length <= context.layer.end else { return false }
        (scratch + target).copyMemory(from: context.packet.start + offset, byteCount: length)
        return true
    }

    private func locateInner(_ kind: TunnelKind, _ context: inout PacketContext) -> InnerPacket? {
        let layer = context.layer, packet = context.packet
        guard layer.isValid, layer.fragmentOffset == 0 else { return nil }
        var inner = InnerPacket()
        var start: Int
        var hasLink = true
        switch kind {
        case .vxlan, .geneve:
            guard layer.transportProtocol == IPProtocol.udp, layer.offset &+ 16 <= layer.end else { return nil }
            inner.header = layer.offset &+ 8
            start = inner.header &+ 8
            if kind == .geneve { start &+= Int(packet.load8(inner.header) & 0x3f) &* 4 }
        case .gre, .gretap:
            guard layer.transportProtocol == IPProtocol.gre, layer.offset &+ 4 <= layer.end else { return nil }
            inner.header = layer.offset
            let flags = packet.load16(layer.offset)
            guard flags & 7 == 0 else { return nil }
            start = layer.offset &+ 4
            if flags & 0x8000 != 0 { start &+= 4 }
            if flags & 0x2000 != 0 { start &+= 4 }
            if flags & 0x1000 != 0 { start &+= 4 }
            inner.etherType = packet.load16(layer.offset &+ 2)
            hasLink = kind == .gretap
        }
        if hasLink {
            guard start &+ 14 <= layer.end else { return nil }
            inner.link = start
            inner.etherType = packet.load16(start &+ 12)
            start &+= 14
            if inner.etherType == EtherType.vlan {
                guard start &+ 4 <= layer.end else { return nil }
                inner.etherType = packet.load16(start &+ 2)
                start &+= 4
            }
        }
        switch inner.etherType {
        case EtherType.ipv4:
            guard start &+ 20 <= layer.end, packet.load8(start) >> 4 == 4 else { return nil }
            let header = Int(packet.load8(start) & 15) &* 4
            let total = Int(packet.load16(start &+ 2))
            guard header >= 20, total >= header, start &+ total <= layer.end else { return nil }
            inner.network = start
            inner.transport = start &+ header
            inner.transportProtocol = packet.load8(start &+ 9)
            inner.hasTransport = packet.load16(start &+ 6) & 0x1fff == 0
        case EtherType.ipv6:
            guard start &+ 40 <= layer.end, packet.load8(start) >> 4 == 6 else { return nil }
            let found = IPv6Headers.find(packet, network: start, end: layer.end, target: nil)
            guard found.header >= 0 else { return nil }
            inner.network = start
            inner.transport = found.offset
            inner.transportProtocol = UInt8(truncatingIfNeeded: found.header)
            inner.hasTransport = found.fragmentOffset == 0
        default: break
        }
        return inner
    }
}
