// Constants, sets in place and maps: what stands on the right-hand side.

extension Evaluator {
    // MARK: Constants

    /// A constant of the type: value, prefix, range, flag list, concatenation.
    func constant(_ node: Node, _ type: Datatype) throws -> Expression {
        let real = node.resolved
        switch real.kind {
        case .symbol(let text):
            if type.isConcatenation { throw fail("invalid data type, expected \(Datatypes.description(type))", node) }
            if type.basic == .verdict { throw fail("symbol '\(text)' is no verdict", node) }
            let read = try ValueReader.read(text, quoted: false, type: type, at: real.location, interfaces: view.interfaces)
            if let limit, read.number > limit { throw fail("Value \(read.number) exceeds valid range 0-\(limit)", real) }
            return .constant(read)
        case .quoted(let text):
            if type.isConcatenation { throw mismatch(type, node) }
            return .constant(try ValueReader.read(text, quoted: true, type: type, at: real.location, interfaces: view.interfaces))
        case .wildcard(let text):
            guard Datatypes.isString(type) else { throw fail("datatype mismatch, expected \(Datatypes.description(type)), expression has type string", node) }
            if text.hasSuffix("\\*") || text.contains("\\*") && !text.hasSuffix("*") {
                let literal = text.replacing("\\*", with: "*")
                if literal.utf8.count >= 16 { throw fail("String exceeds maximum length of 16", node) }
                return .constant(Value(Symbols.string(literal) ?? 0, type))
            }
            let stem = String(text.dropLast())
            if stem.isEmpty { throw fail("All-wildcard strings are not supported", node) }
            if stem.utf8.count >= 16 { throw fail("String exceeds maximum length of 16", node) }
            return .prefix(Value(Symbols.string(stem) ?? 0, type), length: stem.utf8.count * 8)
        case .binary(let operation, let left, let right):
            if type.isConcatenation || Datatypes.isString(type) { throw fail("Binary operation (\(operation.rawValue)) is undefined for \(type.name) types", node) }
            let shifting = operation == .shiftLeft || operation == .shiftRight
            guard let a = Self.isConstant(try constantOrFlags(left, type)), let b = Self.isConstant(try constantOrFlags(right, shifting ? Datatypes.integer(32) : type)) else {
                throw fail("invalid expression", node)
            }
            let mask = type.bits >= 128 ? UInt128.max : (UInt128(1) << UInt128(type.bits)) - 1
            let number: UInt128 = switch operation {
            case .and: a.number & b.number
            case .or: a.number | b.number
            case .xor: a.number ^ b.number
            case .shiftLeft: b.number >= 128 ? 0 : a.number << b.number
            case .shiftRight: b.number >= 128 ? 0 : a.number >> b.number
            }
            return .constant(Value(number & mask, type))
        case .prefix(let base, let lengthNode):
            if type.isConcatenation { throw mismatch(type, node) }
            guard let value = Self.isConstant(try constant(base, type)) else { throw fail("prefix expression expected integer value", node) }
            guard case .symbol(let text) = lengthNode.resolved.kind, let wide = Numbers.wide(text) else { throw fail("invalid prefix length", lengthNode) }
            if Datatypes.isString(type) { throw fail("Prefix expression is undefined for \(type.name) types", node) }
            if wide > UInt128(type.bits) { throw fail("Prefix length \(wide) is invalid for type of \(type.bits) bits width", node) }
            let length = Int(wide)
            let host = type.bits - length
            let mask: UInt128 = host >= 128 ? 0 : UInt128.max << UInt128(host)
            return .prefix(Value(value.number & mask, type), length: length)
        case .range(let low, let high):
            if type.isConcatenation { throw mismatch(type, node) }
            guard let first = Self.isConstant(try constant(low, type)) else { throw fail("range bounds must be constant values", low) }
            guard let last = Self.isConstant(try constant(high, type)) else { throw fail("range bounds must be constant values", high) }
            if first.number > last.number {
                // Hours are of local time and may wrap midnight in UTC.
                if type.basic == .hour { return .range(first, last) }
                throw fail("Range negative size", node)
            }
            if first.number == last.number { return .constant(first) }
            return .range(first, last)
        case .list(let items):
            guard Datatypes.isBitmask(type) else { throw fail("Basetype of type \(Datatypes.description(type)) is not bitmask", items.first ?? node) }
            var values: [Value] = []
            for item in items {
                guard let value = Self.isConstant(try constant(item, type)) else { throw fail("Second argument of list must be constant", item) }
                values.append(value)
            }
            // Listed by bit, each once.
            values.sort { $0.number < $1.number }
            return .flags(values.enumerated().filter { $0.offset == 0 || values[$0.offset - 1] != $0.element }.map(\.element))
        case .concatenation(let parts):
            guard type.isConcatenation, parts.count == type.components.count else {
                throw type.isConcatenation && parts.count < type.components.count ? mismatch(type, node) : fail("too many concatenation components", node)
            }
            return .concatenation(try zip(parts, type.components).map { try constant($0, $1) })
        case .catchAll: return .catchAll
        case .setReference(let name): throw fail("set reference '\(name)' cannot be part of a set definition", node)
        case .block: throw fail("datatype mismatch, expected \(Datatypes.description(type)), expression has type set", node)
        case .verdict: throw fail("datatype mismatch, expected \(Datatypes.description(type)), expression has type netfilter verdict", node)
        default: throw fail("expression is not constant", node)
        }
    }

    /// As `constant`, with a flag list taken for the OR of its values.
    func constantOrFlags(_ node: Node, _ type: Datatype) throws -> Expression {
        let result = try constant(node, type)
        if case .flags(let values) = result { return .constant(Value(values.reduce(0) { $0 | $1.number }, type)) }
        return result
    }

    // MARK: Sets in place

    /// The items of `{ ... }`, flattened: variables and nested blocks may hold further blocks.
    func items(_ node: Node, _ depth: Int = 0) throws -> [SetItem] {
        guard case .block(let items) = node.resolved.kind else {
            return [SetItem(key: node, statements: [], location: node.location)]
        }
        if depth > 16 { throw fail("sets are nested too deeply", node) }
        var result: [SetItem] = []
        result.reserveCapacity(items.count)
        for item in items {
            if case .block = item.key.resolved.kind {
                result += try self.items(item.key.resolved, depth + 1)
            } else if case .list(let list) = item.key.resolved.kind, item.data == nil {
                for entry in list { result.append(SetItem(key: entry, statements: [], location: entry.location)) }
            } else {
                result.append(item)
            }
        }
        return result
    }

    /// One element of a set with the given types.
    func element(_ item: SetItem, keyType: Datatype, data: MapData?) throws -> SetElement {
        var element = SetElement(key: .catchAll)
        if case .catchAll = item.key.resolved.kind {} else { element.key = try elementKey(item.key, keyType) }
        element.comment = item.comment
        element.timeout = item.timeout
        element.expires = item.expires
        for statement in item.statements { element.statements.append(try stateful(statement)) }
        switch data {
        case nil:
            if item.data != nil { throw fail("mapping outside of map context", item.key) }
        case .value(let type):
            guard let node = item.data else { throw EvaluationError(message: "missing map data", location: item.location) }
            element.data = try constantOrFlags(node, type)
        case .verdict:
            guard let node = item.data else { throw EvaluationError(message: "missing map data", location: item.location) }
            element.data = .verdict(try verdict(node))
        case .object(let kind):
            guard let node = item.data else { throw EvaluationError(message: "missing map data", location: item.location) }
            let name = try objectName(node)
            if !view.object(kind, name) { throw fail("Could not process rule: No such file or directory", item.key) }
            element.data = .objectName(name)
        }
        return element
    }

    func elementKey(_ node: Node, _ type: Datatype) throws -> Expression {
        try constantOrFlags(node, type)
    }

    func objectName(_ node: Node) throws -> String {
        switch node.resolved.kind {
        case .symbol(let text), .quoted(let text): return text
        default: throw fail("invalid object name", node)
        }
    }

    func anonymousSet(_ node: Node, keyType: Datatype, data: MapData?) throws -> AnonymousSet {
        let items = try items(node)
        var elements: [SetElement] = []
        elements.reserveCapacity(items.count)
        for item in items { elements.append(try element(item, keyType: keyType, data: data)) }
        let interval = elements.contains { SetOrder.isInterval($0.key) }
        var dataType: Datatype?
        switch data {
        case .value(let type): dataType = type
        case .verdict: dataType = Datatypes.make(.verdict)
        case .object: dataType = Datatypes.make(.string)
        case nil: break
        }
        let sorted = try SetOrder.normalize(elements, keyType: keyType, interval: interval, merge: data == nil, anonymous: true, at: { items[$0].key.location })
        return AnonymousSet(keyType: keyType, dataType: dataType, isInterval: interval, elements: sorted)
    }

    // MARK: Maps

    func map(_ keyNode: Node, _ source: Node, expected: Datatype?, _ node: Node) throws -> Expression {
        let wide = source.resolved
        if case .setReference(let name) = wide.kind {
            guard let set = view.set(name) else { throw missingSet(name, wide) }
            let key = try general(keyNode, Self.isSelector(keyNode) ? keyType(of: wide, for: keyNode) : set.keyType)
            guard case .value(let type)? = set.data else { throw fail(set.isMap ? "map '\(name)' has no values" : "Expression is not a map", wide) }
            try checkKey(key.type, set, keyNode, .map, at: wide.location)
            if let expected, !compatible(type, expected) { throw mismatch(expected, wide, type) }
            return .map(key: key, .named(name), type: type)
        }
        let key = try mapKey(keyNode)
        guard let expected else { throw fail("cannot determine the type of the map's values", node) }
        return .map(key: key, .anonymous(try anonymousSet(wide, keyType: key.type, data: .value(expected))), type: expected)
    }

    /// The key of a map: numgen and hashes get the type of plain integers.
    func mapKey(_ node: Node) throws -> Expression {
        try general(node, nil)
    }

    /// The key type of a named set, where the left side has constants that need it.
    func keyType(of source: Node, for key: Node) -> Datatype? {
        guard case .setReference(let name) = source.kind, case .concatenation(let parts) = key.resolved.kind, parts.contains(where: { !Self.isSelector($0) }) else { return nil }
        return view.set(name)?.keyType
    }

    func missingSet(_ name: String, _ node: Node) -> EvaluationError {
        var message = "No such file or directory"
        if let near = Spelling.nearest(to: name, among: view.setNames()) { message += "; did you mean set ‘\(near)’ in table \(view.family.rawValue) ‘\(view.name)’?" }
        return fail(message, node)
    }

    /// How a set reference is used: nft words a mismatch accordingly.
    enum SetUse { case match, map, update }

    /// - Parameters:
    ///   - node: the key as written; place: the set reference.
    func checkKey(_ type: Datatype, _ set: NamedSet, _ node: Node, _ use: SetUse, at place: SourceRange) throws {
        func same(_ left: Datatype, _ right: Datatype) -> Bool {
            let a = left.parts, b = right.parts
            guard a.count == b.count else { return false }
            return zip(a, b).allSatisfy { x, y in
                if x.basic == y.basic { return true }
                let plain: Set<BasicType> = [.integer, .hexInteger, .inetProtocol, .mark, .inetService, .boolean]
                if plain.contains(x.basic), plain.contains(y.basic), x.basic == .integer || x.basic == .hexInteger || y.basic == .integer || y.basic == .hexInteger { return true }
                return false
            }
        }
        if !same(type, set.keyType) {
            let wanted = Datatypes.description(set.keyType), given = Datatypes.description(type)
            switch use {
            case .match: throw EvaluationError(message: "datatype mismatch, expected \(given), expression has type \(wanted)", location: place, others: [node.location])
            case .map: throw EvaluationError(message: "datatype mismatch, map expects \(wanted), mapping expression has type \(given)", location: place, others: [node.location])
            case .update: throw EvaluationError(message: "datatype mismatch: expected \(wanted), expression has type \(given)", location: node.location, others: [place])
            }
        }
    }
}
