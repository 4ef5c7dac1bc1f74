// Sizes, limits and timeouts of the tables, with the defaults that Linux has where Linux has them.
//
// Invariant: every table that traffic can fill has its bound here.
import Wire

extension Configuration {
    /// `[flow-cache]`
    public struct FlowCache: Sendable, Equatable {
        public var mode = FlowCacheMode.transparent
        /// Entries; a flow takes two, one a direction.
        public var entries = 524_288
        /// Entries that the table takes at the start; it grows with its use up to `entries`. 0: all of them.
        public var initialEntries = 0
        public init() {}
    }

    /// - transparent: cache what an established flow's walk through the rules came to, invisibly.
    /// - flowtable: cache only what the ruleset's `flow add` asks for, with the kernel's meaning.
    /// - off: every packet takes the slow path.
    public enum FlowCacheMode: String, Sendable, Equatable, CaseIterable { case transparent, flowtable, off }

    /// `[conntrack]`, with `[conntrack.timeout]`.
    public struct Conntrack: Sendable, Equatable {
        /// Connections; Linux's nf_conntrack_max.
        public var max = 262_144
        /// liberal: only a reset outside the window is invalid (nf_conntrack_tcp_be_liberal).
        public var tcpWindow = TCPWindowCheck.strict
        /// Pick up connections whose handshake was not seen (nf_conntrack_tcp_loose).
        public var tcpLoose = true
        /// A wrong transport checksum makes a packet invalid (nf_conntrack_checksum).
        public var checksum = true
        /// Count packets and bytes of connections (nf_conntrack_acct; Linux's default is off).
        public var accounting = true
        public var timeout = Timeouts()
        public init() {}
    }

    /// `[nat]`
    public struct NAT: Sendable, Equatable {
        /// Names of the ports whose source NAT is endpoint-independent for UDP (RFC 4787, "full cone").
        public var fullCone: [String] = []
        /// Clients' endpoints that may be mapped so at one time.
        public var fullConeMappings = 65_536
        /// Which source ports NAT may change so that answers reach the worker that received the connection's first packet.
        public var steerPorts = SteeredPorts.auto
        public init() {}
    }

    public enum SteeredPorts: String, Sendable, Equatable, CaseIterable { case auto, all, off }

    public enum TCPWindowCheck: String, Sendable, Equatable, CaseIterable { case strict, liberal }

    /// `[conntrack.timeout]`: seconds, named as Linux's `nf_conntrack_*_timeout_*`.
    public struct Timeouts: Sendable, Equatable {
        public var tcpSynSent = 120
        public var tcpSynRecv = 60
        public var tcpEstablished = 432_000
        public var tcpFinWait = 120
        public var tcpCloseWait = 60
        public var tcpLastAck = 30
        public var tcpTimeWait = 120
        public var tcpClose = 10
        public var tcpMaxRetrans = 300
        public var tcpUnacknowledged = 300
        public var udp = 30
        public var udpStream = 120
        public var icmp = 30
        public var icmpv6 = 30
        public var generic = 600
        public init() {}
    }

    /// `[reassembly]`: IP fragments that wait for the rest of their datagram.
    public struct Reassembly: Sendable, Equatable {
        /// Datagrams that may be incomplete at one time.
        public var datagrams = 1024
        /// KiB of fragments held, all datagrams together (Linux: ipfrag_high_thresh, 4 MiB).
        public var memoryKB = 4096
        /// Seconds after which an incomplete IPv4 datagram is given up (ipfrag_time).
        public var timeoutIPv4 = 30
        /// The same for IPv6 (nf_conntrack_frag6_timeout).
        public var timeoutIPv6 = 60
        public init() {}
    }

    /// `[neighbours]`: ARP and IPv6 neighbour discovery.
    public struct Neighbours: Sendable, Equatable {
        /// Neighbours known or being resolved (gc_thresh3).
        public var max = 4096
        /// Packets that wait for one neighbour's answer; the oldest gives way.
        public var pending = 101
        /// KiB of packets that wait for neighbours, all together.
        public var pendingKB = 1024
        /// Seconds for which a confirmed neighbour is trusted (base_reachable_time).
        public var reachable = 30
        /// Solicitations sent before the neighbour counts as unreachable, one a second.
        public var solicitations = 3
        public init() {}
    }

    /// `[icmp]`: a token bucket over the ICMP errors and resets that the router makes itself.
    public struct ICMP: Sendable, Equatable {
        /// Errors a second (Linux: icmp_msgs_per_sec); 0: no limit.
        public var rate = 1000
        /// Errors at once after a quiet time. Linux's icmp_msgs_burst is 50; here a second's worth.
        public var burst = 1000
        public init() {}
    }

    /// `[offload]`: which flows go into the NIC.
    public struct Offload: Sendable, Equatable {
        /// The most that is used of what each port turns out to be able to do.
        public var tier = OffloadTier.auto
        /// Packets a second, of both directions, from which a flow deserves a place in the NIC; 0: whatever its rate.
        public var minimumRate = 10
        /// Packets, of both directions, that a flow has sent before it is offered to the NIC.
        public var minimumPackets = 8
        /// Flows in one adapter's table, as far as the adapter itself takes them.
        public var maxFlows = 1_048_576
        /// Seconds without a packet after which a flow gives its place back.
        public var idle = 10
        /// Milliseconds between two readings of a rule's counters.
        public var queryInterval = 1000
        public init() {}
    }

    /// auto and full: everything; mark: the NIC only recognises flows; none: the NIC is left alone.
    public enum OffloadTier: String, Sendable, Equatable, CaseIterable { case auto, full, mark, none }

    /// `[control]`
    public struct Control: Sendable, Equatable {
        /// Path of the Unix socket that `show` and `nft` talk to.
        public var socket = "/run/needletail.sock"
        public init() {}
    }

    /// `[log]`
    public struct Log: Sendable, Equatable {
        public var level = LogLevel.notice
        /// A file to append to; nil: standard error.
        public var file: String?
        public init() {}
    }

    public enum LogLevel: String, Sendable, Equatable, CaseIterable { case trace, debug, info, notice, warning, error, critical }
}
