// What connection tracking asks the flow cache before it gives up a connection for its age: the sweep may not have come by yet.
//
// Invariant: lives at one address as long as its SlowPath; only reads.
import Conntrack
import FlowCache
import Wire

struct FlowTimes {
    let flows: UnsafeMutablePointer<FlowCache>
    /// Two a connection, by direction.
    let handles: UnsafeMutablePointer<FlowHandle>

    static func lastUse(_ times: UnsafeMutablePointer<FlowTimes>) -> ConnectionLastUse {
        ConnectionLastUse(userData: UnsafeMutableRawPointer(times)) { user, connection, now in
            let times = user.assumingMemoryBound(to: FlowTimes.self).pointee
            var last: Timestamp = 0
            for place in Int(connection) * 2 ... Int(connection) * 2 + 1 {
                // Without a packet since the last report there is nothing that the connection does not know.
                if let record = times.flows.pointee.inspect(times.handles[place], now: now), record.packets > 0 { last = max(last, record.lastUsed) }
                if let record = times.flows.pointee.inspectOther(times.handles[place], now: now), record.packets > 0 { last = max(last, record.lastUsed) }
            }
            return last
        }
    }
}
