// Tagged frames: in at the port's edge they become frames of a VLAN interface, out there they get their tags.
//
// Invariant: between the two edges no frame carries a tag, and `ingress` and `egress` name interfaces, never ports below
// VLANs. A frame of a VLAN that is not configured goes nowhere, as in Linux: never across to another port with its tags.
// Sources: net/8021q/vlan_core.c (vlan_do_receive), net/8021q/vlan_dev.c, IEEE 802.1Q clause 9.6.
import Policy
import Routing
import Wire

extension SlowPath {
    /// Takes the tags off a frame and finds its interface, then runs that interface's ingress chains; nil if it goes on.
    mutating func enterVLAN(_ transit: inout Transit) -> Disposition? {
        let count = Int(transit.parsed.vlanCount)
        guard count > 0 else { return nil }
        var stack = VLANStack()
        for index in 0 ..< count {
            let tag = transit.packet.load16(14 + 4 * index)
            // A tag without an identifier gives a priority only (IEEE 802.1Q clause 6.9).
            if tag & 0xfff != 0 { stack.push(id: tag & 0xfff, type: transit.packet.load16(12 + 4 * index)) }
        }
        if stack.count > 0 {
            guard let interface = router.interfaces.interface(on: transit.ingress, tagged: stack) else { return .dropped(.vlanUnknown) }
            transit.ingress = interface
            transit.context.input = interface
        }
        transit.packet.removeTags(count)
        var defect = PacketParser.parse(transit.packet, into: &transit.context.parsed)
        if stack.count > 0, let ended = runIngressChains(&transit, &defect) { return ended }
        return defect == .none ? nil : .dropped(defect)
    }

    /// Gives a frame that leaves by a VLAN or a PPPoE session its tags and session header, and the port below as its way out; false if
    /// there is no room for them.
    mutating func leaveVLAN(_ packet: inout PacketBuffer, _ port: inout PortIndex) -> Bool {
        let interface = router.interfaces[port]
        if interface.pppoeSession != 0 {
            guard packet.insertSessionHeader(interface.pppoeSession) else { return false }
        } else if interface.vlan.count == 0 {
            return true
        }
        guard packet.insertTags(interface.vlan) else { return false }
        port = interface.lower
        return true
    }

    /// Sends a whole frame that was built in the outbox by an interface.
    mutating func emit(_ packet: PacketBuffer, by interface: PortIndex) -> Bool {
        var packet = packet, port = interface
        guard leaveVLAN(&packet, &port) else { return false }
        outbox.commit(packet, to: port)
        return true
    }
}

extension PacketBuffer {
    /// Takes the first `count` tags off the frame: the MAC addresses move up to what follows them.
    fileprivate mutating func removeTags(_ count: Int) {
        let bytes = 4 * count
        (start + bytes).copyMemory(from: start, byteCount: 12)
        start += bytes
        length -= bytes
        headroom += bytes
    }

    /// Puts tags behind the MAC addresses; false if the headroom is too short.
    fileprivate mutating func insertTags(_ stack: VLANStack) -> Bool {
        let bytes = 4 * Int(stack.count)
        guard headroom >= bytes else { return false }
        let old = start
        start -= bytes
        length += bytes
        headroom -= bytes
        start.copyMemory(from: old, byteCount: 12)
        var tags = stack.bytes
        (start + 12).copyMemory(from: &tags, byteCount: bytes)
        return true
    }
}
