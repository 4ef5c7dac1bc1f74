// Stateful statements, requests to the pipeline, changes of the packet.
import Policy
@testable import Ruleset
import Testing
import Wire

@Suite struct StatementTests {
    let second: UInt64 = 1_000_000_000

    @Test func limitIsATokenBucket() {
        let compiled = compile(ruleset([[.limit(Limit(rate: 2, unit: 1, burst: 5, isBytes: false, isOver: false)), .verdict(.accept)]], policy: .drop))
        for _ in 0 ..< 5 { #expect(compiled.run(.udp(), now: second) == .accept) }
        #expect(compiled.run(.udp(), now: second) == .policyDrop)
        #expect(compiled.run(.udp(), now: second + 499_999_999) == .policyDrop)
        #expect(compiled.run(.udp(), now: second + 500_000_000) == .accept)
        #expect(compiled.run(.udp(), now: second + 500_000_000) == .policyDrop)
    }

    @Test func limitOverMatchesTheExcess() {
        let compiled = compile(ruleset([[.limit(Limit(rate: 1, unit: 60, burst: 2, isBytes: false, isOver: true)), .verdict(.drop)]]))
        #expect([1, 2, 3, 4].map { _ in compiled.run(.udp(), now: second) } == [.accept, .accept, .drop, .drop])
    }

    @Test func limitOnBytes() {
        // 64 bytes a second and no burst: two packets of 32 bytes.
        let compiled = compile(ruleset([[.limit(Limit(rate: 64, unit: 1, burst: 0, isBytes: true, isOver: false)), .verdict(.accept)]], policy: .drop))
        #expect([1, 2, 3].map { _ in compiled.run(.udp(), now: second) } == [.accept, .accept, .policyDrop])
    }

    @Test func limitBehindAFailingMatchKeepsItsTokens() {
        let compiled = compile(ruleset([[port(99), .limit(Limit(rate: 1, unit: 60, burst: 1, isBytes: false, isOver: false)), .verdict(.drop)]]))
        for _ in 0 ..< 3 { #expect(compiled.run(.udp(), now: second) == .accept) }
        #expect(compiled.run(.udp(1, 99), now: second) == .drop)
    }

    @Test func quota() {
        let over = compile(ruleset([[.quota(Quota(limit: 100, used: 0, isOver: true)), .verdict(.drop)]]))
        #expect([1, 2, 3, 4].map { _ in over.run(.udp()) } == [.accept, .accept, .accept, .drop])
        let until = compile(ruleset([[.quota(Quota(limit: 96, used: 0, isOver: false)), .verdict(.accept)]], policy: .drop))
        #expect([1, 2, 3, 4].map { _ in until.run(.udp()) } == [.accept, .accept, .accept, .policyDrop])
    }

    @Test func namedCounterIsShared() throws {
        let object = NamedObject(name: "n", handle: 4, value: .counter(packets: 1, bytes: 2))
        let compiled = compile(ruleset([[.object(.counter, .objectName("n"))], [.object(.counter, .objectName("n"))]], objects: [object]))
        _ = compiled.run(.udp())
        guard case .counter(let packets, let bytes)? = compiled.currentValue(now: 0).tables[0].object(.counter, "n")?.value else {
            Issue.record("no counter")
            return
        }
        #expect(packets == 3 && bytes == 2 + 64)
    }

    @Test func numgenCountsUp() {
        let generator = Expression.numgen(.incremental, modulus: 3, offset: 10, type: Types.integer32)
        let compiled = compile(ruleset([[.setMeta(.mark, generator)]]))
        let marks = (0 ..< 5).map { _ in
            var context = Frame.udp().context()
            _ = compiled.run(&context)
            return context.mark
        }
        #expect(marks == [10, 11, 12, 10, 11])
    }

    @Test func synproxyTakesSegmentsWithSYNOrACK() {
        let text = "table ip t { chain c { type filter hook forward priority 0; tcp dport 80 synproxy mss 1460 wscale 7 sack-perm; meta mark set 1; }; }"
        let loaded = RulesetValue().applying(text: text, name: "fw")
        let compiled = compile(loaded.value)
        #expect(compiled.warnings.isEmpty)
        for (flags, isTaken) in [(TCPFlags.syn, true), (TCPFlags.ack, true), (TCPFlags.fin | TCPFlags.ack, true), (TCPFlags.rst, false), (0, false)] {
            var context = Frame.tcp(flags: flags).context()
            #expect((compiled.run(&context) == .stolen) == isTaken && context.mark == (isTaken ? 0 : 1))
            guard isTaken else { continue }
            let parameters = SynproxyParameters(rawValue: context.synproxy)
            #expect(parameters.maximumSegmentSize == 1460 && parameters.windowScale == 7 && parameters.options == 7)
        }
    }

    @Test func aLongNumberLeavesItsLeadingBytesInAShortField() {
        let generator = Expression.numgen(.incremental, modulus: 3, offset: 0x1234_0010, type: Types.integer32)
        let frame = Frame.udp()
        _ = compile(ruleset([[.setPayload(Fields.destinationPort, generator)]])).run(frame)
        #expect(frame.packet.load16(36) == 0x1234)
    }

    @Test func aChangedSCTPHeaderHasItsChecksum() throws {
        let loaded = RulesetValue().applying(text: "table ip t { chain c { type filter hook forward priority 0; sctp dport set 7; }; }")
        let frame = Frame.ipv4(IPProtocol.sctp, [0, 1, 0, 2, 0, 0, 0, 9, 0, 0, 0, 0, 0, 3, 0, 8, 1, 2, 3, 4])
        Checksum.fillSCTP(frame.memory + 34, length: 20)
        _ = compile(loaded.value).run(frame)
        #expect(frame.packet.load16(36) == 7)
        #expect(Checksum.verifySCTP(UnsafeRawPointer(frame.memory + 34), length: 20))
    }

    @Test func connectionLimitCountsLivingConnections() {
        let compiled = compile(ruleset([[.connectionLimit(count: 2, isOver: true), .verdict(.drop)]]))
        func run(_ identifier: UInt64) -> Policy.Verdict {
            var context = Frame.udp().context()
            context.conntrack.hasConnection = true
            context.conntrack.identifier = identifier
            context.lookups.isConnectionAlive = { _, identifier in identifier != 1 || true }
            return compiled.run(&context)
        }
        #expect(run(2) == .accept)
        #expect(run(3) == .accept)
        #expect(run(2) == .accept)
        #expect(run(4) == .drop)
    }

    @Test func rejectByFamily() {
        let cases: [(RejectKind, UInt8, UInt8, UInt8, UInt8)] = [
            (.icmpx(code: 0), 3, 0, 1, 0), (.icmpx(code: 1), 3, 3, 1, 4), (.icmpx(code: 2), 3, 1, 1, 3), (.icmpx(code: 3), 3, 13, 1, 1),
        ]
        for (kind, type4, code4, type6, code6) in cases {
            let compiled = compile(ruleset([[.reject(kind)]]))
            var context = Frame.udp().context()
            #expect(compiled.run(&context) == .reject)
            #expect(context.reject.kind == .icmp && context.reject.type == type4 && context.reject.code == code4)
            context = Frame.ipv6(next: 17, [0, 1, 0, 53, 0, 8, 0, 0]).context()
            #expect(compiled.run(&context) == .reject)
            #expect(context.reject.kind == .icmpv6 && context.reject.type == type6 && context.reject.code == code6)
        }
    }

    @Test func natRequests() {
        let concatenated = Datatype.concatenation([Types.ipv4, Types.port])
        let elements = [SetElement(key: value(53, Types.port), data: .concatenation([value(address(10, 9, 9, 9), Types.ipv4), value(5353, Types.port)]))]
        let map = AnonymousSet(keyType: Types.port, dataType: concatenated, isInterval: false, elements: elements)
        let cases: [(NAT, UInt32, UInt32, UInt16, UInt16)] = [
            (NAT(kind: .dnat, family: .ip, address: value(address(10, 0, 0, 9), Types.ipv4), port: value(80, Types.port)), 0x0a00_0009, 0x0a00_0009, 80, 80),
            (NAT(kind: .snat, family: .ip, address: .range(Value(1, Types.ipv4), Value(9, Types.ipv4)), port: .range(Value(5, Types.port), Value(6, Types.port))), 1, 9, 5, 6),
            (NAT(kind: .snat, family: .ip, address: .prefix(Value(address(10, 1, 0, 0), Types.ipv4), length: 16), flags: .prefix), 0x0a01_0000, 0x0a01_ffff, 0, 0),
            (NAT(kind: .dnat, family: .ip, address: .map(key: .payload(Fields.destinationPort), .anonymous(map), type: concatenated)), 0x0a09_0909, 0x0a09_0909, 5353, 5353),
        ]
        for (nat, low, high, first, last) in cases {
            let compiled = compile(ruleset([[.nat(nat)]], family: .ip, type: .nat))
            var context = Frame.udp().context()
            #expect(compiled.run(&context) == .nat)
            #expect(context.nat.hasAddress && context.nat.minimumAddress.ipv4 == low && context.nat.maximumAddress.ipv4 == high)
            #expect(context.nat.hasPort == (first != 0) && context.nat.minimumPort == first && context.nat.maximumPort == last)
            #expect(compiled.program.needs(.nat, .ipv4) && compiled.program.needs(.conntrack, .ipv4) && !compiled.program.needs(.conntrack, .ipv6))
        }
    }

    @Test func mangledFieldsKeepTheChecksumRight() {
        let changes: [(PayloadField, Expression)] = [
            (Fields.dscp, value(46, Types.dscp)), (Fields.timeToLive, value(9, Types.integer8)), (Fields.destination, value(address(192, 0, 2, 1), Types.ipv4)),
            (Fields.destinationPort, value(4242, Types.port)),
        ]
        for (field, new) in changes {
            let frame = Frame.udp(tos: 3)
            let compiled = compile(ruleset([[.setPayload(field, new), match(.payload(field), .equal, new), .verdict(.drop)]]))
            #expect(compiled.run(frame) == .drop, "\(field.field)")
            var parsed = ParsedPacket()
            #expect(PacketParser.parse(frame.packet, into: &parsed) == .none)
            #expect(Checksum.verifyTransport(frame.packet, parsed))
            #expect(parsed.trafficClass & 3 == 3)
        }
    }

    @Test func udpChecksumZeroStaysWhenAnAddressChanges() {
        let frame = Frame.udp()
        frame.packet.store16(0, at: 14 + 20 + 6)
        _ = compile(ruleset([[.setPayload(Fields.destination, value(1, Types.ipv4))]])).run(frame)
        #expect(frame.packet.load16(14 + 20 + 6) == 0)
        // As Linux has it: a change of the UDP header itself is summed up whether there is a checksum or not.
        _ = compile(ruleset([[.setPayload(Fields.destinationPort, value(1, Types.port))]])).run(frame)
        #expect(frame.packet.load16(14 + 20 + 6) != 0)
    }

    @Test func segmentSizeIsOnlyLowered() {
        let type = Datatype(.integer, bits: 16, byteOrder: .network)
        let size = OptionField(family: .tcpOption, number: 2, name: "maxseg", field: "size", offset: 16, length: 16, type: type, testsPresence: false)
        for (new, expected) in [(1200, 1200), (1460, 1460), (9000, 1460)] as [(UInt128, UInt16)] {
            let frame = Frame.tcp(options: [2, 4, 5, 0xb4])
            _ = compile(ruleset([[.setOption(size, value(new, type))]])).run(frame)
            #expect(frame.packet.load16(14 + 20 + 22) == expected)
            #expect(Checksum.verifyTransport(frame.packet, frame.parsed))
        }
        let mtu = Expression.route(.mtu, family: nil, type: type)
        let frame = Frame.tcp(options: [2, 4, 5, 0xb4])
        var context = frame.context()
        context.routeMTU = 1300
        _ = compile(ruleset([[.setOption(size, mtu)]])).run(&context)
        #expect(frame.packet.load16(14 + 20 + 22) == 1260)
    }

    @Test func removedOptionBecomesNoOperations() {
        let frame = Frame.tcp(options: [1, 3, 3, 7, 2, 4, 5, 0xb4])
        let scale = OptionField(family: .tcpOption, number: 3, name: "window", field: "", offset: 0, length: 8, type: Types.integer8, testsPresence: true)
        _ = compile(ruleset([[.resetOption(scale)]])).run(frame)
        #expect(Array(frame.bytes[54 ..< 62]) == [1, 1, 1, 1, 2, 4, 5, 0xb4])
        #expect(Checksum.verifyTransport(frame.packet, frame.parsed))
    }

    @Test func notrackBeforeTracking() {
        let field = ConntrackField(key: .state, direction: nil, family: nil, type: Types.state)
        let compiled = compile(ruleset([[.notrack, match(.ct(field), .anyBit, value(64, Types.state)), .verdict(.drop)]]))
        var context = Frame.udp().context()
        #expect(compiled.run(&context) == .drop)
        #expect(context.conntrack.changes.contains(.notrack))
    }

    @Test func logRecordsGoToTheRing() throws {
        var log = Log()
        log.prefix = "x"
        let compiled = compile(ruleset([[.log(log)]]))
        var ring = LogRing(capacity: 2)
        defer { ring.deallocate() }
        for _ in 0 ..< 3 {
            var context = Frame.udp().context()
            withUnsafeMutablePointer(to: &ring) {
                context.log = $0
                _ = compiled.run(&context)
            }
        }
        let first = ring.next()
        let record = try #require(first)
        #expect(compiled.logStatement(record.statement).prefix == "x")
        #expect(record.frameLength == 14 + 32 && record.captured == 46 && ring.lost == 1)
    }
}
