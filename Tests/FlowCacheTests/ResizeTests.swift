// Growing and shrinking: nothing is lost, no verdict outlives its withdrawal, every packet is reported once, whatever is inserted and
// removed in whichever phase.
import FlowCache
import Testing
import Wire

@Suite struct ResizeTests {
    /// Counts a packet as a worker does; false if the reader does not find the flow.
    private func hit(_ reader: FlowCacheReader, _ key: FlowKey, ipv6: Bool) -> Bool {
        guard let entry = reader.find(PackedFlowKey(key)) else { return false }
        entry.addRelaxed32(ipv6 ? FlowEntryOffset.packets6 : FlowEntryOffset.packets4, 1)
        entry.addRelaxed64(ipv6 ? FlowEntryOffset.bytes6 : FlowEntryOffset.bytes4, 10)
        return true
    }

    @Test func watchedPortsAndTablesAreApart() {
        let fixture = CacheFixture(ipv4: 24, maximum: 1000)
        fixture.insert(.plain(key(1)))
        for (round, capacity) in [48, 96, 192, 384].enumerated() {
            let ports: UInt64 = round % 2 == 0 ? 0b101 : .max
            fixture.watch(ports: ports)
            fixture.beginResize(FlowResize(isIPv6: false, capacity: capacity, isGrowth: true))
            fixture.finishResize()
            for port in 0 ..< 4 as Range<UInt16> { #expect(fixture.reader.watches(port) == (ports >> UInt64(port) & 1 == 1)) }
            fixture.watch(ports: ~ports)
            #expect(fixture.reader.find(PackedFlowKey(key(1))) != nil && fixture.reader.find(PackedFlowKey(key(2))) == nil)
        }
    }

    @Test func grownAndShrunkAsConfigured() {
        let fixture = CacheFixture(ipv4: 100, ipv6: 100, maximum: 1000)
        var sizes: [Int] = []
        var next: UInt32 = 0
        while next < 1000 {
            if let wanted = fixture.wantedResize() {
                #expect(wanted.isGrowth && !wanted.isIPv6)
                sizes.append(wanted.capacity)
                #expect(fixture.beginResize(wanted))
                #expect(fixture.wantedResize() == nil)
                #expect(!fixture.beginResize(wanted))
                fixture.finishResize()
            }
            #expect(fixture.insert(.plain(key(next))) != nil)
            next += 1
        }
        #expect(sizes == [200, 400, 800, 1000])
        #expect(fixture.wantedResize() == nil)
        for number in 0..<UInt32(1000) { #expect(fixture.lookup(key(number)) != nil) }
        #expect(fixture.insert(.plain(key(1001))) == nil)
        #expect(fixture.statistics.refusedTableFull == 1)
        fixture.sweep { _ in false }
        if fixture.beginGracePeriod() { fixture.endGracePeriod() }
        sizes = []
        while let wanted = fixture.wantedResize() {
            #expect(!wanted.isGrowth)
            sizes.append(wanted.capacity)
            fixture.beginResize(wanted)
            fixture.finishResize()
        }
        #expect(sizes == [500, 250, 125, 100])
        #expect(fixture.statistics.resizes == 8)
    }

    @Test func aFullTableTakesMoreWhileItGrows() {
        let fixture = CacheFixture(ipv4: 100, ipv6: 0, maximum: 400)
        for number in 0..<UInt32(100) { #expect(fixture.insert(.plain(key(number))) != nil) }
        #expect(fixture.insert(.plain(key(100))) == nil)
        fixture.beginResize(FlowResize(isIPv6: false, capacity: 400, isGrowth: true))
        let handle = fixture.insert(.plain(key(100)))
        #expect(handle != nil && fixture.lookup(key(100)) == handle)
        #expect(fixture.insert(.plain(key(100))) == handle)
        // A reader of the old table takes the slow path with it until the new one is there.
        #expect(fixture.reader.find(PackedFlowKey(key(100))) == nil)
        for number in 101..<UInt32(400) { #expect(fixture.insert(.plain(key(number))) != nil) }
        fixture.finishResize()
        #expect(handle.flatMap { fixture.current($0) } == handle)
        for number in 0..<UInt32(400) { #expect(fixture.reader.find(PackedFlowKey(key(number))) != nil) }
        #expect(fixture.statistics.ipv4Entries == 400)
    }

    @Test func handlesFollowTheirFlow() throws {
        let fixture = CacheFixture(ipv4: 100, ipv6: 0, maximum: 400)
        let old = try #require(fixture.insert(.plain(key(1))))
        fixture.beginResize(FlowResize(isIPv6: false, capacity: 200, isGrowth: true))
        #expect(fixture.advanceResize(budget: 1000) == .unfinished)
        // Readers may use either table: the old name names the flow's new one.
        let new = try #require(fixture.current(old))
        #expect(new != old && fixture.current(new) == new && fixture.lookup(key(1)) == new && fixture.inspect(old)?.handle == new)
        #expect(fixture.beginGracePeriod())
        fixture.endGracePeriod()
        var told: [FlowHandle?] = []
        while fixture.advanceResize(budget: 7, { told += [$0.handle, $1] }) == .unfinished {}
        #expect(told == [old, new])
        #expect(!fixture.isLive(old) && fixture.isLive(new))
        #expect(fixture.remove(new) && fixture.lookup(key(1)) == nil)
    }

    @Test func removalReachesBothTables() throws {
        for phase in 0..<4 {
            let fixture = CacheFixture(ipv4: 100, ipv6: 0, maximum: 400)
            let handle = try #require(fixture.insert(.plain(key(1))))
            let oldReader = fixture.reader
            fixture.beginResize(FlowResize(isIPv6: false, capacity: 200, isGrowth: true))
            if phase == 1 { _ = fixture.advanceResize(budget: 100) }
            if phase >= 2 { _ = fixture.advanceResize(budget: 1000) }
            if phase == 3, fixture.beginGracePeriod() { fixture.endGracePeriod() }
            #expect(fixture.remove(handle))
            #expect(oldReader.find(PackedFlowKey(key(1))) == nil || phase == 3)
            #expect(fixture.reader.find(PackedFlowKey(key(1))) == nil)
            var credits = 0
            fixture.finishResize({ record, _ in credits += record.holdsCredits ? 1 : 0 }, reclaimed: { credits += $0.holdsCredits ? 1 : 0 })
            #expect(fixture.lookup(key(1)) == nil)
            if fixture.beginGracePeriod() { fixture.endGracePeriod { credits += $0.holdsCredits ? 1 : 0 } }
            #expect(credits == 1)
            #expect(fixture.statistics.actions == 0)
        }
    }

    @Test func aNewVerdictReachesBothTables() throws {
        for phase in 0..<4 {
            let fixture = CacheFixture(ipv4: 100, ipv6: 0, maximum: 400)
            var flow = FlowDescription.plain(key(1))
            fixture.insert(flow)
            var readers = [fixture.reader]
            fixture.beginResize(FlowResize(isIPv6: false, capacity: 200, isGrowth: true))
            if phase == 1 { _ = fixture.advanceResize(budget: 100) }
            if phase >= 2 { _ = fixture.advanceResize(budget: 1000) }
            if phase == 3, fixture.beginGracePeriod() { fixture.endGracePeriod() }
            if phase == 3 { readers = [] }
            readers.append(fixture.reader)
            flow.connection = 9
            let handle = try #require(fixture.insert(flow))
            for reader in readers {
                if let entry = reader.find(PackedFlowKey(key(1))) { #expect(entry.assumingMemoryBound(to: FlowEntry4.self).pointee.connection == 9) }
            }
            fixture.finishResize()
            let entry = try #require(fixture.reader.find(PackedFlowKey(key(1))))
            #expect(entry.assumingMemoryBound(to: FlowEntry4.self).pointee.connection == 9)
            #expect(fixture.current(handle) == fixture.lookup(key(1)) || fixture.current(handle) == nil)
        }
    }

    /// Readers of each view that may be in use count packets at random times; a dictionary says what is cached.
    @Test(arguments: [(false, UInt64(1)), (true, 2), (false, 3), (false, 4), (true, 5)])
    func agreesWithADictionaryWhileResized(ipv6: Bool, seed: UInt64) {
        let fixture = CacheFixture(ipv4: 200, ipv6: 200, actions: 64, seed: seed)
        var random = Random(seed)
        var cached: [FlowKey: FlowHandle] = [:]
        var lists: [UInt32: Int] = [:]
        var counted: UInt64 = 0
        var reported: UInt64 = 0
        /// What a worker that has not reported since has, and what one that has does.
        var stale = fixture.reader
        var fresh = fixture.reader
        func close(_ record: FlowRecord) {
            reported += record.packets
            if record.holdsCredits { lists[record.creditList, default: 0] -= 1 }
            #expect(lists[record.creditList, default: 0] >= 0)
        }
        for step in 0..<30_000 {
            let key = key(UInt32.random(in: 0..<700, using: &random), ipv6: ipv6)
            switch Int.random(in: 0..<20, using: &random) {
            case 0..<5:
                var flow = FlowDescription.plain(key)
                flow.connection = UInt32.random(in: 0..<2, using: &random)
                flow.creditList = UInt32.random(in: 0..<3, using: &random)
                lists[flow.creditList, default: 0] += 1
                let before = fixture.lookup(key)
                let handle = fixture.insert(flow)
                if let handle { cached[key] = handle }
                if handle == nil || handle == before { lists[flow.creditList, default: 0] -= 1 }
                if handle != nil { #expect(fixture.inspect(key)?.connection == flow.connection && fixture.inspect(key)?.creditList == flow.creditList) }
            case 5..<8:
                if let handle = cached.removeValue(forKey: key) { #expect(fixture.remove(handle), "step \(step)") }
                #expect(fixture.lookup(key) == nil && stale.find(PackedFlowKey(key)) == nil && fresh.find(PackedFlowKey(key)) == nil)
            case 8..<15:
                if hit(stale, key, ipv6: ipv6) { counted += 1 }
                if hit(fresh, key, ipv6: ipv6) { counted += 1 }
            case 15:
                if fixture.beginGracePeriod() {
                    fresh.refresh()
                    if hit(stale, key, ipv6: ipv6) { counted += 1 }
                    stale.refresh()
                    fixture.endGracePeriod(close)
                }
            case 16:
                fixture.sweep { reported += $0.packets; return true }
            case 17:
                if !fixture.isResizing {
                    let size = [100, 200, 400, 800].randomElement(using: &random)!
                    // A table that cannot hold what is cached would lose some.
                    if size > cached.count { fixture.beginResize(FlowResize(isIPv6: ipv6, capacity: size, isGrowth: true)) }
                }
            default:
                _ = fixture.advanceResize(budget: 60) { record, heir in
                    close(record)
                    if cached[record.key] == record.handle { cached[record.key] = heir }
                }
                if Bool.random(using: &random) { fresh.refresh() }
            }
            if fixture.isResizing || step % 100 == 0 {
                #expect(cached[key].flatMap { fixture.current($0) } == fixture.lookup(key), "step \(step)")
            }
        }
        fixture.finishResize({ record, _ in close(record) }, reclaimed: close)
        #expect(fixture.statistics.resizes > 20)
        fixture.sweep { reported += $0.packets; return false }
        while fixture.beginGracePeriod() { fixture.endGracePeriod(close) }
        #expect(counted > 1000 && reported == counted)
        #expect(lists.values.allSatisfy { $0 == 0 })
        #expect(fixture.statistics.actions == 0)
    }
}
