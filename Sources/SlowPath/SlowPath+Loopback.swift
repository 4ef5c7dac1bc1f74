// What the router sends to an address of its own: out by `lo`, and in again by `lo` as soon as its cause is dealt with.
//
// That is an ICMP error about a reset of our own that a rule of the output hook refused, and the answer to an IPv6 packet whose sender
// claims to be us. The packet keeps its connection, its marks and its route (skb): only what conntrack found invalid is looked at
// again. Sources: drivers/net/loopback.c, net/netfilter/nf_conntrack_core.c (nf_conntrack_in), net/ipv4/ip_input.c.
//
// Invariant: one packet returns at a time. What is refused on its way in is answered over `lo` again, errors never: a chain of two at
// most for one frame from the wire.
import Policy
import Routing

extension SlowPath {
    /// What IPv4 makes of lo's 65,536 bytes (ip_dst_mtu_maybe_forward). IPv6 takes the MTU of the port that has the address.
    static var loopbackMTU: Int { 65535 }

    /// Behind the postrouting hook: the packet waits until the one that caused it is through.
    mutating func loop(_ own: inout Transit) -> Disposition {
        if hasLinkHooks, let ended = runLinkHook(.egress, &own) { return ended }
        guard !hasReturning else { return .dropped(.noBuffer) }
        outbox.protect(own.packet)
        returning.pointee = own
        hasReturning = true
        return .forwarded
    }

    mutating func receiveReturning() {
        hasReturning = false
        var own = returning.pointee
        own.isReturned = true
        own.context.input = program.loopback
        own.context.packetType = PacketType.host
        if own.tracking.hasConnection, tracker.pointee.connection(own.tracking.connection).pointee.generation != own.tracking.generation { own.tracking = .unseen }
        refreshView(&own)
        let disposition = receiveReturned(&own)
        finish(disposition, &own)
    }

    private mutating func receiveReturned(_ own: inout Transit) -> Disposition {
        if hasLinkHooks, let ended = runLinkHook(.ingress, &own) { return ended }
        if let ended = runHook(.prerouting, &own) { return ended }
        if own.isLooped { return input(&own) }
        own.isOnLink = false
        return route(&own)
    }
}
