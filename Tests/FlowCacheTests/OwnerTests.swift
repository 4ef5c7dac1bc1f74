// Whose an entry is: one worker's, another's after a while, or everybody's; and that no packet is lost to the counts whichever worker
// gets it.
@testable import FlowCache
import Foundation
import Synchronization
import Testing
import Wire

@Suite struct OwnerTests {
    private static let second: Timestamp = 1_000_000_000

    private static func owner(_ fixture: CacheFixture, _ key: FlowKey) -> UInt64? {
        guard let entry = fixture.reader.find(PackedFlowKey(key)) else { return nil }
        let tuple = key.source.family == .ipv4
            ? entry.assumingMemoryBound(to: FlowEntry4.self).pointee.tuple : entry.assumingMemoryBound(to: FlowEntry6.self).pointee.tuple
        return tuple & FlowOwner.mask
    }

    @Test func wordsDiffer() {
        // A worker that can own entries looks for what they say; one that cannot, for nothing that any entry says.
        let owners = (0 ..< 40).map { FlowOwner(worker: $0).word }, readers = (0 ..< 40).map { FlowOwner.reader(worker: $0).word }
        #expect(Set(owners).count == 32 && owners[31...].allSatisfy { $0 == FlowOwner.shared.word })
        #expect(readers[..<31] == owners[..<31])
        #expect(Set(owners).isDisjoint(with: readers[31...]))
        #expect(owners.allSatisfy { $0 & ~FlowOwner.mask == 0 })
    }

    @Test(arguments: [false, true]) func anEntryChangesHandsOrIsShared(ipv6: Bool) {
        let fixture = CacheFixture()
        let wanted = key(7, ipv6: ipv6), flow = FlowDescription.plain(wanted)
        let first = fixture.publish(flow, worker: 3, now: 0).1
        #expect(OwnerTests.owner(fixture, wanted) == FlowOwner(worker: 3).word)
        #expect(fixture.publish(flow, worker: 3, now: 5 * OwnerTests.second).1 == first)
        // An old entry goes over: the redirection table changed.
        let second = fixture.publish(flow, worker: 1, now: 5 * OwnerTests.second).1
        #expect(second != first && OwnerTests.owner(fixture, wanted) == FlowOwner(worker: 1).word)
        // A young one is shared from then on.
        let third = fixture.publish(flow, worker: 3, now: 5 * OwnerTests.second + 1000).1
        #expect(third != second && OwnerTests.owner(fixture, wanted) == FlowOwner.shared.word)
        for worker in [0, 1, 3, 35] { #expect(fixture.publish(flow, worker: worker, now: 50 * OwnerTests.second).1 == third) }
        #expect(fixture.inspect(wanted, now: 50 * OwnerTests.second)?.key == wanted)
        // What cannot own an entry shares it at once.
        let other = key(8, ipv6: ipv6)
        fixture.publish(FlowDescription.plain(other), worker: 40, now: 0)
        #expect(OwnerTests.owner(fixture, other) == FlowOwner.shared.word)
    }

    @Test func aResizeKeepsOwnerAndAge() {
        let fixture = CacheFixture(ipv4: 64, maximum: 1024)
        let wanted = key(7, ipv6: false), flow = FlowDescription.plain(wanted)
        fixture.publish(flow, worker: 2, now: 10 * OwnerTests.second)
        fixture.beginResize(FlowResize(isIPv6: false, capacity: 256, isGrowth: true))
        fixture.finishResize()
        #expect(OwnerTests.owner(fixture, wanted) == FlowOwner(worker: 2).word)
        fixture.publish(flow, worker: 4, now: 10 * OwnerTests.second + 1)
        #expect(OwnerTests.owner(fixture, wanted) == FlowOwner.shared.word)
    }

    @Test func aWindowHasOneWriter() throws {
        let fixture = CacheFixture()
        var flow = FlowDescription.plain(key(7, ipv6: false))
        flow.key.transportProtocol = IPProtocol.tcp
        flow.guard.checksTCPWindow = true
        flow.connection = 5
        let first = try #require(fixture.publish(flow, worker: 0, now: 0).1)
        // Another worker's packet ends the entry, and the next one begins only after every worker has let go of it.
        let late = 3 * OwnerTests.second
        #expect(fixture.publish(flow, worker: 1, last: first, now: late).0 == .postponed)
        #expect(fixture.lookup(flow.key) == nil)
        #expect(fixture.publish(flow, worker: 1, last: first, now: late).0 == .postponed)
        #expect(fixture.beginGracePeriod())
        #expect(fixture.publish(flow, worker: 1, last: first, now: late).0 == .postponed)
        fixture.endGracePeriod()
        let second = try #require(fixture.publish(flow, worker: 1, last: first, now: late).1)
        // So soon after, it is spread.
        #expect(fixture.publish(flow, worker: 0, last: second, now: late + 1).0 == .spread)
        #expect(fixture.lookup(flow.key) == nil)
        // The one that had it may have it again at once.
        #expect(fixture.publish(flow, worker: 1, last: second, now: late + 1).0.isGranted)
    }

    private final class Requests: Sendable {
        /// By key: the worker that wants it, plus one.
        private final class Value: Sendable { let value = Atomic<UInt32>(0) }
        private let values: [Value]
        let stop = Atomic<Bool>(false)
        let done = Atomic<Int>(0), packets = Atomic<UInt64>(0), bytes = Atomic<UInt64>(0), shared = Atomic<UInt64>(0), refused = Atomic<UInt64>(0)
        let quiescent: [Atomic64]
        final class Atomic64: Sendable { let value = Atomic<UInt64>(0) }
        init(count: Int, readers: Int) {
            values = (0 ..< count).map { _ in Value() }
            quiescent = (0 ..< readers).map { _ in Atomic64() }
        }
        func want(_ key: Int, by worker: Int) { values[key].value.store(UInt32(worker + 1), ordering: .relaxed) }
        func take(_ key: Int) -> Int { Int(values[key].value.exchange(0, ordering: .relaxed)) - 1 }
    }

    /// Every worker gets packets of every flow: those that may not be counted go to the writer, as the worker's go to the slow path.
    @Test(arguments: [false, true]) func countsAreExactHoweverPacketsAreSpread(ipv6: Bool) {
        let workers = 4, universe = 48
        let seconds = Double(ProcessInfo.processInfo.environment["NEEDLETAIL_STRESS_SECONDS"] ?? "") ?? 1.5
        let fixture = CacheFixture(ipv4: 96, ipv6: 96, actions: 16)
        let firstReader = fixture.reader
        let requests = Requests(count: universe, readers: workers)
        let epoch = Requests.Atomic64()
        let probes = (0 ..< universe).map { PackedFlowKey(key(UInt32($0), ipv6: ipv6)) }
        for worker in 0 ..< workers {
            Thread.detachNewThread {
                var random = Random(UInt64(worker) + 1), reader = firstReader
                let own = FlowOwner.reader(worker: worker).word
                let packetsAt = ipv6 ? FlowEntryOffset.packets6 : FlowEntryOffset.packets4, bytesAt = ipv6 ? FlowEntryOffset.bytes6 : FlowEntryOffset.bytes4
                var packets: UInt64 = 0, bytes: UInt64 = 0, shared: UInt64 = 0, refused: UInt64 = 0
                while !requests.stop.load(ordering: .relaxed) {
                    for _ in 0 ..< 32 {
                        // Half of the flows reach one worker most of the time, the others any.
                        var wanted = Int.random(in: 0 ..< universe, using: &random)
                        if wanted < universe / 2, Int.random(in: 0 ..< 5000, using: &random) != 0 { wanted = wanted / workers * workers + worker }
                        guard let entry = reader.find(probes[wanted]) else {
                            requests.want(wanted, by: worker)
                            continue
                        }
                        let tuple = ipv6 ? entry.assumingMemoryBound(to: FlowEntry6.self).pointee.tuple : entry.assumingMemoryBound(to: FlowEntry4.self).pointee.tuple
                        switch tuple & FlowOwner.mask {
                        case own:
                            entry.addRelaxed32(packetsAt, 1)
                            entry.addRelaxed64(bytesAt, UInt64(wanted))
                        case FlowOwner.shared.word:
                            entry.addShared(packets: packetsAt, bytes: bytesAt, UInt64(wanted))
                            shared += 1
                        default:
                            requests.want(wanted, by: worker)
                            refused += 1
                            continue
                        }
                        packets += 1
                        bytes += UInt64(wanted)
                    }
                    // Release, pairs with the writer's acquiring load: it reads the counts of this burst.
                    requests.quiescent[worker].value.store(epoch.value.load(ordering: .acquiring), ordering: .releasing)
                    reader.refresh()
                }
                requests.quiescent[worker].value.store(.max, ordering: .releasing)
                requests.packets.add(packets, ordering: .relaxed)
                requests.bytes.add(bytes, ordering: .relaxed)
                requests.shared.add(shared, ordering: .relaxed)
                requests.refused.add(refused, ordering: .relaxed)
                requests.done.add(1, ordering: .releasing)
            }
        }
        var random = Random(5), reportedPackets: UInt64 = 0, reportedBytes: UInt64 = 0, now: Timestamp = 0, lastEpoch: UInt64 = 0
        func account(_ record: FlowRecord) {
            reportedPackets += record.packets
            reportedBytes += record.bytes
        }
        let end = Date().addingTimeInterval(seconds)
        while Date() < end {
            // Sometimes entries are young, sometimes old.
            now += [1_000_000, 1_500_000_000].randomElement(using: &random)!
            for wanted in 0 ..< universe {
                let worker = requests.take(wanted)
                guard worker >= 0 else { continue }
                fixture.publish(FlowDescription.plain(key(UInt32(wanted), ipv6: ipv6)), worker: worker, now: now)
            }
            if Int.random(in: 0 ..< 4, using: &random) == 0 {
                if let handle = fixture.lookup(key(UInt32.random(in: 0 ..< UInt32(universe), using: &random), ipv6: ipv6)) { fixture.remove(handle) }
            }
            if !fixture.isResizing, Int.random(in: 0 ..< 20, using: &random) == 0 {
                fixture.beginResize(FlowResize(isIPv6: ipv6, capacity: [96, 200, 400].randomElement(using: &random)!, isGrowth: true))
            }
            _ = fixture.advanceResize(budget: 100) { record, _ in account(record) }
            if fixture.beginGracePeriod() {
                lastEpoch += 1
                epoch.value.store(lastEpoch, ordering: .releasing)
                for reader in requests.quiescent { while reader.value.load(ordering: .acquiring) < lastEpoch { Thread.sleep(forTimeInterval: 0) } }
                fixture.endGracePeriod(account)
            }
            fixture.sweep { account($0); return true }
        }
        requests.stop.store(true, ordering: .relaxed)
        while requests.done.load(ordering: .acquiring) < workers { Thread.sleep(forTimeInterval: 0.001) }
        fixture.finishResize({ record, _ in account(record) }, reclaimed: account)
        fixture.sweep { account($0); return false }
        if fixture.beginGracePeriod() { fixture.endGracePeriod(account) }
        #expect(requests.shared.load(ordering: .relaxed) > 100 && requests.refused.load(ordering: .relaxed) > 100)
        #expect(reportedPackets == requests.packets.load(ordering: .relaxed) && reportedPackets > 1000)
        #expect(reportedBytes == requests.bytes.load(ordering: .relaxed))
    }
}
