// Commands in order on a copy of a ruleset: all of them, or an error for each that cannot be and the old value.
//
// Invariant: `value` is always consistent (every reference resolves); what a command that throws had begun is undone by
// dropping the copy.

final class Transaction {
    var value: RulesetValue
    let options: LoadOptions
    var diagnostics: [Diagnostic] = []
    /// What listing commands print, in order.
    var listings: [ListRequest] = []
    /// The index of each chain by name, per table; rebuilt when a table's chains change.
    private var chainIndex: [Int: [String: Int]] = [:]
    /// What changed, in order, if `options` asks for it.
    var changes: [RulesetChange] = []
    var isNewGeneration = false, altersState = false
    private var isListing = false
    var anonymousCount = 0
    /// Changes of elements that are not sorted in yet, by set.
    var elementLogs: [SetPlace: ElementLog] = [:]
    var earlySettlements = 0
    /// Chains whose rules changed: these are checked for loops at the end.
    var touchedRules = false

    init(value: RulesetValue, options: LoadOptions) {
        self.value = value
        self.options = options
        if let interfaces = options.interfaces { InterfaceNames.use(interfaces) }
    }

    /// nft sends nothing to the kernel when it has found an error itself: what only the kernel would refuse is told then on the
    /// next try.
    private func settleDiagnostics() {
        if diagnostics.contains(where: { !$0.message.hasPrefix(Self.refusal) }) { diagnostics.removeAll { $0.message.hasPrefix(Self.refusal) } }
    }

    func run(_ commands: [Command]) {
        defer { settleDiagnostics() }
        for command in commands {
            if diagnostics.count >= Parser.maximumErrors { return }
            if !leavesElements(command) { settleElements() }
            attempt { try self.execute(command) }
        }
        settleElements()
        if diagnostics.isEmpty, touchedRules { attempt { try self.checkGraph() } }
    }

    func attempt(_ body: () throws -> Void) {
        do {
            try body()
        } catch let error as EvaluationError {
            diagnostics.append(Diagnostic(message: error.message, location: error.location, others: error.others))
        } catch let error as SyntaxError {
            diagnostics.append(Diagnostic(message: error.message, location: error.location))
        } catch {}
    }

    func kernel(_ what: String, _ place: SourceRange) -> EvaluationError {
        EvaluationError(message: Self.refusal + what, location: place)
    }
    static let refusal = "Could not process rule: "
    static let missing = "No such file or directory", exists = "File exists", unsupported = "Operation not supported", busy = "Device or resource busy"

    // MARK: Finding

    /// What is said when something is not there and nothing is like it: nft itself finds out for a listing, the kernel for the rest.
    private var missing: String { isListing ? Self.missing : Self.refusal + Self.missing }

    func tableIndex(_ family: Family, _ name: String) -> Int? { value.tables.firstIndex { $0.family == family && $0.name == name } }

    func table(_ target: Target) throws -> Int {
        if let handle = target.handle, target.table.isEmpty {
            guard let index = value.tables.firstIndex(where: { $0.family == target.family && $0.handle == handle }) else { throw kernel(Self.missing, target.handleLocation) }
            return index
        }
        if let index = tableIndex(target.family, target.table) { return index }
        var message = missing
        let names = value.tables.filter { $0.family == target.family }.map(\.name)
        if let near = Spelling.nearest(to: target.table, among: names) {
            message = Self.missing + "; did you mean table ‘\(near)’ in family \(target.family.rawValue)?"
        } else if let other = value.tables.first(where: { $0.name == target.table }) {
            message = Self.missing + "; did you mean table ‘\(other.name)’ in family \(other.family.rawValue)?"
        }
        throw EvaluationError(message: message, location: target.tableLocation)
    }

    func chain(_ table: Int, _ name: String) -> Int? {
        if let known = chainIndex[table] { return known[name] }
        var index: [String: Int] = [:]
        for (position, chain) in value.tables[table].chains.enumerated() { index[chain.name] = position }
        chainIndex[table] = index
        return index[name]
    }

    func chain(_ target: Target) throws -> (Int, Int) {
        let table = try self.table(target)
        if let handle = target.handle, target.name.isEmpty {
            guard let index = value.tables[table].chains.firstIndex(where: { $0.handle == handle }) else { throw kernel(Self.missing, target.handleLocation) }
            return (table, index)
        }
        if let index = chain(table, target.name) { return (table, index) }
        var message = missing
        if let near = Spelling.nearest(to: target.name, among: value.tables[table].chains.map(\.name)) {
            message = Self.missing + "; did you mean chain ‘\(near)’ in table \(target.family.rawValue) ‘\(target.table)’?"
        }
        throw EvaluationError(message: message, location: target.nameLocation)
    }

    /// A name must be one word, or a listing could not be read (JSON may give any string).
    func checkName(_ name: String, _ place: SourceRange) throws {
        if name.utf8.count > 127 { throw EvaluationError(message: "name too long, 128 characters maximum allowed", location: place) }
        var lexer = Lexer(source: SourceFile(name: "", bytes: Array(name.utf8)))
        let token = lexer.next()
        guard token.kind == .word, token.end == name.utf8.count, token.start == 0, !Keywords.reserved.contains(name) else {
            throw EvaluationError(message: "'\(name)' cannot be a name", location: place)
        }
    }

    func chainsChanged(_ table: Int) { chainIndex[table] = nil }

    /// Appends a chain; the index stays, so that thousands of chains load in linear time.
    func appendChain(_ chain: Chain, _ table: Int) {
        value.tables[table].chains.append(chain)
        chainIndex[table]?[chain.name] = value.tables[table].chains.count - 1
    }

    func tablesChanged() { chainIndex = [:] }

    func nextHandle(_ table: Int) -> UInt64 {
        let handle = value.tables[table].nextHandle
        value.tables[table].nextHandle += 1
        return handle
    }

    func evaluator(_ table: Int) -> Evaluator {
        let view = TableView(
            family: value.tables[table].family,
            name: value.tables[table].name,
            set: { [unowned self] name in self.value.tables[table].sets.first { $0.name == name } },
            setNames: { [unowned self] in self.value.tables[table].sets.map(\.name) },
            object: { [unowned self] kind, name in self.value.tables[table].objects.contains { $0.name == name && $0.value.kind == kind } },
            interfaces: options.interfaces)
        return Evaluator(view: view)
    }

    // MARK: Commands

    /// Whether a command neither looks at elements nor moves sets.
    private func leavesElements(_ command: Command) -> Bool {
        switch command.subject {
        case .elements: true
        case .rule, .table, .chain, .set, .object, .flowtable: command.operation == .add || command.operation == .create || command.operation == .insert || command.operation == .replace
        default: false
        }
    }

    private func execute(_ command: Command) throws {
        isListing = command.operation == .list || command.operation == .get
        switch command.operation {
        case .list, .get, .describe, .monitor, .export: break
        case .reset: altersState = true
        default: isNewGeneration = true
        }
        switch command.subject {
        case .table(let node): try addTable(command.operation, node, command.location)
        case .chain(let target, let node):
            if command.operation == .delete || command.operation == .destroy { try removeDevices(command, target, node); return }
            let table = try self.table(target)
            try addChain(command.operation, table, node)
        case .rule(let target, let node, let position): try addRule(command.operation, target, node, position)
        case .set(let target, let node):
            let table = try self.table(target)
            try addSet(command.operation, table, node)
            try addElements(of: node, table)
        case .elements(let target, let node): try changeElements(command, target, node)
        case .object(let target, let node):
            let table = try self.table(target)
            try addObject(command.operation, table, node)
        case .flowtable(let target, let node):
            let table = try self.table(target)
            if command.operation == .delete || command.operation == .destroy {
                try removeFlowtableDevices(table, node)
            } else {
                try addFlowtable(command.operation, table, node)
            }
        case .named(let kind, let target): try named(command, kind, target)
        case .all(let kind, let family, let table): try all(command, kind, family, table)
        case .rename(let target, let name):
            let (table, index) = try chain(target)
            if chain(table, name) != nil { throw kernel(Self.exists, command.location) }
            try checkName(name, command.location)
            let old = value.tables[table].chains[index].name
            value.tables[table].chains[index].name = name
            chainsChanged(table)
            renameReferences(table, old, name)
        case .describe(let node): listings.append(.describe(node))
        case .monitor: throw EvaluationError(message: "monitor needs a running needletail", location: command.location)
        }
    }

    private func addTable(_ operation: CommandOperation, _ node: TableNode, _ place: SourceRange) throws {
        var index = tableIndex(node.family, node.name)
        if operation == .create, index != nil { throw kernel(Self.exists, node.location) }
        for flag in node.flags where !["dormant", "owner", "persist"].contains(flag) {
            throw EvaluationError(message: "unknown table flag '\(flag)'", location: node.location)
        }
        let isNew = index == nil
        if isNew {
            try checkName(node.name, node.location)
            var table = Table(family: node.family, name: node.name, handle: value.nextHandle)
            value.nextHandle += 1
            table.comment = node.comment
            value.tables.append(table)
            index = value.tables.count - 1
        }
        guard let table = index else { return }
        // A table that is named again without `dormant` wakes up (nf_tables_updtable).
        if !node.flags.isEmpty || operation == .create || value.tables[table].isDormant {
            let wakes = value.tables[table].isDormant
            value.tables[table].isDormant = node.flags.contains("dormant")
            if wakes, !value.tables[table].isDormant {
                for chain in value.tables[table].chains.indices where value.tables[table].chains[chain].base != nil {
                    let registration = nextRegistration()
                    value.tables[table].chains[chain].registration = registration
                }
            }
            if node.flags.contains("owner") { value.tables[table].isOwned = true }
            if node.flags.contains("persist") { value.tables[table].isPersistent = true }
        }
        if isNew { note(.add, table, .table) }
        for chain in node.chains { attempt { try addChain(.add, table, chain) } }
        for object in node.objects { attempt { try addObject(.add, table, object) } }
        for set in node.sets { attempt { try addSet(.add, table, set) } }
        for flowtable in node.flowtables { attempt { try addFlowtable(.add, table, flowtable) } }
        for set in node.sets { attempt { try addElements(of: set, table) } }
        for chain in node.chains {
            guard let index = self.chain(table, chain.name) else { continue }
            for rule in chain.rules {
                if diagnostics.count >= Parser.maximumErrors { return }
                attempt { try self.append(rule, table, index) }
            }
        }
    }

    // MARK: Rules

    func append(_ node: RuleNode, _ table: Int, _ chain: Int) throws {
        let rule = try evaluate(node, table)
        value.tables[table].chains[chain].rules.append(rule)
        note(.add, table, .rule(chain: value.tables[table].chains[chain].name, rule, after: nil))
        touchedRules = true
    }

    func evaluate(_ node: RuleNode, _ table: Int) throws -> Rule {
        let evaluator = self.evaluator(table)
        evaluator.anonymousChain = { [unowned self] rules in try self.anonymousChain(rules, table) }
        for statement in node.statements {
            if case .setUpdate(_, let set, let item, let meter?) = statement.kind { try declareMeter(meter.name, meter.size, set, item, table, evaluator) }
        }
        var rule = try evaluator.rule(node, handle: 0)
        try checkReferences(rule, node, table)
        for statement in rule.statements { value.tables[table].nextHandle += UInt64(References.anonymousSets(statement)) }
        rule.handle = nextHandle(table)
        return rule
    }

    private func anonymousChain(_ rules: [RuleNode], _ table: Int) throws -> String {
        if anonymousCount > 10000 { throw EvaluationError(message: "too many anonymous chains", location: .none) }
        var number = anonymousCount
        while chain(table, "__chain\(number)") != nil { number += 1 }
        anonymousCount += 1
        let name = "__chain\(number)"
        var chain = Chain(name: name, handle: nextHandle(table), base: nil)
        chain.isAnonymous = true
        appendChain(chain, table)
        note(.add, table, .chain(chain))
        for rule in rules {
            let checked = try evaluate(rule, table)
            guard let index = self.chain(table, name) else { continue }
            value.tables[table].chains[index].rules.append(checked)
            note(.add, table, .rule(chain: name, checked, after: nil))
        }
        return name
    }

    /// What a rule names must be there.
    private func checkReferences(_ rule: Rule, _ node: RuleNode, _ table: Int) throws {
        for statement in rule.statements {
            for target in References.chains(statement) where chain(table, target) == nil {
                var error = kernel(Self.missing, node.place(ofJumpTo: target) ?? rule.location)
                if let near = Spelling.nearest(to: target, among: value.tables[table].chains.map(\.name)) {
                    error.message = Self.missing + "; did you mean chain ‘\(near)’ in table \(value.tables[table].family.rawValue) ‘\(value.tables[table].name)’?"
                }
                throw error
            }
            if case .flowAdd(let name) = statement, value.tables[table].flowtable(name) == nil { throw kernel(Self.missing, rule.location) }
            for target in References.chains(statement) {
                if let index = chain(table, target), value.tables[table].chains[index].base != nil { throw kernel(Self.unsupported, node.place(ofJumpTo: target) ?? rule.location) }
            }
        }
    }

    private func addRule(_ operation: CommandOperation, _ target: Target, _ node: RuleNode, _ position: RulePosition) throws {
        let (table, chain) = try self.chain(target)
        var at: Int?
        switch position {
        case .none: at = operation == .insert ? 0 : nil
        // No rule has it: nft leaves it out.
        case .handle(0, _) where operation != .replace: at = operation == .insert ? 0 : nil
        case .handle(let handle, let place):
            guard let found = value.tables[table].chains[chain].rules.firstIndex(where: { $0.handle == handle }) else { throw kernel(Self.missing, place) }
            at = operation == .add ? found + 1 : found
        case .index(let index, let place):
            guard index < UInt64(value.tables[table].chains[chain].rules.count) else { throw kernel(Self.missing, place) }
            at = operation == .add ? Int(index) + 1 : Int(index)
        }
        if operation == .replace {
            guard case .handle(let handle, _) = position, let at else { throw kernel(Self.missing, target.nameLocation) }
            var rule = try evaluate(node, table)
            rule.handle = handle
            rule.version = value.tables[table].chains[chain].rules[at].version &+ 1
            // It keeps its handle; the one that it was given goes to the next.
            value.tables[table].nextHandle -= 1
            note(.delete, table, .rule(chain: target.name, value.tables[table].chains[chain].rules[at], after: nil))
            value.tables[table].chains[chain].rules[at] = rule
            note(.add, table, .rule(chain: target.name, rule, after: ruleBefore(at, table, chain)))
        } else {
            let rule = try evaluate(node, table)
            let chain = self.chain(table, target.name) ?? chain
            if let at { value.tables[table].chains[chain].rules.insert(rule, at: at) } else { value.tables[table].chains[chain].rules.append(rule) }
            note(operation == .insert ? .insert : .add, table, .rule(chain: target.name, rule, after: at.flatMap { ruleBefore($0, table, chain) }))
        }
        touchedRules = true
    }
}

extension InterfaceNames {
    /// From now on the names of the machine count.
    static func use(_ list: [String]) { replace(list) }
}
