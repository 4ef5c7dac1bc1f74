// Each guard: the packet that passes, and beside it the one that does not.
import FlowCache
import Testing
import Wire

@Suite struct GuardTests {
    /// What the guards say of `packet` for the flow `flow` (its key is the packet's).
    private func judge(
        _ packet: Packet, verified: VerifiedChecksums = VerifiedChecksums(network: false, transport: false), stale: Bool = false,
        window: UnsafeMutablePointer<TCPWindowPair>? = nil, _ change: (inout FlowDescription) -> Void = { _ in }, damage: (Frame) -> Void = { _ in }
    ) throws -> FlowGuardReason {
        var flow = FlowDescription.plain(packet.key)
        change(&flow)
        let fixture = CacheFixture()
        fixture.insert(flow)
        if stale { fixture.invalidateAll() }
        let frame = packet.frame()
        damage(frame)
        var parsed = ParsedPacket()
        _ = PacketParser.parse(frame.buffer, into: &parsed, ipv4ChecksumIsGood: true)
        let seeds = FlowHashSeeds(seed: 5)
        let memory = UnsafeMutablePointer<FlowProbe>.allocate(capacity: 1)
        defer { memory.deallocate() }
        if !FlowProbe.read(frame.buffer.start, length: frame.length, ingress: 0, seeds: seeds, into: memory) {
            memory.initialize(to: try #require(FlowProbe(parsed: parsed, frame: frame.buffer.start, ingress: 0, seeds: seeds)))
        }
        memory.pointee.entry = try #require(fixture.reader.find(memory.pointee.key))
        let isIPv6 = memory.pointee.isIPv6
        return FlowProbe.judge(
            memory, isIPv6: isIPv6, action: fixture.reader.actions + FlowProbe.action(memory, isIPv6: isIPv6), generation: fixture.reader.currentGeneration(), verified: verified,
            connections: ConnectionRecords(base: window.map { UnsafeMutableRawPointer($0) }, stride: MemoryLayout<TCPWindowPair>.stride))
    }

    @Test(arguments: [false, true]) func tcpWindow(ipv6: Bool) throws {
        // Three connections' records; the flow's is the last.
        let pairs = UnsafeMutablePointer<TCPWindowPair>.allocate(capacity: 3)
        defer { pairs.deallocate() }
        for place in 0..<3 {
            var pair = TCPWindowPair()
            pair.state = place == 2 ? TCPState.established.rawValue : TCPState.none.rawValue
            for end in [\TCPWindowPair.original, \TCPWindowPair.reply] {
                pair[keyPath: end].maxWindow = 1000
                pair[keyPath: end].end = 1
                pair[keyPath: end].maxEnd = 1001
            }
            pair.reply.end = 2
            (pairs + place).initialize(to: pair)
        }
        // Packet's segment: sequence 1, acknowledgement 2, 20 bytes.
        let packet = Packet(key(1, ipv6: ipv6, transportProtocol: IPProtocol.tcp))
        func check(_ flow: inout FlowDescription) {
            flow.connection = 2
            flow.guard.checksTCPWindow = true
        }
        #expect(try judge(packet, check) == .tcpWindow)
        #expect(try judge(packet, window: pairs, check) == .none)
        #expect(pairs[2].original.end == 21)
        func far(_ frame: Frame) { frame.buffer.store32(50_000, at: (ipv6 ? 54 : 34) + 4) }
        #expect(try judge(packet, window: pairs, check, damage: far) == .tcpWindow)
        #expect(pairs[2].original.end == 21)
        pairs[2].state = TCPState.closeWait.rawValue
        #expect(try judge(packet, window: pairs, check) == .tcpWindow)
        #expect(try judge(packet, window: pairs) { $0.connection = 2 } == .none)
    }

    @Test(arguments: [false, true]) func timeToLive(ipv6: Bool) throws {
        for (value, reason) in [(255, .none), (2, .none), (1, .timeToLive), (0, .timeToLive)] as [(UInt8, FlowGuardReason)] {
            var packet = Packet(key(1, ipv6: ipv6))
            packet.timeToLive = value
            #expect(try judge(packet) == reason)
        }
    }

    @Test(arguments: [false, true]) func length(ipv6: Bool) throws {
        let header = ipv6 ? 48 : 28
        for (payload, reason) in [(1500 - header, .none), (1501 - header, .tooLong)] as [(Int, FlowGuardReason)] {
            var packet = Packet(key(1, ipv6: ipv6))
            packet.payload = [UInt8](repeating: 0, count: payload)
            // Padding is not length.
            packet.padding = 10
            #expect(try judge(packet) == reason)
        }
    }

    @Test(arguments: [false, true]) func generation(ipv6: Bool) throws {
        #expect(try judge(Packet(key(1, ipv6: ipv6))) == .none)
        #expect(try judge(Packet(key(1, ipv6: ipv6)), stale: true) == .generation)
    }

    @Test(arguments: [false, true]) func trafficClass(ipv6: Bool) throws {
        var packet = Packet(key(1, ipv6: ipv6))
        packet.trafficClass = 0xb9
        #expect(try judge(packet) { $0.guard.trafficClassMask = 0xfc; $0.guard.trafficClassValue = 0xb8 } == .none)
        #expect(try judge(packet) { $0.guard.trafficClassMask = 0xff; $0.guard.trafficClassValue = 0xb8 } == .trafficClass)
        #expect(try judge(packet) { $0.guard.trafficClassMask = 0xfc; $0.guard.trafficClassValue = 0x20 } == .trafficClass)
    }

    @Test(arguments: [false, true]) func tcpFlagsOfATrackedFlow(ipv6: Bool) throws {
        let flags: [(UInt8, FlowGuardReason)] = [
            (TCPFlags.ack, .none), (TCPFlags.ack | TCPFlags.psh, .none), (TCPFlags.ack | TCPFlags.urg | TCPFlags.ece | TCPFlags.cwr, .none),
            (TCPFlags.syn, .tcpFlags), (TCPFlags.syn | TCPFlags.ack, .tcpFlags), (TCPFlags.fin | TCPFlags.ack, .tcpFlags),
            (TCPFlags.rst, .tcpFlags), (TCPFlags.rst | TCPFlags.ack, .tcpFlags), (0, .tcpFlags), (TCPFlags.psh, .tcpFlags),
        ]
        for (value, reason) in flags {
            var packet = Packet(key(1, ipv6: ipv6, transportProtocol: IPProtocol.tcp))
            packet.tcpFlags = value
            // The cache insists on these flags although the description does not mention them.
            #expect(try judge(packet) { $0.connection = 3 } == reason)
            // Untracked: only what the ruleset read.
            #expect(try judge(packet) == .none)
            #expect(try judge(packet) { $0.guard.tcpFlagsMask = TCPFlags.psh } == (value & TCPFlags.psh == 0 ? .none : .tcpFlags))
        }
    }

    @Test func networkChecksum() throws {
        let packet = Packet(key(1))
        func damage(_ frame: Frame) { frame.buffer.store16(frame.buffer.load16(24) ^ 0x0100, at: 24) }
        #expect(try judge(packet, damage: damage) == .networkChecksum)
        // The NIC's word counts.
        #expect(try judge(packet, verified: VerifiedChecksums(network: true, transport: false), damage: damage) == .none)
    }

    @Test(arguments: [IPProtocol.tcp, IPProtocol.udp, IPProtocol.icmp, IPProtocol.icmpv6, IPProtocol.udplite, IPProtocol.dccp])
    func transportChecksum(transportProtocol: UInt8) throws {
        for ipv6 in [false, true] where transportProtocol != (ipv6 ? IPProtocol.icmp : IPProtocol.icmpv6) {
            var key = key(1, ipv6: ipv6, transportProtocol: transportProtocol)
            if transportProtocol == IPProtocol.icmp { key.destinationPort = 0 }
            if transportProtocol == IPProtocol.icmpv6 { key.destinationPort = 128 << 8 }
            // An odd length, so that the last byte counts alone.
            var packet = Packet(key)
            packet.payload = Array(1...21)
            func check(_ flow: inout FlowDescription) { flow.guard.checksTransportChecksum = true }
            // Of UDP-Lite conntrack wants the checksum over UDP's pseudo header (`Checksum.verifyTracked`).
            let checksum = (ipv6 ? 54 : 34) + 6
            func make(_ frame: Frame) {
                guard transportProtocol == IPProtocol.udplite else { return }
                frame.buffer.store16(Checksum.fold(UInt64(frame.buffer.load16(checksum)) + UInt64(IPProtocol.udplite - IPProtocol.udp)), at: checksum)
            }
            #expect(try judge(packet, check, damage: make) == .none)
            // UDP-Lite's checksum covers its header only.
            let place = transportProtocol == IPProtocol.udplite ? checksum + 1 : packet.frame().length - 1
            func damage(_ frame: Frame) {
                make(frame)
                frame.buffer.store8(frame.buffer.load8(place) ^ 1, at: place)
            }
            #expect(try judge(packet, check, damage: damage) == .transportChecksum)
            #expect(try judge(packet, damage: damage) == .none)
            #expect(try judge(packet, verified: VerifiedChecksums(network: false, transport: true), check, damage: damage) == .none)
        }
    }

    @Test func udpWithoutChecksumPasses() throws {
        var packet = Packet(key(1))
        packet.udpWithoutChecksum = true
        #expect(try judge(packet) { $0.guard.checksTransportChecksum = true } == .none)
    }

    @Test func namesAreSnakeCase() {
        #expect(FlowGuardReason.timeToLive.name == "time_to_live")
        #expect(Set(FlowGuardReason.allCases.map(\.name)).count == FlowGuardReason.allCases.count)
    }
}
