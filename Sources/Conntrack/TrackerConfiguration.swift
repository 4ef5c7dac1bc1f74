// Sizes, timeouts and switches of connection tracking; the defaults are Linux's.
import Wire

/// Seconds that a connection lives without traffic, by protocol and state (net.netfilter.nf_conntrack_*_timeout*).
@frozen public struct ConnectionTimeouts: Hashable, Sendable {
    public var tcpSynSent: UInt32 = 120
    public var tcpSynReceived: UInt32 = 60
    public var tcpEstablished: UInt32 = 432_000
    public var tcpFinWait: UInt32 = 120
    public var tcpCloseWait: UInt32 = 60
    public var tcpLastAck: UInt32 = 30
    public var tcpTimeWait: UInt32 = 120
    public var tcpClose: UInt32 = 10
    public var tcpSynSent2: UInt32 = 120
    /// After `tcpMaximumRetransmissions` identical segments, or a zero window.
    public var tcpRetransmission: UInt32 = 300
    /// While data is unacknowledged.
    public var tcpUnacknowledged: UInt32 = 300
    public var udp: UInt32 = 30
    public var udpStream: UInt32 = 120
    public var icmp: UInt32 = 30
    public var icmpv6: UInt32 = 30
    public var gre: UInt32 = 30
    public var greStream: UInt32 = 180
    public var sctpClosed: UInt32 = 10
    public var sctpCookieWait: UInt32 = 3
    public var sctpCookieEchoed: UInt32 = 3
    public var sctpEstablished: UInt32 = 210
    public var sctpShutdownSent: UInt32 = 3
    public var sctpShutdownReceived: UInt32 = 3
    public var sctpShutdownAckSent: UInt32 = 3
    public var sctpHeartbeatSent: UInt32 = 30
    public var generic: UInt32 = 600
    public init() {}

    /// Seconds for a connection of which nothing more is known.
    func new(_ transportProtocol: UInt8) -> UInt32 {
        switch transportProtocol {
        case IPProtocol.tcp: tcpSynSent
        case IPProtocol.udp, IPProtocol.udplite: udp
        case IPProtocol.icmp: icmp
        case IPProtocol.icmpv6: icmpv6
        case IPProtocol.gre: gre
        case IPProtocol.sctp: sctpClosed
        default: generic
        }
    }

    /// Sets the timeout of a state by the name that `ct timeout` objects use.
    /// - Returns: false if the protocol has no such state.
    public mutating func set(_ state: String, _ transportProtocol: UInt8, seconds: UInt32) -> Bool {
        switch (transportProtocol, state) {
        case (IPProtocol.tcp, "syn_sent"): tcpSynSent = seconds
        case (IPProtocol.tcp, "syn_recv"): tcpSynReceived = seconds
        case (IPProtocol.tcp, "established"): tcpEstablished = seconds
        case (IPProtocol.tcp, "fin_wait"): tcpFinWait = seconds
        case (IPProtocol.tcp, "close_wait"): tcpCloseWait = seconds
        case (IPProtocol.tcp, "last_ack"): tcpLastAck = seconds
        case (IPProtocol.tcp, "time_wait"): tcpTimeWait = seconds
        case (IPProtocol.tcp, "close"): tcpClose = seconds
        case (IPProtocol.tcp, "syn_sent2"): tcpSynSent2 = seconds
        case (IPProtocol.tcp, "retrans"): tcpRetransmission = seconds
        case (IPProtocol.tcp, "unack"): tcpUnacknowledged = seconds
        case (IPProtocol.udp, "unreplied"), (IPProtocol.udplite, "unreplied"): udp = seconds
        case (IPProtocol.udp, "replied"), (IPProtocol.udplite, "replied"): udpStream = seconds
        default: return false
        }
        return true
    }

    /// Seconds by SCTP state.
    func sctp(_ state: SCTPState) -> UInt32 {
        switch state {
        case .none, .closed: sctpClosed
        case .cookieWait: sctpCookieWait
        case .cookieEchoed: sctpCookieEchoed
        case .established: sctpEstablished
        case .shutdownSent: sctpShutdownSent
        case .shutdownReceived: sctpShutdownReceived
        case .shutdownAckSent: sctpShutdownAckSent
        case .heartbeatSent: sctpHeartbeatSent
        }
    }

    /// Seconds by TCP state.
    @inlinable func tcp(_ state: TCPState) -> UInt32 {
        switch state {
        case .none, .synSent: tcpSynSent
        case .synReceived: tcpSynReceived
        case .established: tcpEstablished
        case .finWait: tcpFinWait
        case .closeWait: tcpCloseWait
        case .lastAck: tcpLastAck
        case .timeWait: tcpTimeWait
        case .close: tcpClose
        case .synSent2: tcpSynSent2
        }
    }
}

@frozen public struct TrackerConfiguration: Sendable {
    /// Connections at most (nf_conntrack_max); beyond it, early drop or refusal.
    public var maximumConnections: Int = 262_144
    /// Slots beyond the maximum, for connections whose slot waits until the workers are quiescent; nil chooses.
    public var limboSlots: Int? = nil
    public var timeouts = ConnectionTimeouts()
    /// Verify transport checksums at prerouting (nf_conntrack_checksum).
    public var verifiesChecksums = true
    /// Take up TCP connections whose start was not seen (nf_conntrack_tcp_loose).
    public var tcpLoose = true
    /// Call only resets out of window invalid (nf_conntrack_tcp_be_liberal).
    public var tcpLiberal = false
    /// Believe resets whatever their sequence number (nf_conntrack_tcp_ignore_invalid_rst).
    public var tcpIgnoresInvalidResets = false
    /// nf_conntrack_tcp_max_retrans.
    public var tcpMaximumRetransmissions: UInt8 = 3
    /// Count packets and bytes (nf_conntrack_acct); Linux's default is off, ours on.
    public var accounting = true
    /// Endpoint-independent mappings at most; 0: none are made.
    public var coneMappings = 0
    /// Tuples that may be held for rules in a NIC after their connections died.
    public var heldTuples = 0
    public init() {}

    /// Slots of the pool.
    public var poolSlots: Int {
        let connections = max(1, min(maximumConnections, 1 << 28))
        return connections + max(64, limboSlots ?? connections / 8)
    }
    /// Buckets of each hash table: a power of two, at least four a connection. A bucket is four bytes and a connection 320, and
    /// what is looked up is mostly not there: then an empty bucket spares the way to a record.
    var buckets: Int {
        var size = 64
        while size < maximumConnections &* 4 && size < 1 << 30 { size <<= 1 }
        return size
    }
}
