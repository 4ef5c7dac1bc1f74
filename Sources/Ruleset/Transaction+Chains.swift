// Chains: base chain parameters, priorities, and the graph of jumps.

enum Priorities {
    /// Name, value, and the hooks that the name is for (empty: all).
    static func table(_ family: Family) -> [(name: String, value: Int32, hooks: [ChainHook])] {
        switch family {
        case .bridge: [("dstnat", -300, [.prerouting]), ("filter", -200, []), ("out", 100, [.output]), ("srcnat", 300, [.postrouting])]
        case .arp, .netdev: [("filter", 0, [])]
        default: [("raw", -300, []), ("mangle", -150, []), ("dstnat", -100, [.prerouting, .output]), ("filter", 0, []), ("security", 50, []), ("srcnat", 100, [.postrouting, .input])]
        }
    }

    static func value(_ name: String, family: Family, hook: ChainHook) -> Int32? {
        let rows = hook == .ingress || hook == .egress ? table(.netdev) : table(family)
        guard let row = rows.first(where: { $0.name == name }), row.hooks.isEmpty || row.hooks.contains(hook) else { return nil }
        return row.value
    }

    /// As listed: a name when the number is within ten of one.
    static func text(_ priority: Int32, family: Family, hook: ChainHook) -> String {
        let rows = hook == .ingress || hook == .egress ? table(.netdev) : table(family)
        for row in rows where (row.hooks.isEmpty || row.hooks.contains(hook)) && row.name != "" {
            let difference = Int64(priority) - Int64(row.value)
            if abs(difference) <= 10 {
                return difference == 0 ? row.name : difference > 0 ? "\(row.name) + \(difference)" : "\(row.name) - \(-difference)"
            }
        }
        return String(priority)
    }
}

extension Transaction {
    func addChain(_ operation: CommandOperation, _ table: Int, _ node: ChainNode) throws {
        let family = value.tables[table].family
        var base: BaseChain?
        if let typeName = node.type {
            guard let type = ChainType(rawValue: typeName) else { throw EvaluationError(message: "unknown chain type", location: node.typeLocation) }
            guard let hookName = node.hook, let hook = ChainHook(rawValue: hookName) else { throw EvaluationError(message: "unknown chain hook", location: node.hookLocation) }
            try checkHook(family, type, hook, node)
            let priority = try self.priority(node.priority, node.priorityOffset, family, hook)
            if type == .nat, priority <= -200 { throw kernel(Self.unsupported, node.location) }
            let devices = try node.devices.map { try self.devices($0) } ?? []
            if devices.isEmpty, family == .inet && hook == .ingress {
                throw kernel("No such file or directory", node.location)
            }
            if !devices.isEmpty, family != .netdev, hook != .ingress { throw kernel(Self.unsupported, node.location) }
            base = BaseChain(type: type, hook: hook, priority: priority, policy: .accept, devices: devices)
        }
        var policy: ChainPolicy?
        if let node = node.policy {
            let evaluator = self.evaluator(table)
            guard let named = ChainPolicy(rawValue: try evaluator.objectName(node)) else { throw EvaluationError(message: "invalid policy expression value in this context", location: node.location) }
            policy = named
        }
        if let index = chain(table, node.name) {
            if operation == .create { throw kernel(Self.exists, node.location) }
            let old = value.tables[table].chains[index]
            if let base {
                guard let existing = old.base, existing.type == base.type, existing.hook == base.hook, existing.priority == base.priority else { throw kernel(Self.exists, node.location) }
                for device in base.devices where !existing.devices.contains(device) { value.tables[table].chains[index].base?.devices.append(device) }
            }
            if let policy {
                if old.base == nil { throw kernel(Self.unsupported, node.location) }
                value.tables[table].chains[index].base?.policy = policy
            }
            return
        }
        if let policy {
            if base == nil { throw kernel(Self.unsupported, node.location) }
            base?.policy = policy
        }
        try checkName(node.name, node.location)
        var chain = Chain(name: node.name, handle: nextHandle(table), base: base, comment: node.comment)
        chain.isHardwareOffload = node.offload
        chain.location = node.location
        if base != nil { chain.registration = nextRegistration() }
        appendChain(chain, table)
        note(.add, table, .chain(chain))
    }

    func nextRegistration() -> UInt64 {
        defer { value.nextRegistration += 1 }
        return value.nextRegistration
    }

    private func checkHook(_ family: Family, _ type: ChainType, _ hook: ChainHook, _ node: ChainNode) throws {
        let allowed: [ChainHook] = switch (family, type) {
        case (.arp, .filter): [.input, .output]
        case (.netdev, .filter): [.ingress, .egress]
        case (.bridge, .filter): [.prerouting, .input, .forward, .output, .postrouting]
        case (.inet, .filter): [.prerouting, .input, .forward, .output, .postrouting, .ingress]
        case (.ip, .filter), (.ip6, .filter): [.prerouting, .input, .forward, .output, .postrouting]
        case (.inet, .nat), (.ip, .nat), (.ip6, .nat): [.prerouting, .input, .output, .postrouting]
        case (.ip, .route), (.ip6, .route), (.inet, .route): [.output]
        default: []
        }
        if allowed.isEmpty { throw kernel(Self.missing, node.location) }
        if !allowed.contains(hook) {
            let known: [ChainHook] = family == .arp ? [.input, .output] : family == .netdev ? [.ingress, .egress] : ChainHook.allCases(in: family)
            if !known.contains(hook) { throw EvaluationError(message: "The \(family.rawValue) family does not support this hook", location: node.hookLocation) }
            throw kernel(Self.unsupported, node.location)
        }
    }

    func priority(_ node: Node?, _ offset: Int64, _ family: Family, _ hook: ChainHook) throws -> Int32 {
        guard let node else { return 0 }
        let text: String
        switch node.resolved.kind {
        case .symbol(let word), .quoted(let word): text = word
        default: throw EvaluationError(message: "invalid priority expression value in this context.", location: node.location)
        }
        var value: Int64
        // A variable may hold `filter + 10` in quotes.
        let words = text.split(separator: " ").map(String.init)
        if let number = Int64(text) {
            value = number
        } else if let name = words.first, let base = Priorities.value(name, family: family, hook: hook) {
            value = Int64(base)
            if words.count == 3, let amount = Int64(words[2]), words[1] == "+" || words[1] == "-" { value += words[1] == "+" ? amount : -amount }
        } else {
            throw EvaluationError(message: "invalid priority expression value in this context.", location: node.location)
        }
        value += offset
        guard let result = Int32(exactly: value) else { throw EvaluationError(message: "priority is out of range", location: node.location) }
        return result
    }

    func devices(_ node: Node) throws -> [String] {
        var result: [String] = []
        func add(_ node: Node, _ depth: Int) throws {
            if depth > 8 { throw EvaluationError(message: "devices are nested too deeply", location: node.location) }
            switch node.resolved.kind {
            case .symbol(let text), .quoted(let text), .wildcard(let text):
                if text.utf8.count >= 16 { throw EvaluationError(message: "String exceeds maximum length of 16", location: node.location) }
                if !result.contains(text) { result.append(text) }
            case .block(let items): for item in items { try add(item.key, depth + 1) }
            case .list(let items): for item in items { try add(item, depth + 1) }
            default: throw EvaluationError(message: "invalid device name", location: node.location)
            }
        }
        try add(node, 0)
        return result
    }

    /// `delete chain ... { devices = { } }` takes devices away.
    func removeDevices(_ command: Command, _ target: Target, _ node: ChainNode) throws {
        let (table, index) = try chain(target)
        guard let node = node.devices else { return }
        for device in try devices(node) {
            guard value.tables[table].chains[index].base?.devices.contains(device) == true else { throw kernel(Self.missing, command.location) }
            value.tables[table].chains[index].base?.devices.removeAll { $0 == device }
        }
    }

    func renameReferences(_ table: Int, _ old: String, _ new: String) {
        func renamed(_ verdict: Verdict) -> Verdict {
            switch verdict {
            case .jump(old): .jump(new)
            case .goto(old): .goto(new)
            default: verdict
            }
        }
        func element(_ element: SetElement) -> SetElement {
            guard case .verdict(let verdict)? = element.data else { return element }
            var copy = element
            copy.data = .verdict(renamed(verdict))
            return copy
        }
        for chain in value.tables[table].chains.indices {
            for rule in value.tables[table].chains[chain].rules.indices {
                guard value.tables[table].chains[chain].rules[rule].statements.contains(where: { References.chains($0).contains(old) }) else { continue }
                value.tables[table].chains[chain].rules[rule].statements = value.tables[table].chains[chain].rules[rule].statements.map { statement in
                    switch statement {
                    case .verdict(let verdict): return .verdict(renamed(verdict))
                    case .verdictMap(let key, .anonymous(var set)):
                        set.elements = set.elements.map(element)
                        return .verdictMap(key: key, .anonymous(set))
                    default: return statement
                    }
                }
            }
        }
        for set in value.tables[table].sets.indices { value.tables[table].sets[set].elements = value.tables[table].sets[set].elements.map(element) }
    }

    // MARK: The graph

    /// Loops, depth, and statements in chains of a type that does not take them.
    func checkGraph() throws {
        for table in value.tables.indices {
            let content = value.tables[table]
            var edges: [String: [(String, SourceRange)]] = [:]
            var maps: [String: [String]] = [:]
            for set in content.sets {
                if case .verdict? = set.data { maps[set.name] = set.elements.flatMap { References.chains($0.data) } }
            }
            for chain in content.chains {
                var list: [(String, SourceRange)] = []
                for rule in chain.rules {
                    for statement in rule.statements {
                        for target in References.chains(statement) { list.append((target, rule.location)) }
                        if case .verdictMap(_, .named(let name)) = statement { for target in maps[name] ?? [] { list.append((target, rule.location)) } }
                    }
                }
                edges[chain.name] = list
            }
            // 0: not seen, otherwise the depth of the longest path below plus one; -1: on the path.
            var state: [String: Int] = [:]
            var path: [SourceRange] = []
            func depth(_ name: String, _ place: SourceRange, _ level: Int) throws -> Int {
                if let known = state[name] {
                    if known < 0 { throw kernel("Too many links", path.last(of: place)) }
                    return known
                }
                if level > 64 { throw kernel("Too many links", path.last(of: place)) }
                state[name] = -1
                path.append(place)
                var below = 0
                for (target, place) in edges[name] ?? [] { below = max(below, try depth(target, place, level + 1)) }
                path.removeLast()
                state[name] = below + 1
                return below + 1
            }
            // As in Linux since 6.4: what no base chain reaches may be a loop until one does.
            for chain in content.chains where chain.base != nil {
                if try depth(chain.name, chain.location, 0) > 16 { throw kernel("Too many links", edges[chain.name]?.last?.1 ?? chain.location) }
            }
            // What is reachable from each base chain must suit its type and hook.
            let byName = Dictionary(content.chains.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
            for chain in content.chains {
                guard let base = chain.base else { continue }
                var seen: Set<String> = []
                var pending = [chain.name]
                while let name = pending.popLast() {
                    guard seen.insert(name).inserted, let here = byName[name] else { continue }
                    for rule in here.rules { for statement in rule.statements { try check(statement, base, content.family, rule.location) } }
                    pending += (edges[name] ?? []).map(\.0)
                }
            }
        }
    }

    private func check(_ statement: Statement, _ base: BaseChain, _ family: Family, _ place: SourceRange) throws {
        switch statement {
        case .nat(let nat):
            guard base.type == .nat else { throw kernel(Self.unsupported, place) }
            let hooks: [ChainHook] = switch nat.kind {
            case .snat: [.postrouting, .input]
            case .masquerade: [.postrouting]
            case .dnat, .redirect: [.prerouting, .output]
            }
            if !hooks.contains(base.hook) { throw kernel(Self.unsupported, place) }
        case .match(let match):
            if case .fib(let flags, let result, _) = match.left { try checkFIB(flags, result, base, place) }
        case .verdictMap(.fib(let flags, let result, _), _): try checkFIB(flags, result, base, place)
        case .tproxy: if base.hook != .prerouting { throw kernel(Self.unsupported, place) }
        case .synproxy: if base.hook != .input, base.hook != .forward { throw kernel(Self.unsupported, place) }
        case .flowAdd: if base.hook != .forward { throw kernel(Self.unsupported, place) }
        case .reject:
            let hooks: [ChainHook] = [.input, .forward, .output, .prerouting, .ingress]
            if !hooks.contains(base.hook) { throw kernel(Self.unsupported, place) }
        default: break
        }
    }

    private func checkFIB(_ flags: FIBFlags, _ result: FIBResult, _ base: BaseChain, _ place: SourceRange) throws {
        let hooks: [ChainHook]
        switch result {
        case .type: hooks = flags.contains(.iif) ? [.prerouting, .input, .forward] : flags.contains(.oif) ? [.output, .postrouting, .forward] : []
        default: hooks = [.prerouting, .input, .forward]
        }
        if base.hook == .ingress || base.hook == .egress { return }
        if !hooks.isEmpty, !hooks.contains(base.hook) { throw kernel(Self.unsupported, place) }
    }
}

extension ChainHook {
    static func allCases(in family: Family) -> [ChainHook] {
        family == .inet ? [.prerouting, .input, .forward, .output, .postrouting, .ingress] : [.prerouting, .input, .forward, .output, .postrouting]
    }
}

private extension [SourceRange] {
    /// The rule of a path of jumps that was written last: it is the one that closed a loop.
    func last(of place: SourceRange) -> SourceRange {
        dropFirst().reduce(place) { last, here in here.source === last.source && here.start > last.start ? here : last }
    }
}
