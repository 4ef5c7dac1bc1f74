// What rules can see of a packet's connection, copied by the slow path from its tracker before the hooks run, and what
// they changed, read back afterwards.
//
// Invariant: a plain value; the evaluator never reaches into the tracker.
import Wire

/// `ct state` bits with nft's own values.
public enum ConntrackState {
    public static let invalid: UInt32 = 1
    public static let established: UInt32 = 2
    public static let related: UInt32 = 4
    public static let new: UInt32 = 8
    public static let untracked: UInt32 = 64
    /// Every value that a state has; 0 where nothing tracks.
    static var all: [UInt32] { [0, invalid, established, related, new, untracked] }
}

/// One direction of a connection: addresses and ports as the tracker stores them.
@frozen public struct ConntrackTuple: Sendable {
    public var source = IPAddress(ipv4: 0)
    public var destination = IPAddress(ipv4: 0)
    /// Host order; ICMP: the identifier.
    public var sourcePort: UInt16 = 0
    /// Host order; ICMP: `type << 8 | code`.
    public var destinationPort: UInt16 = 0
    @inlinable public init() {}
}

@frozen public struct ConntrackView: Sendable {
    /// The bit of `status` (IPS_ASSURED).
    static var assured: UInt32 { 4 }
    static var dying: UInt32 { 0x200 }
    /// What a rule changed and the slow path has to carry out.
    @frozen public struct Changes: OptionSet, Sendable {
        public var rawValue: UInt8
        @inlinable public init(rawValue: UInt8) { self.rawValue = rawValue }
        public static var mark: Changes { Changes(rawValue: 1) }
        public static var label: Changes { Changes(rawValue: 2) }
        /// `notrack`: the packet shall not be tracked (only before conntrack has run).
        public static var notrack: Changes { Changes(rawValue: 4) }
        /// `ct zone set`: `requestedZone` applies when conntrack runs.
        public static var zone: Changes { Changes(rawValue: 8) }
        /// `ct helper set`: `requestedHelper`, the number of an object of the ruleset (`CompiledRuleset.conntrackObjects`).
        public static var helper: Changes { Changes(rawValue: 16) }
        /// `ct timeout set`: `requestedTimeout`, likewise.
        public static var timeout: Changes { Changes(rawValue: 32) }
        public static var expectation: Changes { Changes(rawValue: 64) }
        public static var eventMask: Changes { Changes(rawValue: 128) }
    }

    /// False for untracked and invalid packets and before conntrack ran: then only `state` means something.
    public var hasConnection = false
    /// 0 original, 1 reply.
    public var direction: UInt8 = 0
    /// 4 or 6 for connections of IPv4 and IPv6.
    public var family: AddressFamily = .ipv4
    public var transportProtocol: UInt8 = 0
    /// Bits of `ConntrackState`; exactly one is set.
    public var state: UInt32 = ConntrackState.invalid
    /// Linux's `IPS_*` bits: expected 1, seen-reply 2, assured 4, confirmed 8, snat 0x10, dnat 0x20, dying 0x200, ...
    public var status: UInt32 = 0
    public var mark: UInt32 = 0
    public var zone: UInt16 = 0
    /// Directions that the zone holds for: 1 original, 2 reply, 3 both; the other one is in zone 0.
    public var zoneDirections: UInt8 = 3
    /// `ct zone set` came first: until conntrack runs the packet has a stand-in for a connection, which is in state new and says
    /// nothing else (nft_ct_set_zone_eval).
    public var hasTemplate = false
    public var requestedZone: UInt16 = 0
    public var requestedZoneDirections: UInt8 = 3
    /// The 128 label bits, bit 0 in the lowest bit of `labelLow`.
    public var labelLow: UInt64 = 0
    public var labelHigh: UInt64 = 0
    /// Never 0 for a connection and never used twice while a rule may remember it (`ct count`).
    public var identifier: UInt64 = 0
    public var original = ConntrackTuple()
    public var reply = ConntrackTuple()
    public var originalPackets: UInt64 = 0
    public var originalBytes: UInt64 = 0
    public var replyPackets: UInt64 = 0
    public var replyBytes: UInt64 = 0
    /// Milliseconds until the connection times out.
    public var expiration: UInt64 = 0
    /// Helper's name, zero padded, first byte in the highest byte of `helperHigh`; 0 for none.
    public var helperHigh: UInt64 = 0
    public var helperLow: UInt64 = 0
    public var changes: Changes = []
    public var requestedHelper: UInt32 = 0
    public var requestedTimeout: UInt32 = 0
    public var requestedExpectation: UInt32 = 0
    public var eventMask: UInt32 = 0
    @inlinable public init() {}
}
