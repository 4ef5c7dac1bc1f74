// The ruleset in force: what it says, and the program compiled from it.
//
// Invariant: `compiled` was made from `value`. A change is checked and compiled aside; only then both are replaced, on
// the slow-path core, between two packets.
import Configuration
import Policy
import Ruleset
import Wire

public final class LiveRuleset {
    let file: String?
    let interfaces: [Interface]
    private(set) var value: RulesetValue
    private(set) var compiled: CompiledRuleset
    /// The names that rules may say, by number from 1 on: as in Linux `lo` is the first.
    var interfaceNames: [String] { ["lo"] + interfaces.map(\.name) }
    /// Counts changes, the first load included.
    private(set) var generation: UInt64 = 1

    /// Loads and compiles the configured file; without one, everything is accepted.
    /// - Throws: `InputError` with nft's own error text.
    init(configuration: Configuration, seed: UInt64, now: Timestamp) throws {
        file = configuration.ruleset.file
        let interfaces = configuration.interfaceNames.enumerated().map { place, name in
            // ARPHRD_PPP, as Linux's ppp interfaces have it.
            if place >= configuration.ports.count + configuration.vlans.count { return Interface(name: name, index: UInt32(place + 2), hardwareType: 512, kind: "ppp") }
            return Interface(name: name, index: UInt32(place + 2), kind: place < configuration.ports.count ? "" : "vlan")
        }
        self.interfaces = interfaces
        value = try configuration.ruleset.file.map { try LiveRuleset.load($0, interfaces) } ?? RulesetValue()
        compiled = CompiledRuleset(value, interfaces: interfaces, seed: seed, now: now)
        if !compiled.refusal.isEmpty { throw InputError(String(compiled.refusal.dropLast())) }
    }

    /// Everything wrong with a ruleset file, as nft says it, and what of it will never match; nothing is put in force.
    /// - Parameter ports: the names of the ports, in order.
    public static func diagnostics(file: String, ports: [String]) -> [Diagnostic] {
        let interfaces = ports.enumerated().map { place, name in Interface(name: name, index: UInt32(place + 2)) }
        let result = RulesetValue.load(file: file, options: LoadOptions(interfaces: ["lo"] + ports))
        guard result.isAccepted else { return result.diagnostics }
        return result.diagnostics + CompiledRuleset(result.value, interfaces: interfaces).diagnostics
    }

    static func load(_ file: String, _ interfaces: [Interface]) throws -> RulesetValue {
        let result = RulesetValue.load(file: file, options: LoadOptions(interfaces: ["lo"] + interfaces.map(\.name)))
        guard result.isAccepted else { throw InputError(String(result.diagnostics.map(\.text).joined().dropLast())) }
        return result.value
    }

    /// Puts a change in force. Slow-path core only.
    /// - Parameter transactions: how many generations the change is.
    func adopt(_ value: RulesetValue, _ compiled: CompiledRuleset, transactions: UInt64) {
        self.value = value
        self.compiled = compiled
        generation += transactions
    }

    /// The counters that the ruleset has now, in its order.
    func counterReports(now: Timestamp) -> [CounterReport] {
        var reports: [CounterReport] = []
        for table in compiled.currentValue(now: now).tables {
            let name = "\(table.family.rawValue) \(table.name)"
            for object in table.objects {
                guard case .counter(let packets, let bytes) = object.value else { continue }
                reports.append(CounterReport(table: name, name: object.name, packets: packets, bytes: bytes))
            }
            for chain in table.chains {
                for rule in chain.rules {
                    for case .counter(let packets, let bytes) in rule.statements {
                        reports.append(CounterReport(
                            table: name, chain: chain.name, rule: rule.location.text, line: rule.location.line > 0 ? rule.location.line : nil, packets: packets, bytes: bytes))
                    }
                }
            }
        }
        return reports
    }
}
