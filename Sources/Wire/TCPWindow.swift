// Sequence-space bookkeeping of one TCP connection, shared by connection tracking and the workers' fast path.
//
// It lives here, below both, because law and speed want one implementation: the slow path judges what the worker
// cannot, with the same state. Model: net/netfilter/nf_conntrack_proto_tcp.c, tcp_in_window().
//
// Ownership: the worker that forwards a direction writes that direction's endpoint; the slow path writes both while
// the flow is not cached. With one worker per connection (symmetric RSS) there is one writer at a time; if RSS splits a
// connection, a stale read can only send a packet to the slow path to be judged, never let one through.

/// What one end of a connection may send and has sent (`struct ip_ct_tcp_state`). 16 bytes.
@frozen public struct TCPEndpoint: Sendable {
    /// Highest sequence number sent, plus one (`td_end`).
    public var end: UInt32 = 0
    /// Highest acknowledgement plus window that the *other* end has been granted (`td_maxend`).
    public var maxEnd: UInt32 = 0
    /// Largest window this end has advertised, scaled (`td_maxwin`).
    public var maxWindow: UInt32 = 0
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
    }
}

/// Both ends; index by direction (0 original, 1 reply). 32 bytes, at the start of every tracked connection's record.
@frozen public struct TCPWindowPair: Sendable {
    public var original = TCPEndpoint()
    public var reply = TCPEndpoint()
    @inlinable public init() {}
}
