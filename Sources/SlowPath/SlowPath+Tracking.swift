// Connection tracking and NAT in their places among the hooks, and what rules see and change of a connection.
//
// Sources: net/netfilter/nf_conntrack_core.c (nf_conntrack_in), nf_nat_core.c (nf_nat_inet_fn), nf_nat_proto.c
// (nf_nat_ipv4_fn), nf_nat_masquerade.c, nf_nat_redirect.c.
import Conntrack
import FlowCache
import Policy
import Routing
import Wire

extension SlowPath {
    // MARK: - Conntrack

    /// The conntrack hook. A packet that has its connection already (an answer attached to it) passes.
    mutating func track(_ transit: inout Transit) -> Disposition? {
        guard !transit.tracking.hasConnection, transit.tracking.state != .untracked else { return nil }
        let zone = ConnectionZone(transit.context.conntrack.requestedZone, directions: transit.context.conntrack.requestedZoneDirections)
        if hasWrongHeader(transit), settings.verifiesChecksums, isVerified(&transit) {
            transit.tracking = tracker.pointee.invalid(.badChecksum)
        } else {
            transit.tracking = tracker.pointee.track(transit.packet, transit.parsed, zone: zone, verifiesChecksum: !transit.isOwn, now: transit.now)
        }
        transit.context.conntrack.hasTemplate = false
        transit.wasJudged = true
        guard transit.tracking.dropReason == .none else { return .dropped(transit.tracking.dropReason) }
        if transit.beginsSynproxy, transit.tracking.hasConnection, transit.tracking.state == .new, !tracker.pointee.beginSynproxy(transit.tracking.connection) {
            return .dropped(.connectionTableFull)
        }
        // A packet that got its connection was verified; any other is for nothing but this.
        if !transit.isOwn, isVerified(&transit), transit.tracking.hasConnection && settings.verifiesChecksums || Checksum.verifyTransport(transit.packet, transit.parsed) {
            transit.parsed.flags.insert(.hasVerifiedChecksum)
            if transit.tracking.wasRepeated { transit.parsed.flags.insert(.needsNoChecksum) }
        }
        // Rules may ask how much the connection carried, workers' packets included.
        if transit.tracking.hasConnection, transit.tracking.state != .new { creditFlows(of: transit.tracking.connection, now: transit.now) }
        refreshView(&transit)
        // A FIN, RST or SYN took the connection out of ESTABLISHED: its cached directions end here.
        if transit.tracking.hasConnection { withdrawIfClosing(transit.tracking.connection) }
        return nil
    }

    /// Whether a rule wrote past the IPv4 header's checksum. Linux sums the header up with the transport part, as zero if it is right
    /// (nf_ip_checksum).
    @inline(__always) func hasWrongHeader(_ transit: borrowing Transit) -> Bool {
        guard transit.context.mangled, !transit.isOwn, transit.context.parsed.family == .ipv4 else { return false }
        let header = UnsafeRawPointer(transit.context.packet.start + Int(transit.context.parsed.networkOffset))
        return Checksum.fold(Checksum.partial(header, Int(transit.context.parsed.networkHeaderLength))) != 0xffff
    }

    /// Whether connection tracking asks for the checksum of such a packet, and what it finds is kept.
    private func isVerified(_ transit: inout Transit) -> Bool {
        // A piece of a piece, put together once: its checksum is that of the whole.
        guard transit.context.parsed.flags.contains(.hasTransport), !transit.context.parsed.flags.contains(.isFragment) else { return false }
        switch transit.context.parsed.transportProtocol {
        case IPProtocol.udp: return transit.context.packet.load16(Int(transit.context.parsed.transportOffset) + 6) != 0
        case IPProtocol.tcp, IPProtocol.icmp, IPProtocol.icmpv6: return true
        default: return false
        }
    }

    /// The end of the postrouting or input hook: a new connection becomes visible to others.
    mutating func confirm(_ transit: inout Transit) -> Disposition? {
        guard transit.tracking.hasConnection else { return nil }
        if transit.tracking.isRelatedError {
            tracker.pointee.helpError(transit.tracking, now: transit.now)
            // Of all errors only one about a reset of our own may bring the connection about: it has the direction of its first packet.
            guard transit.isOwn, !transit.tracking.isReply else { return nil }
            let reason = tracker.pointee.confirm(&transit.tracking, now: transit.now)
            return reason == .none ? nil : .dropped(reason)
        }
        if let ended = translateHandshake(&transit) { return ended }
        // A helper that reads whole messages has Linux lay the packet out in one piece: the pieces that it came in are forgotten.
        if transit.fragments.count > 1, tracker.pointee.readsWhole(transit.tracking) { transit.fragments.lengths = nil }
        let refusal = tracker.pointee.help(&transit.context.packet, &transit.context.parsed, transit.tracking, now: transit.now)
        guard refusal == .none else { return .dropped(refusal) }
        let reason = tracker.pointee.confirm(&transit.tracking, now: transit.now)
        return reason == .none ? nil : .dropped(reason)
    }

    /// Copies what rules may ask about into the packet's context.
    mutating func refreshView(_ transit: inout Transit) {
        var view = transit.context.conntrack
        view.state = UInt32(transit.tracking.state.rawValue)
        view.hasConnection = transit.tracking.hasConnection
        view.direction = transit.tracking.direction.rawValue
        guard transit.tracking.hasConnection else {
            transit.context.conntrack = view
            return
        }
        let connection = tracker.pointee.connection(transit.tracking.connection)
        view.family = connection.pointee.original.family
        view.transportProtocol = connection.pointee.transportProtocol
        view.status = connection.pointee.status.rawValue
        view.mark = connection.pointee.mark
        view.zone = connection.pointee.zone.identifier
        view.zoneDirections = connection.pointee.zone.directions
        view.labelLow = connection.pointee.labelsLow
        view.labelHigh = connection.pointee.labelsHigh
        view.identifier = UInt64(connection.pointee.generation) << 32 | UInt64(transit.tracking.connection) + 1
        (view.helperHigh, view.helperLow) = (connection.pointee.masterHelperName, 0)
        view.original = ConntrackTuple(connection.pointee.original)
        view.reply = ConntrackTuple(connection.pointee.reply)
        view.originalPackets = connection.pointee.originalPackets
        view.originalBytes = connection.pointee.originalBytes
        view.replyPackets = connection.pointee.replyPackets
        view.replyBytes = connection.pointee.replyBytes
        // Before confirmation Linux takes the time to live for a point in time, which is long past: 0 (measured).
        let left = connection.pointee.isConfirmed ? connection.pointee.deadline &- min(transit.now, connection.pointee.deadline) : 0
        view.expiration = left / 1_000_000
        transit.context.conntrack = view
    }

    /// Carries out what rules changed of the connection.
    /// - Returns: false: drop the packet.
    mutating func applyChanges(_ transit: inout Transit) -> Bool {
        let changes = transit.context.conntrack.changes
        transit.context.conntrack.changes = []
        if changes.contains(.notrack), !transit.tracking.hasConnection {
            transit.tracking = .untracked
            refreshView(&transit)
        }
        // A zone is kept for the conntrack hook that follows, whatever `notrack` said before.
        if changes.contains(.zone), transit.tracking.state == .untracked { transit.tracking = .unseen }
        guard transit.tracking.hasConnection else { return true }
        let connection = tracker.pointee.connection(transit.tracking.connection)
        if changes.contains(.mark) {
            connection.pointee.mark = transit.context.conntrack.mark
            withdrawFlows(of: transit.tracking.connection)
        }
        if changes.contains(.label) {
            connection.pointee.labelsLow = transit.context.conntrack.labelLow
            connection.pointee.labelsHigh = transit.context.conntrack.labelHigh
            withdrawFlows(of: transit.tracking.connection)
        }
        return changes.isDisjoint(with: [.helper, .timeout, .expectation]) || applyObjects(changes, &transit)
    }

    // MARK: - NAT

    /// The NAT hook: a first packet asks the nat chains, then every packet is translated as its connection says.
    mutating func translate(_ hook: Hook, _ transit: inout Transit) -> Disposition? {
        guard transit.tracking.hasConnection else { return nil }
        // Linux verifies an error of its own at the first NAT hook, in case a rule changed it; one that passes it has verified before.
        if transit.tracking.isRelatedError, transit.isOwn, hook == .output, transit.parsed.flags.contains(.hasTransport) {
            var judged = transit.parsed
            judged.flags.remove(.hasVerifiedChecksum)
            guard Checksum.verifyTransport(transit.packet, judged) else { return .dropped(.natExhausted) }
        }
        let manipulation: NATManipulation = hook == .prerouting || hook == .output ? .destination : .source
        // An error follows its connection whichever way it leaves.
        if hook == .postrouting, !transit.tracking.isRelatedError, tracker.pointee.masqueradeMoved(transit.tracking, to: UInt32(transit.egress) + 1) { return .dropped(.natClash) }
        if tracker.pointee.needsNATBinding(transit.tracking, manipulation), let ended = bind(hook, manipulation, &transit) { return ended }
        let destination = transit.parsed.destinationAddress
        switch tracker.pointee.translate(transit.packet, &transit.context.parsed, transit.tracking, manipulation) {
        case .untouched: break
        case .rewritten:
            walk.pointee.writesChecksumLast = false
            // What comes back over lo has its route until NAT sends it elsewhere (nf_nat_ipv6_in).
            if transit.isReturned, hook == .prerouting, transit.parsed.destinationAddress != destination { transit.isLooped = false }
        case .refused: return .dropped(.natExhausted)
        }
        refreshBinding(&transit)
        if hook == .output {
            let connection = tracker.pointee.connection(transit.tracking.connection), isReply = transit.tracking.direction == .reply
            let there = isReply ? connection.pointee.reply.destination : connection.pointee.original.destination
            let answering = isReply ? connection.pointee.original.source : connection.pointee.reply.source
            if there != answering { return routeAgain(&transit) }
        }
        return nil
    }

    /// Copies what a binding, and what rules asked of the connection, may have changed.
    private mutating func refreshBinding(_ transit: inout Transit) {
        let connection = tracker.pointee.connection(transit.tracking.connection)
        transit.context.conntrack.status = connection.pointee.status.rawValue
        transit.context.conntrack.reply = ConntrackTuple(connection.pointee.reply)
    }

    /// Asks the nat chains in order; without an answer the connection gets a null binding.
    private mutating func bind(_ hook: Hook, _ manipulation: NATManipulation, _ transit: inout Transit) -> Disposition? {
        let chains = program.chains(hook, transit.context.family)
        for index in 0 ..< chains.count where chains[index].type == .nat {
            let verdict = program.evaluate(chains[index], &transit.context)
            if !transit.context.conntrack.changes.isEmpty, !applyChanges(&transit) { return .dropped(.ruleDrop) }
            switch verdict {
            case .accept: continue
            case .nat:
                let request = transit.context.nat
                guard let range = natRange(for: request, &transit) else { return .dropped(.natExhausted) }
                let leaving = UInt32(transit.egress) + 1
                let masquerade = request.kind == .masquerade ? leaving : 0
                let isBound = hook == .postrouting && router.interfaces[transit.egress].hasConeNAT
                    ? tracker.pointee.setUpConeNAT(transit.tracking.connection, range: range, interface: leaving, masqueradeInterface: masquerade, now: transit.now)
                    : tracker.pointee.setUpNAT(
                        transit.tracking.connection, manipulation, range: range, masqueradeInterface: masquerade, steering: hook == .postrouting && !transit.isOwn ? steering(egress: transit.egress) : nil, now: transit.now)
                return isBound ? nil : .dropped(.natExhausted)
            default: return conclude(verdict, &transit)
            }
        }
        // Endpoint-independent filtering: whoever sends to a client's outer endpoint reaches the client.
        let cone = hook == .prerouting ? tracker.pointee.coneTarget(transit.tracking, interface: UInt32(transit.ingress) + 1) : nil
        return tracker.pointee.setUpNAT(transit.tracking.connection, manipulation, range: cone, now: transit.now) ? nil : .dropped(.natExhausted)
    }

    /// The addresses and ports of a request; nil if the interface has no address for it.
    private mutating func natRange(for request: NATRequest, _ transit: inout Transit) -> NATRange? {
        var range = NATRange()
        switch request.kind {
        case .source, .destination:
            if request.hasAddress {
                range.flags.insert(.addresses)
                range.minimumAddress = request.minimumAddress
                range.maximumAddress = request.maximumAddress
            }
        case .masquerade:
            guard let own = masqueradeAddress(&transit) else { return nil }
            range = NATRange(own)
        case .redirect:
            guard let own = redirectAddress(&transit) else { return nil }
            range = NATRange(own)
        }
        if request.hasPort {
            range.flags.insert(.ports)
            range.minimumPort = request.minimumPort
            range.maximumPort = request.maximumPort
        }
        if request.flags.contains(.random) { range.flags.insert(.random) }
        if request.flags.contains(.fullyRandom) { range.flags.insert(.fullyRandom) }
        if request.flags.contains(.persistent) { range.flags.insert(.persistent) }
        // Of the packet as it stands, which a rule may have changed (nft_nat_setup_netmap).
        if request.flags.contains(.prefix) { range.mapPrefix(of: request.kind == .source ? transit.parsed.sourceAddress : transit.parsed.destinationAddress) }
        return range
    }

    /// `redirect`: the first address of the port that the packet came in by; the loopback address for own packets.
    private mutating func redirectAddress(_ transit: inout Transit) -> IPAddress? {
        guard let family = transit.parsed.family else { return nil }
        guard !transit.isOwn else { return family == .ipv4 ? IPAddress(ipv4: 0x7f00_0001) : IPAddress(ipv6High: 0, low: 1) }
        // Of an IPv6 group only one of a scope like it (nf_nat_redirect_ipv6_usable).
        let scope = family == .ipv6 ? transit.parsed.destinationAddress.narrowScope : 0
        return router.interfaces.addresses.first {
            $0.port == transit.ingress && $0.prefix.address.family == family && (scope == 0 || $0.prefix.address.narrowScope == scope)
        }?.prefix.address
    }

    /// `masquerade`: the outgoing port's address towards the next hop (inet_select_addr, ipv6_dev_get_saddr).
    private mutating func masqueradeAddress(_ transit: inout Transit) -> IPAddress? {
        var route = RouteResult()
        route.port = transit.egress
        route.nextHop = transit.nextHop
        route.isOnLink = false
        return router.sourceAddress(for: route, to: transit.parsed.destinationAddress)
    }
}

extension ConntrackTuple {
    init(_ tuple: ConnectionTuple) {
        self.init()
        source = tuple.source
        destination = tuple.destination
        sourcePort = tuple.sourcePort
        destinationPort = tuple.destinationPort
    }
}
