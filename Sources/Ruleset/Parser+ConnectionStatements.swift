// Statements on connections, addresses and sets: NAT, set updates from the packet path, conntrack, matches.

extension Parser {
    // MARK: NAT

    func natFlags() throws -> NATFlags {
        var flags: NATFlags = []
        let words: [String: NATFlags] = ["random": .random, "fully-random": .fullyRandom, "persistent": .persistent]
        guard words[word()] != nil else { return [] }
        repeat {
            guard let flag = words[word()] else { throw unexpected() }
            advance()
            flags.insert(flag)
        } while accept(.comma)
        return flags
    }

    func nat(_ kind: NATKind) throws -> StatementKind {
        advance()
        var address: Node?, port: Node?
        var family: AddressFamily?
        var prefix = false
        var concatenated = false
        if kind == .masquerade || kind == .redirect {
            if accept(word: "to") {
                if accept(.colon) { port = try argument() } else if kind == .redirect { port = try argument() } else { throw unexpected() }
            }
            return .nat(kind, family: nil, prefix: false, address: nil, port: port, flags: try natFlags())
        }
        if isWord("ip") || isWord("ip6"), ["to", "prefix", "interval", "addr"].contains(word(1)) {
            family = AddressFamily(rawValue: text(advance()))
            if accept(word: "addr") {
                // The older spelling `ip addr . port to`.
                try expect(.dot)
                try expect(word: "port")
                concatenated = true
            }
        }
        if accept(word: "prefix") { prefix = true } else { _ = accept(word: "interval") }
        if accept(word: "to") {
            if accept(.colon) {
                port = try argument()
                return .nat(kind, family: family, prefix: prefix, address: nil, port: port, flags: try natFlags())
            }
        } else if concatenated || prefix || family != nil {
            throw unexpected(expecting: "to")
        }
        address = try argument()
        if accept(.colon) { port = try argument() }
        return .nat(kind, family: family, prefix: prefix, address: address, port: port, flags: try natFlags())
    }

    func tproxy() throws -> StatementKind {
        advance()
        var family: AddressFamily?
        if isWord("ip") || isWord("ip6") { family = AddressFamily(rawValue: text(advance())) }
        try expect(word: "to")
        if accept(.colon) { return .tproxy(family: family, address: nil, port: try argument()) }
        let address = try argument()
        return .tproxy(family: family, address: address, port: accept(.colon) ? try argument() : nil)
    }

    func queue() throws -> StatementKind {
        let start = advance().start
        var target = Node(.symbol("0"), range(from: start))
        var bypass = false, fanout = false
        func flag() throws {
            if accept(word: "bypass") { bypass = true } else if accept(word: "fanout") { fanout = true } else { throw unexpected() }
        }
        if accept(word: "flags") {
            repeat { try flag() } while accept(.comma)
        }
        if accept(word: "to") {
            target = try expression(.left)
        } else if accept(word: "num") {
            let word = lastEnd - 3
            let value = try multiton(.right)
            target = Node(value.resolved.kind, range(from: word))
        }
        while isWord("bypass") || isWord("fanout") {
            try flag()
            _ = accept(.comma)
        }
        return .queue(target, bypass: bypass, fanout: fanout)
    }

    // MARK: Sets from the packet path

    func setUpdate() throws -> StatementKind {
        let operation = SetOperation(rawValue: text(advance())) ?? .add
        let reference = try setReference()
        try expect(.openBrace)
        skipNewlines()
        let item = try setItem(.left)
        skipNewlines()
        try expect(.closeBrace)
        return .setUpdate(operation, set: reference, item: item, meter: nil)
    }

    /// `set add KEY [options] @name`
    func oldSetUpdate() throws -> StatementKind {
        advance()
        let operation = SetOperation(rawValue: text(advance())) ?? .add
        let item = try setItem(.left)
        return .setUpdate(operation, set: try setReference(), item: item, meter: nil)
    }

    func meter() throws -> StatementKind {
        let start = advance().start
        let name = try identifier()
        var size: UInt64?
        if accept(word: "size") { size = try number() }
        try expect(.openBrace)
        skipNewlines()
        let key = try expression(.left)
        var item = SetItem(key: key, statements: [], location: key.location)
        if accept(word: "timeout") { item.timeout = try time() }
        item.statements.append(try statefulStatement())
        skipNewlines()
        try expect(.closeBrace)
        return .setUpdate(.update, set: Node(.setReference(name), range(from: start)), item: item, meter: (name, size))
    }

    // MARK: Conntrack

    func conntrackStatement() throws -> StatementKind? {
        switch word(1) {
        case "count": return try statefulStatement().kind
        case "helper" where isWord("set", 2), "timeout" where isWord("set", 2), "expectation" where isWord("set", 2):
            advance()
            let kind = text(advance())
            advance()
            return .object(ObjectKind(rawValue: "ct \(kind)") ?? .ctHelper, try objectName())
        default: return nil
        }
    }

    // MARK: Matches and assignments

    func matchStatement() throws -> StatementKind {
        let left = try concatenation(.left)
        let token = peek()
        if token.kind == .word {
            switch text(token) {
            case "vmap":
                advance()
                return .verdictMap(left, try verdictMapSource())
            case "set":
                switch left.kind {
                case .option(.extensionHeader, _, _, _): throw unexpected()
                case .payload, .rawPayload, .meta, .ct, .option:
                    advance()
                    return .set(left, try statementArgument())
                default: break
                }
            case "map":
                advance()
                let source = try mapSource()
                let mapped = Node(.map(left, source), left.location.joined(source.location))
                if accept(word: "vmap") { return .verdictMap(mapped, try verdictMapSource()) }
                let operation = relationalOperator()
                return .relational(mapped, operation, try rightHandSide(allowList: true))
            default: break
            }
        }
        let operation = relationalOperator()
        if operation == .less || operation == .greater || operation == .lessOrEqual || operation == .greaterOrEqual {
            return .relational(left, operation, try expression(.right))
        }
        let right = try relationalRight()
        if peek().mark == .slash {
            advance()
            let mask = try relationalRight()
            return .flagMatch(left, operation, value: right, mask: mask)
        }
        return .relational(left, operation, right)
    }

    /// Since 1.1.2 a selector may stand on the right side too: `meta mark == ct mark`.
    func relationalRight() throws -> Node {
        try rightHandSide(allowList: true)
    }

    /// A value that a statement takes.
    func argument() throws -> Node {
        isArgument = true
        defer { isArgument = false }
        return try expression(.left)
    }

    func statementArgument() throws -> Node {
        isArgument = true
        defer { isArgument = false }
        let start = peek().start
        let first = try expression(.left)
        guard peek().mark == .comma else { return first }
        var items = [first]
        while accept(.comma) { items.append(try expression(.left)) }
        return Node(.list(items), range(from: start))
    }

    func relationalOperator() -> RelationalOperator? {
        let token = peek()
        let found: RelationalOperator?
        switch token.mark {
        case .equal: found = .equal
        case .notEqual: found = .notEqual
        case .not: found = .noBit
        case .less: found = .less
        case .greater: found = .greater
        case .lessOrEqual: found = .lessOrEqual
        case .greaterOrEqual: found = .greaterOrEqual
        default:
            switch word() {
            case "eq": found = .equal
            case "ne", "neq": found = .notEqual
            case "lt": found = .less
            case "gt": found = .greater
            case "le": found = .lessOrEqual
            case "ge": found = .greaterOrEqual
            default: found = nil
            }
        }
        if found != nil { advance() }
        return found
    }
}
