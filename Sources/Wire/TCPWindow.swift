// Sequence-space bookkeeping of one TCP connection, shared by connection tracking and the workers' fast path.
//
// It lives here, below both, because law and speed want one implementation: the slow path judges what the worker
// cannot, with the same state. Model: net/netfilter/nf_conntrack_proto_tcp.c, tcp_in_window().
//
// Invariant: plain data, one cache line a connection, no pointer in it.
//
// Ownership: the worker that forwards a direction updates its fields, and no others, by `TCPWindow.acceptEstablished`; a stale read sends a packet
// to the slow path to be judged. The slow path judges by a copy and brings in what it learnt without undoing a worker's update
// (TCPWindow+Shared.swift, Conntrack/SharedWindows.swift).

/// What one end of a connection may send and has sent (`struct ip_ct_tcp_state`). 20 bytes.
@frozen public struct TCPEndpoint: Sendable {
    /// Highest sequence number sent, plus one (`td_end`).
    public var end: UInt32 = 0
    /// Highest acknowledgement plus window that the *other* end has granted (`td_maxend`).
    public var maxEnd: UInt32 = 0
    /// Largest window this end has advertised, scaled (`td_maxwin`); 0 while nothing was seen from this end.
    public var maxWindow: UInt32 = 0
    /// Highest acknowledgement this end has sent (`td_maxack`); valid with `Flag.maxAckSet`.
    public var maxAck: UInt32 = 0
    /// Window scale (RFC 7323), 0 to 14.
    public var scale: UInt8 = 0
    /// `TCPEndpoint.Flag` bits.
    public var flags: UInt8 = 0
    public var reserved: UInt16 = 0
    @inlinable public init() {}

    public enum Flag {
        public static let windowScale: UInt8 = 0x01
        public static let sackPermitted: UInt8 = 0x02
        public static let closeInit: UInt8 = 0x04
        /// Accept anything (`IP_CT_TCP_FLAG_BE_LIBERAL`).
        public static let beLiberal: UInt8 = 0x08
        public static let dataUnacknowledged: UInt8 = 0x10
        public static let maxAckSet: UInt8 = 0x20
        /// A SYN let through in LAST_ACK may be answered by a challenge ACK (RFC 5961); only in `lastFlags`.
        public static let expectChallengeAck: UInt8 = 0x40
        /// Both ends sent a SYN; only in `lastFlags`.
        public static let simultaneousOpen: UInt8 = 0x80
    }
}

/// States of a tracked TCP connection (`enum tcp_conntrack`); raw values index the transition table.
@frozen public enum TCPState: UInt8, CaseIterable, Sendable {
    case none, synSent, synReceived, established, finWait, closeWait, lastAck, timeWait, close, synSent2
}

/// Both ends, the connection's state and the last segment seen. 64 bytes, at the start of every connection's record.
@frozen public struct TCPWindowPair: Sendable {
    public var original = TCPEndpoint()
    public var reply = TCPEndpoint()
    /// Of the last acceptable (or deliberately ignored) segment: sequence number, acknowledgement, end, raw window.
    public var lastSequence: UInt32 = 0
    public var lastAcknowledgement: UInt32 = 0
    public var lastEnd: UInt32 = 0
    public var lastWindow: UInt16 = 0
    /// 0 original, 1 reply.
    public var lastDirection: UInt8 = 0
    /// `TCPSegment.Kind` of the last segment.
    public var lastKind: UInt8 = 0
    /// Identical pure ACK segments in a row.
    public var retransmissions: UInt8 = 0
    public var lastScale: UInt8 = 0
    /// `TCPEndpoint.Flag` bits noted from an ignored SYN.
    public var lastFlags: UInt8 = 0
    /// `TCPState` raw value.
    public var state: UInt8 = 0
    /// Workers write it, or did (Conntrack/SharedWindows.swift); the slow path's own note.
    @inlinable public var isShared: Bool {
        get { uses & 1 != 0 }
        set { uses = uses & ~1 | (newValue ? 1 : 0) }
    }
    /// The connection's flow was offered to a NIC, which may have rules for it (Conntrack/HeldTuples.swift); of any protocol, here for want of room elsewhere.
    @inlinable public var isOffered: Bool {
        get { uses & 2 != 0 }
        set { uses = uses & ~2 | (newValue ? 2 : 0) }
    }
    public var uses: UInt32 = 0
    @inlinable public init() {}
}
