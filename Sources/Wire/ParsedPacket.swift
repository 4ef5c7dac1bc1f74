// Where everything is in a frame: the result of one checked walk over its headers.
//
// Invariant: an offset or length stored here was checked against the frame, so code that holds a ParsedPacket may load
// the header it names without another bounds check. Whoever moves bytes parses again.

/// Nanoseconds of a monotonic clock. Always a parameter, never read inside the pipeline.
public typealias Timestamp = UInt64

/// Needletail's own number of a port: its place in the configuration.
public typealias PortIndex = UInt16

/// IP protocol numbers (IANA).
public enum IPProtocol {
    public static let hopByHop: UInt8 = 0
    public static let icmp: UInt8 = 1
    public static let igmp: UInt8 = 2
    public static let tcp: UInt8 = 6
    public static let udp: UInt8 = 17
    public static let dccp: UInt8 = 33
    public static let routing: UInt8 = 43
    public static let fragment: UInt8 = 44
    public static let gre: UInt8 = 47
    public static let esp: UInt8 = 50
    public static let authentication: UInt8 = 51
    public static let icmpv6: UInt8 = 58
    public static let noNextHeader: UInt8 = 59
    public static let destinationOptions: UInt8 = 60
    public static let sctp: UInt8 = 132
    public static let mobility: UInt8 = 135
    public static let udplite: UInt8 = 136
}

public enum EtherType {
    public static let ipv4: UInt16 = 0x0800
    public static let arp: UInt16 = 0x0806
    public static let vlan: UInt16 = 0x8100
    public static let qinq: UInt16 = 0x88a8
    public static let ipv6: UInt16 = 0x86dd
    public static let pppoeSession: UInt16 = 0x8864
}

/// TCP flag bits of byte 13 (RFC 9293 section 3.1).
public enum TCPFlags {
    public static let fin: UInt8 = 0x01
    public static let syn: UInt8 = 0x02
    public static let rst: UInt8 = 0x04
    public static let psh: UInt8 = 0x08
    public static let ack: UInt8 = 0x10
    public static let urg: UInt8 = 0x20
    public static let ece: UInt8 = 0x40
    public static let cwr: UInt8 = 0x80
}

@frozen public struct ParsedPacket: Sendable {
    /// Properties that are bits, not numbers.
    @frozen public struct Flags: OptionSet, Sendable {
        public var rawValue: UInt16
        @inlinable public init(rawValue: UInt16) { self.rawValue = rawValue }
        /// IPv4 options (IHL > 5) or IPv6 extension headers other than a fragment header.
        public static var hasOptions: Flags { Flags(rawValue: 1) }
        /// Any fragment: offset > 0 or more fragments to come.
        public static var isFragment: Flags { Flags(rawValue: 2) }
        /// A fragment other than the first: no transport header.
        public static var isLaterFragment: Flags { Flags(rawValue: 4) }
        public static var moreFragments: Flags { Flags(rawValue: 8) }
        public static var dontFragment: Flags { Flags(rawValue: 16) }
        /// `transportOffset` names a complete fixed header of TCP, UDP, ICMP(v6), SCTP, DCCP or UDP-Lite whose own
        /// length fields fit the packet.
        public static var hasTransport: Flags { Flags(rawValue: 32) }
        /// The transport protocol has ports and `sourcePort`, `destinationPort` hold them.
        public static var hasPorts: Flags { Flags(rawValue: 64) }
        /// The transport header is cut short or its own length fields contradict the packet.
        public static var transportMalformed: Flags { Flags(rawValue: 128) }
        /// Connection tracking has found the transport checksum right. As in Linux (CHECKSUM_COMPLETE) it then counts as right,
        /// whatever rules do to the packet. The parser never sets it.
        public static var hasVerifiedChecksum: Flags { Flags(rawValue: 256) }
        /// It had, until a rule changed something that the sum kept does not hold any more: a TCP reset and local delivery sum up
        /// anew, an ICMP error by a rule does not. The parser never sets it.
        public static var hadVerifiedChecksum: Flags { Flags(rawValue: 512) }
        /// Connection tracking has found it right twice: nobody sums it up again, not even who otherwise would (CHECKSUM_UNNECESSARY). With
        /// `hasVerifiedChecksum`; the parser never sets it.
        public static var needsNoChecksum: Flags { Flags(rawValue: 1024) }
    }

    /// EtherType behind the last VLAN tag; the length field of an 802.3 frame as it stands.
    public var etherType: UInt16 = 0
    /// Number of VLAN tags (0, 1 or 2); the outermost first.
    public var vlanCount: UInt8 = 0
    public var outerTag: UInt16 = 0
    public var innerTag: UInt16 = 0
    /// Which of the tags are service tags (EtherType 0x88a8): bit 0 the outer, bit 1 the inner.
    public var serviceTags: UInt8 = 0
    /// Offset of the network header, equal to the length of the link header with its tags.
    public var networkOffset: UInt16 = 0
    /// nil unless the frame carries a well-formed IPv4 or IPv6 header.
    public var family: AddressFamily? = nil
    /// Bytes of the IP packet as its header says (payload included); the rest of the frame is padding.
    public var networkLength: UInt32 = 0
    /// Bytes of the IPv4 header with options, or of the IPv6 header with all extension headers walked.
    public var networkHeaderLength: UInt16 = 0
    /// Upper-layer protocol: IPv4 `protocol`, or the last `next header` of the IPv6 chain.
    public var transportProtocol: UInt8 = 0
    public var timeToLive: UInt8 = 0
    /// DSCP and ECN: IPv4 TOS, IPv6 traffic class.
    public var trafficClass: UInt8 = 0
    public var flags: Flags = []
    /// Offset of the transport header from the frame's start; where the payload begins for unknown protocols.
    public var transportOffset: UInt16 = 0
    /// Fragment offset in bytes.
    public var fragmentOffset: UInt16 = 0
    /// IPv4 identification or the identification of the IPv6 fragment header.
    public var fragmentIdentification: UInt32 = 0
    /// Offset of the IPv6 fragment header from the frame's start; 0 if there is none.
    public var fragmentHeaderOffset: UInt16 = 0
    public var sourceAddress = IPAddress(ipv4: 0)
    public var destinationAddress = IPAddress(ipv4: 0)
    public var sourcePort: UInt16 = 0
    public var destinationPort: UInt16 = 0
    /// TCP flags; 0 for other protocols.
    public var tcpFlags: UInt8 = 0
    /// ICMP and ICMPv6 type and code; 0 for other protocols.
    public var icmpType: UInt8 = 0
    public var icmpCode: UInt8 = 0
    /// Identifier of an ICMP echo (and timestamp, address mask) message.
    public var icmpIdentifier: UInt16 = 0

    @inlinable public init() {}

    /// Forgets everything above the link layer, of which nothing is to be trusted in a malformed frame.
    public mutating func keepLinkHeader() {
        var link = ParsedPacket()
        link.etherType = vlanCount < 2 || etherType != 0 ? etherType : EtherType.vlan
        (link.vlanCount, link.outerTag, link.innerTag, link.serviceTags) = (vlanCount, outerTag, innerTag, serviceTags)
        link.networkOffset = 14 + 4 * UInt16(vlanCount)
        self = link
    }

    /// Bytes from the transport header to the end of the IP packet.
    @inlinable public var transportLength: Int { Int(networkOffset) + Int(networkLength) - Int(transportOffset) }
}
