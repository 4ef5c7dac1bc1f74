// What the offload manager is told about a port at start.
//
// Invariant: a plain value made from the configuration and from the started DPDK port; the manager never asks the
// configuration again, and `index` is the only name by which flows mean a port.
import Wire

/// One port that flows may enter or leave by.
public struct OffloadPort: Sendable, Hashable {
    /// Needletail's own number of the port, as in `FlowKey.ingressPort` and `FlowRewrite.outputPort`.
    public var index: PortIndex
    /// The name in the configuration, for reports.
    public var name: String
    /// DPDK's port id, which the rules are created on.
    public var dpdkPort: UInt16
    /// The port's own MAC address: rules take frames for it only, as the software path does.
    public var address: EthernetAddress
    /// Longest IP packet in bytes that the port receives and sends. A flow is only eligible if every packet that
    /// its ingress port can receive also fits its path, since no NIC sends "packet too big".
    public var mtu: UInt16
    /// Hairpin queues by output port: the RX queue on this port that is bound to a TX queue of the other. A port
    /// without them is tried with represented ports and port ids alone.
    public var hairpinQueues: [PortIndex: UInt16]

    public init(
        index: PortIndex, name: String, dpdkPort: UInt16, address: EthernetAddress, mtu: UInt16 = 1500,
        hairpinQueues: [PortIndex: UInt16] = [:]
    ) {
        self.index = index
        self.name = name
        self.dpdkPort = dpdkPort
        self.address = address
        self.mtu = mtu
        self.hairpinQueues = hairpinQueues
    }
}

/// Sizes, periods and limits of the offload manager. All times in nanoseconds of the caller's clock.
public struct OffloadOptions: Sendable, Hashable {
    /// Most flows (pairs of rules) with a record at once, zombies included.
    public var maximumFlows = 65_536
    /// Candidates and withdrawals that may wait for the manager; a candidate that finds the ring full is not taken.
    public var inboxCapacity = 4096
    /// Events that may wait for the slow path. When the ring is full the manager keeps credit and retries: nothing is lost.
    public var outboxCapacity = 8192
    /// Period of counter queries per flow. Never below a second: NICs refresh their counters about that often, so a
    /// faster poll reads a standing counter and would take the flow for idle.
    public var pollPeriod: UInt64 = 1_000_000_000
    /// Most counter queries of one `runOnce`.
    public var queriesPerRun = 512
    /// Packets per second below which a flow is not worth a rule, while there is room; 0 to take every flow. As a port
    /// fills from 70 to 95 % of what it is known to hold, the threshold rises to twice the rate of its slowest flows.
    public var minimumRate: UInt32 = 0
    /// Most flows that one `runOnce` evicts for faster ones.
    public var evictionsPerRun = 4
    /// Most flows installed by one `runOnce`.
    public var installsPerRun = 64
    /// Rules per second that may be created on one port; 0 for no limit.
    public var insertRate: UInt64 = 0
    /// Without a packet for this long a flow leaves the NIC (its connection lives on in software); 0 for never.
    public var idleTimeout: UInt64 = 5_000_000_000
    /// Flows may leave the CPU. Off: what the ports could do is found out and reported, and no more is used than MARK.
    public var carriesFlows = true
    public init() {}
}
