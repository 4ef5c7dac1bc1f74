// The source port of a translated connection, chosen so that the answers reach the worker that has the other direction.
//
// Invariant: Linux's choice (ConnectionTracker+NATBinding.swift) is made first and stands unless a port of the same range, on the same address,
// free like any other, does better. Without a `SteeringTarget`, which is how a router with one worker calls, nothing here runs and
// no random number is drawn. A connection that cannot be steered is as correct as one that was: its two directions
// are then two workers' (FlowCache/FlowOwner.swift).
//
// What may move is `PortSteering`: a port that Linux itself was free to choose always may, one that Linux would have kept only where it harms
// nobody. UDP's is kept by `auto`: towards all its peers a client has one outer port in Linux as long as nobody else has it, and programs that
// tell each other that port (STUN, games, WireGuard) live on it. Ports below 1024 vouch for something and are never left.
//
// Cost: a hash a choice, four words a port tried, one port in as many as there are workers fits; at most `tries` are
// looked at and `asked` of them looked up, so an attacker who fills a range gets Linux's choice, not a long search.
import Wire

/// Which source ports NAT may change to bring a connection's answers to the right worker.
@frozen public enum PortSteering: UInt8, Sendable {
    /// Those of TCP, and those that Linux would not have kept.
    case auto
    /// Those of UDP as well.
    case all
}

/// Where a connection's answers are wanted.
@frozen public struct SteeringTarget: Sendable {
    /// The port that they will come in by.
    public var spread: ReceiveSpread
    /// The worker that received the connection's first packet.
    public var worker: Int
    public var reach: PortSteering
    public init(spread: ReceiveSpread, worker: Int, reach: PortSteering) {
        self.spread = spread
        self.worker = worker
        self.reach = reach
    }
}

/// What became of the source ports of TCP and UDP connections that were to be steered.
public struct SteeringCounts: Sendable, Equatable {
    /// Linux's choice brings the answers to the right worker.
    public var kept: UInt64 = 0
    /// Another port was taken.
    public var moved: UInt64 = 0
    /// The port may not change.
    public var fixed: UInt64 = 0
    /// No port was found.
    public var exhausted: UInt64 = 0
    /// How the port spreads such packets is not known.
    public var unknown: UInt64 = 0
    public init() {}
}

extension ConnectionTracker {
    /// Ports looked at, and ports looked up, for one connection.
    private static var tries: UInt32 { 512 }
    private static var asked: Int { 32 }

    /// Exchanges the source port of `chosen` for one whose answers reach the target.
    /// - Parameter isFree: Linux was free to choose the port, and did.
    @inline(never)
    mutating func steer(
        _ chosen: inout ConnectionTuple, _ range: NATRange, isFree: Bool, _ target: SteeringTarget, _ connection: UnsafeMutablePointer<Connection>, now: Timestamp
    ) {
        guard chosen.transportProtocol == IPProtocol.tcp || chosen.transportProtocol == IPProtocol.udp, var reply = chosen.inverted else { return }
        guard target.spread.covers(reply) else {
            statistics.steering.unknown &+= 1
            return
        }
        reply.destinationPort = 0
        let rest = target.spread.hash(reply)
        guard target.spread.worker(hash: rest ^ target.spread.hash(destinationPort: chosen.sourcePort, chosen.family)) != target.worker else {
            statistics.steering.kept &+= 1
            return
        }
        let mayMove = isFree || target.reach == .all || chosen.transportProtocol == IPProtocol.tcp
        guard mayMove, let (first, size) = ConnectionTracker.steerable(chosen, range) else {
            statistics.steering.fixed &+= 1
            return
        }
        guard target.spread.reaches(target.worker), let port = freePort(chosen, first, size, rest, target, connection, now: now) else {
            statistics.steering.exhausted &+= 1
            return
        }
        chosen.sourcePort = port
        statistics.steering.moved &+= 1
    }

    /// The ports that this one may be exchanged for; nil if it is the only one.
    private static func steerable(_ tuple: ConnectionTuple, _ range: NATRange) -> (first: UInt32, size: UInt32)? {
        guard range.flags.isDisjoint(with: [.portOffset, .prefix]) else { return nil }
        guard range.flags.contains(.ports) else { return tuple.sourcePort < 1024 ? nil : (1024, 64512) }
        let first = UInt32(min(range.minimumPort, range.maximumPort)), last = UInt32(max(range.minimumPort, range.maximumPort))
        return first == last ? nil : (first, last - first + 1)
    }

    /// All ports of a small range in turn, random ones of a large one: neighbours in number may be neighbours in the hash.
    private mutating func freePort(
        _ chosen: ConnectionTuple, _ first: UInt32, _ size: UInt32, _ rest: UInt32, _ target: SteeringTarget, _ connection: UnsafeMutablePointer<Connection>, now: Timestamp
    ) -> UInt16? {
        let isSmall = size <= ConnectionTracker.tries
        var candidate = chosen
        var asked = 0
        var offset = UInt32(truncatingIfNeeded: random.next() >> 32) % size
        for _ in 0 ..< min(size, ConnectionTracker.tries) {
            let port = UInt16(truncatingIfNeeded: first &+ offset)
            offset = (isSmall ? offset &+ 1 : UInt32(truncatingIfNeeded: random.next() >> 32)) % size
            guard target.spread.worker(hash: rest ^ target.spread.hash(destinationPort: port, chosen.family)) == target.worker else { continue }
            candidate.sourcePort = port
            if !isTaken(candidate, connection, now: now) { return port }
            asked &+= 1
            if asked == ConnectionTracker.asked { return nil }
        }
        return nil
    }
}
