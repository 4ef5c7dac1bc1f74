// What a port's NIC can do with flows, found by trial: each shape of rule is created and destroyed once at start.
//
// Invariant: a rule of the trial can match no packet of the real world (192.0.2.0/24 and 2001:db8::/32 are for
// documentation: RFC 5737, RFC 3849), and none is left behind. What drivers say about themselves is not asked: their
// validate is no promise.
import CDPDK
import Wire

/// How the TTL is decremented.
enum OffloadTTL: UInt8, Sendable {
    /// The NIC subtracts one, without looking; a guard rule of the port keeps TTL 0 and 1 away from it.
    case decrement
    /// The rule matches the TTL that was seen and sets one less; any other TTL goes to software by itself.
    case pin
}

/// One kind of rule: a flow's ingress port is the capability's owner.
struct OffloadShapeKey: Hashable, Sendable {
    var output: PortIndex
    var family: UInt8
    var transportProtocol: UInt8
}

/// How rules of one shape are spoken, and what they can hold.
struct OffloadShape: Sendable {
    var tier = OffloadTier.none
    var outputKind: UInt8 = 0
    var dialect: UInt8 = 0
    var ttl = OffloadTTL.decrement
    /// NT_MATCH_* and NT_DO_* that a rule may have all at once.
    var match: UInt32 = 0
    var actions: UInt32 = 0
    /// VLAN tags that may be matched.
    var vlans = 0
    /// Why the tier is below `full`.
    var obstacle = ""
}

struct OffloadCapability: Sendable {
    var shapes: [OffloadShapeKey: OffloadShape] = [:]
    var tier: OffloadTier { shapes.values.map(\.tier).max() ?? .none }
    /// Whether rules of this port count on the low-TTL guard of that family.
    func needsGuard(family: UInt8) -> Bool {
        shapes.contains { $0.key.family == family && $0.value.tier == .full && $0.value.ttl == .decrement }
    }

    /// Tries every shape from `ingress` to each of `ports`.
    static func trial(ingress: OffloadPort, ports: [OffloadPort]) -> OffloadCapability {
        var capability = OffloadCapability()
        for output in ports {
            for family: UInt8 in [4, 6] {
                for transportProtocol in [IPProtocol.tcp, IPProtocol.udp] {
                    let key = OffloadShapeKey(output: output.index, family: family, transportProtocol: transportProtocol)
                    capability.shapes[key] = OffloadTrial(ingress: ingress, output: output, key: key).run()
                }
            }
        }
        return capability
    }

    /// Uses no more of the port than MARK.
    mutating func limitToMark() {
        for (key, shape) in shapes where shape.tier == .full {
            shapes[key]?.tier = .mark
            shapes[key]?.obstacle = "offload.tier leaves flows to the CPU"
        }
    }

    /// The capability in sentences, equal shapes in one line.
    func report(name: (PortIndex) -> String) -> [String] {
        var lines: [String: [String]] = [:]
        for (key, shape) in shapes.sorted(by: { ($0.key.output, $0.key.family, $0.key.transportProtocol) < ($1.key.output, $1.key.family, $1.key.transportProtocol) }) {
            let label = "to \(name(key.output)) IPv\(key.family) \(key.transportProtocol == IPProtocol.tcp ? "TCP" : "UDP")"
            lines[shape.words, default: []].append(label)
        }
        return lines.map { ($0.value.joined(separator: ", "), $0.key) }.sorted { $0.0 < $1.0 }.map { "\($0.0): \($0.1)" }
    }
}

extension OffloadShape {
    func can(match bits: Int) -> Bool { match & UInt32(bits) == UInt32(bits) }
    func can(actions bits: Int) -> Bool { actions & UInt32(bits) == UInt32(bits) }

    var words: String {
        guard tier == .full else { return obstacle.isEmpty ? tier.name : "\(tier.name) (\(obstacle))" }
        let output = ["represented port", "port id", "hairpin queue"][Int(min(outputKind, 2))]
        var parts = ["full", "out by \(output)", dialect == UInt8(NT_DIALECT_SET.rawValue) ? "SET actions" : "MODIFY_FIELD"]
        parts.append(ttl == .pin ? "TTL pinned" : "TTL decremented")
        parts.append(can(actions: NT_DO_SET_SOURCE | NT_DO_SET_DESTINATION) ? "NAT" : "no NAT")
        let optional: [(Int, String)] = [
            (NT_MATCH_DESTINATION_MAC, "destination MAC not matched"), (NT_MATCH_NO_OPTIONS, "IP options pass"),
            (NT_MATCH_CHECKSUMS, "wrong checksums pass"), (NT_MATCH_UNTAGGED, "VLAN tags not told apart"),
        ]
        parts += optional.filter { !can(match: $0.0) }.map(\.1)
        return parts.joined(separator: ", ")
    }
}

/// The trial of one shape.
struct OffloadTrial {
    let ingress: OffloadPort
    let output: OffloadPort
    let key: OffloadShapeKey

    func run() -> OffloadShape {
        var shape = OffloadShape()
        guard let found = forwarding(&shape) else { return lesser(shape) }
        shape = found
        let isTCP = key.transportProtocol == IPProtocol.tcp
        // In this order: what correctness needs most comes first, since some NICs take only so many at once.
        let wishes = (isTCP ? [NT_MATCH_TCP_FLAGS] : [])
            + [NT_MATCH_NO_FRAGMENT, NT_MATCH_DESTINATION_MAC, NT_MATCH_UNTAGGED, NT_MATCH_NO_OPTIONS, NT_MATCH_CHECKSUMS, NT_MATCH_TRAFFIC_CLASS]
        for wish in wishes where !(key.family == 6 && wish == NT_MATCH_NO_OPTIONS) {
            var rule = example(shape)
            rule.match |= UInt32(wish)
            if accepted(rule) { shape.match |= UInt32(wish) }
        }
        // IPv6 has no options in its header: extension headers miss the match of the next header.
        if key.family == 6 { shape.match |= UInt32(NT_MATCH_NO_OPTIONS) }
        for wish in [NT_DO_AGE, NT_DO_SET_DSCP] {
            var rule = example(shape)
            rule.actions |= UInt32(wish)
            if accepted(rule) { shape.actions |= UInt32(wish) }
        }
        for tags in 1...2 {
            var rule = example(shape)
            rule.match &= ~UInt32(NT_MATCH_UNTAGGED)
            rule.vlan_count = UInt8(tags)
            if accepted(rule) { shape.vlans = tags }
        }
        if isTCP && !shape.can(match: NT_MATCH_TCP_FLAGS) {
            shape.obstacle = "FIN, SYN and RST cannot be left to software"
        } else if !shape.can(match: NT_MATCH_NO_FRAGMENT) {
            shape.obstacle = "fragments cannot be left to software"
        } else if shape.ttl == .decrement && !guardAccepted(shape) {
            shape.obstacle = "dying TTLs cannot be left to software"
        } else {
            shape.tier = .full
            return shape
        }
        return lesser(shape)
    }

    /// The first way of forwarding that the NIC takes: with NAT if there is one, else routing alone.
    private func forwarding(_ shape: inout OffloadShape) -> OffloadShape? {
        var kinds = [NT_OUTPUT_REPRESENTED_PORT, NT_OUTPUT_PORT_ID]
        if ingress.hairpinQueue(to: output.index) != nil { kinds.insert(NT_OUTPUT_HAIRPIN, at: 0) }
        let routing = NT_DO_SET_MACS | NT_DO_COUNT | NT_DO_OUTPUT
        let nat = NT_DO_SET_SOURCE | NT_DO_SET_DESTINATION | NT_DO_SET_SOURCE_PORT | NT_DO_SET_DESTINATION_PORT
        for actions in [routing | nat, routing] {
            for kind in kinds {
                for ttl in [OffloadTTL.decrement, .pin] {
                    for dialect in [NT_DIALECT_SET, NT_DIALECT_MODIFY_FIELD] {
                        var candidate = OffloadShape()
                        candidate.outputKind = UInt8(kind.rawValue)
                        candidate.dialect = UInt8(dialect.rawValue)
                        candidate.ttl = ttl
                        candidate.actions = UInt32(actions | (ttl == .pin ? NT_DO_SET_TTL : NT_DO_DECREMENT_TTL))
                        candidate.match = UInt32(NT_MATCH_PORTS | (ttl == .pin ? NT_MATCH_TTL : 0))
                        var error = nt_flow_error()
                        var rule = example(candidate)
                        if nt_flow_probe(ingress.dpdkPort, &rule, &error) == 0 { return candidate }
                        if shape.obstacle.isEmpty { shape.obstacle = OffloadError(error).description }
                    }
                }
            }
        }
        return nil
    }

    /// What is left of a NIC that cannot forward: marking, dropping, nothing.
    private func lesser(_ shape: OffloadShape) -> OffloadShape {
        var shape = shape
        var rule = example(OffloadShape())
        rule.match = UInt32(NT_MATCH_PORTS)
        rule.output_kind = UInt8(NT_OUTPUT_HAIRPIN.rawValue)
        rule.mark = 1
        rule.actions = UInt32(NT_DO_MARK | NT_DO_SOFTWARE)
        if accepted(rule) {
            shape.tier = .mark
            return shape
        }
        rule.actions = UInt32(NT_DO_DROP)
        shape.tier = accepted(rule) ? .drop : .none
        return shape
    }

    private func guardAccepted(_ shape: OffloadShape) -> Bool {
        accepted(FlowRule.lowTTLGuard(family: key.family, outputKind: shape.outputKind).raw)
    }

    private func accepted(_ rule: nt_flow_rule) -> Bool {
        var error = nt_flow_error()
        var rule = rule
        return nt_flow_probe(ingress.dpdkPort, &rule, &error) == 0
    }

    /// A rule of the shape between documentation addresses.
    private func example(_ shape: OffloadShape) -> nt_flow_rule {
        var rule = nt_flow_rule()
        rule.match = shape.match
        rule.actions = shape.actions
        rule.family = key.family
        rule.protocol = key.transportProtocol
        rule.output_kind = shape.outputKind
        rule.dialect = shape.dialect
        rule.output = output.dpdkPort
        rule.output_queue = ingress.hairpinQueue(to: output.index) ?? 0
        rule.tcp_flags_mask = TCPFlags.fin | TCPFlags.syn | TCPFlags.rst
        rule.traffic_class_mask = 0xfc
        rule.match_ttl = 64
        rule.set_ttl = 63
        rule.age_seconds = 10
        rule.vlan = (4094, 4094)
        rule.source_port = 9
        rule.destination_port = 9
        rule.set_source_port = 10
        rule.set_destination_port = 10
        rule.match_mac = ingress.address.rawValue
        rule.set_source_mac = output.address.rawValue
        rule.set_destination_mac = output.address.rawValue
        let high: UInt64 = key.family == 4 ? 0 : 0x2001_0db8_0000_0000
        let low: UInt64 = key.family == 4 ? 0xc000_0200 : 0
        rule.source_high = high
        rule.destination_high = high
        rule.set_source_high = high
        rule.set_destination_high = high
        rule.source_low = low + 1
        rule.destination_low = low + 2
        rule.set_source_low = low + 3
        rule.set_destination_low = low + 4
        rule.group = FlowRule.group
        rule.priority = FlowRule.flowPriority
        return rule
    }
}
