// What a run or a replay did, as a plain value: the table that `run` and `replay` print at their end, their `--json`,
// and the answer to `show stats`.
//
// Invariant: counts since the start, copied out by the threads' owner; nothing here refers to live memory.

/// The totals of a run. JSON keys are the property names.
public struct ForwardingSummary: Codable, Sendable, Equatable {
    /// Seconds of packet time: of a replay from the first packet to the last, of a run since the start.
    public var seconds: Double = 0
    /// Seconds that the machine needed for it.
    public var wallSeconds: Double = 0
    public var ports: [PortReport] = []
    public var interfaces: [InterfaceReport] = []
    public var packetsIn: UInt64 = 0
    public var packetsOut: UInt64 = 0
    /// Packets that did not leave, by reason (`DropReason.name`); only reasons that occurred.
    public var drops: [String: UInt64] = [:]
    public var flowCache = FlowCacheReport()
    public var connections = ConnectionSummary()
    public var offload = OffloadReport()
    public var nat = NATReport()
    /// Named counters and the counters of rules, in the ruleset's order.
    public var counters: [CounterReport] = []

    public init() {}
}

public struct PortReport: Codable, Sendable, Equatable {
    public var name = ""
    public var device = ""
    public var mac = ""
    public var addresses: [String] = []
    public var mtu = 0
    public var linkUp = true
    public var packetsIn: UInt64 = 0
    public var bytesIn: UInt64 = 0
    public var packetsOut: UInt64 = 0
    public var bytesOut: UInt64 = 0
    /// Packets that the device dropped because no buffer or descriptor was free.
    public var missed: UInt64 = 0
    public var errors: UInt64 = 0
    public init() {}
}

/// A port, a VLAN or a PPPoE session. Bytes are those of whole frames as they are on the port; what a NIC forwards by itself is not in them.
public struct InterfaceReport: Codable, Sendable, Equatable {
    public enum Kind: String, Codable, Sendable { case port, vlan, pppoe }
    public var name = ""
    public var kind = Kind.port
    /// The interface below a VLAN or a session.
    public var on: String?
    /// `802.1q 20`
    public var tag: String?
    public var session: Int?
    public var mtu = 0
    public var addresses: [String] = []
    public var packetsIn: UInt64 = 0
    public var bytesIn: UInt64 = 0
    public var packetsOut: UInt64 = 0
    public var bytesOut: UInt64 = 0
    public init() {}

    mutating func add(_ counts: PortStatistics) {
        packetsIn &+= counts.receivedPackets
        bytesIn &+= counts.receivedBytes
        packetsOut &+= counts.transmittedPackets
        bytesOut &+= counts.transmittedBytes
    }

    mutating func add(_ other: InterfaceReport) {
        packetsIn &+= other.packetsIn
        bytesIn &+= other.bytesIn
        packetsOut &+= other.packetsOut
        bytesOut &+= other.bytesOut
    }
}

public struct FlowCacheReport: Codable, Sendable, Equatable {
    /// transparent, flowtable or off.
    public var mode = ""
    /// Entries in use and room for them; a flow takes two.
    public var entries: UInt64 = 0
    public var capacity: UInt64 = 0
    public var inserted: UInt64 = 0
    public var removed: UInt64 = 0
    /// How often the table grew or shrank.
    public var resizes: UInt64 = 0
    /// Packets that found their entry to be another worker's, and came to the slow path for one of their own.
    public var handovers: UInt64 = 0
    /// Packets of established connections, however they were forwarded.
    public var establishedPackets: UInt64 = 0
    /// Of these: forwarded by workers from the cache, and by the NIC or its emulation.
    public var softwareHits: UInt64 = 0
    public var hardwareHits: UInt64 = 0
    /// Share of established connections' packets that hit, 0 to 1.
    public var hitRate: Double = 0
    /// Packets sent to the slow path, by reason: `miss` and the names of guards.
    public var punts: [String: UInt64] = [:]

    public init() {}
}

/// Source NAT on several workers: where connections' answers arrive. All 0 with one worker.
public struct NATReport: Codable, Sendable, Equatable {
    /// TCP and UDP connections whose answers reach the first packet's worker: by the port that Linux would have chosen, or by another.
    public var portsKept: UInt64 = 0
    public var portsMoved: UInt64 = 0
    /// Whose answers may reach another one: the port may not change, none was found, or nobody knows how the port spreads packets.
    public var portsFixed: UInt64 = 0
    public var portsExhausted: UInt64 = 0
    public var spreadUnknown: UInt64 = 0
    /// Second directions of connections that came into the flow cache: of the same worker as the first, and of another.
    public var directionsTogether: UInt64 = 0
    public var directionsApart: UInt64 = 0
    public init() {}
}

public struct ConnectionSummary: Codable, Sendable, Equatable {
    public var current: UInt64 = 0
    public var max: UInt64 = 0
    public var created: UInt64 = 0
    public var expired: UInt64 = 0
    public init() {}
}

/// A counter of the ruleset: a named object, or the counter statement of a rule.
public struct CounterReport: Codable, Sendable, Equatable {
    /// `inet filter`
    public var table = ""
    /// Name of the counter object; nil for a rule's.
    public var name: String?
    /// The rule's chain, and the rule as `nft list` prints it, without the numbers.
    public var chain: String?
    public var rule: String?
    /// Line of the ruleset file, if it came from there.
    public var line: Int?
    public var packets: UInt64 = 0
    public var bytes: UInt64 = 0
    public init(table: String = "", name: String? = nil, chain: String? = nil, rule: String? = nil, line: Int? = nil, packets: UInt64 = 0, bytes: UInt64 = 0) {
        self.table = table
        self.name = name
        self.chain = chain
        self.rule = rule
        self.line = line
        self.packets = packets
        self.bytes = bytes
    }
}
