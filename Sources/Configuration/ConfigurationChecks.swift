// What no single value can tell: names that must exist, values that must agree with each other.
//
// Invariant: a check adds a problem and goes on; it never relies on an earlier check having passed.
import Wire

extension Configuration {
    mutating func check(_ positions: Positions, fileExists: (String) -> Bool, _ problems: inout ProblemList) {
        checkCores(positions, &problems)
        var claims = InterfaceClaims()
        checkPorts(positions, &claims, &problems)
        checkVLANs(positions, &claims, &problems)
        checkSessions(positions, &claims, &problems)
        checkRoutes(positions, &problems)
        checkRules(positions, &problems)
        checkNeighbours(positions, &problems)
        if let file = ruleset.file, !fileExists(file) {
            problems.add(positions.line("ruleset.file"), "ruleset.file", "\"\(file)\" cannot be read; must be the path of an nftables file, relative paths start at the configuration's directory")
        }
        for name in nat.fullCone where interfaceIndex(named: name) == nil {
            problems.add(positions.line("nat.full-cone"), "nat.full-cone", unknownPort(name))
        }
        if control.socket.utf8.count > 107, positions.keys["control.socket"] != nil {
            problems.add(positions.line("control.socket"), "control.socket", "\"\(control.socket)\" is \(control.socket.utf8.count) bytes long; a Unix socket's path has at most 107")
        }
    }

    private func checkCores(_ positions: Positions, _ problems: inout ProblemList) {
        let key = "eal.worker-cores"
        let line = positions.keys[key] ?? positions.line("eal")
        // A list that was given and came out empty, because its elements were wrong, has been reported.
        if eal.workerCores.isEmpty, !problems.problems.contains(where: { $0.key == key }) {
            problems.add(line, key, "is empty; must name at least one CPU")
        }
        guard !eal.shareCores else { return }
        let intent = "give each job its own CPU, or set share-cores = true if they are to take turns"
        for (index, cpu) in eal.workerCores.enumerated() {
            if eal.workerCores[..<index].contains(cpu) { problems.add(line, key, "CPU \(cpu) is listed twice; \(intent)") }
            let other = cpu == eal.mainCore ? "main-core" : cpu == eal.slowPathCore ? "slow-path-core" : nil
            if let other { problems.add(line, key, "CPU \(cpu) is the \(other) as well; \(intent) (main-core and slow-path-core may always be the same)") }
        }
    }

    private func checkPorts(_ positions: Positions, _ claims: inout InterfaceClaims, _ problems: inout ProblemList) {
        if ports.isEmpty, !problems.problems.contains(where: { $0.key.hasPrefix("port") }) {
            problems.add(1, "port", "missing; at least one [[port]] with name and device is needed")
        }
        var devices: [String: Int] = [:]
        for (port, lines) in zip(ports, positions.ports) {
            claims.take(name: port.name, .port, lines, &problems)
            let device = String(port.device.prefix { $0 != "," }).lowercased()
            if !device.isEmpty {
                if let first = devices[device] {
                    problems.add(lines.line("device"), "port.device", "\"\(device)\" is the device in line \(first) as well; each port needs a device of its own")
                } else {
                    devices[device] = lines.line("device")
                }
            }
            claims.take(addresses: port.addresses, mtu: port.mtu, .port, lines, &problems)
        }
    }

    private func checkNeighbours(_ positions: Positions, _ problems: inout ProblemList) {
        var seen: [NeighbourKey: Int] = [:]
        for (neighbour, lines) in zip(routing.neighbours, positions.neighbours) {
            guard !neighbour.port.isEmpty else { continue }
            if interfaceIndex(named: neighbour.port) == nil { problems.add(lines.line("port"), "routing.neighbour.port", unknownPort(neighbour.port)) }
            guard lines.keys["address"] != nil else { continue }
            if neighbour.address.isMulticast { problems.add(lines.line("address"), "routing.neighbour.address", "\(neighbour.address) is a group address; must be one host's") }
            let key = NeighbourKey(port: neighbour.port, address: neighbour.address)
            if let first = seen[key] {
                problems.add(lines.line("address"), "routing.neighbour.address", "\(neighbour.address) on port \"\(neighbour.port)\" is given in line \(first) already; each neighbour has one MAC")
            } else {
                seen[key] = lines.line("address")
            }
        }
    }

    func isOwn(_ address: IPAddress) -> Bool {
        ports.contains { $0.addresses.contains { $0.address == address } } || vlans.contains { $0.addresses.contains { $0.address == address } }
            || sessions.contains { $0.addresses.contains { $0.address == address } }
    }

    /// The first interface whose network holds the address.
    func interfaceName(onNetworkOf address: IPAddress) -> String? {
        ports.first { $0.addresses.contains { $0.holds(address) } }?.name ?? vlans.first { $0.addresses.contains { $0.holds(address) } }?.name
            ?? sessions.first { $0.addresses.contains { $0.holds(address) } }?.name
    }

    /// - Parameter allowed: the names that could stand there; those of all interfaces if nil.
    func unknownPort(_ name: String, allowed: [String]? = nil) -> String {
        let names = (allowed ?? interfaceNames).filter { !$0.isEmpty }
        return "there is no port \"\(name)\"\(didYouMean(name, names)); must be \(names.isEmpty ? "the name of a [[port]]" : quotedList(names))"
    }

    private struct NeighbourKey: Hashable {
        var port: String
        var address: IPAddress
    }
}
