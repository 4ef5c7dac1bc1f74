// Handles, generations, retirement and reuse; what workers counted is reported once.
import FlowCache
import Testing
import Wire

@Suite struct LifetimeTests {
    /// Counts a packet as a worker does.
    private func hit(_ cache: CacheFixture, _ key: FlowKey, bytes: UInt64, tick: UInt32) {
        let entry = cache.reader.find(PackedFlowKey(key))!
        entry.atomic32(FlowEntryOffset.lastUsed4).pointee.store(tick, ordering: .relaxed)
        entry.addRelaxed32(FlowEntryOffset.packets4, 1)
        entry.addRelaxed64(FlowEntryOffset.bytes4, bytes)
    }

    @Test func aRetiredSlotIsNotReusedBeforeQuiescence() throws {
        let fixture = CacheFixture(ipv4: 24)
        let first = try #require(fixture.insert(.plain(key(1)), now: 0))
        let entry = try #require(fixture.reader.find(PackedFlowKey(key(1))))
        #expect(fixture.remove(first))
        #expect(fixture.lookup(key(1)) == nil)
        #expect(!fixture.isLive(first))
        // Fill every lane: none may be the retired one.
        for number in 2..<UInt32(26) {
            fixture.insert(.plain(key(number)), now: 0)
            #expect(fixture.reader.find(PackedFlowKey(key(number))) != entry)
        }
        #expect(fixture.beginGracePeriod())
        #expect(!fixture.beginGracePeriod())
        fixture.endGracePeriod(now: 0) { #expect($0.handle == first) }
        #expect(fixture.statistics.retiredEntries == 0)
        // The slot's next tenant has another generation, so the old handle never names it.
        fixture.sweep(now: 0) { _ in false }
        #expect(fixture.beginGracePeriod())
        fixture.endGracePeriod(now: 0) { _ in }
        for number in 100..<UInt32(124) {
            let handle = try #require(fixture.insert(.plain(key(number)), now: 0))
            if handle.slot == first.slot { #expect(handle.generation != first.generation) }
        }
        #expect(!fixture.isLive(first) && !fixture.remove(first))
    }

    @Test func removalDuringAGracePeriodWaitsForTheNext() throws {
        let fixture = CacheFixture()
        let a = try #require(fixture.insert(.plain(key(1)), now: 0))
        let b = try #require(fixture.insert(.plain(key(2)), now: 0))
        fixture.remove(a)
        #expect(fixture.beginGracePeriod())
        fixture.remove(b)
        var reclaimed: [FlowHandle] = []
        fixture.endGracePeriod(now: 0) { reclaimed.append($0.handle) }
        #expect(reclaimed == [a])
        #expect(fixture.beginGracePeriod())
        fixture.endGracePeriod(now: 0) { reclaimed.append($0.handle) }
        #expect(reclaimed == [a, b])
        #expect(!fixture.beginGracePeriod())
    }

    @Test func everyPacketIsReportedOnce() throws {
        let fixture = CacheFixture()
        var flow = FlowDescription.plain(key(1))
        flow.creditList = 11
        let handle = try #require(fixture.insert(flow, now: 5 << 20))
        hit(fixture, key(1), bytes: 100, tick: 7)
        hit(fixture, key(1), bytes: 50, tick: 9)
        var seen: [UInt64] = []
        fixture.sweep(now: 20 << 20) { record in
            seen += [record.packets, record.bytes, record.lastUsed >> 20, UInt64(record.creditList)]
            return true
        }
        #expect(seen == [2, 150, 9, 11])
        hit(fixture, key(1), bytes: 1, tick: 10)
        #expect(fixture.inspect(handle, now: 20 << 20)?.packets == 1)
        fixture.remove(handle)
        // A worker that still held the entry.
        let entry = fixture.reader.ipv4.entry(slot: Int(handle.slot))
        entry.addRelaxed32(FlowEntryOffset.packets4, 1)
        entry.addRelaxed64(FlowEntryOffset.bytes4, 1000)
        #expect(fixture.beginGracePeriod())
        fixture.endGracePeriod(now: 20 << 20) { record in
            #expect(record.packets == 2 && record.bytes == 1001)
        }
    }

    @Test func replacingKeepsBothCountsApart() throws {
        let fixture = CacheFixture()
        var flow = FlowDescription.plain(key(1))
        flow.creditList = 1
        let old = try #require(fixture.insert(flow, now: 0))
        hit(fixture, key(1), bytes: 10, tick: 1)
        flow.creditList = 2
        flow.rewrite.outputPort = 9
        let new = try #require(fixture.insert(flow, now: 0))
        #expect(new != old && !fixture.isLive(old) && fixture.lookup(key(1)) == new)
        hit(fixture, key(1), bytes: 20, tick: 1)
        #expect(fixture.inspect(new, now: 0)?.bytes == 20)
        #expect(fixture.beginGracePeriod())
        fixture.endGracePeriod(now: 0) { #expect($0.creditList == 1 && $0.bytes == 10 && $0.packets == 1) }
        #expect(fixture.statistics.replaced == 1)
    }

    @Test func sameVerdictRefreshesInPlace() throws {
        let fixture = CacheFixture()
        let flow = FlowDescription.plain(key(1))
        let handle = try #require(fixture.insert(flow, now: 0))
        #expect(fixture.inspect(handle, now: 0)?.isStale == false)
        fixture.invalidateAll()
        #expect(fixture.inspect(handle, now: 0)?.isStale == true)
        #expect(fixture.insert(flow, now: 0) == handle)
        #expect(fixture.inspect(handle, now: 0)?.isStale == false)
        #expect(fixture.statistics.refreshed == 1)
    }

    @Test func lastUsedSurvivesTheWrapOfTheTick() throws {
        let fixture = CacheFixture()
        let now: Timestamp = (1 << 32 + 5) << 20
        let handle = try #require(fixture.insert(.plain(key(1)), now: now - 20 << 20))
        hit(fixture, key(1), bytes: 1, tick: FlowCache.tick(now - 10 << 20))
        #expect(fixture.inspect(handle, now: now)?.lastUsed == now - 9 << 20 - 1)
        // A worker's clock a tick ahead of the writer's is not 49 days ago.
        hit(fixture, key(1), bytes: 1, tick: FlowCache.tick(now) &+ 1)
        #expect(fixture.inspect(handle, now: now)?.lastUsed == now)
    }

    @Test func sweepInSmallStepsVisitsEachEntryOnce() {
        let fixture = CacheFixture(ipv4: 500, ipv6: 300)
        for number in 0..<UInt32(400) { fixture.insert(.plain(key(number)), now: 0) }
        for number in 0..<UInt32(200) { fixture.insert(.plain(key(number, ipv6: true)), now: 0) }
        var seen = Set<FlowHandle>()
        var cursor = FlowSweepCursor()
        while !fixture.sweep(&cursor, budget: 37, { seen.insert($0.handle).inserted }) {}
        #expect(seen.count == 600)
        #expect(fixture.statistics.ipv4Entries == 400)
    }

    @Test func whatWorkersCannotDoIsRefused() {
        let fixture = CacheFixture()
        var sctp = FlowDescription.plain(key(1, transportProtocol: IPProtocol.sctp))
        #expect(fixture.insert(sctp, now: 0) != nil)
        sctp.key.sourcePort = 2
        #expect(fixture.insert(sctp, now: 0) == nil)
        var mixed = FlowDescription.plain(key(1))
        mixed.rewrite.destination = IPAddress(ipv6High: 1, low: 1)
        #expect(fixture.insert(mixed, now: 0) == nil)
        #expect(fixture.statistics.refusedUnsupported == 2)
    }
}
