// Taking flows out of the NIC: destroy, last count, and only then the farewell that frees slots and NAT port.
//
// Invariant: a flow of which any rule may still work is kept with everything it holds. A rule that cannot be destroyed
// makes a zombie: it is credited and retried with growing delays, and after `attemptsToFlush` the whole port is flushed,
// which removes its good rules as well; those flows are offered again by the traffic itself.
import CDPDK
import Wire

extension OffloadManager {
    static let firstDestroyDelay: UInt64 = 100_000_000
    static let longestDestroyDelay: UInt64 = 10_000_000_000
    static let attemptsToFlush = 8

    /// Takes a flow out, or out of the waiting line, and sends its farewell with `refusal` as the reason.
    /// - Parameter retryAfter: when a new offer makes sense.
    func tearDown(_ index: Int, refusal: OffloadRefusal, retryAfter: Timestamp = 0, now: Timestamp) {
        switch records[index].state {
        case .none, .draining, .zombie:
            return
        case .wanted, .installing:
            records[index].farewell = .refused
        case .active:
            records[index].farewell = .removed
        }
        records[index].refusal = refusal
        records[index].retryAfter = max(now, retryAfter)
        records[index].state = .draining
        destroyBoth(index, now: now)
    }

    private func destroyBoth(_ index: Int, now: Timestamp) {
        guard removeRules(index, now: now) else { return }
        finish(index, now: now)
    }

    /// Concludes a flow without rules, now or when its counters are final.
    private func finish(_ index: Int, now: Timestamp) {
        if records[index].state == .zombie { account.recoveredZombies += 1 }
        records[index].state = .draining
        if records[index].isSettling {
            settling.append(index, serial: records[index].serial)
        } else {
            conclude(index, now: now)
        }
    }

    /// Credits and destroys both directions' rules. If one stays, the flow is a zombie: false.
    func removeRules(_ index: Int, now: Timestamp) -> Bool {
        let destroyed = (destroy(index, \.original, direction: 0, now: now), destroy(index, \.reply, direction: 1, now: now))
        if destroyed.0 && destroyed.1 { return true }
        if records[index].state == .active { records[index].farewell = .removed }
        if records[index].state != .zombie {
            records[index].state = .zombie
            zombies.append(index)
        }
        let delay = OffloadManager.firstDestroyDelay << UInt64(min(records[index].destroyAttempts, 16))
        records[index].destroyAttempts += 1
        records[index].nextDestroy = now &+ min(delay, OffloadManager.longestDestroyDelay)
        return false
    }

    /// Destroys one direction's rule and credits its last count.
    /// - Returns: whether the direction has no rule any more.
    private func destroy(
        _ index: Int, _ side: WritableKeyPath<OffloadRecord, OffloadDirection>, direction: UInt8, now: Timestamp
    ) -> Bool {
        let it = records[index][keyPath: side]
        guard it.handle != 0 else { return true }
        var error = nt_flow_error()
        var count = nt_flow_count()
        guard nt_flow_destroy(adapters[it.adapter].port.dpdkPort, &records[index][keyPath: side].raw, it.handle, &count, &error) == 0 else {
            noteFailure("destroy", error)
            adapters[it.adapter].noteFailure(now: now)
            credit(index, now: now, final: true)
            return false
        }
        credit(index, side, direction: direction, count: count, now: now, final: true)
        if count.settle_ns > 0 {
            records[index][keyPath: side].counter = it.handle
            records[index][keyPath: side].settleAt = now &+ count.settle_ns
            forget(index, side, keepsCount: true)
        } else {
            forget(index, side)
        }
        return true
    }

    private func forget(
        _ index: Int, _ side: WritableKeyPath<OffloadRecord, OffloadDirection>, keepsCount: Bool = false
    ) {
        guard records[index][keyPath: side].handle != 0 else { return }
        records[index][keyPath: side].handle = 0
        adapters[records[index][keyPath: side].adapter].rules -= 1
        guard !keepsCount else { return }
        records[index][keyPath: side].creditedPackets = 0
        records[index][keyPath: side].creditedBytes = 0
    }

    /// Reads the counters that are final now and concludes their flows. Flows of one kind of NIC settle in order.
    func settleDue(now: Timestamp) -> Int {
        var settled = 0
        while let next = settling.first {
            guard records[next.index].serial == next.serial, records[next.index].state == .draining else {
                settling.removeFirst()
                continue
            }
            guard max(records[next.index].original.settleAt, records[next.index].reply.settleAt) <= now else { break }
            settling.removeFirst()
            settle(next.index, now: now)
            conclude(next.index, now: now)
            settled += 1
        }
        return settled
    }

    /// Reads a flow's last counters, final or not.
    func settle(_ index: Int, now: Timestamp) {
        settle(index, \.original, direction: 0, now: now)
        settle(index, \.reply, direction: 1, now: now)
    }

    private func settle(_ index: Int, _ side: WritableKeyPath<OffloadRecord, OffloadDirection>, direction: UInt8, now: Timestamp) {
        let it = records[index][keyPath: side]
        guard it.counter != 0 else { return }
        var count = nt_flow_count()
        var error = nt_flow_error()
        records[index][keyPath: side].counter = 0
        if nt_flow_settle(adapters[it.adapter].port.dpdkPort, it.counter, &count, &error) == 0 {
            credit(index, side, direction: direction, count: count, now: now, final: true)
        } else {
            noteFailure("query", error)
        }
        records[index][keyPath: side].creditedPackets = 0
        records[index][keyPath: side].creditedBytes = 0
    }

    /// The port stops: what its counters show now has to do.
    func settleAll(of place: Int, now: Timestamp) {
        for index in records.indices where records[index].state == .draining && records[index].isSettling {
            guard records[index].original.adapter == place || records[index].reply.adapter == place else { continue }
            settle(index, now: now)
            conclude(index, now: now)
        }
    }

    func retryZombies(now: Timestamp) -> Int {
        guard !zombies.isEmpty else { return 0 }
        var tried = 0
        for index in zombies where records[index].state == .zombie && records[index].nextDestroy <= now {
            tried += 1
            if records[index].destroyAttempts >= OffloadManager.attemptsToFlush {
                flushForZombie(index, now: now)
            } else {
                destroyBoth(index, now: now)
            }
        }
        zombies.removeAll { records[$0].state != .zombie }
        return tried
    }

    /// The last resort for a rule that does not go: everything on its ports goes.
    private func flushForZombie(_ index: Int, now: Timestamp) {
        records[index].destroyAttempts = 0
        records[index].nextDestroy = now &+ OffloadManager.longestDestroyDelay
        for place in Set([records[index].original.adapter, records[index].reply.adapter]) where adapters[place].isUp {
            let port = adapters[place].port.index
            flushPort(port, now: now)
            resumePort(port, now: now)
        }
    }

    /// The driver flushed the rule: only its counter may be left.
    private func void(_ index: Int, _ side: WritableKeyPath<OffloadRecord, OffloadDirection>) {
        guard records[index][keyPath: side].handle != 0 else { return }
        records[index][keyPath: side].counter = records[index][keyPath: side].handle
        forget(index, side, keepsCount: true)
    }

    /// Flushes whatever rules a port still has. If the driver does, its handles are void and flows that waited for
    /// their end are concluded.
    func flushRules(of place: Int, now: Timestamp) {
        // A port that never took a rule is not flushed: many drivers have no such call.
        guard adapters[place].capability.tier != .none else { return }
        for index in records.indices where records[index].state == .zombie { credit(index, now: now, final: true) }
        var error = nt_flow_error()
        guard nt_flow_flush(adapters[place].port.dpdkPort, &error) == 0 else { return noteFailure("flush", error) }
        for index in records.indices where records[index].state == .zombie {
            if records[index].original.adapter == place { void(index, \.original) }
            if records[index].reply.adapter == place { void(index, \.reply) }
            guard !records[index].hasHandle else { continue }
            settle(index, now: now)
            finish(index, now: now)
        }
        zombies.removeAll { records[$0].state != .zombie }
    }
}
