// One direction of a flow as the rule that a NIC carries out.
//
// Invariant: a rule exists only if, for every frame that it matches, the NIC does exactly what the flow-cache entry
// would have done; what the shape of a NIC cannot express is refused with its reason, never approximated.
import CDPDK
import FlowCache
import Wire

/// Why a flow makes no rule.
struct FlowRuleRefused: Error {
    var reason: OffloadRefusal
}

struct FlowRule {
    var raw: nt_flow_rule
    /// Bytes of link header that the NIC counts and that nft and conntrack do not.
    var linkHeaderLength: Int

    /// Rules are in the root group: one table, no jump (another table costs throughput on every packet).
    static let group: UInt32 = 0
    static let guardPriority: UInt32 = 0
    static let flowPriority: UInt32 = 1

    /// Frames whose TTL is 0 or 1 go to software before any flow rule sees them.
    static func lowTTLGuard(family: UInt8, outputKind: UInt8) -> FlowRule {
        var raw = nt_flow_rule()
        raw.match = UInt32(NT_MATCH_LOW_TTL)
        raw.actions = UInt32(NT_DO_SOFTWARE)
        raw.family = family
        raw.output_kind = outputKind
        raw.group = group
        raw.priority = guardPriority
        return FlowRule(raw: raw, linkHeaderLength: 14)
    }

    init(raw: nt_flow_rule, linkHeaderLength: Int) {
        self.raw = raw
        self.linkHeaderLength = linkHeaderLength
    }

    /// - Parameters:
    ///   - timeToLive: TTL of the direction's packets as they arrive; 0 if it is not known. Needed by NICs that pin it.
    ///   - shape: what the ingress port can do for flows to `output`.
    init(
        _ flow: FlowDescription, timeToLive: UInt8, ingress: OffloadPort, output: OffloadPort, shape: OffloadShape
    ) throws(FlowRuleRefused) {
        let key = flow.key
        let rewrite = flow.rewrite
        guard shape.tier == .full else { throw FlowRuleRefused(reason: .capability) }
        guard key.transportProtocol == IPProtocol.tcp || key.transportProtocol == IPProtocol.udp else {
            throw FlowRuleRefused(reason: .transportProtocol)
        }
        guard key.source.family == key.destination.family, rewrite.source.family == key.source.family,
            rewrite.destination.family == key.source.family, Int(key.vlanCount) <= shape.vlans
        else { throw FlowRuleRefused(reason: .shape) }
        guard key.pppoeSession == 0, rewrite.pppoeSession == 0 else { throw FlowRuleRefused(reason: .pppoe) }
        guard rewrite.vlanCount == key.vlanCount, rewrite.vlanTags == key.vlanTags else { throw FlowRuleRefused(reason: .vlanTags) }
        guard flow.guard.maximumLength >= ingress.mtu else { throw FlowRuleRefused(reason: .pathMTU) }

        raw = nt_flow_rule()
        linkHeaderLength = 14 + 4 * Int(key.vlanCount)
        raw.group = FlowRule.group
        raw.priority = FlowRule.flowPriority
        raw.family = key.source.family.rawValue
        raw.protocol = key.transportProtocol
        raw.output_kind = shape.outputKind
        raw.dialect = shape.dialect
        raw.output = output.dpdkPort
        raw.output_queue = ingress.hairpinQueue(to: output.index) ?? 0
        raw.vlan_count = key.vlanCount
        raw.vlan = (key.outerVLAN & 0xfff, key.innerVLAN & 0xfff)
        raw.vlan_type = (FlowRule.tagType(key.outerVLAN), FlowRule.tagType(key.innerVLAN))
        raw.source_port = key.sourcePort
        raw.destination_port = key.destinationPort
        (raw.source_high, raw.source_low) = (key.source.high, key.source.low)
        (raw.destination_high, raw.destination_low) = (key.destination.high, key.destination.low)
        setMatch(flow, ingress: ingress, shape: shape)
        try setGuards(flow.guard, shape: shape)
        try setRewrite(flow, shape: shape)
        switch shape.ttl {
        case .decrement:
            raw.actions |= UInt32(NT_DO_DECREMENT_TTL)
        case .pin:
            guard timeToLive > 1 else { throw FlowRuleRefused(reason: .capability) }
            raw.match |= UInt32(NT_MATCH_TTL)
            raw.match_ttl = timeToLive
            raw.set_ttl = timeToLive - 1
            raw.actions |= UInt32(NT_DO_SET_TTL)
        }
    }

    private static func tagType(_ vlan: UInt16) -> UInt16 { vlan & FlowKey.serviceTag == 0 ? EtherType.vlan : EtherType.qinq }

    private mutating func setMatch(_ flow: FlowDescription, ingress: OffloadPort, shape: OffloadShape) {
        raw.match = UInt32(NT_MATCH_PORTS | NT_MATCH_NO_FRAGMENT)
        if shape.can(match: NT_MATCH_DESTINATION_MAC) {
            raw.match |= UInt32(NT_MATCH_DESTINATION_MAC)
            raw.match_mac = ingress.address.rawValue
        }
        if flow.key.vlanCount == 0 && shape.can(match: NT_MATCH_UNTAGGED) { raw.match |= UInt32(NT_MATCH_UNTAGGED) }
        if flow.key.source.family == .ipv4 && shape.can(match: NT_MATCH_NO_OPTIONS) { raw.match |= UInt32(NT_MATCH_NO_OPTIONS) }
        if shape.can(match: NT_MATCH_CHECKSUMS) { raw.match |= UInt32(NT_MATCH_CHECKSUMS) }
    }

    private mutating func setGuards(_ guards: FlowGuard, shape: OffloadShape) throws(FlowRuleRefused) {
        if raw.protocol == IPProtocol.tcp {
            // Whatever the verdict read, the packets that open or end a connection are conntrack's.
            let ends = TCPFlags.fin | TCPFlags.syn | TCPFlags.rst
            guard guards.tcpFlagsValue & ends == 0 else { throw FlowRuleRefused(reason: .shape) }
            raw.match |= UInt32(NT_MATCH_TCP_FLAGS)
            raw.tcp_flags_mask = guards.tcpFlagsMask | ends
            raw.tcp_flags_value = guards.tcpFlagsValue
        }
        guard guards.trafficClassMask != 0 else { return }
        guard shape.can(match: NT_MATCH_TRAFFIC_CLASS) else { throw FlowRuleRefused(reason: .trafficClass) }
        raw.match |= UInt32(NT_MATCH_TRAFFIC_CLASS)
        raw.traffic_class_mask = guards.trafficClassMask
        raw.traffic_class_value = guards.trafficClassValue
    }

    private mutating func setRewrite(_ flow: FlowDescription, shape: OffloadShape) throws(FlowRuleRefused) {
        let key = flow.key
        let rewrite = flow.rewrite
        var actions = NT_DO_SET_MACS | NT_DO_COUNT | NT_DO_OUTPUT
        raw.set_source_mac = rewrite.sourceMAC.rawValue
        raw.set_destination_mac = rewrite.destinationMAC.rawValue
        if rewrite.source != key.source { actions |= NT_DO_SET_SOURCE }
        if rewrite.destination != key.destination { actions |= NT_DO_SET_DESTINATION }
        if rewrite.sourcePort != key.sourcePort { actions |= NT_DO_SET_SOURCE_PORT }
        if rewrite.destinationPort != key.destinationPort { actions |= NT_DO_SET_DESTINATION_PORT }
        (raw.set_source_high, raw.set_source_low) = (rewrite.source.high, rewrite.source.low)
        (raw.set_destination_high, raw.set_destination_low) = (rewrite.destination.high, rewrite.destination.low)
        raw.set_source_port = rewrite.sourcePort
        raw.set_destination_port = rewrite.destinationPort
        if rewrite.trafficClassMask != 0 {
            guard rewrite.trafficClassMask == 0xfc, shape.can(actions: NT_DO_SET_DSCP) else {
                throw FlowRuleRefused(reason: .trafficClass)
            }
            actions |= NT_DO_SET_DSCP
            raw.set_traffic_class = rewrite.trafficClassValue & 0xfc
        }
        guard shape.can(actions: actions) else { throw FlowRuleRefused(reason: .capability) }
        if shape.can(actions: NT_DO_AGE) {
            actions |= NT_DO_AGE
            raw.age_seconds = 10
        }
        raw.actions = UInt32(actions)
    }
}
