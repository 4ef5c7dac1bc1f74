// What a step of a sweep may take, and that steps together leave nothing out.
import FlowCache
import Foundation
import Testing
import Wire

@Suite struct SweepTests {
    /// Nanoseconds that this thread has run.
    private static var cpuTime: Int {
        var time = timespec()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        return time.tv_sec * 1_000_000_000 + time.tv_nsec
    }

    /// Every entry that stays is reported exactly once a round, each step within its budget, while others come and go.
    @Test func stepsAreBoundedAndComplete() {
        let fixture = CacheFixture(ipv4: 4000, ipv6: 2000)
        for number in 0 ..< UInt32(3000) { fixture.insert(FlowDescription.plain(key(number, ipv6: number % 3 == 0))) }
        var random = Random(3)
        for _ in 0 ..< 5 {
            var cursor = FlowSweepCursor(), reports: [FlowHandle: Int] = [:], isRound = false, steps = 0
            let staying = (0 ..< UInt32(1500)).compactMap { fixture.lookup(key($0, ipv6: $0 % 3 == 0)) }
            while !isRound {
                var visited = 0
                isRound = fixture.sweep(&cursor, budget: 128) { record in
                    visited += 1
                    reports[record.handle, default: 0] += 1
                    return true
                }
                #expect(visited <= 128)
                steps += 1
                let other = key(UInt32.random(in: 1500 ..< 3000, using: &random), ipv6: false)
                if let handle = fixture.lookup(other) { fixture.remove(handle) } else { fixture.insert(FlowDescription.plain(other)) }
            }
            #expect(staying.count == 1500 && staying.allSatisfy { reports[$0] == 1 })
            #expect(steps > 40)
        }
        #expect(FlowCache.sweepBudget(slots: 21_000_000) == FlowCache.largestSweep && FlowCache.sweepBudget(slots: 0) == 128)
    }

    /// The largest step over a full table far beyond the caches, counts read, a tenth of its entries removed. CPU time, so that other load does not
    /// matter; ten times as much in a debug build.
    @Test(arguments: [false, true]) func aStepTakesAQuarterOfAMillisecond(ipv6: Bool) {
        let count = 400_000
        let fixture = CacheFixture(ipv4: ipv6 ? 0 : count, ipv6: ipv6 ? count : 0)
        for number in 0 ..< UInt32(count) { fixture.insert(FlowDescription.plain(key(number, ipv6: ipv6))) }
        var cursor = FlowSweepCursor(), times: [Int] = [], reported: UInt64 = 0, live = 0
        for _ in 0 ..< 120 {
            let before = Self.cpuTime
            _ = fixture.sweep(&cursor, budget: FlowCache.largestSweep) { record in
                live += 1
                reported &+= record.packets
                return live % 10 != 0
            }
            times.append(Self.cpuTime - before)
        }
        times.sort()
        var isDebug = false
        assert({ isDebug = true; return true }())
        print("sweep, \(ipv6 ? "IPv6" : "IPv4"): \(FlowCache.largestSweep) slots in \(times[60] / 1000) us, at most \(times[119] / 1000) us\(isDebug ? " (debug build)" : "")")
        #expect(live > 100_000 && times[60] < (isDebug ? 10 : 1) * 250_000)
    }
}
