// Flows as rule values, and rule values as the words that rte_flow gets.
import CDPDK
import FlowCache
import Testing
import Wire

@testable import Offload

@Suite struct FlowRuleTests {
    static let ports = (0..<2).map {
        OffloadPort(index: PortIndex($0), name: "p\($0)", dpdkPort: UInt16($0), address: EthernetAddress(rawValue: 0x0200_0000_0001 + UInt64($0)))
    }

    /// A shape that can do everything.
    static func shape(output: nt_output = NT_OUTPUT_REPRESENTED_PORT, dialect: nt_dialect = NT_DIALECT_SET) -> OffloadShape {
        var shape = OffloadShape()
        shape.tier = .full
        shape.outputKind = UInt8(output.rawValue)
        shape.dialect = UInt8(dialect.rawValue)
        shape.match = 0x1ff
        shape.actions = ~UInt32(NT_DO_AGE)
        shape.vlans = 2
        return shape
    }

    func rule(_ flow: TestFlow, shape: OffloadShape = FlowRuleTests.shape(), timeToLive: UInt8 = 64) throws(FlowRuleRefused) -> FlowRule {
        try FlowRule(
            flow.candidate.original, timeToLive: timeToLive, ingress: FlowRuleTests.ports[0], output: FlowRuleTests.ports[1], shape: shape)
    }

    func words(_ rule: FlowRule, port: UInt16 = 0) throws -> String {
        var raw = rule.raw
        var error = nt_flow_error()
        var text = [CChar](repeating: 0, count: 1024)
        guard nt_flow_describe(port, &raw, &text, 1024, &error) == 0 else { throw OffloadError(error) }
        return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    @Test func speaksBothDialects() throws {
        let tcp = "transfer group 0 priority 1: REPRESENTED_PORT ETH IPV4 TCP INTEGRITY / COUNT "
        #expect(try words(rule(TestFlow())) == tcp + "SET_MAC_SRC SET_MAC_DST SET_IPV4_SRC SET_TP_SRC DEC_TTL REPRESENTED_PORT")
        let modify = FlowRuleTests.shape(dialect: NT_DIALECT_MODIFY_FIELD)
        #expect(
            try words(rule(TestFlow(), shape: modify))
                == tcp + String(repeating: "MODIFY_FIELD ", count: 5) + "REPRESENTED_PORT")
        let routed = TestFlow(family: 6, transportProtocol: 17, nat: false, vlans: [5, 6])
        #expect(
            try words(rule(routed, shape: FlowRuleTests.shape(output: NT_OUTPUT_PORT_ID)))
                == "transfer group 0 priority 1: ETH VLAN VLAN IPV6 UDP INTEGRITY / COUNT SET_MAC_SRC SET_MAC_DST DEC_TTL PORT_ID")
        #expect(
            try words(rule(TestFlow(transportProtocol: 17), shape: FlowRuleTests.shape(output: NT_OUTPUT_HAIRPIN)))
                == "ingress group 0 priority 1: ETH IPV4 UDP INTEGRITY / COUNT SET_MAC_SRC SET_MAC_DST SET_IPV4_SRC SET_TP_SRC DEC_TTL QUEUE")
        #expect(
            try words(FlowRule.lowTTLGuard(family: 4, outputKind: UInt8(NT_OUTPUT_REPRESENTED_PORT.rawValue)))
                == "transfer group 0 priority 0: REPRESENTED_PORT ETH IPV4 / PORT_REPRESENTOR")
    }

    @Test func pinsTheTTLWhereItCannotBeDecremented() throws {
        var shape = FlowRuleTests.shape()
        shape.ttl = .pin
        let pinned = try rule(TestFlow(), shape: shape)
        #expect(pinned.raw.match & UInt32(NT_MATCH_TTL) != 0)
        #expect(pinned.raw.match_ttl == 64 && pinned.raw.set_ttl == 63)
        #expect(try words(pinned).contains(" SET_TTL "))
        for ttl: UInt8 in [0, 1] {
            #expect(throws: FlowRuleRefused.self) { try rule(TestFlow(), shape: shape, timeToLive: ttl) }
        }
    }

    @Test func matchesEveryGuard() throws {
        var flow = TestFlow().candidate.original
        flow.guard.tcpFlagsMask = 0x27
        flow.guard.tcpFlagsValue = 0x20
        flow.guard.trafficClassMask = 0xfc
        flow.guard.trafficClassValue = 0xb8
        flow.rewrite.trafficClassMask = 0xfc
        flow.rewrite.trafficClassValue = 0x28
        let rule = try FlowRule(flow, timeToLive: 0, ingress: FlowRuleTests.ports[0], output: FlowRuleTests.ports[1], shape: FlowRuleTests.shape())
        #expect(rule.raw.tcp_flags_mask == 0x27 && rule.raw.tcp_flags_value == 0x20)
        #expect(rule.raw.traffic_class_mask == 0xfc && rule.raw.traffic_class_value == 0xb8)
        #expect(rule.raw.set_traffic_class == 0x28)
        let wanted = NT_MATCH_DESTINATION_MAC | NT_MATCH_UNTAGGED | NT_MATCH_NO_FRAGMENT | NT_MATCH_NO_OPTIONS | NT_MATCH_CHECKSUMS
            | NT_MATCH_TRAFFIC_CLASS | NT_MATCH_TCP_FLAGS | NT_MATCH_PORTS
        #expect(rule.raw.match == UInt32(wanted))
        #expect(rule.raw.match_mac == 0x0200_0000_0001)
    }

    /// A flow whose verdict read nothing of the TCP flags still leaves opening and closing to conntrack.
    @Test func neverTakesTheEndsOfAConnection() throws {
        var flow = TestFlow()
        flow.original.tcpFlags = 0x10
        var description = flow.candidate.original
        description.guard.tcpFlagsMask = 0
        let rule = try FlowRule(description, timeToLive: 0, ingress: FlowRuleTests.ports[0], output: FlowRuleTests.ports[1], shape: FlowRuleTests.shape())
        #expect(rule.raw.tcp_flags_mask == 7 && rule.raw.tcp_flags_value == 0)
    }

    @Test func badRulesHaveNoTranslation() throws {
        let good = try rule(TestFlow())
        let changes: [(String, (inout nt_flow_rule) -> Void)] = [
            ("family", { $0.family = 5 }), ("three tags", { $0.vlan_count = 3 }),
            ("tagged and untagged", { $0.vlan_count = 1 }), ("ports of GRE", { $0.protocol = 47 }),
            ("two fates", { $0.actions |= UInt32(NT_DO_DROP) }), ("no fate", { $0.actions &= ~UInt32(NT_DO_OUTPUT) }),
            ("flags without ports", { $0.match &= ~UInt32(NT_MATCH_PORTS) }),
        ]
        for (name, change) in changes {
            var bad = good
            change(&bad.raw)
            #expect(throws: OffloadError.self, "\(name)") { try words(bad) }
        }
    }

    @Test func ringIsBoundedAndKeepsOrder() {
        let ring = MessageRing<Int>(capacity: 5)
        defer { ring.deallocate() }
        var taken: [Int] = []
        var pushed = 0
        for round in 0..<50 {
            while ring.push(pushed) { pushed += 1 }
            #expect(ring.count == 8)
            for _ in 0...(round % 8) { taken.append(ring.pop() ?? -1) }
        }
        while let next = ring.pop() { taken.append(next) }
        #expect(taken == Array(0..<pushed))
    }
}
