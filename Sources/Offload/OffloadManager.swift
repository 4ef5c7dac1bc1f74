// The one owner of every rte_flow call: takes candidates, installs both directions, reads counters, tears down in order.
//
// Three threads meet here and each has its part of the interface. The slow path: `offer`, `withdraw`, `drainEvents`
// (and `client`, the same without a class). The owner, an lcore of its own or replay's only thread: `runOnce`, `start`,
// `flushPort`, `creditAll`, `stop`, `summary`, `flows`. Anybody: `publishedSummary`. Nothing here sleeps or reads a
// clock; the same calls with the same times give the same events in the same order.
//
// When is a new entry refused: when inbox, flow table, rule table or budget is full; the flow then stays in software,
// which is always correct. When is an old one evicted: when idle, withdrawn or its port is flushed. Can an attacker
// make it blow up: no; all tables are bounded, and only established flows are offered.
import CDPDK
import FlowCache
import Synchronization
import Wire

/// The slow path's handle on the manager: two rings, no class instance.
public struct OffloadClient: Sendable {
    let inbox: MessageRing<OffloadRequest>
    let outbox: MessageRing<OffloadEvent>

    /// Offers both directions of an established flow. Its slots, connection and NAT port are the manager's as well
    /// from here until `refused` or `removed` comes back.
    /// - Returns: false if the ring is full; nothing was taken, try again later.
    public func offer(_ candidate: OffloadCandidate) -> Bool {
        inbox.push(OffloadRequest(candidate: candidate, kind: .offer))
    }

    /// Asks for the flow's rules to be removed; `removed` follows (or `refused` if they were never made).
    /// - Returns: false if the ring is full; try again later.
    public func withdraw(_ slot: OffloadSlot) -> Bool {
        inbox.push(OffloadRequest(.withdraw, of: slot))
    }

    /// Asks for every flow offered so far, because what they were offered by (the ruleset, a neighbour) is no longer so.
    /// - Returns: false if the ring is full; try again later.
    public func withdrawAll() -> Bool {
        inbox.push(OffloadRequest(.withdrawAll, of: OffloadSlot(index: 0, generation: 0)))
    }

    /// Says that workers forwarded packets of an installed flow by its flow-cache entry, packets that its rule should
    /// have taken. A rule that goes on counting nothing meanwhile was lost by the NIC: it is made anew once, and then
    /// the flow is given up. A hint: false if the ring is full.
    public func noteSoftwareHits(_ slot: OffloadSlot, direction: UInt8) -> Bool {
        var request = OffloadRequest(.softwareHits, of: slot)
        request.direction = direction
        return inbox.push(request)
    }

    /// Hands every waiting event to `body`, oldest first. Credit comes before the `removed` of its flow.
    /// - Returns: the number of events.
    @discardableResult
    public func drainEvents(_ body: (OffloadEvent) -> Void) -> Int {
        var count = 0
        while let event = outbox.pop() {
            body(event)
            count += 1
        }
        return count
    }
}

struct OffloadRequest {
    enum Kind: UInt8 { case offer, withdraw, withdrawAll, softwareHits }
    var candidate: OffloadCandidate
    var kind: Kind
    /// `softwareHits` only.
    var direction: UInt8 = 0

    init(candidate: OffloadCandidate, kind: Kind) {
        self.candidate = candidate
        self.kind = kind
    }

    init(_ kind: Kind, of slot: OffloadSlot) {
        self.init(
            candidate: OffloadCandidate(slot: slot, replySlot: slot, original: FlowDescription(), reply: FlowDescription()),
            kind: kind)
    }
}

public final class OffloadManager: @unchecked Sendable {
    /// The slow path's side.
    public let client: OffloadClient
    let options: OffloadOptions
    var adapters: [OffloadAdapter]
    private var adapterOf: [PortIndex: Int] = [:]
    var records: [OffloadRecord] = []
    var freeRecords: [Int] = []
    var recordOf: [OffloadSlot: Int] = [:]
    var waiting = RecordQueue()
    var polling = RecordQueue()
    var zombies: [Int] = []
    /// Flows whose rules are gone and whose counters are not final yet.
    var settling = RecordQueue()
    /// Where the search for the slowest flows goes on.
    var evictionCursor = 0
    var evictionsLeft = 0
    /// Bumped by `withdrawAll`: flows of an earlier epoch go, `recallCursor` says how far that got.
    var epoch: UInt32 = 0
    var recallCursor: Int?
    /// Events that found the outbox full; while there are any, no new work is begun.
    var backlog: [OffloadEvent] = []
    var account = OffloadSummary()
    private let published = Mutex(OffloadSummary())
    private var nextPublication: Timestamp = 0

    /// Makes the manager; ports have to be started (and emulated NICs attached) before `start`.
    public init(ports: [OffloadPort], options: OffloadOptions = OffloadOptions()) {
        self.options = options
        adapters = ports.map { OffloadAdapter(port: $0) }
        for (place, port) in ports.enumerated() { adapterOf[port.index] = place }
        client = OffloadClient(inbox: MessageRing(capacity: options.inboxCapacity), outbox: MessageRing(capacity: options.outboxCapacity))
    }

    deinit {
        client.inbox.deallocate()
        client.outbox.deallocate()
    }

    /// Finds each port's capability by trial and installs the guard rules. Owner only, after the ports started.
    public func start(now: Timestamp) {
        nt_nic_set_time(now)
        for place in adapters.indices { bringUp(place, now: now) }
        publish(now: now)
    }

    /// See `OffloadClient.offer`. Slow path only.
    public func offer(_ candidate: OffloadCandidate) -> Bool { client.offer(candidate) }
    /// See `OffloadClient.withdraw`. Slow path only.
    public func withdraw(_ slot: OffloadSlot) -> Bool { client.withdraw(slot) }
    /// See `OffloadClient.drainEvents`. Slow path only.
    @discardableResult
    public func drainEvents(_ body: (OffloadEvent) -> Void) -> Int { client.drainEvents(body) }

    /// One round: takes requests, retries, polls counters that are due, installs. Owner only.
    /// - Returns: the number of things done; 0 means idle.
    @discardableResult
    public func runOnce(now: Timestamp) -> Int {
        nt_nic_set_time(now)
        var done = flushBacklog()
        if backlog.isEmpty {
            done += takeRequests(now: now)
            done += recall(now: now)
            done += settleDue(now: now)
            done += retryZombies(now: now)
            done += pollDue(now: now)
            evictionsLeft = options.evictionsPerRun
            done += installWaiting(now: now)
        }
        if now >= nextPublication { publish(now: now) }
        return done
    }

    /// Queries every flow's counters now, due or not: before the ruleset is listed, before the final summary, and
    /// before a connection expires (the credit's time decides whether it is idle at all). Owner only.
    /// - Returns: the number of flows that had anything to credit.
    @discardableResult
    public func creditAll(now: Timestamp) -> Int {
        nt_nic_set_time(now)
        var credited = 0
        for index in records.indices where records[index].state == .active || records[index].state == .zombie {
            if credit(index, now: now, final: false) { credited += 1 }
        }
        return credited
    }

    /// Removes every flow that enters or leaves by the port, each with its last credit, and then whatever rules are
    /// left on it. Call before the port stops or changes; `resumePort` takes flows again. Owner only.
    public func flushPort(_ port: PortIndex, now: Timestamp) {
        nt_nic_set_time(now)
        guard let place = adapterOf[port] else { return }
        adapters[place].isUp = false
        for index in records.indices where records[index].state != .none {
            let key = records[index].candidate.original.key.ingressPort
            let output = records[index].candidate.original.rewrite.outputPort
            if key == port || output == port { tearDown(index, refusal: .portDown, now: now) }
        }
        removeGuards(place)
        flushRules(of: place, now: now)
        settleAll(of: place, now: now)
        publish(now: now)
    }

    /// Takes flows for the port again: tries its capability anew. Owner only.
    public func resumePort(_ port: PortIndex, now: Timestamp) {
        guard let place = adapterOf[port], !adapters[place].isUp else { return }
        bringUp(place, now: now)
    }

    /// Removes everything, each flow with its last credit; the slow path drains the events afterwards. Owner only.
    public func stop(now: Timestamp) {
        nt_nic_set_time(now)
        while let request = client.inbox.pop() { take(request, now: now) }
        for adapter in adapters { flushPort(adapter.port.index, now: now) }
        _ = flushBacklog()
    }

    /// The account of this moment. Owner only.
    public var summary: OffloadSummary {
        var summary = account
        for record in records {
            switch record.state {
            case .none: break
            case .active: summary.active += 1
            case .zombie: summary.zombies += 1
            case .wanted, .installing, .draining: summary.pending += 1
            }
        }
        let names = Dictionary(uniqueKeysWithValues: adapters.map { ($0.port.index, $0.port.name) })
        summary.ports = adapters.map { adapter in
            let profile = nt_nic_profile_of(adapter.port.dpdkPort)
            return OffloadSummary.Port(
                index: adapter.port.index, name: adapter.port.name,
                front: profile.map { "emulated NIC (\(String(cString: $0.pointee.name)))" } ?? "rte_flow",
                tier: adapter.capability.tier, capability: adapter.capability.report { names[$0] ?? "\($0)" },
                rules: adapter.rules, learnedCapacity: adapter.learnedCapacity, carriedPackets: adapter.carriedPackets,
                carriedBytes: adapter.carriedBytes, emulated: EmulatedNIC.statistics(port: adapter.port.dpdkPort))
        }
        return summary
    }

    /// The account as the owner published it last (each second of `runOnce`'s clock). Any thread.
    public var publishedSummary: OffloadSummary { published.withLock { $0 } }

    /// Status of up to `limit` flows. Owner only.
    public func flows(limit: Int) -> [OffloadFlowStatus] {
        records.lazy.filter { $0.state != .none }.prefix(limit).map { record in
            OffloadFlowStatus(
                slot: record.candidate.slot, state: record.state, connection: record.candidate.original.connection,
                packets: (record.original.totalPackets, record.reply.totalPackets),
                bytes: (record.original.totalBytes, record.reply.totalBytes),
                packetsPerSecond: record.packetsPerSecond,
                lastSeen: max(record.original.lastSeen, record.reply.lastSeen))
        }
    }

    private func publish(now: Timestamp) {
        nextPublication = now &+ 1_000_000_000
        let current = summary
        published.withLock { $0 = current }
    }

    /// The adapter of a port; nil for a port that the manager does not know.
    func adapter(of port: PortIndex) -> Int? { adapterOf[port] }
}
