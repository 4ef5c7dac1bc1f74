// Random long rulesets, written as people write them, run classified and rule by rule: verdict, marks, bytes, every counter
// and the walk's record agree.
@testable import Policy
import Ruleset
import Testing
import Wire

/// Rulesets in nft's language and packets that meet them now and then.
struct RuleTexts {
    var random: ClassifierTests.Generator
    // Of the rule being written: what it speaks of does not contradict itself.
    private var transport = "tcp"
    private var isIPv6 = false
    /// Addresses and ports from everywhere: hundreds of intervals a field.
    private let isWide: Bool

    init(seed: Int, isWide: Bool = false) {
        random = ClassifierTests.Generator(state: UInt64(seed))
        self.isWide = isWide
    }

    mutating func next(_ bound: Int) -> Int { Int.random(in: 0 ..< bound, using: &random) }
    mutating func pick(_ words: [String]) -> String { words[next(words.count)] }

    private mutating func number() -> UInt32 {
        guard isWide else { return UInt32(0x0a00_0000 + next(3) << 8 + next(8)) }
        // Few of them, far apart and close together, so that packets meet rules.
        return [0x0a00_0000, 0x0b01_8000, 0xc712_0000, 0x0200_0000, 0xf0ff_ff00][next(5)] &+ UInt32(next(12) * next(12)) &* [1, 257, 65_537][next(3)]
    }
    private mutating func address() -> String {
        let number = number()
        return "\(number >> 24).\(number >> 16 & 255).\(number >> 8 & 255).\(number & 255)"
    }
    private mutating func prefix() -> String {
        if isWide, next(2) == 0 {
            let length = 12 + next(20), start = (number() >> UInt32(32 - length)) << UInt32(32 - length)
            return "\(start >> 24).\(start >> 16 & 255).\(start >> 8 & 255).\(start & 255)/\(length)"
        }
        return pick(["10.0.\(next(3)).0/24", "10.0.\(next(3)).\(next(2) * 4)/30", "10.0.0.0/23", "10.0.0.0-10.0.1.3", address(), address()])
    }
    private mutating func portNumber() -> Int { isWide ? next(40) * next(40) * 41 : next(8) }
    private mutating func port() -> String { "\(portNumber())" }
    private mutating func ports() -> String {
        let low = portNumber()
        if isWide { return pick([port(), port(), "\(low)-\(low + next(900) + 1)", "{ \(low), \(low + 9), \(low + 20)-\(low + 60) }"]) }
        return pick([port(), port(), "\(low)-\(low + next(5) + 1)", "{ \(port()), 4\(port()), 50-60 }", "{ 2-4, 6 }"])
    }

    mutating func match() -> String {
        let kind = next(16)
        // IPv4 fields, or for a rule about IPv6 another field.
        if isIPv6, [0, 1, 2, 10, 11, 13].contains(kind) { return "ip6 daddr fd00::\(next(4))" }
        switch kind {
        case 0: return "ip saddr \(pick(["", "", "!= "]))\(prefix())"
        case 1: return "ip daddr \(pick(["", "", "!= "]))\(prefix())"
        case 2: return "ip daddr \(pick(["", "!= "])){ \(address()), 10.0.2.0/28, 10.0.1.4-10.0.1.6 }"
        case 3: return "\(transport) dport \(pick(["", "", "!= "]))\(ports())"
        case 4: return "\(transport) sport \(pick(["", "", "!= ", "> ", "<= "]))\(port())"
        case 5: return "meta l4proto \(pick([transport, "{ tcp, udp }", "!= icmp"]))"
        case 6: return "\(pick(["iifname", "oifname"])) \(pick(["lan0", "wan0", "!= lan0", "\"lan*\"", "\"w*\"", "{ lan0, wan0 }"]))"
        case 7: return "ct state \(pick(["new", "established,related", "!= new", "invalid", "{ established, new }"]))"
        case 8: return "meta mark \(pick(["", "!= "]))\(next(3))"
        case 9: return "meta nfproto \(isIPv6 ? "ipv6" : "ipv4")"
        case 10: return "ip saddr . \(transport) dport \(pick(["", "!= "])){ 10.0.0.1 . 4, 10.0.1.0/24 . 2-6 }"
        case 11: return "ip saddr & 0.0.0.3 == \(next(4))"
        case 12: return transport == "tcp" ? "tcp flags & (syn|ack) == \(pick(["syn", "ack"]))" : "udp length 8-12"
        case 13: return "ip saddr \(pick(["", "!= "]))@hosts"
        case 14: return isIPv6 ? "ip6 saddr fd00::/\(pick(["16", "64"]))" : "ip ttl 64"
        default: return "ct mark \(pick(["", "!= "]))\(next(2))"
        }
    }

    mutating func rule(chains: [String]) -> String {
        transport = pick(["tcp", "tcp", "udp"])
        isIPv6 = next(8) == 0
        var parts = (0 ..< next(4)).map { _ in match() }
        if next(12) == 0 { parts.insert("counter", at: next(parts.count + 1)) }
        let effects = ["meta mark set \(next(3))", "ct mark set \(next(2))", "\(transport) dport set \(next(8))", isIPv6 ? "ip6 hoplimit set 9" : "ip daddr set \(address())", isIPv6 ? "ip6 dscp set 3" : "ip dscp set \(next(4))", "limit rate 1/day burst 3 packets"]
        if next(10) == 0 { parts.append(pick(effects)) }
        parts.append("counter")
        var endings = ["", "", "", "", "accept", "drop", "return", "\(transport) dport vmap { 1 : accept, 2 : drop, 3-4 : continue }"]
        if !isIPv6 { endings.append("ip saddr vmap { 10.0.0.1 : return, 10.0.1.0/24 : continue }") }
        for chain in chains {
            endings.append("jump \(chain)")
            endings.append("jump \(chain)")
        }
        if let last = chains.last { endings.append("goto \(last)") }
        // Statements behind a verdict map that continues run too.
        parts.append(pick(endings))
        return parts.joined(separator: " ")
    }

    mutating func ruleset(rules: Int) -> String {
        var text = "table inet t {\n set hosts { type ipv4_addr; elements = { 10.0.0.1, 10.0.1.2 } }\n"
        var chains: [String] = []
        for number in 0 ..< 4 {
            text += " chain s\(number) {\n"
            for _ in 0 ..< [3, 20, 2, 40][number] { text += "  \(rule(chains: chains))\n" }
            text += " }\n"
            chains.append("s\(number)")
        }
        text += " chain c {\n  type filter hook forward priority 0; policy drop;\n"
        for _ in 0 ..< rules { text += "  \(rule(chains: next(4) == 0 ? chains : []))\n" }
        return text + " }\n}\n"
    }

    mutating func frame() -> Frame {
        let source = number(), destination = number()
        let ports = (UInt16(portNumber()), UInt16(portNumber()))
        switch next(8) {
        case 0: return .ipv4(1, [8, 0, 0, 0, 0, 1, 0, 1], source: source, destination: destination)
        case 1: return .ipv6(next: 17, [UInt8(ports.0 >> 8), UInt8(ports.0 & 255), UInt8(ports.1 >> 8), UInt8(ports.1 & 255), 0, 8, 0, 0])
        case 2: return .ipv4(17, [0, 1, 0, 2], source: source, destination: destination)
        case 3: return .ipv4(17, [0, 1, 0, 2, 0, 8, 0, 0], source: source, destination: destination, fragment: 3)
        case 4: return .udp(ports.0, ports.1, from: source, to: destination)
        default:
            return .ipv4(6, [UInt8(ports.0 >> 8), UInt8(ports.0 & 255), UInt8(ports.1 >> 8), UInt8(ports.1 & 255), 0, 0, 0, 1, 0, 0, 0, 0, 0x50, [2, 16, 18][next(3)], 0x20, 0, 0, 0, 0, 0], source: source, destination: destination)
        }
    }
}

@Suite struct ClassifierDifferentialTests {
    @Test(arguments: 0 ..< 90) func classifiedRulesetsActAsLinearOnes(seed: Int) throws {
        var texts = RuleTexts(seed: seed &* 7919 &+ 1, isWide: seed >= 60)
        let text = texts.ruleset(rules: [40, 150, 700][seed % 3])
        let loaded = RulesetValue().applying(text: text)
        let messages = loaded.diagnostics.map(\.message)
        try #require(messages.isEmpty)
        let classified = CompiledRuleset(loaded.value, interfaces: interfaces, previous: nil, seed: 1, now: 0, classifies: true)
        let plain = CompiledRuleset(loaded.value, interfaces: interfaces, previous: nil, seed: 1, now: 0, classifies: false)
        for _ in 0 ..< 150 {
            let frame = texts.frame(), copy = Frame(frame.bytes)
            let walks = UnsafeMutablePointer<WalkRecord>.allocate(capacity: 2)
            walks.initialize(repeating: WalkRecord(), count: 2)
            defer { walks.deallocate() }
            var first = frame.context(), second = copy.context()
            first.walk = walks
            second.walk = walks + 1
            let hasConnection = texts.next(3) > 0, state = [ConntrackState.new, ConntrackState.established, ConntrackState.invalid][texts.next(3)]
            first.conntrack.hasConnection = hasConnection
            first.conntrack.state = state
            first.conntrack.mark = UInt32(texts.next(2))
            second.conntrack = first.conntrack
            let verdicts = (classified.run(&first), plain.run(&second))
            #expect(verdicts.0 == verdicts.1)
            #expect(first.mark == second.mark && first.decidingRule == second.decidingRule && first.conntrack.mark == second.conntrack.mark)
            #expect(frame.bytes == copy.bytes)
            // Leaving rules out may make a walk cacheable, never the other way round.
            #expect(walks[0].isCacheable || !walks[1].isCacheable)
            #expect(walks[0].counterCount == walks[1].counterCount)
            #expect(walks[0].tcpFlagsMask & ~walks[1].tcpFlagsMask == 0 && walks[0].trafficClassMask & ~walks[1].trafficClassMask == 0)
        }
        #expect(counts(classified) == counts(plain))
    }
}
