// Which worker a translated connection's answers should reach, and what is known of the port that they will come in by.
//
// Invariant: with `settings.portSteering` nil, as with one worker, connection tracking is asked for nothing. An interface whose frames the NIC
// may hash otherwise than by address and port (two tags, a PPPoE session) counts as unknown, like a port that says nothing.
import Conntrack
import Policy
import Routing
import Wire

extension SlowPath {
    /// Tells how a port spreads what it receives; the memory is the slow path's from here on.
    public mutating func setSpread(_ spread: ReceiveSpread, port: PortIndex) {
        guard Int(port) < spreadCapacity else { return spread.deallocate() }
        spreads[Int(port)].deallocate()
        spreads[Int(port)] = spread
    }

    /// A direction was published: is the other one the same worker's?
    mutating func noteDirections(_ place: Int) {
        guard let mine = flows.pointee.owner(of: handles[place]), let others = flows.pointee.owner(of: handles[place ^ 1]) else { return }
        if mine == others { statistics.directionsTogether &+= 1 } else { statistics.directionsApart &+= 1 }
    }

    /// For a packet of others that is about to leave by an interface; nil where it makes no difference.
    @inline(__always)
    func steering(egress: PortIndex) -> SteeringTarget? {
        guard let reach = settings.portSteering else { return nil }
        let leaving = router.interfaces[egress]
        let isPlain = leaving.pppoeSession == 0 && leaving.vlan.count < 2 && Int(leaving.lower) < spreadCapacity
        return SteeringTarget(spread: isPlain ? spreads[Int(leaving.lower)] : .unknown, worker: worker, reach: reach)
    }
}
