// The rewriting of packets by a connection's bindings (nf_nat_manip_pkt, nf_nat_icmp_reply_translation).
//
// Invariant: checksums are updated, not made anew, so that a packet damaged on the way stays damaged; except an ICMP
// error's own, which Linux computes. Nothing is written outside the packet, whatever the headers claim.
import Wire

/// What a hook's translation did to a packet.
@frozen public enum NATOutcome: Sendable {
    /// This side of the connection is not translated.
    case untouched
    case rewritten
    /// To be dropped: a header too short to be rewritten, a redirect about a translated connection.
    case refused
}

extension ConnectionTracker {
    /// Rewrites the packet as its connection's binding says for this hook; `parsed` follows. Nothing happens if this side
    /// of the connection is not translated.
    ///
    /// At prerouting and output the destination changes, at postrouting and input the source; a reply is changed at the
    /// hook of the opposite manipulation, so that it meets the addresses in reverse.
    public mutating func translate(_ packet: PacketBuffer, _ parsed: inout ParsedPacket, _ tracking: Tracking, _ manipulation: NATManipulation) -> NATOutcome {
        guard tracking.hasConnection, let family = parsed.family else { return .untouched }
        let connection = self.connection(tracking.connection)
        let status = connection.pointee.status
        let isRedirect = tracking.isRelatedError && packet.load8(Int(parsed.transportOffset)) == (family == .ipv4 ? 5 : 137)
        if isRedirect, !status.isSuperset(of: .allNATDone) || connection.pointee.isTranslated { return .refused }
        let changesSource = (manipulation == .source) != tracking.isReply
        guard status.contains(changesSource ? .sourceNAT : .destinationNAT) else { return .untouched }

        let opposite = connection.pointee.tuple(tracking.direction.opposite)
        guard let target = opposite.inverted else { return .untouched }
        let networkOffset = Int(parsed.networkOffset)
        let end = networkOffset + Int(parsed.networkLength)
        let transportOffset = Int(parsed.transportOffset)
        if tracking.isRelatedError {
            // The quoted packet ran the other way: its other end changes, to what the opposite direction shows.
            let quoted = transportOffset + (isRedirect && family == .ipv6 ? 48 : 8)
            let inner: NATManipulation = manipulation == .source ? .destination : .source
            guard rewriteQuoted(packet, family, offset: quoted, end: end, opposite, inner) else { return .refused }
            packet.store16(0, at: transportOffset + 2)
            let length = end - transportOffset
            let pseudo =
                family == .ipv4
                ? 0
                : Checksum.pseudoHeader(
                    source: parsed.sourceAddress, destination: parsed.destinationAddress, transportProtocol: IPProtocol.icmpv6, length: length)
            packet.store16(Checksum.finish(Checksum.partial(UnsafeRawPointer(packet.start + transportOffset), length, initial: pseudo)), at: transportOffset + 2)
        }
        let `protocol` = tracking.isRelatedError ? (family == .ipv4 ? IPProtocol.icmp : IPProtocol.icmpv6) : target.transportProtocol
        guard rewrite(packet, family, networkOffset: networkOffset, transportOffset: transportOffset, end: end, protocol: `protocol`, target, manipulation) else {
            return .refused
        }
        refresh(&parsed, packet, target, manipulation)
        return .rewritten
    }

    private mutating func refresh(_ parsed: inout ParsedPacket, _ packet: PacketBuffer, _ target: ConnectionTuple, _ manipulation: NATManipulation) {
        if manipulation == .source { parsed.sourceAddress = target.source } else { parsed.destinationAddress = target.destination }
        if parsed.flags.contains(.hasPorts) {
            parsed.sourcePort = packet.load16(Int(parsed.transportOffset))
            parsed.destinationPort = packet.load16(Int(parsed.transportOffset) + 2)
        } else if parsed.transportProtocol == IPProtocol.icmp || parsed.transportProtocol == IPProtocol.icmpv6, parsed.transportLength >= 8 {
            parsed.icmpIdentifier = packet.load16(Int(parsed.transportOffset) + 4)
        }
    }

    private mutating func rewriteQuoted(_ packet: PacketBuffer, _ family: AddressFamily, offset: Int, end: Int, _ target: ConnectionTuple, _ manipulation: NATManipulation) -> Bool {
        if let quoted = QuotedHeader.read(packet, family, offset: offset, end: end) {
            return rewrite(
                packet, family, networkOffset: offset, transportOffset: quoted.transportOffset, end: end, protocol: target.transportProtocol, target, manipulation)
        }
        // Where no transport header is found, Linux translates the address alone, in IPv6 only (a rule may have changed the quoted header).
        guard family == .ipv6, offset + 40 <= end else { return false }
        return rewrite(
            packet, family, networkOffset: offset, transportOffset: end, end: end, protocol: IPProtocol.noNextHeader, target, manipulation)
    }

    /// One address and one port of one IP packet, checksums included.
    private mutating func rewrite(
        _ packet: PacketBuffer, _ family: AddressFamily, networkOffset: Int, transportOffset: Int, end: Int, protocol: UInt8, _ target: ConnectionTuple,
        _ manipulation: NATManipulation
    ) -> Bool {
        let isSource = manipulation == .source
        let (source, destination) = QuotedHeader.addresses(packet, family, offset: networkOffset)
        let oldAddress = isSource ? source : destination
        let newAddress = isSource ? target.source : target.destination
        guard oldAddress.family == newAddress.family else { return false }
        let addressDelta = Checksum.delta(oldAddress, newAddress)
        let newPort = isSource ? target.sourcePort : target.destinationPort
        let portOffset = transportOffset + (isSource ? 0 : 2)
        let available = end - transportOffset
        switch `protocol` {
        case IPProtocol.tcp:
            guard available >= 8 else { return false }
            let delta = Checksum.add(addressDelta, Checksum.delta(packet.load16(portOffset), newPort))
            packet.store16(newPort, at: portOffset)
            // A quoted packet may end before the checksum.
            if available >= 20 { packet.store16(Checksum.apply(delta, to: packet.load16(transportOffset + 16)), at: transportOffset + 16) }
        case IPProtocol.udp, IPProtocol.udplite:
            guard available >= 8 else { return false }
            let delta = Checksum.add(addressDelta, Checksum.delta(packet.load16(portOffset), newPort))
            packet.store16(newPort, at: portOffset)
            // Linux updates even a zero of UDP-Lite, whose checksum is mandatory (udplite_manip_pkt, RFC 3828).
            let checksum = Checksum.applyUDP(delta, to: packet.load16(transportOffset + 6), isMandatory: `protocol` == IPProtocol.udplite)
            packet.store16(checksum, at: transportOffset + 6)
        case IPProtocol.sctp:
            guard available >= 8 else { return false }
            packet.store16(newPort, at: portOffset)
            if available >= 12 { Checksum.fillSCTP(packet.start + transportOffset, length: available) }
        case IPProtocol.gre:
            // Of any version eight bytes must be there (gre_manip_pkt). Only the receiver's call ID of PPTP stands in the packet; there is no checksum.
            // A version that nobody knows is not sent to a translated destination.
            guard available >= 8, isSource || packet.load16(transportOffset) & 7 < 2 else { return false }
            if !isSource, packet.load16(transportOffset) & 7 == 1, packet.load16(transportOffset + 2) == 0x880b {
                packet.store16(newPort, at: transportOffset + 6)
            }
        case IPProtocol.icmp:
            guard available >= 8 else { return false }
            switch packet.load8(transportOffset) {
            case 0, 8, 13...18:
                let delta = Checksum.delta(packet.load16(transportOffset + 4), target.sourcePort)
                packet.store16(target.sourcePort, at: transportOffset + 4)
                packet.store16(Checksum.apply(delta, to: packet.load16(transportOffset + 2)), at: transportOffset + 2)
            default: break
            }
        case IPProtocol.icmpv6:
            guard available >= 8 else { return false }
            var delta = addressDelta
            let type = packet.load8(transportOffset)
            if type == 128 || type == 129 {
                delta = Checksum.add(delta, Checksum.delta(packet.load16(transportOffset + 4), target.sourcePort))
                packet.store16(target.sourcePort, at: transportOffset + 4)
            }
            packet.store16(Checksum.apply(delta, to: packet.load16(transportOffset + 2)), at: transportOffset + 2)
        default:
            break
        }
        if family == .ipv4 {
            packet.store16(Checksum.apply(addressDelta, to: packet.load16(networkOffset + 10)), at: networkOffset + 10)
            packet.store32(newAddress.ipv4, at: networkOffset + (isSource ? 12 : 16))
        } else {
            packet.store64(newAddress.high, at: networkOffset + (isSource ? 8 : 24))
            packet.store64(newAddress.low, at: networkOffset + (isSource ? 16 : 32))
        }
        return true
    }
}
