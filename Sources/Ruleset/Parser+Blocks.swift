// What stands between the braces of a table, a chain, a set or a flowtable.

extension Parser {
    // MARK: Tables

    func table(_ operation: CommandOperation, _ start: Int) throws {
        let target = try tableTarget()
        var node = TableNode(family: target.family, name: target.table, location: target.tableLocation)
        if accept(.openBrace) {
            let box = Box(node)
            tableBody(box, untilEnd: false)
            node = box.value
        }
        emit(operation, .table(node), start)
    }

    /// The items of a block up to and with its closing brace, or to the end of the input; `item` reads one with its end.
    private func items(untilEnd: Bool, _ item: () throws -> Void) {
        while true {
            skipSeparators()
            let token = peek()
            if token.kind == .end {
                // One message, of the innermost block: the others end at the same place.
                if !untilEnd, !reportedEnd { report(unexpected()) }
                if !untilEnd { reportedEnd = true }
                return
            }
            if token.mark == .closeBrace {
                if !untilEnd { advance() }
                return
            }
            if diagnostics.count >= Self.maximumErrors { while peek().kind != .end { advance() }; return }
            do {
                try item()
            } catch let error as SyntaxError {
                report(error)
                recover()
            } catch {}
        }
    }

    /// The body of a table up to and with its closing brace; errors are reported and skipped here.
    func tableBody(_ box: Box<TableNode>, untilEnd: Bool) {
        let outer = (scope, block)
        if !untilEnd { scope = Scope(parent: outer.0) }
        block = .table(box)
        defer { (scope, block) = outer }
        items(untilEnd: untilEnd) {
            try tableItem(box)
            try endOfStatement()
        }
    }

    func tableItem(_ box: Box<TableNode>) throws {
        if try common() { return }
        switch word() {
        case "comment":
            advance()
            box.value.comment = try string()
        case "flags":
            advance()
            repeat {
                let token = peek(), flag = try identifier()
                if !["dormant", "owner", "persist"].contains(flag) { throw SyntaxError(message: "unknown table option \(flag)", location: range(token)) }
                box.value.flags.append(flag)
            } while accept(.comma)
        case "chain":
            advance()
            let token = peek()
            let chain = Box(ChainNode(name: try identifier(), location: range(token)))
            try expect(.openBrace)
            chainBody(chain, untilEnd: false)
            box.value.chains.append(chain.value)
        case "set", "map":
            let isMap = isWord("map")
            advance()
            let token = peek()
            let set = Box(SetNode(name: try identifier(), location: range(token), isMap: isMap))
            try expect(.openBrace)
            setBody(set, untilEnd: false)
            box.value.sets.append(set.value)
        case "flowtable":
            advance()
            let token = peek()
            var node = FlowtableNode(name: try identifier(), location: range(token))
            try expect(.openBrace)
            try flowtableBody(&node)
            box.value.flowtables.append(node)
        case "ct" where ["helper", "timeout", "expectation"].contains(word(1)):
            advance()
            let kind = "ct " + text(advance())
            try tableObject(kind, box)
        case let kind where Self.objectWords.contains(kind):
            advance()
            try tableObject(kind, box)
        default: throw unexpected()
        }
    }

    func tableObject(_ kind: String, _ box: Box<TableNode>) throws {
        let token = peek()
        let name = try identifier()
        try expect(.openBrace)
        let (value, comment) = try objectBody(kind)
        box.value.objects.append(ObjectNode(name: name, location: range(token), value: value, comment: comment))
    }

    // MARK: Chains

    func chainBody(_ box: Box<ChainNode>, untilEnd: Bool) {
        let outer = (scope, block)
        if !untilEnd { scope = Scope(parent: outer.0) }
        block = .chain(box)
        defer { (scope, block) = outer }
        items(untilEnd: untilEnd) {
            try chainItem(box)
            try endOfStatement()
        }
    }

    func chainItem(_ box: Box<ChainNode>) throws {
        if try common() { return }
        switch word() {
        case "type" where peek(1).kind == .word && isWord("hook", 2):
            let start = advance().start
            box.value.typeLocation = range(peek())
            box.value.type = text(advance())
            advance()
            box.value.hookLocation = range(peek())
            box.value.hook = try hookName()
            if accept(word: "device") {
                box.value.devices = peek().mark == .dollar ? try variable() : Node(.quoted(try string()), range(from: start))
            } else if accept(word: "devices") {
                try expect(.assign)
                box.value.devices = peek().mark == .dollar ? try variable() : try setBlock(.right)
            }
            (box.value.priority, box.value.priorityOffset) = try priority()
            box.value.bodyLocation = range(from: start)
        case "policy":
            advance()
            let token = peek()
            box.value.policy = peek().mark == .dollar ? try variable() : Node(.symbol(text(advance())), range(token))
            if case .symbol(let name)? = box.value.policy?.kind, name != "accept", name != "drop" {
                throw SyntaxError(message: "syntax error, unexpected string, expecting accept or drop or '$'", location: range(token))
            }
        case "comment":
            advance()
            box.value.comment = try string()
        case "flags" where isWord("offload", 1):
            advance()
            advance()
            box.value.offload = true
        default: box.value.rules.append(try rule())
        }
    }

    func hookName() throws -> String {
        guard peek().kind == .word else { throw unexpected(expecting: "string") }
        return text(advance())
    }

    /// `priority NAME|NUMBER|$var [+- NUMBER]`
    func priority() throws -> (Node, Int64) {
        let start = peek().start
        try expect(word: "priority")
        let token = peek()
        if token.mark == .dash || token.kind == .number {
            let value = try signedNumber()
            return (Node(.symbol(String(value)), range(from: start)), 0)
        }
        let base: Node
        if token.mark == .dollar {
            base = try variable()
        } else {
            guard token.kind == .word else { throw unexpected() }
            advance()
            base = Node(.symbol(text(token)), range(from: start))
        }
        if accept(.dash) { return (base, -Int64(truncatingIfNeeded: min(try number(), 1 << 40))) }
        // `+` has no token of its own.
        let plus = peek()
        if plus.kind == .junk, text(plus) == "+" {
            advance()
            return (base, Int64(truncatingIfNeeded: min(try number(), 1 << 40)))
        }
        return (base, 0)
    }

    // MARK: Sets

    func setBody(_ box: Box<SetNode>, untilEnd: Bool) {
        let outer = (scope, block)
        if !untilEnd { scope = Scope(parent: outer.0) }
        block = .set(box)
        defer { (scope, block) = outer }
        items(untilEnd: untilEnd) {
            try setItemOfBlock(box)
            // The last item of a set may end at the brace.
            if peek().mark != .closeBrace { try endOfStatement() }
        }
    }

    func setItemOfBlock(_ box: Box<SetNode>) throws {
        if try common() { return }
        switch word() {
        case "type":
            advance()
            box.value.keyTypes = try typeList()
            if accept(.colon) {
                if accept(word: "interval") { box.value.hasIntervalData = true }
                if let kind = objectKindWord() { box.value.dataObject = kind } else { box.value.dataTypes = try typeList() }
            }
        case "typeof":
            advance()
            box.value.typeof = try typeofExpression()
            if accept(.colon) {
                if accept(word: "interval") { box.value.hasIntervalData = true }
                if let kind = objectKindWord() {
                    box.value.dataObject = kind
                } else if isWord("verdict") {
                    box.value.dataTypes = [("verdict", range(advance()))]
                } else if Datatypes.declared(word()) != nil, word(1) != "type", peek(1).mark != .dot {
                    // A listing of what came from JSON, where the data of a map is always a type.
                    box.value.dataTypes = [(word(), range(advance()))]
                } else {
                    box.value.dataTypeof = try typeofExpression()
                }
            }
        case "flags":
            let start = advance().start
            repeat {
                switch word() {
                case "constant": box.value.flags.insert(.constant)
                case "interval": box.value.flags.insert(.interval)
                case "timeout": box.value.flags.insert(.timeout)
                case "dynamic": box.value.flags.insert(.dynamic)
                default: throw unexpected(expecting: "constant or interval or dynamic or timeout")
                }
                advance()
            } while accept(.comma)
            box.value.flagsLocation = range(from: start)
        case "timeout":
            advance()
            box.value.timeout = try time()
        case "gc-interval":
            advance()
            box.value.gcInterval = try time()
        case "size":
            advance()
            box.value.size = try number()
        case "policy":
            advance()
            let token = peek()
            let policy = try string()
            guard policy == "performance" || policy == "memory" else { throw SyntaxError(message: "syntax error, unexpected string", location: range(token)) }
            box.value.policy = policy
        case "auto-merge":
            advance()
            box.value.autoMerge = true
        case "comment":
            advance()
            box.value.comment = try string()
        case "elements":
            advance()
            try expect(.assign)
            box.value.elements = peek().mark == .dollar ? try variable() : try setBlock(.right)
        case "counter", "limit", "quota", "last", "ct":
            while !atEndOfRule() { box.value.statements.append(try statefulStatement()) }
        default: throw unexpected()
        }
    }

    func objectKindWord() -> ObjectKind? {
        guard peek().kind == .word else { return nil }
        if isWord("ct"), let kind = ObjectKind(rawValue: "ct " + word(1)) {
            advance()
            advance()
            return kind
        }
        guard let kind = ObjectKind(rawValue: word()), Self.objectWords.contains(word()) else { return nil }
        advance()
        return kind
    }

    func typeList() throws -> [(name: String, location: SourceRange)] {
        var types: [(name: String, location: SourceRange)] = []
        repeat {
            let token = peek()
            guard token.kind == .word else { throw unexpected() }
            advance()
            types.append((text(token), range(token)))
        } while accept(.dot)
        return types
    }

    func typeofExpression() throws -> Node {
        let start = peek().start
        var parts: [Node] = []
        repeat {
            parts.append(try inclusiveOr(.left))
        } while accept(.dot)
        return parts.count == 1 ? parts[0] : Node(.concatenation(parts), range(from: start))
    }

    // MARK: Flowtables

    func flowtableBody(_ node: inout FlowtableNode) throws {
        while true {
            skipSeparators()
            if accept(.closeBrace) { return }
            if try common() { continue }
            switch word() {
            case "hook":
                advance()
                node.hook = try hookName()
                (node.priority, node.priorityOffset) = try priority()
            case "devices":
                advance()
                try expect(.assign)
                node.devices = peek().mark == .dollar ? try variable() : try setBlock(.right)
            case "counter":
                advance()
                node.counter = true
            case "flags":
                advance()
                try expect(word: "offload")
                node.offload = true
            default: throw unexpected()
            }
            if peek().mark != .closeBrace { try endOfStatement() }
        }
    }
}
