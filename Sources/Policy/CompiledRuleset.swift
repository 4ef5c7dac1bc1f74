// A checked ruleset turned into a flat program with its state: counters, limits, sets.
//
// Invariant: owns all memory that `program` points to. Building may allocate and take as long as it needs, evaluating
// never allocates. A new ruleset is compiled aside, with the state of the old one carried over, then swapped in.
import Ruleset
import Wire

// Any thread may hold one: all of it is fixed but the state behind `program`, which belongs to the core that runs packets.
public final class CompiledRuleset: @unchecked Sendable {
    public let program: Program
    public let interfaces: [Interface]
    public let ruleset: RulesetValue
    /// What the ruleset says that is not done here: warnings, and errors where ignoring it would let through what a rule
    /// keeps out; a ruleset with errors is not to be put in force.
    public let diagnostics: [Diagnostic]
    /// The warnings, one line each, `FILE:LINE: text: rule`.
    public var warnings: [String] {
        diagnostics.filter { $0.severity == .warning }.map { $0.location.source == nil ? $0.message : "\($0.location.position): \($0.message): \($0.location.text)" }
    }
    /// The errors as nft prints its own; empty if the ruleset can be used.
    public var refusal: String { diagnostics.filter { $0.severity == .error }.map(\.text).joined() }
    /// The flowtables that `PacketContext.flowtable` numbers, by table and name.
    public let flowtables: [(table: Int, name: String)]
    /// The ct helper, timeout and expectation objects that `ConntrackView.requestedHelper` and so on number in their lower 16 bits.
    public let conntrackObjects: [(table: Int, name: String, kind: ObjectKind)]
    let rules: [CompiledRule]
    let sets: [SetPlan]
    let objectNumbers: [[ObjectKind: [String: UInt32]]]
    private let chains: [CompiledChain]
    private let logs: [Log]
    private let memory: ProgramMemory

    /// Compiles a ruleset.
    /// - Parameters:
    ///   - interfaces: what `PacketContext.input` and `output` count; ports first, in their order. `lo` follows if it is not among them.
    ///   - previous: the ruleset in force until now, whose counters, quotas, limits and set elements live on where the
    ///     rule, object or set is still there (same table, same handle).
    ///   - seed: for hash functions that nobody outside shall predict.
    public convenience init(_ ruleset: RulesetValue, interfaces: [Interface], previous: CompiledRuleset? = nil, seed: UInt64 = 0, now: Timestamp = 0) {
        self.init(ruleset, interfaces: interfaces, previous: previous, seed: seed, now: now, classifies: true)
    }

    /// - Parameter classifies: false runs every chain rule by rule: the reference for tests.
    init(_ ruleset: RulesetValue, interfaces: [Interface], previous: CompiledRuleset?, seed: UInt64, now: Timestamp, classifies: Bool) {
        let interfaces = interfaces.contains { $0.name == Interface.loopback.name } ? interfaces : interfaces + [.loopback]
        let compiler = Compiler(ruleset, interfaces: interfaces, seed: seed, now: now, classifies: classifies)
        compiler.compile()
        memory = ProgramMemory(compiler, seed: seed, now: now)
        program = memory.program
        self.interfaces = interfaces
        self.ruleset = ruleset
        diagnostics = compiler.diagnostics
        flowtables = compiler.flowtables
        conntrackObjects = compiler.conntrackObjects
        rules = compiler.rules
        sets = compiler.sets
        objectNumbers = compiler.objectNumbers
        chains = compiler.chains
        logs = compiler.logs
        if let previous { StateTransfer(to: self, from: previous).run(now: now) }
    }

    /// A copy of the state. Called by the core that runs packets through the program.
    public func snapshot(now: Timestamp) -> StateSnapshot { StateSnapshot(program, memory, sets, time: now) }

    /// A ruleset without tables: every hook accepts.
    public convenience init(interfaces: [Interface]) { self.init(RulesetValue(), interfaces: interfaces) }

    deinit { memory.deallocate() }

    /// Adds packets and bytes to a counter that a walk passed (`WalkRecord.counter`), for packets that skipped the rules.
    /// Bytes count as the rule would have: IP packet lengths at the hooks of ip, ip6 and inet.
    public func credit(counter: UInt32, packets: UInt64, bytes: UInt64) { program.credit(counter: counter, packets: packets, bytes: bytes) }

    /// `FILE:LINE: rule text`, for messages and `show flows`.
    public func ruleDescription(_ rule: UInt32) -> String {
        guard Int(rule) < rules.count else { return "policy" }
        let location = rules[Int(rule)].location
        return "\(location.position): \(location.text)"
    }

    /// `family table chain` of a base chain.
    public func chainName(_ chainID: UInt32) -> String {
        guard Int(chainID) < chains.count else { return "" }
        let chain = chains[Int(chainID)]
        return "\(chain.family.rawValue) \(chain.table) \(chain.name)"
    }

    /// The parameters of the `log` statement that a record names.
    public func logStatement(_ statement: UInt32) -> Log { Int(statement) < logs.count ? logs[Int(statement)] : Log() }

    /// Handle of a rule in its table, with table and chain, for traces.
    public func ruleHandle(_ rule: UInt32) -> (chain: String, handle: UInt64)? {
        guard Int(rule) < rules.count else { return nil }
        let entry = rules[Int(rule)]
        return (chainName(UInt32(entry.chain)), entry.handle)
    }
}
