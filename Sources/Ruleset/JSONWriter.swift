// Listings in the schema of libnftables-json.

struct JSONWriter {
    let options: PrintOptions

    func text(_ requests: [ListRequest]) -> String {
        if requests.isEmpty { return "" }
        var items: [JSON] = [.object([("metainfo", .object([("version", .string("1.1.6")), ("release_name", .string("needletail")), ("json_schema_version", .int(1))]))])]
        for request in requests { add(request, &items) }
        var out = ""
        JSON.object([("nftables", .array(items))]).write(&out)
        return out + "\n"
    }

    private func add(_ request: ListRequest, _ items: inout [JSON]) {
        func matching(_ value: RulesetValue, _ family: Family?, _ name: String? = nil) -> [Table] { value.tables.filter { (family == nil || $0.family == family) && (name == nil || $0.name == name) } }
        switch request {
        case .ruleset(let value, let family):
            for table in matching(value, family) { add(table, &items) }
        case .tables(let value, let family): items += matching(value, family).map(self.table)
        case .table(let value, let index): add(value.tables[index], &items)
        case .chain(let value, let table, let index):
            items.append(chain(value.tables[table].chains[index], value.tables[table]))
            addRules(value.tables[table].chains[index], value.tables[table], &items)
        case .chains(let value, let family):
            for table in matching(value, family) { items += table.chains.filter { !$0.isAnonymous }.map { chain($0, table) } }
        case .set(let value, let table, let index): items.append(set(value.tables[table].sets[index], value.tables[table]))
        case .sets(let value, let family, let name, let kind):
            for table in matching(value, family, name) { items += table.sets.filter { kind == "meters" ? $0.flags.contains(.dynamic) : $0.isMap == (kind == "maps") }.map { set($0, table) } }
        case .elements(let value, let table, let index, let elements):
            var bare = value.tables[table].sets[index]
            bare.elements = elements
            items.append(set(bare, value.tables[table]))
        case .object(let value, let table, let index): items.append(object(value.tables[table].objects[index], value.tables[table]))
        case .objects(let value, let family, let name, let kind):
            for table in matching(value, family, name) { items += table.objects.filter { $0.value.kind == kind }.map { object($0, table) } }
        case .flowtable(let value, let table, let index): items.append(flowtable(value.tables[table].flowtables[index], value.tables[table]))
        case .flowtables(let value, let family):
            for table in matching(value, family) { items += table.flowtables.map { flowtable($0, table) } }
        case .describe, .hooks: break
        }
    }

    private func add(_ table: Table, _ items: inout [JSON]) {
        items.append(self.table(table))
        for chain in table.chains where !chain.isAnonymous { items.append(self.chain(chain, table)) }
        for kind in [ObjectKind.counter, .quota, .ctHelper, .limit, .ctTimeout, .secmark, .ctExpectation, .synproxy, .tunnel] {
            for object in table.objects where object.value.kind == kind { items.append(self.object(object, table)) }
        }
        for set in table.sets { items.append(self.set(set, table)) }
        for flowtable in table.flowtables { items.append(self.flowtable(flowtable, table)) }
        for chain in table.chains where !chain.isAnonymous { addRules(chain, table, &items) }
    }

    private func addRules(_ chain: Chain, _ table: Table, _ items: inout [JSON]) {
        for rule in chain.rules { items.append(self.rule(rule, chain.name, table)) }
    }

    func rule(_ rule: Rule, _ chain: String, _ table: Table) -> JSON {
        var members: [(key: String, value: JSON)] = [
            ("family", .string(table.family.rawValue)), ("table", .string(table.name)), ("chain", .string(chain)), ("handle", .int(Int64(rule.handle))),
        ]
        if let comment = rule.comment { members.append(("comment", .string(comment))) }
        members.append(("expr", .array(statements(rule, table))))
        return .object([("rule", .object(members))])
    }

    func statements(_ rule: Rule, _ table: Table) -> [JSON] {
        let writer = StatementJSON(options: options, table: table)
        return rule.statements.compactMap { statement in
            if case .match(let match) = statement, match.isImplicit { return nil }
            return writer.json(statement)
        }
    }

    func table(_ table: Table) -> JSON {
        var members: [(key: String, value: JSON)] = [("family", .string(table.family.rawValue)), ("name", .string(table.name)), ("handle", .int(Int64(table.handle)))]
        let flags = [table.isDormant ? "dormant" : nil, table.isOwned ? "owner" : nil, table.isPersistent ? "persist" : nil].compactMap { $0 }
        if !flags.isEmpty { members.append(("flags", .array(flags.map { .string($0) }))) }
        if let comment = table.comment { members.append(("comment", .string(comment))) }
        return .object([("table", .object(members))])
    }

    private func devices(_ devices: [String]) -> JSON { devices.count == 1 ? .string(devices[0]) : .array(devices.map { .string($0) }) }

    func chain(_ chain: Chain, _ table: Table) -> JSON {
        var members: [(key: String, value: JSON)] = [("family", .string(table.family.rawValue)), ("table", .string(table.name)), ("name", .string(chain.name)), ("handle", .int(Int64(chain.handle)))]
        if let comment = chain.comment { members.append(("comment", .string(comment))) }
        if let base = chain.base {
            if !base.devices.isEmpty { members.append(("dev", devices(base.devices.sorted()))) }
            members += [("type", .string(base.type.rawValue)), ("hook", .string(base.hook.rawValue)), ("prio", .int(Int64(base.priority))), ("policy", .string((base.policy ?? .accept).rawValue))]
        }
        return .object([("chain", .object(members))])
    }

    func set(_ set: NamedSet, _ table: Table) -> JSON {
        let writer = StatementJSON(options: options, table: table)
        var members: [(key: String, value: JSON)] = [("family", .string(table.family.rawValue)), ("name", .string(set.name)), ("table", .string(table.name))]
        func named(_ type: Datatype) -> JSON { type.isConcatenation ? .array(type.components.map { .string($0.name) }) : .string(type.name) }
        if set.keyExpressions.isEmpty {
            members.append(("type", named(set.keyType)))
        } else {
            let key = set.keyExpressions.count == 1 ? writer.expression(set.keyExpressions[0]) : .object([("concat", .array(set.keyExpressions.map(writer.expression)))])
            members.append(("type", .object([("typeof", key)])))
        }
        members.append(("handle", .int(Int64(set.handle))))
        if let comment = set.comment { members.append(("comment", .string(comment))) }
        switch set.data {
        case .value(let type)?:
            members.append(("map", named(type)))
        case .verdict?: members.append(("map", .string("verdict")))
        case .object(let kind)?: members.append(("map", .string(kind.rawValue)))
        case nil: break
        }
        let isConstant = set.flags.contains(.constant)
        if set.prefersMemory, !isConstant { members.append(("policy", .string("memory"))) }
        if let size = set.size, !isConstant { members.append(("size", .int(Int64(size)))) }
        var flags: [String] = []
        if set.flags.contains(.constant) { flags.append("constant") }
        if set.flags.contains(.interval) { flags.append("interval") }
        if set.flags.contains(.timeout) { flags.append("timeout") }
        if set.flags.contains(.dynamic) { flags.append("dynamic") }
        if !flags.isEmpty { members.append(("flags", .array(flags.map { .string($0) }))) }
        if let timeout = set.timeout { members.append(("timeout", .int(Int64(timeout / 1000)))) }
        if let interval = set.gcInterval { members.append(("gc-interval", .int(Int64(interval / 1000)))) }
        if set.autoMerge { members.append(("auto-merge", .bool(true))) }
        if !set.elements.isEmpty, !options.terse { members.append(("elem", .array(set.elements.map(writer.element)))) }
        if !set.statements.isEmpty { members.append(("stmt", .array(set.statements.map { writer.json($0, template: true) }))) }
        return .object([(set.isMap ? "map" : "set", .object(members))])
    }

    func object(_ object: NamedObject, _ table: Table) -> JSON {
        var members: [(key: String, value: JSON)] = [("family", .string(table.family.rawValue)), ("name", .string(object.name)), ("table", .string(table.name)), ("handle", .int(Int64(object.handle)))]
        if let comment = object.comment { members.append(("comment", .string(comment))) }
        func proto(_ number: UInt8) -> JSON { .string(number == 6 ? "tcp" : "udp") }
        switch object.value {
        case .counter(let packets, let bytes):
            members += options.stateless ? [] : [("packets", .number(packets)), ("bytes", .number(bytes))]
        case .quota(let quota): members += [("bytes", .number(quota.limit)), ("used", .number(quota.used)), ("inv", .bool(quota.isOver))]
        case .limit(let limit):
            if case .dictionary(let inner) = StatementJSON.limit(limit) { members += inner }
        case .synproxy(let synproxy): members += StatementJSON.synproxy(synproxy)
        case .secmark(let context): members.append(("context", .string(context)))
        case .ctHelper(let type, let l4, let l3): members += [("type", .string(type)), ("protocol", proto(l4)), ("l3proto", .string(l3.rawValue))]
        case .ctTimeout(let l4, let l3, let policy):
            members += [("protocol", proto(l4)), ("l3proto", .string(l3.rawValue)), ("policy", .object(policy.map { ($0.state, .int(Int64($0.seconds))) }))]
        case .ctExpectation(let l4, let l3, let port, let timeout, let size):
            members += [("protocol", proto(l4)), ("dport", .int(Int64(port))), ("timeout", .number(timeout)), ("size", .int(Int64(size))), ("l3proto", .string(l3.rawValue))]
        case .tunnel(let lines): members.append(("lines", .array(lines.map { .string($0) })))
        }
        return .object([(object.value.kind.rawValue, .object(members))])
    }

    func flowtable(_ flowtable: Flowtable, _ table: Table) -> JSON {
        var members: [(key: String, value: JSON)] = [
            ("family", .string(table.family.rawValue)), ("name", .string(flowtable.name)), ("table", .string(table.name)), ("handle", .int(Int64(flowtable.handle))),
            ("hook", .string("ingress")), ("prio", .int(Int64(flowtable.priority))),
        ]
        if !flowtable.devices.isEmpty { members.append(("dev", devices(flowtable.devices))) }
        return .object([("flowtable", .object(members))])
    }
}
