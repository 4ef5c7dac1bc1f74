// Messages with their positions, and that nothing hostile brings the parser down.
import Testing
@testable import Ruleset

@Suite struct DiagnosticTests {
    @Test(arguments: [
        ("ip saddr 1.2.3.0/33", "Prefix length 33 is invalid for type of 32 bits width"),
        ("tcp dport 70000", "Service out of range"),
        ("dnat to 1.1.1.1:80", "transport protocol mapping is only valid after transport protocol match"),
        ("ip saddr @nothing", "No such file or directory"),
        ("ip dscp set 64", "Value 64 exceeds valid range 0-63"),
        ("jump nowhere", "Could not process rule: No such file or directory"),
        ("accept drop", "Statement after terminal statement has no effect"),
        ("tcp dport 1 udp dport 2", "conflicting transport layer protocols specified: tcp vs. udp"),
    ])
    func message(rule: String, expected: String) { #expect(listed(rule) == "error: " + expected) }

    @Test func positionLineAndCarets() {
        let result = RulesetValue().applying(text: "table ip t {\n\tchain c {\n\t\ttcp dport 70000\n\t}\n}\n", name: "f.nft")
        #expect(result.diagnostics.first?.text == "f.nft:3:13-17: Error: Service out of range\n\t\ttcp dport 70000\n\t\t          ^^^^^\n")
    }

    @Test func everyErrorIsReported() {
        let result = RulesetValue().applying(text: "table ip t {\nchain c {\ntcp dport 70000\nip saddr 1.1.1.1/40\n}\n}\n")
        #expect(result.diagnostics.count == 2)
        #expect(result.value.tables.isEmpty)
    }

    @Test func anUnknownVariableSuggestsANearOne() {
        let result = RulesetValue().applying(text: "define lan = 1.1.1.1\nadd rule ip t c ip saddr $lam\n")
        #expect(result.diagnostics.first?.message == "unknown identifier 'lam'; did you mean identifier 'lan'?")
    }

    @Test func mutatedTextNeverTraps() {
        let seed = Array("table inet t { set s { type ipv4_addr . inet_service; flags interval; elements = { 1.1.1.0/24 . 1-5 } }; chain c { ip saddr . tcp dport @s meta mark set 1 << 3 dnat ip to 1.1.1.1-2.2.2.2:80; } }\n".utf8)
        var state: UInt64 = 42
        func next() -> Int { state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407; return Int(state >> 33) }
        for _ in 0..<2000 {
            var bytes = seed
            for _ in 0..<(1 + next() % 6) {
                let place = next() % bytes.count
                switch next() % 3 {
                case 0: bytes[place] = UInt8(truncatingIfNeeded: next())
                case 1: bytes.remove(at: place)
                default: bytes.insert(seed[next() % seed.count], at: place)
                }
            }
            _ = RulesetValue().applying(bytes: bytes, name: "fuzz", options: LoadOptions())
        }
        let deep = String(repeating: "(", count: 100_000)
        #expect(!RulesetValue().applying(text: "add rule ip t c ip saddr \(deep)").isAccepted)
    }
}
