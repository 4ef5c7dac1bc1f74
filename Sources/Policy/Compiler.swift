// From the checked ruleset to the flat program: tables, chains, rules.
//
// Invariant: compiling reads the ruleset value and writes arrays; nothing here runs per packet. Every rule's instructions
// are followed by the next rule's, every chain ends with `endOfChain`, and every `next` is filled in before the program
// is handed out.
import Ruleset
import Wire

struct CompiledRule {
    var location: SourceRange
    var table: Int
    var chain: Int
    var handle: UInt64
    var version: UInt32
    /// Places of the rule's stateful statements, in order.
    var states: [(op: Opcode, number: UInt32)] = []
    /// Places of its `numgen inc` counters, in order.
    var generators: [Int] = []
}

struct CompiledChain {
    var family: Family
    var table: String
    var name: String
}

/// A set being compiled.
struct SetPlan {
    var table: Int
    /// nil for an anonymous set.
    var name: String?
    var kind: SetKind
    var parts: [Int]
    var keyLength: Int
    var dataLength = 0
    /// Map data is a pair, first and last.
    var hasIntervalData = false
    var capacity: UInt32
    var timeout: UInt64 = 0
    var hasTimeout = false
    var isDynamic = false
    /// ns.
    var collectionInterval: UInt64 = 1_000_000_000
    /// What elements carry.
    var statements: [ElementStatement] = []
    var templates: [UInt32] = []
    var origins = [PlannedOrigin()]
    var elements: [ElementPlan] = []
}

struct ElementPlan {
    var first: [UInt8]
    var last: [UInt8]
    var data: [UInt8] = []
    var isCatchAll = false
    /// ns, 0 for none.
    var timeout: UInt64 = 0
    var expires: UInt64?
    var standing = SetElement.Standing.kept
    /// The element's statements with their own values, if it has any.
    var statements: [(op: Opcode, number: UInt32)] = []
    var origin: UInt16 = 0
    /// Chain that verdict data refers to, filled in when all chains have their place.
    var chain: Int?
}

final class Compiler {
    let ruleset: RulesetValue
    let interfaces: [Interface]
    let now: Timestamp
    let seed: UInt64
    var instructions: [Instruction] = []
    var constants: [UInt8] = []
    var counters: [CounterState] = []
    var limits: [LimitState] = []
    var quotas: [QuotaState] = []
    var connectionLimits: [ConnectionLimitState] = []
    var lasts: [LastState] = []
    var generators: [GeneratorState] = []
    var natTemplates: [NATTemplate] = []
    var sets: [SetPlan] = []
    var classifiers: [ClassifierPlan] = []
    var rules: [CompiledRule] = []
    var chains: [CompiledChain] = []
    var logs: [Log] = []
    var flowtables: [(table: Int, name: String)] = []
    var conntrackObjects: [(table: Int, name: String, kind: ObjectKind)] = []
    /// What the ruleset says that is not done here, in its order: a warning, or an error where ignoring it would let through
    /// what the rule keeps out. At most one for a rule.
    var diagnostics: [Diagnostic] = []
    private var rulesTold: Set<UInt32> = []
    /// Whether the rule in hand may keep a packet out.
    private var closes = true
    var services: UInt32 = 0
    var baseChains: [(family: Family, chain: BaseChain, hook: Hook, registration: UInt64)] = []

    /// Chain number by table and name, set number by table and name, object number by table, kind and name.
    var chainNumbers: [[String: Int]] = []
    var setNumbers: [[String: Int]] = []
    var objectNumbers: [[ObjectKind: [String: UInt32]]] = []
    var chainOffsets: [UInt32] = []
    /// Jumps whose target is not known yet.
    var fixups: [(instruction: Int, chain: Int)] = []

    // The rule being compiled.
    var table = 0
    var rule: UInt32 = 0

    init(_ ruleset: RulesetValue, interfaces: [Interface], seed: UInt64, now: Timestamp, classifies: Bool = true) {
        self.classifies = classifies
        self.ruleset = ruleset
        self.interfaces = interfaces
        self.seed = seed
        self.now = now
    }

    /// Long chains are classified.
    private let classifies: Bool
    /// Notes where each statement begins.
    var explains = false
    /// First instruction of each statement of each rule, and the rule's end behind them.
    private(set) var statementStarts: [[Int]] = []
    var pendingClassifiers: [PendingClassifier] = []
    /// The instructions of each chain's rules, by the chain's first instruction.
    private(set) var chainRules: [UInt32: [Range<Int>]] = [:]

    func compile() {
        for (number, table) in ruleset.tables.enumerated() {
            self.table = number
            var names: [String: Int] = [:]
            for chain in table.chains {
                names[chain.name] = chains.count
                chains.append(CompiledChain(family: table.family, table: table.name, name: chain.name))
            }
            chainNumbers.append(names)
            setNumbers.append([:])
            objectNumbers.append([:])
            compileObjects(table)
        }
        chainOffsets = Array(repeating: 0, count: chains.count)
        for (number, table) in ruleset.tables.enumerated() {
            self.table = number
            for set in table.sets { compileNamedSet(set) }
        }
        for (number, table) in ruleset.tables.enumerated() {
            self.table = number
            for chain in table.chains { compileChain(chain, in: table) }
        }
        for fixup in fixups { instructions[fixup.instruction].x = chainOffsets[fixup.chain] }
        finishClassifiers()
        for set in sets.indices {
            for element in sets[set].elements.indices {
                guard let chain = sets[set].elements[element].chain else { continue }
                let offset = chainOffsets[chain]
                withUnsafeBytes(of: offset) { sets[set].elements[element].data.replaceSubrange(4 ..< 8, with: $0) }
            }
        }
    }

    private func compileChain(_ chain: Chain, in table: Table) {
        let number = chainNumbers[self.table][chain.name] ?? 0
        chainOffsets[number] = UInt32(instructions.count)
        if let base = chain.base, !table.isDormant { addBaseChain(base, number, table.family, chain.registration) }
        let isLong = classifies && chain.rules.count >= Compiler.classifiedLength
        var ranges: [Range<Int>] = []
        for (position, rule) in chain.rules.enumerated() {
            let isClassified = isLong && position >= Compiler.unclassifiedHead
            if isClassified, (position - Compiler.unclassifiedHead) % Classifier.maximumRules == 0 { beginClassifier() }
            self.rule = UInt32(rules.count)
            closes = rule.statements.contains(where: Compiler.mayDrop)
            rules.append(CompiledRule(location: rule.location, table: self.table, chain: number, handle: rule.handle, version: rule.version))
            let first = instructions.count
            var starts: [Int] = []
            for statement in rule.statements {
                if explains { starts.append(instructions.count) }
                compile(statement)
            }
            if explains { statementStarts.append(starts + [instructions.count]) }
            let next = UInt32(instructions.count)
            if isClassified {
                pendingClassifiers[pendingClassifiers.count - 1].starts.append(first)
                emit(Instruction(.nextCandidate))
                pendingClassifiers[pendingClassifiers.count - 1].end = instructions.count
            }
            for index in first ..< instructions.count {
                instructions[index].next = next
                instructions[index].rule = self.rule
            }
            ranges.append(first ..< Int(next))
        }
        if classifies { chainRules[chainOffsets[number]] = ranges }
        emit(Instruction(.endOfChain))
    }

    private func beginClassifier() {
        pendingClassifiers.append(PendingClassifier(head: instructions.count, starts: [], end: 0))
        emit(Instruction(.classify))
    }

    private func addBaseChain(_ base: Ruleset.BaseChain, _ number: Int, _ family: Family, _ registration: UInt64) {
        var compiled = BaseChain()
        compiled.priority = base.priority
        compiled.type = switch base.type {
        case .filter: .filter
        case .nat: .nat
        case .route: .route
        }
        compiled.dropsByPolicy = base.policy == .drop
        compiled.programOffset = chainOffsets[number]
        compiled.chainID = UInt32(number)
        let hook: Hook = switch base.hook {
        case .prerouting: .prerouting
        case .input: .input
        case .forward: .forward
        case .output: .output
        case .postrouting: .postrouting
        case .ingress: .ingress
        case .egress: .egress
        }
        compiled.hook = hook
        compiled.isInet = family == .inet
        if base.type == .nat { require(.nat) }
        guard hook == .ingress || hook == .egress else { return baseChains.append((family, compiled, hook, registration)) }
        for device in base.devices {
            let places = interfaces.indices.filter { Compiler.matches(interfaces[$0].name, device) }
            if places.isEmpty { diagnostics.append(Diagnostic(severity: .warning, message: "chain \(chains[number].name): no interface \(device)", location: .none)) }
            for place in places {
                compiled.device = UInt16(place)
                baseChains.append((family, compiled, hook, registration))
            }
        }
    }

    private static func matches(_ name: String, _ pattern: String) -> Bool {
        pattern.hasSuffix("*") ? name.hasPrefix(pattern.dropLast()) : name == pattern
    }

    /// Notes that `family`, or the current table's, needs a service; conntrack and NAT bring defragmentation with them.
    func require(_ service: PipelineService, for family: Family? = nil) {
        let families: [PacketFamily] = switch family ?? ruleset.tables[table].family {
        case .ip: [.ipv4]
        case .ip6: [.ipv6]
        case .inet: [.ipv4, .ipv6]
        case .bridge, .arp, .netdev: []
        }
        for family in families {
            services |= Program.bit(service, family)
            if service == .conntrack { services |= Program.bit(.defragmentation, family) }
        }
    }

    func emit(_ instruction: Instruction) { instructions.append(instruction) }

    /// Why a rule can never match here.
    enum Obstacle {
        /// It asks about sockets, users or transforms of a host: in Linux it does not match a packet that is forwarded either.
        case ofAHost
        /// Linux does it, and this compiler does not.
        case notDone
    }

    /// Says that the current rule can never match here, and makes it so.
    func neverMatches(_ what: String, _ obstacle: Obstacle = .notDone) {
        emit(Instruction(.never))
        switch obstacle {
        case .ofAHost: tell(.warning, "\(what) never matches in a forwarder")
        case .notDone where closes: tell(.error, "\(what) is not supported, and without it the rule would let through what it keeps out; take the rule away or write it another way")
        case .notDone: tell(.warning, "\(what) is not supported: the rule never matches")
        }
    }

    /// One message a rule: an error instead of a warning, never a second one.
    func tell(_ severity: Diagnostic.Severity, _ message: String) {
        let location = rules.isEmpty ? SourceRange.none : rules[Int(rule)].location
        if rules.isEmpty || rulesTold.insert(rule).inserted {
            diagnostics.append(Diagnostic(severity: severity, message: message, location: location))
        } else if severity == .error, let last = diagnostics.indices.last, diagnostics[last].severity == .warning {
            diagnostics[last] = Diagnostic(severity: .error, message: message, location: location)
        }
    }

    /// Whether a statement keeps packets out, or goes to a chain that may.
    private static func mayDrop(_ statement: Statement) -> Bool {
        func verdict(_ verdict: Ruleset.Verdict) -> Bool {
            switch verdict {
            case .drop, .jump, .goto: true
            default: false
            }
        }
        switch statement {
        case .verdict(let own): return verdict(own)
        case .reject: return true
        case .verdictMap(_, .named): return true
        case .verdictMap(_, .anonymous(let set)): return set.elements.contains { if case .verdict(let own)? = $0.data { verdict(own) } else { false } }
        default: return false
        }
    }

    func pool(_ bytes: [UInt8]) -> UInt32 {
        let place = UInt32(constants.count)
        constants += bytes
        return place
    }

    /// The base chains in running order for each hook and family.
    func directory() -> (chains: [BaseChain], entries: [(start: UInt32, count: UInt32)]) {
        var result: [BaseChain] = []
        var entries = [(start: UInt32, count: UInt32)](repeating: (0, 0), count: Program.directorySize)
        // Those that were hung up together stay in their order.
        let registered = baseChains.enumerated().sorted { ($0.element.registration, $0.offset) < ($1.element.registration, $1.offset) }.map(\.element)
        for hook in Hook.allCases {
            for family in PacketFamily.allCases {
                let isDeviceHook = hook == .ingress || hook == .egress
                var list: [BaseChain] = []
                for entry in registered where entry.hook == hook {
                    let belongs = switch (entry.family, family) {
                    case (.ip, .ipv4), (.ip6, .ipv6), (.arp, .arp), (.bridge, .bridge), (.netdev, .netdev): true
                    case (.inet, .ipv4), (.inet, .ipv6): !isDeviceHook
                    case (.inet, .netdev): isDeviceHook
                    default: false
                    }
                    guard belongs else { continue }
                    // A new hook goes in front of those with its priority.
                    let place = list.firstIndex { $0.priority >= entry.chain.priority } ?? list.count
                    list.insert(entry.chain, at: place)
                }
                entries[Program.index(hook, family)] = (UInt32(result.count), UInt32(list.count))
                result += list
            }
        }
        return (result, entries)
    }
}
