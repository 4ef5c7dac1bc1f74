// Classified chains against the same chains run rule by rule.
@testable import Policy
@testable import Ruleset
import Testing
import Wire

@Suite struct ClassifierTests {
    /// A small linear congruential generator, so that a failure can be repeated.
    struct Generator: RandomNumberGenerator {
        var state: UInt64
        mutating func next() -> UInt64 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return state ^ state >> 29
        }
    }

    func randomMatch(_ random: inout Generator) -> Statement {
        switch Int.random(in: 0 ..< 9, using: &random) {
        case 0, 1: return port(UInt128.random(in: 0 ..< 6, using: &random))
        case 2: return match(.payload(Fields.source), .equal, value(UInt128.random(in: 1 ..< 5, using: &random), Types.ipv4))
        case 3: return match(.payload(Fields.destination), .equal, .prefix(Value(UInt128.random(in: 0 ..< 4, using: &random), Types.ipv4), length: Int.random(in: 29 ... 32, using: &random)))
        case 4: return match(.meta(.l4proto, type: Types.proto), .equal, value([6, 17].randomElement(using: &random)!, Types.proto))
        case 5: return match(.meta(.iifname, type: Types.name), .equal, text(["lan0", "wan0"].randomElement(using: &random)!))
        case 6: return match(.payload(Fields.destinationPort), .notEqual, value(UInt128.random(in: 0 ..< 6, using: &random), Types.port))
        case 7: return match(.payload(Fields.sourcePort), .equal, .range(Value(1, Types.port), Value(UInt128.random(in: 1 ..< 5, using: &random), Types.port)))
        default: return match(.meta(.mark, type: Types.mark), .equal, value(UInt128.random(in: 0 ..< 3, using: &random), Types.mark))
        }
    }

    func randomRule(_ random: inout Generator) -> [Statement] {
        var rule = (0 ..< Int.random(in: 0 ... 3, using: &random)).map { _ in randomMatch(&random) }
        switch Int.random(in: 0 ..< 8, using: &random) {
        case 0: rule.insert(counter, at: Int.random(in: 0 ... rule.count, using: &random))
        case 1: rule.append(.setMeta(.mark, value(UInt128.random(in: 0 ..< 3, using: &random), Types.mark)))
        case 2: rule.append(.verdict(.jump("sub")))
        case 3: rule.append(.verdict(.accept))
        case 4: rule.append(.verdict(.drop))
        case 5: rule.append(.verdict(.return))
        default: break
        }
        return rule + [counter]
    }

    @Test(arguments: 0 ..< 40) func classifiedChainsActAsPlainOnes(seed: Int) {
        var random = Generator(state: UInt64(seed))
        let rules = (0 ..< 60).map { _ in randomRule(&random) }.map { rule -> [Statement] in
            // A verdict ends its rule.
            rule.firstIndex { if case .verdict = $0 { true } else { false } }.map { Array(rule[...$0]) } ?? rule
        }
        let sub = (0 ..< 20).map { _ in [randomMatch(&random), counter] }
        let set = ruleset(rules, policy: .drop, chains: [("sub", sub)])
        let classified = CompiledRuleset(set, interfaces: interfaces, previous: nil, seed: 1, now: 0, classifies: true)
        let plain = CompiledRuleset(set, interfaces: interfaces, previous: nil, seed: 1, now: 0, classifies: false)
        for _ in 0 ..< 200 {
            let frame = Frame.udp(UInt16.random(in: 0 ..< 6, using: &random), UInt16.random(in: 0 ..< 6, using: &random), from: UInt32.random(in: 1 ..< 6, using: &random), to: UInt32.random(in: 0 ..< 6, using: &random))
            var first = frame.context(), second = frame.context()
            let verdicts = (classified.run(&first), plain.run(&second))
            #expect(verdicts.0 == verdicts.1)
            #expect(first.mark == second.mark && first.decidingRule == second.decidingRule)
        }
        #expect(counts(classified) == counts(plain))
    }

    @Test func longChainsOfOneShapeAreClassified() {
        let rules = (0 ..< 1000).map { [match(.payload(Fields.source), .equal, value(UInt128($0), Types.ipv4)), port(UInt128($0 % 7)), .verdict(.drop)] }
        let compiled = compile(ruleset(rules))
        #expect(compiled.program.classifiers[0].dimensionCount == 2 && compiled.program.classifiers[0].ruleCount == 998)
        #expect(compiled.run(.udp(1, 2, from: 149)) == .drop)
        #expect(compiled.run(.udp(1, 3, from: 149)) == .accept)
    }
}
