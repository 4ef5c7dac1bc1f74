// Everything the rules can see of one packet and everything they can ask for, in one plain value.
//
// Invariant: filled by the slow path before the first hook, kept over all hooks of the packet; the evaluator changes
// only what the statements name. `parsed` describes `packet` at all times: a mangle refreshes it.
import Wire

public struct PacketContext {
    /// "No interface": before routing there is no output, for locally made packets no input.
    public static var noInterface: UInt16 { 0xffff }

    public var packet: PacketBuffer
    public var parsed: ParsedPacket
    public var family: PacketFamily = .ipv4
    public var hook: Hook = .prerouting
    /// Places in the interface list given to `CompiledRuleset`.
    public var input: UInt16 = 0xffff
    public var output: UInt16 = 0xffff
    /// Monotonic clock, ns.
    public var now: Timestamp = 0
    /// Wall clock, ns since 1970 UTC (`meta time`), and the local zone's offset in seconds (`meta hour`, `meta day`).
    public var wallClock: UInt64 = 0
    public var zoneOffset: Int32 = 0
    public var mark: UInt32 = 0
    public var priority: UInt32 = 0
    public var trace = false
    /// Linux's PACKET_*: host 0, broadcast 1, multicast 2, other host 3.
    public var packetType: UInt8 = 0
    /// The transport checksum is summed up when the packet leaves (CHECKSUM_PARTIAL), so that whatever rules write into the transport
    /// header comes out right: the IPv4 resets that `reject` sends, the IPv6 ones of ports where nobody listens, what synproxy sends.
    public var hasPartialChecksum = false
    /// A copy of what came in by some port: the original's link header stands before it (Linux reads it, but has not copied it).
    public var keepsLinkHeader = false
    /// MTU of the packet's route in bytes; 0 while it has none (`rt` then breaks the rule).
    public var routeMTU: UInt32 = 0
    public var nextHop = IPAddress(ipv4: 0)
    /// The route has no gateway: the next hop is the destination, whatever a rule has made it.
    public var isOnLink = false
    public var routeClass: UInt32 = 0
    /// Number of the processor or worker (`meta cpu`).
    public var cpu: UInt32 = 0
    public var conntrack = ConntrackView()

    // Requests, valid with the verdict that goes with them.
    public var nat = NATRequest()
    public var reject = RejectRequest()
    /// `fwd` (with `Verdict.stolen`).
    public var forward = ForwardRequest()
    /// `flow add`: number of the flowtable, `UInt32.max` for none.
    public var flowtable: UInt32 = UInt32.max
    /// `synproxy`, with `Verdict.stolen`: `SynproxyParameters`; `UInt32.max` for none.
    public var synproxy: UInt32 = UInt32.max
    /// A statement changed bytes of the packet since the caller last cleared this.
    public var mangled = false
    /// The rule that gave the last verdict; `UInt32.max` for a policy.
    public var decidingRule: UInt32 = UInt32.max

    /// Nil: nothing is recorded.
    public var walk: UnsafeMutablePointer<WalkRecord>?
    public var log: UnsafeMutablePointer<LogRing>?
    /// Where `dup to` leaves its copies; nil: it makes none.
    public var copies: UnsafeMutablePointer<CopyTray>?
    public var lookups = PolicyLookups()

    // What Linux calls pktinfo, worked out by the evaluator at the start of each base chain.
    var layer: TransportInfo = TransportInfo()

    public init(packet: PacketBuffer, parsed: ParsedPacket) {
        self.packet = packet
        self.parsed = parsed
    }
}

/// Where the transport header is, as nf_tables sees it (`struct nft_pktinfo`), which is less strict than the parser:
/// a header that is cut short still has a protocol.
public struct TransportInfo: Sendable {
    /// The packet has a transport protocol (`NFT_PKTINFO_L4PROTO`).
    var isValid = false
    var transportProtocol: UInt8 = 0
    /// Offset from the frame's start.
    var offset: Int = 0
    /// Not 0 for a fragment without transport header; `offset` is then where Linux reads all the same, see `transportStart`.
    var fragmentOffset: UInt16 = 0
    /// End of what expressions may read, from the frame's start.
    var end: Int = 0
    /// Offset of the network header as the chain sees it, and the protocol that its link header names.
    var network: Int = 0
    var etherType: UInt16 = 0
    /// What Linux calls the packet's length at this hook: what counters and limits count.
    var trafficLength: Int = 0
    init() {}
}
