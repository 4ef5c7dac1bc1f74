// Packets for the router itself: the input hook, then what Linux answers when nothing listens.
//
// Echo requests are answered, TCP gets a reset, UDP a port unreachable, other protocols a protocol unreachable
// (IPv6: parameter problem), neighbour discovery goes to the neighbour table. Broadcasts and multicasts are consumed.
// Sources: net/ipv4/ip_input.c, icmp.c, tcp_ipv4.c (tcp_v4_send_reset), udp.c; net/ipv6/ip6_input.c.
import Conntrack
import Routing
import Wire

extension SlowPath {
    mutating func input(_ transit: inout Transit) -> Disposition {
        // Linux puts IPv4 together before the input hook, IPv6 behind it.
        if transit.parsed.family == .ipv4, transit.parsed.flags.contains(.isFragment), let ended = defragment(&transit, isForUs: true) { return ended }
        if let ended = runHook(.input, &transit) { return ended }
        // An atomic fragment (RFC 6946) is delivered, and quoted in errors, with its header.
        if transit.parsed.family == .ipv6, transit.parsed.flags.contains(.isFragment), let ended = defragment(&transit, isForUs: true) { return ended }
        return deliver(&transit)
    }

    private mutating func deliver(_ transit: inout Transit) -> Disposition {
        let parsed = transit.parsed
        var nextHeaderField: UInt32 = 6
        if parsed.family == .ipv6, let ended = consumeHeaders(&transit, field: &nextHeaderField) { return ended }
        let isGroup = parsed.destinationAddress.isMulticast || isBroadcast(parsed.destinationAddress)
        let toGroup = transit.context.packetType != PacketType.host || isGroup
        // A rule of the input hook wrote an address that is not ours: Linux delivers the packet, but has no source for an answer.
        if parsed.family == .ipv4, !isGroup, !router.interfaces.isOwn(parsed.destinationAddress) { return .dropped(.localNoListener) }
        switch parsed.transportProtocol {
        case IPProtocol.icmp where parsed.family == .ipv4, IPProtocol.icmpv6 where parsed.family == .ipv6:
            // ICMP asks for the address only, whatever frame it came in.
            return deliverICMP(&transit, toGroup: isGroup)
        case IPProtocol.tcp:
            resetClosedPort(transit, toGroup: toGroup)
            return .dropped(.localNoListener)
        case IPProtocol.udp, IPProtocol.udplite:
            trimDatagram(&transit)
            if !toGroup, isReadable(transit.packet, transit.parsed) {
                // Linux's UDP lets go of the connection before it looks for a socket: only conntrack's own hook finds it again.
                sendError(.portUnreachable(parsed.family ?? .ipv4), about: transit, isAttached: false)
            }
            return .dropped(.localNoListener)
        // Linux hears what members and queriers say, and answers nothing.
        case IPProtocol.igmp where parsed.family == .ipv4: return .delivered
        default:
            if parsed.family == .ipv4 {
                sendError(.protocolUnreachable(), about: transit)
            } else {
                sendError(.parameterProblem(ipv6: nextHeaderField, code: 1), about: transit)
            }
            return .dropped(.localNoProtocol)
        }
    }

    /// UDP takes what its own length names, and sums that up anew if there was more (pskb_trim_rcsum).
    private func trimDatagram(_ transit: inout Transit) {
        let parsed = transit.parsed
        guard parsed.transportProtocol == IPProtocol.udp, parsed.transportLength >= 8, !parsed.flags.contains(.isFragment) else { return }
        let named = Int(transit.packet.load16(Int(parsed.transportOffset) + 4))
        guard named >= 8, named < parsed.transportLength else { return }
        transit.context.parsed.networkLength -= UInt32(parsed.transportLength - named)
        if !parsed.flags.contains(.needsNoChecksum) { transit.context.parsed.flags.remove(.hasVerifiedChecksum) }
    }

    /// What UDP itself takes: a right checksum; in IPv6 there has to be one, and a length of 0 means all that there is (RFC 8200
    /// section 8.1, RFC 2675 section 4).
    private func isReadable(_ packet: PacketBuffer, _ parsed: ParsedPacket) -> Bool {
        guard parsed.transportLength >= 8, !parsed.flags.contains(.isFragment) else { return false }
        let header = Int(parsed.transportOffset)
        if parsed.family == .ipv6, packet.load16(header + 6) == 0 { return false }
        // What software has summed up Linux's UDP does not sum up again, but for short datagrams (udp6_csum_init, CHECKSUM_BREAK).
        if parsed.flags.contains(.hadVerifiedChecksum), parsed.transportProtocol == IPProtocol.udp, parsed.transportLength > 76 { return false }
        if parsed.family == .ipv6, parsed.transportProtocol == IPProtocol.udp, packet.load16(header + 4) == 0 {
            return UpperLayer(packet, parsed)?.hasRightChecksum(packet, parsed) ?? false
        }
        return parsed.flags.contains(.hasTransport) && Checksum.verifyTransport(packet, parsed)
    }

    private mutating func deliverICMP(_ transit: inout Transit, toGroup: Bool) -> Disposition {
        let parsed = transit.parsed
        if NeighbourMessage.isDiscovery(parsed) { return discoverNeighbour(&transit) }
        if TimestampReply.isRequest(transit.packet, parsed), !toGroup { return answerTimestamp(transit) }
        // Linux ignores echo requests to broadcasts (icmp_echo_ignore_broadcasts), and answers those to IPv6 groups.
        guard EchoReply.isRequest(transit.packet, parsed), parsed.family == .ipv6 || !toGroup else { return .delivered }
        let sender = parsed.sourceAddress
        let back = router.route(to: sender, ingress: transit.ingress)
        let asked = parsed.destinationAddress
        // Asked as one of a group, or as anycast, IPv6 answers by the port that it was asked by, or not at all (icmpv6_echo_reply).
        // Else from where it was asked, though a rule of the input hook wrote the address and nobody has it.
        let isUnicast = parsed.family == .ipv4 ? router.interfaces.isOwn(asked) : !asked.isMulticast && router.interfaces.kind(of: asked) != .anycast
        guard parsed.family == .ipv4 || isUnicast || back.port == transit.ingress else { return .delivered }
        guard let source = isUnicast ? asked : router.sourceAddress(for: back, to: sender),
              let options = answerOptions(transit, source: source), var room = outbox.reserve(transit.packet.length + 64) else { return .delivered }
        room.length = EchoReply.build(
            into: room, answering: transit.packet, parsed, source: source, identification: UInt16(truncatingIfNeeded: random.next()),
            flowLabel: flowLabel(source.family, source, sender), link: LinkHeader(), options: options)
        if room.length > 0 { sendOwn(room, transit) }
        return .delivered
    }

    private mutating func answerTimestamp(_ transit: borrowing Transit) -> Disposition {
        guard let options = answerOptions(transit, source: transit.context.parsed.destinationAddress), var room = outbox.reserve(128) else { return .delivered }
        room.length = TimestampReply.build(
            into: room, answering: transit.context.packet, transit.context.parsed, millisecondsOfDay: UInt32(truncatingIfNeeded: transit.context.wallClock / 1_000_000 % 86_400_000),
            identification: UInt16(truncatingIfNeeded: random.next()), link: LinkHeader(), options: options)
        if room.length > 0 { sendOwn(room, transit) }
        return .delivered
    }

    private mutating func resetClosedPort(_ transit: borrowing Transit, toGroup: Bool) {
        let parsed = transit.context.parsed
        // To an anycast address Linux sends no reset (ipv6_unicast_destination).
        guard parsed.flags.contains(.hasTransport), router.interfaces.kind(of: parsed.destinationAddress) != .anycast, let segment = UpperLayer(transit.context.packet, parsed),
              TCPReset.mayAnswer(transit.context.packet, parsed, segment, isLinkBroadcast: toGroup), let options = answerOptions(transit, source: parsed.destinationAddress),
              var room = outbox.reserve(TCPReset.maximumLength) else { return }
        let label = flowLabel(parsed.family ?? .ipv4, parsed.destinationAddress, parsed.sourceAddress)
        room.length = TCPReset.build(into: room, answering: transit.context.packet, parsed, segment, style: .closedPort(flowLabel: label), link: LinkHeader(), options: options)
        // IPv6 leaves the sum to the device (tcp_v6_send_response).
        if room.length > 0 { sendOwn(room, transit, isPartial: parsed.family == .ipv6) }
    }
}
