// The end of connections: the sweep, removal by hand, and what the flow cache reports of the living.
//
// Invariant: a sweep visits at most `budget` slots a call, whatever the size of the table. Exactness does not depend on
// it: a lookup never finds an expired connection.
import Wire

extension ConnectionTracker {
    /// Names the connections whose timeout has passed and that the next `expire` with the same arguments would give up for it: what is
    /// known elsewhere of their last packets can still be noted.
    public func forEachDue(now: Timestamp, budget: Int, _ body: (UInt32) -> Void) {
        var position = sweepPosition
        for _ in 0..<min(max(budget, 0), touched) {
            if position >= touched { position = 0 }
            let connection = pool + position
            if connection.pointee.deadline <= now, connection.pointee.generation != 0, connection.pointee.status.contains(.confirmed),
               !connection.pointee.status.contains(.dying) { body(UInt32(position)) }
            position += 1
        }
    }

    /// Visits the next `budget` slots and gives up what has expired, and what no `confirm` or `release` ever came for.
    /// - Returns: the number of connections given up; they come out of `takeRetired`.
    @discardableResult
    public mutating func expire(now: Timestamp, budget: Int) -> Int {
        var ended = 0
        let crowded = isPressed && count > configuration.maximumConnections / 100 * 95
        for _ in 0..<min(max(budget, 0), touched) {
            if sweepPosition >= touched {
                sweepPosition = 0
                isPressed = false
            }
            let index = UInt32(sweepPosition)
            sweepPosition += 1
            let connection = pool + Int(index)
            let status = connection.pointee.status
            if status.contains(.dying) || connection.pointee.generation == 0 { continue }
            if status.contains(.confirmed) {
                if connection.pointee.deadline <= now {
                    statistics.expired &+= 1
                } else if crowded && mayEvict(connection) {
                    statistics.earlyDropped &+= 1
                } else {
                    continue
                }
                retire(index)
                ended += 1
            } else if connection.pointee.start &+ 60_000_000_000 <= now {
                discard(index)
                ended += 1
            }
        }
        return ended
    }

    private mutating func mayEvict(_ connection: UnsafeMutablePointer<Connection>) -> Bool {
        if connection.pointee.status.contains(.offload) && connection.pointee.transportProtocol != IPProtocol.udp { return false }
        if !connection.pointee.status.contains(.assured) { return true }
        if connection.pointee.transportProtocol == IPProtocol.sctp {
            return connection.pointee.sctp.state >= SCTPState.shutdownSent.rawValue && connection.pointee.sctp.state <= SCTPState.shutdownAckSent.rawValue
        }
        guard connection.pointee.transportProtocol == IPProtocol.tcp else { return false }
        switch connection.pointee.tcpState {
        case .finWait, .lastAck, .timeWait, .close, .closeWait: return true
        default: return false
        }
    }

    /// `conntrack -D`: gives up a confirmed connection. It comes out of `takeRetired`.
    public mutating func remove(_ index: UInt32) {
        guard Int(index) < touched else { return }
        retire(index)
    }

    /// `conntrack -F`.
    public mutating func removeAll() {
        for index in 0..<touched { retire(UInt32(index)) }
    }

    /// Calls `body` with each living confirmed connection.
    public func forEach(now: Timestamp, _ body: (UInt32, UnsafePointer<Connection>) -> Void) {
        for index in 0..<touched {
            let connection = pool + index
            guard connection.pointee.isConfirmed, !connection.pointee.status.contains(.dying), connection.pointee.deadline > now else { continue }
            body(UInt32(index), UnsafePointer(connection))
        }
    }

    // MARK: - The flow cache's report

    /// Packets that passed by the slow path: counts them, and lets the connection live as long as if it had seen them.
    /// - Parameter lastSeen: time of the last of them.
    public mutating func noteActivity(_ index: UInt32, generation: UInt32, direction: ConnectionDirection, packets: UInt64, bytes: UInt64, lastSeen: Timestamp) {
        guard packets != 0, isCurrent(index, generation: generation) else { return }
        let connection = pool + Int(index)
        account(index, direction, packets: packets, bytes: bytes)
        if direction == .reply { connection.pointee.status.insert(.seenReply) }
        noteSeen(connection, lastSeen)
    }

    /// Lets the connection live as long as if its last packet had come at `lastSeen`.
    mutating func noteSeen(_ connection: UnsafeMutablePointer<Connection>, _ lastSeen: Timestamp) {
        // At the same moment the slow path's packet was the later one: it is what asked for the count of those before it.
        guard lastSeen > connection.pointee.lastSeen, !connection.pointee.status.contains(.fixedTimeout) else { return }
        connection.pointee.lastSeen = lastSeen
        connection.pointee.deadline = lastSeen &+ UInt64(idleSeconds(connection, lastSeen: lastSeen)) &* 1_000_000_000
    }

    /// The router itself reset a TCP connection (nf_conntrack_tcp_set_closing): it is closed, and lives on as a closed one does.
    public mutating func close(_ index: UInt32, now: Timestamp) {
        let connection = pool + Int(index)
        guard connection.pointee.transportProtocol == IPProtocol.tcp, connection.pointee.isConfirmed, connection.pointee.tcpState != .close else { return }
        connection.pointee.window.state = TCPState.close.rawValue
        guard !connection.pointee.status.contains(.fixedTimeout) else { return }
        connection.pointee.deadline = now &+ UInt64(timeouts(connection).pointee.tcpClose) &* 1_000_000_000
    }

    /// Seconds that a packet at `lastSeen` buys.
    private mutating func idleSeconds(_ connection: UnsafeMutablePointer<Connection>, lastSeen: Timestamp) -> UInt32 {
        let timeouts = timeouts(connection).pointee
        let sawReply = connection.pointee.status.contains(.seenReply)
        switch connection.pointee.transportProtocol {
        case IPProtocol.tcp:
            let seconds = tcpTimeout(connection, connection.pointee.window, connection.pointee.tcpState, isReset: false)
            return sawReply ? seconds : min(seconds, timeouts.tcpUnacknowledged)
        case IPProtocol.udp, IPProtocol.udplite:
            guard sawReply, lastSeen > connection.pointee.streamFrom || connection.pointee.transportProtocol == IPProtocol.udplite else { return timeouts.udp }
            if !connection.pointee.status.contains(.natClash) { connection.pointee.status.insert(.assured) }
            return timeouts.udpStream
        case IPProtocol.sctp: return timeouts.sctp(SCTPState(rawValue: connection.pointee.sctp.state) ?? .closed)
        case IPProtocol.icmp: return timeouts.icmp
        case IPProtocol.icmpv6: return timeouts.icmpv6
        case IPProtocol.gre:
            if sawReply { connection.pointee.status.insert(.assured) }
            return sawReply ? timeouts.greStream : timeouts.gre
        default: return timeouts.generic
        }
    }

    /// The flow is in the flow cache (`flow add`), or in the NIC: shown by listings and `ct status`. A NIC does not tell
    /// what it forwards, so from here on the window is learnt from what comes to software, a FIN first of all, and not
    /// enforced.
    public mutating func noteOffloaded(_ index: UInt32, hardware: Bool) {
        guard Int(index) < touched else { return }
        pool[Int(index)].status.insert(hardware ? [.offload, .hardwareOffload] : .offload)
        if hardware { forgetWindow(index, isLiberal: true) }
    }

    /// The flow is back. If the NIC carried it, the window has moved unseen: it is learnt afresh from the next packet of
    /// each direction, and not enforced from then on, as in Linux for any offloaded flow.
    public mutating func noteOffloadEnded(_ index: UInt32) {
        guard Int(index) < touched else { return }
        let connection = pool + Int(index)
        if connection.pointee.status.contains(.hardwareOffload) { forgetWindow(index, isLiberal: true) }
        connection.pointee.status.subtract([.offload, .hardwareOffload])
    }

    /// Packets of the family went by unseen, because for a while no rule asked for tracking: the windows of established TCP connections are learnt
    /// afresh (nf_ct_tcp_fixup). Goes through all connections.
    public mutating func relearnWindows(_ family: AddressFamily) {
        for index in 0 ..< touched {
            let connection = pool + index
            guard connection.pointee.isConfirmed, !connection.pointee.status.contains(.dying), connection.pointee.original.family == family, connection.pointee.transportProtocol == IPProtocol.tcp,
                  connection.pointee.tcpState == .established else { continue }
            forgetWindow(UInt32(index), isLiberal: false)
        }
    }

    private mutating func forgetWindow(_ index: UInt32, isLiberal: Bool) {
        let connection = pool + Int(index)
        guard connection.pointee.transportProtocol == IPProtocol.tcp else { return }
        func relearn(_ endpoint: inout TCPEndpoint) {
            endpoint.maxWindow = 0
            guard isLiberal else { return }
            endpoint.flags &= ~(TCPEndpoint.Flag.maxAckSet | TCPEndpoint.Flag.dataUnacknowledged)
            endpoint.flags |= TCPEndpoint.Flag.beLiberal
        }
        let before = connection.pointee.window.isShared ? windows.view(index, connection) : connection.pointee.window
        var after = before
        relearn(&after.original)
        relearn(&after.reply)
        guard connection.pointee.window.isShared else { return connection.pointee.window = after }
        windows.commit(index, in: pool, from: before, to: after)
    }

    // MARK: - Windows that workers write

    /// From here on workers may write the connection's window: call it before its first entry can be seen.
    public func shareWindow(_ index: UInt32) { connection(index).pointee.window.isShared = true }

    /// A grace period begins; true if windows need one.
    public mutating func beginWindowGracePeriod() -> Bool { windows.beginGracePeriod() }

    /// Every worker has been quiescent since.
    public mutating func endWindowGracePeriod() { windows.endGracePeriod(pool) }

    // MARK: - Rules in a NIC

    /// The connection's flow was offered to a NIC: should it die, its addresses and ports stay taken until `offerEnded`.
    public func noteOffered(_ index: UInt32) { connection(index).pointee.window.isOffered = true }

    /// No rule of the offer exists any more. `generation` is the connection's when it was made.
    public mutating func offerEnded(_ index: UInt32, generation: UInt32) {
        if connection(index).pointee.generation == generation { connection(index).pointee.window.isOffered = false }
        held.release(index, generation: generation)
    }

    /// Tuples that dead connections still have because of rules in a NIC.
    public var heldCount: Int { held.count }
}
