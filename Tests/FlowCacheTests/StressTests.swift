// One writer, four readers, on real threads, while flows come and go, rulesets change and the table is resized: no torn entry,
// nothing found that was reclaimed, no verdict and no ruleset acted on that a quiescent period has passed since, every packet counted
// once. And that a run sees it when a rule of the protocol is broken: the same writer and readers, but their steps in turns on one thread, so that
// what is forbidden happens in the middle of a burst however busy the machine is.
// Meant for ThreadSanitizer as well: swift test --sanitize=thread --filter StressTests
import FlowCache
import Foundation
import Synchronization
import Testing

/// Quiescence as rte_rcu does it, over Swift's atomics.
private final class Quiescence: Sendable {
    let epoch = Atomic<UInt64>(1)
    let seen: [Reader]
    final class Reader: Sendable { let value = Atomic<UInt64>(0) }
    init(readers: Int) { seen = (0..<readers).map { _ in Reader() } }
    /// Reader, between bursts: the release store pairs with the writer's acquire load in `wait`.
    func report(_ reader: Int) { seen[reader].value.store(epoch.load(ordering: .acquiring), ordering: .releasing) }
    func leave(_ reader: Int) { seen[reader].value.store(.max, ordering: .releasing) }
    /// Writer: until every reader has reported after this call.
    func wait() {
        let target = epoch.load(ordering: .relaxed) + 1
        epoch.store(target, ordering: .releasing)
        for reader in seen {
            while reader.value.load(ordering: .acquiring) < target { Thread.sleep(forTimeInterval: 0) }
        }
    }
}

private final class Threads: Sendable {
    let stop = Atomic<Bool>(false)
    let done = Atomic<Int>(0)
}

@Suite struct StressTests {
    private static func fixture() -> CacheFixture { CacheFixture(ipv4: 600, ipv6: 600, actions: 64) }

    @Test(arguments: [false, true]) func readersSeeWholeEntriesAndEveryPacketCounts(ipv6: Bool) {
        let seconds = Double(ProcessInfo.processInfo.environment["NEEDLETAIL_STRESS_SECONDS"] ?? "") ?? 1.5
        let fixture = StressTests.fixture(), cache = fixture.reader, flags = StressFlags(keys: StressEntry.keys)
        let quiescence = Quiescence(readers: StressReader.count), threads = Threads()
        for number in 0 ..< StressReader.count {
            Thread.detachNewThread {
                var reader = StressReader(number, ipv6: ipv6, cache, flags)
                while !threads.stop.load(ordering: .relaxed) {
                    reader.begin()
                    reader.finish()
                    quiescence.report(number)
                    reader.refresh()
                }
                // No more reader: never waited for again.
                quiescence.leave(number)
                reader.addTotals()
                // Release, pairs with the acquiring load below: the totals are complete.
                threads.done.add(1, ordering: .releasing)
            }
        }
        var writer = StressWriter(ipv6: ipv6, fixture, flags)
        let end = Date().addingTimeInterval(seconds)
        while Date() < end || fixture.statistics.resizes == 0 { writer.round { quiescence.wait() } }
        threads.stop.store(true, ordering: .relaxed)
        while threads.done.load(ordering: .acquiring) < StressReader.count { Thread.sleep(forTimeInterval: 0.001) }
        let outcome = writer.finish()
        print("stress, \(ipv6 ? "IPv6" : "IPv4"): \(outcome.hits) packets by \(StressReader.count) readers, \(outcome.resizes) resizes, \(outcome.torn) torn, \(outcome.stale) stale")
        #expect(outcome.resizes > 0 && outcome.hits > 1000)
        #expect(outcome.torn == 0)
        #expect(outcome.stale == 0)
        #expect(outcome.countsAreExact)
    }

    /// In turns: every round of the writer's, or each part of it that may be done before a burst ends, falls into the middle of all readers' bursts.
    private static func inTurns(rounds: Int, ipv6: Bool, without broken: BrokenRule? = nil) -> StressOutcome {
        let fixture = fixture(), flags = StressFlags(keys: StressEntry.keys)
        var readers = (0 ..< StressReader.count).map { StressReader($0, ipv6: ipv6, fixture.reader, flags, sharesKeys: broken == .countsTogether) }
        var writer = StressWriter(ipv6: ipv6, fixture, flags, without: broken)
        func finishBursts() {
            // The first reader's additions are cut in two by the whole burst of the second.
            var second = readers[1], isCut = false
            readers[0].finish {
                if !isCut { second.finish() }
                isCut = true
            }
            readers[1] = second
            for number in readers.indices {
                readers[number].finish()
                readers[number].refresh()
            }
        }
        for _ in 0 ..< rounds {
            for number in readers.indices { readers[number].begin() }
            writer.round {
                finishBursts()
                for number in readers.indices { readers[number].begin() }
            }
            finishBursts()
        }
        for reader in readers { reader.addTotals() }
        return writer.finish()
    }

    /// A run fails without any one of the rules: it can fail. With all of them the same order of steps harms nothing.
    @Test(arguments: BrokenRule.allCases, [false, true]) func eachRuleIsNeeded(_ rule: BrokenRule, ipv6: Bool) {
        let broken = StressTests.inTurns(rounds: 200, ipv6: ipv6, without: rule)
        switch rule {
        case .reusesAtOnce, .forgetsTooEarly, .dropsRulesTooEarly: #expect(broken.torn + broken.stale > 0)
        case .countsTogether: #expect(!broken.countsAreExact && broken.torn + broken.stale == 0)
        }
        let right = StressTests.inTurns(rounds: 200, ipv6: ipv6)
        #expect(right.isRight && right.hits > 1000 && right.resizes > 1)
    }
}
