// Packets for somebody else: what ip_forward() and ip6_forward() do between the routing decision and the link.
//
// Order as in Linux: time to live, size, decrement, forward hook, postrouting hook, confirm, fragment, neighbour.
// Sources: net/ipv4/ip_forward.c, net/ipv6/ip6_output.c, RFC 1812 section 5.2.
import Routing
import Wire

extension SlowPath {
    mutating func forward(_ transit: inout Transit) -> Disposition {
        if transit.parsed.timeToLive <= 1 {
            sendError(.timeExceeded(transit.parsed.family ?? .ipv4), about: transit)
            return .dropped(.timeToLiveExceeded)
        }
        if transit.parsed.family == .ipv6, let refusal = refuseIPv6Scope(&transit) { return refusal }
        // IPv6 asks the route's own MTU only behind the hooks (ip6_dst_mtu_maybe_forward).
        let limit = transit.parsed.family == .ipv6 ? Int(router.interfaces[transit.egress].mtu) : transit.pathMTU
        if exceeds(limit, &transit) { return refuseTooBig(limit, transit) }
        decrementTimeToLive(&transit)
        if transit.parsed.family == .ipv4 { transit.context.priority = SlowPath.priority(trafficClass: transit.parsed.trafficClass) }
        if let ended = runHook(.forward, &transit) { return ended }
        forwardOptions(&transit)
        return postroute(&transit)
    }

    /// Everything behind the forward or output hook.
    mutating func postroute(_ transit: inout Transit) -> Disposition {
        if let ended = runHook(.postrouting, &transit) { return ended }
        return output(&transit)
    }

    /// RFC 4291: a packet from a link-local address never crosses a router. Linux asks that only where the packet leaves by
    /// another interface (ip6_forward).
    private mutating func refuseIPv6Scope(_ transit: inout Transit) -> Disposition? {
        let destination = transit.parsed.destinationAddress, source = transit.parsed.sourceAddress
        if destination.isMulticast || destination.isLoopback { return .dropped(.martianDestination) }
        if transit.egress == transit.ingress { return nil }
        if source.isUnspecified || source.isMulticast || source.isLoopback { return .dropped(.martianSource) }
        if source.isLinkLocal {
            sendError(ICMPError(type: 1, code: 2), about: transit)
            return .dropped(.martianSource)
        }
        return nil
    }

    /// Larger than the path takes, and not ours to cut: DF is set, or IPv6 (ip_exceeds_mtu, ip6_pkt_too_big).
    mutating func exceeds(_ limit: Int, _ transit: inout Transit) -> Bool {
        let parsed = transit.context.parsed
        if parsed.family == .ipv6 {
            if transit.largestFragment > 0 { return transit.largestFragment > limit }
            return Int(parsed.networkLength) > limit
        }
        guard Int(parsed.networkLength) > limit else { return false }
        if transit.largestFragment > 0 { return transit.fragmentsHadDontFragment && transit.largestFragment > limit }
        return parsed.flags.contains(.dontFragment)
    }

    mutating func refuseTooBig(_ limit: Int, _ transit: borrowing Transit) -> Disposition {
        sendError(.packetTooBig(transit.context.parsed.family ?? .ipv4, mtu: UInt32(limit)), about: transit)
        return .dropped(.packetTooBig)
    }

    /// What Linux makes of the old TOS bits of an IPv4 packet on its way (ip_forward, rt_tos2priority), whatever it had before.
    private static func priority(trafficClass: UInt8) -> UInt32 {
        switch trafficClass & 0x18 {
        case 0x08: 2
        case 0x10: 6
        case 0x18: 4
        default: 0
        }
    }

    mutating func decrementTimeToLive(_ transit: inout Transit) {
        let network = Int(transit.parsed.networkOffset)
        walk.pointee.writesChecksumLast = false
        transit.parsed.timeToLive &-= 1
        if transit.parsed.family == .ipv4 {
            let old = transit.packet.load16(network + 8)
            transit.packet.store8(transit.parsed.timeToLive, at: network + 8)
            transit.packet.store16(Checksum.update(transit.packet.load16(network + 10), old: old, new: transit.packet.load16(network + 8)), at: network + 10)
        } else {
            transit.packet.store8(transit.parsed.timeToLive, at: network + 7)
        }
    }
}
