// From the wire to the routing decision: link layer, IP input, prerouting, then local delivery or forwarding.
//
// Sources: net/ipv4/ip_input.c (ip_rcv_core, ip_rcv_finish), net/ipv4/route.c (ip_route_input_slow),
// net/ipv6/ip6_input.c, RFC 1812 section 5.3.7 (martians).
import FlowCache
import Policy
import Routing
import Wire

extension SlowPath {
    mutating func receive(_ transit: inout Transit) -> Disposition {
        var defect = PacketParser.parse(transit.packet, into: &transit.context.parsed)
        guard defect != .frameTooShort, defect != .frameTooLong, defect != .vlanTruncated else { return .dropped(defect) }
        transit.context.packetType = packetType(&transit)
        if hasLinkHooks, let ended = runIngressChains(&transit, &defect) { return ended }
        guard defect == .none || (hasLinkHooks && defect != .vlanTooDeep && transit.parsed.vlanCount > 0) else { return .dropped(defect) }
        transit.arrivalKey = FlowKey(parsed: transit.parsed, ingress: transit.ingress)
        let arrival = (parsed: transit.parsed, port: transit.ingress)
        if let ended = enterVLAN(&transit) { return ended }
        if transit.parsed.etherType == EtherType.pppoeSession, let ended = enterPPPoE(&transit, arrival.parsed, port: arrival.port) { return ended }
        guard transit.context.packetType != PacketType.otherHost else { return .dropped(.notForUs) }
        guard transit.parsed.family != nil else {
            return transit.parsed.etherType == EtherType.arp ? receiveARP(&transit) : .dropped(.unknownEtherType)
        }
        trimPadding(&transit)
        if let ended = checkHopByHop(&transit) { return ended }
        transit.arrivalTCPFlags = transit.parsed.tcpFlags
        transit.arrivalTrafficClass = transit.parsed.trafficClass
        transit.arrivalTimeToLive = transit.parsed.timeToLive
        if let ended = runHook(.prerouting, &transit) { return ended }
        return route(&transit)
    }

    /// The routing decision, and what follows from it.
    mutating func route(_ transit: inout Transit) -> Disposition {
        let family = transit.context.parsed.family
        let martian = router.checkIngress(source: transit.context.parsed.sourceAddress, destination: transit.context.parsed.destinationAddress)
        guard martian == .none else { return .dropped(martian) }
        var result = router.route(routeQuery(&transit))
        // From nobody to nobody is to everybody (ip_route_input_slow).
        if family == .ipv4, transit.context.parsed.destinationAddress.isUnspecified { result.kind = .broadcast }
        if let ended = receiveOptions(&transit) { return ended }
        switch result.kind {
        case .local, .broadcast: return input(&transit)
        case .multicast: return router.interfaces.isMember(of: transit.context.parsed.destinationAddress, port: transit.ingress) ? input(&transit) : .dropped(.multicastDestination)
        case .unicast:
            guard transit.context.packetType == PacketType.host else { return .dropped(.notForUs) }
            apply(result, &transit)
            return forward(&transit)
        case .none, .throw:
            sendError(.networkUnreachable(family ?? .ipv4), about: transit)
            return .dropped(.noRoute)
        case .unreachable:
            // Linux's IPv6 does not tell such a route from none (ip6_pkt_discard).
            sendError(family == .ipv6 ? .networkUnreachable(.ipv6) : .hostUnreachable(.ipv4), about: transit)
            return .dropped(.unreachableRoute)
        case .prohibit:
            sendError(.administrativelyProhibited(family ?? .ipv4), about: transit)
            return .dropped(.prohibitRoute)
        case .blackhole: return .dropped(.blackholeRoute)
        }
    }

    mutating func apply(_ result: RouteResult, _ transit: inout Transit) {
        transit.egress = result.port
        transit.nextHop = result.nextHop
        transit.isOnLink = result.isOnLink && result.nextHop == transit.parsed.destinationAddress
        transit.pathMTU = Int(result.mtu)
    }

    /// Linux trims a frame to the length that the IP header names; link padding never travels on.
    private mutating func trimPadding(_ transit: inout Transit) {
        let end = Int(transit.parsed.networkOffset) + Int(transit.parsed.networkLength)
        if end < transit.packet.length {
            transit.context.packet.tailroom += transit.packet.length - end
            transit.context.packet.length = end
        }
    }

    private mutating func packetType(_ transit: inout Transit) -> UInt8 {
        let destination = UInt64(transit.packet.load32(0)) << 16 | UInt64(transit.packet.load16(4))
        if destination == router.interfaces[transit.ingress].mac.rawValue { return PacketType.host }
        if destination == EthernetAddress.broadcast.rawValue { return PacketType.broadcast }
        return EthernetAddress(rawValue: destination).isGroup ? PacketType.multicast : PacketType.otherHost
    }
}

/// Linux's PACKET_* (include/uapi/linux/if_packet.h), as `meta pkttype` sees them.
enum PacketType {
    static let host: UInt8 = 0
    static let broadcast: UInt8 = 1
    static let multicast: UInt8 = 2
    static let otherHost: UInt8 = 3
}
