// What the tables of declarations are made of: a ruleset, and how it is listed or what is wrong with it.
import Testing

@testable import Ruleset

struct DeclarationRow: Sendable, CustomTestStringConvertible {
    let text: String
    /// The whole listing, or `error LINE:FIRST-LAST: text` of the first message.
    let expected: String
    /// What nft's JSON has no word for.
    let losesInJSON: Bool
    init(_ text: String, _ expected: String, losesInJSON: Bool = false) {
        self.text = text
        self.expected = expected
        self.losesInJSON = losesInJSON
    }
    var testDescription: String { text }

    /// Checks the outcome; a listing must also survive being loaded again, as text and as JSON.
    func check() {
        let result = RulesetValue().applying(text: text, name: "f")
        if let first = result.diagnostics.first {
            let line = first.text.split(separator: "\n").first.map(String.init) ?? ""
            #expect("error " + line.replacing("f:", with: "", maxReplacements: 1).replacing(" Error:", with: "", maxReplacements: 1) == expected)
            #expect(result.value.tables.isEmpty)
            return
        }
        var value = result.value
        let listing = command(["-s", "list", "ruleset"], on: &value).output
        #expect(listing == expected)
        var again = RulesetValue().applying(text: listing, name: "again").value
        #expect(command(["-s", "list", "ruleset"], on: &again).output == listing, "listing is no fixed point")
        let json = command(["-j", "-s", "list", "ruleset"], on: &value).output
        let back = RulesetValue().applying(json: Array(json.utf8), name: "j", options: LoadOptions()).result
        var read = back.value
        #expect(command(["-s", "list", "ruleset"], on: &read).output == listing || losesInJSON, "JSON does not come back")
    }
}
