// What is allowed and yet seldom meant.

extension Configuration {
    /// Sentences for `needletail check`.
    public var warnings: [String] {
        var warnings: [String] = []
        if ruleset.file == nil { warnings.append("no [ruleset] file: every packet that has a route is forwarded") }
        for port in ports where port.addresses.isEmpty {
            warnings.append("port \"\(port.name)\" has no address: it answers no ARP and no neighbour solicitation")
        }
        for vlan in vlans where vlan.addresses.isEmpty && !vlans.contains(where: { $0.port == vlan.name }) {
            warnings.append("VLAN \"\(vlan.name)\" has no address: it answers no ARP and no neighbour solicitation")
        }
        if flowCache.mode != .off, flowCache.entries < 2 * conntrack.max {
            warnings.append("flow-cache.entries (\(flowCache.entries)) is less than twice conntrack.max (\(conntrack.max)): at full load some connections stay on the slow path")
        }
        for neighbour in routing.neighbours {
            let addresses = ports.first { $0.name == neighbour.port }?.addresses ?? vlans.first { $0.name == neighbour.port }?.addresses
            guard let addresses, !addresses.contains(where: { $0.holds(neighbour.address) }) else { continue }
            warnings.append("neighbour \(neighbour.address) is outside the networks of port \"\(neighbour.port)\": only a route with port = \"\(neighbour.port)\" reaches it")
        }
        return warnings
    }
}
