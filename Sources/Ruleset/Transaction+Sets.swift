// Sets, maps and their elements; objects; flowtables.

extension Transaction {
    /// The type that a `type` list names.
    private func declaredType(_ names: [(name: String, location: SourceRange)]) throws -> Datatype {
        try .concatenation(names.map { entry in
            guard let type = Datatypes.declared(entry.name) else {
                if BasicType(rawValue: entry.name) != nil { throw EvaluationError(message: "set definition has unsupported type \(entry.name)", location: entry.location) }
                throw EvaluationError(message: "unknown datatype \(entry.name)", location: entry.location)
            }
            return type
        })
    }

    /// The expressions of a `typeof`, each on its own, and their type.
    private func typeofParts(_ node: Node) throws -> ([Expression], Datatype) {
        let parts: [Node] = if case .concatenation(let parts) = node.kind { parts } else { [node] }
        var expressions: [Expression] = []
        for part in parts {
            // The table's family does not matter, but `arp` fields stand in no other.
            let family: Family = if case .payload("arp", _, _) = part.resolved.kind { .arp } else { .inet }
            let evaluator = Evaluator(view: TableView(family: family, set: { _ in nil }, interfaces: options.interfaces))
            evaluator.isLenient = true
            let expression = try evaluator.general(part, nil)
            if expression.type.bits == 0 { throw EvaluationError(message: "expression has no type of fixed size", location: part.location) }
            expressions.append(expression)
        }
        return (expressions, .concatenation(expressions.map(\.type)))
    }

    func addSet(_ operation: CommandOperation, _ table: Int, _ node: SetNode) throws {
        try checkName(node.name, node.location)
        if let index = value.tables[table].sets.firstIndex(where: { $0.name == node.name }) {
            if operation == .create { throw kernel(Self.exists, node.location) }
            let old = value.tables[table].sets[index]
            if node.typeof == nil, node.keyTypes.isEmpty { return }
            let type = try node.typeof.map { try typeofParts($0).1 } ?? declaredType(node.keyTypes)
            if type.parts.map(\.basic) != old.keyType.parts.map(\.basic) || old.isMap != node.isMap { throw kernel(Self.exists, node.location) }
            if node.flags.contains(.interval) != old.flags.contains(.interval) { throw kernel(Self.exists, node.location) }
            return
        }
        var keyType: Datatype
        var expressions: [Expression] = []
        if let typeof = node.typeof {
            (expressions, keyType) = try typeofParts(typeof)
        } else {
            guard !node.keyTypes.isEmpty else { throw EvaluationError(message: "\(node.isMap ? "map" : "set") definition does not specify key", location: node.location) }
            keyType = try declaredType(node.keyTypes)
        }
        if keyType.basic == .verdict { throw EvaluationError(message: "verdict cannot be used as set key", location: node.location) }
        if keyType.bits > 512 { throw EvaluationError(message: "set key is too wide", location: node.location) }
        var data: MapData?
        var dataExpression: Expression?
        if node.isMap {
            if let kind = node.dataObject {
                data = .object(kind)
            } else if node.dataTypes.first?.name == "verdict" {
                data = .verdict
            } else if let typeof = node.dataTypeof {
                let (parts, type) = try typeofParts(typeof)
                data = .value(type)
                dataExpression = parts.count == 1 ? parts[0] : .concatenation(parts)
            } else if !node.dataTypes.isEmpty {
                data = .value(try declaredType(node.dataTypes))
            } else {
                throw EvaluationError(message: "map definition does not specify mapping data type", location: node.location)
            }
        } else if node.dataObject != nil || !node.dataTypes.isEmpty || node.dataTypeof != nil {
            throw EvaluationError(message: "set definition cannot have a data type: use map", location: node.location)
        }
        if keyType.isConcatenation, keyType.components.contains(where: { $0.basic == .verdict }) {
            throw EvaluationError(message: "can not use variable sized data types (verdict) in concat expressions", location: node.location)
        }
        if node.autoMerge, !node.flags.contains(.interval) { throw EvaluationError(message: "auto-merge only works with interval sets", location: node.location) }
        // What no kind of set in the kernel can do.
        let hasTimeout = node.flags.contains(.timeout) || node.timeout != nil
        if node.gcInterval != nil, !hasTimeout { throw kernel("Invalid argument", node.location) }
        if node.flags.contains(.constant), hasTimeout { throw kernel(Self.unsupported, node.location) }
        if node.flags.contains(.dynamic), node.flags.contains(.interval) || node.dataObject != nil { throw kernel(Self.unsupported, node.location) }
        var flags = node.flags
        if node.timeout != nil { flags.insert(.timeout) }
        var set = NamedSet(name: node.name, handle: nextHandle(table), keyType: keyType, data: data, flags: flags)
        set.keyExpressions = expressions
        set.dataExpression = dataExpression
        set.hasIntervalData = node.hasIntervalData
        set.timeout = node.timeout
        set.gcInterval = node.gcInterval
        if let size = node.size {
            guard let fits = UInt32(exactly: size) else { throw EvaluationError(message: "set size is too large", location: node.location) }
            set.size = fits
        }
        set.prefersMemory = node.policy == "memory"
        set.autoMerge = node.autoMerge
        set.comment = node.comment
        set.location = node.location
        let evaluator = self.evaluator(table)
        for statement in node.statements { set.statements.append(try evaluator.stateful(statement)) }
        value.tables[table].sets.append(set)
        note(.add, table, .set(set))
    }

    /// `meter NAME { ... }` declares its set on first use.
    func declareMeter(_ name: String, _ size: UInt64?, _ place: Node, _ item: SetItem, _ table: Int, _ evaluator: Evaluator) throws {
        if value.tables[table].sets.contains(where: { $0.name == name }) { return }
        let probe = Evaluator(view: evaluator.view)
        probe.isLenient = true
        let key = try probe.general(item.key, nil)
        var set = NamedSet(name: name, handle: nextHandle(table), keyType: key.type, data: nil, flags: item.timeout == nil ? .dynamic : [.dynamic, .timeout])
        set.size = UInt32(truncatingIfNeeded: size ?? 65535)
        if key.type.parts.contains(where: { Datatypes.declared($0.basic.rawValue)?.bits != $0.bits }) { if case .concatenation(let parts) = key { set.keyExpressions = parts } else { set.keyExpressions = [key] } }
        set.location = place.location
        value.tables[table].sets.append(set)
        note(.add, table, .set(set))
    }

    // MARK: Objects

    func addObject(_ operation: CommandOperation, _ table: Int, _ node: ObjectNode) throws {
        try checkName(node.name, node.location)
        let object = NamedObject(name: node.name, handle: 0, value: try objectValue(node, table), comment: node.comment, location: node.location)
        if value.tables[table].objects.contains(where: { $0.name == node.name && $0.value.kind == object.value.kind }) {
            if operation == .create { throw kernel(Self.exists, node.location) }
            return
        }
        var fresh = object
        fresh.handle = nextHandle(table)
        value.tables[table].objects.append(fresh)
        note(.add, table, .object(fresh))
    }

    private func objectValue(_ node: ObjectNode, _ table: Int) throws -> ObjectValue {
        func fail(_ message: String) -> EvaluationError { EvaluationError(message: message, location: node.location) }
        let family = value.tables[table].family
        func l4(_ text: String?) throws -> UInt8 {
            guard let text else { throw fail("missing protocol") }
            guard text == "tcp" || text == "udp" else { throw fail("syntax error, unexpected string, expecting tcp or udp") }
            return text == "tcp" ? 6 : 17
        }
        func l3(_ text: String?) throws -> Family {
            guard let text else { return family }
            guard let named = Family(rawValue: text == "ipv4" ? "ip" : text == "ipv6" ? "ip6" : text) else { throw fail("unknown l3proto") }
            if family == .ip && named == .ip6 || family == .ip6 && named == .ip { throw fail("conflicting protocols specified: \(family.rawValue) vs. \(named.rawValue)") }
            return named
        }
        switch node.value {
        case .counter(let packets, let bytes): return .counter(packets: packets, bytes: bytes)
        case .quota(let quota): return .quota(quota)
        case .limit(let limit): return .limit(limit)
        case .synproxy(let synproxy): return .synproxy(synproxy)
        case .secmark(let context): return .secmark(context)
        case .tunnel(let lines): return .tunnel(lines: lines)
        case .ctHelper(let type, let protocolName, let network):
            guard let type else { throw fail("missing helper type") }
            // The helpers that Linux has; more than these it does not find either.
            let known = ["amanda", "ftp", "tftp", "irc", "sip", "sane", "snmp", "snmp_trap", "pptp", "netbios-ns", "RAS", "Q.931", "H.245"]
            if !known.contains(type) { throw kernel(Self.missing, node.location) }
            return .ctHelper(type: type, l4proto: try l4(protocolName), l3proto: try l3(network))
        case .ctTimeout(let protocolName, let network, let policy):
            let number = try l4(protocolName)
            let states = number == 6
                ? ["syn_sent", "syn_recv", "established", "fin_wait", "close_wait", "last_ack", "time_wait", "close", "syn_sent2", "retrans", "unack"] : ["unreplied", "replied"]
            for entry in policy where !states.contains(entry.0) { throw EvaluationError(message: "\(entry.0) state is not valid for this protocol", location: entry.2) }
            let ordered = states.compactMap { state in policy.last { $0.0 == state }.map { (state: state, seconds: UInt32(truncatingIfNeeded: $0.1)) } }
            return .ctTimeout(l4proto: number, l3proto: try l3(network), policy: ordered)
        case .ctExpectation(let protocolName, let network, let port, let timeout, let size):
            guard let port, let timeout, let size else { throw fail("ct expectation: protocol, dport, timeout and size are needed") }
            guard port <= 0xffff, size <= 255 else { throw fail("value out of range") }
            return .ctExpectation(l4proto: try l4(protocolName), l3proto: try l3(network), port: UInt16(port), timeout: timeout, size: UInt8(size))
        }
    }

    // MARK: Flowtables

    func addFlowtable(_ operation: CommandOperation, _ table: Int, _ node: FlowtableNode) throws {
        let family = value.tables[table].family
        guard family == .ip || family == .ip6 || family == .inet else { throw kernel(Self.unsupported, node.location) }
        try checkName(node.name, node.location)
        let devices = try node.devices.map { try self.devices($0) } ?? []
        if let interfaces = options.interfaces {
            for device in devices where !device.hasSuffix("*") && !interfaces.contains(device) { throw kernel(Self.missing, node.devices?.location ?? node.location) }
        }
        if let index = value.tables[table].flowtables.firstIndex(where: { $0.name == node.name }) {
            if operation == .create { throw kernel(Self.exists, node.location) }
            for device in devices where !value.tables[table].flowtables[index].devices.contains(device) { value.tables[table].flowtables[index].devices.append(device) }
            return
        }
        guard let hook = node.hook else { throw EvaluationError(message: "missing hook and priority in flowtable declaration", location: node.location) }
        guard hook == "ingress" else { throw EvaluationError(message: "unknown chain hook", location: node.location) }
        let priority = try self.priority(node.priority, node.priorityOffset, .netdev, .ingress)
        let flowtable = Flowtable(
            name: node.name, handle: nextHandle(table), priority: priority, devices: devices.sorted(), counter: node.counter, offload: node.offload, location: node.location)
        value.tables[table].flowtables.append(flowtable)
        note(.add, table, .flowtable(flowtable))
    }

    func removeFlowtableDevices(_ table: Int, _ node: FlowtableNode) throws {
        guard let index = value.tables[table].flowtables.firstIndex(where: { $0.name == node.name }) else { throw kernel(Self.missing, node.location) }
        guard let devices = node.devices else { return }
        for device in try self.devices(devices) { value.tables[table].flowtables[index].devices.removeAll { $0 == device } }
    }
}
