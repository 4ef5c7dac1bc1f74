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

    /// `{ key : verdict, ... }`, a variable or a named map.
    func verdictMapSource() throws -> Node {
        let source = try mapSource()
        guard case .block(let items) = source.kind else { return source }
        for item in items {
            if case .symbol(let word)? = item.data?.kind {
                throw SyntaxError(message: "syntax error, unexpected \(Keywords.reserved.contains(word) ? word : word.utf8.first.map(Lexer.isDigit) == true ? "number" : "string")", location: item.data?.location ?? source.location)
            }
        }
        return source
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

    func binary(_ side: Side, _ marks: [(Token.Mark, String, BinaryOperator)], _ next: (Side) throws -> Node) throws -> Node {
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
    func exclusiveOr(_ side: Side) throws -> Node { try binary(side, [(.caret, "xor", .xor)], and) }
    func and(_ side: Side) throws -> Node { try binary(side, [(.ampersand, "and", .and)], shift) }
    func shift(_ side: Side) throws -> Node { try binary(side, [(.shiftLeft, "lshift", .shiftLeft), (.shiftRight, "rshift", .shiftRight)], primary) }

    /// What a match may name but no assignment may read.
    static let neverArguments: Set<String> = ["hbh", "rt", "rt0", "rt2", "srh", "frag", "dst", "mh", "exthdr"]

    func primary(_ side: Side) throws -> Node {
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
        case .openBrace:
            if isArgument, side == .left { throw unexpected() }
            return try setBlock(side)
        case .at:
            if peek(1).kind == .word, peek(2).mark == .comma {
                guard ["ll", "nh", "th", "ih"].contains(word(1)) else { throw SyntaxError(message: "unknown raw payload base", location: range(peek(1))) }
                return try rawPayload()
            }
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
            let name = text(token)
            if isArgument, side == .left, Self.neverArguments.contains(name), !(name == "rt" && ["classid", "nexthop", "mtu", "ipsec", "ip", "ip6"].contains(word(1))) {
                throw name == "rt" ? SyntaxError(message: "syntax error, unexpected \(word(1))", location: range(peek(1))) : unexpected()
            }
            if side == .left, let selector = try selector() { return selector }
            if side == .left, !isArgument, Protocols.named(name)?.fields.isEmpty == false, peek(1).kind == .word {
                advance()
                throw unexpected()
            }
            if side == .right, ["accept", "drop", "continue", "return", "jump", "goto", "map", "vmap", "set", "comment", "counter", "and", "or", "xor"].contains(name) {
                throw unexpected()
            }
            advance()
            return Node(.symbol(name), range(token))
        default: throw unexpected()
        }
    }

    func rawPayload() throws -> Node {
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

    func skipNewlinesBefore(_ mark: Token.Mark) {
        var distance = 0
        while peek(distance).kind == .newline { distance += 1 }
        if distance > 0, peek(distance).mark == mark { skipNewlines() }
    }

    func itemOptions(_ item: inout SetItem) throws {
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
}
