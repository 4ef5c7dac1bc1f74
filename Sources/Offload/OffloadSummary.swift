// What the offload manager reports: the whole of `needletail show offload` and of the final summary's hardware lines.
//
// Invariant: plain values, copied out by the manager's owner; reading one never touches the manager's tables.
import Wire

/// How much of the work a port's NIC can do for a flow.
public enum OffloadTier: UInt8, Sendable, Comparable {
    case none, drop, mark, full
    public static func < (a: OffloadTier, b: OffloadTier) -> Bool { a.rawValue < b.rawValue }
    public var name: String {
        switch self {
        case .none: "none"
        case .drop: "drop"
        case .mark: "mark"
        case .full: "full"
        }
    }
}

public struct OffloadSummary: Sendable {
    public struct Port: Sendable {
        public var index: PortIndex
        public var name: String
        /// "rte_flow" or "emulated NIC (PROFILE)".
        public var front: String
        public var tier: OffloadTier
        /// The capability trial in sentences, one a line.
        public var capability: [String]
        /// Rules on this port now, zombies included.
        public var rules: Int
        /// Highest number of rules believed to fit; nil while the table was never found full.
        public var learnedCapacity: Int?
        /// Frames and frame bytes that rules on this port carried, as credited so far.
        public var carriedPackets: UInt64
        public var carriedBytes: UInt64
        /// The emulated NIC's own account: frames forwarded, dropped by rule, lost at a full TX queue.
        public var emulated: EmulatedNIC.Statistics?
    }
    public var ports: [Port] = []
    /// Flows whose two rules work now.
    public var active = 0
    /// Flows waiting for installation or removal.
    public var pending = 0
    /// Flows of which a rule could not be destroyed.
    public var zombies = 0
    /// Since start.
    public var offered: UInt64 = 0
    public var installed: UInt64 = 0
    public var removed: UInt64 = 0
    public var carriedPackets: UInt64 = 0
    public var carriedBytes: UInt64 = 0
    public var recoveredZombies: UInt64 = 0
    /// Flows that left for a faster one.
    public var evicted: UInt64 = 0
    /// Flows whose rules the NIC had lost, and that were installed anew.
    public var repaired: UInt64 = 0
    /// Driver failures by call ("create", "query", "destroy") and errno name.
    public var failures: [String: UInt64] = [:]
    /// Refused candidates by reason.
    public var refused: [OffloadRefusal: UInt64] = [:]
    /// Removed flows by reason.
    public var removedFor: [OffloadRefusal: UInt64] = [:]
    public init() {}
}

/// One flow's place in the NIC.
public struct OffloadFlowStatus: Sendable {
    public var slot: OffloadSlot
    public var state: OffloadState
    public var connection: UInt32
    /// Carried by hardware, original and reply.
    public var packets: (original: UInt64, reply: UInt64)
    public var bytes: (original: UInt64, reply: UInt64)
    /// Packets per second of both directions over the last poll period.
    public var packetsPerSecond: UInt32
    public var lastSeen: Timestamp
}

/// A direction's way through the NIC.
public enum OffloadState: UInt8, Sendable {
    case none, wanted, installing, active, draining, zombie
}
