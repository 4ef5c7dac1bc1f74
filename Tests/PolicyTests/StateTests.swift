// State that outlives a change of the ruleset, and how it is listed. Each case was found by Tests/KernelDifferential.
import Policy
@testable import Ruleset
import Testing
import Wire

@Suite struct StateTests {
    private func load(_ text: String, onto value: RulesetValue = RulesetValue()) -> RulesetValue {
        let loaded = value.applying(text: text, name: "test", options: LoadOptions(interfaces: ["r0", "r1"]))
        #expect(loaded.isAccepted, "\(loaded.diagnostics.map(\.message))")
        return loaded.value
    }

    /// The same ruleset with one rule more, in the place of `compiled`.
    private func changed(_ compiled: CompiledRuleset) -> CompiledRuleset {
        let value = load("add chain ip t other; add rule ip t other counter", onto: compiled.currentValue(now: 1000))
        return CompiledRuleset(value, interfaces: interfaces, previous: compiled, seed: 42, now: 1000)
    }

    private func elements(_ compiled: CompiledRuleset) throws -> [[UInt64]] {
        let set = try #require(compiled.currentValue(now: 1000).tables[0].set("s"))
        return set.elements.map { $0.statements.compactMap { if case .counter(let packets, _) = $0 { packets } else { nil } } }.sorted { ($0.first ?? 0) < ($1.first ?? 0) }
    }

    @Test func generatorsCountOnAcrossAChange() {
        let compiled = compile(load("table ip t { chain f { type filter hook forward priority 0; numgen inc mod 3 0 drop; }; }"))
        #expect(compiled.run(.udp()) == .drop)
        let next = changed(compiled)
        #expect([next.run(.udp()), next.run(.udp()), next.run(.udp())] == [.accept, .accept, .drop])
    }

    @Test func newElementsStartAtZeroAfterAChange() throws {
        let text = "table ip t { set s { type ipv4_addr; flags dynamic; }; chain f { type filter hook forward priority 0; update @s { ip saddr counter }; }; }"
        let compiled = compile(load(text))
        for _ in 0 ..< 3 { _ = compiled.run(.udp(from: 1)) }
        let next = changed(compiled)
        _ = next.run(.udp(from: 2))
        #expect(try elements(next) == [[1], [3]])
    }

    @Test func aRuleWithoutStatementsAddsPlainElements() throws {
        let rules = "ip saddr 0.0.0.1 add @s { ip saddr }; ip saddr 0.0.0.2 add @s { ip saddr counter };"
        let compiled = compile(load("table ip t { set s { type ipv4_addr; flags dynamic; }; chain f { type filter hook forward priority 0; \(rules) }; }"))
        _ = compiled.run(.udp(from: 1))
        _ = compiled.run(.udp(from: 2))
        #expect(try elements(compiled) == [[], [1]])
    }

    @Test func whatReplacesARuleStartsAnew() {
        let compiled = compile(load("table ip t { chain f { type filter hook forward priority 0; limit rate 1/day burst 1 packets accept; drop; }; }"))
        #expect([compiled.run(.udp()), compiled.run(.udp())] == [.accept, .drop])
        #expect(changed(compiled).run(.udp()) == .drop)
        let handle = compiled.currentValue(now: 1000).tables[0].chains[0].rules[0].handle
        let value = load("replace rule ip t f handle \(handle) limit rate 1/day burst 1 packets accept", onto: compiled.currentValue(now: 1000))
        let next = CompiledRuleset(value, interfaces: interfaces, previous: compiled, seed: 42, now: 1000)
        #expect([next.run(.udp()), next.run(.udp())] == [.accept, .drop])
    }

    @Test func whatARuleDeletedTakesUpRoomAcrossAChange() {
        let rules = "ip saddr 0.0.0.1 add @s { ip saddr } delete @s { ip saddr } accept; ip saddr 0.0.0.2 add @s { ip saddr } accept; drop;"
        let compiled = compile(load("table ip t { set s { type ipv4_addr; flags dynamic; size 1; }; chain f { type filter hook forward priority 0; \(rules) }; }"))
        #expect(compiled.run(.udp(from: 1)) == .accept)
        #expect(changed(compiled).run(.udp(from: 2)) == .drop)
    }

    @Test func anElementWithoutStatementsStaysPlainAcrossAChange() throws {
        let rules = "ip saddr 0.0.0.1 add @s { ip saddr }; ip saddr 0.0.0.2 add @s { ip saddr counter };"
        let compiled = compile(load("table ip t { set s { type ipv4_addr; flags dynamic; }; chain f { type filter hook forward priority 0; \(rules) }; }"))
        _ = compiled.run(.udp(from: 1))
        _ = compiled.run(.udp(from: 2))
        #expect(try elements(changed(compiled)) == [[], [1]])
    }

    /// What each element carries, over a change too, and after the rule that gave it that has gone.
    @Test func eachElementHasTheStatementsOfTheRuleThatAddedIt() throws {
        let rules = "ip saddr 0.0.0.1 add @s { ip saddr counter } drop; ip saddr 0.0.0.2 add @s { ip saddr quota until 300 bytes } drop; ip saddr 0.0.0.3 add @s { ip saddr quota until 70 bytes } drop;"
        let compiled = compile(load("table ip t { set s { type ipv4_addr; flags dynamic; }; chain f { type filter hook forward priority 0; \(rules) }; }"))
        func carried(_ compiled: CompiledRuleset) throws -> [String] {
            try #require(compiled.currentValue(now: 1000).tables[0].set("s")).elements.map { element in
                switch element.statements.first {
                case .counter(let packets, _): "counter \(packets)"
                case .quota(let quota): "quota \(quota.limit) \(quota.used)"
                default: "nothing"
                }
            }.sorted()
        }
        // 32 bytes each.
        let verdicts = [1, 2, 3, 3, 3, 2].map { compiled.run(.udp(from: $0)) }
        #expect(verdicts == [.drop, .drop, .drop, .drop, .accept, .drop])
        #expect(try carried(compiled) == ["counter 1", "quota 300 64", "quota 70 70"])
        let next = changed(compiled)
        #expect([1, 2, 3].map { next.run(.udp(from: $0)) } == [.drop, .drop, .accept])
        #expect(try carried(next) == ["counter 2", "quota 300 96", "quota 70 70"])
        let left = CompiledRuleset(load("flush chain ip t f", onto: next.currentValue(now: 1000)), interfaces: interfaces, previous: next, seed: 42, now: 1000)
        #expect(try carried(left) == ["counter 2", "quota 300 96", "quota 70 70"])
    }

    /// Each of many elements has its own limit; they share the records of one kind, so that memory grows with their number alone.
    @Test func manyElementsWithQuotasOfTheirOwn() {
        let elements = (1 ... 5000).map { "0.0.\($0 / 250).\($0 % 250) quota over \($0 * 40) bytes" }.joined(separator: ", ")
        let compiled = compile(load("table ip t { set s { type ipv4_addr; flags dynamic; elements = { \(elements) }; }; chain f { type filter hook forward priority 0; ip saddr @s drop; }; }"))
        #expect([1, 1].map { _ in compiled.run(.udp(from: 1)) } == [.accept, .drop])
        #expect([1, 1, 1].map { _ in compiled.run(.udp(from: 2)) } == [.accept, .accept, .drop])
        #expect(compiled.run(.udp(from: 20 << 8)) == .accept)
    }

    /// Linux since 6.12: what is added again with another timeout lives that long from now on, and no longer than what it is given; all else lives on.
    @Test func whatIsAddedAgainLivesAnew() throws {
        let sets = """
            set s { type inet_service; flags timeout; timeout 5s; elements = { 1 timeout 2s, 2 timeout 1h, 3 timeout 1h, 4, 5 timeout 1h }; };
            set p { type inet_service . inet_service; flags timeout,interval; elements = { 1 . 1-9 timeout 2s, 2 . 1-9 timeout 1h }; };
            set i { type inet_service; flags timeout,interval; elements = { 1-9 timeout 2s, 10-19 timeout 1h }; };
            """
        let second: UInt64 = 1_000_000_000
        let compiled = CompiledRuleset(load("table ip t { \(sets) }"), interfaces: interfaces, previous: nil, seed: 42, now: 0)
        let again = """
            add element ip t s { 1 timeout 1h, 2 timeout 2s }; add element ip t s { 3, 4 }; add element ip t s { 5 timeout 1h expires 2s };
            add element ip t p { 1 . 1-9 timeout 1h, 2 . 1-9 timeout 2s }; add element ip t i { 1-9 timeout 1h, 10-19 timeout 2s }
            """
        func next(_ before: CompiledRuleset, _ text: String, _ now: UInt64) -> CompiledRuleset {
            CompiledRuleset(load(text, onto: before.currentValue(now: now)), interfaces: interfaces, previous: before, seed: 42, now: now)
        }
        func left(_ compiled: CompiledRuleset, _ set: String, at now: UInt64) throws -> [UInt64] {
            try #require(compiled.currentValue(now: now).tables[0].set(set)).elements.map { ($0.expires ?? 0) / 1000 }.sorted()
        }
        let renewed = next(compiled, again, second)
        #expect(try left(renewed, "s", at: second) == [2, 2, 4, 5, 3600])
        #expect(try left(renewed, "p", at: second) == [2, 3600])
        #expect(try left(renewed, "i", at: second) == [2, 3600])
        // Once: the transaction after that changes nothing.
        let later = next(renewed, "add counter ip t nothing", 2 * second)
        #expect(try left(later, "s", at: 2 * second) == [1, 1, 3, 4, 3599])
    }

    /// What a transaction takes away and puts back is new: its time, its counter and its burst begin with it. What it does not name goes on.
    @Test func whatIsPutBackInOneTransactionIsNew() throws {
        let sets = """
            set s { type ipv4_addr; counter; flags timeout; elements = { 0.0.0.1 timeout 1h, 0.0.0.2 timeout 1h, 0.0.0.3 timeout 1h }; };
            set l { type ipv4_addr; flags dynamic; elements = { 0.0.0.1 limit rate 1/day burst 1 packets, 0.0.0.2 limit rate 1/day burst 1 packets }; };
            chain f { type filter hook forward priority 0; ip saddr @s; ip saddr @l accept; drop; };
            """
        let second: UInt64 = 1_000_000_000
        let compiled = CompiledRuleset(load("table ip t { \(sets) }"), interfaces: interfaces, previous: nil, seed: 42, now: 0)
        for source in [1, 1, 2, 2, 3] as [UInt32] { _ = compiled.run(.udp(from: source)) }
        let snapshot = compiled.snapshot(now: second)
        let changes = """
            flush set ip t s; add element ip t s { 0.0.0.1 timeout 1h, 0.0.0.2 timeout 1h };
            delete element ip t l { 0.0.0.1 }; add element ip t l { 0.0.0.1 limit rate 1/day burst 1 packets }
            """
        let next = CompiledRuleset(load(changes, onto: compiled.value(of: snapshot)), interfaces: interfaces, seed: 42, now: second)
        // Counted by the old ruleset after the snapshot was taken: gone with the elements.
        _ = compiled.run(.udp(from: 1))
        StateTransfer(to: next, from: compiled).run(now: second, since: snapshot)
        let set = try #require(next.currentValue(now: second).tables[0].set("s"))
        #expect(set.elements.map(\.expires) == [3_600_000, 3_600_000])
        #expect(set.elements.map { $0.statements.compactMap { if case .counter(let packets, _) = $0 { Int(packets) } else { nil } } } == [[0], [0]])
        #expect([next.run(.udp(from: 1)), next.run(.udp(from: 1)), next.run(.udp(from: 2))] == [.accept, .drop, .drop])
    }

    /// A table, an object or a set that a transaction takes away and makes again under its name begins anew.
    @Test(arguments: [
        ("flush ruleset; RULESET", [true, true]), ("delete table ip t; RULESET", [true, true]), ("add counter ip t more", [false, false]),
        ("flush chain ip t f; delete limit ip t slow; delete set ip t s; SET; LIMIT; RULES", [true, true]), ("flush chain ip t f; RULES", [false, false]),
        ("flush chain ip t f; delete limit ip t slow; LIMIT; RULES", [true, false]),
    ])
    func whatIsMadeAgainIsNew(_ changes: String, _ passes: [Bool]) {
        let parts = [
            "SET": "add set ip t s { type ipv4_addr; flags dynamic; }", "LIMIT": "add limit ip t slow { rate 1/day burst 1 packets; }",
            "RULES": "add rule ip t f ip saddr 0.0.0.1 limit name \"slow\" accept; add rule ip t f ip saddr 0.0.0.2 ip saddr != @s add @s { ip saddr } accept; add rule ip t f drop",
        ]
        func text(_ text: String) -> String {
            let all = text.replacing("RULESET", with: "add table ip t; SET; LIMIT; add chain ip t f { type filter hook forward priority 0; }; RULES")
            return parts.reduce(all) { $0.replacing($1.key, with: $1.value) }
        }
        let compiled = CompiledRuleset(load(text("RULESET")), interfaces: interfaces, seed: 42, now: 0)
        #expect([1, 1, 2, 2].map { compiled.run(.udp(from: $0)) } == [.accept, .drop, .accept, .drop])
        let snapshot = compiled.snapshot(now: 1000)
        let next = CompiledRuleset(load(text(changes), onto: compiled.value(of: snapshot)), interfaces: interfaces, seed: 42, now: 1000)
        StateTransfer(to: next, from: compiled).run(now: 1000, since: snapshot)
        #expect([1, 2].map { next.run(.udp(from: $0)) == .accept } == passes)
    }

    /// Between the snapshot that a transaction is made of and its coming into force, packets and time take elements away, and bring some back:
    /// none that is gone comes back with the transaction, and none that came back is lost.
    @Test(arguments: ["add counter ip t more", "delete element ip t s { 0.0.0.1 }"])
    func elementsThatComeAndGoWhileATransactionWaits(_ change: String) throws {
        let second: UInt64 = 1_000_000_000
        let compiled = CompiledRuleset(load("""
            table ip t {
                set s { type ipv4_addr; size 4; counter; flags dynamic,timeout; gc-interval 1s; };
                chain f { type filter hook forward priority 0; ip daddr 0.0.0.9 delete @s { ip saddr } accept; ip saddr { 0.0.0.1, 0.0.0.5 } update @s { ip saddr timeout 2s } accept; update @s { ip saddr timeout 1h }; };
            }
            """), interfaces: interfaces, seed: 42, now: 0)
        for source in [1, 1, 1, 2, 3, 5] as [UInt32] { _ = compiled.run(.udp(from: source), now: second) }
        let snapshot = compiled.snapshot(now: second)
        let next = CompiledRuleset(load(change, onto: compiled.value(of: snapshot)), interfaces: interfaces, seed: 42, now: second)
        // The first dies, the second is taken away by a rule, the fifth goes on for longer than the transaction knows.
        _ = compiled.run(.udp(from: 5), now: 2 * second)
        _ = compiled.run(.udp(from: 5), now: 4 * second - 1)
        _ = compiled.run(.udp(from: 2, to: 9), now: 5 * second)
        _ = compiled.run(.udp(from: 5), now: 5 * second + second / 2)
        for source in [4, 1, 1] as [UInt32] { _ = compiled.run(.udp(from: source), now: 7 * second) }
        StateTransfer(to: next, from: compiled).run(now: 7 * second, since: snapshot)
        func shown(_ compiled: CompiledRuleset) throws -> [String] {
            let set = try #require(compiled.currentValue(now: 7 * second).tables[0].set("s"))
            return set.elements.map { "\($0.key) \($0.expires ?? 0) \($0.statements)" }.sorted()
        }
        #expect(try shown(next) == shown(compiled))
        #expect(try shown(next).count == 4)
    }

    @Test func resetSpeaksOfItsTableAlone() {
        let counter = "counter c { packets 5 bytes 50 }; chain r { counter packets 7 bytes 70; };"
        let value = load("table ip a { \(counter) }; table ip b { \(counter) }; table ip6 b { \(counter) };")
        func packets(_ command: String) -> [[UInt64]] {
            load(command, onto: value).tables.map { table in
                var counts: [UInt64] = []
                if case .counter(let packets, _)? = table.object(.counter, "c")?.value { counts.append(packets) }
                if case .counter(let packets, _)? = table.chains[0].rules[0].statements.first { counts.append(packets) }
                return counts
            }
        }
        #expect(packets("reset counters table ip b") == [[5, 7], [0, 7], [5, 7]])
        #expect(packets("reset counters ip") == [[0, 7], [0, 7], [5, 7]])
        #expect(packets("reset counters") == [[0, 7], [0, 7], [0, 7]])
        #expect(packets("reset rules table ip6 b") == [[5, 7], [5, 7], [5, 0]])
    }

    @Test func aQuotaIsListedUpToItsLimit() {
        let compiled = compile(load("table ip t { chain f { type filter hook forward priority 0; quota 40 bytes; }; }"))
        for _ in 0 ..< 3 { _ = compiled.run(.udp()) }
        guard case .quota(let quota)? = compiled.currentValue(now: 0).tables[0].chains[0].rules[0].statements.first else {
            Issue.record("no quota")
            return
        }
        #expect(quota.used == 40)
    }

    @Test func aTranslationOfOneFamilyTracksThatFamilyOnly() {
        let text = "table inet t { chain p { type nat hook prerouting priority dstnat; dnat ip to 10.0.0.1; }; }"
        let program = compile(load(text)).program
        #expect(program.needs(.conntrack, .ipv4))
        #expect(!program.needs(.conntrack, .ipv6))
    }

    /// NAT goes to sleep with its last chain, tracking does not (nf_nat_unregister_fn).
    @Test func aSleepingTableTranslatesNothing() {
        let text = "table ip t { flags dormant; chain p { type nat hook prerouting priority dstnat; dnat to 10.0.0.1; }; }"
        let program = compile(load(text)).program
        #expect(program.needs(.conntrack, .ipv4))
        #expect(!program.needs(.nat, .ipv4))
        #expect(compile(load(text + "\nadd table ip t")).program.needs(.nat, .ipv4))
    }
}
