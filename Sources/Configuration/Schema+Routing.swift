// The keys of routes and of the rules that choose among tables.
import Wire

extension Schema where Section == Configuration.Routing {
    static var routing: Schema {
        Schema(
            settings: [.choice("source", \.source), .choice("multipath-hash", \.multipathHash)],
            subtables: [
                .array("route", \.routes, .route, positions: \.routes) { Configuration.Route() },
                .array("rule", \.rules, .rule, positions: \.rules) { Configuration.Rule() },
                .array("neighbour", \.neighbours, .neighbour, positions: \.neighbours) { Configuration.Neighbour() },
            ])
    }
}

extension Schema where Section == Configuration.Route {
    static var route: Schema {
        Schema(
            settings: [
                .network("to", \.to),
                .choice("kind", \.kind),
                .integer("table", \.table, tableNumbers, note: " other than 255, which is Linux's table of own addresses; 254 is main"),
                .address("via", optional: \.via),
                .text("port", optional: \.port, allowed: "the name of a port") { !$0.isEmpty },
                .integer("metric", \.metric, 0...Int(UInt32.max)),
                .integer("mtu", \.mtu, 0...9600),
                .address("source", optional: \.source),
            ],
            subtables: [.array("next-hop", \.nextHops, .nextHop, positions: \.nextHops) { Configuration.NextHop() }])
    }
}

private let tableNumbers = 1...Int(UInt32.max)

extension Schema where Section == Configuration.NextHop {
    static var nextHop: Schema {
        Schema(settings: [
            .address("via", optional: \.via),
            .text("port", optional: \.port, allowed: "the name of a port") { !$0.isEmpty },
            .integer("weight", \.weight, 1...256),
        ])
    }
}

extension Schema where Section == Configuration.Rule {
    static var rule: Schema {
        Schema(settings: [
            .integer("priority", \.priority, required: true, 1...32_765, note: " (main is asked at 32766)"),
            .choice("family", optional: \.family),
            .network("from", optional: \.from),
            .network("to", optional: \.to),
            .integer("mark", optional: \.mark, 0...Int(UInt32.max)),
            .integer("mask", \.mask, 1...Int(UInt32.max)),
            .text("input-port", optional: \.inputPort, allowed: "the name of a port, or \"lo\" for the router's own packets") { !$0.isEmpty },
            .integer("protocol", optional: \.transportProtocol, 1...255, note: " (6 is TCP, 17 is UDP)"),
            .list("source-ports", \.sourcePorts, allowed: "one port, or the first and the last of a range") { portNumber($0) } write: { "\($0)" },
            .list("destination-ports", \.destinationPorts, allowed: "one port, or the first and the last of a range") { portNumber($0) } write: { "\($0)" },
            .boolean("not", \.not),
            .integer("table", optional: \.table, tableNumbers),
            .choice("action", optional: \.action),
            .integer("suppress-prefix-length", optional: \.suppressPrefixLength, 0...128),
        ])
    }

    private static func portNumber(_ value: TOMLNode.Value) -> Int? {
        guard case .integer(let number) = value, (1...65_535).contains(number) else { return nil }
        return number
    }
}
