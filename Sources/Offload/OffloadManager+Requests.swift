// Taking offers and withdrawals: from the ring to a record, or to a refusal with its reason.
//
// Invariant: each candidate taken gets exactly one answer in the end: `refused`, or `installed` and later `removed`.
import CDPDK
import FlowCache
import Wire

extension OffloadManager {
    private static let requestsPerRun = 256
    /// When a refused flow may be offered again, if the refusal has no better answer.
    static let retryDelay: UInt64 = 10_000_000_000

    func takeRequests(now: Timestamp) -> Int {
        var taken = 0
        while taken < OffloadManager.requestsPerRun, let request = client.inbox.pop() {
            take(request, now: now)
            taken += 1
        }
        return taken
    }

    func take(_ request: OffloadRequest, now: Timestamp) {
        switch request.kind {
        case .offer:
            account.offered += 1
            consider(request.candidate, now: now)
        case .withdraw:
            // An unknown flow was refused or removed already: its event is on the way.
            guard let index = recordOf[request.candidate.slot] else { return }
            tearDown(index, refusal: .withdrawn, now: now)
        case .withdrawAll:
            epoch &+= 1
            recallCursor = 0
        case .softwareHits:
            guard let index = recordOf[request.candidate.slot] else { return }
            if request.direction == 0 { records[index].original.softwareHit = true } else { records[index].reply.softwareHit = true }
        }
    }

    /// Goes on taking back the flows of an earlier epoch.
    func recall(now: Timestamp) -> Int {
        guard var index = recallCursor else { return 0 }
        var removed = 0
        while index < records.count && removed < OffloadManager.requestsPerRun {
            if records[index].epoch != epoch && (records[index].state == .active || records[index].state == .wanted) {
                tearDown(index, refusal: .withdrawn, now: now)
                removed += 1
            }
            index += 1
        }
        recallCursor = index < records.count ? index : nil
        return max(removed, 1)
    }

    private func consider(_ candidate: OffloadCandidate, now: Timestamp) {
        // A duplicate is not answered: the flow's own answer is still to come.
        guard recordOf[candidate.slot] == nil else {
            account.refused[.duplicate, default: 0] += 1
            return
        }
        guard records.count - freeRecords.count < options.maximumFlows else {
            return refuse(candidate, .flowLimit, until: now &+ OffloadManager.retryDelay)
        }
        do throws(FlowRuleRefused) {
            var record = OffloadRecord(candidate: candidate)
            guard mirror(candidate) else { throw FlowRuleRefused(reason: .shape) }
            record.original = try direction(candidate.original, timeToLive: candidate.originalTimeToLive)
            record.reply = try direction(candidate.reply, timeToLive: candidate.replyTimeToLive)
            guard isFastEnough(record, now: now) else { throw FlowRuleRefused(reason: .rate) }
            record.state = .wanted
            record.epoch = epoch
            let index = insert(record)
            recordOf[candidate.slot] = index
            waiting.append(index, serial: records[index].serial)
        } catch {
            let isTemporary = error.reason == .portDown || error.reason == .rate
            refuse(candidate, error.reason, until: isTemporary ? now &+ OffloadManager.retryDelay : .max)
        }
    }

    /// Whether the reply is the original seen from the other side: ports crossed, addresses as the rewrite left them.
    private func mirror(_ candidate: OffloadCandidate) -> Bool {
        let there = candidate.original
        let back = candidate.reply
        return there.key.transportProtocol == back.key.transportProtocol
            && there.rewrite.outputPort == back.key.ingressPort && back.rewrite.outputPort == there.key.ingressPort
            && there.rewrite.source == back.key.destination && there.rewrite.destination == back.key.source
            && there.rewrite.sourcePort == back.key.destinationPort && there.rewrite.destinationPort == back.key.sourcePort
    }

    private func direction(_ flow: FlowDescription, timeToLive: UInt8) throws(FlowRuleRefused) -> OffloadDirection {
        guard let ingress = adapter(of: flow.key.ingressPort), let output = adapter(of: flow.rewrite.outputPort) else {
            throw FlowRuleRefused(reason: .outputPort)
        }
        guard adapters[ingress].isUp, adapters[output].isUp else { throw FlowRuleRefused(reason: .portDown) }
        guard flow.key.transportProtocol == IPProtocol.tcp || flow.key.transportProtocol == IPProtocol.udp else {
            throw FlowRuleRefused(reason: .transportProtocol)
        }
        let key = OffloadShapeKey(
            output: flow.rewrite.outputPort, family: flow.key.source.family.rawValue, transportProtocol: flow.key.transportProtocol)
        guard let shape = adapters[ingress].capability.shapes[key] else { throw FlowRuleRefused(reason: .capability) }
        let rule = try FlowRule(
            flow, timeToLive: timeToLive, ingress: adapters[ingress].port, output: adapters[output].port, shape: shape)
        var direction = OffloadDirection()
        direction.raw = rule.raw
        direction.adapter = ingress
        direction.linkHeaderLength = rule.linkHeaderLength
        return direction
    }

    private func insert(_ record: OffloadRecord) -> Int {
        if let index = freeRecords.popLast() {
            let serial = records[index].serial
            records[index] = record
            records[index].serial = serial
            return index
        }
        records.append(record)
        return records.count - 1
    }

    /// Frees a record without handles and tells the slow path what became of its flow.
    func conclude(_ index: Int, now: Timestamp) {
        let record = records[index]
        precondition(!record.hasHandle && !record.isSettling, "a flow with a rule on the NIC cannot be forgotten")
        recordOf[record.candidate.slot] = nil
        records[index].state = .none
        records[index].serial &+= 1
        freeRecords.append(index)
        if record.farewell == .refused {
            refuse(record.candidate, record.refusal, until: record.retryAfter)
        } else {
            account.removed += 1
            account.removedFor[record.refusal, default: 0] += 1
            var removed = event(.removed, record.candidate, time: record.retryAfter)
            removed.refusal = record.refusal
            send(removed)
        }
    }

    private func refuse(_ candidate: OffloadCandidate, _ reason: OffloadRefusal, until: Timestamp) {
        account.refused[reason, default: 0] += 1
        var refused = event(.refused, candidate, time: until)
        refused.refusal = reason
        send(refused)
    }

    func event(_ kind: OffloadEvent.Kind, _ candidate: OffloadCandidate, time: Timestamp) -> OffloadEvent {
        OffloadEvent(
            kind: kind, slot: candidate.slot, replySlot: candidate.replySlot, connection: candidate.original.connection,
            creditList: candidate.original.creditList, time: time)
    }

    /// Sends an event, behind those that wait for room.
    func send(_ event: OffloadEvent) {
        if !backlog.isEmpty || !client.outbox.push(event) { backlog.append(event) }
    }

    /// Sends what waited for room.
    func flushBacklog() -> Int {
        var sent = 0
        while sent < backlog.count, client.outbox.push(backlog[sent]) { sent += 1 }
        backlog.removeFirst(sent)
        return sent
    }

    /// Tries a port's capability and installs the guards that its rules count on.
    func bringUp(_ place: Int, now: Timestamp) {
        settleMTU(place)
        let ports = adapters.map(\.port)
        adapters[place].capability = OffloadCapability.trial(ingress: ports[place], ports: ports)
        if !options.carriesFlows { adapters[place].capability.limitToMark() }
        adapters[place].learnedCapacity = nil
        adapters[place].isUp = true
        for family: UInt8 in [4, 6] where adapters[place].capability.needsGuard(family: family) {
            installGuard(place, family: family)
        }
    }

    /// A device may receive longer packets than the port's MTU says; what counts for a flow's path is what it receives.
    private func settleMTU(_ place: Int) {
        let port = adapters[place].port
        if nt_nic_profile_of(port.dpdkPort) != nil { return nt_nic_set_mtu(port.dpdkPort, port.mtu) }
        var received: UInt16 = 0
        if rte_eth_dev_get_mtu(port.dpdkPort, &received) == 0 { adapters[place].port.mtu = max(port.mtu, received) }
    }

    private func installGuard(_ place: Int, family: UInt8) {
        let kind = adapters[place].capability.shapes.first { $0.key.family == family && $0.value.tier == .full }?.value.outputKind ?? 0
        var rule = FlowRule.lowTTLGuard(family: family, outputKind: kind).raw
        var handle: UInt = 0
        var error = nt_flow_error()
        guard nt_flow_create(adapters[place].port.dpdkPort, &rule, &handle, &error) == 0 else {
            // Without its guard a decrementing NIC would forward dying packets: no flow of this family, then.
            noteFailure("create", error)
            for key in adapters[place].capability.shapes.keys where key.family == family {
                adapters[place].capability.shapes[key]?.tier = .none
                adapters[place].capability.shapes[key]?.obstacle = "TTL guard: \(OffloadError(error))"
            }
            return
        }
        if family == 4 { adapters[place].guards.ipv4 = handle } else { adapters[place].guards.ipv6 = handle }
    }

    func removeGuards(_ place: Int) {
        let port = adapters[place].port.dpdkPort
        for handle in [adapters[place].guards.ipv4, adapters[place].guards.ipv6] where handle != 0 {
            var error = nt_flow_error()
            var rule = nt_flow_rule()
            var count = nt_flow_count()
            if nt_flow_destroy(port, &rule, handle, &count, &error) != 0 { noteFailure("destroy", error) }
        }
        // A guard that could not be destroyed goes with the flush of the port; it only sends packets to software.
        adapters[place].guards = (0, 0)
    }

    func noteFailure(_ call: String, _ error: nt_flow_error) {
        account.failures["\(call) \(String(cString: nt_flow_errno_name(error.number)))", default: 0] += 1
    }
}
