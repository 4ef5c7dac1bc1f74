// Installing flows: reply first, then original, as two rules with one fate.
//
// Invariant: a flow is `active` only with both rules; whatever else happens ends in the teardown of what was made. A
// full table, a missing feature and a failing driver are three things: the first is learnt, the second ends the shape,
// the third pauses the adapter. None is tried again for the same flow at once.
import CDPDK
import Wire

extension OffloadManager {
    func installWaiting(now: Timestamp) -> Int {
        var installed = 0
        while installed < options.installsPerRun, let next = waiting.first {
            guard records[next.index].serial == next.serial, records[next.index].state == .wanted else {
                waiting.removeFirst()
                continue
            }
            let places = (records[next.index].reply.adapter, records[next.index].original.adapter)
            // No budget: the line waits. Both directions of a flow are taken at once.
            guard adapters[places.0].takeBudget(rate: options.insertRate, burst: options.installsPerRun, now: now),
                places.0 == places.1
                    || adapters[places.1].takeBudget(rate: options.insertRate, burst: options.installsPerRun, now: now)
            else { break }
            waiting.removeFirst()
            install(next.index, now: now)
            installed += 1
        }
        return installed
    }

    private func install(_ index: Int, now: Timestamp) {
        records[index].state = .installing
        records[index].lastPoll = now
        guard createBoth(index, now: now) else {
            return tearDown(index, refusal: records[index].refusal, retryAfter: records[index].retryAfter, now: now)
        }
        records[index].state = .active
        records[index].installedAt = now
        records[index].packetsPerSecond = records[index].candidate.packetsPerSecond
        records[index].nextPoll = now &+ options.pollPeriod
        polling.append(index, serial: records[index].serial)
        account.installed += 1
        send(event(.installed, records[index].candidate, time: now))
    }

    /// Creates both rules, reply first; false with the record's refusal set and possibly one rule made.
    func createBoth(_ index: Int, now: Timestamp) -> Bool {
        makeRoom(index, now: now)
        return create(index, \.reply, now: now) && create(index, \.original, now: now)
    }

    /// Creates one direction's rule; false with the record's refusal set.
    private func create(_ index: Int, _ side: WritableKeyPath<OffloadRecord, OffloadDirection>, now: Timestamp) -> Bool {
        let place = records[index][keyPath: side].adapter
        guard adapters[place].isUp else { return refuse(index, .portDown, until: now &+ OffloadManager.retryDelay) }
        guard !adapters[place].isPaused(now: now) else { return refuse(index, .breaker, until: adapters[place].resumeTime) }
        guard adapters[place].hasRoom(now: now) else { return refuse(index, .tableFull, until: adapters[place].nextGrowth) }
        var handle: UInt = 0
        var error = nt_flow_error()
        let number = nt_flow_create(adapters[place].port.dpdkPort, &records[index][keyPath: side].raw, &handle, &error)
        if number == 0 {
            records[index][keyPath: side].handle = handle
            records[index][keyPath: side].lastSeen = now
            adapters[place].rules += 1
            adapters[place].noteSuccess(now: now)
            return true
        }
        noteFailure("create", error)
        switch number {
        case ENOSPC, ENOMEM:
            adapters[place].tableWasFull(now: now)
            return refuse(index, .tableFull, until: adapters[place].nextGrowth)
        case ENOTSUP, EINVAL, ENOSYS:
            return shapeFailed(index, side, now: now)
        default:
            adapters[place].noteFailure(now: now)
            return refuse(index, .driver, until: now &+ OffloadManager.retryDelay)
        }
    }

    /// The driver dislikes a rule of a shape that it took in the trial. If it dislikes the trial's rule now as well, its
    /// table is full (some say so with EINVAL) or, with no rule in it, the shape is gone until the port resumes.
    private func shapeFailed(_ index: Int, _ side: WritableKeyPath<OffloadRecord, OffloadDirection>, now: Timestamp) -> Bool {
        let raw = records[index][keyPath: side].raw
        let place = records[index][keyPath: side].adapter
        guard let output = adapters.first(where: { $0.port.dpdkPort == raw.output })?.port else {
            return refuse(index, .outputPort, until: .max)
        }
        let key = OffloadShapeKey(output: output.index, family: raw.family, transportProtocol: raw.protocol)
        let again = OffloadTrial(ingress: adapters[place].port, output: output, key: key).run()
        if again.tier == .full { return refuse(index, .driver, until: now &+ 6 * OffloadManager.retryDelay) }
        if adapters[place].rules > 0 {
            adapters[place].tableWasFull(now: now)
            return refuse(index, .tableFull, until: adapters[place].nextGrowth)
        }
        adapters[place].capability.shapes[key] = again
        return refuse(index, .capability, until: .max)
    }

    private func refuse(_ index: Int, _ reason: OffloadRefusal, until: Timestamp) -> Bool {
        records[index].refusal = reason
        records[index].retryAfter = until
        return false
    }
}
