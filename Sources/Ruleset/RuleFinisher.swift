// A rule's statements as the kernel gives them back: adjacent header fields compared in one go (which orders them), and
// matches that a later field implies hidden, wherever they came from.

struct RuleFinisher {
    let family: Family

    func finish(_ statements: [Statement]) -> [Statement] {
        hideDependencies(mergeFields(statements))
    }

    // MARK: Adjacent fields

    private func comparedField(_ statement: Statement) -> PayloadField? {
        guard case .match(let match) = statement, match.operation == .equal, case .payload(let field) = match.left, case .constant = match.right,
              field.tunnel == nil, !field.isTunnelHeader, !field.proto.isEmpty, field.offset % 8 == 0, field.length % 8 == 0 else { return nil }
        return field
    }

    private func rank(_ base: PayloadBase) -> Int {
        switch base {
        case .link: 0
        case .network: 1
        case .transport: 2
        case .inner: 3
        }
    }

    /// Within a run of matches, fields that touch are compared together: the later in the header moves to the earlier.
    private func mergeFields(_ input: [Statement]) -> [Statement] {
        var statements = input
        var start = 0
        while start < statements.count {
            guard case .match = statements[start] else { start += 1; continue }
            var end = start
            while end < statements.count, case .match = statements[end] { end += 1 }
            mergeRun(&statements, start, end)
            start = end
        }
        return statements
    }

    private func mergeRun(_ statements: inout [Statement], _ start: Int, _ end: Int) {
        var fields: [(index: Int, field: PayloadField)] = []
        for index in start..<end { if let field = comparedField(statements[index]) { fields.append((index, field)) } }
        guard fields.count > 1 else { return }
        fields.sort { a, b in
            let left = rank(a.field.base), right = rank(b.field.base)
            if left != right { return left < right }
            return a.field.offset != b.field.offset ? a.field.offset < b.field.offset : a.index < b.index
        }
        // Groups of touching fields of at most 16 bytes.
        var groups: [[(index: Int, field: PayloadField)]] = []
        for entry in fields {
            if let last = groups.last?.last, let first = groups.last?.first, last.field.base == entry.field.base, last.field.offset + last.field.length == entry.field.offset,
               entry.field.offset + entry.field.length - first.field.offset < 128 {
                groups[groups.count - 1].append(entry)
            } else {
                groups.append([entry])
            }
        }
        var order = Array(start..<end)
        for group in groups where group.count > 1 {
            let indices = group.map(\.index)
            // A field that says which protocol follows stays where it is; the others come to it.
            let key = group.first { Protocols.named($0.field.proto)?.key == $0.field.field }
            let anchor = key?.index ?? indices.min() ?? start
            guard let position = order.firstIndex(of: anchor) else { continue }
            order = order.enumerated().flatMap { place, index -> [Int] in
                if place == position { return indices }
                return indices.contains(index) ? [] : [index]
            }
        }
        let copy = statements
        for (place, index) in order.enumerated() { statements[start + place] = copy[index] }
    }

    // MARK: Dependencies

    private struct Dependency {
        var index: Int
        var isMeta: Bool
        var proto: String?
        var field: String
    }

    /// Which layer a match determines, and the protocol that it says.
    private func determines(_ match: Match) -> (layer: Int, proto: String?, isMeta: Bool, field: String)? {
        guard match.operation == .equal, case .constant(let value) = match.right else { return nil }
        switch match.left {
        case .meta(.l4proto, _): return (2, Protocols.transports.first { $0.number == value.number }?.name, true, "l4proto")
        case .meta(.nfproto, _): return (1, value.number == 2 ? "ip" : value.number == 10 ? "ip6" : nil, true, "nfproto")
        case .meta(.protocol, _):
            guard let name = Protocols.etherTypes.first(where: { $0.number == value.number })?.name, name != "vlan" else { return nil }
            return (1, name, true, "protocol")
        case .meta(.iiftype, _): return value.number == 1 ? (0, "ether", true, "iiftype") : nil
        case .payload(let field) where field.tunnel == nil:
            guard let header = Protocols.named(field.proto), header.key == field.field else { return nil }
            guard let upper = header.upperName(value.number), let next = Protocols.named(upper) else { return nil }
            return (rank(next.base), upper, false, field.proto)
        default: return nil
        }
    }

    private func hideDependencies(_ input: [Statement]) -> [Statement] {
        var statements = input
        var pending: [Int: Dependency] = [:]
        var icmpType: (index: Int, value: UInt128)?
        func hide(_ index: Int) {
            guard case .match(var match) = statements[index] else { return }
            match.isImplicit = true
            statements[index] = .match(match)
        }
        func show(_ index: Int) {
            guard case .match(var match) = statements[index] else { return }
            match.isImplicit = false
            statements[index] = .match(match)
        }
        func use(_ fieldBase: PayloadBase, _ proto: String, isKey: Bool) {
            let layer = proto == "vlan" ? 0 : rank(fieldBase)
            if let dependency = pending[layer], mayHide(dependency, proto, pending[1], statements) {
                hide(dependency.index)
                pending[layer] = nil
                if layer == 2, proto == "icmp" || proto == "icmpv6", let network = pending[1], network.isMeta, network.index + 1 == dependency.index, network.proto == (proto == "icmp" ? "ip" : "ip6") {
                    hide(network.index)
                    pending[1] = nil
                }
            }
            // In a table of one family, naming that family says nothing.
            if layer >= 1, family == .ip || family == .ip6, let network = pending[1], network.isMeta, network.proto == family.rawValue {
                hide(network.index)
                pending[1] = nil
            }
        }
        func useICMP(_ field: PayloadField) {
            if let types = Evaluator.icmpFieldTypes["\(field.proto) \(field.field)"], types.count == 1, let known = icmpType, known.value == types[0] {
                hide(known.index)
                icmpType = nil
            }
        }
        for index in statements.indices {
            switch statements[index] {
            case .match(let match):
                if match.isImplicit { show(index) }
                for field in fields(of: match.left) {
                    useICMP(field)
                    if field.tunnel != nil { use(.inner, field.tunnel ?? "", isKey: false); if field.tunnel == "gre" || field.tunnel == "gretap" { use(.transport, "gre", isKey: false) } else { use(.transport, "udp", isKey: false) }; continue }
                    if field.proto.isEmpty { continue }
                    use(field.isTunnelHeader ? .transport : field.base, field.isTunnelHeader ? "udp" : field.proto, isKey: false)
                }
                if case .payload(let field) = match.left, field.proto == "icmp" || field.proto == "icmpv6", field.field == "type", match.operation == .equal, case .constant(let value) = match.right {
                    icmpType = (index, value.number)
                }
                if let found = determines(match) {
                    pending[found.layer] = Dependency(index: index, isMeta: found.isMeta, proto: found.proto, field: found.field)
                }
            case .setPayload(let field, let value):
                for inner in [field] + fields(of: value) where !inner.proto.isEmpty {
                    useICMP(inner)
                    use(inner.base, inner.proto, isKey: false)
                }
                pending = [:]
                icmpType = nil
            case .verdictMap(let key, _):
                for field in fields(of: key) where !field.proto.isEmpty { use(field.base, field.proto, isKey: false) }
            case .reject(let kind):
                finishReject(kind, pending, &statements)
                pending = [:]
            case .nat(let nat):
                for expression in [nat.address, nat.port].compactMap({ $0 }) {
                    for field in fields(of: expression) where !field.proto.isEmpty { use(field.base, field.proto, isKey: false) }
                }
                if family == .inet, nat.address != nil, let network = pending[1], network.isMeta, network.field == "nfproto", nat.showsFamily { hide(network.index) }
                pending = [:]
            default:
                for expression in expressions(of: statements[index]) {
                    for field in fields(of: expression) where !field.proto.isEmpty {
                        useICMP(field)
                        use(field.base, field.proto, isKey: false)
                    }
                }
                pending = [:]
                icmpType = nil
            }
        }
        return statements
    }

    private func mayHide(_ dependency: Dependency, _ proto: String, _ network: Dependency?, _ statements: [Statement]) -> Bool {
        if !dependency.isMeta, dependency.field == "ip" || dependency.field == "ip6" {
            // `ip protocol tcp` also says that the packet is IPv4.
            if family == .inet || family == .bridge || family == .netdev { return false }
        }
        guard let said = dependency.proto else { return false }
        if said == proto || proto == "gretap" && said == "gre" { 
            if proto == "icmp" || proto == "icmpv6", let network, network.isMeta {
                // `meta nfproto ipv4 icmpv6 type ...` must stay whole.
                let matching = proto == "icmp" ? "ip" : "ip6"
                if network.proto != matching { return true }
            }
            return true
        }
        return false
    }

    /// A reject names the protocol that it answers; where it does, the match in front of it is hidden.
    private func finishReject(_ kind: RejectKind, _ pending: [Int: Dependency], _ statements: inout [Statement]) {
        func hide(_ dependency: Dependency?) {
            guard let dependency, case .match(var match) = statements[dependency.index] else { return }
            match.isImplicit = true
            statements[dependency.index] = .match(match)
        }
        switch kind {
        case .tcpReset:
            if family == .ip || family == .ip6, let dependency = pending[2], dependency.proto == "tcp" { hide(dependency) }
        case .icmp:
            if let dependency = pending[1], dependency.proto == "ip" { hide(dependency) }
        case .icmpv6:
            if let dependency = pending[1], dependency.proto == "ip6" { hide(dependency) }
        case .icmpx: break
        }
    }

    /// The header fields that an expression reads.
    func fields(of expression: Expression) -> [PayloadField] {
        switch expression {
        case .payload(let field): [field]
        case .concatenation(let parts): parts.flatMap(fields)
        case .binary(_, let left, let right, _): fields(of: left) + fields(of: right)
        case .map(let key, _, _): fields(of: key)
        case .jhash(let key, _, _, _, _): fields(of: key)
        case .option(let option):
            switch option.family {
            case .tcpOption: [marker(.transport, "tcp")]
            case .sctpChunk: [marker(.transport, "sctp")]
            case .dccpOption: [marker(.transport, "dccp")]
            case .ipOption: [marker(.network, "ip")]
            case .extensionHeader: [marker(.network, "ip6")]
            }
        case .ct(let field): field.key == .saddr || field.key == .daddr ? field.family.map { [marker(.network, $0.rawValue)] } ?? [] : []
        case .route(.nexthop, let routeFamily, _): routeFamily.map { [marker(.network, $0.rawValue)] } ?? []
        default: []
        }
    }

    private func marker(_ base: PayloadBase, _ proto: String) -> PayloadField {
        PayloadField(base: base, offset: 0, length: 0, proto: proto, field: "", type: Datatypes.integer(0))
    }

    private func expressions(of statement: Statement) -> [Expression] {
        switch statement {
        case .setMeta(_, let value), .setConntrack(_, let value), .object(_, let value): [value]
        case .setOption(let field, let value): [.option(field), value]
        case .resetOption(let field): [.option(field)]
        case .setUpdate(let update): [update.key] + (update.data.map { [$0] } ?? [])
        case .queue(let queue): [queue.target]
        case .tproxy(_, _, let address, let port): [address, port].compactMap { $0 }
        case .duplicate(let address, let device): [address, device].compactMap { $0 }
        case .forward(let device, let address, _): [device] + (address.map { [$0] } ?? [])
        default: []
        }
    }
}
