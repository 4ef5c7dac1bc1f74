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

    func checkVLANs(_ positions: Positions, _ problems: inout ProblemList) {
        var names: [String: Int] = [:]
        var addresses: [IPAddress: Int] = [:]
        for (port, lines) in zip(ports, positions.ports) {
            if names[port.name] == nil { names[port.name] = lines.line("name") }
            for (index, prefix) in port.addresses.enumerated() where addresses[prefix.address] == nil { addresses[prefix.address] = lines.line("addresses[\(index)]") }
        }
        var places: [Place: Int] = [:]
        for (vlan, lines) in zip(vlans, positions.vlans) {
            if !vlan.name.isEmpty {
                if let first = names[vlan.name] {
                    problems.add(lines.line("name"), "vlan.name", "\"\(vlan.name)\" is the name of the interface in line \(first) as well; each interface needs a name of its own")
                } else {
                    names[vlan.name] = lines.line("name")
                }
            }
            checkLower(vlan, lines, &problems)
            if vlan.id != 0, !vlan.port.isEmpty {
                let place = Place(port: vlan.port, id: vlan.id, tag: vlan.tag)
                if let first = places[place] {
                    problems.add(lines.line("id"), "vlan.id", "VLAN \(vlan.id) on \"\(vlan.port)\" is given in line \(first) as well; a frame goes to one interface")
                } else {
                    places[place] = lines.line("id")
                }
            }
            for (index, prefix) in vlan.addresses.enumerated() {
                let line = lines.line("addresses[\(index)]")
                if let first = addresses[prefix.address] {
                    problems.add(line, "vlan.addresses", "\(prefix.address) is given in line \(first) as well; each address belongs to one interface")
                } else {
                    addresses[prefix.address] = line
                }
                if prefix.address.family == .ipv6, effectiveMTU(of: vlan) < 1280 {
                    problems.add(line, "vlan.addresses", "\(prefix) is an IPv6 address, and the VLAN's mtu is \(effectiveMTU(of: vlan)); IPv6 needs at least 1280")
                }
            }
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
            problems.add(lines.line("port"), "vlan.port", unknownPort(vlan.port))
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
