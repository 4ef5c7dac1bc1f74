// What must agree among routes, next hops, rules and ports.
//
// Invariant: as in ConfigurationChecks, a check adds a problem and goes on.
import Wire

extension Configuration {
    private struct RouteKey: Hashable {
        var to: IPPrefix
        var metric: Int
        var table: Int
    }

    mutating func checkRoutes(_ positions: Positions, _ problems: inout ProblemList) {
        var seen: [RouteKey: Int] = [:]
        for index in routing.routes.indices where index < positions.routes.count {
            let route = routing.routes[index]
            let lines = positions.routes[index]
            guard lines.keys["to"] != nil else { continue }
            let key = RouteKey(to: route.to, metric: route.metric, table: route.table)
            if let first = seen[key] {
                let place = route.table == 254 ? "" : " in table \(route.table)"
                problems.add(lines.line("to"), "routing.route.to", "there is a route to \(route.to) with metric \(route.metric)\(place) in line \(first) already; give one of them another metric")
            } else {
                seen[key] = lines.line("to")
            }
            if route.table == 255 {
                problems.add(lines.line("table"), "routing.route.table", "255 is the table of own addresses, which holds no other routes; 254 is main")
            }
            if let source = route.source, !isOwn(source) {
                problems.add(lines.line("source"), "routing.route.source", "\(source) is no port's address; must be one of the router's own")
            }
            guard route.kind == .unicast else {
                let key = route.via != nil ? "via" : route.port != nil ? "port" : "next-hop"
                if route.via != nil || route.port != nil || !route.nextHops.isEmpty {
                    problems.add(lines.line(key), "routing.route.\(key)", "a \(route.kind.rawValue) route goes nowhere; leave via, port and next hops out")
                }
                continue
            }
            if route.nextHops.isEmpty {
                var hop = NextHop()
                hop.via = route.via
                hop.port = route.port
                checkNextHop(&hop, route.to, "routing.route", lines, &problems)
                routing.routes[index].port = hop.port
            } else {
                if route.via != nil || route.port != nil {
                    let key = route.via != nil ? "via" : "port"
                    problems.add(lines.line(key), "routing.route.\(key)", "stands beside [[routing.route.next-hop]]; write it as another next hop")
                }
                if route.nextHops.count > 16 {
                    problems.add(lines.table, "routing.route.next-hop", "there are \(route.nextHops.count) next hops; a route has at most 16")
                }
                for (place, inner) in zip(route.nextHops.indices, lines.inner) {
                    var hop = route.nextHops[place]
                    checkNextHop(&hop, route.to, "routing.route.next-hop", inner, &problems)
                    routing.routes[index].nextHops[place] = hop
                }
            }
        }
    }

    /// Checks one next hop and fills in its port.
    private func checkNextHop(_ hop: inout NextHop, _ destination: IPPrefix, _ key: String, _ lines: Positions.KeyLines, _ problems: inout ProblemList) {
        if let name = hop.port, interfaceIndex(named: name) == nil { problems.add(lines.line("port"), "\(key).port", unknownPort(name)) }
        guard let via = hop.via else {
            if hop.port == nil, lines.keys["via"] == nil {
                problems.add(lines.table, key, "has neither via nor port; a route needs a next hop (via), a port, or kind = \"blackhole\", \"unreachable\" or \"prohibit\"")
            }
            return
        }
        guard via.family == destination.address.family else {
            return problems.add(lines.line("via"), "\(key).via", "\(via) is not of the family of \(destination); an IPv4 route needs an IPv4 next hop, an IPv6 route an IPv6 one")
        }
        if hop.port == nil {
            if let owner = interfaceName(onNetworkOf: via) {
                hop.port = owner
            } else if lines.keys["via"] != nil, !problems.problems.contains(where: { $0.key.hasPrefix("port.") || $0.key.hasPrefix("vlan.") }) {
                problems.add(lines.line("via"), "\(key).via", "\(via) is on no port's network; must be inside one of the ports' addresses, or say which port with port = \"NAME\"")
            }
        }
        if isOwn(via) {
            problems.add(lines.line("via"), "\(key).via", "\(via) is the router's own address; must be another router's")
        }
    }

    func checkRules(_ positions: Positions, _ problems: inout ProblemList) {
        for (rule, lines) in zip(routing.rules, positions.rules) {
            if let name = rule.inputPort, name != "lo", interfaceIndex(named: name) == nil {
                problems.add(lines.line("input-port"), "routing.rule.input-port", unknownPort(name) + ", or \"lo\" for the router's own packets")
            }
            if let from = rule.from, let to = rule.to, from.address.family != to.address.family {
                problems.add(lines.line("to"), "routing.rule.to", "\(to) is not of the family of \(from)")
            }
            if let prefix = rule.from ?? rule.to, let family = rule.family, (family == .ipv4) != (prefix.address.family == .ipv4) {
                problems.add(lines.line("family"), "routing.rule.family", "\"\(family.rawValue)\" is not the family of \(prefix); leave it out")
            }
            if rule.mark == nil, lines.keys["mask"] != nil { problems.add(lines.line("mask"), "routing.rule.mask", "masks nothing without mark; must stand beside it") }
            for (key, list) in [("source-ports", rule.sourcePorts), ("destination-ports", rule.destinationPorts)] {
                if list.count > 2 || (list.count == 2 && list[0] > list[1]) {
                    problems.add(lines.line(key), "routing.rule.\(key)", "must be one port, or the first and the last of a range")
                }
            }
            if rule.suppressPrefixLength != nil, rule.table == nil {
                problems.add(lines.line("suppress-prefix-length"), "routing.rule.suppress-prefix-length", "speaks of routes, and the rule looks into no table; give it one with table = NUMBER")
            }
            switch (rule.table, rule.action) {
            case (nil, nil): problems.add(lines.table, "routing.rule", "has neither table nor action; a rule looks into a table (254 is main), or ends with action = \"blackhole\", \"unreachable\" or \"prohibit\"")
            case (.some, .some): problems.add(lines.line("action"), "routing.rule.action", "stands beside table; a rule does one of both")
            case (.some(let table), nil):
                if table == 255 { problems.add(lines.line("table"), "routing.rule.table", "255, the table of own addresses, is asked before every rule; leave the rule out") }
                else if table != 254, !routing.routes.contains(where: { $0.table == table }) {
                    problems.add(lines.line("table"), "routing.rule.table", "table \(table) has no route; write one with [[routing.route]] and table = \(table)")
                }
            case (nil, .some): break
            }
        }
        let tables = Set(routing.routes.map(\.table))
        if tables.count > 256, let last = positions.routes.last { problems.add(last.table, "routing.route.table", "there are \(tables.count) tables; there can be 256 at most") }
        if routing.rules.count > 512, let last = positions.rules.last { problems.add(last.table, "routing.rule", "there are \(routing.rules.count) rules; there can be 512 at most") }
    }
}
