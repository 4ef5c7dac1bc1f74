// One checked walk over a frame's headers, by the rules of Linux's IP input (ip_rcv_core, ip6_rcv_core).
//
// Two halves: `parse` holds the path of nearly every packet (untagged Ethernet, plain IPv4 or IPv6, TCP or UDP) and is
// inlined into the worker's loop; everything else takes `parseGeneral`, out of line. Both give the same answer for the
// same frame (a property test holds them to it).
//
// Invariant: nothing is loaded beyond `packet.length`, and nothing in the result points beyond it. What Linux drops at
// IP input is a `DropReason`; a defect in a transport header, or in an IPv6 extension header that a router does not
// look at, only sets `.transportMalformed`, because Linux forwards such a packet. IPv4 options are checked later, behind
// prerouting (`IPv4Options`), as in Linux.

public enum PacketParser {
    /// Bytes of an Ethernet header without tags.
    @inlinable public static var ethernetHeaderLength: Int { 14 }
    /// Longest frame: a maximal IPv6 packet behind an Ethernet header with two tags.
    @inlinable public static var maximumFrameLength: Int { 14 + 8 + 40 + 65535 }
    /// Longest chain of IPv6 extension headers that is walked: more than a frame of the largest MTU (9600) holds, since Linux
    /// has no limit. Such a frame costs some microseconds, and takes ten times as long on a 10G line.
    @inlinable public static var maximumExtensionHeaders: Int { 1200 }

    /// Parses the frame into `parsed`, overwriting all of it.
    ///
    /// A frame that is neither IPv4 nor IPv6 gives `.none` with `parsed.family == nil`: ARP, PPPoE and the rest are for
    /// the caller to tell apart by `etherType` (`.unknownEtherType` is the caller's word).
    ///
    /// - Parameter ipv4ChecksumIsGood: the NIC has verified the IPv4 header checksum.
    /// - Returns: `.none` for a frame that Linux would hand to the prerouting hook. With any other reason, only the
    ///   link-layer fields of `parsed` are to be trusted.
    @inlinable @inline(__always)
    public static func parse(_ packet: PacketBuffer, into parsed: inout ParsedPacket, ipv4ChecksumIsGood: Bool = false) -> DropReason {
        let length = packet.length
        if length >= 14 + 20 + 8 && length <= 0xffff {
            let etherType = packet.load16(12)
            if etherType == EtherType.ipv4 {
                // Version 4, five words; not a fragment.
                let first = packet.load32(14)
                let totalLength = Int(first & 0xffff)
                let fragment = packet.load32(18)
                let ttlProtocol = packet.load32(22)
                let transportProtocol = UInt8(truncatingIfNeeded: ttlProtocol >> 16)
                let isTCP = transportProtocol == IPProtocol.tcp
                if first >> 24 == 0x45, fragment & 0x3fff == 0, isTCP || transportProtocol == IPProtocol.udp,
                    totalLength <= length &- 14, totalLength >= (isTCP ? 40 : 28)
                {
                    let source = packet.load32(26)
                    let destination = packet.load32(30)
                    if !ipv4ChecksumIsGood {
                        let sum = UInt64(first) &+ UInt64(fragment) &+ UInt64(ttlProtocol) &+ UInt64(source) &+ UInt64(destination)
                        if Checksum.fold(sum) != 0xffff {
                            parsed = ParsedPacket()
                            parsed.etherType = etherType
                            parsed.networkOffset = 14
                            return .ipv4BadChecksum
                        }
                    }
                    parsed = ParsedPacket()
                    parsed.etherType = etherType
                    parsed.networkOffset = 14
                    parsed.family = .ipv4
                    parsed.networkLength = UInt32(truncatingIfNeeded: totalLength)
                    parsed.networkHeaderLength = 20
                    parsed.transportProtocol = transportProtocol
                    parsed.timeToLive = UInt8(truncatingIfNeeded: ttlProtocol >> 24)
                    parsed.trafficClass = UInt8(truncatingIfNeeded: first >> 16)
                    parsed.transportOffset = 34
                    parsed.fragmentIdentification = fragment >> 16
                    parsed.sourceAddress = IPAddress(ipv4: source)
                    parsed.destinationAddress = IPAddress(ipv4: destination)
                    let dontFragment: ParsedPacket.Flags = fragment & 0x4000 != 0 ? .dontFragment : []
                    parseTCPOrUDP(packet, into: &parsed, isTCP: isTCP, offset: 34, available: totalLength &- 20, flags: dontFragment)
                    return .none
                }
            } else if etherType == EtherType.ipv6, length >= 14 + 40 + 8 {
                let first = packet.load64(14)
                let payloadLength = Int(first >> 16 & 0xffff)
                let transportProtocol = UInt8(truncatingIfNeeded: first >> 8)
                let isTCP = transportProtocol == IPProtocol.tcp
                let source = IPAddress(ipv6High: packet.load64(22), low: packet.load64(30))
                let destination = IPAddress(ipv6High: packet.load64(38), low: packet.load64(46))
                // Global and other ordinary unicast addresses; multicast, loopback and unspecified go the long way.
                if first >> 60 == 6, isTCP || transportProtocol == IPProtocol.udp,
                    payloadLength <= length &- 54, payloadLength >= (isTCP ? 20 : 8),
                    source.high != 0, destination.high != 0, source.high >> 56 != 0xff, destination.high >> 56 != 0xff
                {
                    parsed = ParsedPacket()
                    parsed.etherType = etherType
                    parsed.networkOffset = 14
                    parsed.family = .ipv6
                    parsed.networkLength = UInt32(truncatingIfNeeded: payloadLength &+ 40)
                    parsed.networkHeaderLength = 40
                    parsed.transportProtocol = transportProtocol
                    parsed.timeToLive = UInt8(truncatingIfNeeded: first)
                    parsed.trafficClass = UInt8(truncatingIfNeeded: first >> 52)
                    parsed.transportOffset = 54
                    parsed.sourceAddress = source
                    parsed.destinationAddress = destination
                    parseTCPOrUDP(packet, into: &parsed, isTCP: isTCP, offset: 54, available: payloadLength, flags: [])
                    return .none
                }
            }
        }
        return parseGeneral(packet, into: &parsed, ipv4ChecksumIsGood: ipv4ChecksumIsGood)
    }

    /// The transport fields of an unfragmented TCP (≥ 20 bytes) or UDP (≥ 8 bytes) packet.
    @inlinable @inline(__always)
    static func parseTCPOrUDP(_ packet: PacketBuffer, into parsed: inout ParsedPacket, isTCP: Bool, offset: Int, available: Int, flags: ParsedPacket.Flags) {
        let ports = packet.load32(offset)
        parsed.sourcePort = UInt16(truncatingIfNeeded: ports >> 16)
        parsed.destinationPort = UInt16(truncatingIfNeeded: ports)
        let fits: Bool
        if isTCP {
            let headerLength = Int(packet.load8(offset &+ 12) >> 4) &* 4
            parsed.tcpFlags = packet.load8(offset &+ 13)
            fits = headerLength >= 20 && headerLength <= available
        } else {
            let datagramLength = Int(packet.load16(offset &+ 4))
            fits = datagramLength >= 8 && datagramLength <= available
        }
        let shape: ParsedPacket.Flags = fits ? .hasTransport : .transportMalformed
        parsed.flags = ParsedPacket.Flags(rawValue: flags.rawValue | shape.rawValue | ParsedPacket.Flags.hasPorts.rawValue)
    }
}
