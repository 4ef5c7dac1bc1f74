// What the NICs, or their emulation, carried: `show offload`, and the last lines of a summary.

public struct OffloadReport: Codable, Sendable, Equatable {
    public var ports: [Port] = []
    /// Flows whose two rules work now.
    public var active: UInt64 = 0
    public var pending: UInt64 = 0
    /// Flows of which a rule could not be destroyed.
    public var zombies: UInt64 = 0
    /// Since the start.
    public var offered: UInt64 = 0
    public var installed: UInt64 = 0
    public var removed: UInt64 = 0
    public var carriedPackets: UInt64 = 0
    public var carriedBytes: UInt64 = 0
    /// Candidates that were not offloaded, by reason.
    public var refused: [String: UInt64] = [:]
    /// Driver failures, `create ENOSPC`.
    public var failures: [String: UInt64] = [:]

    public init() {}

    public struct Port: Codable, Sendable, Equatable {
        public var name = ""
        /// `rte_flow` or `emulated NIC (full)`.
        public var front = ""
        /// none, drop, mark or full: what the capability trial found.
        public var tier = ""
        /// The trial in sentences.
        public var capability: [String] = []
        public var rules: UInt64 = 0
        public var carriedPackets: UInt64 = 0
        public var carriedBytes: UInt64 = 0
        public init() {}
    }
}
