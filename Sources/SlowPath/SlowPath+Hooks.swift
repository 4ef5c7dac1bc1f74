// One netfilter hook: the base chains of the packet's family in priority order, with defragmentation, connection
// tracking and NAT in their places between them.
//
// Priorities (include/uapi/linux/netfilter_ipv4.h): defragmentation -400, conntrack -200, destination NAT -100,
// source NAT 100, confirm last. A chain with the very priority of one of these runs before it, since Linux puts what
// is registered later first. Chains of type nat run inside the NAT step, for the first packet of a connection only.
import Conntrack
import Policy
import Wire

/// What sits between the base chains: defragmentation, connection tracking, NAT.
private enum BuiltIn {
    static func priority(_ step: Int, _ hook: Hook) -> Int32 {
        switch step {
        case 0: -400
        case 1: -200
        default: hook == .prerouting || hook == .output ? -100 : 100
        }
    }
}

/// What a chain of type route may change to have its packet routed anew (nft_chain_route.c).
private struct RoutedFields: Equatable {
    let source: IPAddress, destination: IPAddress
    let mark: UInt32
    let trafficClass: UInt8

    init(_ transit: inout Transit) {
        source = transit.context.parsed.sourceAddress
        destination = transit.context.parsed.destinationAddress
        mark = transit.context.mark
        trafficClass = transit.context.parsed.trafficClass
    }
}

extension SlowPath {
    /// Runs a hook; nil if the packet goes on, else how its way ended.
    mutating func runHook(_ hook: Hook, _ transit: inout Transit) -> Disposition? {
        guard let family = transit.parsed.family else { return nil }
        transit.context.hook = hook
        transit.context.family = family == .ipv4 ? .ipv4 : .ipv6
        transit.context.output = transit.isLooped && !transit.isReturned ? program.loopback : transit.egress
        transit.context.routeMTU = transit.egress == Transit.noPort && !transit.isLooped ? 0 : UInt32(transit.pathMTU)
        if transit.isOnLink { transit.nextHop = transit.parsed.destinationAddress }
        transit.context.nextHop = transit.nextHop
        transit.context.isOnLink = transit.isOnLink
        let chains = program.chains(hook, transit.context.family)
        // At the forward hook there is none of them, at input and postrouting only NAT.
        var step = hook == .prerouting || hook == .output ? 0 : hook == .forward ? 3 : 2
        for index in 0 ... chains.count {
            let isEnd = index == chains.count
            while step < 3, isEnd || BuiltIn.priority(step, hook) < chains[index].priority {
                let current = step
                step += 1
                if let ended = runBuiltIn(current, hook, &transit) { return ended }
            }
            if isEnd { break }
            guard chains[index].type != .nat else { continue }
            guard chains[index].type == .route else {
                if let ended = run(chains[index], &transit) { return ended }
                continue
            }
            let before = RoutedFields(&transit)
            if let ended = run(chains[index], &transit) { return ended }
            if RoutedFields(&transit) != before, let ended = routeAgain(&transit) { return ended }
        }
        return hook == .postrouting || hook == .input ? confirm(&transit) : nil
    }

    private mutating func runBuiltIn(_ step: Int, _ hook: Hook, _ transit: inout Transit) -> Disposition? {
        let startsTracking = hook == .prerouting || hook == .output
        switch step {
        // What a rule before it has made untracked stays in pieces.
        case 0: return startsTracking && transit.tracking.state != .untracked && program.needs(.defragmentation, transit.context.family) ? defragment(&transit) : nil
        case 1: return startsTracking && program.needs(.conntrack, transit.context.family) ? track(&transit) : nil
        default: return hook != .forward && program.needs(.nat, transit.context.family) ? translate(hook, &transit) : nil
        }
    }

    /// Runs one base chain and carries out what it asked for; nil if the packet goes on.
    mutating func run(_ chain: BaseChain, _ transit: inout Transit) -> Disposition? {
        let kept = copies.pointee.count
        let verdict = program.evaluate(chain, &transit.context)
        if !transit.context.conntrack.changes.isEmpty, !applyChanges(&transit) { return .dropped(.ruleDrop) }
        for index in kept ..< copies.pointee.count { duplicate(index, transit) }
        copies.pointee.drop(to: kept)
        return conclude(verdict, &transit)
    }

    /// What a base chain's verdict means for the packet; nil if it goes on.
    mutating func conclude(_ verdict: Verdict, _ transit: inout Transit) -> Disposition? {
        switch verdict {
        case .accept, .nat: return nil
        case .drop: return .dropped(.ruleDrop)
        case .policyDrop: return .dropped(.policyDrop)
        case .reject:
            reject(transit)
            return .dropped(.ruleReject)
        case .queue: return .dropped(.ruleDrop)
        case .stolen: return steal(transit)
        case .error: return .dropped(.rulesetError)
        }
    }
}
