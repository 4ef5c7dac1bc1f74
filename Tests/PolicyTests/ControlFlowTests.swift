// Chains, rules and verdicts.
import Policy
@testable import Ruleset
import Testing

@Suite struct ControlFlowTests {
    @Test func policyAppliesAtTheEnd() {
        #expect(compile(ruleset([])).run(.udp()) == .accept)
        #expect(compile(ruleset([], policy: .drop)).run(.udp()) == .policyDrop)
        #expect(compile(ruleset([[.verdict(.drop)]])).run(.udp()) == .drop)
        #expect(compile(ruleset([[.verdict(.accept)]], policy: .drop)).run(.udp()) == .accept)
        #expect(compile(ruleset([[.verdict(.return)], [.verdict(.accept)]], policy: .drop)).run(.udp()) == .policyDrop)
    }

    @Test func sideEffectsBeforeAFailingMatchStay() {
        let compiled = compile(ruleset([[counter, .setMeta(.mark, value(7, Types.mark)), port(99), counter]]))
        var context = Frame.udp().context()
        #expect(compiled.run(&context) == .accept)
        #expect(context.mark == 7)
        #expect(counts(compiled) == [1, 0])
    }

    @Test func setThenReadIsVisible() {
        let compiled = compile(ruleset([[.setMeta(.mark, value(7, Types.mark)), match(.meta(.mark, type: Types.mark), .equal, value(7, Types.mark)), .verdict(.drop)]]))
        #expect(compiled.run(.udp()) == .drop)
    }

    @Test func jumpReturnsAndGotoDoesNot() {
        let chains: [(String, [[Statement]])] = [("a", [[counter]]), ("b", [[counter], [.verdict(.return)], [counter]])]
        let jumps = compile(ruleset([[.verdict(.jump("a"))], [.verdict(.jump("b"))], [counter]], chains: chains))
        #expect(jumps.run(.udp()) == .accept)
        #expect(counts(jumps) == [1, 1, 1, 0])
        let goes = compile(ruleset([[.verdict(.goto("a"))], [counter]], policy: .drop, chains: chains))
        #expect(goes.run(.udp()) == .policyDrop)
        #expect(counts(goes) == [0, 1, 0, 0])
    }

    @Test func gotoInsideAJumpReturnsToTheCallerOfTheJump() {
        let chains: [(String, [[Statement]])] = [("a", [[.verdict(.goto("b"))], [counter]]), ("b", [[counter]])]
        let compiled = compile(ruleset([[.verdict(.jump("a"))], [counter]], chains: chains))
        #expect(compiled.run(.udp()) == .accept)
        #expect(counts(compiled) == [1, 0, 1])
    }

    @Test func sixteenJumpsNestAndOneMoreIsAnError() {
        func nested(_ depth: Int) -> CompiledRuleset {
            let chains = (1 ... depth).map { number -> (String, [[Statement]]) in
                ("n\(number)", number == depth ? [[.verdict(.drop)]] : [[.verdict(.jump("n\(number + 1)"))]])
            }
            return compile(ruleset([[.verdict(.jump("n1"))]], chains: chains))
        }
        #expect(nested(16).run(.udp()) == .drop)
        #expect(nested(17).run(.udp()) == .error)
    }

    @Test func continueGoesOnInItsRule() {
        // NFT_CONTINUE is what every expression returns: the rule's next statement runs.
        let compiled = compile(ruleset([[.verdict(.continue), counter], [counter]]))
        #expect(compiled.run(.udp()) == .accept)
        #expect(counts(compiled) == [1, 1])
        let elements = [SetElement(key: value(53, Types.port), data: .verdict(.continue))]
        let map = AnonymousSet(keyType: Types.port, dataType: Datatype(.verdict, bits: 64, byteOrder: .host), isInterval: false, elements: elements)
        let mapped = compile(ruleset([[.verdictMap(key: .payload(Fields.destinationPort), .anonymous(map)), counter]]))
        for number in [53, 54] as [UInt16] { #expect(mapped.run(.udp(1, number)) == .accept) }
        #expect(counts(mapped) == [1])
    }

    @Test func verdictMapJumpsAndItsMissGoesOn() {
        let elements = [
            SetElement(key: value(53, Types.port), data: .verdict(.jump("dns"))),
            SetElement(key: value(54, Types.port), data: .verdict(.drop)),
            SetElement(key: value(55, Types.port), data: .verdict(.goto("dns"))),
        ]
        let map = AnonymousSet(keyType: Types.port, dataType: Datatype(.verdict, bits: 64, byteOrder: .host), isInterval: false, elements: elements)
        let compiled = compile(ruleset([[.verdictMap(key: .payload(Fields.destinationPort), .anonymous(map))], [counter]], chains: [("dns", [[counter]])]))
        #expect(compiled.run(.udp(1, 53)) == .accept)
        #expect(counts(compiled) == [1, 1])
        #expect(compiled.run(.udp(1, 54)) == .drop)
        #expect(compiled.run(.udp(1, 55)) == .accept)
        #expect(counts(compiled) == [1, 2])
        #expect(compiled.run(.udp(1, 56)) == .accept)
        #expect(counts(compiled) == [2, 2])
    }

    @Test func chainsRunByPriorityAndTheLastRegisteredOfEqualsFirst() {
        var first = ruleset([])
        func chain(_ name: String, _ priority: Int32) -> Chain {
            Chain(name: name, handle: 9, base: Ruleset.BaseChain(type: .filter, hook: .forward, priority: priority, policy: nil, devices: []))
        }
        first.tables[0].chains = [chain("late", 10), chain("one", 0), chain("two", 0), chain("early", -10)]
        var ip = Table(family: .ip, name: "u", handle: 2)
        ip.chains = [chain("three", 0)]
        first.tables.append(ip)
        let compiled = compile(first)
        #expect(compiled.program.chains(.forward, .ipv4).map { compiled.chainName($0.chainID) } == ["inet t early", "ip u three", "inet t two", "inet t one", "inet t late"])
        #expect(compiled.program.chains(.forward, .ipv6).map { compiled.chainName($0.chainID) } == ["inet t early", "inet t two", "inet t one", "inet t late"])
    }
}
