// PPPoE session frames in the cache: read, taken out of their session, put into one.
import FlowCache
import Testing
import Wire

@Suite struct PPPoETests {
    let seeds = FlowHashSeeds(seed: 5)

    /// The frame in a session: the header behind MAC addresses and tags. `slack` bytes of the PPP payload are not the IP packet's.
    private func inSession(_ frame: Frame, _ session: UInt16, tags: Int, slack: Int = 0, padding: Int = 0) -> Frame {
        var bytes = frame.bytes
        let at = 12 + 4 * tags
        let isIPv6 = bytes[at] == 0x86
        let header: [UInt8] = [0x88, 0x64, 0x11, 0] + big16(Int(session)) + big16(bytes.count - at - 2 + 2 + slack) + [0, isIPv6 ? 0x57 : 0x21]
        bytes.replaceSubrange(at ..< at + 2, with: header)
        return Frame(bytes + [UInt8](repeating: 0xcd, count: slack + padding))
    }

    private func probe(_ frame: Frame) -> FlowProbe? {
        let memory = UnsafeMutablePointer<FlowProbe>.allocate(capacity: 1)
        defer { memory.deallocate() }
        return FlowProbe.read(frame.buffer.start, length: frame.length, ingress: 0, seeds: seeds, into: memory) ? memory.pointee : nil
    }

    private func key(ipv6: Bool, tags: Int, _ session: UInt16, _ transportProtocol: UInt8 = IPProtocol.udp) -> FlowKey {
        var key = FlowCacheTests.key(77, ipv6: ipv6, transportProtocol: transportProtocol)
        key.vlanCount = UInt8(tags)
        key.outerVLAN = tags > 0 ? 100 : 0
        key.pppoeSession = session
        return key
    }

    private func plainFrame(_ key: FlowKey, timeToLive: UInt8 = 64) -> Frame {
        var packet = Packet(key)
        packet.key.pppoeSession = 0
        packet.timeToLive = timeToLive
        return packet.frame()
    }

    @Test(arguments: [false, true], [0, 1]) func readsTheSession(ipv6: Bool, tags: Int) throws {
        for transportProtocol in [IPProtocol.udp, IPProtocol.tcp] {
            let key = key(ipv6: ipv6, tags: tags, 0x1234, transportProtocol)
            for (slack, padding) in [(0, 0), (3, 0), (0, 5), (2, 9)] {
                let frame = inSession(plainFrame(key), 0x1234, tags: tags, slack: slack, padding: padding)
                let found = try #require(probe(frame))
                #expect(found.key == PackedFlowKey(key) && found.hash == seeds.hash(PackedFlowKey(key)))
                #expect(found.key.flowKey == key)
                #expect(found.frameLength == frame.length - slack - padding)
                #expect(Int(found.linkLength) == 22 + 4 * tags)
            }
        }
    }

    /// Sessions, tags and inner tags of the same bits are different flows.
    @Test func sessionsAreFlowsOfTheirOwn() {
        var keys = [key(ipv6: false, tags: 0, 0), key(ipv6: false, tags: 0, 7), key(ipv6: false, tags: 0, 8), key(ipv6: false, tags: 1, 0), key(ipv6: false, tags: 1, 7)]
        var inner = key(ipv6: false, tags: 1, 0)
        (inner.vlanCount, inner.innerVLAN) = (2, 7)
        keys.append(inner)
        #expect(Set(keys.map { PackedFlowKey($0) }).count == keys.count)
    }

    @Test func whatIsNoSessionFrameIsLeftToTheParser() {
        let key = key(ipv6: false, tags: 0, 7)
        func changed(_ offset: Int, _ value: UInt8) -> Frame {
            let frame = inSession(plainFrame(key), 7, tags: 0)
            frame.buffer.store8(value, at: offset)
            return frame
        }
        #expect(probe(changed(0, 2)) != nil)
        // Version and type, code, length beyond the frame, length short of the IP packet, LCP, IPv6's number before IPv4.
        for (offset, value) in [(14, 0x12), (14, 0x21), (15, 0xa7), (18, 1), (19, 10), (19, 0), (20, 0xc0), (21, 0x57)] as [(Int, UInt8)] {
            #expect(probe(changed(offset, value)) == nil, "byte \(offset)")
        }
        let frame = inSession(plainFrame(key), 7, tags: 0)
        for length in 0 ..< frame.length {
            frame.length = length
            #expect(probe(frame) == nil)
        }
        #expect(probe(inSession(plainFrame(key), 0, tags: 0)) == nil)
        // Two tags before a session header are more than a key holds.
        var deep = key
        (deep.vlanCount, deep.outerVLAN, deep.innerVLAN) = (2, 5, 6)
        #expect(probe(inSession(plainFrame(deep), 7, tags: 2)) == nil)
    }

    @Test(arguments: [false, true], [0, 1]) func rewritesIntoAndOutOfSessions(ipv6: Bool, tags: Int) throws {
        for (arriving, leaving) in [(0, 9), (9, 0), (9, 10), (9, 9)] as [(UInt16, UInt16)] {
            for leavingTags in [0, 1] {
                let key = key(ipv6: ipv6, tags: tags, arriving)
                let fixture = CacheFixture()
                var flow = FlowDescription.plain(key)
                var out = key
                (out.vlanCount, out.outerVLAN) = (UInt8(leavingTags), leavingTags == 0 ? 0 : 55)
                flow.rewrite.vlanCount = out.vlanCount
                flow.rewrite.vlanTags = out.vlanTags
                flow.rewrite.pppoeSession = leaving
                let handle = try #require(fixture.insert(flow))
                let back = try #require(fixture.inspect(handle)).description
                #expect("\(back)" == "\(flow)")
                let start = plainFrame(key)
                let frame = arriving == 0 ? start : inSession(start, arriving, tags: tags, slack: 2)
                let probe = UnsafeMutablePointer<FlowProbe>.allocate(capacity: 1)
                defer { probe.deallocate() }
                probe.initialize(to: try #require(self.probe(frame)))
                probe.pointee.entry = try #require(fixture.reader.find(probe.pointee.key))
                let action = fixture.reader.actions + FlowProbe.action(probe, isIPv6: ipv6)
                #expect(FlowProbe.acceptPlain(
                    probe, isIPv6: ipv6, actions: fixture.reader.actions, generation: fixture.reader.currentGeneration(),
                    connections: ConnectionRecords(base: nil, stride: 0)) == nil)
                FlowProbe.rewrite(probe, isIPv6: ipv6, action: action)
                frame.start = probe.pointee.frame - frame.memory
                frame.length = probe.pointee.frameLength
                let plain = plainFrame(out, timeToLive: 63)
                let expected = leaving == 0 ? plain : inSession(plain, leaving, tags: leavingTags)
                #expect(Array(frame.bytes[12...]) == Array(expected.bytes[12...]), "\(arriving) to \(leaving)")
                #expect(Array(frame.bytes[..<6]) == [2, 0, 0, 0, 0x0b, 2])
            }
        }
    }

    @Test func moreThanOneTagBeforeASessionIsRefused() {
        let fixture = CacheFixture()
        var flow = FlowDescription.plain(key(ipv6: false, tags: 1, 3))
        flow.key.vlanCount = 2
        #expect(fixture.insert(flow) == nil)
        flow.key.vlanCount = 1
        flow.rewrite.vlanCount = 2
        flow.rewrite.pppoeSession = 4
        #expect(fixture.insert(flow) == nil)
        #expect(fixture.statistics.refusedUnsupported == 2)
    }
}
