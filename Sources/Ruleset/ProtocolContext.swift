// What is known about the protocols of a packet at a point of a rule, and the matches that a field's protocol implies.

struct ProtocolContext {
    let family: Family
    /// Link-layer protocols from the outside in: `ether`, `vlan`, ...
    var link: [String] = []
    var network: String?
    var transport: String?
    /// `meta l4proto { tcp, udp }`: several transports, none known.
    var severalTransports = false
    /// A field of the transport header tells which it is, not a test of the rule's own.
    var isTransportImplied = false
    /// `meta l4proto 99`: one that nft knows no header of.
    var hasUnnamedTransport = false
    /// The values that `icmp type` or `icmpv6 type` was compared with.
    var icmpTypes: [UInt128] = []
    /// What `ether type` was compared with, when that is no link-layer protocol.
    var etherTypeName: String?

    init(family: Family) {
        self.family = family
        switch family {
        case .ip: network = "ip"
        case .ip6: network = "ip6"
        case .arp: network = "arp"
        case .bridge: link = ["ether"]
        case .inet, .netdev: break
        }
    }

    /// What an explicit comparison with a constant teaches.
    mutating func learn(_ left: Expression, _ value: UInt128) {
        switch left {
        case .meta(.l4proto, _):
            let known = Protocols.transports.first { $0.number == value }?.name
            transport = transport ?? known
            if known == nil { hasUnnamedTransport = true }
        case .meta(.nfproto, _): if let name = value == 2 ? "ip" : value == 10 ? "ip6" : nil { network = name }
        case .meta(.protocol, _):
            guard let name = Protocols.etherTypes.first(where: { $0.number == value })?.name else { return }
            if name == "vlan" { if link.isEmpty { link = ["ether"] } } else if network == nil { network = name }
        // As nft has it: what a connection's protocol is, its packets' is taken to be, even of an ICMP error about it.
        case .ct(let field) where field.key == .l3proto && family == .inet: if network == nil { network = value == 2 ? "ip" : value == 10 ? "ip6" : nil }
        case .ct(let field) where field.key == .protocol && network != nil: transport = transport ?? Protocols.transports.first { $0.number == value }?.name
        case .meta(.iiftype, _), .meta(.oiftype, _): if value == 1, link.isEmpty { link = ["ether"] }
        case .payload(let field) where field.tunnel == nil:
            guard let header = Protocols.named(field.proto) else { return }
            if field.proto == "icmp" || field.proto == "icmpv6", field.field == "type" { icmpTypes = [value] }
            guard header.key == field.field, let upper = header.upperName(value), let next = Protocols.named(upper) else { return }
            switch next.base {
            case .link: link.append(upper)
            case .network:
                network = network ?? upper
                if header.base == .link { etherTypeName = upper }
            default: transport = transport ?? upper
            }
        default: break
        }
    }

    mutating func learnSet(_ left: Expression, _ values: [UInt128]) {
        switch left {
        case .meta(.l4proto, _): if transport == nil { severalTransports = true }
        case .ct(let field) where field.key == .protocol && network != nil: if transport == nil { severalTransports = true }
        case .payload(let field) where field.field == "protocol" || field.field == "nexthdr": if transport == nil { severalTransports = true }
        case .payload(let field) where field.field == "type" && (field.proto == "icmp" || field.proto == "icmpv6"): icmpTypes = values
        default: break
        }
    }

    /// The matches that must come first for a field of this header to mean anything; the context then knows the header.
    mutating func require(_ header: ProtocolHeader, at place: SourceRange) throws -> [Match] {
        func implied(_ left: Expression, _ value: UInt128) -> Match {
            Match(left: left, operation: .equal, right: .constant(Value(value, left.type)), isImplicit: true, location: place)
        }
        func meta(_ key: MetaKey, _ value: UInt128) -> Match { implied(.meta(key, type: MetaTypes.type(key)), value) }
        func conflict(_ layer: String, _ known: String) -> EvaluationError {
            EvaluationError(message: "conflicting \(layer) layer protocols specified: \(known) vs. \(header.name)", location: place)
        }
        switch header.base {
        case .link:
            var matches: [Match] = []
            if link.isEmpty {
                matches.append(meta(.iiftype, 1))
                link = ["ether"]
            }
            if header.name == "vlan", link.last != "vlan" {
                let hasOneFamily = family == .ip || family == .ip6 || family == .arp
                if etherTypeName != nil || network != nil && !hasOneFamily { throw conflict("link", network ?? "") }
                matches.append(implied(.payload(PayloadField(base: .link, offset: 96, length: 16, proto: "ether", field: "type", type: Datatypes.make(.etherType))), 0x8100))
                link.append("vlan")
            }
            return matches
        case .network:
            if network == header.name { return [] }
            if let network { throw conflict("network", network) }
            guard let number = Protocols.etherTypes.first(where: { $0.name == header.name })?.number else { return [] }
            network = header.name
            let below = link.last
            if let below, !(family == .bridge && below == "ether") {
                let offset = below == "ether" ? 96 : 112 + 32 * (link.count - 2) + 16
                return [implied(.payload(PayloadField(base: .link, offset: offset, length: 16, proto: below, field: "type", type: Datatypes.make(.etherType))), number)]
            }
            if family == .inet {
                if header.name == "arp" { throw EvaluationError(message: "conflicting protocols specified: inet vs. arp", location: place) }
                return [meta(.nfproto, header.name == "ip" ? 2 : 10)]
            }
            return [meta(.protocol, number)]
        case .transport:
            if header.name == "th" { return [] }
            let name = header.name == "gretap" ? "gre" : header.name
            if transport == name { return [] }
            if let transport { throw conflict("transport", transport) }
            if network == "arp" { throw conflict("transport", "arp") }
            var matches: [Match] = []
            if name == "icmp" || name == "icmpv6" || name == "igmp", network == nil, name != "igmp" || family != .ip {
                matches += try require(Protocols.named(name == "icmpv6" ? "ip6" : "ip") ?? header, at: place)
            }
            guard let number = Protocols.transports.first(where: { $0.name == name })?.number else { return matches }
            transport = name
            isTransportImplied = true
            matches.append(meta(.l4proto, number))
            return matches
        case .inner:
            guard let udp = Protocols.named("udp") else { return [] }
            return try require(udp, at: place)
        }
    }
}

enum MetaTypes {
    static func type(_ key: MetaKey) -> Datatype {
        switch key {
        case .length, .cpu, .cgroup, .random, .secmark: Datatypes.integer(32)
        case .protocol, .ibrvproto: Datatypes.make(.etherType)
        case .priority: Datatypes.make(.classID)
        case .mark: Datatypes.make(.mark)
        case .iif, .oif, .sdif: Datatypes.make(.interfaceIndex)
        case .iifname, .oifname, .ibrname, .obrname, .sdifname: Datatypes.make(.interfaceName)
        case .iiftype, .oiftype: Datatypes.make(.interfaceType)
        case .skuid: Datatypes.make(.userID)
        case .skgid: Datatypes.make(.groupID)
        case .nftrace, .broute: Datatypes.integer(1)
        case .rtclassid: Datatypes.make(.realm)
        case .pkttype: Datatypes.make(.packetType)
        case .iifgroup, .oifgroup: Datatypes.make(.deviceGroup)
        case .ipsec: Datatypes.make(.boolean)
        case .iifkind, .oifkind: Datatypes.make(.interfaceKind)
        case .ibrpvid: Datatypes.integer(16)
        case .ibrhwaddr: Datatypes.make(.etherAddress)
        case .time: Datatypes.make(.date)
        case .day: Datatypes.make(.day)
        case .hour: Datatypes.make(.hour)
        case .nfproto: Datatypes.make(.nfProto)
        case .l4proto: Datatypes.make(.inetProtocol)
        }
    }
}
