// Matches against hand-made packets.
import Policy
@testable import Ruleset
import Testing
import Wire

@Suite struct MatchTests {
    func matches(_ statement: Statement, _ frame: Frame, prepare: (inout PacketContext) -> Void = { _ in }) -> Bool {
        var context = frame.context()
        prepare(&context)
        return compile(ruleset([[statement, .verdict(.drop)]])).run(&context) == .drop
    }

    @Test func payloadFields() {
        #expect(matches(port(53), .udp()))
        #expect(!matches(port(54), .udp()))
        #expect(matches(PolicyTests.match(.payload(Fields.destinationPort), .notEqual, value(54, Types.port)), .udp()))
        #expect(matches(match(.payload(Fields.destinationPort), (50, 60), Types.port), .udp()))
        #expect(!matches(match(.payload(Fields.destinationPort), (54, 60), Types.port), .udp()))
        #expect(matches(PolicyTests.match(.payload(Fields.source), .equal, value(address(10, 0, 1, 2), Types.ipv4)), .udp()))
        #expect(matches(PolicyTests.match(.payload(Fields.source), .equal, .prefix(Value(address(10, 0, 0, 0), Types.ipv4), length: 16)), .udp()))
        #expect(!matches(PolicyTests.match(.payload(Fields.source), .notEqual, .prefix(Value(address(10, 0, 0, 0), Types.ipv4), length: 16)), .udp()))
        for (operation, result) in [(RelationalOperator.less, false), (.lessOrEqual, true), (.greater, false), (.greaterOrEqual, true)] {
            #expect(matches(PolicyTests.match(.payload(Fields.destinationPort), operation, value(53, Types.port)), .udp()) == result)
        }
    }

    private func match(_ left: Expression, _ bounds: (UInt128, UInt128), _ type: Datatype) -> Statement {
        PolicyTests.match(left, .equal, .range(Value(bounds.0, type), Value(bounds.1, type)))
    }

    @Test func bitFieldsAcrossBytes() {
        #expect(matches(PolicyTests.match(.payload(Fields.dscp), .equal, value(46, Types.dscp)), .udp(tos: 46 << 2)))
        #expect(!matches(PolicyTests.match(.payload(Fields.dscp), .equal, value(45, Types.dscp)), .udp(tos: 46 << 2)))
        let frame = Frame.ipv6(next: 17, [0, 1, 0, 53, 0, 8, 0, 0])
        frame.packet.store16(0x6000 | 46 << 6, at: 14)
        #expect(matches(PolicyTests.match(.payload(Fields.dscp6), .equal, value(46, Types.dscp)), frame))
        let set = AnonymousSet(keyType: Types.dscp, dataType: nil, isInterval: false, elements: [SetElement(key: value(46, Types.dscp))])
        #expect(matches(PolicyTests.match(.payload(Fields.dscp6), .equal, .set(.anonymous(set))), frame))
    }

    @Test func flags() {
        let synAck = TCPFlags.syn | TCPFlags.ack
        let masked = Expression.binary(.and, .payload(Fields.tcpFlags), value(0x17, Types.flag), type: Types.flag)
        #expect(matches(PolicyTests.match(masked, .equal, value(0x02, Types.flag)), .tcp(flags: TCPFlags.syn)))
        #expect(!matches(PolicyTests.match(masked, .equal, value(0x02, Types.flag)), .tcp(flags: synAck)))
        #expect(matches(PolicyTests.match(.payload(Fields.tcpFlags), .anyBit, value(0x02, Types.flag)), .tcp(flags: synAck)))
        #expect(!matches(PolicyTests.match(.payload(Fields.tcpFlags), .noBit, value(0x02, Types.flag)), .tcp(flags: synAck)))
    }

    /// As on Linux 6.18: the short way for aligned loads of 1, 2 and 4 bytes does not ask whether a fragment has a transport header.
    @Test(arguments: [(0, 8, true), (8, 8, true), (8, 16, false), (16, 16, true), (0, 24, false), (32, 32, true), (16, 32, false), (0, 48, false), (0, 64, false)])
    func laterFragment(offset: Int, bits: Int, isRead: Bool) {
        let frame = Frame.ipv4(17, [0, 53, 0, 53, 0, 12, 0, 0, 1, 2, 3, 4], fragment: 100)
        let type = Datatype(.integer, bits: bits, byteOrder: .network)
        let rule = PolicyTests.match(.payload(Fields.field(.transport, offset, bits, "udp", "any", type)), .notEqual, value(1, type))
        #expect(matches(rule, frame) == isRead)
        #expect(matches(rule, .ipv4(17, [0, 53, 0, 53, 0, 12, 0, 0, 1, 2, 3, 4])))
        #expect(matches(PolicyTests.match(.meta(.l4proto, type: Types.proto), .equal, value(17, Types.proto)), frame))
    }

    @Test func shortTransportHeader() {
        let frame = Frame.ipv4(17, [0, 1, 0])
        #expect(!matches(port(0), frame))
        #expect(!matches(PolicyTests.match(.payload(Fields.destinationPort), .notEqual, value(1, Types.port)), frame))
    }

    @Test func interfaces() {
        #expect(matches(PolicyTests.match(.meta(.iifname, type: Types.name), .equal, text("lan0")), .udp()))
        #expect(!matches(PolicyTests.match(.meta(.iifname, type: Types.name), .equal, text("lan01")), .udp()))
        guard case .constant(let prefix) = text("la") else { return }
        #expect(matches(PolicyTests.match(.meta(.iifname, type: Types.name), .equal, .prefix(prefix, length: 16)), .udp()))
        #expect(matches(PolicyTests.match(.meta(.oif, type: Types.integer32), .equal, value(3, Types.integer32)), .udp()))
        #expect(matches(PolicyTests.match(.meta(.oifgroup, type: Types.integer32), .equal, value(7, Types.integer32)), .udp()))
        // Before routing there is no output interface: its name is empty, its type breaks the rule.
        #expect(matches(PolicyTests.match(.meta(.oifname, type: Types.name), .notEqual, text("wan0")), .udp()) { $0.output = PacketContext.noInterface })
        #expect(!matches(PolicyTests.match(.meta(.oiftype, type: Types.integer16), .notEqual, value(5, Types.integer16)), .udp()) { $0.output = PacketContext.noInterface })
    }

    @Test func connectionState() {
        let field = ConntrackField(key: .state, direction: nil, family: nil, type: Types.state)
        let established = PolicyTests.match(.ct(field), .anyBit, .flags([Value(2, Types.state), Value(4, Types.state)]))
        #expect(!matches(established, .udp()))
        #expect(matches(established, .udp()) { $0.conntrack.state = ConntrackState.related })
        let mark = PolicyTests.match(.ct(ConntrackField(key: .mark, direction: nil, family: nil, type: Types.mark)), .notEqual, value(1, Types.mark))
        #expect(!matches(mark, .udp()))
        #expect(matches(mark, .udp()) { $0.conntrack.hasConnection = true })
    }

    @Test func shiftsAndArithmetic() {
        let shifted = Expression.binary(.shiftRight, .meta(.mark, type: Types.mark), value(8, Types.mark), type: Types.mark)
        #expect(matches(PolicyTests.match(shifted, .equal, value(0x12, Types.mark)), .udp()) { $0.mark = 0x1234 })
        let mixed = Expression.binary(.xor, .binary(.and, .meta(.mark, type: Types.mark), value(0xff, Types.mark), type: Types.mark), value(3, Types.mark), type: Types.mark)
        #expect(matches(PolicyTests.match(mixed, .equal, value(0x37, Types.mark)), .udp()) { $0.mark = 0x1234 })
    }

    @Test func tcpOptions() {
        let frame = Frame.tcp(options: [2, 4, 5, 0xb4, 1, 3, 3, 7])
        let type = Datatype(.integer, bits: 16, byteOrder: .network)
        let size = OptionField(family: .tcpOption, number: 2, name: "maxseg", field: "size", offset: 16, length: 16, type: type, testsPresence: false)
        #expect(matches(PolicyTests.match(.option(size), .equal, value(1460, type)), frame))
        let scale = OptionField(family: .tcpOption, number: 3, name: "window", field: "", offset: 0, length: 8, type: Types.integer8, testsPresence: true)
        #expect(matches(PolicyTests.match(.option(scale), .equal, value(1, Types.integer8)), frame))
        let sack = OptionField(family: .tcpOption, number: 4, name: "sack-perm", field: "", offset: 0, length: 8, type: Types.integer8, testsPresence: true)
        #expect(matches(PolicyTests.match(.option(sack), .equal, value(0, Types.integer8)), frame))
    }

    @Test func extensionHeaders() {
        let frame = Frame.ipv6(next: 0, [17, 0, 1, 4, 0, 0, 0, 0, 0, 1, 0, 53, 0, 8, 0, 0])
        let exists = OptionField(family: .extensionHeader, number: 0, name: "hbh", field: "", offset: 0, length: 8, type: Types.integer8, testsPresence: true)
        #expect(matches(PolicyTests.match(.option(exists), .equal, value(1, Types.integer8)), frame))
        #expect(matches(PolicyTests.match(.option(exists), .equal, value(0, Types.integer8)), .udp()))
        #expect(matches(port(53), frame))
        #expect(matches(PolicyTests.match(.meta(.l4proto, type: Types.proto), .equal, value(17, Types.proto)), frame))
    }
}
