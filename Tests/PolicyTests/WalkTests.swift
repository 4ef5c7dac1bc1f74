// What a walk over the rules records, and state across rulesets.
import Policy
@testable import Ruleset
import Testing
import Wire

@Suite struct WalkTests {
    func walk(_ rules: [[Statement]], _ frame: Frame, sets: [NamedSet] = []) -> (WalkRecord, CompiledRuleset) {
        let compiled = compile(ruleset(rules, sets: sets))
        var record = WalkRecord()
        var context = frame.context()
        withUnsafeMutablePointer(to: &record) {
            context.walk = $0
            _ = compiled.run(&context)
        }
        return (record, compiled)
    }

    @Test func countersPassedCanBeCredited() {
        let (record, compiled) = walk([[port(53), counter], [port(54), counter], [counter]], .udp())
        #expect(record.isCacheable && record.counterCount == 2)
        for index in 0 ..< Int(record.counterCount) { compiled.credit(counter: record.counter(index), packets: 10, bytes: 1000) }
        #expect(counts(compiled) == [11, 0, 11])
    }

    @Test func readsBecomeGuards() {
        let masked = Expression.binary(.and, .payload(Fields.tcpFlags), value(0x17, Types.flag), type: Types.flag)
        let (record, _) = walk([[match(masked, .equal, value(2, Types.flag))], [match(.payload(Fields.dscp), .equal, value(1, Types.dscp))]], .tcp())
        #expect(record.isCacheable)
        #expect(record.tcpFlagsMask == 0x17 && record.trafficClassMask == 0xfc)
        #expect(record.reads == [.tcpFlags, .trafficClass])
    }

    @Test func whatNeedsEveryPacketIsNamed() {
        let limit = Statement.limit(Limit(rate: 1, unit: 1, burst: 1, isBytes: false, isOver: false))
        let cases: [(Statement, WalkRecord.Reason)] = [
            (limit, .limit), (.quota(Quota(limit: 1, used: 0, isOver: true)), .quota), (.log(Log()), .log), (.last(used: nil), .last),
            (.setMeta(.mark, .numgen(.random, modulus: 2, offset: 0, type: Types.integer32)), .numgen),
            (match(.meta(.length, type: Types.integer32), .equal, value(1, Types.integer32)), .length),
            (match(.payload(Fields.timeToLive), .equal, value(1, Types.integer8)), .timeToLive),
            (.setPayload(Fields.timeToLive, value(1, Types.integer8)), .mangle),
        ]
        for (statement, reason) in cases {
            let (record, _) = walk([[counter], [statement]], .udp())
            #expect(record.uncacheableReason == reason)
            #expect(record.uncacheableRule == 1)
        }
    }

    @Test func constantEffects() {
        let (record, _) = walk([[.setPayload(Fields.dscp, value(46, Types.dscp))], [.setMeta(.mark, value(1, Types.mark))]], .udp())
        #expect(record.isCacheable && record.setTrafficClassMask == 0xfc && record.setTrafficClassValue == 46 << 2 && record.setsMark)
    }

    @Test func tooManyCountersAreRefused() {
        let (record, _) = walk(Array(repeating: [counter], count: WalkRecord.counterCapacity + 1), .udp())
        #expect(record.uncacheableReason == .tooManyCounters && Int(record.counterCount) == WalkRecord.counterCapacity)
    }

    @Test func stateLivesOnWhereTheHandleDoes() {
        let first = ruleset([[counter, .quota(Quota(limit: 1000, used: 0, isOver: true))], [counter]])
        let old = compile(first)
        for _ in 0 ..< 4 { _ = old.run(.udp()) }
        #expect(counts(old) == [4, 4])
        var changed = first
        changed.tables[0].chains[0].rules[1].handle = 99
        let new = CompiledRuleset(changed, interfaces: interfaces, previous: old, seed: 1)
        #expect(counts(new) == [4, 0])
        guard case .quota(let quota) = new.currentValue(now: 0).tables[0].chains[0].rules[0].statements[1] else { return }
        #expect(quota.used == 128)
    }

    @Test func whatAForwarderCannotMeanIsAWarning() {
        let compiled = compile(ruleset([[match(.meta(.skuid, type: Types.integer32), .equal, value(0, Types.integer32)), .verdict(.drop)]]))
        #expect(compiled.warnings.count == 1)
        #expect(compiled.run(.udp()) == .accept)
    }

    @Test func everyPacketOfAnyShapeIsSurvived() {
        // Random bytes behind a well-formed start, against rules that read everything.
        let size = OptionField(family: .tcpOption, number: 2, name: "maxseg", field: "size", offset: 16, length: 16, type: Types.integer16, testsPresence: false)
        let rules: [[Statement]] = [
            [match(.option(size), .equal, value(1, Types.integer16))], [.setOption(size, value(9, Types.integer16))], [port(1)],
            [match(.option(OptionField(family: .extensionHeader, number: 43, name: "rt", field: "type", offset: 16, length: 8, type: Types.integer8, testsPresence: false)), .equal, value(0, Types.integer8))],
            [match(.option(OptionField(family: .ipOption, number: 131, name: "lsrr", field: "ptr", offset: 16, length: 8, type: Types.integer8, testsPresence: false)), .equal, value(0, Types.integer8))],
            [match(.option(OptionField(family: .sctpChunk, number: 0, name: "data", field: "tsn", offset: 32, length: 32, type: Types.integer32, testsPresence: false)), .equal, value(0, Types.integer32))],
            [match(.payload(PayloadField(base: .inner, offset: 0, length: 32, proto: "", field: "", type: Types.integer32)), .equal, value(0, Types.integer32))],
        ]
        let compiled = compile(ruleset(rules))
        var random = SystemRandomNumberGenerator()
        for round in 0 ..< 5000 {
            let proto: UInt8 = [6, 17, 132, 33, 47, 0, 43, 44, 51, 60][round % 10]
            let payload = (0 ..< Int.random(in: 0 ..< 80, using: &random)).map { _ in UInt8.random(in: 0 ... 255, using: &random) }
            let frame = round % 2 == 0 ? Frame.ipv4(proto, payload) : Frame.ipv6(next: proto, payload)
            guard frame.parsed.family != nil else { continue }
            _ = compiled.run(frame)
        }
    }
}
