// The record of one connection.
//
// Invariant: plain data; the first 64 bytes are the TCP window state, which a worker updates by pool base, stride and
// index while the flow is cached; everything else has one writer, the slow path. A record keeps its values while its
// slot is in limbo, so that a late reader sees the old connection, never half of a new one.
import Wire

/// Status bits of a connection; the values of Linux (`IPS_*`), which `ct status` and listings use.
@frozen public struct ConnectionStatus: OptionSet, Hashable, Sendable {
    public var rawValue: UInt32
    @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }
    public static var expected: ConnectionStatus { .init(rawValue: 1) }
    public static var seenReply: ConnectionStatus { .init(rawValue: 2) }
    public static var assured: ConnectionStatus { .init(rawValue: 4) }
    public static var confirmed: ConnectionStatus { .init(rawValue: 8) }
    public static var sourceNAT: ConnectionStatus { .init(rawValue: 16) }
    public static var destinationNAT: ConnectionStatus { .init(rawValue: 32) }
    public static var sequenceAdjust: ConnectionStatus { .init(rawValue: 64) }
    public static var sourceNATDone: ConnectionStatus { .init(rawValue: 128) }
    public static var destinationNATDone: ConnectionStatus { .init(rawValue: 256) }
    public static var dying: ConnectionStatus { .init(rawValue: 512) }
    public static var fixedTimeout: ConnectionStatus { .init(rawValue: 1024) }
    public static var natClash: ConnectionStatus { .init(rawValue: 4096) }
    public static var helper: ConnectionStatus { .init(rawValue: 8192) }
    public static var offload: ConnectionStatus { .init(rawValue: 16384) }
    public static var hardwareOffload: ConnectionStatus { .init(rawValue: 32768) }
    static var anyNAT: ConnectionStatus { [.sourceNAT, .destinationNAT] }
    static var allNATDone: ConnectionStatus { [.sourceNATDone, .destinationNATDone] }
}

@frozen public struct Connection: Sendable {
    /// Index that names no connection.
    public static var none: UInt32 { UInt32.max }

    /// TCP window and state. Other protocols leave it alone, but for SCTP (`sctp`).
    public var window = TCPWindowPair()

    // The second line: what an eviction and the sweep look at.

    /// When the connection dies, unless traffic comes. Before it is confirmed: nanoseconds to live from confirmation on.
    public var deadline: Timestamp = 0
    public var status: ConnectionStatus = []
    /// Sum of the slot's tenants so far: tells a stale index from the connection it named.
    public var generation: UInt32 = 0
    /// When it was confirmed; before that, when it was made.
    public var start: Timestamp = 0
    /// When its last packet came.
    public var lastSeen: Timestamp = 0
    public var original = ConnectionTuple()
    public var reply = ConnectionTuple()
    /// `ct mark`.
    public var mark: UInt32 = 0
    /// The zone as the ruleset gave it; the tuples hold it by direction.
    public var zone = ConnectionZone.default
    var hasExpectations = false
    /// `ct label`: 128 bits, bit 0 is the lowest of `labelsLow`.
    public var labelsLow: UInt64 = 0
    public var labelsHigh: UInt64 = 0
    public var originalPackets: UInt64 = 0
    /// Bytes of whole IP packets.
    public var originalBytes: UInt64 = 0
    public var replyPackets: UInt64 = 0
    public var replyBytes: UInt64 = 0
    /// The caller's number of the interface that a masquerade binding belongs to; 0 for none.
    public var masqueradeInterface: UInt32 = 0
    /// The connection that expected this one, if `status` has `.expected`.
    public var master = Connection.none
    /// `ConnectionHelper` raw value; 0 for none.
    public var helper: UInt16 = 0
    /// Timeout policy (`ct timeout`); 0 for the configured timeouts.
    public var timeoutPolicy: UInt16 = 0
    /// The helper of its master, when that expected it (`ConnectionHelper` raw value); 0 for none.
    var masterHelper: UInt16 = 0

    var helperState = Connection.none
    /// The endpoint-independent mapping that it holds. The record fills four cache lines, so that every window has one of its
    /// own (a test holds it to that).
    var cone = Connection.none

    init() {}

    /// Whether a helper or synproxy may change more of its packets than NAT does.
    public var isReadBeyondPorts: Bool { helperState != Connection.none }
    /// SCTP tags and state, where TCP has its window: of SCTP connections only.
    var sctp: SCTPAssociation {
        get { withUnsafeBytes(of: window) { $0.loadUnaligned(as: SCTPAssociation.self) } }
        set { withUnsafeMutableBytes(of: &window) { $0.storeBytes(of: newValue, as: SCTPAssociation.self) } }
    }
    /// UDP: when two-way traffic begins to count as a stream, two seconds behind the first packet.
    var streamFrom: Timestamp { start &+ 2_000_000_000 }

    @inlinable public var transportProtocol: UInt8 { original.transportProtocol }
    @inlinable public var tcpState: TCPState { TCPState(rawValue: window.state) ?? .none }
    @inlinable public func tuple(_ direction: ConnectionDirection) -> ConnectionTuple { direction == .original ? original : reply }
    @inlinable public var isConfirmed: Bool { status.contains(.confirmed) }
    /// Whether the packets of the connection are rewritten.
    @inlinable public var isTranslated: Bool { status.rawValue & 0x30 != 0 }
}
