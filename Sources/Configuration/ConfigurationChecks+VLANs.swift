// What must hold among VLANs, and between them and the ports below them.
//
// Invariant: after the checks each VLAN stands on a port, by at most one VLAN in between, and no two interfaces would
// take the same frame.
import Wire

extension Configuration {
    /// The interface below a VLAN: a port, or a VLAN on a port. Nil if there is none of that name.
    public func lowerMTU(of vlan: VLAN) -> Int? {
        if let port = portIndex(named: vlan.port) { return ports[port].mtu }
        guard let outer = vlans.first(where: { $0.name == vlan.port }), let port = portIndex(named: outer.port) else { return nil }
        return outer.mtu == 0 ? ports[port].mtu : outer.mtu
    }

    /// Largest IP packet on the VLAN, bytes.
    public func effectiveMTU(of vlan: VLAN) -> Int { vlan.mtu == 0 ? lowerMTU(of: vlan) ?? 1500 : vlan.mtu }

    /// The VLANs with their places in `vlans`, each behind the one below it.
    public var vlansFromBelow: [(place: Int, vlan: VLAN)] {
        let all = Array(vlans.enumerated())
        let onPorts = all.filter { portIndex(named: $0.element.port) != nil }
        let onVLANs = all.filter { portIndex(named: $0.element.port) == nil }
        return (onPorts + onVLANs).map { (place: $0.offset, vlan: $0.element) }
    }

    func checkVLANs(_ positions: Positions, _ claims: inout InterfaceClaims, _ problems: inout ProblemList) {
        var places: [Place: Int] = [:]
        for (vlan, lines) in zip(vlans, positions.vlans) {
            claims.take(name: vlan.name, .vlan, lines, &problems)
            checkLower(vlan, lines, &problems)
            if vlan.id != 0, !vlan.port.isEmpty {
                let place = Place(port: vlan.port, id: vlan.id, tag: vlan.tag)
                if let first = places[place] {
                    problems.add(lines.line("id"), "vlan.id", "VLAN \(vlan.id) on \"\(vlan.port)\" is given in line \(first) as well; a frame goes to one interface")
                } else {
                    places[place] = lines.line("id")
                }
            }
            claims.take(addresses: vlan.addresses, mtu: effectiveMTU(of: vlan), .vlan, lines, &problems)
        }
    }

    private func checkLower(_ vlan: VLAN, _ lines: Positions.KeyLines, _ problems: inout ProblemList) {
        guard !vlan.port.isEmpty else { return }
        if let lower = lowerMTU(of: vlan) {
            guard vlan.mtu != 0 else { return }
            if vlan.mtu < 576 {
                problems.add(lines.line("mtu"), "vlan.mtu", "\(vlan.mtu) is not allowed; must be 0 (that of the interface below) or at least 576")
            } else if vlan.mtu > lower {
                problems.add(lines.line("mtu"), "vlan.mtu", "\(vlan.mtu) is more than the \(lower) of \"\(vlan.port)\" below; must be 0 or at most \(lower)")
            }
        } else if interfaceIndex(named: vlan.port) == nil {
            problems.add(lines.line("port"), "vlan.port", unknownPort(vlan.port, allowed: ports.map(\.name) + vlans.filter { $0.name != vlan.name && portIndex(named: $0.port) != nil }.map(\.name)))
        } else {
            problems.add(lines.line("port"), "vlan.port", "\"\(vlan.port)\" is a VLAN on a VLAN already; a frame carries two tags at most")
        }
    }

    private struct Place: Hashable {
        var port: String
        var id: Int
        var tag: VLANTag
    }
}
