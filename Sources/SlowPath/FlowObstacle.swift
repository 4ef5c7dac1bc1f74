// Why a connection's packets are not in the flow cache, for `show flows`.
import Conntrack
import FlowCache
import Policy
import Wire

struct FlowObstacle {
    enum Kind: UInt8 {
        /// Nothing is known to be in the way: the connection is not established (yet, or any more), or has just begun.
        case none
        /// A rule needs every packet.
        case rule
        case options, linkHook, noFlowtable
        /// RSS spreads a direction of a TCP connection over workers (FlowOwner.swift).
        case severalWorkers
    }
    var kind: Kind = .none
    var reason: WalkRecord.Reason = .none
    var rule: UInt32 = UInt32.max
}

/// How a connection's packets travel.
public enum FlowTravel: Sendable, Equatable {
    case offloaded
    /// One or both directions.
    case cached
    /// In the slow path, and why.
    case slow(String)
}

extension SlowPath {
    /// How a connection's packets travel now, and if slowly, why.
    public func travel(of connection: UInt32) -> FlowTravel {
        let place = Int(connection)
        if offered[place].isInstalled { return .offloaded }
        if flows.pointee.isInForce(handles[place * 2]) || flows.pointee.isInForce(handles[place * 2 + 1]) { return .cached }
        let obstacle = obstacles[place]
        switch obstacle.kind {
        case .rule: return .slow("\(obstacle.reason): \(ruleset.ruleDescription(obstacle.rule))")
        case .options: return .slow("IP options or extension headers")
        case .linkHook: return .slow("a netdev chain sees every frame")
        case .noFlowtable: return .slow("no flow add statement")
        case .severalWorkers: return .slow("one direction arrives on several workers")
        case .none:
            let record = tracker.pointee.connection(connection).pointee
            if record.transportProtocol == IPProtocol.tcp, record.tcpState != .established { return .slow("TCP state \(record.tcpState)") }
            if flows.pointee.isLive(handles[place * 2]) || flows.pointee.isLive(handles[place * 2 + 1]) {
                return .slow("nothing forwarded since rules, routes or neighbours changed")
            }
            return .slow(record.status.contains(.seenReply) ? "no packet since it was established" : "no reply yet")
        }
    }
}
