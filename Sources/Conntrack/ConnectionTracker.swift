// Connection tracking and the bindings of NAT: one writer, fixed memory, Linux's behaviour (nf_conntrack, nf_nat).
//
// A new connection is refused when `maximumConnections` exist and no unassured one is found in the eight buckets that
// its own hash names (as in Linux), when its bucket's chain is as long as Linux tolerates, or when all spare slots wait
// for the workers to become quiescent. An old one is evicted by its timeout, by early drop (never an assured one by a
// packet; in the sweep, above 95 % and after a refusal, also assured ones that are closing), by a new SYN on a closed
// connection, or by the caller. An attacker who fills the table can only evict connections that are as unassured as his
// own; the hash is seeded, so he cannot aim at a bucket; no operation walks more than a bounded number of records.
//
// Invariants:
// - A confirmed connection is in the table under both its tuples (under its reply tuple alone if `.natClash`), an
//   unconfirmed one under neither; `count` is the number of both together.
// - A confirmed slot that is given up goes to limbo, in order, and is used again only after `reclaim`.
import Wire

public struct ConnectionTracker: ~Copyable {
    /// Changes of timeouts and switches hold from the next packet on; sizes are fixed at the start.
    public var configuration: TrackerConfiguration { didSet { policies[0] = configuration.timeouts } }
    public var statistics = TrackerStatistics()
    /// Connections in use, confirmed and unconfirmed, without those in limbo.
    public internal(set) var count = 0
    /// Slots of the pool.
    public let slots: Int

    let pool: UnsafeMutablePointer<Connection>
    let table: UnsafeMutablePointer<UInt32>
    let bySource: UnsafeMutablePointer<UInt32>
    /// Links of the chains, three a connection; the first of a free slot links the free list.
    let links: UnsafeMutablePointer<ConnectionLinks>
    let limbo: UnsafeMutablePointer<UInt32>
    let bucketMask: UInt32
    let hash: SeededHash
    var random: RandomChoice
    /// 256 sets of timeouts: the configured one, then the policies.
    let policies: UnsafeMutablePointer<ConnectionTimeouts>
    var expectations = ExpectationTable()
    var helpers = HelperPool()
    var greKeys = GREKeys()
    var cone: ConeTable
    /// What a source was last bound to: a good guess at what the next one will be (Anticipation).
    var lastSourceRange = NATRange()
    /// The source being chosen must be nobody's outer endpoint.
    var keepsOffCones = false
    private let ownedMemory: UnsafeMutableRawPointer?

    /// Who knows of packets that passed by the slow path; asked before a connection is given up for its age.
    public var lastUse: ConnectionLastUse?

    var freeHead = Connection.none
    /// Slots handed out at least once; those above are untouched memory.
    var touched = 0
    /// Limbo is a ring of slot indices; these count entries since the start: reclaimed <= announced <= retired.
    var retired: UInt64 = 0
    var announced: UInt64 = 0
    var reclaimed: UInt64 = 0
    var sweepPosition = 0
    var windows = SharedWindows()
    var held: HeldTuples
    /// A connection was refused since the last full sweep: the sweep may evict closing connections as well.
    var isPressed = false

    /// Bytes from one connection's record to the next; a multiple of 64.
    public static var stride: Int { MemoryLayout<Connection>.stride }
    /// Address of connection 0; connection `i` is at `poolBase + i * stride`, its `TCPWindowPair` first.
    public var poolBase: UnsafeMutableRawPointer { UnsafeMutableRawPointer(pool) }

    /// Bytes of memory that a tracker of this configuration needs, 64-byte aligned.
    public static func memorySize(_ configuration: TrackerConfiguration) -> Int {
        let tables = configuration.buckets * 2 + configuration.poolSlots
        return configuration.poolSlots * (stride + MemoryLayout<ConnectionLinks>.stride) + tables * MemoryLayout<UInt32>.stride
    }

    /// - Parameters:
    ///   - memory: `memorySize` bytes, 64-byte aligned, owned by the caller for as long as the tracker lives; nil allocates.
    ///   - seed: of the hash and of random choices.
    public init(configuration: TrackerConfiguration = TrackerConfiguration(), memory: UnsafeMutableRawPointer? = nil, seed: UInt64) {
        let size = ConnectionTracker.memorySize(configuration)
        let owned = memory == nil ? UnsafeMutableRawPointer.allocate(byteCount: size, alignment: 64) : nil
        let base = memory ?? owned!
        ownedMemory = owned
        self.configuration = configuration
        policies = .allocate(capacity: 256)
        policies.initialize(repeating: configuration.timeouts, count: 256)
        slots = configuration.poolSlots
        let buckets = configuration.buckets
        bucketMask = UInt32(buckets - 1)
        pool = base.bindMemory(to: Connection.self, capacity: slots)
        let linksBase = base + slots * ConnectionTracker.stride
        links = linksBase.bindMemory(to: ConnectionLinks.self, capacity: slots)
        let tables = (linksBase + slots * MemoryLayout<ConnectionLinks>.stride).bindMemory(to: UInt32.self, capacity: buckets * 2 + slots)
        table = tables
        bySource = tables + buckets
        limbo = tables + buckets * 2
        tables.update(repeating: Connection.none, count: buckets * 2)
        var generator = RandomChoice(state: seed)
        hash = SeededHash(key0: generator.next(), key1: generator.next())
        random = RandomChoice(state: generator.next())
        cone = ConeTable(capacity: configuration.coneMappings, hash: hash)
        held = HeldTuples(capacity: configuration.heldTuples)
    }

    /// The ports that the next connections get where NAT chooses one at random and they lie in its range and are free; nil: random ones.
    /// Randomness is a parameter: so two engines are held in step.
    public mutating func wantPorts(_ ports: (source: UInt16, destination: UInt16)?) { random.wantedPorts = ports }

    deinit {
        policies.deallocate()
        ownedMemory?.deallocate()
    }

    /// The record of a connection; the index must come from this tracker (it is checked).
    @inline(__always)
    public func connection(_ index: UInt32) -> UnsafeMutablePointer<Connection> {
        precondition(Int(index) < touched, "no such connection")
        return pool + Int(index)
    }

    /// Whether the index still names the connection that it named when its generation was read.
    @inline(__always)
    public func isCurrent(_ index: UInt32, generation: UInt32) -> Bool {
        Int(index) < touched && pool[Int(index)].generation == generation && !pool[Int(index)].status.contains(.dying)
    }

    /// Connections that died and whose slots wait for `reclaim`.
    public var limboCount: Int { Int(retired &- reclaimed) }
}

/// Counts of what happened (`conntrack -S` and more); invalid packets by reason.
public struct TrackerStatistics: Sendable {
    public var found: UInt64 = 0
    public var created: UInt64 = 0
    public var inserted: UInt64 = 0
    public var insertFailed: UInt64 = 0
    /// Packets dropped because no connection could be made for them.
    public var dropped: UInt64 = 0
    public var earlyDropped: UInt64 = 0
    public var expired: UInt64 = 0
    public var deleted: UInt64 = 0
    public var chainTooLong: UInt64 = 0
    public var natExhausted: UInt64 = 0
    /// Connections that were to have an endpoint-independent mapping and found none free.
    public var coneMappingsRefused: UInt64 = 0
    /// Connections that were to have a helper and found no room for its notes.
    public var helperPoolFull: UInt64 = 0
    public var steering = SteeringCounts()
    private var invalid = InvalidCounts()

    public init() {}
    /// Packets called invalid for this reason.
    public func invalid(_ reason: InvalidReason) -> UInt64 {
        withUnsafeBytes(of: invalid) { $0.load(fromByteOffset: Int(reason.rawValue) * 8, as: UInt64.self) }
    }
    /// All invalid packets.
    public var invalidTotal: UInt64 { InvalidReason.allCases.reduce(0) { $0 + ($1 == .none ? 0 : invalid($1)) } }
    mutating func countInvalid(_ reason: InvalidReason) {
        withUnsafeMutableBytes(of: &invalid) { bytes in
            let offset = Int(reason.rawValue) * 8
            bytes.storeBytes(of: bytes.load(fromByteOffset: offset, as: UInt64.self) &+ 1, toByteOffset: offset, as: UInt64.self)
        }
    }

    /// 32 counters in place: an array would put an allocation and a reference into the slow path.
    private struct InvalidCounts: Sendable {
        typealias Eight = (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64)
        var low: (Eight, Eight) = ((0, 0, 0, 0, 0, 0, 0, 0), (0, 0, 0, 0, 0, 0, 0, 0))
        var high: (Eight, Eight) = ((0, 0, 0, 0, 0, 0, 0, 0), (0, 0, 0, 0, 0, 0, 0, 0))
    }
}
