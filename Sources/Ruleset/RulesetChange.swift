// What a transaction changed, one thing after the other, as `nft -e` and `nft monitor` tell it.
//
// A change holds its subject without what belongs to the subject (a table without chains, a set without elements): those are
// changes of their own. So a change costs little, and keeping many of them keeps no ruleset alive.

public struct RulesetChange: Sendable {
    enum Kind: String, Sendable { case add, insert, delete }
    enum Subject: Sendable {
        case table
        case chain(Chain)
        /// `after`: the rule that stands before it, unless it was appended.
        case rule(chain: String, Rule, after: UInt64?)
        case set(NamedSet)
        case element(NamedSet, SetElement)
        case object(NamedObject)
        case flowtable(Flowtable)
    }
    var kind: Kind
    /// The table, empty.
    var table: Table
    var subject: Subject

    /// Whether `-e` tells it: additions, and the old form of a rule that is replaced.
    func isEchoed(before next: RulesetChange?) -> Bool {
        if kind != .delete { return true }
        guard case .rule(let chain, let rule, _) = subject, let next, next.kind == .add, case .rule(chain, let fresh, _) = next.subject else { return false }
        return fresh.handle == rule.handle
    }

    /// As nft prints it, with the end of line.
    public func text(_ options: PrintOptions) -> String {
        let here = "\(table.family.rawValue) \(table.name)"
        func handle(_ number: UInt64) -> String { options.handles ? " # handle \(number)" : "" }
        switch subject {
        case .table: return "\(kind.rawValue) table \(here)" + (table.isDormant ? " { flags dormant; }" : "") + handle(table.handle) + "\n"
        case .chain(let chain):
            let base = kind == .delete ? nil : chain.base
            return "\(kind.rawValue) chain \(here) \(chain.name)" + (base.map { " { \(Printer(options: options).baseText($0, table.family)) }" } ?? "") + (kind == .delete ? "" : handle(chain.handle)) + "\n"
        case .rule(let chain, let rule, let after):
            if kind == .delete { return "delete rule \(here) \(chain) handle \(rule.handle)\n" }
            let place = after.map { "handle \($0) " } ?? ""
            return "\(kind.rawValue) rule \(here) \(chain) \(place)\(Printer(options: options).rule(rule, in: table, depth: 0))\(handle(rule.handle))\n"
        case .set(let set):
            let what = "\(kind.rawValue) \(set.isMap ? "map" : "set") \(here) \(set.name)"
            if kind == .delete { return what + "\n" }
            var printer = Printer(options: options)
            printer.set(set, depth: 0)
            return what + " " + Self.oneLine(printer.output, separator: "; ", end: " ")
        case .element(let set, let element):
            return "\(kind.rawValue) element \(here) \(set.name) { \(StatementWriter(options: options, table: table, depth: 0).element(element)) }\n"
        case .object(let object):
            let what = "\(kind.rawValue) \(object.value.kind.rawValue) \(here) \(object.name)"
            if kind == .delete { return what + "\n" }
            var printer = Printer(options: options)
            printer.object(object, depth: 0)
            switch object.value {
            case .ctHelper, .ctTimeout, .ctExpectation, .secmark, .tunnel: return what + " " + Self.oneLine(printer.output, separator: "; ", end: " ")
            default: return what + " " + Self.oneLine(printer.output, separator: " ", end: " ")
            }
        case .flowtable(let flowtable):
            let what = "\(kind.rawValue) flowtable \(here) \(flowtable.name)"
            if kind == .delete { return what + "\n" }
            var printer = Printer(options: options)
            printer.flowtable(flowtable, depth: 0)
            return what + " " + Self.oneLine(printer.output, separator: "; ")
        }
    }

    /// A block as it is listed, in one line: `{ type ipv4_addr; flags interval; }`.
    private static func oneLine(_ block: String, separator: String, end: String = "") -> String {
        let lines = block.split(separator: "\n").map { $0.drop { $0 == "\t" } }
        guard let first = lines.first, let brace = first.firstIndex(of: "{") else { return block }
        return first[brace...] + " " + lines.dropFirst().dropLast().map { $0 + separator }.joined() + "}" + end + "\n"
    }

    /// `{"add": {"rule": {...}}}`
    func json(_ options: PrintOptions) -> JSON {
        let writer = JSONWriter(options: options)
        let inner: JSON = switch subject {
        case .table: writer.table(table)
        case .chain(let chain): writer.chain(chain, table)
        case .rule(let chain, let rule, _): writer.rule(rule, chain, table)
        case .set(let set): writer.set(set, table)
        case .element(let set, let element):
            .object([("element", .object([
                ("family", .string(table.family.rawValue)), ("table", .string(table.name)), ("name", .string(set.name)),
                ("elem", .object([("set", .array([StatementJSON(options: options, table: table).element(element)]))])),
            ]))])
        case .object(let object): writer.object(object, table)
        case .flowtable(let flowtable): writer.flowtable(flowtable, table)
        }
        return .object([(kind.rawValue, inner)])
    }

    /// A line of `nft -j monitor`.
    public func jsonText(_ options: PrintOptions) -> String {
        var text = ""
        json(options).write(&text)
        return text + "\n"
    }

    /// What `nft -e -j` prints for a transaction.
    static func echo(_ changes: [RulesetChange], _ options: PrintOptions) -> String {
        var text = ""
        JSON.object([("nftables", .array(changes.map { $0.json(options) }))]).write(&text)
        return text + "\n"
    }
}

/// What a transaction changed, and the generation of the ruleset that it made.
public struct RulesetChanges: Sendable {
    public var generation: UInt64
    public var changes: [RulesetChange]
    public init(generation: UInt64, changes: [RulesetChange]) {
        self.generation = generation
        self.changes = changes
    }

    /// The line with which nft closes a transaction's changes.
    public func closing(process: Int32) -> String { "# new generation \(generation) by process \(process) (nft)\n" }
}

/// What `nft monitor [new|destroy] [tables|chains|sets|rules|elements|ruleset]` lets through.
public struct MonitorFilter: Sendable {
    private var isNew: Bool?
    private var subject: String?
    /// Whether the lines that name generations are shown: only where nothing is filtered out.
    public var isEverything: Bool { isNew == nil && subject == nil }

    /// - Returns: nil if the words are not nft's.
    public init?(_ words: [String]) {
        var rest = words[...]
        if let word = rest.first, word == "new" || word == "destroy" {
            isNew = word == "new"
            rest.removeFirst()
        }
        if let word = rest.first {
            guard ["tables", "chains", "sets", "rules", "elements", "ruleset"].contains(word) else { return nil }
            if word != "ruleset" { subject = word }
            rest.removeFirst()
        }
        guard rest.isEmpty else { return nil }
    }

    public func admits(_ change: RulesetChange) -> Bool {
        if let isNew, isNew == (change.kind == .delete) { return false }
        guard let subject else { return true }
        switch change.subject {
        case .table: return subject == "tables"
        case .chain: return subject == "chains"
        case .rule: return subject == "rules"
        case .set: return subject == "sets"
        case .element: return subject == "elements"
        case .object, .flowtable: return false
        }
    }
}

extension Transaction {
    /// Records a change, if somebody wants to know.
    func note(_ kind: RulesetChange.Kind, _ table: Int, _ subject: RulesetChange.Subject) {
        guard options.recordsChanges else { return }
        let full = value.tables[table]
        var bare = Table(family: full.family, name: full.name, handle: full.handle)
        bare.isDormant = full.isDormant
        bare.isOwned = full.isOwned
        bare.isPersistent = full.isPersistent
        bare.comment = full.comment
        var subject = subject
        switch subject {
        case .chain(var chain):
            chain.rules = []
            subject = .chain(chain)
        case .set(var set):
            set.elements = []
            subject = .set(set)
        case .element(var set, var element):
            set.elements = []
            element.key = SetOrder.canonical(element.key)
            subject = .element(set, element)
        default: break
        }
        changes.append(RulesetChange(kind: kind, table: bare, subject: subject))
    }

    /// The rule before a place in a chain.
    func ruleBefore(_ place: Int, _ table: Int, _ chain: Int) -> UInt64? { place > 0 ? value.tables[table].chains[chain].rules[place - 1].handle : nil }

    /// All that a table loses when it is emptied or goes.
    func noteRules(of chain: Chain, _ table: Int) {
        guard options.recordsChanges else { return }
        for rule in chain.rules { note(.delete, table, .rule(chain: chain.name, rule, after: nil)) }
    }

    func noteRemoval(ofTable index: Int) {
        guard options.recordsChanges else { return }
        let table = value.tables[index]
        for chain in table.chains { noteRules(of: chain, index) }
        for set in table.sets {
            for element in set.elements { note(.delete, index, .element(set, element)) }
            note(.delete, index, .set(set))
        }
        for flowtable in table.flowtables { note(.delete, index, .flowtable(flowtable)) }
        for object in table.objects { note(.delete, index, .object(object)) }
        for chain in table.chains { note(.delete, index, .chain(chain)) }
        note(.delete, index, .table)
    }
}
