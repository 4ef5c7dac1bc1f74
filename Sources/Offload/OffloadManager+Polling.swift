// Reading the NIC's counters into credit for the slow path, and finding the flows that went idle.
//
// Invariant: a packet is credited once, and never before the NIC counted it. Counters are read without reset, since a
// reset whose answer is lost loses the count.
import CDPDK
import Wire

extension OffloadManager {
    func pollDue(now: Timestamp) -> Int {
        var polled = 0
        while polled < options.queriesPerRun, let next = polling.first {
            guard records[next.index].serial == next.serial, records[next.index].state == .active else {
                polling.removeFirst()
                continue
            }
            guard records[next.index].nextPoll <= now else { break }
            polling.removeFirst()
            polled += 1
            poll(next.index, now: now)
            guard records[next.index].serial == next.serial, records[next.index].state == .active else { continue }
            records[next.index].nextPoll = now &+ options.pollPeriod
            polling.append(next.index, serial: next.serial)
        }
        return polled
    }

    /// One poll of one flow: credit, rate, and whether it is still where it belongs.
    private func poll(_ index: Int, now: Timestamp) {
        let before = (records[index].original.totalPackets, records[index].reply.totalPackets)
        let elapsed = now &- records[index].lastPoll
        let creditable = backlog.isEmpty
        credit(index, now: now, final: false)
        let hits = (records[index].original.totalPackets &- before.0, records[index].reply.totalPackets &- before.1)
        if elapsed > 0 {
            let rate = (hits.0 &+ hits.1).multipliedFullWidth(by: 1_000_000_000)
            let perSecond = rate.high < elapsed ? elapsed.dividingFullWidth(rate).quotient : .max
            records[index].packetsPerSecond = UInt32(clamping: perSecond)
        }
        if creditable && (isLost(index, \.original, hits: hits.0) || isLost(index, \.reply, hits: hits.1)) {
            return repair(index, now: now)
        }
        let lastSeen = max(records[index].original.lastSeen, records[index].reply.lastSeen)
        if options.idleTimeout > 0 && now > lastSeen && now - lastSeen >= options.idleTimeout {
            tearDown(index, refusal: .idle, now: now)
        }
    }

    /// Credits both directions with what the NIC counted since the last credit.
    /// - Parameter final: the credit may not wait for a better moment if the ring is full.
    /// - Returns: whether there was anything to credit.
    @discardableResult
    func credit(_ index: Int, now: Timestamp, final: Bool) -> Bool {
        let original = credit(index, \.original, direction: 0, now: now, final: final)
        let reply = credit(index, \.reply, direction: 1, now: now, final: final)
        records[index].lastPoll = now
        return original || reply
    }

    private func credit(
        _ index: Int, _ side: WritableKeyPath<OffloadRecord, OffloadDirection>, direction: UInt8, now: Timestamp, final: Bool
    ) -> Bool {
        guard records[index][keyPath: side].handle != 0 else { return false }
        let port = adapters[records[index][keyPath: side].adapter].port.dpdkPort
        var count = nt_flow_count()
        var error = nt_flow_error()
        guard nt_flow_query(port, &records[index][keyPath: side].raw, records[index][keyPath: side].handle, &count, &error) == 0 else {
            noteFailure("query", error)
            return false
        }
        return credit(index, side, direction: direction, count: count, now: now, final: final)
    }

    /// Credits one direction with what the NIC's counter shows.
    @discardableResult
    func credit(
        _ index: Int, _ side: WritableKeyPath<OffloadRecord, OffloadDirection>, direction: UInt8, count: nt_flow_count, now: Timestamp,
        final: Bool
    ) -> Bool {
        var it = records[index][keyPath: side]
        guard count.has_packets != 0 else { return false }
        // A counter that went backwards was reset by the NIC: it counts from zero.
        let restarted = count.packets < it.creditedPackets || (count.has_bytes != 0 && count.bytes < it.creditedBytes)
        let packets = restarted ? count.packets : count.packets - it.creditedPackets
        let frameBytes = restarted ? count.bytes : count.bytes - it.creditedBytes
        guard packets > 0 else { return false }
        let linkBytes = packets &* UInt64(it.linkHeaderLength)
        var lastSeen = it.lastSeen
        if count.has_idle != 0 {
            lastSeen = max(lastSeen, now &- min(count.idle_ns, now))
        } else {
            // Some time after the last poll: no later than one period after it.
            lastSeen = max(lastSeen, min(now, records[index].lastPoll &+ options.pollPeriod))
        }
        let description = direction == 0 ? records[index].candidate.original : records[index].candidate.reply
        var credit = event(.credit, records[index].candidate, time: lastSeen)
        credit.direction = direction
        credit.connection = description.connection
        credit.creditList = description.creditList
        credit.packets = packets
        credit.bytes = frameBytes > linkBytes ? frameBytes - linkBytes : 0
        if final {
            send(credit)
        } else if !backlog.isEmpty || !client.outbox.push(credit) {
            return false
        }
        it.creditedPackets = count.packets
        it.creditedBytes = count.bytes
        it.totalPackets &+= packets
        it.totalBytes &+= credit.bytes
        it.lastSeen = lastSeen
        records[index][keyPath: side] = it
        adapters[it.adapter].carriedPackets &+= packets
        adapters[it.adapter].carriedBytes &+= frameBytes
        account.carriedPackets &+= packets
        account.carriedBytes &+= frameBytes
        return true
    }
}
