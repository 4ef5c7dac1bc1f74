// PPPoE session frames: in at the port's edge they become frames of the session's interface, out there they get their header.
//
// Invariant: as for VLANs (SlowPath+VLAN.swift), between the two edges no frame carries a session header. A frame of a session that is
// not configured, or of another station, goes nowhere. Sessions are configured: discovery, LCP and IPCP are another program's.
// Sources: RFC 2516 sections 4 and 6, drivers/net/ppp/pppoe.c (pppoe_rcv, pppoe_rcv_core).
import FlowCache
import Policy
import Routing
import Wire

extension SlowPath {
    /// Takes the session header off a frame, whose tags are off already, and finds its interface, then runs that interface's ingress
    /// chains; nil if it goes on. `arrival` is the frame as it came by `port`.
    mutating func enterPPPoE(_ transit: inout Transit, _ arrival: ParsedPacket, port: PortIndex) -> Disposition? {
        guard let header = PPPoE.read(transit.packet, at: 14) else { return .dropped(.pppoeMalformed) }
        guard let interface = router.interfaces.interface(on: transit.ingress, session: header.session, peer: transit.packet.loadMAC(6)) else {
            return .dropped(.pppoeUnknownSession)
        }
        let etherType: UInt16
        switch header.pppProtocol {
        case PPPoE.ipv4: etherType = EtherType.ipv4
        case PPPoE.ipv6: etherType = EtherType.ipv6
        default: return .dropped(.pppoeUnknownProtocol)
        }
        transit.packet.removeSessionHeader(etherType: etherType, payloadLength: header.payloadLength)
        transit.ingress = interface
        transit.context.input = interface
        let defect = PacketParser.parse(transit.packet, into: &transit.context.parsed)
        guard defect == .none else { return .dropped(defect) }
        transit.arrivalKey = FlowKey(parsed: transit.parsed, ingress: port).flatMap { key in
            guard arrival.vlanCount < 2 else { return nil }
            var key = key
            key.vlanCount = arrival.vlanCount
            key.outerVLAN = arrival.vlanCount == 0 ? 0 : arrival.outerTag & 0xfff | (arrival.serviceTags & 1 == 0 ? 0 : FlowKey.serviceTag)
            key.pppoeSession = header.session
            return key
        }
        return runLinkHook(.ingress, &transit)
    }
}

extension PacketBuffer {
    /// Takes the session header off the frame, and what follows `payloadLength` bytes behind it: the MAC addresses move up.
    fileprivate mutating func removeSessionHeader(etherType: UInt16, payloadLength: Int) {
        let bytes = PPPoE.headerLength
        (start + bytes).copyMemory(from: start, byteCount: 12)
        start += bytes
        headroom += bytes
        let old = length
        length = 14 + payloadLength
        tailroom += old - bytes - length
        store16(etherType, at: 12)
    }

    /// Puts a session header before the IP packet that follows the MAC addresses and EtherType; false if the headroom is too short.
    mutating func insertSessionHeader(_ session: UInt16) -> Bool {
        let bytes = PPPoE.headerLength
        guard headroom >= bytes else { return false }
        let isIPv6 = load16(12) == EtherType.ipv6
        let old = start
        start -= bytes
        length += bytes
        headroom -= bytes
        start.copyMemory(from: old, byteCount: 12)
        store16(EtherType.pppoeSession, at: 12)
        store16(0x1100, at: 14)
        store16(session, at: 16)
        store16(UInt16(truncatingIfNeeded: length - 20), at: 18)
        store16(isIPv6 ? PPPoE.ipv6 : PPPoE.ipv4, at: 20)
        return true
    }
}
