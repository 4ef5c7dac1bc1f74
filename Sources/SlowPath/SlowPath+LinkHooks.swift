// The netdev hooks: ingress before anything looks at a frame, egress behind everything, with the new link header.
//
// Chains hang on devices; those of other devices are skipped. Sources: include/linux/netfilter_netdev.h.
import Policy
import Wire

extension SlowPath {
    /// Runs the ingress or egress chains of the packet's device; nil if it goes on.
    mutating func runLinkHook(_ hook: Hook, _ transit: inout Transit) -> Disposition? {
        let chains = program.chains(hook, .netdev)
        guard chains.count > 0 else { return nil }
        transit.context.hook = hook
        transit.context.family = .netdev
        let device = transit.isLooped ? program.loopback : hook == .ingress ? transit.ingress : transit.egress
        transit.context.output = hook == .egress ? device : transit.egress
        // At egress Linux no longer knows where the frame came in.
        let input = transit.context.input
        if hook == .egress { transit.context.input = PacketContext.noInterface }
        defer { transit.context.input = input }
        for index in 0 ..< chains.count where chains[index].device == device {
            transit.context.family = .netdev
            if chains[index].isInet {
                guard let family = transit.context.familyAtLinkHook(hook) else { continue }
                guard family.isSound else { return .dropped(family.isIPv4 ? .ipv4BadTotalLength : .ipv6BadPayloadLength) }
                transit.context.family = family.isIPv4 ? .ipv4 : .ipv6
            }
            if let ended = run(chains[index], &transit) { return ended }
        }
        return nil
    }

    /// Runs the ingress chains of a frame with that defect, and reads the frame again if they may have mended or broken it. What it
    /// carries was read before them (`skb->protocol`): a new EtherType shows to rules, and is gone behind them.
    mutating func runIngressChains(_ transit: inout Transit, _ defect: inout DropReason) -> Disposition? {
        if defect != .none { transit.context.parsed.keepLinkHeader() }
        let place = 12 + 4 * Int(transit.parsed.vlanCount), type = transit.packet.load16(place)
        transit.context.mangled = false
        if let ended = runLinkHook(.ingress, &transit) { return ended }
        if transit.context.mangled { transit.packet.store16(type, at: place) }
        // A tagged frame is read again without its tags, for the VLAN's own chains.
        if transit.parsed.vlanCount == 0, defect != .none || transit.context.mangled {
            let verified = transit.parsed.flags.intersection([.hasVerifiedChecksum, .needsNoChecksum])
            defect = PacketParser.parse(transit.packet, into: &transit.context.parsed)
            transit.context.parsed.flags.formUnion(verified)
        }
        transit.context.mangled = false
        return nil
    }

    /// Has workers hand up every frame of a port on which an ingress chain hangs, or on a VLAN of it.
    func watchPorts() {
        var ports: UInt64 = 0
        for chain in program.chains(.ingress, .netdev) where chain.device != PacketContext.noInterface && chain.device != program.loopback {
            let interface = router.interfaces[chain.device]
            ports |= 1 << UInt64(min(interface.vlan.count > 0 ? interface.lower : chain.device, 63))
        }
        flows.pointee.watch(ports: ports)
    }

    /// Whether frames pass any netdev chain. Such a chain counts link-layer bytes of every frame, which flow-cache entries
    /// do not keep; flows then stay in the slow path.
    var hasLinkHooks: Bool { program.chains(.ingress, .netdev).count > 0 || program.chains(.egress, .netdev).count > 0 }
}
