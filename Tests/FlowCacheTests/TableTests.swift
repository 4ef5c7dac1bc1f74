// The table against a dictionary, at and beyond the load it promises.
import FlowCache
import Testing
import Wire

@Suite struct TableTests {
    @Test(arguments: [(1, false), (24, false), (100, true), (5_000, false), (60_000, false), (20_000, true)])
    func takesItsCapacityWithoutRefusal(capacity: Int, ipv6: Bool) {
        let fixture = CacheFixture(ipv4: ipv6 ? 0 : capacity, ipv6: ipv6 ? capacity : 0, seed: 42)
        for number in 0..<UInt32(capacity) {
            #expect(fixture.insert(.plain(key(number, ipv6: ipv6)), now: 0) != nil)
        }
        #expect(fixture.statistics.refusedTableFull == 0)
        for number in 0..<UInt32(capacity) {
            let found = fixture.lookup(key(number, ipv6: ipv6))
            #expect(found.flatMap { fixture.inspect($0)?.key } == key(number, ipv6: ipv6))
        }
        // Beyond the capacity everything is refused, and nothing that is there suffers.
        #expect(fixture.insert(.plain(key(UInt32(capacity) + 7, ipv6: ipv6)), now: 0) == nil)
        #expect(fixture.statistics.refusedTableFull == 1)
        #expect(fixture.lookup(key(0, ipv6: ipv6)) != nil)
    }

    @Test(arguments: [false, true])
    func agreesWithADictionary(ipv6: Bool) {
        let capacity = 3000
        let fixture = CacheFixture(ipv4: capacity, ipv6: capacity, seed: 7)
        var random = Random(99)
        var reference: [FlowKey: (handle: FlowHandle, connection: UInt32)] = [:]
        for step in 0..<40_000 {
            let key = key(UInt32.random(in: 0..<4000, using: &random), ipv6: ipv6)
            switch Int.random(in: 0..<10, using: &random) {
            case 0..<6:
                var flow = FlowDescription.plain(key)
                flow.connection = UInt32(step)
                let full = reference.count >= capacity && reference[key] == nil
                let handle = fixture.insert(flow, now: 0)
                if full {
                    #expect(handle == nil)
                } else if let handle {
                    reference[key] = (handle, UInt32(step))
                } else if fixture.statistics.retiredEntries == 0 {
                    Issue.record("refused at \(reference.count) of \(capacity)")
                }
            case 6..<9:
                if let (handle, _) = reference.removeValue(forKey: key) {
                    #expect(fixture.remove(handle))
                    #expect(!fixture.remove(handle))
                }
            default:
                if fixture.beginGracePeriod() { fixture.endGracePeriod(now: 0) { _ in } }
            }
            let probe = self.probe(&random, ipv6: ipv6)
            #expect(fixture.lookup(probe) == reference[probe]?.handle)
        }
        let statistics = fixture.statistics
        #expect(statistics.ipv4Entries + statistics.ipv6Entries == reference.count)
        for (key, value) in reference {
            let record = fixture.lookup(key).flatMap { fixture.inspect($0, now: 0) }
            #expect(record?.connection == value.connection)
        }
    }

    private func probe(_ random: inout Random, ipv6: Bool) -> FlowKey { key(UInt32.random(in: 0..<4000, using: &random), ipv6: ipv6) }

    @Test func keysThatDifferInOneFieldAreDifferentFlows() {
        let fixture = CacheFixture()
        let base = key(1)
        var variants = [base]
        func vary(_ change: (inout FlowKey) -> Void) {
            var other = base
            change(&other)
            variants.append(other)
        }
        vary { $0.source = IPAddress(ipv4: 1) }
        vary { $0.destination = IPAddress(ipv4: 1) }
        vary { $0.sourcePort = 1 }
        vary { $0.destinationPort = 1 }
        vary { $0.transportProtocol = IPProtocol.tcp }
        vary { $0.ingressPort = 3 }
        vary { $0.vlanCount = 1 }
        vary { $0.vlanCount = 1; $0.outerVLAN = 5 }
        vary { $0.vlanCount = 1; $0.outerVLAN = 5 | FlowKey.serviceTag }
        vary { $0.vlanCount = 2; $0.outerVLAN = 5; $0.innerVLAN = 6 }
        vary { $0.vlanCount = 2; $0.outerVLAN = 6; $0.innerVLAN = 5 }
        for (number, variant) in variants.enumerated() {
            var flow = FlowDescription.plain(variant)
            flow.connection = UInt32(number)
            #expect(fixture.insert(flow, now: 0) != nil)
        }
        for (number, variant) in variants.enumerated() {
            #expect(fixture.lookup(variant).flatMap { fixture.inspect($0, now: 0)?.connection } == UInt32(number))
            #expect(PackedFlowKey(variant).flowKey == variant)
        }
    }

    @Test func descriptionsComeBackAsTheyWent() throws {
        let fixture = CacheFixture()
        for ipv6 in [false, true] {
            var flow = FlowDescription.plain(key(9, ipv6: ipv6))
            flow.rewrite.source = ipv6 ? IPAddress(ipv6High: 0x2001_0db8_0000_0009, low: 77) : IPAddress(ipv4: 0xcb00_7105)
            flow.rewrite.sourcePort = 40_000
            flow.rewrite.trafficClassMask = 0xfc
            flow.rewrite.trafficClassValue = 0xb8
            flow.guard.trafficClassMask = 0xfc
            flow.guard.trafficClassValue = 0x20
            flow.guard.checksTransportChecksum = true
            flow.connection = 77
            flow.direction = 1
            flow.creditList = 5
            let handle = try #require(fixture.insert(flow, now: 0))
            let back = try #require(fixture.inspect(handle, now: 0)).description
            #expect("\(back)" == "\(flow)")
        }
    }

    @Test func actionsAreSharedAndGivenBack() {
        let fixture = CacheFixture(actions: 2)
        func flow(_ number: UInt32, hop: UInt64) -> FlowDescription {
            var flow = FlowDescription.plain(key(number))
            flow.rewrite.destinationMAC = EthernetAddress(rawValue: hop)
            return flow
        }
        for number in 0..<UInt32(100) { #expect(fixture.insert(flow(number, hop: UInt64(number & 1) + 1), now: 0) != nil) }
        #expect(fixture.statistics.actions == 2)
        #expect(fixture.insert(flow(200, hop: 9), now: 0) == nil)
        #expect(fixture.statistics.refusedActionTableFull == 1)
        fixture.sweep(now: 0) { $0.description.rewrite.destinationMAC.rawValue != 1 }
        // Still named by entries that a reader may hold.
        #expect(fixture.insert(flow(200, hop: 9), now: 0) == nil)
        #expect(fixture.beginGracePeriod())
        var reclaimed = 0
        fixture.endGracePeriod(now: 0) { _ in reclaimed += 1 }
        #expect(reclaimed == 50)
        #expect(fixture.statistics.actions == 1)
        #expect(fixture.insert(flow(200, hop: 9), now: 0) != nil)
    }

    @Test func hashSpreadsSequentialTuples() {
        // A hundred thousand neighbours in a table at its full load: few leave their primary bucket.
        let fixture = CacheFixture(ipv4: 100_000, ipv6: 0, seed: 3)
        for number in 0..<UInt32(100_000) { fixture.insert(.plain(key(number)), now: 0) }
        #expect(fixture.statistics.overflowedEntries < 2500)
    }

    @Test func layoutIsWhatWorkersExpect() { #expect(FlowEntryOffset.matchesLayout) }
}
