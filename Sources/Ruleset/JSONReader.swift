// Commands in the schema of libnftables-json, turned into the same syntax tree as text.

extension RulesetValue {
    /// One transaction from JSON: `{"nftables": [ ... ]}`.
    func applying(json bytes: [UInt8], name: String, options: LoadOptions) -> TransactionOutcome {
        let source = SourceFile(name: name, bytes: bytes)
        func refuse(_ message: String, _ offset: Int = 0) -> TransactionOutcome {
            TransactionOutcome(result: LoadResult(value: self, diagnostics: [Diagnostic(message: message, location: SourceRange(source: source, start: offset, end: offset + 1))]))
        }
        do {
            let root = try JSONParser.parse(bytes)
            if !root.canBeListed { return refuse("Invalid JSON: a string holds a quotation mark or a zero byte, which nft's language cannot write") }
            guard let items = root["nftables"]?.items else { return refuse("Invalid JSON: 'nftables' array is missing.") }
            let reader = JSONReader(source: source)
            var commands: [Command] = []
            for item in items { commands += try reader.command(item) }
            return applying(commands: commands, options: options)
        } catch let error as JSONError {
            return refuse("Invalid JSON: \(error.message)", error.offset)
        } catch let error as SyntaxError {
            return refuse(error.message)
        } catch {
            return refuse("Invalid JSON")
        }
    }
}

extension JSON {
    /// Whether each string can stand between quotation marks in a listing.
    var canBeListed: Bool {
        switch self {
        case .string(let text): !text.utf8.contains { $0 == 0 || $0 == 34 }
        case .array(let items): items.allSatisfy(\.canBeListed)
        case .dictionary(let members): members.allSatisfy { $0.value.canBeListed }
        default: true
        }
    }
}

struct JSONReader {
    let place: SourceRange

    init(source: SourceFile) { place = SourceRange(source: source, start: 0, end: 1) }

    func fail(_ message: String) -> SyntaxError { SyntaxError(message: message, location: place) }
    func node(_ kind: NodeKind) -> Node { Node(kind, place) }

    // MARK: Commands

    func command(_ item: JSON) throws -> [Command] {
        guard case .dictionary(let members) = item, let (name, body) = members.first.map({ ($0.key, $0.value) }) else { throw fail("a command must be an object") }
        if name == "metainfo" {
            if let version = body["json_schema_version"]?.integer, version > 1 { throw fail("Schema version \(version) not supported, maximum supported version is 1") }
            return []
        }
        guard let operation = CommandOperation(rawValue: name) else { return try [add(.add, name, body, isListing: true)] }
        guard case .dictionary(let inner) = body, let (kind, value) = inner.first.map({ ($0.key, $0.value) }) else { throw fail("command '\(name)' needs an object") }
        switch operation {
        case .add, .create, .insert, .replace: return try [add(operation, kind, value)]
        case .rename:
            return [Command(operation: .rename, subject: .rename(try target(value), value["newname"]?.text ?? ""), location: place)]
        default: return try [other(operation, kind, value)]
        }
    }

    private func family(_ value: JSON) throws -> Family {
        guard let name = value["family"]?.text else { return .ip }
        guard let family = Family(rawValue: name) else { throw fail("Unknown family '\(name)'") }
        return family
    }

    private func target(_ value: JSON) throws -> Target {
        var target = Target(family: try family(value))
        target.table = value["table"]?.text ?? ""
        target.tableLocation = place
        target.name = value["name"]?.text ?? value["chain"]?.text ?? ""
        target.nameLocation = place
        target.handleLocation = place
        return target
    }

    private func other(_ operation: CommandOperation, _ kind: String, _ value: JSON) throws -> Command {
        func made(_ subject: CommandSubject) -> Command { Command(operation: operation, subject: subject, location: place) }
        switch kind {
        case "ruleset", "tables", "chains", "sets", "maps", "meters", "counters", "quotas", "limits", "flowtables", "ct helpers", "ct timeouts", "ct expectations", "synproxys", "secmarks", "rules":
            return made(.all(kind, value["family"] == nil ? nil : try family(value), table: value["table"]?.text))
        case "table":
            var target = Target(family: try family(value))
            target.table = value["name"]?.text ?? ""
            target.tableLocation = place
            if target.table.isEmpty { target.handle = value["handle"]?.integer }
            target.handleLocation = place
            return made(.named("table", target))
        case "element": return made(.elements(try target(value), try elements(value["elem"])))
        case "rule":
            var target = try self.target(value)
            target.handle = value["handle"]?.integer
            return made(.named("rule", target))
        default:
            var target = try self.target(value)
            if target.name.isEmpty { target.handle = value["handle"]?.integer }
            return made(.named(kind, target))
        }
    }

    private func strings(_ value: JSON?) -> [String] {
        switch value {
        case .string(let text)?: [text]
        case .array(let items)?: items.compactMap(\.text)
        default: []
        }
    }

    private func add(_ operation: CommandOperation, _ kind: String, _ value: JSON, isListing: Bool = false) throws -> Command {
        func made(_ subject: CommandSubject) -> Command { Command(operation: operation, subject: subject, location: place) }
        switch kind {
        case "table":
            var table = TableNode(family: try family(value), name: value["name"]?.text ?? "", location: place)
            table.comment = value["comment"]?.text
            table.flags = strings(value["flags"])
            if table.name.isEmpty { throw fail("Parsing table object: name is missing") }
            return made(.table(table))
        case "chain":
            let target = try self.target(value)
            if target.name.isEmpty { throw fail("Parsing chain object: name is missing") }
            var chain = ChainNode(name: target.name, location: place)
            chain.type = value["type"]?.text
            chain.hook = value["hook"]?.text
            if case .int(let priority)? = value["prio"] { chain.priority = node(.symbol(String(priority))) }
            chain.policy = value["policy"]?.text.map { node(.symbol($0)) }
            chain.comment = value["comment"]?.text
            let devices = strings(value["dev"])
            if !devices.isEmpty { chain.devices = node(.list(devices.map { node(.quoted($0)) })) }
            return made(.chain(target, chain))
        case "rule":
            var target = try self.target(value)
            target.name = value["chain"]?.text ?? ""
            var position = RulePosition.none
            // In a listing the handle is the rule's own, not a place.
            if !isListing, let handle = value["handle"]?.integer { position = .handle(handle, place) }
            if let index = value["index"]?.integer { position = .index(index, place) }
            guard let statements = value["expr"]?.items else { throw fail("Parsing rule object: expr is missing") }
            return made(.rule(target, RuleNode(statements: try statements.map { try JSONStatementReader(reader: self).statement($0) }, comment: value["comment"]?.text, location: place), position))
        case "set", "map": return made(.set(try target(value), try set(value, isMap: kind == "map")))
        case "element": return made(.elements(try target(value), try elements(value["elem"])))
        case "flowtable":
            let target = try self.target(value)
            var flowtable = FlowtableNode(name: target.name, location: place)
            flowtable.hook = value["hook"]?.text
            if case .int(let priority)? = value["prio"] { flowtable.priority = node(.symbol(String(priority))) }
            let devices = strings(value["dev"])
            if !devices.isEmpty { flowtable.devices = node(.list(devices.map { node(.quoted($0)) })) }
            return made(.flowtable(target, flowtable))
        default:
            guard ObjectKind(rawValue: kind) != nil else { throw fail("Unknown object '\(kind)'") }
            let target = try self.target(value)
            return made(.object(target, ObjectNode(name: target.name, location: place, value: try object(kind, value), comment: value["comment"]?.text)))
        }
    }

    private func object(_ kind: String, _ value: JSON) throws -> ObjectSyntax {
        switch kind {
        case "counter": return .counter(packets: value["packets"]?.integer ?? 0, bytes: value["bytes"]?.integer ?? 0)
        case "quota": return .quota(Quota(limit: value["bytes"]?.integer ?? 0, used: value["used"]?.integer ?? 0, isOver: value["inv"]?.isTrue ?? false))
        case "limit": return .limit(try JSONStatementReader(reader: self).limit(value))
        case "synproxy": return .synproxy(JSONStatementReader(reader: self).synproxy(value))
        case "secmark": return .secmark(value["context"]?.text ?? "")
        case "ct helper": return .ctHelper(type: value["type"]?.text, l4proto: value["protocol"]?.text, l3proto: value["l3proto"]?.text)
        case "ct timeout":
            var policy: [(String, UInt64, SourceRange)] = []
            if case .dictionary(let members)? = value["policy"] { for member in members { policy.append((member.key, member.value.integer ?? 0, place)) } }
            return .ctTimeout(l4proto: value["protocol"]?.text, l3proto: value["l3proto"]?.text, policy: policy)
        case "ct expectation":
            return .ctExpectation(l4proto: value["protocol"]?.text, l3proto: value["l3proto"]?.text, port: value["dport"]?.integer, timeout: value["timeout"]?.integer, size: value["size"]?.integer)
        default: return .tunnel(strings(value["lines"]))
        }
    }

    // MARK: Sets

    private func set(_ value: JSON, isMap: Bool) throws -> SetNode {
        let expressions = JSONExpressionReader(reader: self)
        var set = SetNode(name: value["name"]?.text ?? "", location: place, isMap: isMap)
        func types(_ value: JSON?) -> [(name: String, location: SourceRange)] { strings(value).map { ($0, place) } }
        if let typeof = value["type"]?["typeof"] { set.typeof = try expressions.expression(typeof, .left) } else { set.keyTypes = types(value["type"]) }
        if isMap, let map = value["map"] {
            if let typeof = map["typeof"] {
                set.dataTypeof = try expressions.expression(typeof, .left)
            } else if let name = map.text, let kind = ObjectKind(rawValue: name) {
                set.dataObject = kind
            } else {
                set.dataTypes = types(map)
            }
        }
        for flag in strings(value["flags"]) {
            switch flag {
            case "constant": set.flags.insert(.constant)
            case "interval": set.flags.insert(.interval)
            case "timeout": set.flags.insert(.timeout)
            case "dynamic": set.flags.insert(.dynamic)
            default: throw fail("Unknown set flag '\(flag)'")
            }
        }
        set.timeout = value["timeout"]?.integer.map { $0 &* 1000 }
        set.gcInterval = value["gc-interval"]?.integer.map { $0 &* 1000 }
        set.size = value["size"]?.integer
        set.policy = value["policy"]?.text
        set.autoMerge = value["auto-merge"]?.isTrue ?? false
        set.comment = value["comment"]?.text
        for statement in value["stmt"]?.items ?? [] { set.statements.append(try JSONStatementReader(reader: self).statement(statement)) }
        if let elem = value["elem"] { set.elements = try elements(elem) }
        return set
    }

    func elements(_ value: JSON?) throws -> Node {
        guard let value else { throw fail("elem is missing") }
        let items = value["set"]?.items ?? value.items ?? [value]
        return node(.block(try items.map(element)))
    }

    func element(_ value: JSON) throws -> SetItem {
        let expressions = JSONExpressionReader(reader: self)
        var keyValue = value
        var item = SetItem(key: node(.catchAll), statements: [], location: place)
        if let pair = value.items {
            guard pair.count == 2 else { throw fail("a map element is a pair") }
            keyValue = pair[0]
            item.data = try expressions.expression(pair[1], .right)
        }
        if case .dictionary(let members)? = keyValue["elem"], let inner = keyValue["elem"]?["val"] {
            keyValue = inner
            for member in members {
                switch member.key {
                case "timeout": item.timeout = member.value.integer.map { $0 &* 1000 }
                case "expires": item.expires = member.value.integer.map { $0 &* 1000 }
                case "comment": item.comment = member.value.text
                case "val": break
                default: item.statements.append(try JSONStatementReader(reader: self).statement(.object([member])))
                }
            }
        }
        if keyValue.text != "*" { item.key = try expressions.expression(keyValue, .right) }
        return item
    }
}
