// Rules: statements get types, implied matches come in front of what needs them.

extension Evaluator {
    func rule(_ node: RuleNode, handle: UInt64) throws -> Rule {
        context = ProtocolContext(family: view.family)
        var statements: [Statement] = []
        var terminated: SourceRange?
        for (index, statementNode) in node.statements.enumerated() {
            implied = []
            leading = []
            var front: [Statement] = []
            let statement = try self.statement(statementNode, &front)
            if let terminated { throw EvaluationError(message: "Statement after terminal statement has no effect", location: statementNode.location, others: [terminated]) }
            if Self.isTerminal(statement), index + 1 < node.statements.count { terminated = statementNode.location }
            statements.insert(contentsOf: front + leading, at: 0)
            statements += implied
            statements.append(statement)
        }
        if let comment = node.comment, comment.utf8.count > 127 {
            throw EvaluationError(message: "comment too long, 128 characters maximum allowed", location: node.location)
        }
        let finished = RuleFinisher(family: view.family).finish(statements)
        return Rule(handle: handle, statements: finished, comment: node.comment, location: node.location)
    }

    /// The word that a statement begins with: what is wrong with the statement as a whole is told there.
    static func keyword(_ place: SourceRange) -> SourceRange {
        guard let source = place.source else { return place }
        var end = Int(place.start)
        let bytes = source.bytes
        while end < min(Int(place.end), bytes.count), Lexer.isLetter(bytes[end]) { end += 1 }
        return SourceRange(source: source, start: Int(place.start), end: max(end, Int(place.start) + 1))
    }

    static func isTerminal(_ statement: Statement) -> Bool {
        switch statement {
        case .verdict(.continue): false
        case .verdict, .reject, .nat: true
        default: false
        }
    }

    /// A statement that a set element may carry.
    func stateful(_ node: StatementNode) throws -> Statement {
        var front: [Statement] = []
        return try statement(node, &front)
    }

    private func statement(_ node: StatementNode, _ front: inout [Statement]) throws -> Statement {
        func fail(_ message: String) -> EvaluationError { EvaluationError(message: message, location: node.location) }
        func failAtWord(_ message: String) -> EvaluationError { EvaluationError(message: message, location: Self.keyword(node.location)) }
        switch node.kind {
        case .relational(let left, let operation, let right): return .match(try relational(left, operation, right, node.location))
        case .flagMatch(let left, let operation, let value, let mask):
            let selector = try general(left, nil)
            let type = selector.type
            guard case .constant(let bits) = try constantOrFlags(value, type), case .constant(let wanted) = try constantOrFlags(mask, type) else { throw fail("flags must be constant") }
            let masked = Expression.binary(.and, selector, .constant(wanted), type: type)
            return .match(Match(left: masked, operation: operation == .notEqual || operation == .noBit ? .notEqual : .equal, right: .constant(bits), location: node.location))
        case .verdict(let verdict): return .verdict(try self.verdict(verdict))
        case .verdictMap(let keyNode, let source):
            let wide = source.resolved
            let key = try general(keyNode, keyType(of: wide, for: keyNode))
            if case .setReference(let name) = wide.kind {
                guard let set = view.set(name) else { throw missingSet(name, wide) }
                try checkKey(key.type, set, keyNode, .map, at: wide.location)
                guard case .verdict? = set.data else { throw EvaluationError(message: "Expression is not a verdict map", location: wide.location) }
                return .verdictMap(key: key, .named(name))
            }
            return .verdictMap(key: key, .anonymous(try anonymousSet(wide, keyType: key.type, data: .verdict)))
        case .counter(let packets, let bytes): return .counter(packets: packets, bytes: bytes)
        case .limit(let limit): return .limit(limit)
        case .quota(let quota): return .quota(quota)
        case .last(let used): return .last(used: used)
        case .connectionLimit(let count, let over): return .connectionLimit(count: count, isOver: over)
        case .log(var log, let prefix):
            if let prefix {
                log.prefix = try logPrefix(prefix)
                if (log.prefix ?? "").utf8.count > 127 { throw EvaluationError(message: "log prefix is too long", location: prefix.location) }
            }
            if log.group != nil, log.level != nil || log.flags != 0 { throw failAtWord(log.level != nil ? "level and group are mutually exclusive" : "flags and group are mutually exclusive") }
            if log.level == 8, log.snapLength != nil || log.queueThreshold != nil || log.flags != 0 || log.prefix != nil { throw failAtWord("log level audit doesn't support any further options") }
            if log.group == nil, log.level != nil, log.snapLength != nil || log.queueThreshold != nil { throw failAtWord("level and snaplen/queue-threshold are mutually exclusive") }
            if log.group == nil, log.snapLength != nil || log.queueThreshold != nil { log.group = 0 }
            if log.level == 4 { log.level = nil }
            return .log(log)
        case .reject(let kind, let code): return .reject(try reject(kind, code, node, &front))
        case .nat(let kind, let family, let prefix, let address, let port, let flags): return .nat(try nat(kind, family, prefix, address, port, flags, node))
        case .notrack: return .notrack
        case .set(let left, let right): return try assignment(left, right, node)
        case .resetOption(let name):
            guard let header = Protocols.named("tcp") else { throw fail("unknown protocol") }
            for match in try context.require(header, at: node.location) { implied.append(.match(match)) }
            let number = Protocols.tcpOptions.first { $0.name == name }?.number ?? UInt8(truncatingIfNeeded: Numbers.unsigned(name) ?? 0)
            return .resetOption(OptionField(family: .tcpOption, number: number, name: name, field: "", offset: 0, length: 8, type: Datatypes.make(.boolean), testsPresence: true))
        case .setUpdate(let operation, let reference, let item, let meter): return try setUpdate(operation, reference, item, meter != nil, node)
        case .object(let kind, let name): return try object(kind, name, node)
        case .flowAdd(let name): return .flowAdd(flowtable: name)
        case .queue(let target, let bypass, let fanout):
            let type = Datatypes.integer(16)
            if Self.isSelector(target) {
                switch target.resolved.kind {
                case .numgen, .symhash, .jhash, .map: break
                default: throw fail("queue number is not constant")
                }
                if fanout { throw fail("fanout requires a range of queues to be specified") }
                return .queue(Queue(target: try general(target, type), bypass: bypass, fanout: fanout))
            }
            let value = try constant(target, type)
            if fanout, !SetOrder.isInterval(value) { throw self.fail("fanout requires a range to be specified", target) }
            return .queue(Queue(target: value, bypass: bypass, fanout: fanout))
        case .duplicate(let address, let device):
            let interface = Datatypes.make(.interfaceIndex)
            if view.family == .netdev {
                guard device == nil else { throw fail("cannot specify device") }
                guard let target = address else { throw fail("missing destination interface") }
                return .duplicate(address: nil, device: try general(target, interface))
            }
            guard view.family == .ip || view.family == .ip6 else { throw fail("unsupported family") }
            guard let target = address else { throw fail("missing destination address") }
            return .duplicate(address: try general(target, Datatypes.make(view.family == .ip ? .ipv4Address : .ipv6Address)), device: try device.map { try general($0, interface) })
        case .forward(let device, let address, let family):
            guard view.family == .netdev else { throw fail("unsupported family") }
            let target = try general(device, Datatypes.make(.interfaceIndex))
            return .forward(device: target, address: try address.map { try general($0, Datatypes.make(family == .ip6 ? .ipv6Address : .ipv4Address)) }, family: family)
        case .tproxy(let family, let address, let port): return try tproxy(family, address, port, node)
        case .synproxy(let synproxy): return .synproxy(synproxy)
        case .xtables(let kind, let name): return .xtables(kind: kind, name: name)
        case .invalid: throw fail("invalid statement")
        }
    }

    private func logPrefix(_ node: Node) throws -> String {
        switch node.resolved.kind {
        case .quoted(let raw):
            // Variables inside the text are replaced when the prefix is one.
            return raw
        case .symbol(let text), .wildcard(let text): return text
        default: throw fail("log prefix must be a string", node)
        }
    }

    // MARK: Matches

    private func relational(_ leftNode: Node, _ operation: RelationalOperator?, _ rightNode: Node, _ place: SourceRange) throws -> Match {
        let right = rightNode.resolved
        var left = try general(leftNode, keyType(of: right, for: leftNode))
        let type = left.type
        limit = Self.largest(left)
        defer { limit = nil }
        if case .fib(let flags, .oif, _) = left, case .symbol(let text) = right.kind, text == "exists" || text == "missing" {
            left = .fib(flags, .check, type: Datatypes.make(.boolean))
            return Match(left: left, operation: operation == .notEqual ? .notEqual : .equal, right: try constant(rightNode, Datatypes.make(.boolean)), location: place)
        }
        let isMaskable = Datatypes.isBitmask(type)
        switch right.kind {
        case .setReference(let name):
            guard let set = view.set(name) else { throw missingSet(name, right) }
            try checkKey(type, set, leftNode, .match, at: rightNode.location)
            if operation != nil, operation != .notEqual, operation != .equal { throw fail("Relational expression (\(operation?.rawValue ?? "")) cannot be used with sets", rightNode) }
            return Match(left: left, operation: operation == .notEqual ? .notEqual : .equal, right: .set(.named(name)), location: place)
        case .block:
            if operation != nil, operation != .notEqual, operation != .equal { throw fail("Relational expression (\(operation?.rawValue ?? "")) cannot be used with sets", rightNode) }
            let set = try anonymousSet(rightNode, keyType: type, data: nil)
            if set.elements.isEmpty { throw fail("Set is empty", rightNode) }
            let single = try items(right)
            if single.count == 1, set.elements.count == 1, set.elements[0].statements.isEmpty, !type.isConcatenation, set.elements[0].comment == nil {
                let key = set.elements[0].key
                if case .catchAll = key {} else {
                    let any = isMaskable && type.basic == .ctState && operation == nil
                    return try finishMatch(left, any ? .anyBit : operation ?? .equal, key, place, rightNode)
                }
            }
            if operation != .notEqual { context.learnSet(left, set.elements.compactMap { if case .constant(let value) = $0.key { value.number } else { nil } }) }
            return Match(left: left, operation: operation == .notEqual ? .notEqual : .equal, right: .set(.anonymous(set)), location: place)
        default: break
        }
        if type.isConcatenation {
            let value = try constant(rightNode, type)
            if operation == nil || operation == .equal || operation == .notEqual {
                throw EvaluationError(message: "Use concatenations with sets and maps, not singleton values", location: leftNode.location, others: [rightNode.location])
            }
            if operation != nil, operation != .equal, operation != .notEqual { throw fail("Relational expression (\(operation?.rawValue ?? "")) is undefined for concat types", rightNode) }
            return Match(left: left, operation: operation ?? .equal, right: value, location: place)
        }
        let value = try constant(rightNode, type)
        switch left {
        case .meta(.secmark, _): throw EvaluationError(message: "Cannot be used with right hand side constant value", location: rightNode.location, others: [leftNode.location])
        case .ct(let field) where field.key == .secmark: throw EvaluationError(message: "Cannot be used with right hand side constant value", location: rightNode.location, others: [leftNode.location])
        default: break
        }
        switch operation {
        case .less, .greater, .lessOrEqual, .greaterOrEqual:
            guard case .constant = value else { throw fail("Relational expression (\(operation?.rawValue ?? "")) is undefined for range expressions", rightNode) }
            return Match(left: left, operation: operation ?? .equal, right: value, location: place)
        case nil:
            if isMaskable {
                if case .binary = left { return try finishMatch(left, .equal, try collapse(value), place, rightNode) }
                switch value {
                case .flags: return Match(left: left, operation: .anyBit, right: value, location: place)
                case .constant(let bits): return Match(left: left, operation: .anyBit, right: Self.bitList(bits), location: place)
                default: break
                }
            }
            return try finishMatch(left, .equal, value, place, rightNode)
        case .noBit:
            if case .binary = left { throw EvaluationError(message: "cannot combine negation with binary expression", location: leftNode.location, others: [rightNode.location]) }
            guard isMaskable else {
                throw EvaluationError(message: "negation can only be used with singleton bitmask values.  Did you mean \"!=\"?", location: leftNode.location, others: [rightNode.location])
            }
            return Match(left: left, operation: .noBit, right: value, location: place)
        case .equal:
            return try finishMatch(left, .equal, try collapse(value), place, rightNode)
        default:
            return try finishMatch(left, operation ?? .equal, value, place, rightNode)
        }
    }

    private static func largest(_ expression: Expression) -> UInt128? {
        switch expression {
        case .numgen(_, let modulus, let offset, _), .jhash(_, let modulus, _, let offset, _), .symhash(let modulus, let offset, _):
            UInt128(modulus) + UInt128(offset) - 1
        default: nil
        }
    }

    /// A flag list as one value.
    private func collapse(_ value: Expression) throws -> Expression {
        if case .flags(let values) = value, let first = values.first { return .constant(Value(values.reduce(0) { $0 | $1.number }, first.type)) }
        return value
    }

    /// Moves constants from left to right where the comparison allows it, spells masks out, and teaches the context.
    private func finishMatch(_ leftExpression: Expression, _ operation: RelationalOperator, _ rightExpression: Expression, _ place: SourceRange, _ rightNode: Node) throws -> Match {
        var left = leftExpression, right = rightExpression
        if let match = bitList(left, operation, right, place) { return match }
        if case .constant(var value) = right {
            while case .binary(let inner, let base, .constant(let operand), _) = left {
                if inner == .xor {
                    value = Value(value.number ^ operand.number, base.type)
                } else if inner == .shiftLeft, operand.number < 128, value.number & ((UInt128(1) << operand.number) - 1) == 0 {
                    value = Value(value.number >> operand.number, base.type)
                } else if inner == .shiftRight, operand.number < UInt128(base.type.bits), base.type.bits % 8 == 0, base.type.bits < 128 {
                    let full = (UInt128(1) << UInt128(base.type.bits)) - 1
                    value = Value((value.number << operand.number) & full, base.type)
                    left = .binary(.and, base, .constant(Value((full >> operand.number) << operand.number, base.type)), type: base.type)
                    break
                } else {
                    break
                }
                left = base
            }
            right = .constant(value)
            if operation == .equal {
                if case .payload(let field) = left, field.proto.isEmpty == false, let header = Protocols.named(field.proto), header.key == field.field, field.tunnel == nil {
                    try checkConflict(header, value, place)
                }
                context.learn(left, value.number)
            }
        }
        // An address under a mask of leading bits is listed with its prefix.
        if operation == .equal || operation == .notEqual, case .binary(.and, let base, .constant(let mask), _) = left, case .constant(let value) = right, SetOrder.hasPrefixes(value.type) {
            let bits = value.type.bits
            let inverted = mask.number ^ (bits >= 128 ? UInt128.max : (UInt128(1) << UInt128(bits)) - 1)
            if inverted & (inverted &+ 1) == 0, value.number & inverted == 0 {
                left = base
                right = .prefix(value, length: bits - (128 - inverted.leadingZeroBitCount))
            }
        }
        if case .prefix(let value, let length) = right, !Datatypes.isString(value.type), !SetOrder.hasPrefixes(value.type) {
            let host = value.type.bits - length
            let mask = ((UInt128.max << UInt128(min(host, 127))) & (value.type.bits >= 128 ? UInt128.max : (UInt128(1) << UInt128(value.type.bits)) - 1))
            left = .binary(.and, left, .constant(Value(mask, value.type)), type: value.type)
            right = .constant(value)
        }
        if case .prefix(let value, let length) = right, SetOrder.hasPrefixes(value.type), length == value.type.bits { right = .constant(value) }
        if case .payload(let field) = left, field.proto.isEmpty, field.base == .link, field.length < 8, case .constant(let value) = right {
            // The kernel reads whole bytes of the link-layer header.
            let start = field.offset / 8 * 8
            let shift = UInt128(8 - (field.offset - start) - field.length)
            if field.offset - start + field.length <= 8 {
                let byte = Datatype(.hexInteger, bits: 8, byteOrder: .network)
                let wide = Expression.payload(PayloadField(base: .link, offset: start, length: 8, proto: "", field: "", type: byte))
                let mask = ((UInt128(1) << UInt128(field.length)) - 1) << shift
                return Match(left: .binary(.and, wide, .constant(Value(mask, byte)), type: byte), operation: operation, right: .constant(Value(value.number << shift, byte)), location: place)
            }
        }
        return Match(left: left, operation: operation, right: right, location: place)
    }

    /// `tcp flags & (syn | ack) != 0` asks for any of the bits, `== 0` for none: nft lists them as `syn,ack` and `! syn,ack`.
    private func bitList(_ left: Expression, _ operation: RelationalOperator, _ right: Expression, _ place: SourceRange) -> Match? {
        guard operation == .equal || operation == .notEqual, case .binary(.and, let base, .constant(let mask), _) = left, Datatypes.isBitmask(base.type),
              case .constant(let value) = right, value.number == 0, mask.number != 0 else { return nil }
        return Match(left: base, operation: operation == .equal ? .noBit : .anyBit, right: Self.bitList(Value(mask.number, base.type)), location: place)
    }

    /// The bits of a value one by one, the lowest first; a value of one bit or none as it stands.
    private static func bitList(_ value: Value) -> Expression {
        let bits = (0 ..< value.type.bits).map { UInt128(1) << UInt128($0) }.filter { value.number & $0 != 0 }
        return bits.count < 2 ? .constant(value) : .flags(bits.map { Value($0, value.type) })
    }

    private func checkConflict(_ header: ProtocolHeader, _ value: Value, _ place: SourceRange) throws {
        guard let upper = header.upperName(value.number), let next = Protocols.named(upper) else { return }
        if header.base == .link { return }
        if next.base == .transport, let known = context.transport, known != upper {
            throw EvaluationError(message: "conflicting protocols specified: \(known) vs. \(upper)", location: place)
        }
    }

    // MARK: Assignments

    /// What is stored must have the type of what it is stored in; a mark takes any number.
    private func checkArgument(_ value: Expression, _ type: Datatype, _ place: Node, _ statement: StatementNode) throws {
        func mismatch(_ detail: String) -> EvaluationError {
            EvaluationError(message: "datatype mismatch: expected \(Datatypes.description(type)), expression has type \(detail)", location: place.location, others: [statement.location])
        }
        let own = value.type
        func isInteger(_ type: Datatype) -> Bool { type.basic == .integer || type.basic == .hexInteger }
        if case .payload(let field) = value, isInteger(own), field.offset % 8 == 0, field.length % 8 == 0, field.length != type.bits || Datatypes.isString(type) {
            throw mismatch("\(Datatypes.description(own)) with length \(field.length)")
        }
        if case .constant = value { return }
        if type.basic == .mark {
            if Datatypes.isString(own) || own.basic == .verdict { throw mismatch(Datatypes.description(own)) }
        } else if own.basic != type.basic, !(isInteger(own) && isInteger(type)) {
            if isInteger(own), type.bits == 32 || isComputed(value) { return }
            throw mismatch(Datatypes.description(own))
        }
    }

    /// A result of arithmetic, which takes the type it is wanted for.
    private func isComputed(_ value: Expression) -> Bool {
        switch value {
        case .binary, .numgen, .jhash, .symhash: true
        default: false
        }
    }

    private func assignment(_ leftNode: Node, _ rightNode: Node, _ node: StatementNode) throws -> Statement {
        func fail(_ message: String) -> EvaluationError { EvaluationError(message: message, location: node.location) }
        let left = try selector(leftNode)
        func value(_ type: Datatype) throws -> Expression {
            if case .block = rightNode.resolved.kind { throw EvaluationError(message: "you cannot use a set here, unknown value to use", location: rightNode.location) }
            let result: Expression
            if Self.isSelector(rightNode) || { if case .map = rightNode.resolved.kind { true } else { false } }() {
                // A plain selector keeps its type, for the check below.
                let isPlain = { switch rightNode.resolved.kind { case .payload, .meta, .ct, .option, .fib, .route, .socket, .osf, .ipsec: true; default: false } }()
                result = try general(rightNode, isPlain ? nil : type)
            } else {
                result = try constantOrFlags(rightNode, type)
            }
            try checkArgument(result, type, rightNode, node)
            switch result {
            case .prefix, .range: throw EvaluationError(message: "a value is needed here, not a range", location: rightNode.location)
            case .binary(_, _, .constant(let operand), _):
                if operand.type.bits <= 128, type.bits < 128, operand.type.basic != .integer || operand.type.bits != 32, operand.number >> UInt128(type.bits) != 0 {
                    throw EvaluationError(message: "Value \(operand.number) exceeds valid range 0-\((UInt128(1) << UInt128(type.bits)) - 1)", location: rightNode.location)
                }
            default: break
            }
            return result
        }
        switch left {
        case .meta(let key, let type):
            switch key {
            case .mark, .priority, .pkttype, .nftrace, .secmark, .broute: return .setMeta(key, try value(type))
            default: throw fail("meta \(key.rawValue) cannot be set")
            }
        case .ct(let field):
            switch field.key {
            case .secmark:
                let stored = try value(field.type)
                if case .constant = stored { throw fail("ct secmark must not be set to constant value") }
                return .setConntrack(field, stored)
            case .mark, .label, .event, .zone: break
            default: throw fail("ct \(field.key.rawValue) cannot be set")
            }
            return .setConntrack(field, try value(field.type))
        case .payload(let field):
            if field.tunnel != nil { throw fail("payload statement not supported for inner headers") }
            return .setPayload(field, try value(field.type))
        case .option(let field):
            if field.testsPresence { throw fail("option existence cannot be set") }
            return .setOption(field, try value(field.type))
        default: throw fail("this expression cannot be set")
        }
    }

    private func setUpdate(_ operation: SetOperation, _ reference: Node, _ item: SetItem, _ isMeter: Bool, _ node: StatementNode) throws -> Statement {
        guard case .setReference(let name) = reference.resolved.kind else { throw fail("a set reference is needed", reference) }
        guard let set = view.set(name) else { throw missingSet(name, reference) }
        // A lone selector has its own type, which may be the wrong one; constants in a concatenation take theirs from the set.
        let hasOwnType = if case .concatenation = item.key.resolved.kind { false } else { Self.isSelector(item.key.resolved) }
        let key = try general(item.key, hasOwnType ? nil : set.keyType)
        try checkKey(key.type, set, item.key, .update, at: node.location)
        var data: Expression?
        if let dataNode = item.data {
            switch set.data {
            case .value(let type)?: data = try Self.isSelector(dataNode) ? general(dataNode, type) : constantOrFlags(dataNode, type)
            case .verdict?: data = .verdict(try verdict(dataNode))
            default: throw fail("unexpected map data", dataNode)
            }
        } else if set.isMap, operation != .delete {
            throw fail("missing map data", item.key)
        }
        if set.flags.contains(.constant) { throw fail("Could not process rule: Operation not supported", reference) }
        var statements: [Statement] = []
        for statement in item.statements { statements.append(try stateful(statement)) }
        return .setUpdate(SetUpdate(operation: operation, set: name, key: key, data: data, timeout: item.timeout, statements: statements, isMeter: isMeter))
    }

    private func object(_ kind: ObjectKind, _ nameNode: Node, _ node: StatementNode) throws -> Statement {
        if case .map(let keyNode, let source) = nameNode.resolved.kind {
            let wide = source.resolved
            let key = try general(keyNode, nil)
            if case .setReference(let name) = wide.kind {
                guard let set = view.set(name) else { throw missingSet(name, wide) }
                guard case .object(let held)? = set.data, held == kind else { throw EvaluationError(message: "Expression is not a map with objects", location: wide.location) }
                try checkKey(key.type, set, keyNode, .map, at: wide.location)
                return .object(kind, .map(key: key, .named(name), type: Datatypes.make(.string)))
            }
            return .object(kind, .map(key: key, .anonymous(try anonymousSet(wide, keyType: key.type, data: .object(kind))), type: Datatypes.make(.string)))
        }
        let name = try objectName(nameNode)
        if !view.object(kind, name) { throw EvaluationError(message: "Could not process rule: No such file or directory", location: nameNode.location) }
        return .object(kind, .objectName(name))
    }
}
