// Reading, judging and rewriting packets: against Wire's general parser and against checksums computed anew.
import FlowCache
import Testing
import Wire

@Suite struct PacketTests {
    let seeds = FlowHashSeeds(seed: 5)

    /// The probe of a frame as a worker makes it; nil if it takes the general parser.
    private func probe(_ frame: Frame, ingress: PortIndex = 0) -> FlowProbe? {
        let memory = UnsafeMutablePointer<FlowProbe>.allocate(capacity: 1)
        defer { memory.deallocate() }
        return FlowProbe.read(frame.buffer.start, length: frame.length, ingress: ingress, seeds: seeds, into: memory) ? memory.pointee : nil
    }

    private static func keys() -> [FlowKey] {
        var keys: [FlowKey] = []
        for ipv6 in [false, true] {
            for transportProtocol in [IPProtocol.tcp, IPProtocol.udp, ipv6 ? IPProtocol.icmpv6 : IPProtocol.icmp, IPProtocol.udplite, IPProtocol.dccp, IPProtocol.sctp, IPProtocol.gre, IPProtocol.esp, 200] {
                for vlans in 0...2 {
                    var key = key(77, ipv6: ipv6, transportProtocol: transportProtocol)
                    if transportProtocol == IPProtocol.icmp { key.destinationPort = 8 << 8 }
                    if transportProtocol == IPProtocol.icmpv6 { key.destinationPort = 129 << 8 }
                    if [IPProtocol.gre, IPProtocol.esp, 200].contains(transportProtocol) { (key.sourcePort, key.destinationPort) = (0, 0) }
                    key.vlanCount = UInt8(vlans)
                    if vlans > 0 { key.outerVLAN = vlans == 2 ? 100 | FlowKey.serviceTag : 100 }
                    if vlans > 1 { key.innerVLAN = 4000 }
                    keys.append(key)
                }
            }
        }
        return keys
    }

    @Test(arguments: keys()) func keyOfAPacketIsTheKeyItWasMadeOf(expected: FlowKey) throws {
        let frame = Packet(expected).frame()
        var parsed = ParsedPacket()
        #expect(PacketParser.parse(frame.buffer, into: &parsed) == .none)
        #expect(FlowKey(parsed: parsed, ingress: 0) == expected)
        let found = probe(frame) ?? FlowProbe(parsed: parsed, frame: frame.buffer.start, ingress: 0, seeds: seeds)
        let made = try #require(found)
        #expect(made.key == PackedFlowKey(expected))
        #expect(made.hash == seeds.hash(PackedFlowKey(expected)))
        #expect(made.frameLength == frame.length)
    }

    /// The call ID of PPTP is no part of the key.
    @Test(arguments: [false, true], [0, 1, 2] as [UInt8]) func enhancedGREIsNoFlow(ipv6: Bool, version: UInt8) {
        var key = key(77, ipv6: ipv6, transportProtocol: IPProtocol.gre)
        (key.sourcePort, key.destinationPort) = (0, 0)
        let frame = Packet(key).frame()
        var parsed = ParsedPacket()
        #expect(PacketParser.parse(frame.buffer, into: &parsed) == .none)
        let flags = Int(parsed.transportOffset) + 1
        frame.buffer.store8(frame.buffer.load8(flags) & 0xf8 | version, at: flags)
        let found = probe(frame) ?? FlowProbe(parsed: parsed, frame: frame.buffer.start, ingress: 0, seeds: seeds)
        #expect((found == nil) == (version == 1))
    }

    /// Whatever bytes come: a frame that the quick reader takes is one that the general parser accepts, with the same key.
    @Test func quickReaderAgreesWithTheParser() {
        var random = Random(2024)
        let keys = PacketTests.keys()
        var taken = 0
        for _ in 0..<15_000 {
            var packet = Packet(keys.randomElement(using: &random)!)
            packet.padding = Int.random(in: 0..<8, using: &random)
            packet.payload = Array(repeating: 7, count: Int.random(in: 0..<30, using: &random))
            if Int.random(in: 0..<10, using: &random) == 0 { packet.options = [1, 1, 1, 0] }
            let frame = packet.frame()
            for _ in 0..<Int.random(in: 0..<3, using: &random) {
                // Nearly always in the headers.
                frame.buffer.store8(UInt8.random(in: 0...255, using: &random), at: Int.random(in: 12..<min(frame.length, 70), using: &random))
            }
            if Int.random(in: 0..<5, using: &random) == 0 { frame.length = Int.random(in: 0...frame.length, using: &random) }
            let quick = probe(frame, ingress: 3)
            var parsed = ParsedPacket()
            let reason = PacketParser.parse(frame.buffer, into: &parsed, ipv4ChecksumIsGood: true)
            guard let quick else { continue }
            taken += 1
            #expect(reason == .none)
            #expect(!parsed.flags.contains(.hasOptions) && !parsed.flags.contains(.isFragment) && !parsed.flags.contains(.transportMalformed))
            let expected = FlowKey(parsed: parsed, ingress: 3)
            #expect(expected.map(PackedFlowKey.init) == quick.key)
            #expect(quick.frameLength == Int(parsed.networkOffset) + Int(parsed.networkLength))
        }
        #expect(taken > 2_500)
    }

    /// A fragment header moves the transport header, even around a datagram in one piece (RFC 6946).
    @Test func atomicFragmentsHaveNoKey() throws {
        let plain = Packet(key(77, ipv6: true, transportProtocol: IPProtocol.udp)).frame()
        let header = 14 + 40, count = plain.length - header
        let frame = Frame(Array(repeating: 0, count: plain.length + 8))
        frame.buffer.start.copyMemory(from: plain.buffer.start, byteCount: header)
        (frame.buffer.start + header + 8).copyMemory(from: plain.buffer.start + header, byteCount: count)
        frame.buffer.store16(UInt16(count + 8), at: 14 + 4)
        frame.buffer.store8(IPProtocol.fragment, at: 14 + 6)
        frame.buffer.store8(IPProtocol.udp, at: header)
        var parsed = ParsedPacket()
        #expect(PacketParser.parse(frame.buffer, into: &parsed) == .none)
        #expect(parsed.transportProtocol == IPProtocol.udp && !parsed.flags.contains(.isFragment))
        #expect(FlowKey(parsed: parsed, ingress: 0) == nil)
        #expect(probe(frame) == nil)
    }

    // MARK: - Rewrite

    private func forward(_ flow: FlowDescription, _ frame: Frame) throws {
        let fixture = CacheFixture()
        #expect(fixture.insert(flow) != nil)
        var parsed = ParsedPacket()
        #expect(PacketParser.parse(frame.buffer, into: &parsed) == .none)
        let found = probe(frame) ?? FlowProbe(parsed: parsed, frame: frame.buffer.start, ingress: 0, seeds: seeds)
        let probe = UnsafeMutablePointer<FlowProbe>.allocate(capacity: 1)
        defer { probe.deallocate() }
        probe.initialize(to: try #require(found))
        probe.pointee.entry = try #require(fixture.reader.find(probe.pointee.key))
        let isIPv6 = probe.pointee.isIPv6
        #expect(FlowProbe.isEntryMine(probe, isIPv6: isIPv6))
        let action = fixture.reader.actions + FlowProbe.action(probe, isIPv6: isIPv6)
        let reason = FlowProbe.judge(
            probe, isIPv6: isIPv6, action: action, generation: fixture.reader.currentGeneration(),
            verified: VerifiedChecksums(network: false, transport: false), connections: ConnectionRecords(base: nil, stride: 0))
        #expect(reason == .none)
        let isPlain = [IPProtocol.tcp, IPProtocol.udp].contains(probe.pointee.transportProtocol) && flow.rewrite.trafficClassMask == 0 && flow.rewrite.trafficClassValue == 0
            && flow.key.vlanCount == 0 && flow.rewrite.vlanCount == 0
        let before = [UInt8](UnsafeRawBufferPointer(start: frame.buffer.start, count: frame.length))
        let accepted = FlowProbe.acceptPlain(
            probe, isIPv6: isIPv6, actions: fixture.reader.actions, generation: fixture.reader.currentGeneration(), connections: ConnectionRecords(base: nil, stride: 0))
        #expect((accepted == action) == isPlain && (accepted == nil) == !isPlain)
        var plain: [UInt8]?
        if let accepted {
            FlowProbe.rewritePlain(probe, isIPv6: isIPv6, action: accepted, tick: 1)
            plain = [UInt8](UnsafeRawBufferPointer(start: frame.buffer.start, count: frame.length))
            frame.buffer.start.copyMemory(from: before, byteCount: before.count)
        }
        FlowProbe.rewrite(probe, isIPv6: isIPv6, action: action)
        if let plain { #expect(plain == [UInt8](UnsafeRawBufferPointer(start: frame.buffer.start, count: frame.length))) }
        frame.start = probe.pointee.frame - frame.memory
        frame.length = probe.pointee.frameLength
    }

    @Test(arguments: keys()) func rewriteEqualsBuildingThePacketAnew(key: FlowKey) throws {
        var random = Random(UInt64(key.transportProtocol) << 8 | UInt64(key.vlanCount))
        for round in 0..<40 {
            var flow = FlowDescription.plain(key)
            let ipv6 = key.source.family == .ipv6
            func address() -> IPAddress {
                ipv6 ? IPAddress(ipv6High: 0x2001 << 48 | UInt64.random(in: 0..<1 << 40, using: &random), low: UInt64.random(in: 1...UInt64.max, using: &random))
                    : IPAddress(ipv4: UInt32.random(in: 0x0100_0000..<0x7e00_0000, using: &random))
            }
            if round & 1 != 0 { flow.rewrite.source = address() }
            if round & 2 != 0 { flow.rewrite.destination = address() }
            switch key.transportProtocol {
            case IPProtocol.tcp, IPProtocol.udp, IPProtocol.udplite, IPProtocol.dccp:
                if round & 4 != 0 { flow.rewrite.sourcePort = UInt16.random(in: 0...UInt16.max, using: &random) }
                if round & 8 != 0 { flow.rewrite.destinationPort = UInt16.random(in: 0...UInt16.max, using: &random) }
            case IPProtocol.icmp, IPProtocol.icmpv6:
                if round & 4 != 0 { flow.rewrite.sourcePort = UInt16.random(in: 0...UInt16.max, using: &random) }
            default: break
            }
            var packet = Packet(key)
            packet.trafficClass = UInt8.random(in: 0...255, using: &random)
            packet.timeToLive = UInt8.random(in: 2...255, using: &random)
            packet.payload = (0..<Int.random(in: 0..<60, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
            packet.padding = round % 3
            if round & 16 != 0 {
                flow.rewrite.trafficClassMask = 0xfc
                flow.rewrite.trafficClassValue = 0x28
            }
            var leaving = key
            switch round % 4 {
            case 0: break
            case 1: (leaving.vlanCount, leaving.outerVLAN, leaving.innerVLAN) = (0, 0, 0)
            case 2: (leaving.vlanCount, leaving.outerVLAN, leaving.innerVLAN) = (1, 7 | FlowKey.serviceTag, 0)
            default: (leaving.vlanCount, leaving.outerVLAN, leaving.innerVLAN) = (2, 7, 4094)
            }
            flow.rewrite.vlanCount = leaving.vlanCount
            flow.rewrite.vlanTags = leaving.vlanTags
            packet.udpWithoutChecksum = key.transportProtocol == IPProtocol.udp && !ipv6 && round % 5 == 0
            let frame = packet.frame()
            try forward(flow, frame)

            var expected = packet
            expected.key.source = flow.rewrite.source
            expected.key.destination = flow.rewrite.destination
            expected.key.sourcePort = flow.rewrite.sourcePort
            expected.key.destinationPort = flow.rewrite.destinationPort
            (expected.key.vlanCount, expected.key.outerVLAN, expected.key.innerVLAN) = (leaving.vlanCount, leaving.outerVLAN, leaving.innerVLAN)
            expected.timeToLive -= 1
            expected.trafficClass = expected.trafficClass & ~flow.rewrite.trafficClassMask | flow.rewrite.trafficClassValue
            expected.padding = 0
            let built = expected.frame(destinationMAC: flow.rewrite.destinationMAC.rawValue)
            for (place, byte) in ([2, 0, 0, 0, 0x0b, 1] as [UInt8]).enumerated() { built.buffer.store8(byte, at: 6 + place) }
            #expect(frame.bytes == built.bytes)
        }
    }

    /// Whether a rule was the last to change the header decides how its sum of zero is written.
    @Test(arguments: [false, true]) func headerChecksumThatBecomesZero(byRule: Bool) throws {
        var flow = FlowDescription.plain(key(1))
        flow.rewrite.trafficClassMask = 0xfc
        flow.rewrite.trafficClassValue = 0x28
        flow.rewrite.writesChecksumLast = byRule
        // The same packet as it leaves, with a checksum of zero: the destination is chosen so.
        var leaving = Packet(flow.key)
        leaving.timeToLive -= 1
        leaving.trafficClass = 0x28
        let checksum = leaving.frame().buffer.load16(14 + 10), old = UInt16(truncatingIfNeeded: flow.key.destination.ipv4)
        let new = try #require((UInt16.min...UInt16.max).first { Checksum.update(checksum, old: old, new: $0) == 0 })
        flow.rewrite.destination = IPAddress(ipv4: flow.key.destination.ipv4 & 0xffff_0000 | UInt32(new))
        let frame = Packet(flow.key).frame()
        try forward(flow, frame)
        #expect(frame.buffer.load16(14 + 10) == (byRule ? 0xffff : 0))
    }

    @Test func udpChecksumThatBecomesZeroIsSentAsAllOnes() throws {
        // Choose the new source port so that the sum comes out as 0.
        let key = key(1)
        var flow = FlowDescription.plain(key)
        let before = Packet(key).frame()
        let checksum = before.buffer.load16(14 + 20 + 6)
        var hit = false
        for port in UInt16.min...UInt16.max where Checksum.update(checksum, old: key.sourcePort, new: port) == 0 {
            flow.rewrite.sourcePort = port
            let frame = Packet(key).frame()
            try forward(flow, frame)
            #expect(frame.buffer.load16(14 + 20 + 6) == 0xffff)
            hit = true
            break
        }
        #expect(hit)
    }
}
