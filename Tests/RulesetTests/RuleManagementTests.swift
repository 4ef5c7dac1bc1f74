// Rules and what holds them, changed command by command: handles, index and position, rename, flush, reset, and that a
// command that fails leaves everything as it was.
import Testing

@testable import Ruleset

/// Commands, and what chain `a` holds afterwards; `refused` where the last of them must fail.
struct CommandRow: Sendable, CustomTestStringConvertible {
    let commands: [String]
    let rules: String
    let isRefused: Bool
    init(_ commands: [String], _ rules: String) {
        self.commands = commands
        self.rules = rules
        isRefused = false
    }
    init(refused commands: [String]) {
        self.commands = commands
        rules = "tcp dport 1; tcp dport 2; tcp dport 3"
        isRefused = true
    }
    var testDescription: String { commands.joined(separator: "; ") }
}

@Suite struct RuleManagementTests {
    /// Chain `a` has the rules of handles 4, 5 and 6; chains `a` and `b` are 1 and 2, the set is 3.
    static let base = """
        add table ip t
        add chain ip t a
        add chain ip t b
        add set ip t s { type inet_service; elements = { 7, 8 }; }
        add rule ip t a tcp dport 1
        add rule ip t a tcp dport 2
        add rule ip t a tcp dport 3

        """

    static let rows: [CommandRow] = [
        CommandRow(["add rule ip t a tcp dport 9"], "tcp dport 1; tcp dport 2; tcp dport 3; tcp dport 9"),
        CommandRow(["insert rule ip t a tcp dport 9"], "tcp dport 9; tcp dport 1; tcp dport 2; tcp dport 3"),
        CommandRow(["insert rule ip t a position 0 tcp dport 9"], "tcp dport 9; tcp dport 1; tcp dport 2; tcp dport 3"),
        CommandRow(["add rule ip t a handle 0 tcp dport 9"], "tcp dport 1; tcp dport 2; tcp dport 3; tcp dport 9"),
        CommandRow(["delete rule ip t a handle 0"], ""),
        CommandRow(refused: ["replace rule ip t a handle 0 tcp dport 9"]),
        CommandRow(["add rule ip t a index 0 tcp dport 9"], "tcp dport 1; tcp dport 9; tcp dport 2; tcp dport 3"),
        CommandRow(["insert rule ip t a index 2 tcp dport 9"], "tcp dport 1; tcp dport 2; tcp dport 9; tcp dport 3"),
        CommandRow(["add rule ip t a handle 5 tcp dport 9"], "tcp dport 1; tcp dport 2; tcp dport 9; tcp dport 3"),
        CommandRow(["insert rule ip t a position 5 tcp dport 9"], "tcp dport 1; tcp dport 9; tcp dport 2; tcp dport 3"),
        CommandRow(["replace rule ip t a handle 5 tcp dport 9"], "tcp dport 1; tcp dport 9; tcp dport 3"),
        CommandRow(["delete rule ip t a handle 4"], "tcp dport 2; tcp dport 3"),
        CommandRow(["destroy rule ip t a handle 77"], "tcp dport 1; tcp dport 2; tcp dport 3"),
        CommandRow(["flush chain ip t a"], ""),
        CommandRow(["flush table ip t"], ""),
        CommandRow(["add rule ip t a index 0 tcp dport 9", "delete rule ip t a handle 7"], "tcp dport 1; tcp dport 2; tcp dport 3"),
        CommandRow(["add table ip t", "add chain ip t a"], "tcp dport 1; tcp dport 2; tcp dport 3"),
        CommandRow(["rename chain ip t b c", "add rule ip t a jump c"], "tcp dport 1; tcp dport 2; tcp dport 3; jump c"),
        CommandRow(["delete element ip t s { 7 }", "add element ip t s { 9 }", "add rule ip t a tcp dport @s"], "tcp dport 1; tcp dport 2; tcp dport 3; tcp dport @s"),
        CommandRow(["destroy chain ip t nothing", "destroy table ip nothing", "destroy set ip t nothing"], "tcp dport 1; tcp dport 2; tcp dport 3"),
        CommandRow(refused: ["delete rule ip t a handle 77"]),
        CommandRow(refused: ["replace rule ip t a handle 77 tcp dport 9"]),
        CommandRow(refused: ["insert rule ip t a index 9 tcp dport 9"]),
        CommandRow(refused: ["add rule ip t a handle 77 tcp dport 9"]),
        CommandRow(refused: ["create chain ip t a"]),
        CommandRow(refused: ["create table ip t"]),
        CommandRow(refused: ["delete chain ip t nothing"]),
        CommandRow(refused: ["delete set ip t nothing"]),
        CommandRow(refused: ["rename chain ip t a b"]),
        CommandRow(refused: ["create element ip t s { 7 }"]),
        CommandRow(refused: ["delete element ip t s { 70 }"]),
        CommandRow(refused: ["add rule ip t a jump b", "flush chain ip t b", "delete chain ip t b"]),
        CommandRow(refused: ["add rule ip t a tcp dport @s", "delete set ip t s"]),
        CommandRow(refused: ["flush chain ip t a", "add rule ip t nothing accept"]),
        CommandRow(refused: ["add rule ip t a tcp dport 9", "add rule ip t a tcp dport 70000"]),
        CommandRow(refused: ["add chain ip t b { type filter hook input priority 0; }", "add rule ip t b goto a", "add rule ip t a goto a"]),
    ]

    private func rules(_ value: RulesetValue) -> String {
        guard let table = value.tables.first, let chain = table.chain("a") else { return "gone" }
        var options = PrintOptions()
        options.stateless = true
        return chain.rules.map { Printer(options: options).rule($0, in: table, depth: 2) }.joined(separator: "; ")
    }

    @Test func handlesAreGivenInOrder() throws {
        let table = try #require(RulesetValue().applying(text: Self.base).value.tables.first)
        #expect(table.chain("a")?.rules.map(\.handle) == [4, 5, 6])
        #expect([table.chain("a")?.handle, table.chain("b")?.handle, table.set("s")?.handle] == [1, 2, 3])
    }

    @Test(arguments: rows) func inOneTransaction(_ row: CommandRow) {
        let start = RulesetValue().applying(text: Self.base)
        #expect(start.diagnostics.isEmpty)
        let result = start.value.applying(text: row.commands.joined(separator: "\n") + "\n")
        #expect(result.isAccepted == !row.isRefused)
        #expect(rules(result.value) == row.rules)
    }
}
