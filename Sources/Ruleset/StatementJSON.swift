// Statements and expressions in the schema of libnftables-json.

struct StatementJSON {
    let options: PrintOptions
    let table: Table?
    /// On a side of a comparison, where `fib ... check` keeps its older name.
    var isCompared = false

    init(options: PrintOptions, table: Table?) {
        self.options = options
        self.table = table
    }

    // MARK: Values

    func value(_ value: Value) -> JSON {
        let number = value.number
        let integer: JSON = number <= UInt128(Int64.max) ? .int(Int64(number)) : .string("0x" + String(number, radix: 16))
        let writer = StatementWriter(options: options, table: nil, depth: 0)
        switch value.type.basic {
        case .boolean: return .bool(number != 0)
        case .mark, .integer, .hexInteger, .inetService: return integer
        case .time: return .int(Int64(clamping: number / 1000))
        case .inetProtocol:
            if !options.numericProtocol, let name = Symbols.name(number, .inetProtocol) { return .string(name) }
            return integer
        case .interfaceName, .string, .interfaceKind, .osfName: return .string(value.text)
        case .interfaceIndex: return .string(InterfaceNames.name(of: Int(truncatingIfNeeded: number)) ?? String(number))
        case .deviceGroup, .realm, .date, .hour, .day, .cgroupV2, .userID, .groupID:
            let text = writer.value(value)
            return text.hasPrefix("\"") ? .string(String(text.dropFirst().dropLast())) : integer
        case .tcpFlag, .ctState, .ctStatus, .ctEvent, .bitmask:
            var rest = number
            var names: [JSON] = []
            for (name, bit) in Symbols.table(value.type.basic) where bit != 0 && rest & bit == bit {
                names.append(.string(name))
                rest &= ~bit
            }
            if rest != 0 || names.isEmpty { return integer }
            return names.count == 1 ? names[0] : value.type.basic == .ctEvent ? .array(names) : .object([("|", .array(names))])
        case .ctLabel:
            let bits = (0..<128).filter { number >> UInt128($0) & 1 == 1 }
            return bits.count == 1 ? .int(Int64(bits[0])) : .array(bits.map { .int(Int64($0)) })
        case .ipv4Address, .ipv6Address, .etherAddress, .linkAddress, .classID: return .string(writer.value(value))
        default:
            if let name = Symbols.name(number, value.type.basic), value.type.basic != .icmpCode, value.type.basic != .icmpv6Code, value.type.basic != .icmpxCode { return .string(name) }
            return integer
        }
    }

    /// A flag mask as a list of its bits.
    private func flagList(_ expression: Expression) -> JSON {
        guard case .constant(let value) = expression, case .dictionary(let members) = self.value(value), let names = members.first?.value else { return self.expression(expression) }
        return names
    }

    // MARK: Expressions

    func expression(_ expression: Expression) -> JSON {
        func object(_ key: String, _ members: [(key: String, value: JSON)]) -> JSON { .object([(key, .object(members))]) }
        switch expression {
        case .constant(let value): return self.value(value)
        case .prefix(let value, let length):
            if Datatypes.isString(value.type) { return .string(value.text + "*") }
            return object("prefix", [("addr", self.value(value)), ("len", .int(Int64(length)))])
        case .range(let low, let high): return .object([("range", .array([value(low), value(high)]))])
        case .flags(let values): return .array(values.map(value))
        case .concatenation(let parts): return .object([("concat", .array(parts.map(self.expression)))])
        case .verdict(let verdict): return self.verdict(verdict)
        case .set(let source): return self.source(source)
        case .map(let key, let source, _): return object("map", [("key", self.expression(key)), ("data", self.source(source))])
        case .payload(let field): return object("payload", payload(field))
        case .meta(let key, _): return object("meta", [("key", .string(key.rawValue))])
        case .ct(let field): return object("ct", ct(field))
        case .option(let field): return option(field)
        case .fib(let flags, let result, _):
            var names: [JSON] = []
            if flags.contains(.saddr) { names.append(.string("saddr")) }
            if flags.contains(.daddr) { names.append(.string("daddr")) }
            if flags.contains(.mark) { names.append(.string("mark")) }
            if flags.contains(.iif) { names.append(.string("iif")) }
            if flags.contains(.oif) { names.append(.string("oif")) }
            return object("fib", [("result", .string(result == .check && isCompared ? FIBResult.oif.rawValue : result.rawValue)), ("flags", .array(names))])
        case .route(let key, let family, _):
            var members: [(key: String, value: JSON)] = [("key", .string(key.rawValue))]
            if key == .nexthop, let family { members.append(("family", .string(family.rawValue))) }
            return object("rt", members)
        case .socket(let key, _):
            switch key {
            case .transparent: return object("socket", [("key", .string("transparent"))])
            case .mark: return object("socket", [("key", .string("mark"))])
            case .wildcard: return object("socket", [("key", .string("wildcard"))])
            case .cgroupV2(let level): return object("socket", [("key", .string("cgroupv2")), ("level", .int(Int64(level)))])
            }
        case .osf(let ttl, let version, _):
            var members: [(key: String, value: JSON)] = []
            if let ttl { members.append(("ttl", .string(ttl))) }
            return object("osf", members + [("key", .string(version ? "version" : "name"))])
        case .ipsec(let field):
            var members: [(key: String, value: JSON)] = []
            var key = field.key
            if let space = key.firstIndex(of: " ") {
                members.append(("family", .string(String(key[..<space]))))
                key = String(key[key.index(after: space)...])
            }
            return object("ipsec", [("key", .string(key))] + members + [("dir", .string(field.isInbound ? "in" : "out")), ("spnum", .int(Int64(field.number)))])
        case .tunnel(let key, _): return object("tunnel", [("key", .string(key))])
        case .numgen(let mode, let modulus, let offset, _): return object("numgen", [("mode", .string(mode.rawValue)), ("mod", .int(Int64(modulus))), ("offset", .int(Int64(offset)))])
        case .jhash(let key, let modulus, let seed, let offset, _):
            var members: [(key: String, value: JSON)] = [("mod", .int(Int64(modulus)))]
            if let seed { members.append(("seed", .int(Int64(seed)))) }
            if offset > 0 { members.append(("offset", .int(Int64(offset)))) }
            return object("jhash", members + [("expr", self.expression(key))])
        case .symhash(let modulus, let offset, _): return object("symhash", [("mod", .int(Int64(modulus)))] + (offset > 0 ? [("offset", .int(Int64(offset)))] : []))
        case .binary(let operation, let left, let right, _): return .object([(operation.rawValue, .array(operands(operation, left) + operands(operation, right)))])
        case .objectName(let name): return .string(name)
        case .catchAll: return .string("*")
        }
    }

    /// `a | b | c` is one list; flags within it are spread.
    private func operands(_ operation: BinaryOperator, _ expression: Expression) -> [JSON] {
        if case .binary(operation, let left, let right, _) = expression, operation == .or || operation == .and || operation == .xor { return operands(operation, left) + operands(operation, right) }
        if operation == .or, case .constant(let value) = expression, case .dictionary(let members) = self.value(value), let names = members.first?.value.items { return names }
        return [self.expression(expression)]
    }

    private func payload(_ field: PayloadField) -> [(key: String, value: JSON)] {
        if field.proto.isEmpty { return [("base", .string(field.base.rawValue)), ("offset", .int(Int64(field.offset))), ("len", .int(Int64(field.length)))] }
        return (field.tunnel.map { [("tunnel", .string($0))] } ?? []) + [("protocol", .string(field.proto)), ("field", .string(field.field))]
    }

    private func ct(_ field: ConntrackField) -> [(key: String, value: JSON)] {
        var key = field.key.rawValue
        if field.key == .saddr || field.key == .daddr, let family = field.family, field.namesFamily { key = "\(family.rawValue) \(key)" }
        return [("key", .string(key))] + (field.direction.map { [("dir", .string($0.rawValue))] } ?? [])
    }

    private func option(_ field: OptionField) -> JSON {
        let own: [(key: String, value: JSON)] = [("name", .string(field.name))] + (field.field.isEmpty ? [] : [("field", .string(field.field))])
        switch field.family {
        case .extensionHeader:
            return .object([("exthdr", .object(own))])
        case .tcpOption:
            if field.field.isEmpty, !field.testsPresence || UInt8(field.name) != nil {
                if field.testsPresence { return .object([("tcp option", .object([("base", .int(Int64(field.number))), ("offset", .int(0)), ("len", .int(8))]))]) }
                return .object([("tcp option", .object([("base", .int(Int64(field.number))), ("offset", .int(Int64(field.offset))), ("len", .int(Int64(field.length)))]))])
            }
            return .object([("tcp option", .object(own))])
        case .ipOption: return .object([("ip option", .object(own))])
        case .sctpChunk: return .object([("sctp chunk", .object(own))])
        case .dccpOption: return .object([("dccp option", .object([("type", .int(Int64(field.number)))]))])
        }
    }

    func source(_ source: SetSource) -> JSON {
        switch source {
        case .named(let name): .string("@" + name)
        case .anonymous(let set): .object([("set", .array(set.elements.map(element)))])
        }
    }

    func element(_ element: SetElement) -> JSON {
        var key = expression(element.key)
        if element.timeout != nil || element.expires != nil && !options.stateless || element.comment != nil || !element.statements.isEmpty {
            var members: [(key: String, value: JSON)] = [("val", key)]
            if let timeout = element.timeout { members.append(("timeout", .int(Int64(timeout / 1000)))) }
            if let expires = element.expires, !options.stateless { members.append(("expires", .int(Int64(expires / 1000)))) }
            if let comment = element.comment { members.append(("comment", .string(comment))) }
            for statement in element.statements { if case .dictionary(let inner) = json(statement) { members += inner } }
            key = .object([("elem", .object(members))])
        }
        guard let data = element.data else { return key }
        return .array([key, expression(data)])
    }

    func verdict(_ verdict: Verdict) -> JSON {
        switch verdict {
        case .accept: .object([("accept", .null)])
        case .drop: .object([("drop", .null)])
        case .continue: .object([("continue", .null)])
        case .return: .object([("return", .null)])
        case .jump(let name): .object([("jump", .object([("target", .string(name))]))])
        case .goto(let name): .object([("goto", .object([("target", .string(name))]))])
        }
    }

    // MARK: Statements

    static func limit(_ limit: Limit) -> JSON {
        func scaled(_ value: UInt64) -> (JSON, String) {
            if value > 0, value % (1024 * 1024) == 0 { return (.number(value / (1024 * 1024)), "mbytes") }
            if value > 0, value % 1024 == 0 { return (.number(value / 1024), "kbytes") }
            return (.number(value), "bytes")
        }
        let unit = StatementWriter.units[limit.unit] ?? "second"
        var members: [(key: String, value: JSON)] = []
        if limit.isBytes {
            let rate = scaled(limit.rate), burst = scaled(limit.burst)
            members = [("rate", rate.0), ("per", .string(unit)), ("rate_unit", .string(rate.1)), ("burst", burst.0), ("burst_unit", .string(burst.1))]
        } else {
            members = [("rate", .number(limit.rate)), ("burst", .number(limit.burst)), ("per", .string(unit))]
        }
        if limit.isOver { members.append(("inv", .bool(true))) }
        return .object(members)
    }

    static func synproxy(_ synproxy: Synproxy) -> [(key: String, value: JSON)] {
        var members: [(key: String, value: JSON)] = []
        if let mss = synproxy.mss { members.append(("mss", .int(Int64(mss)))) }
        if let scale = synproxy.windowScale { members.append(("wscale", .int(Int64(scale)))) }
        let flags = [synproxy.timestamp ? "timestamp" : nil, synproxy.sackPermitted ? "sack-perm" : nil].compactMap { $0 }
        if !flags.isEmpty { members.append(("flags", .array(flags.map { .string($0) }))) }
        return members
    }

    private func list(_ names: [String]) -> JSON { .array(names.map { .string($0) }) }

    func json(_ statement: Statement, template: Bool = false) -> JSON {
        func one(_ key: String, _ value: JSON) -> JSON { .object([(key, value)]) }
        switch statement {
        case .match(let match):
            var operation = match.operation.rawValue
            if match.operation == .noBit { operation = "!" }
            // Hours that pass midnight.
            if match.operation == .equal, case .range(let low, let high) = match.right, low.number > high.number { operation = "in" }
            var right = match.operation == .anyBit || match.operation == .noBit ? flagList(match.right) : expression(match.right)
            if case .fib(_, .check, _) = match.left, case .constant(let value) = match.right { right = .bool(value.number != 0) }
            var compared = self
            compared.isCompared = true
            return one("match", .object([("op", .string(operation)), ("left", compared.expression(match.left)), ("right", right)]))
        case .verdict(let verdict):
            if let name = References.chains(verdict).first, let chain = table?.chain(name), chain.isAnonymous, let table {
                let rules = chain.rules.map { JSON.array(JSONWriter(options: options).statements($0, table)) }
                let word = { if case .goto = verdict { "goto" } else { "jump" } }()
                return one(word, .object([("chain", .array(rules))]))
            }
            return self.verdict(verdict)
        case .verdictMap(let key, let source): return one("vmap", .object([("key", expression(key)), ("data", self.source(source))]))
        case .counter(let packets, let bytes):
            return one("counter", options.stateless || template ? .null : .object([("packets", .number(packets)), ("bytes", .number(bytes))]))
        case .limit(let limit): return one("limit", Self.limit(limit))
        case .quota(let quota):
            func scaled(_ value: UInt64) -> (JSON, JSON) {
                let words = StatementWriter.bytes(value).split(separator: " ")
                return (.number(UInt64(words[0]) ?? 0), .string(String(words[1])))
            }
            let limit = scaled(quota.limit)
            var members: [(key: String, value: JSON)] = [("val", limit.0), ("val_unit", limit.1)]
            if quota.used > 0, !options.stateless {
                let used = scaled(quota.used)
                members += [("used", used.0), ("used_unit", used.1)]
            }
            if quota.isOver { members.append(("inv", .bool(true))) }
            return one("quota", .object(members))
        case .last(let used):
            if options.stateless { return one("last", .null) }
            return one("last", used.map { .object([("used", .number($0))]) } ?? .object([("used", .string("never"))]))
        case .connectionLimit(let count, let over): return one("ct count", .object([("val", .int(Int64(count)))] + (over ? [("inv", .bool(true))] : [])))
        case .log(let log): return one("log", self.log(log))
        case .reject(let kind): return one("reject", reject(kind))
        case .nat(let nat): return one(nat.kind.rawValue, self.nat(nat))
        case .notrack: return one("notrack", .null)
        case .setMeta(let key, let value): return mangle(.meta(key, type: MetaTypes.type(key)), value)
        case .setConntrack(let field, let value): return mangle(.ct(field), value)
        case .setPayload(let field, let value): return mangle(.payload(field), value)
        case .setOption(let field, let value): return mangle(.option(field), value)
        case .resetOption(let field): return one("reset", one("tcp option", .object([("name", .string(field.name))])))
        case .setUpdate(let update):
            var element = expression(update.key)
            if let timeout = update.timeout { element = one("elem", .object([("val", element), ("timeout", .int(Int64(timeout / 1000)))])) }
            var members: [(key: String, value: JSON)] = [("op", .string(update.operation.rawValue)), ("elem", element)]
            if let data = update.data { members.append(("data", expression(data))) }
            members.append((update.data == nil ? "set" : "map", .string("@" + update.set)))
            if !update.statements.isEmpty { members.append(("stmt", .array(update.statements.map { json($0, template: true) }))) }
            return one(update.data == nil ? "set" : "map", .object(members))
        case .object(let kind, let name): return one(kind.rawValue, expression(name))
        case .flowAdd(let name): return one("flow", .object([("op", .string("add")), ("flowtable", .string("@" + name))]))
        case .queue(let queue):
            var members: [(key: String, value: JSON)] = [("num", expression(queue.target))]
            let flags = [queue.bypass ? "bypass" : nil, queue.fanout ? "fanout" : nil].compactMap { $0 }
            if !flags.isEmpty { members.append(("flags", list(flags))) }
            return one("queue", .object(members))
        case .duplicate(let address, let device):
            if let address { return one("dup", .object([("addr", expression(address))] + (device.map { [("dev", expression($0))] } ?? []))) }
            return one("dup", .object([("addr", device.map(expression) ?? .null)]))
        case .forward(let device, let address, let family):
            var members: [(key: String, value: JSON)] = [("dev", expression(device))]
            if let address { members += [("addr", expression(address)), ("family", .string(family?.rawValue ?? "ip"))] }
            return one("fwd", .object(members))
        case .tproxy(let family, let showsFamily, let address, let port):
            var members: [(key: String, value: JSON)] = []
            if showsFamily, let family { members.append(("family", .string(family.rawValue))) }
            if let address { members.append(("addr", expression(address))) }
            if let port { members.append(("port", expression(port))) }
            return one("tproxy", .object(members))
        case .synproxy(let synproxy):
            let members = Self.synproxy(synproxy)
            return one("synproxy", members.isEmpty ? .null : .object(members))
        case .xtables(let kind, let name): return one("xt", .object([("type", .string(kind)), ("name", .string(name))]))
        }
    }

    private func mangle(_ key: Expression, _ value: Expression) -> JSON {
        .object([("mangle", .object([("key", expression(key)), ("value", expression(value))]))])
    }

    private func log(_ log: Log) -> JSON {
        var members: [(key: String, value: JSON)] = []
        if let prefix = log.prefix { members.append(("prefix", .string(prefix))) }
        if let group = log.group { members.append(("group", .int(Int64(group)))) }
        if let length = log.snapLength { members.append(("snaplen", .int(Int64(length)))) }
        if let threshold = log.queueThreshold { members.append(("queue-threshold", .int(Int64(threshold)))) }
        if let level = log.level, Int(level) < Symbols.logLevels.count { members.append(("level", .string(Symbols.logLevels[Int(level)]))) }
        if log.flags == 47 {
            members.append(("flags", list(["all"])))
        } else if log.flags != 0 {
            let names: [(UInt8, String)] = [(1, "tcp sequence"), (2, "tcp options"), (4, "ip options"), (8, "skuid"), (32, "ether")]
            let present = names.filter { log.flags & $0.0 != 0 }.map(\.1)
            members.append(("flags", list(present)))
        }
        return members.isEmpty ? .null : .object(members)
    }

    private func reject(_ kind: RejectKind) -> JSON {
        func code(_ type: String, _ number: UInt8, _ basic: BasicType) -> JSON {
            .object([("type", .string(type)), ("expr", Symbols.name(UInt128(number), basic).map { .string($0) } ?? .int(Int64(number)))])
        }
        switch kind {
        case .tcpReset: return .object([("type", .string("tcp reset"))])
        case .icmp(let number): return code("icmp", number, .icmpCode)
        case .icmpv6(let number): return code("icmpv6", number, .icmpv6Code)
        case .icmpx(let number): return code("icmpx", number, .icmpxCode)
        }
    }

    private func nat(_ nat: NAT) -> JSON {
        var members: [(key: String, value: JSON)] = []
        if nat.showsFamily, let family = nat.family { members.append(("family", .string(family.rawValue))) }
        if let address = nat.address { members.append(("addr", expression(address))) }
        if let port = nat.port { members.append(("port", expression(port))) }
        var flags: [String] = []
        if nat.flags.contains(.prefix) { flags.append("netmap") }
        if nat.flags.contains(.random) { flags.append("random") }
        if nat.flags.contains(.fullyRandom) { flags.append("fully-random") }
        if nat.flags.contains(.persistent) { flags.append("persistent") }
        if !flags.isEmpty { members.append(("flags", list(flags))) }
        if nat.flags.contains(.prefix) { members.append(("type_flags", list(["prefix"]))) }
        return members.isEmpty ? .null : .object(members)
    }
}
