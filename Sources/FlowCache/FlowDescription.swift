// What the slow path tells the flow cache about one direction of a flow: key, rewrite, guards, owner.
//
// Invariant: a plain value, no references; the writer packs it into an entry, the worker never sees it.
import Wire

/// What a packet of the flow shows on the wire when it arrives.
@frozen public struct FlowKey: Hashable, Sendable {
    public var source = IPAddress(ipv4: 0)
    public var destination = IPAddress(ipv4: 0)
    /// Ports in host order. For ICMP and ICMPv6 echo: the identifier in `sourcePort`, `type << 8 | code` in
    /// `destinationPort` (a request and a reply with one identifier may run the same way). 0 for protocols that are
    /// keyed by addresses alone.
    public var sourcePort: UInt16 = 0
    public var destinationPort: UInt16 = 0
    public var transportProtocol: UInt8 = 0
    public var ingressPort: PortIndex = 0
    /// VLAN tags as they arrive, 0 for none, outermost first: VIDs (PCP and DEI are not part of the key), and
    /// `serviceTag` for a tag whose EtherType is 0x88a8.
    public var outerVLAN: UInt16 = 0
    public var innerVLAN: UInt16 = 0
    public var vlanCount: UInt8 = 0
    /// PPPoE session, behind one tag at most; 0: the frame has no session header.
    public var pppoeSession: UInt16 = 0
    @inlinable public init() {}

    /// Bit of `outerVLAN` and `innerVLAN`: the tag is a service tag (IEEE 802.1ad).
    @inlinable @inline(__always) public static var serviceTag: UInt16 { 0x8000 }

    /// The tags of the key as `FlowRewrite.vlanTags` has them.
    public var vlanTags: UInt64 {
        func tag(_ vlan: UInt16) -> UInt64 { UInt64(vlan & FlowKey.serviceTag == 0 ? EtherType.vlan : EtherType.qinq) << 16 | UInt64(vlan & 0xfff) }
        return (vlanCount == 0 ? 0 : tag(outerVLAN) << 32 | (vlanCount == 1 ? 0 : tag(innerVLAN))).bigEndian
    }
}

/// How a packet of the flow leaves. Fields that do not change hold the packet's own values.
@frozen public struct FlowRewrite: Sendable {
    public var outputPort: PortIndex = 0
    /// VLAN tags that the frame leaves with, 0 to 2.
    public var vlanCount: UInt8 = 0
    /// Those tags as they lie behind the MAC addresses, EtherType first, 4 bytes each; the rest 0.
    public var vlanTags: UInt64 = 0
    /// PPPoE session that the frame leaves with, behind one tag at most; 0 for none.
    public var pppoeSession: UInt16 = 0
    public var destinationMAC = EthernetAddress.zero
    public var sourceMAC = EthernetAddress.zero
    public var source = IPAddress(ipv4: 0)
    public var destination = IPAddress(ipv4: 0)
    public var sourcePort: UInt16 = 0
    public var destinationPort: UInt16 = 0
    /// `trafficClass = (old & ~mask) | value`.
    public var trafficClassMask: UInt8 = 0
    public var trafficClassValue: UInt8 = 0
    /// That is the last change of the IPv4 header: a header checksum of zero is written as 0xffff.
    public var writesChecksumLast = false
    @inlinable public init() {}
}

/// Which packets with the flow's key the recorded verdict holds for; the others go to the slow path.
@frozen public struct FlowGuard: Sendable {
    /// `tcpFlags & mask == value`. A tracked TCP flow has at least SYN, FIN and RST in the mask, and 0 for them in the value.
    public var tcpFlagsMask: UInt8 = 0
    public var tcpFlagsValue: UInt8 = 0
    /// `trafficClass & mask == value`.
    public var trafficClassMask: UInt8 = 0
    public var trafficClassValue: UInt8 = 0
    /// Longest IP packet (bytes from the network header) that the path takes.
    public var maximumLength: UInt16 = 0
    /// Judge sequence numbers with the connection's TCPWindowPair, as conntrack does; off for untracked and liberal flows.
    public var checksTCPWindow = false
    /// Verify the transport checksum (conntrack calls a packet with a wrong one invalid).
    public var checksTransportChecksum = false
    @inlinable public init() {}
}

/// One direction of a flow, ready to be published.
@frozen public struct FlowDescription: Sendable {
    public var key = FlowKey()
    public var rewrite = FlowRewrite()
    public var `guard` = FlowGuard()
    /// Index of the connection in the conntrack's pool; `FlowDescription.untracked` if the ruleset tracks nothing.
    public var connection: UInt32 = FlowDescription.untracked
    /// 0 original, 1 reply.
    public var direction: UInt8 = 0
    /// The worker whose packets these are.
    public var owner = FlowOwner(worker: 0)
    /// Index of the credit list that the slow path keeps for this flow's counters.
    public var creditList: UInt32 = 0
    /// The caller's number for whom `rewrite.destinationMAC` belongs to, so that a sweep can tell whose flows are in use; the cache only keeps it.
    public var neighbour: UInt32 = FlowDescription.noNeighbour
    @inlinable public init() {}
    public static var untracked: UInt32 { UInt32.max }
    public static var noNeighbour: UInt32 { UInt32.max }
}
