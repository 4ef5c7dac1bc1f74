// Expressions. A left-hand side knows selectors (`ip saddr`, `meta mark`, `ct state`); a right-hand side takes words as symbols.

extension Parser {
    enum Side { case left, right }

    /// The right side of a match or definition: a value, range, prefix, concatenation, `{ set }`, `@set`, or a list.
    func rightHandSide(allowList: Bool) throws -> Node {
        let start = peek().start
        let first = try expression(.right)
        guard allowList, peek().mark == .comma else { return first }
        var items = [first]
        while accept(.comma) {
            skipNewlines()
            items.append(try expression(.right))
        }
        return Node(.list(items), range(from: start))
    }

    /// A concatenation with an optional `map` behind it.
    func expression(_ side: Side) throws -> Node {
        try nested {
            let start = peek().start
            let key = try concatenation(side)
            if side == .left || isWord("map"), accept(word: "map") {
                let source = try mapSource()
                return Node(.map(key, source), range(from: start))
            }
            return key
        }
    }

    func mapSource() throws -> Node {
        switch peek().mark {
        case .openBrace: try setBlock(.right)
        case .dollar: try variable()
        case .at: try setReference()
        default: throw unexpected()
        }
    }

    func setReference() throws -> Node {
        let start = peek().start
        try expect(.at)
        let name = try identifier()
        return Node(.setReference(name), range(from: start))
    }

    func concatenation(_ side: Side) throws -> Node {
        let start = peek().start
        let first = try multiton(side)
        guard peek().mark == .dot else { return first }
        var parts = [first]
        while accept(.dot) { parts.append(try multiton(side)) }
        return Node(.concatenation(parts), range(from: start))
    }

    /// A basic expression, or a prefix or range made of them.
    func multiton(_ side: Side) throws -> Node {
        let start = peek().start
        let first = try inclusiveOr(side)
        if peek().mark == .slash, peek(1).kind == .number || (peek(1).mark == .dollar && side == .right) {
            advance()
            let length = peek().mark == .dollar ? try variable() : Node(.symbol(text(peek())), range(advance()))
            return Node(.prefix(first, length), range(from: start))
        }
        if peek().mark == .dash {
            advance()
            let second = try inclusiveOr(side)
            return Node(.range(first, second), range(from: start))
        }
        return first
    }

    private func binary(_ side: Side, _ marks: [(Token.Mark, String, BinaryOperator)], _ next: (Side) throws -> Node) throws -> Node {
        let start = peek().start
        var left = try next(side)
        while true {
            var found: BinaryOperator?
            for (mark, name, operation) in marks where peek().mark == mark || isWord(name) { found = operation }
            guard let operation = found else { return left }
            advance()
            let right = try next(side)
            left = Node(.binary(operation, left, right), range(from: start))
        }
    }

    func inclusiveOr(_ side: Side) throws -> Node { try binary(side, [(.bar, "or", .or)], exclusiveOr) }
    private func exclusiveOr(_ side: Side) throws -> Node { try binary(side, [(.caret, "xor", .xor)], and) }
    private func and(_ side: Side) throws -> Node { try binary(side, [(.ampersand, "and", .and)], shift) }
    private func shift(_ side: Side) throws -> Node { try binary(side, [(.shiftLeft, "lshift", .shiftLeft), (.shiftRight, "rshift", .shiftRight)], primary) }

    private func primary(_ side: Side) throws -> Node {
        let token = peek()
        switch token.mark {
        case .openParenthesis:
            advance()
            let inner = try nested { try inclusiveOr(side) }
            try expect(.closeParenthesis)
            return inner
        case .openBracket:
            advance()
            let inner = try nested { try inclusiveOr(side) }
            try expect(.closeBracket)
            return inner
        case .dollar: return try variable()
        case .openBrace: return try setBlock(side)
        case .at:
            if ["ll", "nh", "th", "ih"].contains(word(1)), peek(2).mark == .comma { return try rawPayload() }
            return try setReference()
        default: break
        }
        switch token.kind {
        case .number, .literal:
            advance()
            return Node(.symbol(text(token)), range(token))
        case .quoted:
            advance()
            return Node(.quoted(text(token)), range(token))
        case .asterisk:
            advance()
            return Node(.wildcard(text(token)), range(token))
        case .word:
            if side == .left, let selector = try selector() { return selector }
            let name = text(token)
            if side == .right, ["accept", "drop", "continue", "return", "jump", "goto", "map", "vmap", "set", "comment", "counter", "and", "or", "xor"].contains(name) {
                throw unexpected()
            }
            advance()
            return Node(.symbol(name), range(token))
        default: throw unexpected()
        }
    }

    private func rawPayload() throws -> Node {
        let start = advance().start
        let base = text(advance())
        try expect(.comma)
        let offset = try number()
        try expect(.comma)
        let length = try number()
        return Node(.rawPayload(base: base, offset: offset, length: length), range(from: start))
    }

    // MARK: Sets in place

    /// `{ item, item, ... }`
    func setBlock(_ side: Side) throws -> Node {
        try nested {
            let start = peek().start
            try expect(.openBrace)
            var items: [SetItem] = []
            skipNewlines()
            while peek().mark != .closeBrace {
                items.append(try setItem(side))
                skipNewlines()
                if !accept(.comma) { break }
                skipNewlines()
            }
            try expect(.closeBrace)
            return Node(.block(items), range(from: start))
        }
    }

    func setItem(_ side: Side) throws -> SetItem {
        let start = peek().start
        let key: Node
        if peek().mark == .asterisk {
            key = Node(.catchAll, range(advance()))
        } else {
            key = try expression(side)
        }
        var item = SetItem(key: key, statements: [], location: key.location)
        try itemOptions(&item)
        skipNewlinesBefore(.colon)
        if accept(.colon) {
            skipNewlines()
            item.data = try verdict() ?? expression(side)
            try itemOptions(&item)
        }
        item.location = range(from: start)
        return item
    }

    private func skipNewlinesBefore(_ mark: Token.Mark) {
        var distance = 0
        while peek(distance).kind == .newline { distance += 1 }
        if distance > 0, peek(distance).mark == mark { skipNewlines() }
    }

    private func itemOptions(_ item: inout SetItem) throws {
        while peek().kind == .word {
            switch word() {
            case "timeout":
                advance()
                if accept(word: "never") { item.timeout = 0 } else { item.timeout = try time() }
            case "expires":
                advance()
                item.expires = accept(word: "never") ? 0 : try time()
            case "comment":
                advance()
                item.comment = try string()
            case "counter", "limit", "quota", "last", "ct": item.statements.append(try statefulStatement())
            default: return
            }
        }
    }

    // MARK: Verdicts

    /// A verdict, if one stands here.
    func verdict() throws -> Node? {
        let token = peek()
        guard token.kind == .word else { return nil }
        let name = text(token)
        switch name {
        case "accept", "drop", "continue", "return":
            advance()
            return Node(.verdict(name, nil), range(token))
        case "jump", "goto":
            advance()
            if peek().mark == .openBrace {
                let place = peek().start
                let rules = try nested { try ruleBlock() }
                return Node(.anonymousChain(name, rules), range(from: place))
            }
            if peek().mark == .dollar {
                let target = try variable()
                return Node(.verdict(name, target), range(from: token.start))
            }
            let target = peek()
            guard target.kind == .word || target.kind == .quoted else { throw unexpected(expecting: "string") }
            let chain = target.kind == .quoted ? text(advance()) : try identifier()
            return Node(.verdict(name, Node(.symbol(chain), range(target))), range(from: token.start))
        default: return nil
        }
    }

    /// `{ rule; rule; ... }`
    func ruleBlock() throws -> [RuleNode] {
        try expect(.openBrace)
        let outer = scope
        scope = Scope(parent: outer)
        defer { scope = outer }
        var rules: [RuleNode] = []
        while true {
            skipSeparators()
            if accept(.closeBrace) { return rules }
            if try common() { continue }
            rules.append(try rule())
            if peek().mark == .closeBrace { continue }
            try endOfStatement()
        }
    }

    // MARK: Selectors

    /// A selector, if one stands here; consumes nothing otherwise.
    func selector() throws -> Node? {
        let token = peek()
        let name = text(token), second = word(1)
        let start = token.start
        switch name {
        case "meta":
            guard let key = Self.metaKeys[second] else {
                advance()
                throw peek().kind == .word ? SyntaxError(message: "unknown meta key", location: range(peek())) : unexpected()
            }
            advance()
            advance()
            return Node(.meta(key), range(from: start))
        case "mark", "iif", "iifname", "iiftype", "oif", "oifname", "oiftype", "skuid", "skgid", "nftrace", "rtclassid", "ibriport", "obriport", "ibridgename",
             "obridgename", "ibrname", "obrname", "pkttype", "cpu", "iifgroup", "oifgroup", "cgroup", "time", "day", "hour":
            advance()
            return Self.metaKeys[name].map { Node(.meta($0), range(from: start)) }
        case "ct": return try conntrackSelector()
        case "fib":
            advance()
            var flags: [String] = []
            repeat { flags.append(try anyWord()) } while accept(.dot)
            let result = try anyWord()
            return Node(.fib(flags: flags, result: result), range(from: start))
        case "socket":
            advance()
            let key = try anyWord()
            var level: UInt64 = 0
            if key == "cgroupv2" {
                try expect(word: "level")
                level = try number()
            }
            return Node(.socket(key: key, level: level), range(from: start))
        case "osf":
            advance()
            var ttl: String?
            if accept(word: "ttl") { ttl = try anyWord() }
            let version = isWord("version")
            if !version { if !isWord("name") { throw unexpected() } }
            advance()
            return Node(.osf(ttl: ttl, version: version), range(from: start))
        case "ipsec":
            guard second == "in" || second == "out" else {
                advance()
                return Node(.meta(.ipsec), range(from: start))
            }
            advance()
            let inbound = text(advance()) == "in"
            var index: UInt64 = 0
            if accept(word: "spnum") { index = try number() }
            if index > 255 { throw SyntaxError(message: "value too large", location: range(from: start)) }
            var key = try anyWord()
            if key == "ip" || key == "ip6" { key += " " + (try anyWord()) }
            return Node(.ipsec(inbound: inbound, number: index, key: key), range(from: start))
        case "tunnel":
            advance()
            return Node(.tunnel(try anyWord()), range(from: start))
        case "numgen":
            advance()
            let mode: NumberGeneratorMode = accept(word: "inc") ? .incremental : .random
            if mode == .random { try expect(word: "random") }
            try expect(word: "mod")
            let modulus = try number()
            return Node(.numgen(mode, modulus: modulus, offset: accept(word: "offset") ? try number() : 0), range(from: start))
        case "jhash":
            advance()
            let key = try nested { try concatenation(.left) }
            try expect(word: "mod")
            let modulus = try number()
            let seed = accept(word: "seed") ? try number() : nil
            return Node(.jhash(key, modulus: modulus, seed: seed, offset: accept(word: "offset") ? try number() : 0), range(from: start))
        case "symhash":
            advance()
            try expect(word: "mod")
            let modulus = try number()
            return Node(.symhash(modulus: modulus, offset: accept(word: "offset") ? try number() : 0), range(from: start))
        case "exthdr":
            guard Protocols.extensionHeader(second) != nil else { return nil }
            advance()
            advance()
            return Node(.option(.extensionHeader, name: second, field: nil, raw: nil), range(from: start))
        case "rt":
            if second == "ip" || second == "ip6" {
                advance()
                let family = AddressFamily(rawValue: text(advance()))
                return Node(.route(key: try anyWord(), family: family), range(from: start))
            }
            if ["classid", "nexthop", "mtu", "ipsec"].contains(second) {
                advance()
                advance()
                return Node(.route(key: second, family: nil), range(from: start))
            }
            return try extensionHeaderSelector()
        case "hbh", "rt0", "rt2", "srh", "frag", "dst", "mh": return try extensionHeaderSelector()
        case "tcp" where second == "option": return try tcpOptionSelector()
        case "ip" where second == "option":
            advance()
            advance()
            let option = try anyWord()
            guard Protocols.ipOptions.contains(where: { $0.name == option }) else { throw SyntaxError(message: "unknown ip option '\(option)'", location: range(from: start)) }
            let field = isField(of: Protocols.ipOptions.first { $0.name == option }?.fields)
            return Node(.option(.ipOption, name: option, field: field, raw: nil), range(from: start))
        case "sctp" where second == "chunk":
            advance()
            advance()
            let chunk = try anyWord()
            guard let found = Protocols.sctpChunks.first(where: { $0.name == chunk }) else { throw SyntaxError(message: "syntax error, unexpected string", location: range(from: start)) }
            return Node(.option(.sctpChunk, name: chunk, field: isField(of: found.fields), raw: nil), range(from: start))
        case "dccp" where second == "option":
            advance()
            advance()
            let kind = try number()
            if kind > 255 { throw SyntaxError(message: "value too large", location: range(from: start)) }
            return Node(.option(.dccpOption, name: String(kind), field: nil, raw: nil), range(from: start))
        case "vxlan", "geneve", "gre", "gretap":
            if let header = Protocols.named(name), header.field(second) != nil {
                advance()
                advance()
                return Node(.payload(proto: name, field: second, tunnel: nil), range(from: start))
            }
            if Protocols.named(second) != nil, let inner = try payloadSelector(at: 1) {
                return Node(.payload(proto: inner.proto, field: inner.field, tunnel: name), range(from: start))
            }
            return nil
        default:
            if let found = try payloadSelector(at: 0) { return Node(.payload(proto: found.proto, field: found.field, tunnel: nil), range(from: start)) }
            return nil
        }
    }

    private func anyWord() throws -> String {
        guard peek().kind == .word else { throw unexpected(expecting: "string") }
        return text(advance())
    }

    private func isField(of fields: [ProtocolField]?) -> String? {
        let name = word()
        guard !name.isEmpty, fields?.contains(where: { $0.name == name }) == true else { return nil }
        advance()
        return name
    }

    /// `proto field` at a distance; consumes everything up to the field's end when it is one.
    private func payloadSelector(at distance: Int) throws -> (proto: String, field: String)? {
        let name = word(distance)
        guard let header = Protocols.named(name == "auth" ? "ah" : name), !header.fields.isEmpty else { return nil }
        var field = word(distance + 1)
        if field.isEmpty { return nil }
        if field == "proto", name == "ip" { field = "protocol" }
        var consumed = distance + 2
        if name == "arp", field == "saddr" || field == "daddr" {
            field += " " + word(distance + 2)
            consumed += 1
        }
        if name == "icmpv6" || name == "icmp", field == "seq" { field = "sequence" }
        if header.field(field) == nil { return nil }
        for _ in 0..<consumed { advance() }
        return (header.name, field)
    }

    private func extensionHeaderSelector() throws -> Node? {
        let start = peek().start
        let name = word(), field = word(1)
        guard let header = Protocols.extensionHeader(name) else { return nil }
        if peek(2).mark == .openBracket, field == "sid" || field == "addr" {
            advance()
            advance()
            advance()
            let index = try number()
            try expect(.closeBracket)
            return Node(.option(.extensionHeader, name: name, field: "\(field)[\(index)]", raw: nil), range(from: start))
        }
        guard header.fields.contains(where: { $0.name == field }) else { return nil }
        advance()
        advance()
        return Node(.option(.extensionHeader, name: name, field: field, raw: nil), range(from: start))
    }

    static let tcpOptionAliases = ["noop": "nop", "sack-permitted": "sack-perm", "sack_permitted": "sack-perm", "sackpermitted": "sack-perm", "echo": "echo"]

    func tcpOptionName() throws -> String {
        let token = peek()
        if token.kind == .number {
            let kind = try number()
            if kind > 255 { throw SyntaxError(message: "value too large", location: range(token)) }
            return Protocols.tcpOptions.first { UInt64($0.number) == kind && $0.name != "sack0" }?.name ?? String(kind)
        }
        guard token.kind == .word else { throw unexpected() }
        let raw = text(token)
        let name = Self.tcpOptionAliases[raw] ?? raw
        guard let option = Protocols.tcpOptions.first(where: { $0.name == name }) else { throw unexpected() }
        advance()
        return option.name == "sack0" ? "sack" : option.name
    }

    private func tcpOptionSelector() throws -> Node {
        let start = advance().start
        advance()
        if accept(.at) {
            let kind = try number()
            try expect(.comma)
            let offset = try number()
            try expect(.comma)
            let length = try number()
            if kind > 255 { throw SyntaxError(message: "value too large", location: range(from: start)) }
            return Node(.option(.tcpOption, name: String(kind), field: nil, raw: (offset, length)), range(from: start))
        }
        let name = try tcpOptionName()
        let fields = Protocols.tcpOptions.first { $0.name == name }?.fields ?? [ProtocolField(name: "kind", offset: 0, length: 8, basic: .integer), ProtocolField(name: "length", offset: 8, length: 8, basic: .integer)]
        return Node(.option(.tcpOption, name: name, field: isField(of: fields), raw: nil), range(from: start))
    }

    private func conntrackSelector() throws -> Node? {
        let start = advance().start
        var direction: ConntrackDirection?
        if let named = ConntrackDirection(rawValue: word()) {
            advance()
            direction = named
        }
        var family: AddressFamily?
        if direction != nil, let named = AddressFamily(rawValue: word()) {
            advance()
            family = named
        }
        let token = peek()
        let name = word()
        guard ConntrackKey(rawValue: name) != nil else { throw token.kind == .word ? SyntaxError(message: "syntax error, unexpected string", location: range(token)) : unexpected() }
        advance()
        return Node(.ct(name, direction: direction, family: family), range(from: start))
    }

    static let metaKeys: [String: MetaKey] = {
        var keys: [String: MetaKey] = [:]
        for key in MetaKey.allCases { keys[key.rawValue] = key }
        keys["ibriport"] = .ibrname
        keys["obriport"] = .obrname
        keys["ibridgename"] = .ibrname
        keys["obridgename"] = .obrname
        keys["secpath"] = .ipsec
        return keys
    }()
}
