// State across rulesets and back into a ruleset value, for `nft list ruleset`.
//
// Invariant: what is carried over is matched by table (family and name) and handle, objects and sets by table and name, so
// a rule that was not touched by a transaction keeps counting where it was.
import Ruleset
import Wire

extension CompiledRuleset {
    private struct RuleKey: Hashable {
        var family: Family
        var table: String
        var handle: UInt64
    }

    private func key(_ rule: CompiledRule) -> RuleKey {
        RuleKey(family: ruleset.tables[rule.table].family, table: ruleset.tables[rule.table].name, handle: rule.handle)
    }

    /// Takes over the state of the ruleset that was in force.
    func adopt(_ previous: CompiledRuleset, now: Timestamp) {
        var old: [RuleKey: CompiledRule] = [:]
        for rule in previous.rules { old[previous.key(rule)] = rule }
        for rule in rules {
            guard let before = old[key(rule)], before.states.map(\.op) == rule.states.map(\.op) else { continue }
            for (new, was) in zip(rule.states, before.states) { adopt(new.op, new.number, previous, was.number) }
        }
        for (number, table) in ruleset.tables.enumerated() {
            guard let was = previous.ruleset.tables.firstIndex(where: { $0.family == table.family && $0.name == table.name }) else { continue }
            for (kind, objects) in objectNumbers[number] {
                guard let op = Compiler.opcode(kind) else { continue }
                for (name, object) in objects {
                    guard let before = previous.objectNumbers[was][kind]?[name] else { continue }
                    adopt(op, object, previous, before)
                }
            }
            for (index, plan) in sets.enumerated() where plan.table == number {
                guard let name = plan.name, let before = previous.sets.firstIndex(where: { $0.table == was && $0.name == name }) else { continue }
                adoptElements(index, previous, before, now)
            }
        }
    }

    private func adopt(_ op: Opcode, _ number: UInt32, _ previous: CompiledRuleset, _ before: UInt32) {
        let new = Int(number), old = Int(before)
        switch op {
        case .counter: program.counters[new] = previous.program.counters[old]
        case .quota: program.quotas[new].consumed = previous.program.quotas[old].consumed
        case .last: program.lasts[new] = previous.program.lasts[old]
        case .limit:
            let was = previous.program.limits[old]
            guard was.cost == program.limits[new].cost, was.maximum == program.limits[new].maximum, was.rate == program.limits[new].rate else { return }
            program.limits[new].tokens = was.tokens
            program.limits[new].last = was.last
        case .connectionLimit:
            guard let from = previous.program.connectionLimits[old].list, let to = program.connectionLimits[new].list else { return }
            let count = min(previous.program.connectionLimits[old].count, program.connectionLimits[new].room)
            to.update(from: from, count: Int(count))
            program.connectionLimits[new].count = count
        default: return
        }
    }

    private func adoptElements(_ index: Int, _ previous: CompiledRuleset, _ before: Int, _ now: Timestamp) {
        let new = program.sets + index, old = previous.program.sets + before
        guard new.pointee.kind == .hash, old.pointee.kind == .hash, new.pointee.keyLength == old.pointee.keyLength,
              new.pointee.dataLength == old.pointee.dataLength, sets[index].statements.map(\.op) == previous.sets[before].statements.map(\.op) else { return }
        for number in 0 ..< old.pointee.fresh {
            let record = old.pointee.element(number).pointee
            guard record.flags & ElementRecord.Flag.inUse != 0, number != old.pointee.catchAll, record.expires > now else { continue }
            let key = old.pointee.key(number)
            var element = new.pointee.findExact(key, new.pointee.hash(key), now)
            if element == ElementRecord.none {
                // What the ruleset itself listed and no longer lists is gone; what packets added stays.
                guard record.flags & ElementRecord.Flag.dynamic != 0, new.pointee.isDynamic || new.pointee.hasTimeout else { continue }
                element = new.pointee.take(now)
                guard element != ElementRecord.none else { return }
                new.pointee.key(element).copyMemory(from: key, byteCount: new.pointee.keyLength)
                new.pointee.data(element).copyMemory(from: old.pointee.data(number), byteCount: new.pointee.dataLength)
                new.pointee.element(element).pointee.flags = record.flags
                if record.flags & ElementRecord.Flag.hasState != 0 { program.startStatements(element, new, now) }
                new.pointee.link(element)
            }
            new.pointee.element(element).pointee.timeout = record.timeout
            new.pointee.element(element).pointee.expires = record.expires
            guard record.flags & ElementRecord.Flag.hasState != 0 else { continue }
            let state = new.pointee.element(element).pointee.state
            for statement in 0 ..< new.pointee.statementCount {
                let to = new.pointee.statements[statement], from = old.pointee.statements[statement]
                adopt(to.op, to.base &+ state, previous, from.base &+ record.state)
            }
        }
    }

    /// The ruleset with its state as it is now.
    public func currentValue(now: Timestamp) -> RulesetValue {
        var value = ruleset
        var next = 0
        for table in value.tables.indices {
            for chain in value.tables[table].chains.indices {
                for rule in value.tables[table].chains[chain].rules.indices {
                    var states = rules[next].states[...]
                    next += 1
                    for index in value.tables[table].chains[chain].rules[rule].statements.indices {
                        let statement = value.tables[table].chains[chain].rules[rule].statements[index]
                        guard CompiledRuleset.isStateful(statement), let state = states.popFirst() else { continue }
                        value.tables[table].chains[chain].rules[rule].statements[index] = current(statement, state.number, now)
                    }
                }
            }
            for index in value.tables[table].objects.indices {
                let object = value.tables[table].objects[index]
                guard let number = objectNumbers[table][object.value.kind]?[object.name] else { continue }
                switch object.value {
                case .counter:
                    let counter = program.counters[Int(number)]
                    value.tables[table].objects[index].value = .counter(packets: counter.packets, bytes: counter.bytes)
                case .quota(var quota):
                    quota.used = program.quotas[Int(number)].consumed
                    value.tables[table].objects[index].value = .quota(quota)
                default: break
                }
            }
        }
        for (number, plan) in sets.enumerated() {
            guard let name = plan.name, let index = value.tables[plan.table].sets.firstIndex(where: { $0.name == name }) else { continue }
            let named = value.tables[plan.table].sets[index]
            guard plan.isDynamic || plan.hasTimeout || !plan.statements.isEmpty else { continue }
            value.tables[plan.table].sets[index].elements = elements(number, plan, named, now)
        }
        return value
    }

    private static func isStateful(_ statement: Statement) -> Bool {
        switch statement {
        case .counter, .limit, .quota, .last, .connectionLimit: true
        default: false
        }
    }

    private func current(_ statement: Statement, _ number: UInt32, _ now: Timestamp) -> Statement {
        switch statement {
        case .counter:
            let counter = program.counters[Int(number)]
            return .counter(packets: counter.packets, bytes: counter.bytes)
        case .quota(var quota):
            quota.used = program.quotas[Int(number)].consumed
            return .quota(quota)
        case .last:
            let last = program.lasts[Int(number)]
            return .last(used: last.isSet ? (now &- min(now, last.time)) / 1_000_000 : nil)
        default: return statement
        }
    }

    /// The elements of a set as they stand: those of the ruleset that are still there, then what packets added.
    private func elements(_ number: Int, _ plan: SetPlan, _ named: NamedSet, _ now: Timestamp) -> [Ruleset.SetElement] {
        let set = program.sets + number
        var result: [Ruleset.SetElement] = []
        let templates = statementTemplates(plan, named)
        for index in 0 ..< set.pointee.fresh {
            let record = set.pointee.element(index).pointee
            guard record.flags & ElementRecord.Flag.inUse != 0, !set.pointee.hasTimeout || record.expires > now else { continue }
            var element: Ruleset.SetElement
            if record.flags & ElementRecord.Flag.dynamic == 0, Int(index) < named.elements.count {
                element = named.elements[Int(index)]
            } else {
                element = Ruleset.SetElement(key: value(at: set.pointee.key(index), named.keyType))
                if case .value(let type)? = named.data { element.data = value(at: set.pointee.data(index), type) }
                if record.timeout != 0, record.timeout != set.pointee.timeout { element.timeout = record.timeout / 1_000_000 }
            }
            if set.pointee.hasTimeout, record.expires != UInt64.max { element.expires = (record.expires &- now) / 1_000_000 }
            if record.flags & ElementRecord.Flag.hasState != 0 {
                let own = element.statements.count == templates.count ? element.statements : templates
                element.statements = own.enumerated().map { position, statement in
                    current(statement, set.pointee.statements[position].base &+ record.state, now)
                }
            }
            result.append(element)
        }
        return result
    }

    /// The statements that a set's elements carry, from its declaration or from the rule that fills it.
    private func statementTemplates(_ plan: SetPlan, _ named: NamedSet) -> [Statement] {
        if !named.statements.isEmpty { return named.statements }
        if let element = named.elements.first(where: { !$0.statements.isEmpty }) { return element.statements }
        for chain in ruleset.tables[plan.table].chains {
            for rule in chain.rules {
                for case .setUpdate(let update) in rule.statements where update.set == named.name && !update.statements.isEmpty { return update.statements }
            }
        }
        return []
    }

    private func value(at bytes: UnsafeMutableRawPointer, _ type: Datatype) -> Ruleset.Expression {
        var offset = 0
        let parts = type.parts.map { part -> Ruleset.Expression in
            var number: UInt128 = 0
            for _ in 0 ..< part.byteLength {
                number = number << 8 | UInt128(bytes.load(fromByteOffset: offset, as: UInt8.self))
                offset += 1
            }
            return .constant(Value(number, part))
        }
        return parts.count == 1 ? parts[0] : .concatenation(parts)
    }
}
