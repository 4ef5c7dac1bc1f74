// Statements of libnftables-json as syntax.

struct JSONStatementReader {
    let reader: JSONReader
    private var expressions: JSONExpressionReader { JSONExpressionReader(reader: reader) }
    private func fail(_ message: String) -> SyntaxError { reader.fail(message) }

    init(reader: JSONReader) { self.reader = reader }

    func statement(_ value: JSON) throws -> StatementNode {
        guard case .dictionary(let members) = value, let (key, body) = members.first.map({ ($0.key, $0.value) }) else { throw fail("a statement must be an object") }
        return StatementNode(kind: try kind(key, body), location: reader.place)
    }

    private func names(_ value: JSON?) -> [String] {
        if let text = value?.text { return [text] }
        return value?.items?.compactMap(\.text) ?? []
    }

    /// A name, or a map to names.
    private func reference(_ body: JSON) throws -> Node {
        if let name = body.text { return reader.node(.quoted(name)) }
        return try expressions.expression(body, .left)
    }

    func limit(_ body: JSON) throws -> Limit {
        let scales: [String: UInt64] = ["bytes": 1, "kbytes": 1024, "mbytes": 1024 * 1024]
        let units: [String: UInt64] = ["second": 1, "minute": 60, "hour": 3600, "day": 86400, "week": 604_800]
        guard let rate = body["rate"]?.integer, let unit = units[body["per"]?.text ?? "second"] else { throw fail("limit needs rate and per") }
        var limit = Limit(rate: rate, unit: unit, burst: body["burst"]?.integer ?? 5, isBytes: false, isOver: body["inv"]?.isTrue ?? false)
        if let name = body["rate_unit"]?.text, name != "packets" {
            guard let scale = scales[name] else { throw fail("unknown rate_unit '\(name)'") }
            limit.isBytes = true
            limit.rate = rate &* scale
            limit.burst = (body["burst"]?.integer ?? 0) &* (scales[body["burst_unit"]?.text ?? "bytes"] ?? 1)
        }
        if limit.rate == 0 { throw fail("limit rate must be > 0") }
        return limit
    }

    func synproxy(_ body: JSON) -> Synproxy {
        let flags = names(body["flags"])
        return Synproxy(
            mss: body["mss"]?.integer.map { UInt16(truncatingIfNeeded: $0) }, windowScale: body["wscale"]?.integer.map { UInt8(truncatingIfNeeded: $0) },
            timestamp: flags.contains("timestamp"), sackPermitted: flags.contains("sack-perm"))
    }

    private func kind(_ key: String, _ body: JSON) throws -> StatementKind {
        switch key {
        case "accept", "drop", "continue", "return", "jump", "goto": return .verdict(try expressions.expression(.object([(key, body)]), .right))
        case "match":
            guard let left = body["left"], let right = body["right"], let word = body["op"]?.text else { throw fail("match needs op, left and right") }
            let operation: RelationalOperator? = word == "in" ? nil : RelationalOperator(rawValue: word)
            if word != "in", operation == nil { throw fail("Unknown relational op '\(word)'") }
            // A set is looked up; that it says "==" means no other comparison than none does.
            return .relational(try expressions.expression(left, .left), word == "==" && right["set"] != nil ? nil : operation, try expressions.expression(right, .right))
        case "vmap":
            guard let inner = body["key"], let data = body["data"] else { throw fail("vmap needs key and data") }
            return .verdictMap(try expressions.expression(inner, .left), try expressions.expression(data, .right))
        case "mangle":
            guard let inner = body["key"], let value = body["value"] else { throw fail("mangle needs key and value") }
            return .set(try expressions.expression(inner, .left), try expressions.expression(value, .left))
        case "counter":
            if body.text != nil || body["map"] != nil { return .object(.counter, try reference(body)) }
            return .counter(packets: body["packets"]?.integer ?? 0, bytes: body["bytes"]?.integer ?? 0)
        case "quota":
            if body.text != nil || body["map"] != nil { return .object(.quota, try reference(body)) }
            let scales: [String: UInt64] = ["bytes": 1, "kbytes": 1024, "mbytes": 1024 * 1024]
            guard let amount = body["val"]?.integer else { throw fail("quota needs val") }
            return .quota(Quota(
                limit: amount &* (scales[body["val_unit"]?.text ?? "bytes"] ?? 1), used: (body["used"]?.integer ?? 0) &* (scales[body["used_unit"]?.text ?? "bytes"] ?? 1), isOver: body["inv"]?.isTrue ?? false))
        case "limit":
            if body.text != nil || body["map"] != nil { return .object(.limit, try reference(body)) }
            return .limit(try limit(body))
        case "last": return .last(body["used"]?.integer)
        case "ct count": return .connectionLimit(UInt32(truncatingIfNeeded: body["val"]?.integer ?? 0), over: body["inv"]?.isTrue ?? false)
        case "log": return try log(body)
        case "reject":
            guard let type = body["type"]?.text else { return .reject(kind: nil, code: nil) }
            if type == "tcp reset" { return .reject(kind: "tcp", code: nil) }
            guard ["icmp", "icmpv6", "icmpx"].contains(type) else { throw fail("Unknown reject type '\(type)'") }
            return .reject(kind: type, code: try body["expr"].map { try expressions.expression($0, .right) })
        case "snat", "dnat", "masquerade", "redirect": return try nat(NATKind(rawValue: key) ?? .masquerade, body)
        case "notrack": return .notrack
        case "dup":
            return .duplicate(address: try body["addr"].map { try expressions.expression($0, .left) }, device: try body["dev"].map { try expressions.expression($0, .left) })
        case "fwd":
            guard let device = body["dev"] else { throw fail("fwd needs dev") }
            return .forward(device: try expressions.expression(device, .left), address: try body["addr"].map { try expressions.expression($0, .left) }, family: body["family"]?.text.flatMap(AddressFamily.init(rawValue:)))
        case "queue":
            let flags = names(body["flags"])
            return .queue(try body["num"].map { try expressions.expression($0, .left) } ?? reader.node(.symbol("0")), bypass: flags.contains("bypass"), fanout: flags.contains("fanout"))
        case "tproxy":
            return .tproxy(
                family: body["family"]?.text.flatMap(AddressFamily.init(rawValue:)), address: try body["addr"].map { try expressions.expression($0, .left) }, port: try body["port"].map { try expressions.expression($0, .left) })
        case "synproxy":
            if body.text != nil || body["map"] != nil { return .object(.synproxy, try reference(body)) }
            return .synproxy(synproxy(body))
        case "set", "map": return try update(body)
        case "meter":
            guard let inner = body["key"], let statement = body["stmt"], let name = body["name"]?.text else { throw fail("meter needs name, key and stmt") }
            var item = SetItem(key: try expressions.expression(inner, .left), statements: [try self.statement(statement)], location: reader.place)
            item.timeout = inner["elem"]?["timeout"]?.integer.map { $0 &* 1000 }
            return .setUpdate(.update, set: reader.node(.setReference(name)), item: item, meter: (name, body["size"]?.integer))
        case "flow":
            guard let name = body["flowtable"]?.text else { throw fail("flow needs flowtable") }
            return .flowAdd(name.hasPrefix("@") ? String(name.dropFirst()) : name)
        case "ct helper", "ct timeout", "ct expectation", "secmark":
            return .object(ObjectKind(rawValue: key) ?? .ctHelper, try reference(body))
        case "reset":
            guard let name = body["tcp option"]?["name"]?.text else { throw fail("reset needs a tcp option") }
            let known = Parser.tcpOptionAliases[name] ?? name
            guard Protocols.tcpOptions.contains(where: { $0.name == known }) || UInt8(known) != nil else { throw fail("Unknown tcp option '\(name)'") }
            return .resetOption(name: known)
        case "xt": return .xtables(kind: body["type"]?.text ?? "match", name: body["name"]?.text ?? "")
        default: throw fail("Unknown statement '\(key)'")
        }
    }

    private func log(_ body: JSON) throws -> StatementKind {
        var log = Log()
        log.group = body["group"]?.integer.map { UInt16(truncatingIfNeeded: $0) }
        log.snapLength = body["snaplen"]?.integer.map { UInt32(truncatingIfNeeded: $0) }
        log.queueThreshold = body["queue-threshold"]?.integer.map { UInt16(truncatingIfNeeded: $0) }
        if let name = body["level"]?.text {
            guard let level = Symbols.logLevels.firstIndex(of: name) else { throw fail("Unknown log level '\(name)'") }
            log.level = UInt8(level)
        }
        let bits: [String: UInt8] = ["tcp sequence": 1, "tcp options": 2, "ip options": 4, "skuid": 8, "ether": 32, "all": 47]
        for name in names(body["flags"]) {
            guard let bit = bits[name] else { throw fail("Unknown log flag '\(name)'") }
            log.flags |= bit
        }
        return .log(log, prefix: body["prefix"]?.text.map { reader.node(.quoted($0)) })
    }

    private func nat(_ kind: NATKind, _ body: JSON) throws -> StatementKind {
        var flags: NATFlags = []
        var prefix = names(body["type_flags"]).contains("prefix")
        for name in names(body["flags"]) {
            switch name {
            case "random": flags.insert(.random)
            case "fully-random": flags.insert(.fullyRandom)
            case "persistent": flags.insert(.persistent)
            case "netmap": prefix = true
            default: throw fail("Unknown nat flag '\(name)'")
            }
        }
        return .nat(
            kind, family: body["family"]?.text.flatMap(AddressFamily.init(rawValue:)), prefix: prefix, address: try body["addr"].map { try expressions.expression($0, .left) },
            port: try body["port"].map { try expressions.expression($0, .left) }, flags: flags)
    }

    private func update(_ body: JSON) throws -> StatementKind {
        guard let element = body["elem"], let name = (body["set"] ?? body["map"])?.text, let operation = SetOperation(rawValue: body["op"]?.text ?? "add") else { throw fail("set needs op, elem and set") }
        var item = SetItem(key: try expressions.expression(element, .left), statements: [], location: reader.place)
        item.timeout = element["elem"]?["timeout"]?.integer.map { $0 &* 1000 }
        item.data = try body["data"].map { try expressions.expression($0, .left) }
        for statement in body["stmt"]?.items ?? [] { item.statements.append(try self.statement(statement)) }
        return .setUpdate(operation, set: reader.node(.setReference(name.hasPrefix("@") ? String(name.dropFirst()) : name)), item: item, meter: nil)
    }
}
