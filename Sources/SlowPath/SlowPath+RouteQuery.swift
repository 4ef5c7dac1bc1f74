// What the routing decision is told of a packet, and which next hop of several its flow takes.
//
// Sources: net/ipv4/route.c (ip_route_input_slow, fib_multipath_hash, ip_multipath_l3_keys), net/ipv6/route.c (rt6_multipath_hash).
import Policy
import Routing
import Wire

extension SlowPath {
    /// The packet as rules of policy routing see it.
    mutating func routeQuery(_ transit: inout Transit) -> RouteQuery {
        var query = RouteQuery(to: transit.context.parsed.destinationAddress, link: transit.ingress)
        query.ingress = transit.ingress
        query.source = transit.context.parsed.sourceAddress
        query.mark = transit.context.mark
        query.transportProtocol = transit.context.parsed.transportProtocol
        if transit.context.parsed.flags.contains(.hasPorts) {
            query.sourcePort = transit.context.parsed.sourcePort
            query.destinationPort = transit.context.parsed.destinationPort
        }
        query.flowHash = flowHash(transit.context.packet, transit.context.parsed)
        return query
    }

    /// Chooses among next hops of equal worth: the same for both directions of a flow, and for ICMP errors about it.
    private mutating func flowHash(_ packet: PacketBuffer, _ parsed: ParsedPacket) -> UInt32 {
        if let quoted = quotedAddresses(packet, parsed) { return Router.flowHash(quoted.source, quoted.destination, seed: settings.seed) }
        var ports: UInt64 = 0
        if settings.hashesPorts, parsed.flags.contains(.hasPorts), !parsed.flags.contains(.isFragment) {
            let low = UInt64(min(parsed.sourcePort, parsed.destinationPort)), high = UInt64(max(parsed.sourcePort, parsed.destinationPort))
            ports = UInt64(parsed.transportProtocol) << 32 | high << 16 | low
        }
        return Router.flowHash(parsed.sourceAddress, parsed.destinationAddress, ports: ports, seed: settings.seed)
    }

    /// The addresses of the packet that an ICMP error quotes.
    private func quotedAddresses(_ packet: PacketBuffer, _ parsed: ParsedPacket) -> (source: IPAddress, destination: IPAddress)? {
        guard let family = parsed.family, !parsed.flags.contains(.isLaterFragment) else { return nil }
        let inner = Int(parsed.transportOffset) + 8
        switch (family, parsed.transportProtocol) {
        case (.ipv4, IPProtocol.icmp):
            guard parsed.transportLength >= 28 else { return nil }
            switch packet.load8(inner - 8) {
            case 3, 5, 11, 12: return (IPAddress(ipv4: packet.load32(inner + 12)), IPAddress(ipv4: packet.load32(inner + 16)))
            default: return nil
            }
        case (.ipv6, IPProtocol.icmpv6):
            guard parsed.transportLength >= 48 else { return nil }
            switch packet.load8(inner - 8) {
            case 1 ... 4:
                return (IPAddress(ipv6High: packet.load64(inner + 8), low: packet.load64(inner + 16)),
                        IPAddress(ipv6High: packet.load64(inner + 24), low: packet.load64(inner + 32)))
            default: return nil
            }
        default: return nil
        }
    }
}
