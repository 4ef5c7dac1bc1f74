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
        if let ended = receiveExtensionHeaders(&transit) { return ended }
        return deliver(&transit)
    }

    private mutating func deliver(_ transit: inout Transit) -> Disposition {
        let parsed = transit.parsed
        let toGroup = transit.context.packetType != PacketType.host || parsed.destinationAddress.isMulticast || isBroadcast(parsed.destinationAddress)
        switch parsed.transportProtocol {
        case IPProtocol.icmp where parsed.family == .ipv4, IPProtocol.icmpv6 where parsed.family == .ipv6:
            return deliverICMP(&transit, toGroup: toGroup)
        case IPProtocol.tcp:
            resetClosedPort(transit, toGroup: toGroup)
            return .dropped(.localNoListener)
        case IPProtocol.udp, IPProtocol.udplite:
            if !toGroup, parsed.flags.contains(.hasTransport), Checksum.verifyTransport(transit.packet, parsed) {
                // Linux's UDP lets go of the connection before it looks for a socket: only conntrack's own hook finds it again.
                sendError(.portUnreachable(parsed.family ?? .ipv4), about: transit, isAttached: false)
            }
            return .dropped(.localNoListener)
        case IPProtocol.noNextHeader where parsed.family == .ipv6:
            return .dropped(.localNoProtocol)
        default:
            if parsed.family == .ipv4 {
                sendError(.protocolUnreachable(), about: transit)
            } else {
                sendError(.parameterProblem(ipv6: nextHeaderField(transit), code: 1), about: transit)
            }
            return .dropped(.localNoProtocol)
        }
    }

    private mutating func deliverICMP(_ transit: inout Transit, toGroup: Bool) -> Disposition {
        let parsed = transit.parsed
        if NeighbourMessage.isDiscovery(parsed) { return discoverNeighbour(&transit) }
        if parsed.family == .ipv4, parsed.icmpType == 13, !toGroup { return answerTimestamp(transit) }
        if TimestampReply.isRequest(transit.packet, parsed), !toGroup, router.interfaces.isOwn(parsed.destinationAddress) { return answerTimestamp(&transit) }
        // Linux ignores echo requests to broadcasts (icmp_echo_ignore_broadcasts), and answers those to IPv6 groups.
        guard EchoReply.isRequest(transit.packet, parsed), parsed.family == .ipv6 || !toGroup else { return .delivered }
        let sender = parsed.sourceAddress
        let back = router.route(to: sender, ingress: transit.ingress)
        let asked = parsed.destinationAddress
        guard let source = router.interfaces.isOwn(asked) ? asked : router.sourceAddress(for: back, to: sender),
              let options = answerOptions(transit, source: source), var room = outbox.reserve(transit.packet.length + 64) else { return .delivered }
        room.length = EchoReply.build(
            into: room, answering: transit.packet, parsed, source: source, identification: UInt16(truncatingIfNeeded: random.next()),
            flowLabel: flowLabel(source.family, source, sender), link: answerLink(transit), options: options)
        if room.length > 0 { sendOwn(room, transit) }
        return .delivered
    }

    /// ICMP timestamp (RFC 792): the request's own time stamp back, with ours behind it, milliseconds since midnight UT.
    private mutating func answerTimestamp(_ transit: borrowing Transit) -> Disposition {
        var parsed = transit.context.parsed
        guard parsed.transportLength >= 20, Checksum.verifyTransport(transit.context.packet, parsed),
              let options = answerOptions(transit, source: parsed.destinationAddress), var room = outbox.reserve(128) else { return .delivered }
        parsed.networkLength = UInt32(parsed.networkHeaderLength) + 20
        let link = answerLink(transit)
        room.length = EchoReply.build(
            into: room, answering: transit.context.packet, parsed, source: parsed.destinationAddress,
            identification: UInt16(truncatingIfNeeded: random.next()), flowLabel: 0, link: link, options: options)
        guard room.length > 0 else { return .delivered }
        let message = link.length + 20 + options.length
        let time = UInt32(truncatingIfNeeded: transit.context.wallClock / 1_000_000 % 86_400_000)
        room.store8(14, at: message)
        room.store32(time, at: message + 12)
        room.store32(time, at: message + 16)
        room.store16(0, at: message + 2)
        room.store16(Checksum.finish(Checksum.partial(UnsafeRawPointer(room.start + message), 20)), at: message + 2)
        sendOwn(room, transit)
        return .delivered
    }

    private mutating func answerTimestamp(_ transit: inout Transit) -> Disposition {
        guard var room = outbox.reserve(128) else { return .delivered }
        let milliseconds = (settings.wallClockOffset &+ transit.now) / 1_000_000 % 86_400_000
        room.length = TimestampReply.build(
            into: room, answering: transit.packet, transit.parsed, millisecondsOfDay: UInt32(truncatingIfNeeded: milliseconds),
            identification: UInt16(truncatingIfNeeded: random.next()), link: answerLink(transit))
        if room.length > 0 { sendOwn(room, transit) }
        return .delivered
    }

    private mutating func resetClosedPort(_ transit: borrowing Transit, toGroup: Bool) {
        let parsed = transit.context.parsed
        guard TCPReset.mayAnswer(transit.context.packet, parsed, isLinkBroadcast: toGroup), let options = answerOptions(transit, source: parsed.destinationAddress),
              var room = outbox.reserve(TCPReset.maximumLength) else { return }
        let label = flowLabel(parsed.family ?? .ipv4, parsed.destinationAddress, parsed.sourceAddress)
        room.length = TCPReset.build(into: room, answering: transit.context.packet, parsed, style: .closedPort(flowLabel: label), link: answerLink(transit), options: options)
        if room.length > 0 { sendOwn(room, transit) }
    }

    /// Offset of the next-header field that names the unknown protocol, from the IPv6 header (RFC 4443 section 3.4).
    private func nextHeaderField(_ transit: Transit) -> UInt32 {
        let network = Int(transit.parsed.networkOffset), end = Int(transit.parsed.transportOffset)
        var field = 6, header = network + 40
        var next = transit.packet.load8(network + 6)
        while header + 8 <= end {
            field = header - network
            let length = next == IPProtocol.fragment ? 8 : next == IPProtocol.authentication
                ? (Int(transit.packet.load8(header + 1)) + 2) * 4 : (Int(transit.packet.load8(header + 1)) + 1) * 8
            next = transit.packet.load8(header)
            header += length
        }
        return UInt32(field)
    }
}
