// Transactions: all or nothing, handles, references.
import Testing
@testable import Ruleset

@Suite struct TransactionTests {
    private func base() -> RulesetValue { RulesetValue().applying(text: "table ip t {\nchain a {\naccept\ndrop\n}\nchain b {\njump a\n}\n}\n").value }

    @Test func anErrorChangesNothing() {
        let result = base().applying(text: "add chain ip t new\nadd rule ip t missing accept\n")
        #expect(!result.isAccepted)
        #expect(result.value.table(.ip, "t")?.chain("new") == nil)
    }

    @Test func insertAtIndexReplaceAndDelete() throws {
        let value = base().applying(text: "insert rule ip t a index 1 counter\n").value
        let rules = try #require(value.table(.ip, "t")?.chain("a")?.rules)
        #expect(rules.count == 3)
        let handle = rules[1].handle
        let replaced = value.applying(text: "replace rule ip t a handle \(handle) return\n")
        #expect(replaced.value.table(.ip, "t")?.chain("a")?.rules[1].handle == handle)
        let gone = replaced.value.applying(text: "delete rule ip t a handle \(handle)\n")
        #expect(gone.value.table(.ip, "t")?.chain("a")?.rules.count == 2)
    }

    @Test(arguments: [
        ("delete chain ip t a", false), ("delete chain ip t b", true), ("create table ip t", false), ("add table ip t", true), ("destroy table ip x", true), ("delete table ip x", false),
        ("rename chain ip t a z", true), ("add rule ip t a jump nosuch", false), ("add chain ip t a { type filter hook input priority 0; }", false), ("flush ruleset", true),
    ])
    func command(_ text: String, accepted: Bool) { #expect(base().applying(text: text + "\n").isAccepted == accepted) }

    /// A dormant table that is named again without the flag wakes up (nf_tables_updtable).
    @Test(arguments: [
        ("add table ip t", false), ("table ip t {\nchain c {\n}\n}", false), ("add table ip t { flags dormant; }", true), ("add chain ip t c", true),
        ("add rule ip t a accept", true),
    ])
    func dormant(_ command: String, sleeps: Bool) {
        let value = base().applying(text: "add table ip t { flags dormant; }\n").value.applying(text: command + "\n").value
        #expect(value.table(.ip, "t")?.isDormant == sleeps)
    }

    /// A chain is hung on its hook when it is made or its table wakes up, whatever table it is in.
    @Test func registrations() {
        let chains = "chain a { type filter hook forward priority 0; }\n"
        var value = RulesetValue().applying(text: "table ip t {\n\(chains)}\ntable ip u {\n\(chains)}\ntable ip t {\n\(chains.replacing("a ", with: "b "))}\n").value
        func order() -> [String] {
            value.tables.flatMap { table in table.chains.map { (table.name + $0.name, $0.registration) } }.sorted { $0.1 < $1.1 }.map(\.0)
        }
        #expect(order() == ["ta", "ua", "tb"])
        value = value.applying(text: "add table ip t { flags dormant; }\nadd chain ip u a { policy drop; }\n").value.applying(text: "add table ip t\n").value
        #expect(order() == ["ua", "ta", "tb"])
    }

    /// As nft and Linux do it: one element, however often it was added; an element of a concatenation goes by any key that begins in it.
    @Test(arguments: [
        ("s", "add element ip t s { 1 }; delete element ip t s { 1 }", "2, 3"),
        ("s", "add element ip t s { 1, 1 }; delete element ip t s { 1 }; add element ip t s { 1 }", "1, 2, 3"),
        ("s", "delete element ip t s { 1 }; delete element ip t s { 1 }", nil),
        ("i", "add element ip t i { 1-5 }; delete element ip t i { 1-5 }", "20"),
        ("c", "delete element ip t c { 10.0.1.5 . 45 }", "10.0.1.0/24 . 50, 10.0.0.0/16 . 50"),
        ("c", "delete element ip t c { 10.0.1.9-10.0.4.0 . 50 }", "10.0.1.0/24 . 40-49, 10.0.0.0/16 . 50"),
        ("c", "delete element ip t c { 10.0.0.0/16 . 50 }", "10.0.1.0/24 . 40-49, 10.0.1.0/24 . 50"),
        ("c", "add element ip t c { 10.0.1.0/24 . 50 }; delete element ip t c { 10.0.1.1 . 50 }", "10.0.1.0/24 . 40-49, 10.0.0.0/16 . 50"),
        ("m", "add element ip t m { 1 : 3 }; delete element ip t m { 1 }", nil), ("m", "delete element ip t m { 1 }; add element ip t m { 1 : 3 }", "1 : 0x00000003"),
        ("m", "add element ip t m { 1 : 2 }; delete element ip t m { 1 }; add element ip t m { 4 : 5 }", "4 : 0x00000005"),
        ("i", "add element ip t i { 3 }; delete element ip t i { 3 }", nil), ("i", "delete element ip t i { 1-5 }; add element ip t i { 3 }", "3, 20"),
        ("c", "delete element ip t c { 10.1.0.0/16 . 50 }", nil), ("c", "delete element ip t c { 10.0.1.5 . 45-60 }; delete element ip t c { 10.0.1.5 . 45 }", nil),
    ])
    func elementsGo(_ set: String, _ commands: String, _ left: String?) throws {
        let sets = """
            set s { type inet_service; elements = { 1, 2, 3 }; }; set i { type inet_service; flags interval; elements = { 1-5, 20 }; };
            map m { type inet_service : mark; elements = { 1 : 2 }; };
            set c { type ipv4_addr . inet_service; flags interval; elements = { 10.0.1.0/24 . 40-49, 10.0.1.0/24 . 50, 10.0.0.0/16 . 50 }; };
            """
        let result = RulesetValue().applying(text: "table ip t { \(sets) }\n").value.applying(text: commands + "\n")
        #expect(result.isAccepted == (left != nil))
        guard let left else { return }
        var printer = Printer()
        printer.ruleset(result.value)
        let blocks = printer.output.split(separator: #/\t(?:set|map) /#).map { $0.split(whereSeparator: \.isWhitespace).joined(separator: " ") }
        #expect(try #require(blocks.first { $0.hasPrefix("\(set) {") }).contains("elements = { \(left) }"))
    }

    @Test func overlapIsRefusedUnlessMerged() {
        func load(_ merge: String) -> LoadResult {
            RulesetValue().applying(text: "table ip t { set s { type ipv4_addr; flags interval; \(merge) elements = { 10.0.0.0/8, 10.1.0.0/16, 11.0.0.0/8 }; }\n}\n")
        }
        #expect(!load("").isAccepted)
        #expect(load("auto-merge;").value.table(.ip, "t")?.set("s")?.elements.count == 1)
    }

    @Test func jsonThereAndBack() {
        let text = "table inet t {\n\tchain c {\n\t\ttcp dport { 22, 80-90 } ct state new counter packets 0 bytes 0 accept\n\t}\n}\n"
        let loaded = RulesetValue().applying(bytes: Array((text + "list ruleset\n").utf8), name: "x", options: LoadOptions())
        let json = JSONWriter(options: PrintOptions()).text(loaded.listings)
        let value = RulesetValue().applying(json: Array(json.utf8), name: "x", options: LoadOptions()).result.value
        var printer = Printer()
        printer.ruleset(value)
        #expect(printer.output == text)
    }
}
