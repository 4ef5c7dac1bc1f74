// The ruleset in force: what it says, and the program compiled from it.
//
// Invariant: `compiled` was made from `value`. A change is checked and compiled aside; only then both are replaced.
import Configuration
import Policy
import Ruleset

final class LiveRuleset {
    let file: String?
    let interfaces: [Interface]
    private(set) var value: RulesetValue
    private(set) var compiled: CompiledRuleset
    /// Counts changes, the first load included.
    private(set) var generation: UInt64 = 1

    /// Loads and compiles the configured file; without one, everything is accepted.
    /// - Throws: `InputError` with nft's own error text.
    init(configuration: Configuration) throws {
        file = configuration.ruleset.file
        let interfaces = configuration.ports.enumerated().map { place, port in Interface(name: port.name, index: UInt32(place + 1)) }
        self.interfaces = interfaces
        value = try configuration.ruleset.file.map { try LiveRuleset.load($0, interfaces) } ?? RulesetValue()
        compiled = CompiledRuleset(interfaces: interfaces)
    }

    static func load(_ file: String, _ interfaces: [Interface]) throws -> RulesetValue {
        let result = RulesetValue.load(file: file, options: LoadOptions(interfaces: interfaces.map(\.name)))
        guard result.isAccepted else { throw InputError(result.diagnostics.map(\.message).joined(separator: "\n")) }
        return result.value
    }

    /// The counters that the ruleset has now, in its order.
    func counterReports() -> [CounterReport] { [] }
}
