// From a packet's walk through the rules to a flow-cache entry, and back from the entry's counts to every counter.
//
// Invariant: an entry exists only while its connection would still be judged as it was: a change of state, mark, rules,
// routes or neighbours withdraws it or makes it stale. Every packet that a worker counted is credited exactly once, to
// the counters its flow passes, its connection and nobody else. Sources: DESIGN, "Invisible offload".
import Conntrack
import FlowCache
import Policy
import Wire

extension SlowPath {
    // MARK: - Publishing

    /// Decides whether the rest of this packet's flow may skip the rules, and prepares the entry. `commitPublication`
    /// makes it visible once the caller has queued this packet, so that the flow's packets leave in order.
    mutating func considerPublishing(_ transit: inout Transit) {
        // A packet that left in pieces has no link header of its own that the entry could be made of.
        guard let key = transit.arrivalKey, isInPlaceUsed, !transit.isOwn, settings.cachesFlows else { return }
        if let obstacle = obstacle(transit.context.parsed.flags) {
            if transit.tracking.hasConnection { obstacles[Int(transit.tracking.connection)] = obstacle }
            return
        }
        guard !transit.tracking.hasConnection || transit.tracking.state == .established else { return }
        publishes = describeFlow(&transit, key)
    }

    /// Describes the packet's flow in `publication`; false if it is not to be cached.
    private mutating func describeFlow(_ transit: inout Transit, _ key: FlowKey) -> Bool {
        let parsed = transit.context.parsed
        var flow = FlowDescription()
        flow.guard.tcpFlagsMask = walk.pointee.tcpFlagsMask
        if transit.tracking.hasConnection {
            let connection = tracker.pointee.connection(transit.tracking.connection)
            guard !transit.tracking.isRelatedError, !connection.pointee.status.contains(.dying) else { return false }
            if key.transportProtocol == IPProtocol.tcp {
                guard connection.pointee.tcpState == .established, connection.pointee.status.contains(.assured) else { return false }
                flow.guard.tcpFlagsMask |= TCPFlags.syn | TCPFlags.fin | TCPFlags.rst
                guard transit.arrivalTCPFlags & (TCPFlags.syn | TCPFlags.fin | TCPFlags.rst) == 0 else { return false }
                flow.guard.checksTCPWindow = !settings.isTCPLiberal
            }
            guard !connection.pointee.isReadBeyondPorts, obstacles[Int(transit.tracking.connection)].kind != .severalWorkers else { return false }
            // A packet more than two seconds old makes these assured, and nobody tells the worker: a rule may have asked.
            if walk.pointee.reads.contains(.connectionStatus), !connection.pointee.status.contains(.assured) {
                guard key.transportProtocol != IPProtocol.udp, key.transportProtocol != IPProtocol.udplite, key.transportProtocol != IPProtocol.gre else { return false }
            }
            // Tunnels of PPTP differ by call ID, which the cache's key does not have.
            guard key.transportProtocol != IPProtocol.gre || connection.pointee.original.destinationPort == 0 else { return false }
            // NAT drops what is too short for a GRE header of eight bytes, which no guard looks at.
            guard key.transportProtocol != IPProtocol.gre || connection.pointee.status.isDisjoint(with: [.sourceNAT, .destinationNAT]) else { return false }
            // Any packet of an association may hold the chunk that changes its state or ends it.
            guard key.transportProtocol != IPProtocol.sctp else { return false }
            flow.guard.checksTransportChecksum = settings.verifiesChecksums
            flow.connection = transit.tracking.connection
            flow.direction = transit.tracking.direction.rawValue
        } else if transit.wasJudged {
            return false
        } else if transit.tracking.state != .untracked, program.needs(.conntrack, transit.context.family) {
            return false
        }
        flow.key = key
        flow.guard.tcpFlagsValue = transit.arrivalTCPFlags & flow.guard.tcpFlagsMask
        flow.guard.trafficClassMask = walk.pointee.trafficClassMask
        flow.guard.trafficClassValue = transit.arrivalTrafficClass & walk.pointee.trafficClassMask
        flow.guard.maximumLength = UInt16(clamping: transit.pathMTU)
        flow.rewrite.outputPort = transit.egress
        flow.rewrite.vlanCount = transit.departureTags.count
        flow.rewrite.vlanTags = transit.departureTags.bytes
        flow.rewrite.pppoeSession = transit.departureSession
        flow.rewrite.destinationMAC = transit.packet.loadMAC(0)
        flow.rewrite.sourceMAC = transit.packet.loadMAC(6)
        flow.rewrite.source = parsed.sourceAddress
        flow.rewrite.destination = parsed.destinationAddress
        flow.neighbour = transit.neighbour
        guard let leaving = FlowKey(parsed: parsed, ingress: transit.ingress) else { return false }
        flow.rewrite.sourcePort = leaving.sourcePort
        flow.rewrite.destinationPort = leaving.destinationPort
        flow.rewrite.trafficClassMask = walk.pointee.setTrafficClassMask
        flow.rewrite.trafficClassValue = walk.pointee.setTrafficClassValue
        flow.rewrite.writesChecksumLast = walk.pointee.writesChecksumLast
        publication = flow
        publishedTimeToLive = transit.arrivalTimeToLive
        return true
    }

    /// What keeps the packet's flow in the slow path, whatever its connection's state.
    private mutating func obstacle(_ flags: ParsedPacket.Flags) -> FlowObstacle? {
        if !walk.pointee.isCacheable { return FlowObstacle(kind: .rule, reason: walk.pointee.uncacheableReason, rule: walk.pointee.uncacheableRule) }
        if flags.contains(.hasOptions) { return FlowObstacle(kind: .options) }
        if hasLinkHooks { return FlowObstacle(kind: .linkHook) }
        if settings.cachesOnlyFlowtables, walk.pointee.flowtable == UInt32.max { return FlowObstacle(kind: .noFlowtable) }
        return nil
    }

    /// Publishes what the last `process` prepared, for worker `worker`, whose packet it was. Call it after the packet itself was queued
    /// for sending.
    public mutating func commitPublication(worker: Int = 0, now: Timestamp) {
        guard publishes else { return }
        publishes = false
        publication.owner = FlowOwner(worker: worker)
        let isTracked = publication.connection != FlowDescription.untracked
        let place = isTracked ? Int(publication.connection) * 2 + Int(publication.direction) : 0
        let before: FlowHandle?
        switch flows.pointee.claim(&publication, last: isTracked ? handles[place] : nil, now: now) {
        case .granted(let existing): before = existing
        case .postponed: return
        case .spread:
            if isTracked { obstacles[Int(publication.connection)] = FlowObstacle(kind: .severalWorkers) }
            return
        }
        let count = Int(walk.pointee.counterCount)
        let list = withUnsafeTemporaryAllocation(of: UInt32.self, capacity: WalkRecord.counterCapacity) { ids -> UInt32? in
            for index in 0 ..< count { ids[index] = walk.pointee.counter(index) }
            return credits.intern(UnsafeBufferPointer(start: ids.baseAddress, count: count))
        }
        guard let list else { return }
        publication.creditList = list
        let flow = publication
        if flow.guard.checksTCPWindow, isTracked { tracker.pointee.shareWindow(flow.connection) }
        guard let handle = flows.pointee.insert(flow, now: now) else {
            credits.release(list)
            return
        }
        if handle == before { credits.release(list) }
        guard isTracked else { return }
        noteTimeToLive(flow.connection, direction: flow.direction, publishedTimeToLive)
        if handles[place] != .none { flows.pointee.remove(handles[place], except: handle) }
        handles[place] = handle
        if settings.portSteering != nil { noteDirections(place) }
    }

    // MARK: - Withdrawing

    /// Ends caching of connections that died. Best while what they were is still in the processor's cache: behind each batch.
    public mutating func withdrawRetired() {
        for place in 0 ..< tracker.pointee.unannounced {
            let handles = handles + Int(tracker.pointee.unannounced(place)) * 2
            if handles[0] != .none { foresight.request(handles[0]) }
            if handles[1] != .none { foresight.request(handles[1]) }
        }
        while let dead = tracker.pointee.takeRetired() {
            withdrawFlows(of: dead)
            // What kept it in the slow path says nothing of the next connection in its place.
            obstacles[Int(dead)] = FlowObstacle()
        }
    }

    /// Ends caching of a connection's directions, if they are cached.
    mutating func withdrawFlows(of connection: UInt32) {
        noteWithdrawn(connection)
        // Most connections end before they were cached.
        for place in Int(connection) * 2 ... Int(connection) * 2 + 1 where handles[place] != .none {
            flows.pointee.remove(handles[place])
            handles[place] = .none
        }
    }

    /// A connection that left ESTABLISHED goes on in the slow path.
    mutating func withdrawIfClosing(_ index: UInt32) {
        let connection = tracker.pointee.connection(index)
        guard connection.pointee.transportProtocol == IPProtocol.tcp, connection.pointee.tcpState != .established else { return }
        withdrawFlows(of: index)
    }

    // MARK: - Crediting

    /// Credits what workers forwarded for one entry to the counters on its way, to its connection and to its neighbour.
    mutating func credit(_ record: FlowRecord, now: Timestamp) {
        guard record.packets > 0 else { return }
        noteNeighbour(record, at: record.lastUsed, now: now)
        for counter in credits[record.creditList] { ruleset.credit(counter: counter, packets: record.packets, bytes: record.bytes) }
        guard record.connection != FlowDescription.untracked else { return }
        let generation = tracker.pointee.connection(record.connection).pointee.generation
        tracker.pointee.noteActivity(record.connection, generation: generation, direction: record.direction == 0 ? .original : .reply,
                                     packets: record.packets, bytes: record.bytes, lastSeen: record.lastUsed)
    }

    /// An entry's flow was forwarded, the last packet at `time`: its next hop is in use. A stale entry's may be another's by now.
    mutating func noteNeighbour(_ record: FlowRecord, at time: Timestamp, now: Timestamp) {
        guard record.neighbour != FlowDescription.noNeighbour, !record.isStale else { return }
        router.neighbours.noteUse(record.neighbour, at: time, now: now)
    }

    /// Credits up to `budget` slots; removes entries of flows without connection that fell silent. True after a full round.
    @discardableResult
    public mutating func sweepFlows(budget: Int, now: Timestamp) -> Bool {
        let flows = self.flows
        var cursor = sweepCursor
        let idle = settings.untrackedIdle
        let isRound = flows.pointee.sweep(&cursor, budget: budget, now: now) { record in
            credit(record, now: now)
            if record.connection != FlowDescription.untracked { noteBusy(record, now: now) }
            return record.connection != FlowDescription.untracked || now &- min(now, record.lastUsed) < idle
        }
        sweepCursor = cursor
        return isRound
    }

    /// Credits what workers have counted for a connection's entries so far.
    mutating func creditFlows(of connection: UInt32, now: Timestamp) {
        for place in Int(connection) * 2 ... Int(connection) * 2 + 1 {
            if let record = flows.pointee.report(handles[place], now: now) { credit(record, now: now) }
            if let record = flows.pointee.reportOther(handles[place], now: now) { credit(record, now: now) }
        }
    }

    /// Credits everything that workers have counted so far, so that a listing is exact.
    public mutating func creditAllFlows(now: Timestamp) {
        let flows = self.flows
        flows.pointee.sweep(now: now) { record in
            credit(record, now: now)
            return true
        }
    }

    // MARK: - Reclaiming

    /// True if slots wait for the workers: let each report a quiescent state, then call `endGracePeriod`.
    public mutating func beginGracePeriod() -> Bool {
        let flowsWait = flows.pointee.beginGracePeriod()
        graceMark = tracker.pointee.limboMark
        let windowsWait = tracker.pointee.beginWindowGracePeriod()
        return flowsWait || windowsWait || tracker.pointee.limboCount > 0
    }

    /// Every worker has been quiescent since `beginGracePeriod`: last counts are credited, slots are free again.
    public mutating func endGracePeriod(now: Timestamp) {
        let flows = self.flows
        flows.pointee.endGracePeriod(now: now) { record in
            credit(record, now: now)
            if record.holdsCredits { credits.release(record.creditList) }
        }
        tracker.pointee.endWindowGracePeriod()
        tracker.pointee.reclaim(upTo: graceMark)
    }

    // MARK: - Resizing

    /// Goes on with a resize of the flow cache that `beginResize` began, for up to `budget` slots: entries of the old table are credited
    /// to their end and their connections told their new names.
    public mutating func advanceFlowResize(budget: Int, now: Timestamp) -> FlowCache.ResizeStep {
        let flows = self.flows
        return flows.pointee.advanceResize(budget: budget, now: now) { record, heir in
            credit(record, now: now)
            if record.holdsCredits { credits.release(record.creditList) }
            guard record.connection != FlowDescription.untracked else { return }
            let place = Int(record.connection) * 2 + Int(record.direction)
            if handles[place] == record.handle { handles[place] = heir ?? .none }
        }
    }
}
