// What `check --explain` says, and that it says it of every rule that a walk refuses.
@testable import Policy
import Ruleset
import Testing
import Wire

@Suite struct CacheExplanationTests {
    private func obstacles(_ rules: String, more: String = "") throws -> [CacheObstacle] {
        let text = "table inet t {\n\(more)\n chain c { type filter hook forward priority 0;\n\(rules)\n }\n}"
        let loaded = RulesetValue().applying(text: text)
        let messages = loaded.diagnostics.map(\.message)
        try #require(messages.isEmpty)
        return CompiledRuleset.cacheObstacles(loaded.value, interfaces: interfaces)
    }

    @Test(arguments: [
        ("tcp dport 22 limit rate 5/second accept", WalkRecord.Reason.limit, "tcp dport 22"),
        ("log prefix \"x\"", .log, ""),
        ("ip saddr 10.0.0.0/8 iifname lan0 meta length > 1000 drop", .length, "ip saddr 10.0.0.0/8 iifname \"lan0\""),
        ("ip ttl 1 drop", .timeToLive, ""), ("ether saddr 02:00:00:00:00:01 drop", .linkHeader, ""), ("meta mark set numgen inc mod 2", .numgen, ""),
        ("tcp option maxseg size set 1400", .tcpOption, ""), ("ip ttl set 9", .mangle, ""), ("meta hour 9-17 accept", .time, ""),
        ("add @changing { ip saddr }", .dynamicSet, ""), ("ip saddr @timed drop", .timeoutSet, ""), ("ct bytes > 1000 drop", .connectionAccounting, ""),
        ("ct state established,new quota 1 mbytes accept", .quota, "ct state established,new"), ("ct count over 3 drop", .connectionLimit, ""), ("jump deep", .limit, "tcp dport 9"),
    ]) func names(rule: String, reason: WalkRecord.Reason, traffic: String) throws {
        let sets = " set changing { type ipv4_addr; flags dynamic; }\n set timed { type ipv4_addr; flags timeout; }\n chain deep { tcp dport 9 limit rate 1/second accept; }"
        let found = try obstacles(rule, more: sets)
        #expect(found.map(\.reason) == [reason])
        #expect(found.first?.traffic == traffic)
        #expect(found.first?.advice.isEmpty == false)
    }

    @Test(arguments: [
        "ct state new limit rate 5/second accept", "ct state new log prefix \"x\" counter accept", "ct state established,related accept\n limit rate 5/second accept",
        "ct state vmap { established : accept, related : accept, invalid : drop }\n log", "tcp flags syn tcp option maxseg size set 1400",
        "tcp flags & (fin|syn|rst|ack) == syn limit rate 1/second accept", "jump early\n log", "ip dscp set 3", "counter", "ct state invalid log drop", "goto early\n log",
    ]) func staysSilent(rules: String) throws {
        #expect(try obstacles(rules, more: " chain early { ct state established accept; ct state untracked accept; }").isEmpty)
    }

    @Test func anAcceptingRuleOfAnotherChainHidesNothing() throws {
        let text = """
            table inet a { chain c { type filter hook forward priority 0; ct state established accept; }; }
            table inet b { chain c { type filter hook forward priority 1; log; }; }
            """
        let loaded = RulesetValue().applying(text: text)
        #expect(CompiledRuleset.cacheObstacles(loaded.value, interfaces: interfaces).map(\.chain) == ["inet b c"])
    }

    @Test(arguments: 0 ..< 30) func whatAWalkRefusesIsNamed(seed: Int) throws {
        var texts = RuleTexts(seed: seed &* 104_729 &+ 3)
        let loaded = RulesetValue().applying(text: texts.ruleset(rules: 60))
        let compiled = compile(loaded.value)
        let named = CompiledRuleset.cacheObstacles(loaded.value, interfaces: interfaces).map { "\($0.location.position) \($0.reason)" }
        for _ in 0 ..< 150 {
            let frame = texts.frame()
            let walk = UnsafeMutablePointer<WalkRecord>.allocate(capacity: 1)
            walk.initialize(to: WalkRecord())
            defer { walk.deallocate() }
            var context = frame.context()
            context.walk = walk
            context.conntrack.hasConnection = true
            context.conntrack.state = ConntrackState.established
            _ = compiled.run(&context)
            // Packets with these flags are never cached, whatever the rules say.
            let isTCP = context.parsed.transportProtocol == IPProtocol.tcp
            guard !walk.pointee.isCacheable, walk.pointee.uncacheableReason != .tooManyCounters, !isTCP || context.parsed.tcpFlags & 7 == 0,
                  walk.pointee.uncacheableReason != .connectionChange else { continue }
            let rule = compiled.rules[Int(walk.pointee.uncacheableRule)]
            #expect(named.contains { $0.hasPrefix("\(rule.location.position) ") })
        }
    }
}
