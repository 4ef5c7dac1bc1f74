// Stateful statements, by number.
//
// Invariant: numbers come from the compiler and lie inside the arrays. Bytes are the skb's length in Linux: the IP packet
// at the hooks of ip, ip6 and inet.
import Wire

extension Program {
    @inline(__always) func count(_ index: Int, _ rule: UInt32, _ context: inout PacketContext) {
        counters[index].packets &+= 1
        counters[index].bytes &+= UInt64(context.layer.trafficLength)
        context.walk?.pointee.note(counter: UInt32(truncatingIfNeeded: index), rule: rule)
    }

    /// True if the statement lets the rule go on.
    func useObject(_ op: Opcode, _ number: UInt32, _ rule: UInt32, _ context: inout PacketContext) -> Bool {
        let index = Int(number)
        switch op {
        case .limit:
            context.walk?.pointee.refuse(.limit, rule: rule)
            return limits[index].passes(bytes: context.layer.trafficLength, now: context.now)
        case .quota:
            context.walk?.pointee.refuse(.quota, rule: rule)
            return quotas[index].passes(bytes: context.layer.trafficLength)
        case .connectionLimit:
            context.walk?.pointee.refuse(.connectionLimit, rule: rule)
            return connectionLimits[index].passes(
                context.conntrack.hasConnection ? context.conntrack.identifier : 0, isAssured: context.conntrack.status & ConntrackView.assured != 0,
                isDying: context.conntrack.status & ConntrackView.dying != 0, context.lookups)
        case .last:
            context.walk?.pointee.refuse(.last, rule: rule)
            lasts[index] = LastState(isSet: true, time: context.now)
            return true
        default: return false
        }
    }
}
