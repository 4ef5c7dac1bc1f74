// From the configuration's addresses, routes, rules and neighbours to the tables that packets are routed by.
import Configuration
import DPDK
import Routing
import Wire

extension Assembly {
    static func router(_ configuration: Configuration, _ ports: [AssembledPort]) throws -> Router {
        var timers = NeighbourTimers()
        timers.reachable = UInt64(configuration.neighbours.reachable) * 1_000_000_000
        timers.multicastSolicitations = UInt8(clamping: configuration.neighbours.solicitations)
        var router = Router(
            interfaces: InterfaceTable(capacity: max(256, ports.count + configuration.vlans.count + configuration.sessions.count)), fib: fib(configuration, table: Int(RouteTables.main)),
            neighbours: NeighbourTable(capacity: configuration.neighbours.max, queueLength: configuration.neighbours.pending, timers: timers))
        do {
            for (place, port) in ports.enumerated() {
                let index = PortIndex(place)
                try router.interfaces.add(port: index, name: port.configuration.name, mac: port.address, mtu: UInt32(port.configuration.mtu))
                for address in port.configuration.addresses { try router.addAddress(address, port: index) }
            }
            for (place, vlan) in configuration.vlansFromBelow {
                guard let below = configuration.interfaceIndex(named: vlan.port) else { continue }
                let index = PortIndex(ports.count + place)
                try router.interfaces.add(vlan: index, name: vlan.name, on: PortIndex(below), id: UInt16(vlan.id),
                                          tag: vlan.tag == .dot1ad ? EtherType.qinq : EtherType.vlan, mtu: UInt32(configuration.effectiveMTU(of: vlan)))
                for address in vlan.addresses { try router.addAddress(address, port: index) }
            }
            for (place, session) in configuration.sessions.enumerated() {
                guard let below = configuration.interfaceIndex(named: session.port) else { continue }
                let index = PortIndex(ports.count + configuration.vlans.count + place)
                try router.interfaces.add(pppoe: index, name: session.name, on: PortIndex(below), session: UInt16(session.session), peer: session.peer,
                                          mtu: UInt32(configuration.effectiveMTU(of: session)))
                for address in session.addresses { try router.addAddress(address, port: index) }
            }
            for name in configuration.nat.fullCone {
                if let index = configuration.interfaceIndex(named: name) { router.interfaces.setConeNAT(port: PortIndex(index)) }
            }
            for number in Set(configuration.routing.routes.map(\.table)).sorted() where number != RouteTables.main {
                try router.tables.add(UInt32(number), fib(configuration, table: number))
            }
            for route in configuration.routing.routes { try router.addRoute(Route(route, configuration), table: UInt32(route.table)) }
            for rule in configuration.routing.rules {
                for family in rule.families { try router.tables.addRule(RoutingRule(rule, family, configuration)) }
            }
            for neighbour in configuration.routing.neighbours {
                guard let port = configuration.interfaceIndex(named: neighbour.port) else { continue }
                try router.neighbours.addPermanent(neighbour.address, port: PortIndex(port), mac: neighbour.mac, now: 0)
            }
        } catch { throw InputError("\(configuration.file): \(error)") }
        return router
    }

    /// An empty table with backends for as many routes as it will get.
    private static func fib(_ configuration: Configuration, table: Int) -> FIB {
        let routes = configuration.routing.routes.filter { $0.table == table }
        let ipv4 = RTEFIBBackend.preferred(family: .ipv4, expectedRoutes: routes.count { $0.to.address.family == .ipv4 })
        let ipv6 = RTEFIBBackend.preferred(family: .ipv6, expectedRoutes: routes.count { $0.to.address.family == .ipv6 })
        return FIB(ipv4: ipv4, ipv6: ipv6, groupCapacity: table == Int(RouteTables.main) ? 4096 : max(64, min(4096, routes.count + 1)))
    }
}

extension Route {
    init(_ route: Configuration.Route, _ configuration: Configuration) {
        func port(_ name: String?) -> PortIndex { name.flatMap { configuration.interfaceIndex(named: $0) }.map { PortIndex($0) } ?? Router.anyPort }
        var hops = route.nextHops.map { NextHop(port: port($0.port), gateway: $0.via, weight: UInt16($0.weight)) }
        if route.kind == .unicast, hops.isEmpty { hops = [NextHop(port: port(route.port), gateway: route.via)] }
        self.init(
            destination: route.to, kind: RouteKind(route.kind), nextHops: hops, mtu: UInt32(route.mtu), preferredSource: route.source, metric: UInt32(route.metric))
    }
}

extension RoutingRule {
    init(_ rule: Configuration.Rule, _ family: AddressFamily, _ configuration: Configuration) {
        let action: RoutingAction = switch rule.action {
        case .blackhole: .blackhole
        case .unreachable: .unreachable
        case .prohibit: .prohibit
        case nil: .table(UInt32(rule.table ?? Int(RouteTables.main)))
        }
        self.init(priority: UInt32(rule.priority), family: family, action: action)
        source = rule.from
        destination = rule.to
        mark = UInt32(rule.mark ?? 0)
        mask = rule.mark == nil ? 0 : UInt32(rule.mask)
        ingress = rule.inputPort.map { name in configuration.interfaceIndex(named: name).map { PortIndex($0) } ?? Router.anyPort }
        transportProtocol = rule.transportProtocol.map { UInt8($0) }
        sourcePorts = Self.range(rule.sourcePorts)
        destinationPorts = Self.range(rule.destinationPorts)
        isInverted = rule.not
        suppressedLength = Int16(rule.suppressPrefixLength ?? -1)
    }

    private static func range(_ ports: [Int]) -> ClosedRange<UInt16>? {
        guard let first = ports.first, let last = ports.last else { return nil }
        return UInt16(first) ... UInt16(last)
    }
}

extension RouteKind {
    init(_ kind: Configuration.RouteKind) {
        switch kind {
        case .unicast: self = .unicast
        case .blackhole: self = .blackhole
        case .unreachable: self = .unreachable
        case .prohibit: self = .prohibit
        case .throw: self = .throw
        }
    }
}
