// delete, destroy, flush, list, reset.

/// What a listing command asked for, with the ruleset as it was at that point.
enum ListRequest {
    case ruleset(RulesetValue, Family?)
    case tables(RulesetValue, Family?)
    case table(RulesetValue, Int)
    case chain(RulesetValue, Int, Int)
    case chains(RulesetValue, Family?)
    case set(RulesetValue, Int, Int)
    case sets(RulesetValue, Family?, String?, kind: String)
    case elements(RulesetValue, Int, Int, [SetElement])
    case object(RulesetValue, Int, Int)
    case objects(RulesetValue, Family?, String?, ObjectKind)
    case flowtable(RulesetValue, Int, Int)
    case flowtables(RulesetValue, Family?)
    case describe(Node)
    case hooks(RulesetValue)
}

extension Transaction {
    /// Whether anything still refers to a chain, set or object.
    private func isUsed(_ table: Int, where test: (Statement) -> Bool) -> Bool {
        value.tables[table].chains.contains { $0.rules.contains { $0.statements.contains(where: test) } }
    }

    func named(_ command: Command, _ kind: String, _ target: Target) throws {
        switch command.operation {
        case .delete, .destroy:
            do {
                try remove(kind, target, command)
            } catch let error as EvaluationError where command.operation == .destroy && error.message.contains(Self.missing) {}
        case .flush: try flush(kind, target, command)
        default: try list(kind, target, command)
        }
    }

    private func remove(_ kind: String, _ target: Target, _ command: Command) throws {
        if kind == "table" {
            let index = try table(target)
            noteRemoval(ofTable: index)
            value.tables.remove(at: index)
            tablesChanged()
            return
        }
        if kind.hasPrefix("rule") {
            // No rule has it: nft leaves it out, and the kernel takes them all.
            if target.handle == 0 { return try flush("chain", Target(family: target.family, table: target.table, tableLocation: target.tableLocation, name: target.name, nameLocation: target.nameLocation), command) }
            let (table, chain) = try self.chain(target.handle == nil ? target : Target(family: target.family, table: target.table, tableLocation: target.tableLocation, name: target.name, nameLocation: target.nameLocation))
            let index: Int?
            if kind.hasPrefix("rule index "), let number = Int(kind.dropFirst(11)) {
                index = number < value.tables[table].chains[chain].rules.count ? number : nil
            } else {
                index = value.tables[table].chains[chain].rules.firstIndex { $0.handle == target.handle }
            }
            guard let index else { throw kernel(Self.missing, target.handle == nil ? command.location : target.handleLocation) }
            let rule = value.tables[table].chains[chain].rules.remove(at: index)
            note(.delete, table, .rule(chain: value.tables[table].chains[chain].name, rule, after: nil))
            dropAnonymousChains([rule], table)
            return
        }
        let table = try self.table(target)
        switch kind {
        case "chain":
            let (_, index) = try chain(target)
            let chain = value.tables[table].chains[index]
            if !chain.rules.isEmpty, !chain.isAnonymous {
                // Deleting a chain takes its rules with it.
                dropAnonymousChains(chain.rules, table)
            }
            guard let again = self.chain(table, chain.name) else { return }
            let used = value.tables[table].chains.contains { other in other.name != chain.name && other.rules.contains { $0.statements.contains { References.chains($0).contains(chain.name) } } }
            let mapped = value.tables[table].sets.contains { $0.elements.contains { References.chains($0.data).contains(chain.name) } }
            if used || mapped { throw kernel(Self.busy, target.nameLocation) }
            noteRules(of: chain, table)
            note(.delete, table, .chain(chain))
            value.tables[table].chains.remove(at: again)
            chainsChanged(table)
        case "set", "map", "meter":
            guard let index = value.tables[table].sets.firstIndex(where: { target.handle != nil && target.name.isEmpty ? $0.handle == target.handle : $0.name == target.name }) else {
                throw kernel(Self.missing, target.name.isEmpty ? target.handleLocation : target.nameLocation)
            }
            let name = value.tables[table].sets[index].name
            if isUsed(table, where: { References.sets($0).contains(name) }) { throw kernel(Self.busy, target.nameLocation) }
            if options.recordsChanges {
                for element in value.tables[table].sets[index].elements { note(.delete, table, .element(value.tables[table].sets[index], element)) }
            }
            note(.delete, table, .set(value.tables[table].sets[index]))
            value.tables[table].sets.remove(at: index)
        case "flowtable":
            guard let index = value.tables[table].flowtables.firstIndex(where: { target.handle != nil && target.name.isEmpty ? $0.handle == target.handle : $0.name == target.name }) else { throw kernel(Self.missing, target.nameLocation) }
            let name = value.tables[table].flowtables[index].name
            if isUsed(table, where: { if case .flowAdd(name) = $0 { true } else { false } }) { throw kernel(Self.busy, target.nameLocation) }
            note(.delete, table, .flowtable(value.tables[table].flowtables[index]))
            value.tables[table].flowtables.remove(at: index)
        default:
            guard let object = ObjectKind(rawValue: kind), let index = value.tables[table].objects.firstIndex(where: {
                $0.value.kind == object && (target.handle != nil && target.name.isEmpty ? $0.handle == target.handle : $0.name == target.name)
            }) else { throw kernel(Self.missing, target.nameLocation) }
            let name = value.tables[table].objects[index].name
            let mapped = value.tables[table].sets.contains { set in
                guard case .object(object)? = set.data else { return false }
                return set.elements.contains { if case .objectName(name)? = $0.data { true } else { false } }
            }
            if mapped || isUsed(table, where: { References.objects($0).contains { $0.0 == object && $0.1 == name } }) { throw kernel(Self.busy, target.nameLocation) }
            note(.delete, table, .object(value.tables[table].objects[index]))
            value.tables[table].objects.remove(at: index)
        }
    }

    private func dropAnonymousChains(_ rules: [Rule], _ table: Int) {
        for name in rules.flatMap({ $0.statements.flatMap(References.chains) }) where name.hasPrefix("__chain") {
            guard let index = chain(table, name), value.tables[table].chains[index].isAnonymous else { continue }
            let inner = value.tables[table].chains.remove(at: index)
            noteRules(of: inner, table)
            note(.delete, table, .chain(inner))
            chainsChanged(table)
            dropAnonymousChains(inner.rules, table)
        }
    }

    private func flush(_ kind: String, _ target: Target, _ command: Command) throws {
        switch kind {
        case "table":
            let index = try table(target)
            for chain in value.tables[index].chains { noteRules(of: chain, index) }
            for chain in value.tables[index].chains where chain.isAnonymous { note(.delete, index, .chain(chain)) }
            for chain in value.tables[index].chains.indices { value.tables[index].chains[chain].rules = [] }
            value.tables[index].chains.removeAll(where: \.isAnonymous)
            tablesChanged()
        case "chain":
            let (table, index) = try chain(target)
            let rules = value.tables[table].chains[index].rules
            noteRules(of: value.tables[table].chains[index], table)
            value.tables[table].chains[index].rules = []
            dropAnonymousChains(rules, table)
        case "set", "map", "meter":
            let table = try self.table(target)
            guard let index = value.tables[table].sets.firstIndex(where: { $0.name == target.name }) else { throw kernel(Self.missing, target.nameLocation) }
            if options.recordsChanges {
                for element in value.tables[table].sets[index].elements { note(.delete, table, .element(value.tables[table].sets[index], element)) }
            }
            value.tables[table].sets[index].elements = []
        default: throw EvaluationError(message: "syntax error, unexpected string", location: command.location)
        }
    }

    private func list(_ kind: String, _ target: Target, _ command: Command) throws {
        if kind == "table" {
            listings.append(.table(value, try table(target)))
            return
        }
        let table = try self.table(target)
        switch kind {
        case "chain", "rules of chain", "rule":
            let (_, index) = try chain(target)
            listings.append(.chain(value, table, index))
            if command.operation == .reset { resetRules(table, index) }
        case "set", "map", "meter":
            guard let index = value.tables[table].sets.firstIndex(where: { $0.name == target.name }) else {
                var message = Self.missing
                if let near = Spelling.nearest(to: target.name, among: value.tables[table].sets.map(\.name)) { message += "; did you mean set ‘\(near)’ in table \(target.family.rawValue) ‘\(target.table)’?" }
                throw EvaluationError(message: message, location: target.nameLocation)
            }
            listings.append(.set(value, table, index))
        case "flowtable":
            guard let index = value.tables[table].flowtables.firstIndex(where: { $0.name == target.name }) else { throw kernel(Self.missing, target.nameLocation) }
            listings.append(.flowtable(value, table, index))
        default:
            guard let object = ObjectKind(rawValue: kind), let index = value.tables[table].objects.firstIndex(where: { $0.name == target.name && $0.value.kind == object }) else { throw kernel(Self.missing, target.nameLocation) }
            listings.append(.object(value, table, index))
            if command.operation == .reset { resetObject(table, index) }
        }
    }

    /// The tables that a command speaks of: all of a family, or the one named.
    private func tables(_ family: Family?, _ name: String?) -> [Int] {
        if let name { return tableIndex(family ?? .ip, name).map { [$0] } ?? [] }
        return value.tables.indices.filter { family == nil || value.tables[$0].family == family }
    }

    private func resetRules(_ table: Int, _ chain: Int) {
        for rule in value.tables[table].chains[chain].rules.indices {
            value.tables[table].chains[chain].rules[rule].statements = value.tables[table].chains[chain].rules[rule].statements.map(\.unused)
        }
    }

    private func resetObject(_ table: Int, _ index: Int) {
        switch value.tables[table].objects[index].value {
        case .counter: value.tables[table].objects[index].value = .counter(packets: 0, bytes: 0)
        case .quota(var quota):
            quota.used = 0
            value.tables[table].objects[index].value = .quota(quota)
        default: break
        }
    }

    func all(_ command: Command, _ kind: String, _ family: Family?, _ tableName: String?) throws {
        if let tableName, tableIndex(family ?? .ip, tableName) == nil { throw EvaluationError(message: Self.missing, location: command.location) }
        switch (command.operation, kind) {
        case (.flush, "ruleset"):
            for index in value.tables.indices where family == nil || value.tables[index].family == family { noteRemoval(ofTable: index) }
            value.tables.removeAll { family == nil || $0.family == family }
            tablesChanged()
        case (.flush, _): throw EvaluationError(message: "syntax error, unexpected string", location: command.location)
        case (_, "ruleset"): listings.append(.ruleset(value, family))
        case (_, "tables"): listings.append(.tables(value, family))
        case (_, "chains"): listings.append(.chains(value, family))
        case (_, "sets"), (_, "maps"), (_, "meters"): listings.append(.sets(value, family, tableName, kind: kind))
        case (_, "flowtables"): listings.append(.flowtables(value, family))
        case (_, "hooks"): listings.append(.hooks(value))
        case (let operation, "rules"):
            if let tableName, let index = tableIndex(family ?? .ip, tableName) { listings.append(.table(value, index)) } else { listings.append(.ruleset(value, family)) }
            if operation == .reset { for table in tables(family, tableName) { for chain in value.tables[table].chains.indices { resetRules(table, chain) } } }
        default:
            let names: [String: ObjectKind] = [
                "counters": .counter, "quotas": .quota, "limits": .limit, "synproxys": .synproxy, "secmarks": .secmark, "tunnels": .tunnel,
                "ct helpers": .ctHelper, "ct timeouts": .ctTimeout, "ct expectations": .ctExpectation,
            ]
            guard let object = names[kind] else { throw EvaluationError(message: "syntax error, unexpected string", location: command.location) }
            listings.append(.objects(value, family, tableName, object))
            if command.operation == .reset {
                for table in tables(family, tableName) {
                    for index in value.tables[table].objects.indices where value.tables[table].objects[index].value.kind == object { resetObject(table, index) }
                }
            }
        }
    }
}
