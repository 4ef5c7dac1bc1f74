// Which connection does a packet belong to? (nf_conntrack_in, resolve_normal_ct)
//
// Invariant: an invalid packet changes neither the table nor any connection, except as the TCP tracker says.
import Wire

/// What a protocol's tracker says of a packet.
enum TrackerVerdict {
    case accept
    case invalid(InvalidReason)
    /// The connection is over and was given up: look the packet up again.
    case again
    case drop
}

extension ConnectionTracker {
    /// Finds or makes the connection of a packet; prerouting and output at priority -200.
    ///
    /// The new connection is unconfirmed: no other packet finds it until `confirm`; a packet that dies before must be given
    /// to `release`. The packet is whole: fragments were reassembled at -400, a later fragment is invalid.
    /// - Parameters:
    ///   - zone: what rules before -200 have set for the packet.
    ///   - verifiesChecksum: false at output, or if the NIC has verified the transport checksum.
    ///   - now: nanoseconds, monotonic.
    public mutating func track(
        _ packet: PacketBuffer, _ parsed: ParsedPacket, zone: ConnectionZone = .default, verifiesChecksum: Bool = true, now: Timestamp
    ) -> Tracking {
        guard let family = parsed.family else { return invalid(.badHeader) }
        guard !parsed.flags.contains(.isLaterFragment) else { return invalid(.fragment) }
        guard family == .ipv4 || parsed.transportProtocol != IPProtocol.noNextHeader else { return invalid(.badHeader) }
        let verifies = verifiesChecksum && configuration.verifiesChecksums
        if parsed.transportProtocol == IPProtocol.icmp && family == .ipv4 {
            if let result = trackICMPError(packet, parsed, zone: zone, verifies: verifies, now: now) { return result }
        } else if parsed.transportProtocol == IPProtocol.icmpv6 && family == .ipv6 {
            if let result = trackICMPv6Error(packet, parsed, zone: zone, verifies: verifies, now: now) { return result }
        }
        guard var tuple = ConnectionTracker.tuple(packet, parsed, family) else { return invalid(.badHeader) }
        if tuple.transportProtocol == IPProtocol.gre { tuple.sourcePort = greKeys.sourceKey(tuple) }
        tuple.zone = zone.identifier(of: .original)
        let hash = hash.tuple(tuple)
        // A packet that reopens a closed connection is looked up again, once: the old connection is gone then.
        for attempt in 0..<2 {
            var tracking = Tracking()
            tracking.wasRepeated = attempt > 0
            let node = find(tuple, hash: hash, zone: zone, now: now)
            let index: UInt32
            if node != Connection.none {
                statistics.found &+= 1
                index = node >> 1
                tracking.direction = node & 1 == 0 ? .original : .reply
            } else {
                switch make(tuple, hash: hash, zone: zone, now: now) {
                case .made(let made): index = made
                case .notInvertible: return invalid(.notInvertible)
                case .full:
                    statistics.dropped &+= 1
                    tracking.dropReason = .connectionTableFull
                    return tracking
                }
            }
            let connection = pool + Int(index)
            let status = connection.pointee.status
            if tracking.isReply || status.contains(.seenReply) {
                tracking.state = .established
            } else {
                tracking.state = status.contains(.expected) ? .related : .new
            }
            switch handle(packet, parsed, index, tracking, verifies: verifies, now: now) {
            case .accept:
                if tracking.isReply { connection.pointee.status.insert(.seenReply) }
                tracking.connection = index
                tracking.generation = connection.pointee.generation
                return tracking
            case .invalid(let reason):
                discard(index)
                return invalid(reason)
            case .again:
                continue
            case .drop:
                discard(index)
                tracking.dropReason = .tcpBadState
                return tracking
            }
        }
        return invalid(.noTransition)
    }

    /// A packet that belongs to no connection, counted under its reason.
    public mutating func invalid(_ reason: InvalidReason) -> Tracking {
        statistics.countInvalid(reason)
        var tracking = Tracking()
        tracking.invalidReason = reason
        return tracking
    }

    private enum Making {
        case made(UInt32)
        case notInvertible, full
    }

    private mutating func make(_ original: ConnectionTuple, hash: UInt32, zone: ConnectionZone, now: Timestamp) -> Making {
        guard var reply = original.inverted else { return .notInvertible }
        reply.zone = zone.identifier(of: .reply)
        if count >= configuration.maximumConnections, !dropEarly(near: hash, now: now) {
            isPressed = true
            return .full
        }
        guard let index = allocate(now: now) else { return .full }
        let connection = pool + Int(index)
        connection.pointee.original = original
        connection.pointee.reply = reply
        connection.pointee.zone = zone
        if original.transportProtocol == IPProtocol.sctp { connection.pointee.sctp = SCTPAssociation() }
        links[Int(index)].original.hash = hash
        if expectations.count != 0, let expectation = expectations.take(original, self.hash, now: now) { fulfil(expectation, index, now: now) }
        statistics.created &+= 1
        return .made(index)
    }

    /// Makes room by giving up what is not assured in the first of some buckets that has such a connection: Linux looks at
    /// eight, which hold four times as many connections each.
    private mutating func dropEarly(near hash: UInt32, now: Timestamp) -> Bool {
        for step in 0..<32 as Range<UInt32> {
            let bucket = Int((hash &+ step) & bucketMask)
            var dropped = false
            var node = table[bucket]
            while node != Connection.none {
                let connection = pool + Int(node >> 1)
                let isExpired = connection.pointee.deadline <= now
                guard isExpired || !connection.pointee.status.contains(.assured) else {
                    node = link(node).pointee.next
                    continue
                }
                retire(node >> 1)
                if isExpired { statistics.expired &+= 1 } else { statistics.earlyDropped &+= 1 }
                dropped = true
                node = table[bucket]
            }
            if dropped && count < configuration.maximumConnections { return true }
        }
        return false
    }

    /// The tuple that a packet shows; nil if its transport header is too short for one.
    static func tuple(_ packet: PacketBuffer, _ parsed: ParsedPacket, _ family: AddressFamily) -> ConnectionTuple? {
        var tuple = ConnectionTuple()
        tuple.family = family
        tuple.source = parsed.sourceAddress
        tuple.destination = parsed.destinationAddress
        tuple.transportProtocol = parsed.transportProtocol
        // The chain of extension headers ends without an upper-layer header (ipv6_skip_exthdr fails).
        if family == .ipv6, parsed.flags.contains(.transportMalformed), PacketParser.isExtensionHeader(parsed.transportProtocol) { return nil }
        guard readTransport(packet, protocol: parsed.transportProtocol, offset: Int(parsed.transportOffset), length: parsed.transportLength, into: &tuple) else { return nil }
        return tuple
    }

    /// The protocol's part of a tuple, from `length` readable bytes at `offset`.
    static func readTransport(_ packet: PacketBuffer, protocol: UInt8, offset: Int, length: Int, into tuple: inout ConnectionTuple) -> Bool {
        switch `protocol` {
        case IPProtocol.tcp, IPProtocol.udp, IPProtocol.udplite, IPProtocol.sctp:
            guard length >= 4 else { return false }
            tuple.sourcePort = packet.load16(offset)
            tuple.destinationPort = packet.load16(offset + 2)
        case IPProtocol.icmp, IPProtocol.icmpv6:
            guard length >= 8 else { return false }
            tuple.sourcePort = packet.load16(offset + 4)
            tuple.destinationPort = packet.load16(offset)
        case IPProtocol.gre:
            // Of version 1 (PPTP) only PPP is known; what is too short to tell has no key (gre_pkt_to_tuple).
            guard length >= 4, packet.load16(offset) & 7 == 1, length >= 8 else { return true }
            guard packet.load16(offset + 2) == 0x880b else { return false }
            tuple.destinationPort = packet.load16(offset + 6)
        default:
            break
        }
        return true
    }

    private mutating func handle(
        _ packet: PacketBuffer, _ parsed: ParsedPacket, _ index: UInt32, _ tracking: Tracking, verifies: Bool, now: Timestamp
    ) -> TrackerVerdict {
        switch parsed.transportProtocol {
        case IPProtocol.tcp: return trackTCP(packet, parsed, index, tracking, verifies: verifies, now: now)
        case IPProtocol.udp, IPProtocol.udplite: return trackUDP(packet, parsed, index, tracking, verifies: verifies, now: now)
        case IPProtocol.icmp, IPProtocol.icmpv6: return trackICMPQuery(parsed, index, tracking, now: now)
        case IPProtocol.sctp: return trackSCTP(packet, parsed, index, tracking, verifies: verifies, now: now)
        case IPProtocol.gre: return trackGRE(parsed, index, tracking, now: now)
        default:
            refresh(index, tracking.direction, seconds: timeouts(pool + Int(index)).pointee.generic, bytes: parsed.networkLength, now: now)
            return .accept
        }
    }

    /// Renews the deadline and counts the packet (nf_ct_refresh_acct).
    mutating func refresh(_ index: UInt32, _ direction: ConnectionDirection, seconds: UInt32, bytes: UInt32, now: Timestamp) {
        let connection = pool + Int(index)
        if !connection.pointee.status.contains(.fixedTimeout) {
            let lifetime = UInt64(seconds) &* 1_000_000_000
            connection.pointee.deadline = connection.pointee.isConfirmed ? now &+ lifetime : lifetime
        }
        connection.pointee.lastSeen = now
        account(index, direction, packets: 1, bytes: UInt64(bytes))
    }

    mutating func account(_ index: UInt32, _ direction: ConnectionDirection, packets: UInt64, bytes: UInt64) {
        guard configuration.accounting else { return }
        let connection = pool + Int(index)
        if direction == .original {
            connection.pointee.originalPackets &+= packets
            connection.pointee.originalBytes &+= bytes
        } else {
            connection.pointee.replyPackets &+= packets
            connection.pointee.replyBytes &+= bytes
        }
    }
}
