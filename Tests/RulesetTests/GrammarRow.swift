// What the grammar's tables are made of: a rule, and how it is listed or what is wrong with it.
import Testing

@testable import Ruleset

/// A rule in a table of a family. `expected` is the listing, or `error FIRST-LAST: text` with columns counted from the
/// rule's first.
struct GrammarRow: Sendable, CustomTestStringConvertible {
    let family: String
    let rule: String
    let expected: String
    init(_ family: String, _ rule: String, _ expected: String) {
        self.family = family
        self.rule = rule
        self.expected = expected
    }
    /// A rule that is listed as it is written.
    init(_ family: String, _ rule: String) { self.init(family, rule, rule) }

    var testDescription: String { "\(family): \(rule)" }

    /// What became of the rule.
    var outcome: String {
        let head = "add rule \(family) t c "
        let text = "add table \(family) t\nadd chain \(family) t c\n\(head)\(rule)\n"
        let result = RulesetValue().applying(text: text, name: "f")
        if let first = result.diagnostics.first {
            let place = first.location, source = place.source
            let begin = place.column - head.utf8.count
            let end = (source.map { $0.column(at: max(Int(place.end) - 1, Int(place.start))) } ?? 0) - head.utf8.count
            return "error \(begin)-\(max(begin, end)): \(first.message)"
        }
        return Self.rules(of: result.value).first ?? ""
    }

    /// The rules of chain `c` of the first table as they are listed.
    static func rules(of value: RulesetValue) -> [String] {
        var options = PrintOptions()
        options.stateless = true
        guard let table = value.tables.first, let chain = table.chain("c") else { return [] }
        return chain.rules.map { Printer(options: options).rule($0, in: table, depth: 2) }
    }

    /// Checks the outcome; a listing must also survive being loaded again, as text and as JSON.
    func check() {
        let found = outcome
        #expect(found == expected)
        if found.hasPrefix("error ") { return }
        #expect(GrammarRow(family, found, found).outcome == found, "listing is no fixed point")
        var value = RulesetValue().applying(text: "add table \(family) t\nadd chain \(family) t c\nadd rule \(family) t c \(rule)\n").value
        let json = command(["-j", "-s", "list", "ruleset"], on: &value).output
        let back = RulesetValue().applying(json: Array(json.utf8), name: "j", options: LoadOptions()).result
        #expect(back.diagnostics.isEmpty)
        #expect(Self.rules(of: back.value) == [found], "JSON does not come back")
    }
}

/// `nft ARGUMENTS` on a ruleset.
func command(_ arguments: [String], on value: inout RulesetValue) -> NFTResult { NFTCommandLine(arguments: arguments).run(on: &value) }
