// The messages between the slow path, which owns connections and flow-cache entries, and the offload manager, which
// owns every rte_flow call.
//
// Invariant: fixed-size values without references, so that they pass through rings; a candidate is a hint, never a
// promise. Between `installed` and `removed` the manager may hold rules that use the flow's addresses and ports: until
// `removed` arrived, the flow-cache slots, the connection and its NAT port stay taken.
import FlowCache
import Wire

/// A flow-cache entry and its tenancy: a message about an old tenant never reaches the next one.
@frozen public struct OffloadSlot: Hashable, Sendable {
    public var index: UInt32
    public var generation: UInt32
    @inlinable public init(index: UInt32, generation: UInt32) {
        self.index = index
        self.generation = generation
    }
}

/// Both directions of an established flow, offered to the NIC.
@frozen public struct OffloadCandidate: Sendable, BitwiseCopyable {
    /// Names the flow in every later message: the slot of the original direction's entry.
    public var slot: OffloadSlot
    /// The slot of the reply direction's entry.
    public var replySlot: OffloadSlot
    public var original: FlowDescription
    public var reply: FlowDescription
    /// TTL of the directions' packets as they arrive; 0 if unknown. Only NICs that cannot subtract need them.
    public var originalTimeToLive: UInt8 = 0
    public var replyTimeToLive: UInt8 = 0
    /// Packets per second of both directions, measured in software; 0 if not known: taken while there is room.
    public var packetsPerSecond: UInt32 = 0
    @inlinable public init(slot: OffloadSlot, replySlot: OffloadSlot, original: FlowDescription, reply: FlowDescription) {
        self.slot = slot
        self.replySlot = replySlot
        self.original = original
        self.reply = reply
    }
}

/// Why a flow is not in the NIC.
@frozen public enum OffloadRefusal: UInt8, Sendable, CaseIterable {
    /// No port of the flow can carry it: capability trial failed or never ran.
    case capability
    /// Slower than what deserves a rule now.
    case rate
    /// Rules were made twice and did nothing: the NIC lost them.
    case lost
    /// Neither TCP nor UDP.
    case transportProtocol
    /// More than two VLAN tags, or directions that do not mirror each other.
    case shape
    /// Leaves with other VLAN tags than it came with.
    case vlanTags
    /// Arrives or leaves in a PPPoE session.
    case pppoe
    /// Needs the packet's length judged: the ingress port receives longer packets than the path takes.
    case pathMTU
    /// Sets traffic class bits that no action can set.
    case trafficClass
    /// Leaves by a port that the ingress port's adapter cannot reach, or that is not known.
    case outputPort
    /// The rule table is full, or is believed to be.
    case tableFull
    /// The manager's own table of flows is full.
    case flowLimit
    /// The insert budget of this second is spent and the waiting line is full.
    case budget
    /// The driver refused the rule.
    case driver
    /// Too many failures in a row: the adapter rests.
    case breaker
    /// The port is stopped or being flushed.
    case portDown
    /// The slow path wanted it back.
    case withdrawn
    /// No packet for the idle timeout.
    case idle
    /// A faster flow needed its place.
    case evicted
    /// The flow is known already.
    case duplicate

    /// The reason in words, for reports.
    public var text: String {
        switch self {
        case .capability: "port cannot carry flows"
        case .rate: "too slow to deserve a rule"
        case .lost: "the NIC lost its rules"
        case .transportProtocol: "neither TCP nor UDP"
        case .shape: "encapsulation or directions not supported"
        case .pppoe: "has a PPPoE session header"
        case .vlanTags: "leaves with other VLAN tags than it came with"
        case .pathMTU: "path MTU below the ingress port's"
        case .trafficClass: "traffic class rewrite not supported"
        case .outputPort: "output port not reachable by the NIC"
        case .tableFull: "rule table full"
        case .flowLimit: "flow limit"
        case .budget: "insert budget spent"
        case .driver: "driver refused"
        case .breaker: "adapter paused after failures"
        case .portDown: "port down"
        case .withdrawn: "withdrawn"
        case .idle: "idle"
        case .evicted: "made room for a faster flow"
        case .duplicate: "already offered"
        }
    }
}

/// What the manager tells the slow path.
@frozen public struct OffloadEvent: Sendable, BitwiseCopyable {
    @frozen public enum Kind: UInt8, Sendable {
        /// Both rules work. From here on the NIC forwards the flow without looking at sequence numbers: the
        /// connection's window is to be treated as liberal and learnt anew from what comes back to software.
        case installed
        /// No rule exists; `refusal` says why, `time` when a new offer makes sense.
        case refused
        /// The NIC forwarded `packets` and `bytes` of direction `direction` since the last credit, the last at
        /// `time` or earlier by no more than the poll period. Goes to conntrack's accounting and timers, to the
        /// flow's credit list (nft counters) and to the flow-cache entry's last-used time.
        case credit
        /// Both rules are gone and their last credit was sent. After the workers have passed a quiescent state
        /// the slots and the NAT port may be used again. `refusal` says why, `time` when a new offer makes sense.
        case removed
    }
    public var kind: Kind
    /// 0 original, 1 reply (credit only).
    public var direction: UInt8 = 0
    /// Valid for `refused` and `removed`.
    public var refusal: OffloadRefusal = .capability
    public var slot: OffloadSlot
    public var replySlot: OffloadSlot
    /// `FlowDescription.connection` and `.creditList` of the direction (of the original one but for credit).
    public var connection: UInt32
    public var creditList: UInt32
    /// Packets, and bytes from the network header on (no link header, no padding where the NIC's counter allows).
    public var packets: UInt64 = 0
    public var bytes: UInt64 = 0
    public var time: Timestamp = 0
}
