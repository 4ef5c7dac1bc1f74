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
            target.handle = try number()
            target.handleLocation = range(from: token.start)
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
        let second = peek()
        if isWord("handle"), peek(1).kind == .number {
            advance()
            target.handle = try number()
            target.handleLocation = range(from: second.start)
            return target
        }
        try name(&target)
        return target
    }

    // MARK: add, create, insert, replace

    private func addition(_ operation: CommandOperation, _ start: Int) throws {
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

    private func ruleAddition(_ operation: CommandOperation, _ start: Int) throws {
        let target = try chainTarget()
        var position = RulePosition.none
        let token = peek()
        if isWord("handle") || isWord("position"), peek(1).kind == .number {
            advance()
            position = .handle(try number(), range(from: token.start))
        } else if isWord("index"), peek(1).kind == .number {
            advance()
            position = .index(try number(), range(from: token.start))
        }
        emit(operation, .rule(target, try rule(), position), start)
    }

    private func objectAddition(_ operation: CommandOperation, _ kind: String, _ start: Int) throws {
        let target = try chainTarget()
        var comment: String?
        let value: ObjectSyntax
        if accept(.openBrace) {
            (value, comment) = try objectBody(kind)
        } else {
            value = try objectInline(kind)
        }
        emit(operation, .object(target, ObjectNode(name: target.name, location: target.nameLocation, value: value, comment: comment)), start)
    }

    private func objectInline(_ kind: String) throws -> ObjectSyntax {
        switch kind {
        case "counter":
            var packets: UInt64 = 0, bytes: UInt64 = 0
            if accept(word: "packets") {
                packets = try number()
                try expect(word: "bytes")
                bytes = try number()
            }
            return .counter(packets: packets, bytes: bytes)
        case "quota": return atEndOfRule() ? .quota(Quota(limit: 0, used: 0, isOver: false)) : .quota(try quota())
        case "limit": return .limit(try limit())
        case "synproxy": return .synproxy(try synproxy())
        case "secmark": return .secmark(try string())
        default: throw unexpected()
        }
    }

    /// Behind the opening brace, up to and with the closing one.
    private func objectBody(_ kind: String) throws -> (ObjectSyntax, String?) {
        var comment: String?
        var value: ObjectSyntax? = kind == "counter" ? .counter(packets: 0, bytes: 0) : kind == "quota" ? .quota(Quota(limit: 0, used: 0, isOver: false)) : nil
        var fields: [String: String] = [:]
        var numbers: [String: UInt64] = [:]
        var policy: [(String, UInt64, SourceRange)] = []
        var lines: [String] = []
        while true {
            skipSeparators()
            if accept(.closeBrace) { break }
            if try common() { continue }
            if accept(word: "comment") {
                comment = try string()
            } else {
                switch kind {
                case "counter", "quota", "limit", "synproxy", "secmark":
                    let here = try objectInline(kind)
                    if case .synproxy(var all)? = value, case .synproxy(let more) = here {
                        all.mss = more.mss ?? all.mss
                        all.windowScale = more.windowScale ?? all.windowScale
                        all.timestamp = all.timestamp || more.timestamp
                        all.sackPermitted = all.sackPermitted || more.sackPermitted
                        value = .synproxy(all)
                    } else {
                        value = here
                    }
                case "ct helper":
                    if accept(word: "type") {
                        fields["type"] = try quotedString()
                        try expect(word: "protocol")
                        fields["protocol"] = try string()
                    } else if accept(word: "l3proto") {
                        fields["l3proto"] = try string()
                    } else {
                        throw unexpected()
                    }
                case "ct timeout", "ct expectation":
                    switch word() {
                    case "protocol", "l3proto":
                        let key = text(advance())
                        fields[key] = try string()
                    case "policy" where kind == "ct timeout":
                        advance()
                        try expect(.assign)
                        try expect(.openBrace)
                        skipNewlines()
                        while peek().mark != .closeBrace {
                            let state = peek()
                            let name = try string()
                            try expect(.colon)
                            policy.append((name, try time() / 1000, range(state)))
                            skipNewlines()
                            if !accept(.comma) { break }
                            skipNewlines()
                        }
                        try expect(.closeBrace)
                    case "timeout" where kind == "ct expectation":
                        advance()
                        numbers["timeout"] = try time()
                    case "dport", "size":
                        let key = text(advance())
                        numbers[key] = try number()
                    default: throw unexpected()
                    }
                default: lines.append(try verbatimLine())
                }
            }
            if peek().mark != .closeBrace { try endOfStatement() }
        }
        switch kind {
        case "ct helper": value = .ctHelper(type: fields["type"], l4proto: fields["protocol"], l3proto: fields["l3proto"])
        case "ct timeout": value = .ctTimeout(l4proto: fields["protocol"], l3proto: fields["l3proto"], policy: policy)
        case "ct expectation":
            value = .ctExpectation(l4proto: fields["protocol"], l3proto: fields["l3proto"], port: numbers["dport"], timeout: numbers["timeout"], size: numbers["size"])
        case "tunnel": value = .tunnel(lines)
        default: break
        }
        guard let value else { throw unexpected() }
        return (value, comment)
    }

    /// The words up to the end of the line, nested braces included.
    private func verbatimLine() throws -> String {
        let start = peek().start
        var depth = 0
        while true {
            let token = peek()
            if token.kind == .end { throw unexpected() }
            if depth == 0, token.kind == .newline || token.mark == .semicolon || token.mark == .closeBrace { break }
            if token.mark == .openBrace { depth += 1 }
            if token.mark == .closeBrace { depth -= 1 }
            advance()
        }
        return range(from: start).text
    }

    // MARK: Tables

    private func table(_ operation: CommandOperation, _ start: Int) throws {
        let target = try tableTarget()
        var node = TableNode(family: target.family, name: target.table, location: target.tableLocation)
        if accept(.openBrace) {
            let box = Box(node)
            box.value.isBlock = true
            tableBody(box, untilEnd: false)
            node = box.value
        }
        emit(operation, .table(node), start)
    }

    /// The body of a table up to and with its closing brace; errors are reported and skipped here.
    func tableBody(_ box: Box<TableNode>, untilEnd: Bool) {
        let outer = (scope, block)
        if !untilEnd { scope = Scope(parent: outer.0) }
        block = .table(box)
        defer { (scope, block) = outer }
        while true {
            skipSeparators()
            let token = peek()
            if token.kind == .end {
                if !untilEnd { report(unexpected()) }
                return
            }
            if token.mark == .closeBrace {
                if !untilEnd { advance() }
                return
            }
            if diagnostics.count >= Self.maximumErrors { while peek().kind != .end { advance() }; return }
            do {
                try tableItem(box)
                try endOfStatement()
            } catch let error as SyntaxError {
                report(error)
                recover()
            } catch {}
        }
    }

    private func tableItem(_ box: Box<TableNode>) throws {
        if try common() { return }
        switch word() {
        case "comment":
            advance()
            box.value.comment = try string()
        case "flags":
            advance()
            repeat { box.value.flags.append(try identifier()) } while accept(.comma)
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

    private func tableObject(_ kind: String, _ box: Box<TableNode>) throws {
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
        while true {
            skipSeparators()
            let token = peek()
            if token.kind == .end {
                if !untilEnd { report(unexpected()) }
                return
            }
            if token.mark == .closeBrace {
                if !untilEnd { advance() }
                return
            }
            if diagnostics.count >= Self.maximumErrors { while peek().kind != .end { advance() }; return }
            do {
                try chainItem(box)
                try endOfStatement()
            } catch let error as SyntaxError {
                report(error)
                recover()
            } catch {}
        }
    }

    private func chainItem(_ box: Box<ChainNode>) throws {
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
                throw SyntaxError(message: "syntax error, unexpected string", location: range(token))
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

    private func hookName() throws -> String {
        guard peek().kind == .word else { throw unexpected(expecting: "string") }
        return text(advance())
    }

    /// `priority NAME|NUMBER|$var [+- NUMBER]`
    private func priority() throws -> (Node, Int64) {
        try expect(word: "priority")
        let token = peek()
        if token.mark == .dash || token.kind == .number {
            let value = try signedNumber()
            return (Node(.symbol(String(value)), range(from: token.start)), 0)
        }
        let base: Node
        if token.mark == .dollar {
            base = try variable()
        } else {
            guard token.kind == .word else { throw unexpected() }
            advance()
            base = Node(.symbol(text(token)), range(token))
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
        while true {
            skipSeparators()
            let token = peek()
            if token.kind == .end {
                if !untilEnd { report(unexpected()) }
                return
            }
            if token.mark == .closeBrace {
                if !untilEnd { advance() }
                return
            }
            if diagnostics.count >= Self.maximumErrors { while peek().kind != .end { advance() }; return }
            do {
                try setItemOfBlock(box)
                if peek().mark != .closeBrace { try endOfStatement() }
            } catch let error as SyntaxError {
                report(error)
                recover()
            } catch {}
        }
    }

    private func setItemOfBlock(_ box: Box<SetNode>) throws {
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
                default: throw unexpected()
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

    private func objectKindWord() -> ObjectKind? {
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

    private func typeList() throws -> [(name: String, location: SourceRange)] {
        var types: [(name: String, location: SourceRange)] = []
        repeat {
            let token = peek()
            guard token.kind == .word else { throw unexpected() }
            advance()
            types.append((text(token), range(token)))
        } while accept(.dot)
        return types
    }

    private func typeofExpression() throws -> Node {
        let start = peek().start
        var parts: [Node] = []
        repeat {
            parts.append(try inclusiveOr(.left))
        } while accept(.dot)
        return parts.count == 1 ? parts[0] : Node(.concatenation(parts), range(from: start))
    }

    // MARK: Flowtables

    private func flowtableBody(_ node: inout FlowtableNode) throws {
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

    // MARK: delete, destroy

    private func removal(_ operation: CommandOperation, _ start: Int) throws {
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
            let token = peek()
            if isWord("index") {
                advance()
                let index = try number()
                emit(operation, .named("rule index \(index)", target), start)
                return
            }
            try expect(word: "handle")
            target.handle = try number()
            target.handleLocation = range(from: token.start)
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

    private func wholesale(_ operation: CommandOperation, _ start: Int) throws {
        var kind = word()
        guard !kind.isEmpty else { throw unexpected() }
        advance()
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
        default: throw SyntaxError(message: "syntax error, unexpected string", location: range(from: start))
        }
    }

    private func atEndOfTarget() -> Bool { atEndOfRule() || isWord("table") }

    private func all(_ operation: CommandOperation, _ kind: String, _ start: Int) throws {
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
