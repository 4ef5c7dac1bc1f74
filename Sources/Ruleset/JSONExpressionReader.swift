// Expressions of libnftables-json as syntax.

struct JSONExpressionReader {
    let reader: JSONReader
    private func node(_ kind: NodeKind) -> Node { reader.node(kind) }
    private func fail(_ message: String) -> SyntaxError { reader.fail(message) }

    func expression(_ value: JSON, _ side: Parser.Side) throws -> Node {
        switch value {
        case .string(let text):
            if text.hasPrefix("@"), text.utf8.count > 1 { return node(.setReference(String(text.dropFirst()))) }
            if text == "*" { return node(.catchAll) }
            if text.hasSuffix("*") { return node(.wildcard(text)) }
            if text.hasPrefix("$") { throw fail("unknown identifier '\(text.dropFirst())'") }
            if Numbers.wide(text) != nil || text.contains(":") || text.contains(".") { return node(.symbol(text)) }
            return node(.quoted(text))
        case .int(let number): return node(.symbol(String(number)))
        case .large(let number): return node(.symbol(String(number)))
        case .real(let number): return node(.symbol(number >= 0 && number < 3e38 ? String(UInt128(number)) : "0"))
        case .bool(let flag): return node(.symbol(flag ? "exists" : "missing"))
        case .array(let items):
            return node(.list(try items.map { try expression($0, side) }))
        case .null: throw fail("an expression must not be null")
        case .dictionary(let members):
            guard let (key, body) = members.first.map({ ($0.key, $0.value) }) else { throw fail("an expression must not be empty") }
            return try object(key, body, side)
        }
    }

    private func text(_ value: JSON?, _ what: String) throws -> String {
        guard let text = value?.text else { throw fail("\(what) is missing") }
        return text
    }

    private func object(_ key: String, _ body: JSON, _ side: Parser.Side) throws -> Node {
        switch key {
        case "concat":
            guard let items = body.items, !items.isEmpty else { throw fail("concat needs an array") }
            return node(.concatenation(try items.map { try expression($0, side) }))
        case "set":
            guard let items = body.items else { return node(.block([try reader.element(body)])) }
            return node(.block(try items.map(reader.element)))
        case "map":
            guard let inner = body["key"], let data = body["data"] else { throw fail("map needs key and data") }
            return node(.map(try expression(inner, .left), try expression(data, .right)))
        case "prefix":
            guard let address = body["addr"], let length = body["len"] else { throw fail("prefix needs addr and len") }
            return node(.prefix(try expression(address, side), try expression(length, .right)))
        case "range":
            guard let bounds = body.items, bounds.count == 2 else { throw fail("range needs two values") }
            return node(.range(try expression(bounds[0], side), try expression(bounds[1], side)))
        case "|", "&", "^", "<<", ">>":
            guard let operation = BinaryOperator(rawValue: key), let operands = body.items, operands.count >= 2 else { throw fail("'\(key)' needs two operands") }
            var result = try expression(operands[0], side)
            for operand in operands.dropFirst() { result = node(.binary(operation, result, try expression(operand, side))) }
            return result
        case "payload":
            if let base = body["base"]?.text { return node(.rawPayload(base: base, offset: body["offset"]?.integer ?? 0, length: body["len"]?.integer ?? 0)) }
            let proto = try text(body["protocol"], "payload protocol"), field = try text(body["field"], "payload field")
            guard let header = Protocols.named(proto), header.field(field) != nil else { throw fail("Unknown payload \(proto) \(field)") }
            let tunnel = body["tunnel"]?.text
            return node(.payload(proto: proto, field: field, tunnel: tunnel == proto ? nil : tunnel))
        case "meta":
            guard let meta = Parser.metaKeys[try text(body["key"], "meta key")] else { throw fail("Unknown meta key") }
            return node(.meta(meta))
        case "ct":
            var name = try text(body["key"], "ct key")
            var family = body["family"]?.text.flatMap(AddressFamily.init(rawValue:))
            if let space = name.firstIndex(of: " ") {
                family = AddressFamily(rawValue: String(name[..<space]))
                name = String(name[name.index(after: space)...])
            }
            return node(.ct(name, direction: body["dir"]?.text.flatMap(ConntrackDirection.init(rawValue:)), family: family))
        case "exthdr":
            var name = try text(body["name"], "exthdr name")
            if name == "rt4" { name = "srh" }
            guard Protocols.extensionHeader(name) != nil else { throw fail("Unknown exthdr '\(name)'") }
            return node(.option(.extensionHeader, name: name, field: body["field"]?.text, raw: nil))
        case "tcp option":
            if let base = body["base"]?.integer {
                let offset = body["offset"]?.integer ?? 0, length = body["len"]?.integer ?? 0
                if offset == 0, length == 8 { return node(.option(.tcpOption, name: Protocols.tcpOptions.first { UInt64($0.number) == base }?.name ?? String(base), field: nil, raw: nil)) }
                return node(.option(.tcpOption, name: String(base), field: nil, raw: (offset, length)))
            }
            let name = try text(body["name"], "tcp option name")
            let known = Parser.tcpOptionAliases[name] ?? name
            guard Protocols.tcpOptions.contains(where: { $0.name == known }) || UInt8(known) != nil else { throw fail("Unknown tcp option '\(name)'") }
            return node(.option(.tcpOption, name: known == "sack0" ? "sack" : known, field: body["field"]?.text, raw: nil))
        case "ip option":
            let name = try text(body["name"], "ip option name")
            guard Protocols.ipOptions.contains(where: { $0.name == name }) else { throw fail("Unknown ip option '\(name)'") }
            return node(.option(.ipOption, name: name, field: body["field"]?.text, raw: nil))
        case "sctp chunk":
            let name = try text(body["name"], "sctp chunk name")
            guard Protocols.sctpChunks.contains(where: { $0.name == name }) else { throw fail("Unknown sctp chunk '\(name)'") }
            return node(.option(.sctpChunk, name: name, field: body["field"]?.text, raw: nil))
        case "dccp option": return node(.option(.dccpOption, name: String(min(body["type"]?.integer ?? 0, 255)), field: nil, raw: nil))
        case "fib":
            let flags: [String] = body["flags"]?.text.map { [$0] } ?? body["flags"]?.items?.compactMap(\.text) ?? []
            return node(.fib(flags: flags, result: try text(body["result"], "fib result")))
        case "rt": return node(.route(key: try text(body["key"], "rt key"), family: body["family"]?.text.flatMap(AddressFamily.init(rawValue:))))
        case "socket": return node(.socket(key: try text(body["key"], "socket key"), level: body["level"]?.integer ?? 0))
        case "osf": return node(.osf(ttl: body["ttl"]?.text, version: body["key"]?.text == "version"))
        case "ipsec":
            var name = try text(body["key"], "ipsec key")
            if let family = body["family"]?.text { name = "\(family) \(name)" }
            return node(.ipsec(inbound: body["dir"]?.text != "out", number: body["spnum"]?.integer ?? 0, key: name))
        case "tunnel": return node(.tunnel(try text(body["key"], "tunnel key")))
        case "numgen":
            return node(.numgen(body["mode"]?.text == "random" ? .random : .incremental, modulus: body["mod"]?.integer ?? 0, offset: body["offset"]?.integer ?? 0))
        case "jhash":
            guard let inner = body["expr"] else { throw fail("jhash needs expr") }
            return node(.jhash(try expression(inner, .left), modulus: body["mod"]?.integer ?? 0, seed: body["seed"]?.integer, offset: body["offset"]?.integer ?? 0))
        case "symhash": return node(.symhash(modulus: body["mod"]?.integer ?? 0, offset: body["offset"]?.integer ?? 0))
        case "accept", "drop", "continue", "return": return node(.verdict(key, nil))
        case "jump", "goto":
            if let rules = body["chain"]?.items {
                return node(.anonymousChain(key, try rules.map { rule in
                    RuleNode(statements: try (rule.items ?? [rule]).map { try JSONStatementReader(reader: reader).statement($0) }, comment: nil, location: reader.place)
                }))
            }
            return node(.verdict(key, node(.symbol(try text(body["target"], "\(key) target")))))
        case "elem":
            guard let inner = body["val"] else { throw fail("elem needs val") }
            return try expression(inner, side)
        default: throw fail("Unknown expression type '\(key)'")
        }
    }
}
