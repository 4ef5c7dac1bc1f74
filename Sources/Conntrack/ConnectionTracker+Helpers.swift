// Helpers at work: they read control connections just before confirmation, expect what is announced there, and where the
// connection is translated, write the translated address into the payload (nf_confirm, nf_nat_helper.c).
//
// Invariant: a payload is read only inside the packet and changed only within its tailroom; a packet that cannot be
// changed as it must be is dropped, never sent with an address that nobody can reach.
import Wire

extension ConnectionTracker {
    /// `ct helper set`: before confirmation, once, and only for the helper's own protocol.
    public mutating func assignHelper(_ index: UInt32, _ helper: ConnectionHelper) {
        let connection = self.connection(index)
        guard !connection.pointee.isConfirmed, connection.pointee.helper == 0, helper.reads(connection.pointee.transportProtocol, connection.pointee.original.family) else { return }
        if connection.pointee.helperState == Connection.none {
            guard let state = helpers.allocate() else {
                statistics.helperPoolFull &+= 1
                return
            }
            connection.pointee.helperState = state
        }
        connection.pointee.helper = helper.rawValue
        connection.pointee.status.insert(.helper)
    }

    /// `ct expectation set`: before confirmation, expects a connection from the packet's destination to its source.
    /// - Parameters:
    ///   - port: that it will be addressed to.
    ///   - limit: expectations of this connection at most.
    /// - Returns: false: drop the packet.
    public mutating func addExpectation(_ tracking: Tracking, transportProtocol: UInt8, port: UInt16, seconds: UInt32, limit: Int, now: Timestamp) -> Bool {
        let connection = self.connection(tracking.connection)
        guard !connection.pointee.isConfirmed else { return true }
        let opposite = connection.pointee.tuple(tracking.direction.opposite)
        var expectation = Expectation()
        expectation.tuple.family = opposite.family
        expectation.tuple.transportProtocol = transportProtocol
        expectation.tuple.source = opposite.source
        expectation.tuple.destination = opposite.destination
        expectation.tuple.destinationPort = port
        return expect(&expectation, tracking, limit: limit, seconds: seconds, now: now) == nil
    }

    /// Defines `ct timeout` policy `number` (1 to 255); what it does not name stays as configured.
    /// - Returns: false if the number is out of range.
    public mutating func definePolicy(_ number: UInt16, _ timeouts: ConnectionTimeouts) -> Bool {
        guard number > 0, number < 256 else { return false }
        policies[Int(number)] = timeouts
        return true
    }

    /// `ct timeout set`: before confirmation. The connection gets the policy's time for a new connection.
    public mutating func assignPolicy(_ index: UInt32, _ number: UInt16) {
        let connection = self.connection(index)
        guard !connection.pointee.isConfirmed, number > 0, number < 256 else { return }
        connection.pointee.timeoutPolicy = number
        if !connection.pointee.status.contains(.fixedTimeout) {
            connection.pointee.deadline = UInt64(policies[Int(number)].new(connection.pointee.transportProtocol)) &* 1_000_000_000
        }
    }

    /// Whether the connection's helper looks at this packet as a whole (skb_linearize).
    public func readsWhole(_ tracking: Tracking) -> Bool {
        guard tracking.hasConnection, !tracking.isRelatedError else { return false }
        let connection = pool + Int(tracking.connection)
        switch ConnectionHelper(rawValue: connection.pointee.helper) {
        case .ftp, .pptp: return tracking.state == .established
        case .sip: return tracking.state == .established || connection.pointee.transportProtocol == IPProtocol.udp
        default: return false
        }
    }

    /// The timeouts that hold for a connection.
    @inline(__always)
    func timeouts(_ connection: UnsafeMutablePointer<Connection>) -> UnsafeMutablePointer<ConnectionTimeouts> {
        policies + Int(connection.pointee.timeoutPolicy & 255)
    }

    /// To be called right before `confirm`, behind source NAT: runs the connection's helper and shifts sequence numbers.
    /// - Parameters:
    ///   - packet: its length may change, within `tailroom`.
    ///   - parsed: is made anew if the packet changes.
    /// - Returns: a reason to drop the packet.
    public mutating func help(_ packet: inout PacketBuffer, _ parsed: inout ParsedPacket, _ tracking: Tracking, now: Timestamp) -> DropReason {
        guard tracking.hasConnection, !tracking.isRelatedError else { return .none }
        let connection = pool + Int(tracking.connection)
        guard connection.pointee.helperState != Connection.none else { return .none }
        // Before the helper: what it changes in this packet shifts only what follows.
        let isShifted = connection.pointee.status.contains(.sequenceAdjust)
        switch ConnectionHelper(rawValue: connection.pointee.helper) {
        case .ftp: if !readFTP(&packet, &parsed, tracking, now: now) { return .helperRefused }
        case .tftp: if !readTFTP(packet, parsed, tracking, now: now) { return .helperRefused }
        case .sip: if !readSIP(&packet, &parsed, tracking, now: now) { return .helperRefused }
        case .pptp: readPPTP(&packet, &parsed, tracking, now: now)
        case nil: break
        }
        if isShifted { shiftSequence(packet, parsed, helpers.states[Int(connection.pointee.helperState)], tracking.direction) }
        return .none
    }

    /// Linux lets SIP's helper read ICMP errors about answers as if they were messages (nf_confirm): here they only prolong the connection as those do.
    public mutating func helpError(_ tracking: Tracking, now: Timestamp) {
        guard tracking.hasConnection, !tracking.isReply else { return }
        let connection = pool + Int(tracking.connection)
        if connection.pointee.helper == ConnectionHelper.sip.rawValue, connection.pointee.transportProtocol == IPProtocol.udp {
            prolong(tracking.connection, seconds: SIPPurpose.connectionSeconds, now: now)
        }
    }

    /// What NAT has added to the sequence numbers that a segment of this direction acknowledges.
    mutating func acknowledgementShift(_ connection: UnsafeMutablePointer<Connection>, _ segment: TCPSegment, _ direction: ConnectionDirection) -> Int32 {
        guard connection.pointee.status.contains(.sequenceAdjust), connection.pointee.helperState != Connection.none else { return 0 }
        let shift = helpers.states[Int(connection.pointee.helperState)].shift(direction.opposite)
        return Int32(bitPattern: shift.offset(at: segment.acknowledgement &- 1))
    }

    /// Adds an expectation for a connection towards `destination`.
    mutating func expect(_ expectation: inout Expectation, _ tracking: Tracking, limit: Int, seconds: UInt32, ofAnyMaster: Bool = false, now: Timestamp) -> ExpectationTable.Refusal? {
        pool[Int(tracking.connection)].hasExpectations = true
        expectation.master = tracking.connection
        expectation.masterGeneration = pool[Int(tracking.connection)].generation
        expectation.deadline = now &+ UInt64(seconds) &* 1_000_000_000
        expectation.tuple.zone = pool[Int(tracking.connection)].original.zone
        return expectations.add(expectation, hash, limit: limit, ofAnyMaster: ofAnyMaster, now: now)
    }

    /// As `expect`, for a translated connection: tries the announced port, then others above it.
    /// - Returns: the port expected, 0 if none could be had.
    mutating func expectWithFreePort(_ expectation: inout Expectation, _ tracking: Tracking, limit: Int, seconds: UInt32, now: Timestamp) -> UInt16 {
        let first = expectation.tuple.destinationPort
        let range = UInt32(UInt16.max - first)
        var attempts = min(range, 128)
        while true {
            switch expect(&expectation, tracking, limit: limit, seconds: seconds, now: now) {
            case nil: return expectation.tuple.destinationPort
            case .full, .known: return 0
            case .clash:
                guard attempts > 0, range > 0 else { return 0 }
                attempts -= 1
                expectation.tuple.destinationPort = first &+ UInt16(UInt32(random.portOffset(from: UInt32(first), isSource: false)) % range)
            }
        }
    }

    /// A new connection that was expected: takes its mark from its master and, where that is translated, its addresses.
    mutating func fulfil(_ expectation: Expectation, _ index: UInt32, now: Timestamp) {
        guard isCurrent(expectation.master, generation: expectation.masterGeneration), pool[Int(expectation.master)].isConfirmed else { return }
        let connection = pool + Int(index)
        connection.pointee.status.insert(.expected)
        connection.pointee.master = expectation.master
        connection.pointee.masterHelper = pool[Int(expectation.master)].helper
        connection.pointee.mark = pool[Int(expectation.master)].mark
        if expectation.isPermanent, let helper = ConnectionHelper(rawValue: pool[Int(expectation.master)].helper) {
            assignHelper(index, helper)
            // No rule has given it: Linux marks those alone (IPS_HELPER).
            connection.pointee.status.remove(.helper)
        }
        let known = pool[Int(expectation.master)].tuple(expectation.direction.opposite)
        switch expectation.translation {
        case .none:
            if connection.pointee.transportProtocol == IPProtocol.gre { removeOtherCall(expectation) }
        case .master:
            setUpNAT(index, .source, range: NATRange(known.destination), now: now)
            setUpNAT(index, .destination, range: NATRange(known.source).ports(expectation.savedPort), now: now)
        case .pptp:
            // Where the server's packet is the first of a translated tunnel, Linux looks for the client's expectation in vain (pptp_nat_expected).
            if expectation.direction == .original { removeOtherCall(expectation) }
            let source = NATRange(known.destination), destination = NATRange(known.source)
            let isOriginal = expectation.direction == .original
            setUpNAT(index, .source, range: isOriginal ? source.ports(expectation.savedPort) : source, now: now)
            setUpNAT(index, .destination, range: isOriginal ? destination : destination.ports(expectation.savedPort), now: now)
        case .sip:
            setUpSIPNAT(expectation, index, known, now: now)
        }
    }

    /// Gives back what a connection held beside its record.
    mutating func releaseHelper(_ index: UInt32) {
        let connection = pool + Int(index)
        if connection.pointee.cone != Connection.none {
            cone.release(connection.pointee.cone)
            connection.pointee.cone = Connection.none
        }
        if connection.pointee.hasExpectations { expectations.removeAll(of: index, hash) }
        // One that never came to be ends no calls (nf_ct_delete_from_lists).
        if connection.pointee.helper == ConnectionHelper.pptp.rawValue, connection.pointee.isConfirmed { endCalls(index) }
    }

    /// When the record itself is given back: a connection that a reset has ended may still have that packet to translate.
    mutating func freeHelperState(_ index: UInt32) {
        let connection = pool + Int(index)
        guard connection.pointee.helperState != Connection.none else { return }
        helpers.free(connection.pointee.helperState)
        connection.pointee.helperState = Connection.none
    }

    // MARK: - Payload

    /// Replaces bytes of a TCP payload; lengths and checksums follow, and the shift of the stream is noted.
    /// - Returns: false if the packet has no room.
    mutating func replace(
        _ packet: inout PacketBuffer, _ parsed: inout ParsedPacket, _ tracking: Tracking, at offset: Int, count: Int, with bytes: PayloadText
    ) -> Bool {
        let sequence = packet.load32(Int(parsed.transportOffset) + 4)
        guard ConnectionTracker.replace(&packet, &parsed, at: offset, count: count, with: bytes) else { return false }
        noteShift(tracking, by: Int32(bytes.count - count), at: sequence)
        return true
    }

    /// The payload of a segment at `sequence` grew by `change` bytes.
    func noteShift(_ tracking: Tracking, by change: Int32, at sequence: UInt32) {
        guard change != 0 else { return }
        let connection = pool + Int(tracking.connection)
        connection.pointee.status.insert(.sequenceAdjust)
        let state = helpers.states + Int(connection.pointee.helperState)
        if tracking.direction == .original {
            state.pointee.original.grow(by: change, at: sequence)
        } else {
            state.pointee.reply.grow(by: change, at: sequence)
        }
    }

    /// Replaces bytes of a TCP or UDP payload; lengths and checksums follow. A UDP datagram without checksum stays without.
    /// - Returns: false if the packet has no room.
    static func replace(_ packet: inout PacketBuffer, _ parsed: inout ParsedPacket, at offset: Int, count: Int, with bytes: PayloadText) -> Bool {
        let change = bytes.count - count
        let end = Int(parsed.networkOffset) + Int(parsed.networkLength)
        // Padding behind the packet is given up with it.
        guard change <= packet.tailroom + (packet.length - end), Int(parsed.networkLength) + change <= 65535 else { return false }
        (packet.start + offset + bytes.count).copyMemory(from: packet.start + offset + count, byteCount: end - offset - count)
        bytes.copy(to: packet.start + offset)
        packet.tailroom -= end + change - packet.length
        packet.length = end + change
        let networkOffset = Int(parsed.networkOffset)
        if parsed.family == .ipv4 {
            packet.store16(UInt16(Int(parsed.networkLength) + change), at: networkOffset + 2)
            Checksum.fillIPv4Header(packet.start + networkOffset, length: Int(parsed.networkHeaderLength))
        } else {
            packet.store16(UInt16(Int(parsed.networkLength) + change - 40), at: networkOffset + 4)
        }
        parsed.networkLength = UInt32(Int(parsed.networkLength) + change)
        if parsed.transportProtocol == IPProtocol.udp {
            let transport = Int(parsed.transportOffset)
            packet.store16(UInt16(truncatingIfNeeded: parsed.transportLength), at: transport + 4)
            if packet.load16(transport + 6) == 0 { return true }
        }
        Checksum.fillTransport(packet, parsed)
        return true
    }

    /// Sequence number, acknowledgement and SACK blocks, for the end that sees the other's stream shifted.
    private func shiftSequence(_ packet: PacketBuffer, _ parsed: ParsedPacket, _ state: HelperState, _ direction: ConnectionDirection) {
        guard parsed.transportProtocol == IPProtocol.tcp, parsed.flags.contains(.hasTransport) else { return }
        let offset = Int(parsed.transportOffset)
        let own = state.shift(direction)
        let other = state.shift(direction.opposite)
        func replace(_ position: Int, _ value: UInt32) {
            let checksum = packet.load16(offset + 16)
            packet.store16(Checksum.update(checksum, old: packet.load32(position), new: value), at: offset + 16)
            packet.store32(value, at: position)
        }
        func shiftedBack(_ number: UInt32) -> UInt32 {
            let isBehind = TCPWindow.isAfter(number &- UInt32(bitPattern: other.before), other.position)
            return number &- UInt32(bitPattern: isBehind ? other.after : other.before)
        }
        let sequence = packet.load32(offset + 4)
        replace(offset + 4, sequence &+ own.offset(at: sequence))
        guard packet.load8(offset + 13) & TCPFlags.ack != 0 else { return }
        replace(offset + 8, shiftedBack(packet.load32(offset + 8)))

        let length = Int(packet.load8(offset + 12) >> 4) * 4
        for option in TCPOptions(header: packet.start + offset, length: length) where option.kind == 5 && option.length >= 10 && (option.length - 2) % 8 == 0 {
            // A block at an odd offset sums up swapped: the checksum is made anew instead.
            let first = offset + option.offset
            for word in Swift.stride(from: first + 2, to: first + option.length, by: 4) { packet.store32(shiftedBack(packet.load32(word)), at: word) }
            Checksum.fillTransport(packet, parsed)
        }
    }
}
