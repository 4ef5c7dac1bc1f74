// Syntax to the checked form: selectors get types and positions, constants become values, sets are sorted and merged.
//
// Invariant: one evaluator serves one table and, through `context` and `output`, one rule at a time; what it throws is a
// message with a place, and a rule that throws leaves no trace.

/// What the evaluator may ask about the table that it works for.
struct TableView {
    var family: Family
    /// The table's name, for messages.
    var name = ""
    var set: (String) -> NamedSet?
    var setNames: () -> [String] = { [] }
    var object: (ObjectKind, String) -> Bool = { _, _ in true }
    var interfaces: [String]?
}

final class Evaluator {
    let view: TableView
    var context: ProtocolContext
    /// Matches that the expression being evaluated implies; taken by the statement it belongs to.
    var implied: [Statement] = []
    /// Matches that nft puts before everything else in the rule: the family that an extension header or an IP option implies.
    var leading: [Statement] = []
    /// For `typeof`: what the family does not have may still name a type.
    var isLenient = false
    /// The largest value that what stands on the left can give (`numgen`, hashes, yes and no of a socket), and its length in values.
    var limit: UInt128?
    /// Where rules of `jump { ... }` go: returns the chain's name.
    var anonymousChain: (([RuleNode]) throws -> String)?

    init(view: TableView) {
        self.view = view
        context = ProtocolContext(family: view.family)
    }

    func fail(_ message: String, _ node: Node) -> EvaluationError { EvaluationError(message: message, location: node.location) }

    // MARK: Selectors

    static func isSelector(_ node: Node) -> Bool {
        switch node.resolved.kind {
        case .payload, .rawPayload, .meta, .ct, .option, .fib, .route, .socket, .osf, .ipsec, .tunnel, .numgen, .jhash, .symhash, .map: true
        case .binary(_, let left, let right): isSelector(left) || isSelector(right)
        case .concatenation(let parts): parts.contains { isSelector($0) }
        default: false
        }
    }

    func require(_ header: ProtocolHeader, _ node: Node) throws {
        for match in try context.require(header, at: node.location) { implied.append(.match(match)) }
    }

    /// As `require`, for a header whose options are asked about.
    private func requireInFront(_ header: ProtocolHeader, _ node: Node) throws {
        leading = try context.require(header, at: node.location).map { .match($0) } + leading
    }

    /// An expression that reads the packet or its state.
    func selector(_ node: Node, expected: Datatype? = nil) throws -> Expression {
        switch node.resolved.kind {
        case .payload(let proto, let field, let tunnel): return try payload(proto, field, tunnel, node)
        case .rawPayload(let base, let offset, let length): return try rawPayload(base, offset, length, node)
        case .meta(let key):
            if !isLenient, [.ibrname, .obrname, .ibrpvid, .ibrvproto, .ibrhwaddr, .broute].contains(key), view.family != .bridge {
                throw fail("Could not process rule: Operation not supported", node)
            }
            if key == .nfproto, !isLenient, view.family != .inet { throw fail("meta nfproto is only useful in the inet family", node) }
            return .meta(key, type: MetaTypes.type(key))
        case .ct(let name, let direction, let family): return .ct(try conntrack(name, direction, family, node))
        case .option(let family, let name, let field, let raw): return try option(family, name, field, raw, node)
        case .fib(let flags, let result): return try fib(flags, result, node)
        case .route(let key, let family): return try route(key, family, node)
        case .socket(let key, let level):
            switch key {
            case "transparent": return .socket(.transparent, type: Datatypes.integer(1))
            case "wildcard": return .socket(.wildcard, type: Datatypes.integer(1))
            case "mark": return .socket(.mark, type: Datatypes.make(.mark))
            case "cgroupv2":
                if level > 255 { throw fail("cgroupv2 level is too large", node) }
                return .socket(.cgroupV2(level: Int(level)), type: Datatypes.make(.cgroupV2))
            default: throw fail("syntax error, unexpected string", node)
            }
        case .osf(let ttl, let version):
            if let ttl, ttl != "loose", ttl != "skip" { throw fail("invalid ttl option", node) }
            return .osf(ttl: ttl, version: version, type: Datatypes.make(.osfName))
        case .ipsec(let inbound, let number, let key):
            guard view.family == .ip || view.family == .ip6 || view.family == .inet else { throw fail("ipsec expression is only valid in ip/ip6/inet tables", node) }
            let type: Datatype
            switch key {
            case "reqid", "spi": type = Datatypes.integer(32)
            case "ip saddr", "ip daddr": type = Datatypes.make(.ipv4Address)
            case "ip6 saddr", "ip6 daddr": type = Datatypes.make(.ipv6Address)
            default: throw fail("syntax error, unexpected string", node)
            }
            return .ipsec(IPsecField(isInbound: inbound, number: Int(number), key: key, type: type))
        case .tunnel(let key):
            guard key == "path" || key == "id" else { throw fail("syntax error, unexpected string", node) }
            return .tunnel(key, type: key == "path" ? Datatypes.make(.boolean) : Datatypes.integer(32))
        case .numgen(let mode, let modulus, let offset):
            try checkModulus(modulus, offset, expected, node)
            return .numgen(mode, modulus: UInt32(modulus), offset: UInt32(offset), type: expected ?? Datatypes.integer(32))
        case .jhash(let key, let modulus, let seed, let offset):
            try checkModulus(modulus, offset, expected, node)
            let inner = try general(key, nil)
            return .jhash(inner, modulus: UInt32(modulus), seed: seed.map { UInt32(truncatingIfNeeded: $0) }, offset: UInt32(offset), type: expected ?? Datatypes.integer(32))
        case .symhash(let modulus, let offset):
            try checkModulus(modulus, offset, expected, node)
            return .symhash(modulus: UInt32(modulus), offset: UInt32(offset), type: expected ?? Datatypes.integer(32))
        default: throw fail("expression is not a selector", node)
        }
    }

    func checkModulus(_ modulus: UInt64, _ offset: UInt64, _ expected: Datatype?, _ node: Node) throws {
        let limit = expected.map { $0.bits >= 32 ? UInt64(UInt32.max) : (UInt64(1) << UInt64(max($0.bits, 1))) - 1 } ?? UInt64(UInt32.max)
        if modulus == 0 || modulus > UInt64(UInt32.max) || offset > UInt64(UInt32.max) || modulus &+ offset &- 1 > limit {
            throw fail(modulus == 0 ? "modulus must be greater than 0" : "Value \(modulus &+ offset &- 1) exceeds valid range 0-\(limit)", node)
        }
    }

    func payload(_ proto: String, _ name: String, _ tunnel: String?, _ node: Node) throws -> Expression {
        guard let header = Protocols.named(proto), let field = header.field(name) else { throw fail("unknown field", node) }
        if let tunnel {
            guard let outer = Protocols.named(tunnel) else { throw fail("unknown tunnel", node) }
            if tunnel == "gre", header.base == .link { throw fail("conflicting protocols specified: gre vs. \(proto)", node) }
            try require(outer, node)
            return .payload(PayloadField(base: header.base, offset: field.offset + (proto == "vlan" ? 112 : 0), length: field.length, proto: proto, field: name, type: field.type, tunnel: tunnel))
        }
        if header.name == "vxlan" || header.name == "geneve" {
            try require(header, node)
            return .payload(PayloadField(base: .inner, offset: field.offset, length: field.length, proto: proto, field: name, type: field.type, tunnel: proto, isTunnelHeader: true))
        }
        try require(header, node)
        try icmpDependency(header, name, node)
        var offset = field.offset
        if proto == "vlan" { offset += 112 + 32 * max(0, context.link.filter { $0 == "vlan" }.count - 1) }
        return .payload(PayloadField(base: header.base, offset: offset, length: field.length, proto: proto, field: name, type: field.type))
    }

    /// The ICMP types in which a field exists.
    static let icmpFieldTypes: [String: [UInt128]] = [
        "icmp id": [0, 8], "icmp sequence": [0, 8], "icmp gateway": [5], "icmp mtu": [3],
        "icmpv6 id": [128, 129], "icmpv6 sequence": [128, 129], "icmpv6 mtu": [2], "icmpv6 parameter-problem": [4], "icmpv6 max-delay": [130],
        "icmpv6 taddr": [130, 131, 132, 135, 136, 137], "icmpv6 daddr": [137],
    ]

    func icmpDependency(_ header: ProtocolHeader, _ name: String, _ node: Node) throws {
        guard let types = Self.icmpFieldTypes["\(header.name) \(name)"], let field = header.field("type") else { return }
        if !context.icmpTypes.isEmpty {
            if context.icmpTypes.allSatisfy(types.contains) { return }
            if context.icmpTypes.count == 1 { throw fail("conflicting statements for \(header.name) \(name)", node) }
        }
        context.icmpTypes = types
        let left = Expression.payload(PayloadField(base: .transport, offset: 0, length: 8, proto: header.name, field: "type", type: field.type))
        let right: Expression
        if types.count == 1 {
            right = .constant(Value(types[0], field.type))
        } else {
            let elements = types.map { SetElement(key: .constant(Value($0, field.type))) }
            right = .set(.anonymous(AnonymousSet(keyType: field.type, dataType: nil, isInterval: false, elements: elements)))
        }
        implied.append(.match(Match(left: left, operation: .equal, right: right, isImplicit: types.count == 1, location: node.location)))
    }

    func rawPayload(_ base: String, _ offset: UInt64, _ length: UInt64, _ node: Node) throws -> Expression {
        guard let base = PayloadBase(rawValue: base), length > 0, length <= 2048, offset <= 2048 else {
            throw fail(length == 0 ? "payload length must be greater than 0" : "raw payload offset or length is too large", node)
        }
        if length > 128 { throw fail("raw payload length must not exceed 128 bits", node) }
        // A plain field of the transport header has a name, once the transport is known.
        if base == .transport, length == 16, offset == 0 || offset == 16 {
            let proto = context.severalTransports ? "th" : context.transport.flatMap { ["tcp", "udp", "udplite", "dccp", "sctp"].contains($0) ? $0 : nil }
            if let proto, let field = Protocols.named(proto)?.fields.first(where: { $0.offset == Int(offset) && $0.length == 16 }) {
                var named = PayloadField(base: base, offset: Int(offset), length: 16, proto: proto, field: field.name, type: field.type)
                named.isRaw = true
                return .payload(named)
            }
        }
        return .payload(PayloadField(base: base, offset: Int(offset), length: Int(length), proto: "", field: "", type: Datatype(.hexInteger, bits: Int(length), byteOrder: .network)))
    }

    func conntrack(_ name: String, _ direction: ConntrackDirection?, _ family: AddressFamily?, _ node: Node) throws -> ConntrackField {
        guard let key = ConntrackKey(rawValue: name) else { throw fail("unknown conntrack key", node) }
        let namesFamily = family != nil
        var type: Datatype
        var family = family
        switch key {
        case .state: type = Datatypes.make(.ctState)
        case .direction: type = Datatypes.make(.ctDirection)
        case .status: type = Datatypes.make(.ctStatus)
        case .mark: type = Datatypes.make(.mark)
        case .expiration: type = Datatype(.time, bits: 32, byteOrder: .host)
        case .helper: type = Datatype(.string, bits: 128, byteOrder: .host)
        case .l3proto: type = Datatypes.make(.nfProto)
        case .protocol: type = Datatypes.make(.inetProtocol)
        case .protoSource, .protoDestination:
            // What the number means depends on the transport protocol; until the rule has tested that, nft gives it no type.
            type = context.transport == nil && !context.severalTransports ? Datatype(.invalid, bits: 16, byteOrder: .network) : Datatypes.make(.inetService)
        case .label: type = Datatypes.make(.ctLabel)
        case .packets, .bytes, .avgpkt: type = Datatypes.integer(64)
        case .zone: type = Datatypes.integer(16)
        case .event: type = Datatypes.make(.ctEvent)
        case .id: type = Datatypes.make(.ctID)
        case .secmark: type = Datatypes.integer(32)
        case .saddr, .daddr:
            if family == nil { family = context.network == "ip" ? .ip : context.network == "ip6" ? .ip6 : nil }
            else if let known = context.network, known != family?.rawValue {
                throw fail("conflicting network layer protocols specified: \(known) vs. \(family?.rawValue ?? "")", node)
            }
            guard let family else { throw fail("cannot determine ip protocol version, use \"ip \(name)\" or \"ip6 \(name)\" instead", node) }
            // No implied match, as in nft: the lookup itself fails for a connection of the other family.
            type = Datatypes.make(family == .ip ? .ipv4Address : .ipv6Address)
        }
        switch key {
        case .saddr, .daddr, .protocol, .protoSource, .protoDestination, .l3proto:
            if direction == nil, key == .saddr || key == .daddr || key == .protoSource || key == .protoDestination {
                throw fail("syntax error, unexpected string", node)
            }
        case .packets, .bytes, .avgpkt, .zone: break
        default: if direction != nil { throw fail("syntax error, unexpected \(name)", node) }
        }
        if key == .zone, direction == nil { type = Datatypes.integer(16) }
        var field = ConntrackField(key: key, direction: direction, family: family, type: type)
        field.namesFamily = namesFamily
        return field
    }

    func option(_ family: OptionFamily, _ name: String, _ field: String?, _ raw: (offset: UInt64, length: UInt64)?, _ node: Node) throws -> Expression {
        let presence = Datatypes.make(.boolean)
        // Options of a transport imply nothing: the kernel asks for the transport itself.
        func named(_ table: [(name: String, number: UInt8, fields: [ProtocolField])]) throws -> Expression {
            let known = table.first { $0.name == name }
            let number = known?.number ?? UInt8(truncatingIfNeeded: Numbers.unsigned(name) ?? 0)
            if let raw {
                guard raw.length > 0, raw.length <= 128, raw.offset <= 2048 else { throw fail("option offset or length is out of range", node) }
                return .option(OptionField(family: family, number: number, name: name, field: "", offset: Int(raw.offset), length: Int(raw.length), type: Datatype(.hexInteger, bits: Int(raw.length), byteOrder: .network), testsPresence: false))
            }
            guard let field else {
                return .option(OptionField(family: family, number: number, name: name, field: "", offset: 0, length: 8, type: presence, testsPresence: true))
            }
            if let found = known?.fields.first(where: { $0.name == field }) {
                return .option(OptionField(family: family, number: number, name: name, field: field, offset: found.offset, length: found.length, type: found.type, testsPresence: false))
            }
            if family == .tcpOption, field == "kind" || field == "length" {
                return .option(OptionField(family: family, number: number, name: name, field: field, offset: field == "kind" ? 0 : 8, length: 8, type: Datatypes.integer(8, .network), testsPresence: false))
            }
            if family == .extensionHeader, field.hasSuffix("]"), let open = field.firstIndex(of: "["), let index = Int(field[field.index(after: open)...].dropLast()), index >= 1, index <= 16 {
                return .option(OptionField(family: family, number: number, name: name, field: field, offset: 64 + 128 * (index - 1), length: 128, type: Datatypes.make(.ipv6Address), testsPresence: false))
            }
            throw fail("unknown field '\(field)'", node)
        }
        switch family {
        case .extensionHeader:
            if let known = context.network, known != "ip6" { throw fail("cannot use exthdr with \(known)", node) }
            if let header = Protocols.named("ip6") { try requireInFront(header, node) }
            return try named(Protocols.extensionHeaders)
        case .tcpOption: return try named(Protocols.tcpOptions)
        case .ipOption:
            if let known = context.network, known != "ip" { throw fail("cannot use exthdr with \(known)", node) }
            if let header = Protocols.named("ip") { try requireInFront(header, node) }
            return try named(Protocols.ipOptions)
        case .sctpChunk: return try named(Protocols.sctpChunks)
        case .dccpOption: return try named([])
        }
    }

    func fib(_ words: [String], _ result: String, _ node: Node) throws -> Expression {
        var flags: FIBFlags = []
        let known: [String: FIBFlags] = ["saddr": .saddr, "daddr": .daddr, "mark": .mark, "iif": .iif, "oif": .oif]
        for word in words {
            guard let flag = known[word] else { throw fail("syntax error, unexpected string", node) }
            flags.insert(flag)
        }
        guard let result = FIBResult(rawValue: result) else { throw fail("syntax error, unexpected string", node) }
        if flags.isDisjoint(with: [.saddr, .daddr]) { throw fail("fib: need either saddr or daddr", node) }
        if flags.isSuperset(of: [.saddr, .daddr]) { throw fail("fib: saddr and daddr are mutually exclusive", node) }
        if flags.isSuperset(of: [.iif, .oif]) { throw fail("fib: iif and oif are mutually exclusive", node) }
        let type: Datatype = switch result {
        case .oif: Datatypes.make(.interfaceIndex)
        case .oifname: Datatypes.make(.interfaceName)
        case .type: Datatypes.make(.fibAddressType)
        case .check: Datatypes.make(.boolean)
        }
        return .fib(flags, result, type: type)
    }

    func route(_ key: String, _ family: AddressFamily?, _ node: Node) throws -> Expression {
        guard let key = RouteKey(rawValue: key) else { throw fail("syntax error, unexpected string", node) }
        switch key {
        case .classid: return .route(.classid, family: nil, type: Datatypes.make(.realm))
        case .mtu: return .route(.mtu, family: nil, type: Datatypes.integer(16))
        case .ipsec: return .route(.ipsec, family: nil, type: Datatypes.make(.boolean))
        case .nexthop:
            let chosen = family ?? (context.network == "ip" ? .ip : context.network == "ip6" ? .ip6 : nil)
            guard let chosen else { throw fail("cannot determine ip protocol version, use \"ip nexthop\" or \"ip6 nexthop\" instead", node) }
            if let known = context.network, known != chosen.rawValue { throw fail("conflicting network layer protocols specified: \(known) vs. \(chosen.rawValue)", node) }
            return .route(.nexthop, family: chosen, type: Datatypes.make(chosen == .ip ? .ipv4Address : .ipv6Address))
        }
    }

    // MARK: Any expression

    /// An expression that may be constant or not. Constants get the expected type.
    func general(_ node: Node, _ expected: Datatype?) throws -> Expression {
        let real = node.resolved
        switch real.kind {
        case .map(let key, let source): return try map(key, source, expected: expected, node)
        case .binary(let operation, let left, let right): return try binary(operation, left, right, expected, node)
        case .concatenation(let parts):
            if let expected, expected.parts.count != parts.count { throw mismatch(expected, node) }
            var result: [Expression] = []
            for (index, part) in parts.enumerated() {
                if case .ct(let name, _, nil) = part.resolved.kind, name == "saddr" || name == "daddr" {
                    throw fail("can not use variable sized data types (invalid) in concat expressions", part)
                }
                let value = try general(part, expected?.parts[index])
                if value.type.bits == 0 { throw fail("can not use variable sized data types (\(value.type.name)) in concat expressions", part) }
                result.append(value)
            }
            return .concatenation(result)
        case .range(let low, let high) where Self.isSelector(low) || Self.isSelector(high):
            throw fail("range expressions must be constant", node)
        case .list where expected != nil && Datatypes.isBitmask(expected ?? Datatypes.integer(8)): return try constant(node, expected ?? Datatypes.integer(8))
        default:
            if Self.isSelector(real) {
                let result = try selector(real, expected: expected)
                if let expected, !compatible(result.type, expected) { throw mismatch(expected, node, result.type) }
                return result
            }
            guard let expected else { throw fail("No symbol type information", node) }
            return try constant(node, expected)
        }
    }

    func mismatch(_ expected: Datatype, _ node: Node, _ got: Datatype? = nil) -> EvaluationError {
        fail("datatype mismatch, expected \(Datatypes.description(expected))" + (got.map { ", expression has type \(Datatypes.description($0))" } ?? ""), node)
    }

    /// Whether a value of the first type may be stored where the second is wanted.
    func compatible(_ left: Datatype, _ right: Datatype) -> Bool {
        if left.isConcatenation != right.isConcatenation { return false }
        if left.isConcatenation { return left.components.count == right.components.count && zip(left.components, right.components).allSatisfy(compatible) }
        if left.basic == right.basic { return true }
        if right.basic == .mark { return !Datatypes.isString(left) && left.basic != .verdict }
        func numeric(_ type: Datatype) -> Bool { !Datatypes.isString(type) && type.basic != .ipv4Address && type.basic != .ipv6Address && type.basic != .verdict && type.basic != .etherAddress }
        return numeric(left) && numeric(right)
    }

    static func isConstant(_ expression: Expression) -> Value? { if case .constant(let value) = expression { value } else { nil } }

    func binary(_ operation: BinaryOperator, _ leftNode: Node, _ rightNode: Node, _ expected: Datatype?, _ node: Node) throws -> Expression {
        let leftSelects = Self.isSelector(leftNode), rightSelects = Self.isSelector(rightNode)
        if !leftSelects, !rightSelects {
            guard let expected else { throw fail("invalid expression", node) }
            return try constant(node, expected)
        }
        var left: Expression, right: Expression
        if leftSelects {
            left = try general(leftNode, nil)
            let operand = try operandType(left.type, operation, rightNode, expected)
            right = try general(rightNode, rightSelects ? nil : operand)
        } else {
            if operation == .shiftLeft || operation == .shiftRight { throw fail("Left hand side of shift must not be constant", node) }
            right = try general(rightNode, nil)
            left = try general(leftNode, try operandType(right.type, operation, leftNode, expected))
            swap(&left, &right)
        }
        if left.type.isConcatenation || Datatypes.isString(left.type) { throw fail("Binary operation (\(operation.rawValue)) is undefined for \(left.type.name) types", node) }
        var type = left.type
        if operation == .shiftLeft || operation == .shiftRight || right.type.bits > type.bits {
            let bits = max(type.bits, right.type.bits, expected?.bits ?? 0)
            type = Datatype(type.basic == .mark ? .mark : .hexInteger, bits: operation == .shiftLeft || operation == .shiftRight ? max(type.bits, expected?.bits ?? type.bits) : bits, byteOrder: type.byteOrder)
        }
        // (x OP a) OP b with constants folds.
        if case .binary(let inner, let base, let first, _) = left, inner == operation, let a = Self.isConstant(first), let b = Self.isConstant(right) {
            switch operation {
            case .and: return .binary(.and, base, .constant(Value(a.number & b.number, a.type)), type: type)
            case .or: return .binary(.or, base, .constant(Value(a.number | b.number, a.type)), type: type)
            case .xor: return .binary(.xor, base, .constant(Value(a.number ^ b.number, a.type)), type: type)
            default: break
            }
        }
        return .binary(operation, left, right, type: type)
    }

    func operandType(_ type: Datatype, _ operation: BinaryOperator, _ constantNode: Node, _ expected: Datatype?) throws -> Datatype {
        if operation == .shiftLeft || operation == .shiftRight { return Datatypes.integer(32) }
        // A constant that does not fit the field takes the width of what it is used for.
        if !Self.isSelector(constantNode), let expected, expected.bits > type.bits, case .symbol(let text) = constantNode.resolved.kind, let number = Numbers.wide(text), type.bits < 128, number >> UInt128(type.bits) != 0 {
            return Datatype(.hexInteger, bits: expected.bits, byteOrder: .host)
        }
        return type
    }

    // MARK: Verdicts

    func verdict(_ node: Node) throws -> Verdict {
        switch node.resolved.kind {
        case .verdict(let word, let target):
            switch word {
            case "accept": return .accept
            case "drop": return .drop
            case "continue": return .continue
            case "return": return .return
            default:
                guard let target else { throw fail("missing chain", node) }
                let name = try objectName(target)
                return word == "jump" ? .jump(name) : .goto(name)
            }
        case .anonymousChain(let word, let rules):
            guard let anonymousChain else { throw fail("a chain cannot be written here", node) }
            let name = try anonymousChain(rules)
            return word == "jump" ? .jump(name) : .goto(name)
        case .symbol(let text):
            switch text {
            case "accept": return .accept
            case "drop": return .drop
            case "continue": return .continue
            case "return": return .return
            default: throw fail("datatype mismatch, expected netfilter verdict", node)
            }
        default: throw fail("datatype mismatch, expected netfilter verdict", node)
        }
    }
}
