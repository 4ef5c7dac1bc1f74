// NAT, transparent proxy and reject: what they need of the protocols before them.

extension Evaluator {
    /// Ports may be translated only where the rule has tested the transport protocol.
    private func needTransport(_ place: SourceRange, of statement: SourceRange) throws {
        // Behind a set of protocols nft does not take a field's word for one of them.
        let isOpen = context.severalTransports && context.isTransportImplied
        if isOpen || context.transport == nil && !context.severalTransports && !context.hasUnnamedTransport {
            throw EvaluationError(message: "transport protocol mapping is only valid after transport protocol match", location: place, others: [Self.keyword(statement)])
        }
    }

    /// Whether a map's concatenated key holds a protocol field (`ip protocol . th dport`): then the lookup itself is the test.
    private func testsProtocol(_ value: Expression) -> Bool {
        guard case .map(.concatenation(let parts), _, _) = value else { return false }
        return parts.contains { part in
            switch part {
            case .meta(let key, _): key == .l4proto || key == .nfproto || key == .protocol
            case .payload(let field): Protocols.named(field.proto)?.key == field.field
            case .ct(let field): field.key == .protocol || field.key == .l3proto
            default: false
            }
        }
    }

    /// The types of `address` or `address . port` data that a NAT map's first element shows.
    private func dataType(of source: Node, address: Datatype) throws -> Datatype {
        switch source.resolved.kind {
        case .setReference(let name):
            guard let set = view.set(name) else { throw missingSet(name, source) }
            guard case .value(let type)? = set.data else { throw fail("Expression is not a map", source) }
            return type
        case .block:
            if let first = try items(source).first(where: { $0.data != nil })?.data?.resolved, case .concatenation(let parts) = first.kind, parts.count == 2 {
                return .concatenation([address, Datatypes.make(.inetService)])
            }
            return address
        default: return address
        }
    }

    func nat(_ kind: NATKind, _ family: AddressFamily?, _ prefix: Bool, _ addressNode: Node?, _ portNode: Node?, _ flags: NATFlags, _ node: StatementNode) throws -> NAT {
        var result = NAT(kind: kind, flags: flags)
        if prefix { result.flags.insert(.prefix) }
        let port = Datatypes.make(.inetService)
        if kind == .snat || kind == .dnat {
            let known = context.network.flatMap(AddressFamily.init(rawValue:))
            if let family, let known, known != family {
                throw EvaluationError(message: "conflicting protocols specified: \(known.rawValue) vs. \(family.rawValue)", location: node.location)
            }
            switch view.family {
            case .ip: result.family = .ip
            case .ip6: result.family = .ip6
            case .inet:
                result.family = family ?? known ?? addressNode.flatMap(guessFamily)
                if family == nil, known == nil, addressNode != nil {
                    throw EvaluationError(message: "specify `\(kind.rawValue) ip' or '\(kind.rawValue) ip6' in inet table to disambiguate", location: Self.keyword(node.location))
                }
            default: throw EvaluationError(message: "NAT is only supported for IPv4/IPv6", location: Self.keyword(node.location))
            }
            if let family, view.family == .ip && family == .ip6 || view.family == .ip6 && family == .ip {
                throw EvaluationError(message: "conflicting protocols specified: \(view.family.rawValue) vs. \(family.rawValue)", location: node.location)
            }
            // In a table of both families the listing always says which.
            result.showsFamily = view.family == .inet && addressNode != nil || family != nil && prefix
        }
        if let addressNode {
            defer { if result.showsFamily == false, view.family != .inet, let address = result.address { result.showsFamily = showsFamily(address, flags: result.flags) } }
            let address = Datatypes.make(result.family == .ip6 ? .ipv6Address : .ipv4Address)
            // In an inet table the address says which packets it is for.
            if view.family == .inet, context.network == nil, let name = result.family?.rawValue, let header = Protocols.named(name) {
                for match in try context.require(header, at: node.location) { implied.append(.match(match)) }
            }
            var expected = address
            if case .map(_, let source) = addressNode.resolved.kind { expected = try dataType(of: source, address: address) }
            let value = try natValue(addressNode, expected)
            if expected.isConcatenation, !testsProtocol(value) { try needTransport(addressNode.location, of: node.location) }
            if case .concatenation(let parts) = value, parts.count == 2 { try needTransport(addressNode.location, of: node.location) }
            result.address = SetOrder.canonicalRange(value)
        }
        if let portNode {
            result.port = try natValue(portNode, port)
            try needTransport(portNode.location, of: node.location)
        }
        if kind == .redirect || kind == .masquerade {
            guard view.family == .ip || view.family == .ip6 || view.family == .inet else { throw EvaluationError(message: "NAT is only supported for IPv4/IPv6", location: Self.keyword(node.location)) }
        }
        if result.port == nil, result.address == nil, kind == .snat || kind == .dnat { throw EvaluationError(message: "missing address", location: node.location) }
        return result
    }

    private func natValue(_ node: Node, _ expected: Datatype) throws -> Expression {
        if Self.isSelector(node) || { if case .map = node.resolved.kind { true } else { false } }() { return try general(node, expected) }
        if case .block = node.resolved.kind { throw EvaluationError(message: "a set cannot be used here", location: node.location) }
        if case .concatenation(let parts) = node.resolved.kind, parts.count == 2, !expected.isConcatenation {
            return try constant(node, .concatenation([expected, Datatypes.make(.inetService)]))
        }
        return try constant(node, expected)
    }

    /// In a table of one family, the family is listed for maps to `address . port` and to ranges.
    private func showsFamily(_ address: Expression, flags: NATFlags) -> Bool {
        guard case .map(_, let source, let type) = address else { return flags.contains(.prefix) }
        if type.isConcatenation { return true }
        switch source {
        case .anonymous(let set): return set.elements.contains { $0.data.map(SetOrder.isInterval) ?? false }
        case .named(let name): return view.set(name)?.hasIntervalData ?? false
        }
    }

    private func guessFamily(_ node: Node) -> AddressFamily? {
        switch node.resolved.kind {
        case .symbol(let text): text.contains(":") ? .ip6 : text.contains(".") ? .ip : nil
        case .range(let low, _): guessFamily(low)
        case .prefix(let base, _): guessFamily(base)
        default: nil
        }
    }

    func tproxy(_ family: AddressFamily?, _ addressNode: Node?, _ portNode: Node?, _ node: StatementNode) throws -> Statement {
        guard view.family == .ip || view.family == .ip6 || view.family == .inet else { throw EvaluationError(message: "tproxy is only supported for IPv4/IPv6/INET", location: node.location) }
        // Only JSON can say so.
        if addressNode == nil, portNode == nil { throw EvaluationError(message: Transaction.refusal + "Invalid argument", location: node.location) }
        let known = context.network.flatMap(AddressFamily.init(rawValue:))
        if context.transport == nil && !context.severalTransports { throw EvaluationError(message: "Transparent proxy support requires transport protocol match", location: node.location) }
        if let family, let known, known != family { throw EvaluationError(message: "conflicting network layer protocols.", location: node.location) }
        let chosen = family ?? known
        var address: Expression?
        if let addressNode {
            guard let chosen else { throw EvaluationError(message: "specify the family of the address", location: node.location) }
            address = try general(addressNode, Datatypes.make(chosen == .ip6 ? .ipv6Address : .ipv4Address))
            if let address, SetOrder.isInterval(address) { throw EvaluationError(message: "Address ranges are not supported for tproxy.", location: addressNode.location) }
        }
        let port = try portNode.map { try general($0, Datatypes.make(.inetService)) }
        return .tproxy(family: chosen, showsFamily: family != nil && view.family == .inet, address: address, port: port)
    }

    func reject(_ kind: String?, _ codeNode: Node?, _ node: StatementNode, _ front: inout [Statement]) throws -> RejectKind {
        func conflict(_ needed: String, _ known: String) -> EvaluationError {
            EvaluationError(message: "conflicting protocols specified: ip vs ip6", location: codeNode?.location ?? Self.keyword(node.location))
        }
        func code(_ basic: BasicType) throws -> UInt8 {
            guard let codeNode, case .constant(let value) = try constant(codeNode, Datatypes.make(basic)) else { return 0 }
            return UInt8(truncatingIfNeeded: value.number)
        }
        func needNetwork(_ name: String) throws {
            if let known = context.network {
                if known != name { throw conflict(name, known) }
                return
            }
            guard let header = Protocols.named(name) else { return }
            for match in try context.require(header, at: node.location) { front.append(.match(match)) }
        }
        if view.family == .arp { throw EvaluationError(message: "cannot use reject with arp", location: Self.keyword(node.location)) }
        if let known = context.network, known == "arp" { throw EvaluationError(message: "cannot reject this network family", location: Self.keyword(node.location)) }
        switch kind {
        case "tcp":
            if let transport = context.transport, transport != "tcp" { throw EvaluationError(message: "you cannot use tcp reset with this protocol", location: Self.keyword(node.location)) }
            if context.transport == nil, let header = Protocols.named("tcp") {
                for match in try context.require(header, at: node.location) { front.append(.match(match)) }
            }
            return .tcpReset
        case "icmp":
            if view.family == .ip6 { throw conflict("ip", "ip6") }
            let value = try code(.icmpCode)
            try needNetwork("ip")
            return .icmp(code: value)
        case "icmpv6":
            if view.family == .ip { throw conflict("ip6", "ip") }
            let value = try code(.icmpv6Code)
            try needNetwork("ip6")
            return .icmpv6(code: value)
        case "icmpx":
            guard view.family == .inet || view.family == .bridge || view.family == .netdev else { throw EvaluationError(message: "abstracted ICMP unreachable not supported", location: codeNode?.location ?? Self.keyword(node.location), others: codeNode == nil ? [] : [Self.keyword(node.location)]) }
            return .icmpx(code: try code(.icmpxCode))
        default:
            switch context.network {
            case "ip": return .icmp(code: 3)
            case "ip6": return .icmpv6(code: 4)
            default: return .icmpx(code: 1)
            }
        }
    }
}

extension SetOrder {
    /// Address ranges outside of sets, where a prefix is listed for them.
    static func canonicalRange(_ value: Expression) -> Expression {
        switch value {
        case .range, .concatenation: canonical(value)
        default: value
        }
    }
}
