// Which address and port a connection gets (nf_nat_setup_info).
//
// Invariant: a binding only alters the reply tuple of an unconfirmed connection; the answer's tuple that results is not
// in the table, unless the range is exhausted: then `confirm` drops the packet, as Linux does.
import Wire

extension ConnectionTracker {
    /// Ports tried before a fresh random start, and below which a closing connection may be sacrificed (NF_NAT_MAX_ATTEMPTS).
    private static var maximumAttempts: UInt32 { 128 }

    /// Whether NAT chains are to be asked for this packet at this hook: the first packet of a connection, once a side.
    public mutating func needsNATBinding(_ tracking: Tracking, _ manipulation: NATManipulation) -> Bool {
        guard tracking.hasConnection, !tracking.isRelatedError, tracking.state == .new || tracking.state == .related else { return false }
        return !pool[Int(tracking.connection)].status.contains(manipulation == .source ? .sourceNATDone : .destinationNATDone)
    }

    /// Binds one side of an unconfirmed connection. Later calls for the same side, and calls for a confirmed connection,
    /// change nothing.
    /// - Parameters:
    ///   - range: what the NAT statement asks for; nil for no statement (a null binding: the address stays, the source port
    ///     changes only if another connection's binding uses it).
    ///   - masqueradeInterface: of a masquerade, the caller's number of the output interface, other than 0.
    ///   - steering: where the answers are wanted; nil: anywhere.
    /// - Returns: false: drop the packet (a range of the wrong family).
    @discardableResult
    public mutating func setUpNAT(
        _ index: UInt32, _ manipulation: NATManipulation, range: NATRange?, masqueradeInterface: UInt32 = 0, steering: SteeringTarget? = nil, now: Timestamp
    ) -> Bool {
        let connection = self.connection(index)
        let done: ConnectionStatus = manipulation == .source ? .sourceNATDone : .destinationNATDone
        guard !connection.pointee.isConfirmed, !connection.pointee.status.contains(done) else { return true }
        // A null binding never moves a destination's port: whether the answer is somebody else's makes no difference then.
        if range == nil, manipulation == .destination, ConnectionTracker.keepsDestinationPort(connection.pointee.transportProtocol) {
            connection.pointee.status.insert(done)
            return true
        }
        guard let current = connection.pointee.reply.inverted else { return false }

        var wanted = range ?? NATRange(manipulation == .source ? current.source : current.destination)
        if wanted.flags.contains(.addresses) {
            guard wanted.minimumAddress.family == current.family, wanted.maximumAddress.family == current.family else { return false }
        }
        if wanted.flags.contains(.prefix) { wanted.mapPrefix(of: manipulation == .source ? current.source : current.destination) }

        var isFree = false
        var chosen = uniqueTuple(current, wanted, connection, manipulation, isFree: &isFree, now: now)
        if let steering, range != nil, manipulation == .source { steer(&chosen, wanted, isFree: isFree, steering, connection, now: now) }
        if chosen != current, var reply = chosen.inverted {
            reply.zone = connection.pointee.reply.zone
            connection.pointee.reply = reply
            connection.pointee.status.insert(manipulation == .source ? .sourceNAT : .destinationNAT)
        }
        if manipulation == .source {
            if let range { lastSourceRange = range }
            let own = links + Int(index)
            own.pointee.source.hash = hash.source(connection.pointee.original, zone: connection.pointee.zone)
            let head = bySource + Int(own.pointee.source.hash & bucketMask)
            own.pointee.source.next = head.pointee
            head.pointee = index
            if masqueradeInterface != 0 { connection.pointee.masqueradeInterface = masqueradeInterface }
        }
        connection.pointee.status.insert(done)
        return true
    }

    mutating func unlinkBySource(_ index: UInt32) {
        guard pool[Int(index)].status.contains(.sourceNATDone) else { return }
        let own = links[Int(index)].source
        let head = bySource + Int(own.hash & bucketMask)
        if head.pointee == index {
            head.pointee = own.next
            return
        }
        var current = head.pointee
        while current != Connection.none {
            let following = links[Int(current)].source.next
            if following == index {
                links[Int(current)].source.next = own.next
                return
            }
            current = following
        }
    }

    /// Whether the answer to this tuple would be taken for another connection's.
    mutating func isTaken(_ tuple: ConnectionTuple, _ connection: UnsafeMutablePointer<Connection>, now: Timestamp) -> Bool {
        guard var reply = tuple.inverted else { return true }
        reply.zone = connection.pointee.reply.zone
        return isConeTaken(tuple) || findEqual(reply, hash: hash.tuple(reply), zone: connection.pointee.zone, now: now) != Connection.none || isHeld(reply, connection)
    }

    /// Whether a NIC may still have a rule for another connection's packets of this tuple.
    @inline(__always) func isHeld(_ reply: ConnectionTuple, _ connection: UnsafeMutablePointer<Connection>) -> Bool {
        held.count > 0 && held.holds(reply, hash: hash.tuple(reply), against: connection.pointee.original)
    }

    /// Whether this source is a client's outer endpoint, and the one to be chosen must not be.
    private mutating func isConeTaken(_ tuple: ConnectionTuple) -> Bool { keepsOffCones && cone.find(outer: tuple.source, tuple.sourcePort, like: tuple) != nil }

    /// As `isTaken`; for the last ports to be tried for a SYN, a connection that is closing and whose sequence numbers the
    /// new one has passed makes room (nf_nat_used_tuple_harder).
    private mutating func isTakenForGood(_ tuple: ConnectionTuple, _ connection: UnsafeMutablePointer<Connection>, attemptsLeft: UInt32, now: Timestamp) -> Bool {
        guard var reply = tuple.inverted else { return true }
        reply.zone = connection.pointee.reply.zone
        if isConeTaken(tuple) { return true }
        let node = findEqual(reply, hash: hash.tuple(reply), zone: connection.pointee.zone, now: now)
        if node == Connection.none { return isHeld(reply, connection) }
        guard attemptsLeft <= ConnectionTracker.maximumAttempts / 4, tuple.transportProtocol == IPProtocol.tcp, connection.pointee.tcpState == .synSent,
            node & 1 == 1
        else { return true }
        let other = pool + Int(node >> 1)
        let status = other.pointee.status
        guard other.pointee.window.state >= TCPState.timeWait.rawValue, status.isDisjoint(with: [.fixedTimeout, .dying]), status.contains(.sourceNAT),
            TCPWindow.isAfter(connection.pointee.window.original.end, other.pointee.window.original.end)
        else { return true }
        retire(node >> 1)
        return !status.isDisjoint(with: [.offload, .hardwareOffload]) || isHeld(reply, connection)
    }

    /// The binding of another connection of the same client (address, port, protocol), if it lies in the range: a client
    /// keeps its outer address and port towards different servers.
    private mutating func existingSource(_ tuple: ConnectionTuple, _ range: NATRange, _ connection: UnsafeMutablePointer<Connection>, now: Timestamp) -> ConnectionTuple? {
        var key = tuple
        key.zone = connection.pointee.original.zone
        let zone = connection.pointee.zone
        let wanted = hash.source(key, zone: zone)
        var current = bySource[Int(wanted & bucketMask)]
        var steps = 0
        while current != Connection.none && steps < 4096 {
            steps &+= 1
            let link = links[Int(current)].source
            guard link.hash == wanted else {
                current = link.next
                continue
            }
            let other = pool + Int(current)
            let original = other.pointee.original
            // One that has expired counts no more, swept away or not.
            let isLiving = !other.pointee.isConfirmed || other.pointee.deadline > now
            if isLiving, original.transportProtocol == tuple.transportProtocol, original.sourcePort == tuple.sourcePort, original.sourceHigh == tuple.sourceHigh,
                original.sourceLow == tuple.sourceLow, original.family == tuple.family, original.zone == key.zone, var mapped = other.pointee.reply.inverted
            {
                mapped.destination = tuple.destination
                mapped.destinationPort = tuple.destinationPort
                mapped.zone = tuple.zone
                if range.admitsSource(mapped) { return mapped }
            }
            current = link.next
        }
        return nil
    }

    /// - Parameter isFree: set if the port is one of many that would do as well.
    private mutating func uniqueTuple(
        _ current: ConnectionTuple, _ range: NATRange, _ connection: UnsafeMutablePointer<Connection>, _ manipulation: NATManipulation, isFree: inout Bool, now: Timestamp
    ) -> ConnectionTuple {
        let isRandom = !range.flags.isDisjoint(with: [.random, .fullyRandom])
        if manipulation == .source && !isRandom {
            if range.admitsSource(current) {
                if !isTaken(current, connection, now: now) { return current }
            } else if let mapped = existingSource(current, range, connection, now: now), !isTaken(mapped, connection, now: now) {
                return mapped
            }
        }
        var tuple = current
        range.chooseAddress(&tuple, manipulation, zone: connection.pointee.zone)
        if !isRandom {
            if range.flags.contains(.ports) {
                if !range.flags.contains(.portOffset), range.admitsPort(tuple, manipulation),
                    range.minimumPort == range.maximumPort || !isTaken(tuple, connection, now: now)
                {
                    return tuple
                }
            } else if !isTaken(tuple, connection, now: now) {
                return tuple
            }
        }
        choosePort(&tuple, range, connection, manipulation, isRandom: isRandom, now: now)
        isFree = true
        return tuple
    }

    /// Protocols for which `choosePort` leaves a destination as it is where no ports are asked for.
    private static func keepsDestinationPort(_ transportProtocol: UInt8) -> Bool {
        switch transportProtocol {
        case IPProtocol.tcp, IPProtocol.udp, IPProtocol.udplite, IPProtocol.sctp: true
        default: false
        }
    }

    /// Tries ports of the range from a random one on, in ever shorter runs; leaves the last one tried if none is free.
    private mutating func choosePort(
        _ tuple: inout ConnectionTuple, _ range: NATRange, _ connection: UnsafeMutablePointer<Connection>, _ manipulation: NATManipulation, isRandom: Bool,
        now: Timestamp
    ) {
        let usesSourceField = tuple.isICMP || manipulation == .source
        let old = usesSourceField ? tuple.sourcePort : tuple.destinationPort
        var minimum: UInt32
        var size: UInt32
        switch tuple.transportProtocol {
        case IPProtocol.icmp, IPProtocol.icmpv6:
            minimum = range.flags.contains(.ports) ? UInt32(range.minimumPort) : 0
            size = range.flags.contains(.ports) ? UInt32(range.maximumPort) &- minimum &+ 1 : 65536
            if size == 0 || size > 65536 { size = 1 }
        case IPProtocol.tcp, IPProtocol.udp, IPProtocol.udplite, IPProtocol.sctp:
            if range.flags.contains(.ports) {
                minimum = UInt32(min(range.minimumPort, range.maximumPort))
                size = UInt32(max(range.minimumPort, range.maximumPort)) - minimum + 1
            } else {
                // A destination keeps its port; a source stays in its class: below 512 a port vouches for privilege.
                if manipulation == .destination { return }
                switch old {
                case 0..<512: (minimum, size) = (1, 511)
                case 512..<1024: (minimum, size) = (600, 424)
                default: (minimum, size) = (1024, 64512)
                }
            }
        case IPProtocol.gre:
            // Without a master it is no tunnel of PPTP, and keeps what it has.
            guard connection.pointee.status.contains(.expected) else { return }
            minimum = range.flags.contains(.ports) ? UInt32(range.minimumPort) : 1
            size = range.flags.contains(.ports) ? UInt32(max(range.maximumPort, range.minimumPort)) - minimum + 1 : 65535
        default:
            return
        }
        var offset: UInt16
        if range.flags.contains(.portOffset) {
            offset = old &- range.basePort
        } else if isRandom || manipulation == .source {
            offset = random.portOffset(from: minimum, isSource: manipulation == .source)
        } else {
            offset = 0
        }
        var attempts = min(size, ConnectionTracker.maximumAttempts)
        while true {
            for attempt in 0..<attempts {
                let port = UInt16(truncatingIfNeeded: minimum &+ UInt32(offset) % size)
                if usesSourceField { tuple.sourcePort = port } else { tuple.destinationPort = port }
                if !isTakenForGood(tuple, connection, attemptsLeft: attempts - attempt, now: now) { return }
                offset &+= 1
            }
            if attempts >= size || attempts < 16 { return }
            attempts /= 2
            offset = UInt16(truncatingIfNeeded: random.next())
        }
    }

    /// A masqueraded connection whose packets now leave by another interface is given up, and the packet dropped: its
    /// address belongs to the old one (nf_nat_oif_changed). For original-direction packets at postrouting.
    public mutating func masqueradeMoved(_ tracking: Tracking, to interface: UInt32) -> Bool {
        guard tracking.hasConnection, !tracking.isReply else { return false }
        let connection = pool + Int(tracking.connection)
        guard connection.pointee.masqueradeInterface != 0, connection.pointee.masqueradeInterface != interface else { return false }
        if connection.pointee.isConfirmed { retire(tracking.connection) } else { discard(tracking.connection) }
        return true
    }

    /// Gives up, among `budget` slots from `cursor` on, the connections that `masquerade` gave an address which its interface has no longer
    /// (nf_nat_masquerade.c, inet_cmp). True when it has come to the end of the table.
    /// - Parameter interface: as in `setUpNAT`.
    public mutating func dropMasqueraded(_ address: IPAddress, interface: UInt32, cursor: inout Int, budget: Int) -> Bool {
        let end = min(cursor + budget, touched)
        while cursor < end {
            let connection = pool + cursor
            if connection.pointee.masqueradeInterface == interface, connection.pointee.reply.destination == address { retire(UInt32(cursor)) }
            cursor += 1
        }
        return cursor >= touched
    }
}
