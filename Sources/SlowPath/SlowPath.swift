// Netfilter's pipeline as a plain function: one frame in, what Linux would have sent out, and why.
//
// Everything that a packet can change hangs on this value: connections, rule state, neighbours, flow-cache writer. It
// has one owner, the slow-path core; it reads no clock, no socket and no random source of its own, so the same calls
// give the same bytes. It knows nothing of DPDK.
//
// When is a new connection refused? When conntrack is full of assured ones (ConnectionTracker). When is an old one
// evicted? Conntrack's early drop. Can an attacker make this blow up? Every table below has a fixed size, every packet
// at most one bounded set of answers (Outbox), and errors are rate-limited (ICMPRateLimiter).
import Conntrack
import FlowCache
import Policy
import Routing
import Wire

/// What became of a frame.
@frozen public struct Outcome: Sendable {
    public var disposition: Disposition
    /// The frame itself is to be sent, as `packet` says (it may have moved or shrunk), after the outbox.
    public var sendsInPlace = false
    public var port: PortIndex = 0
    /// `commitPublication` has something to publish.
    public var publishes = false
}

public struct SlowPath: ~Copyable {
    public let settings: SlowPathSettings
    public let tracker: UnsafeMutablePointer<ConnectionTracker>
    public let flows: UnsafeMutablePointer<FlowCache>
    public internal(set) var ruleset: CompiledRuleset
    var program: Program
    var conntrackObjects = ConntrackObjects()
    /// Ports, addresses, routes, neighbours.
    public var router: Router {
        @inline(__always) unsafeAddress { UnsafePointer(UnsafeRawPointer(surroundings).assumingMemoryBound(to: Router.self)) }
        @inline(__always) unsafeMutableAddress { UnsafeMutableRawPointer(surroundings).assumingMemoryBound(to: Router.self) }
    }
    private let surroundings: UnsafeMutablePointer<Surroundings>
    public var outbox = Outbox()
    public var statistics = SlowPathStatistics()
    var reassembler: Reassembler
    var pendingPackets: PendingPackets
    var errorLimiter: ICMPRateLimiter
    var credits: CreditLists
    /// Two a connection, by direction: its flow-cache entries.
    let handles: UnsafeMutablePointer<FlowHandle>
    /// One a connection: what last kept it out of the flow cache.
    let obstacles: UnsafeMutablePointer<FlowObstacle>
    private let flowTimes: UnsafeMutablePointer<FlowTimes>
    /// One a connection: what is out in the NIC.
    let offered: UnsafeMutablePointer<OfferedFlow>
    let busy: UnsafeMutablePointer<UInt32>
    let measures: UnsafeMutablePointer<FlowMeasure>
    let softwareHits: UnsafeMutablePointer<SoftwareHit>
    var softwareHitCount = 0
    /// TTL or hop limit of the packet that `publication` was made of.
    var publishedTimeToLive: UInt8 = 0
    var busyCount = 0
    let withdrawn: UnsafeMutablePointer<FlowHandle>
    var withdrawnCount = 0
    /// The packet that `process` has in hand, and what it begins as.
    private let transits: UnsafeMutablePointer<Transit>
    /// Of the packets that are to come.
    let anticipations: UnsafeMutablePointer<Anticipation>
    let foresight: FlowForesight
    var anticipatedCount = 0
    /// Every offer is to be called back.
    var recallsOffers = false
    let walk: UnsafeMutablePointer<WalkRecord>
    let log: UnsafeMutablePointer<LogRing>
    let copies: UnsafeMutablePointer<CopyTray>
    var logLines: [LogLine] = []
    var sweepCursor = FlowSweepCursor()
    var graceMark: UInt64 = 0
    /// Counts rulesets: counter numbers mean something within one only.
    var rulesetGeneration: UInt32 = 0
    var neighbourGeneration: UInt32 = 1
    /// Holds something only if `publishes`.
    var publication = FlowDescription()
    var publishes = false
    /// The caller's frame as it is to be sent, if it is.
    public internal(set) var inPlace: PacketBuffer
    var inPlacePort: PortIndex = 0
    var isInPlaceUsed = false
    var random: SplitMix64
    let cookies: SYNCookies
    /// One a port: how it spreads what it receives. Only several workers make a difference (`SlowPath+Steering.swift`).
    let spreads: UnsafeMutablePointer<ReceiveSpread>
    let spreadCapacity: Int
    /// The worker whose packet `process` has in hand.
    var worker = 0
    /// Depth of own packets that cause own packets.
    var depth = 0
    /// What comes back over `lo`, if `hasReturning`.
    let returning: UnsafeMutablePointer<Transit>
    var hasReturning = false
    /// Depth of copies that cause copies: of packets, and of frames on a link.
    var copyDepth = 0
    var linkCopyDepth = 0

    public init(settings: SlowPathSettings, tracker: consuming ConnectionTracker, flows: consuming FlowCache,
                ruleset: CompiledRuleset, router: consuming Router, reassembler: consuming Reassembler) {
        self.settings = settings
        let slots = tracker.slots
        self.tracker = .allocate(capacity: 1)
        self.tracker.initialize(to: tracker)
        self.flows = .allocate(capacity: 1)
        self.flows.initialize(to: flows)
        foresight = self.flows.pointee.foresight
        self.ruleset = ruleset
        program = ruleset.program
        spreadCapacity = router.interfaces.capacity
        spreads = .allocate(capacity: spreadCapacity)
        spreads.initialize(repeating: .unknown, count: spreadCapacity)
        surroundings = .allocate(capacity: 1)
        surroundings.initialize(to: Surroundings(router: router, tracker: self.tracker))
        self.reassembler = reassembler
        pendingPackets = PendingPackets(capacity: settings.pendingPackets)
        errorLimiter = ICMPRateLimiter(perSecond: settings.icmpErrorsPerSecond, burst: settings.icmpErrorBurst)
        credits = CreditLists(capacity: settings.creditLists)
        handles = .allocate(capacity: slots * 2)
        handles.initialize(repeating: .none, count: slots * 2)
        obstacles = .allocate(capacity: slots)
        obstacles.initialize(repeating: FlowObstacle(), count: slots)
        offered = .allocate(capacity: slots)
        offered.initialize(repeating: OfferedFlow(), count: slots)
        busy = .allocate(capacity: Self.offloadQueueCapacity)
        busy.initialize(repeating: 0, count: Self.offloadQueueCapacity)
        measures = .allocate(capacity: settings.offload == nil ? 0 : slots)
        measures.initialize(repeating: FlowMeasure(), count: settings.offload == nil ? 0 : slots)
        softwareHits = .allocate(capacity: Self.offloadQueueCapacity)
        softwareHits.initialize(repeating: SoftwareHit(), count: Self.offloadQueueCapacity)
        withdrawn = .allocate(capacity: Self.offloadQueueCapacity)
        withdrawn.initialize(repeating: .none, count: Self.offloadQueueCapacity)
        transits = .allocate(capacity: 2)
        transits.initialize(
            repeating: Transit(packet: PacketBuffer(start: UnsafeMutableRawPointer(self.tracker), length: 0), ingress: Transit.noPort, now: 0, isInPlace: true), count: 2)
        returning = .allocate(capacity: 1)
        returning.initialize(to: transits.pointee)
        anticipations = .allocate(capacity: Self.anticipatedPackets)
        anticipations.initialize(repeating: Anticipation(), count: Self.anticipatedPackets)
        walk = .allocate(capacity: 1)
        walk.initialize(to: WalkRecord())
        log = .allocate(capacity: 1)
        log.initialize(to: LogRing(capacity: settings.logRecords))
        copies = .allocate(capacity: 1)
        copies.initialize(to: CopyTray())
        inPlace = PacketBuffer(start: UnsafeMutableRawPointer(walk), length: 0)
        random = SplitMix64(seed: settings.seed)
        cookies = SYNCookies(seed: settings.seed)
        flowTimes = .allocate(capacity: 1)
        flowTimes.initialize(to: FlowTimes(flows: self.flows, handles: handles))
        self.tracker.pointee.lastUse = FlowTimes.lastUse(flowTimes)
        let blank = transits + 1
        prepare(&blank.pointee.context, records: true)
        conntrackObjects.load(ruleset, into: self.tracker)
        watchPorts()
    }

    deinit {
        tracker.deinitialize(count: 1)
        tracker.deallocate()
        flows.deinitialize(count: 1)
        flows.deallocate()
        flowTimes.deallocate()
        handles.deallocate()
        obstacles.deallocate()
        offered.deallocate()
        busy.deallocate()
        measures.deallocate()
        softwareHits.deallocate()
        withdrawn.deallocate()
        transits.deallocate()
        returning.deallocate()
        anticipations.deallocate()
        walk.deallocate()
        for port in 0 ..< spreadCapacity { spreads[port].deallocate() }
        spreads.deallocate()
        surroundings.deinitialize(count: 1)
        surroundings.deallocate()
        log.pointee.deallocate()
        log.deallocate()
        copies.pointee.deallocate()
        copies.deallocate()
    }

    /// Takes a frame through the pipeline. Its memory is used in place and must stay valid until the outcome was acted on;
    /// the outbox holds what else is to be sent, until the next call.
    /// - Parameter worker: the one that received it.
    public mutating func process(_ packet: PacketBuffer, ingress: PortIndex, worker: Int = 0, now: Timestamp) -> Outcome {
        self.worker = worker
        outbox.removeAll()
        isInPlaceUsed = false
        publishes = false
        statistics.received &+= 1
        walk.pointee.reset()
        let transit = transits
        transit.update(from: transits + 1, count: 1)
        transit.pointee.context.packet = packet
        transit.pointee.context.input = ingress
        transit.pointee.context.now = now
        transit.pointee.context.wallClock = settings.wallClockOffset &+ now
        transit.pointee.ingress = ingress
        let disposition = receive(&transit.pointee)
        if disposition == .forwarded { considerPublishing(&transit.pointee) }
        finish(disposition, &transit.pointee)
        return Outcome(disposition: disposition, sendsInPlace: isInPlaceUsed, port: inPlacePort, publishes: publishes)
    }

    /// Books how a packet ended, and lets go of a connection that never came to be.
    mutating func finish(_ disposition: Disposition, _ transit: inout Transit) {
        switch disposition {
        case .forwarded:
            if transit.isOwn { statistics.generated &+= 1 } else { statistics.forwarded &+= 1 }
            if !transit.isOwn, transit.tracking.state == .established { statistics.establishedPackets &+= 1 }
        case .delivered: statistics.delivered &+= 1
        case .held: statistics.held &+= 1
        case .dropped(let reason):
            statistics.count(reason)
            if transit.tracking.hasConnection { tracker.pointee.release(transit.tracking) }
        }
    }

    mutating func prepare(_ context: inout PacketContext, records: Bool) {
        context.wallClock = settings.wallClockOffset &+ context.now
        context.zoneOffset = settings.zoneOffset
        context.walk = records ? walk : nil
        context.log = log
        context.copies = copies
        context.lookups = Surroundings.lookups(surroundings)
    }

    /// Everything that happens by the clock: dead connections, neighbours, fragments that waited too long. What is to be
    /// sent stands in the outbox afterwards. Call it every 10 ms or so.
    public mutating func runTimers(now: Timestamp) {
        outbox.removeAll()
        // The sweep may not have come by yet: a large flow cache takes seconds.
        let tracker = self.tracker
        tracker.pointee.forEachDue(now: now, budget: settings.timerBudget) { creditFlows(of: $0, now: now) }
        tracker.pointee.expire(now: now, budget: settings.timerBudget)
        withdrawRetired()
        router.neighbours.expire(now: now, budget: settings.timerBudget)
        serveNeighbours(now: now)
        expireFragments(now: now)
    }

    /// Puts a new ruleset in force. Before it was compiled from the old one's state: `invalidateFlows`, then, with the workers
    /// quiescent, `creditAllFlows`, so that no count is lost.
    public mutating func adopt(_ ruleset: CompiledRuleset) {
        collectLog()
        let before = program
        self.ruleset = ruleset
        program = ruleset.program
        if !before.needs(.conntrack, .ipv4), program.needs(.conntrack, .ipv4) { tracker.pointee.relearnWindows(.ipv4) }
        if !before.needs(.conntrack, .ipv6), program.needs(.conntrack, .ipv6) { tracker.pointee.relearnWindows(.ipv6) }
        conntrackObjects.load(ruleset, into: tracker)
        watchPorts()
        rulesetGeneration &+= 1
        invalidateFlows()
    }

    /// What is held now; all zero once everything that came in has died of old age.
    public var resources: SlowPathResources {
        SlowPathResources(
            connections: tracker.pointee.count + tracker.pointee.limboCount,
            flowEntries: flows.pointee.statistics.ipv4Entries + flows.pointee.statistics.ipv6Entries + flows.pointee.statistics.retiredEntries,
            creditLists: credits.used, waitingPackets: pendingPackets.used, incompleteDatagrams: reassembler.datagramCount)
    }
}

/// Entries in use in the slow path's bounded tables.
public struct SlowPathResources: Sendable, Equatable {
    public var connections: Int
    public var flowEntries: Int
    public var creditLists: Int
    public var waitingPackets: Int
    public var incompleteDatagrams: Int
}
