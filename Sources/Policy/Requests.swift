// What a rule asks the slow path to do with a packet: translate, refuse, copy, send elsewhere, offload.
//
// Invariant: plain values in the PacketContext; a request is meaningful only with the verdict that goes with it.
import Wire

/// How a base chain ended.
@frozen public enum Verdict: UInt8, Sendable {
    /// Go on with the next base chain.
    case accept
    /// `drop` of a rule; final.
    case drop
    /// The end of a base chain with policy drop; final.
    case policyDrop
    /// Send what `PacketContext.reject` says, then drop.
    case reject
    /// Carry out `PacketContext.nat` on the connection, then go on as for `accept`; drop if that fails.
    case nat
    /// `queue`: nobody listens, so the packet is dropped unless `bypass` (then the verdict is `accept`).
    case queue
    /// The rule took the packet (`fwd to`): `PacketContext.forward` says where it goes; nothing else happens to it.
    case stolen
    /// The program refused to go on (jump depth); the packet is dropped, as Linux does.
    case error
}

/// `snat`, `dnat`, `masquerade`, `redirect`.
@frozen public struct NATRequest: Sendable {
    @frozen public enum Kind: UInt8, Sendable { case source, destination, masquerade, redirect }
    @frozen public struct Flags: OptionSet, Sendable {
        public var rawValue: UInt8
        @inlinable public init(rawValue: UInt8) { self.rawValue = rawValue }
        public static var random: Flags { Flags(rawValue: 1) }
        public static var fullyRandom: Flags { Flags(rawValue: 2) }
        public static var persistent: Flags { Flags(rawValue: 4) }
        /// `prefix`: the host bits are kept, `minimumAddress` and `maximumAddress` bound the network.
        public static var prefix: Flags { Flags(rawValue: 8) }
    }
    public var kind: Kind = .source
    public var flags: Flags = []
    /// False: only the port is translated (or, for masquerade and redirect, the address is the interface's own).
    public var hasAddress = false
    public var hasPort = false
    public var minimumAddress = IPAddress(ipv4: 0)
    public var maximumAddress = IPAddress(ipv4: 0)
    /// Host order, inclusive.
    public var minimumPort: UInt16 = 0
    public var maximumPort: UInt16 = 0
    @inlinable public init() {}
}

/// `reject`.
@frozen public struct RejectRequest: Sendable {
    @frozen public enum Kind: UInt8, Sendable { case tcpReset, icmp, icmpv6 }
    public var kind: Kind = .icmp
    /// ICMP: type 3; ICMPv6: type 1.
    public var type: UInt8 = 3
    public var code: UInt8 = 3
    @inlinable public init() {}
}

/// `synproxy`, packed: what the server would say in its SYN+ACK.
public struct SynproxyParameters: RawRepresentable, Sendable {
    public var rawValue: UInt32
    public init(rawValue: UInt32) { self.rawValue = rawValue }
    /// - Parameter options: Linux's `NF_SYNPROXY_OPT_*`: MSS 1, window scale 2, SACK permitted 4, time stamp 8.
    init(maximumSegmentSize: UInt16, windowScale: UInt8, options: UInt8) {
        rawValue = UInt32(maximumSegmentSize) | UInt32(windowScale) << 16 | UInt32(options) << 24
    }
    public var maximumSegmentSize: UInt16 { UInt16(truncatingIfNeeded: rawValue) }
    public var windowScale: UInt8 { UInt8(truncatingIfNeeded: rawValue >> 16) }
    public var options: UInt8 { UInt8(truncatingIfNeeded: rawValue >> 24) }
}

/// `fwd to`, `dup to`, `tproxy`.
@frozen public struct ForwardRequest: Sendable {
    /// Place in the interface list; `PacketContext.noInterface` if the route decides.
    public var device: UInt16 = 0xffff
    public var hasAddress = false
    public var address = IPAddress(ipv4: 0)
    /// `tproxy to`: host order, 0 for none.
    public var port: UInt16 = 0
    /// What the packet was marked with when the statement was passed.
    public var mark: UInt32 = 0
    public var priority: UInt32 = 0
    @inlinable public init() {}
}
