// The parser's long way: VLAN tags, IPv4 options and fragments, IPv6 extension headers, every transport protocol, and
// every malformed packet with its own reason.

extension PacketParser {
    /// As `parse`, without the shortcut. Not inlined: callers want `parse`.
    @inline(never)
    public static func parseGeneral(_ packet: PacketBuffer, into parsed: inout ParsedPacket, ipv4ChecksumIsGood: Bool = false) -> DropReason {
        parsed = ParsedPacket()
        guard packet.length >= ethernetHeaderLength else { return .frameTooShort }
        guard packet.length <= maximumFrameLength else { return .frameTooLong }
        var etherType = packet.load16(12)
        var offset = ethernetHeaderLength
        while etherType == EtherType.vlan || etherType == EtherType.qinq {
            guard parsed.vlanCount < 2 else { return .vlanTooDeep }
            // Linux takes the outer tag off only where two more bytes follow (skb_vlan_untag).
            guard packet.length >= offset + (parsed.vlanCount == 0 ? 6 : 4) else { return .vlanTruncated }
            let tag = packet.load16(offset)
            if parsed.vlanCount == 0 { parsed.outerTag = tag } else { parsed.innerTag = tag }
            if etherType == EtherType.qinq { parsed.serviceTags |= 1 << parsed.vlanCount }
            parsed.vlanCount += 1
            etherType = packet.load16(offset + 2)
            offset += 4
        }
        parsed.etherType = etherType
        parsed.networkOffset = UInt16(offset)
        switch etherType {
        case EtherType.ipv4: return parseIPv4(packet, into: &parsed, checksumIsGood: ipv4ChecksumIsGood)
        case EtherType.ipv6: return parseIPv6(packet, into: &parsed)
        default: return .none
        }
    }

    /// Order of the checks: ip_rcv_core (net/ipv4/ip_input.c).
    private static func parseIPv4(_ packet: PacketBuffer, into parsed: inout ParsedPacket, checksumIsGood: Bool) -> DropReason {
        let start = Int(parsed.networkOffset)
        let available = packet.length - start
        guard available >= 20 else { return .ipv4Truncated }
        let versionAndLength = packet.load8(start)
        guard versionAndLength >> 4 == 4 else { return .ipv4BadVersion }
        let headerLength = Int(versionAndLength & 0x0f) * 4
        guard headerLength >= 20 else { return .ipv4BadHeaderLength }
        guard available >= headerLength else { return .ipv4Truncated }
        if !checksumIsGood, Checksum.fold(Checksum.partial(UnsafeRawPointer(packet.start + start), headerLength)) != 0xffff {
            return .ipv4BadChecksum
        }
        let totalLength = Int(packet.load16(start + 2))
        guard totalLength <= available else { return .ipv4Truncated }
        guard totalLength >= headerLength else { return .ipv4BadTotalLength }

        parsed.family = .ipv4
        parsed.networkLength = UInt32(totalLength)
        parsed.networkHeaderLength = UInt16(headerLength)
        parsed.trafficClass = packet.load8(start + 1)
        parsed.fragmentIdentification = UInt32(packet.load16(start + 4))
        parsed.timeToLive = packet.load8(start + 8)
        parsed.transportProtocol = packet.load8(start + 9)
        parsed.sourceAddress = IPAddress(ipv4: packet.load32(start + 12))
        parsed.destinationAddress = IPAddress(ipv4: packet.load32(start + 16))
        if headerLength > 20 { parsed.flags.insert(.hasOptions) }
        let fragment = packet.load16(start + 6)
        if fragment & 0x4000 != 0 { parsed.flags.insert(.dontFragment) }
        setFragment(into: &parsed, offsetInBytes: (fragment & 0x1fff) << 3, more: fragment & 0x2000 != 0)
        parsed.transportOffset = UInt16(start + headerLength)
        parseTransport(packet, into: &parsed)
        return .none
    }

    /// Order of the checks: ip6_rcv_core (net/ipv6/ip6_input.c); the walk over extension headers: ipv6_find_hdr.
    private static func parseIPv6(_ packet: PacketBuffer, into parsed: inout ParsedPacket) -> DropReason {
        let start = Int(parsed.networkOffset)
        let available = packet.length - start
        guard available >= 40 else { return .ipv6Truncated }
        let first = packet.load64(start)
        guard first >> 60 == 6 else { return .ipv6BadVersion }
        let source = IPAddress(ipv6High: packet.load64(start + 8), low: packet.load64(start + 16))
        let destination = IPAddress(ipv6High: packet.load64(start + 24), low: packet.load64(start + 32))
        // RFC 4291 2.5.3: loopback never on a wire; 2.7: no multicast source, scopes 0 and 1 stay in the node.
        guard !source.isLoopback, !source.isMulticast else { return .martianSource }
        guard !destination.isLoopback else { return .martianDestination }
        if destination.isMulticast, destination.high >> 48 & 0x0f <= 1 { return .martianDestination }
        var payloadLength = Int(first >> 16 & 0xffff)
        // A length of 0 with a hop-by-hop header means all that there is: a jumbogram says more in an option (RFC 2675), and
        // `IPv6Options` judges that.
        if payloadLength == 0, UInt8(truncatingIfNeeded: first >> 8) == IPProtocol.hopByHop { payloadLength = available - 40 }
        guard payloadLength + 40 <= available else { return .ipv6BadPayloadLength }

        parsed.family = .ipv6
        parsed.networkLength = UInt32(payloadLength + 40)
        parsed.trafficClass = UInt8(truncatingIfNeeded: first >> 52)
        parsed.timeToLive = UInt8(truncatingIfNeeded: first)
        parsed.sourceAddress = source
        parsed.destinationAddress = destination

        let end = start + 40 + payloadLength
        var nextHeader = UInt8(truncatingIfNeeded: first >> 8)
        var offset = start + 40
        var headers = 0
        var broken = false
        walk: while true {
            let headerLength: Int
            switch nextHeader {
            case IPProtocol.hopByHop, IPProtocol.routing, IPProtocol.destinationOptions, IPProtocol.fragment, IPProtocol.authentication:
                let isFirst = headers == 0
                headers += 1
                guard headers <= maximumExtensionHeaders else { return .ipv6TooManyExtensions }
                guard offset + 8 <= end else {
                    // A router parses the hop-by-hop header, and only that (RFC 8200 section 4).
                    if isFirst, nextHeader == IPProtocol.hopByHop { return .ipv6ExtensionTruncated }
                    // The first two bytes are enough for Linux's connection tracking (ipv6_skip_exthdr).
                    if nextHeader != IPProtocol.fragment, offset + 2 <= end {
                        nextHeader = packet.load8(offset)
                        offset = min(end, 0xffff)
                    }
                    broken = true
                    break walk
                }
                switch nextHeader {
                case IPProtocol.fragment:
                    // A fragment of a fragment: only the outer one counts, and nobody knows what is inside.
                    guard parsed.fragmentHeaderOffset == 0 else {
                        broken = true
                        break walk
                    }
                    headerLength = 8
                    let word = packet.load16(offset + 2)
                    parsed.fragmentHeaderOffset = UInt16(offset)
                    parsed.fragmentIdentification = packet.load32(offset + 4)
                    setFragment(into: &parsed, offsetInBytes: word & 0xfff8, more: word & 1 != 0)
                case IPProtocol.authentication:
                    headerLength = (Int(packet.load8(offset + 1)) + 2) * 4
                    parsed.flags.insert(.hasOptions)
                default:
                    headerLength = (Int(packet.load8(offset + 1)) + 1) * 8
                    parsed.flags.insert(.hasOptions)
                    if isFirst, nextHeader == IPProtocol.hopByHop, offset + headerLength > end { return .ipv6ExtensionTruncated }
                }
            default: break walk
            }
            guard offset + headerLength <= end, offset + headerLength <= 0xffff else {
                // Linux's connection tracking believes the header's word on what follows, even if nothing can.
                nextHeader = packet.load8(offset)
                offset = min(end, 0xffff)
                broken = true
                break walk
            }
            nextHeader = packet.load8(offset)
            offset += headerLength
            if parsed.flags.contains(.isLaterFragment) {
                // What follows is the datagram's middle. The fragment header's word on it is believed only if it names
                // a transport protocol.
                broken = isExtensionHeader(nextHeader)
                break walk
            }
        }
        parsed.transportProtocol = nextHeader
        parsed.transportOffset = UInt16(offset)
        parsed.networkHeaderLength = UInt16(offset - start)
        if broken { parsed.flags.insert(.transportMalformed) } else { parseTransport(packet, into: &parsed) }
        return .none
    }

    /// Whether a next-header number names an extension header that the parser walks over.
    public static func isExtensionHeader(_ number: UInt8) -> Bool {
        switch number {
        case IPProtocol.hopByHop, IPProtocol.routing, IPProtocol.destinationOptions, IPProtocol.fragment, IPProtocol.authentication: true
        default: false
        }
    }

    /// Bytes of an extension header whose length field says `units`.
    @inlinable public static func extensionHeaderLength(_ number: UInt8, units: UInt8) -> Int {
        switch number {
        case IPProtocol.fragment: 8
        case IPProtocol.authentication: (Int(units) + 2) * 4
        default: (Int(units) + 1) * 8
        }
    }

    private static func setFragment(into parsed: inout ParsedPacket, offsetInBytes: UInt16, more: Bool) {
        parsed.fragmentOffset = offsetInBytes
        if more { parsed.flags.insert(.moreFragments) }
        if more || offsetInBytes != 0 { parsed.flags.insert(.isFragment) }
        if offsetInBytes != 0 { parsed.flags.insert(.isLaterFragment) }
    }

    /// Transport header of a whole packet or a first fragment. A first fragment's length fields speak of the whole
    /// datagram and are not compared with the fragment.
    private static func parseTransport(_ packet: PacketBuffer, into parsed: inout ParsedPacket) {
        guard !parsed.flags.contains(.isLaterFragment) else { return }
        let offset = Int(parsed.transportOffset)
        let available = parsed.transportLength
        let isFragment = parsed.flags.contains(.isFragment)
        let fits: Bool
        switch parsed.transportProtocol {
        case IPProtocol.tcp:
            loadPorts(packet, into: &parsed)
            if available >= 14 { parsed.tcpFlags = packet.load8(offset + 13) }
            if available >= 20 {
                let headerLength = Int(packet.load8(offset + 12) >> 4) * 4
                fits = headerLength >= 20 && (isFragment || headerLength <= available)
            } else {
                fits = false
            }
        case IPProtocol.udp:
            loadPorts(packet, into: &parsed)
            if available >= 8 {
                let datagramLength = Int(packet.load16(offset + 4))
                fits = datagramLength >= 8 && (isFragment || datagramLength <= available)
            } else {
                fits = false
            }
        case IPProtocol.udplite:
            loadPorts(packet, into: &parsed)
            if available >= 8 {
                let coverage = Int(packet.load16(offset + 4))
                fits = coverage == 0 || (coverage >= 8 && (isFragment || coverage <= available))
            } else {
                fits = false
            }
        case IPProtocol.sctp, IPProtocol.dccp:
            loadPorts(packet, into: &parsed)
            fits = available >= 12
        case IPProtocol.icmp where parsed.family == .ipv4, IPProtocol.icmpv6 where parsed.family == .ipv6:
            if available >= 2 {
                parsed.icmpType = packet.load8(offset)
                parsed.icmpCode = packet.load8(offset + 1)
            }
            fits = available >= 8
            if fits {
                switch (parsed.transportProtocol, parsed.icmpType) {
                // Echo, timestamp, information and address mask messages carry an identifier.
                case (IPProtocol.icmp, 0), (IPProtocol.icmp, 8), (IPProtocol.icmp, 13...18), (IPProtocol.icmpv6, 128...129):
                    parsed.icmpIdentifier = packet.load16(offset + 4)
                default: break
                }
            }
        default:
            return
        }
        parsed.flags.insert(fits ? .hasTransport : .transportMalformed)
    }

    private static func loadPorts(_ packet: PacketBuffer, into parsed: inout ParsedPacket) {
        guard parsed.transportLength >= 4 else { return }
        let ports = packet.load32(Int(parsed.transportOffset))
        parsed.sourcePort = UInt16(truncatingIfNeeded: ports >> 16)
        parsed.destinationPort = UInt16(truncatingIfNeeded: ports)
        parsed.flags.insert(.hasPorts)
    }
}
