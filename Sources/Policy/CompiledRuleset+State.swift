// The state of a program back in a ruleset value, for `nft list ruleset`.
import Ruleset
import Wire

extension CompiledRuleset {
    /// The ruleset with its state as it is now. Whoever runs packets through the program calls this, or nobody does.
    public func currentValue(now: Timestamp) -> RulesetValue { value(program, now) }

    /// The ruleset with the state that was copied, on any thread.
    public func value(of snapshot: StateSnapshot) -> RulesetValue { value(snapshot.program, snapshot.time) }

    private func value(_ program: Program, _ now: Timestamp) -> RulesetValue {
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
                        value.tables[table].chains[chain].rules[rule].statements[index] = current(statement, state.number, program, now)
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
                    quota.used = min(program.quotas[Int(number)].consumed, quota.limit)
                    value.tables[table].objects[index].value = .quota(quota)
                default: break
                }
            }
        }
        for (number, plan) in sets.enumerated() {
            guard let name = plan.name, let index = value.tables[plan.table].sets.firstIndex(where: { $0.name == name }) else { continue }
            let named = value.tables[plan.table].sets[index]
            guard plan.isDynamic || plan.hasTimeout || !plan.statements.isEmpty else { continue }
            value.tables[plan.table].sets[index].elements = elements(number, plan, named, program, now)
            let set = program.sets + number
            value.tables[plan.table].sets[index].lingering = (0 ..< set.pointee.fresh).count { set.pointee.lingers($0, now) }
        }
        return value
    }

    private static func isStateful(_ statement: Statement) -> Bool {
        switch statement {
        case .counter, .limit, .quota, .last, .connectionLimit: true
        default: false
        }
    }

    private func current(_ statement: Statement, _ number: UInt32, _ program: Program, _ now: Timestamp) -> Statement {
        switch statement {
        case .counter:
            let counter = program.counters[Int(number)]
            return .counter(packets: counter.packets, bytes: counter.bytes)
        case .quota(var quota):
            // As Linux shows it: a quota that is used up shows its limit, however much more came.
            quota.used = min(program.quotas[Int(number)].consumed, quota.limit)
            return .quota(quota)
        case .last:
            let last = program.lasts[Int(number)]
            return .last(used: last.isSet ? (now &- min(now, last.time)) / 1_000_000 : nil)
        default: return statement
        }
    }

    /// The elements of a set as they stand: those of the ruleset that are still there, then what packets added.
    private func elements(_ number: Int, _ plan: SetPlan, _ named: NamedSet, _ program: Program, _ now: Timestamp) -> [Ruleset.SetElement] {
        let set = program.sets + number
        var result: [Ruleset.SetElement] = []
        for index in 0 ..< set.pointee.fresh {
            let record = set.pointee.element(index).pointee
            guard record.flags & ElementRecord.Flag.inUse != 0, record.expires > now else { continue }
            var element: Ruleset.SetElement
            if record.flags & ElementRecord.Flag.dynamic == 0, Int(index) < named.elements.count {
                element = named.elements[Int(index)]
                element.standing = .kept
            } else {
                element = Ruleset.SetElement(key: value(at: set.pointee.key(index), named.keyType))
                if case .value(let type)? = named.data { element.data = value(at: set.pointee.data(index), type) }
                if record.timeout != 0, record.timeout != set.pointee.timeout { element.timeout = record.timeout / 1_000_000 }
            }
            if set.pointee.hasTimeout, record.expires != UInt64.max { element.expires = (record.expires &- now) / 1_000_000 }
            if record.origin != 0 {
                let origin = plan.origins[Int(record.origin)], templates = origin.statements
                let own = element.statements.count == templates.count ? element.statements : templates
                element.statements = zip(origin.origin.statements, own).map { position, statement in
                    current(statement, set.pointee.statements[position].base &+ record.state, program, now)
                }
            }
            result.append(element)
        }
        return result
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
