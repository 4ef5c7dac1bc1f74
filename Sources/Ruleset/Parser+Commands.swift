// Commands and the blocks of tables, chains, sets, objects and flowtables.

extension Parser {
    static let objectWords = ["counter", "quota", "limit", "synproxy", "secmark", "tunnel"]

    func command() throws {
        if try common() { return }
        let start = peek().start
        guard peek().kind == .word else { throw unexpected() }
        let name = word()
        switch name {
        case "add", "create", "insert", "replace":
            advance()
            try addition(CommandOperation(rawValue: name) ?? .add, start)
        case "delete", "destroy":
            advance()
            try removal(CommandOperation(rawValue: name) ?? .delete, start)
        case "flush", "list", "reset", "get":
            advance()
            try wholesale(CommandOperation(rawValue: name) ?? .list, start)
        case "rename":
            advance()
            try expect(word: "chain")
            var target = try chainTarget()
            target.handle = nil
            emit(.rename, .rename(target, try identifier()), start)
        case "describe":
            advance()
            let what = try selector() ?? Node(.symbol(text(peek())), range(advance()))
            emit(.describe, .describe(what), start)
        case "monitor", "export", "import":
            advance()
            var words: [String] = []
            while peek().kind == .word { words.append(text(advance())) }
            emit(name == "monitor" ? .monitor : .export, .monitor(words), start)
        default: try addition(.add, start)
        }
    }

    func emit(_ operation: CommandOperation, _ subject: CommandSubject, _ start: Int) {
        commands.append(Command(operation: operation, subject: subject, location: range(from: start)))
    }

    // MARK: Targets

    func name(_ target: inout Target) throws {
        let token = peek()
        target.name = try identifier()
        target.nameLocation = range(token)
    }

    func tableTarget() throws -> Target {
        var target = Target(family: family() ?? .ip)
        let token = peek()
        if accept(word: "handle") {
            let token = peek()
            target.handle = try number()
            target.handleLocation = range(token)
            return target
        }
        target.table = try identifier()
        target.tableLocation = range(token)
        return target
    }

    func chainTarget() throws -> Target {
        var target = Target(family: family() ?? .ip)
        let token = peek()
        target.table = try identifier()
        target.tableLocation = range(token)
        if isWord("handle"), peek(1).kind == .number {
            advance()
            let handle = peek()
            target.handle = try number()
            target.handleLocation = range(handle)
            return target
        }
        try name(&target)
        return target
    }

    // MARK: add, create, insert, replace

    func addition(_ operation: CommandOperation, _ start: Int) throws {
        switch word() {
        case "table":
            advance()
            try table(operation, start)
        case "chain":
            advance()
            let target = try chainTarget()
            var chain = ChainNode(name: target.name, location: target.nameLocation)
            if peek().mark == .openBrace {
                advance()
                let box = Box(chain)
                chainBody(box, untilEnd: false)
                chain = box.value
            }
            let rules = chain.rules
            chain.rules = []
            emit(operation, .chain(target, chain), start)
            for rule in rules { emit(.add, .rule(target, rule, .none), start) }
        case "rule":
            advance()
            try ruleAddition(operation, start)
        case "set", "map":
            let isMap = isWord("map")
            advance()
            let target = try chainTarget()
            let box = Box(SetNode(name: target.name, location: target.nameLocation, isMap: isMap))
            try expect(.openBrace)
            setBody(box, untilEnd: false)
            emit(operation, .set(target, box.value), start)
        case "element":
            advance()
            let target = try chainTarget()
            let elements = peek().mark == .dollar ? try variable() : try setBlock(.right)
            emit(operation, .elements(target, elements), start)
        case "flowtable":
            advance()
            let target = try chainTarget()
            var node = FlowtableNode(name: target.name, location: target.nameLocation)
            if accept(.openBrace) { try flowtableBody(&node) }
            emit(operation, .flowtable(target, node), start)
        case "ct" where ["helper", "timeout", "expectation"].contains(word(1)):
            advance()
            let kind = "ct " + text(advance())
            try objectAddition(operation, kind, start)
        case let kind where Self.objectWords.contains(kind):
            advance()
            try objectAddition(operation, kind, start)
        default:
            if operation == .insert || operation == .replace || operation == .add, peek().kind == .word, start != peek().start {
                try ruleAddition(operation, start)
                return
            }
            throw unexpected()
        }
    }

    func ruleAddition(_ operation: CommandOperation, _ start: Int) throws {
        let target = try chainTarget()
        var position = RulePosition.none
        let token = peek()
        if isWord("handle") || isWord("position"), peek(1).kind == .number {
            // nft marks the number of a handle, but the whole of a position.
            let start = isWord("handle") ? peek(1).start : token.start
            advance()
            position = .handle(try number(), range(from: start))
        } else if isWord("index"), peek(1).kind == .number {
            advance()
            position = .index(try number(), range(from: token.start))
        }
        emit(operation, .rule(target, try rule(), position), start)
    }

    // MARK: delete, destroy

    func removal(_ operation: CommandOperation, _ start: Int) throws {
        var kind = word()
        switch kind {
        case "table":
            advance()
            let target = try tableTarget()
            if peek().mark == .openBrace {
                let box = Box(TableNode(family: target.family, name: target.table, location: target.tableLocation))
                advance()
                tableBody(box, untilEnd: false)
            }
            emit(operation, .named("table", target), start)
        case "rule":
            advance()
            var target = try chainTarget()
            if isWord("index") {
                advance()
                let index = try number()
                emit(operation, .named("rule index \(index)", target), start)
                return
            }
            try expect(word: "handle")
            let token = peek()
            target.handle = try number()
            target.handleLocation = range(token)
            emit(operation, .named("rule", target), start)
        case "element":
            advance()
            let target = try chainTarget()
            emit(operation, .elements(target, peek().mark == .dollar ? try variable() : try setBlock(.right)), start)
        case "ct":
            advance()
            kind = "ct " + text(advance())
            guard ObjectKind(rawValue: kind) != nil else { throw unexpected() }
            emit(operation, .named(kind, try chainTarget()), start)
        case "chain", "set", "map", "flowtable", "counter", "quota", "limit", "synproxy", "secmark", "tunnel":
            advance()
            let target = try chainTarget()
            if kind == "chain" || kind == "set" || kind == "map" || kind == "flowtable", accept(.openBrace) {
                if kind == "chain" {
                    let box = Box(ChainNode(name: target.name, location: target.nameLocation))
                    chainBody(box, untilEnd: false)
                    emit(operation, .chain(target, box.value), start)
                } else if kind == "flowtable" {
                    var node = FlowtableNode(name: target.name, location: target.nameLocation)
                    try flowtableBody(&node)
                    emit(operation, .flowtable(target, node), start)
                } else {
                    let box = Box(SetNode(name: target.name, location: target.nameLocation, isMap: kind == "map"))
                    setBody(box, untilEnd: false)
                    emit(operation, .named(kind, target), start)
                }
                return
            }
            emit(operation, .named(kind, target), start)
        default: throw unexpected()
        }
    }

    // MARK: list, flush, reset, get

    func wholesale(_ operation: CommandOperation, _ start: Int) throws {
        var kind = word()
        guard !kind.isEmpty else { throw unexpected() }
        let kindToken = advance()
        if kind == "ct" {
            guard peek().kind == .word else { throw unexpected() }
            kind = "ct " + text(advance())
        }
        if kind == "flow", accept(word: "table") { kind = "flowtable" }
        if kind == "flow", accept(word: "tables") { kind = "flowtables" }
        switch kind {
        case "table":
            emit(operation, .named("table", try tableTarget()), start)
        case "chain", "set", "map", "meter", "flowtable", "counter", "quota", "limit", "synproxy", "secmark", "ct helper", "ct timeout", "ct expectation", "tunnel":
            if kind.hasPrefix("ct "), atEndOfTarget() { try all(operation, kind + "s", start); return }
            emit(operation, .named(kind, try chainTarget()), start)
        case "rule":
            var target = try chainTarget()
            try expect(word: "handle")
            target.handle = try number()
            emit(operation, .named("rule", target), start)
        case "element":
            let target = try chainTarget()
            emit(operation, .elements(target, try setBlock(.right)), start)
        case "ruleset", "tables", "chains", "sets", "maps", "meters", "flowtables", "counters", "quotas", "limits", "synproxys", "secmarks", "rules", "hooks",
             "ct helpers", "ct timeouts", "ct expectations", "tunnels":
            try all(operation, kind, start)
        default:
            lookahead.insert(kindToken, at: 0)
            throw unexpected()
        }
    }

    func atEndOfTarget() -> Bool { atEndOfRule() || isWord("table") }

    func all(_ operation: CommandOperation, _ kind: String, _ start: Int) throws {
        let chosen = family()
        var table: String?
        if accept(word: "table") {
            let inner = family()
            table = try identifier()
            emit(operation, .all(kind, inner ?? chosen ?? .ip, table: table), start)
            return
        }
        if accept(word: "chain") {
            let target = try chainTarget()
            emit(operation, .named("rules of chain", target), start)
            return
        }
        if peek().kind == .word, kind != "hooks" { table = try identifier() }
        if kind == "hooks" { while !atEndOfRule() { advance() } }
        emit(operation, .all(kind, table == nil ? chosen : chosen ?? .ip, table: table), start)
    }
}
