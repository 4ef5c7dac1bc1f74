// One line of `show flows` and of `show conntrack`.

/// A connection as the flow cache sees it.
public struct FlowReport: Codable, Sendable, Equatable {
    /// `tcp`, `udp`, `icmp`, or the protocol's number.
    public var proto = ""
    /// `192.168.1.10:40000`, as the first packet showed it.
    public var source = ""
    public var destination = ""
    /// What the reply shows: differs where NAT acts.
    public var replySource = ""
    public var replyDestination = ""
    public var ingress = ""
    public var egress = ""
    /// `cached`, `offloaded` or `slow`.
    public var path = ""
    /// Why the flow is not cached: `limit in demo.nft:12`.
    public var reason: String?
    /// Both directions together.
    public var packets: UInt64 = 0
    public var bytes: UInt64 = 0
    /// Seconds since the last packet.
    public var idle: Double = 0
    public init() {}
}

/// A tracked connection, with the fields of `conntrack -L`.
public struct ConnectionReport: Codable, Sendable, Equatable {
    /// `ipv4` or `ipv6`.
    public var family = ""
    public var proto = ""
    /// Number of the protocol.
    public var protocolNumber = 0
    /// TCP only: `ESTABLISHED`.
    public var state: String?
    /// Seconds until it expires.
    public var timeout: UInt64 = 0
    public var original = Direction()
    public var reply = Direction()
    public var assured = false
    /// A reply was seen.
    public var replied = false
    /// Its packets bypass the slow path: `[OFFLOAD]`, or `[HW_OFFLOAD]` in the NIC.
    public var offload: String?
    public var mark: UInt32 = 0
    public var zone: UInt16 = 0
    /// The one direction that the zone holds for, `orig` or `reply`; nil for both.
    public var zoneDirection: String?
    public var helper: String?
    /// All that in the form of `conntrack -L`.
    public var line = ""
    public init() {}

    public struct Direction: Codable, Sendable, Equatable {
        public var source = ""
        public var destination = ""
        /// TCP and UDP.
        public var sourcePort: UInt16?
        public var destinationPort: UInt16?
        /// ICMP echo.
        public var icmpType: UInt8?
        public var icmpCode: UInt8?
        public var icmpIdentifier: UInt16?
        public var packets: UInt64 = 0
        public var bytes: UInt64 = 0
        public init() {}
    }
}
