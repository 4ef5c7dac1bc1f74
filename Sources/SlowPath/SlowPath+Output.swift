// The last steps: fragment what is too long, find the neighbour's MAC address, write the link header, hand out.
//
// Sources: net/ipv4/ip_output.c (ip_finish_output), net/ipv6/ip6_output.c, RFC 826, RFC 4861.
import Policy
import Routing
import Wire

extension SlowPath {
    mutating func output(_ transit: inout Transit) -> Disposition {
        if transit.isLooped { return loop(&transit) }
        guard transit.egress != Transit.noPort, router.interfaces[transit.egress].exists else { return .dropped(.noRoute) }
        if transit.isOnLink { transit.nextHop = transit.parsed.destinationAddress }
        if transit.parsed.family == .ipv6, !transit.isOwn, exceeds(transit.pathMTU, &transit) { return refuseTooBig(transit.pathMTU, transit) }
        if needsFragmentation(&transit) { return fragment(&transit) }
        return send(&transit)
    }

    /// Destination and source MAC addresses; VLAN tags and EtherType stay as they are.
    mutating func writeLinkHeader(_ packet: PacketBuffer, to mac: EthernetAddress, port: PortIndex) {
        let own = router.interfaces[port].mac.rawValue
        packet.store32(UInt32(truncatingIfNeeded: mac.rawValue >> 16), at: 0)
        packet.store16(UInt16(truncatingIfNeeded: mac.rawValue), at: 4)
        packet.store32(UInt32(truncatingIfNeeded: own >> 16), at: 6)
        packet.store16(UInt16(truncatingIfNeeded: own), at: 10)
    }

    /// Out of this module: in place where the caller's frame is sent, else a copy in the outbox.
    mutating func handOut(_ transit: inout Transit) -> Disposition {
        if transit.isInPlace {
            inPlace = transit.packet
            inPlacePort = transit.egress
            isInPlaceUsed = true
            return .forwarded
        }
        return outbox.send(transit.packet, to: transit.egress) ? .forwarded : .dropped(.noBuffer)
    }
}
