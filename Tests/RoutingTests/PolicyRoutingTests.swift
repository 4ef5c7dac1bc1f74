// Rules and tables: which rule answers, what a table without a route means, and how flows spread over next hops.
import Testing
import Wire

@testable import Routing

@Suite struct PolicyRoutingTests {
    /// `testRouter` with tables 100 (default by 10.0.2.3), 101 (10.9.0.0/16 and default by 10.0.1.3) and 102 (nothing but throws).
    private func router(_ rules: [RoutingRule]) throws -> Router {
        var router = try testRouter()
        for table in [100, 101, 102] as [UInt32] { try router.tables.add(table, FIB(groupCapacity: 64)) }
        for (table, destination, gateway) in [(100, "0.0.0.0/0", "10.0.2.3"), (101, "10.9.0.0/16", "10.0.1.3"), (101, "0.0.0.0/0", "10.0.1.3")] as [(UInt32, String, String)] {
            try router.addRoute(Route(destination: prefix(destination), nextHops: [NextHop(port: Router.anyPort, gateway: ip(gateway))]), table: table)
        }
        try router.addRoute(Route(destination: prefix("0.0.0.0/0"), kind: .throw), table: 102)
        for rule in rules { try router.tables.addRule(rule) }
        return router
    }

    private static func rule(_ priority: UInt32, _ action: RoutingAction, _ change: (inout RoutingRule) -> Void = { _ in }) -> RoutingRule {
        var rule = RoutingRule(priority: priority, family: .ipv4, action: action)
        change(&rule)
        return rule
    }

    struct Case: CustomTestStringConvertible, Sendable {
        var name: String
        var rules: [RoutingRule]
        var kind = RouteKind.unicast
        var nextHop = "8.8.8.8"
        var testDescription: String { name }
    }

    /// One query, 10.0.1.2:1000 to 8.8.8.8:53 by UDP with mark 0x12 from port 0, under one list of rules each.
    @Test(arguments: [
        Case(name: "no rule", rules: [], nextHop: "10.0.2.2"),
        Case(name: "mark", rules: [rule(5, .table(100)) { $0.mark = 0x12; $0.mask = .max }], nextHop: "10.0.2.3"),
        Case(name: "another mark", rules: [rule(5, .table(100)) { $0.mark = 2; $0.mask = .max }], nextHop: "10.0.2.2"),
        Case(name: "masked mark", rules: [rule(5, .table(100)) { $0.mark = 2; $0.mask = 15 }], nextHop: "10.0.2.3"),
        Case(name: "inverted", rules: [rule(5, .table(100)) { $0.mark = 2; $0.mask = .max; $0.isInverted = true }], nextHop: "10.0.2.3"),
        Case(name: "source", rules: [rule(5, .table(100)) { $0.source = prefix("10.0.1.0/24") }], nextHop: "10.0.2.3"),
        Case(name: "destination", rules: [rule(5, .table(100)) { $0.destination = prefix("9.0.0.0/8") }], nextHop: "10.0.2.2"),
        Case(name: "ingress", rules: [rule(5, .table(100)) { $0.ingress = 0 }], nextHop: "10.0.2.3"),
        Case(name: "own packets only", rules: [rule(5, .table(100)) { $0.ingress = Router.anyPort }], nextHop: "10.0.2.2"),
        Case(name: "ports", rules: [rule(5, .table(100)) { $0.transportProtocol = 17; $0.sourcePorts = 1000...2000; $0.destinationPorts = 53...53 }], nextHop: "10.0.2.3"),
        Case(name: "other ports", rules: [rule(5, .table(100)) { $0.destinationPorts = 54...60 }], nextHop: "10.0.2.2"),
        Case(name: "other family", rules: [RoutingRule(priority: 5, family: .ipv6, action: .prohibit)], nextHop: "10.0.2.2"),
        Case(name: "lower first", rules: [rule(7, .table(101)), rule(5, .table(100))], nextHop: "10.0.2.3"),
        Case(name: "earlier first", rules: [rule(5, .table(101)), rule(5, .table(100))], nextHop: "10.0.1.3"),
        Case(name: "throw goes on", rules: [rule(5, .table(102)), rule(6, .table(100))], nextHop: "10.0.2.3"),
        Case(name: "suppressed", rules: [rule(5, .table(101)) { $0.suppressedLength = 0 }, rule(6, .table(100))], nextHop: "10.0.2.3"),
        Case(name: "main by number", rules: [rule(5, .table(RouteTables.main)), rule(6, .prohibit)], nextHop: "10.0.2.2"),
        Case(name: "blackhole", rules: [rule(5, .blackhole)], kind: .blackhole), Case(name: "prohibit", rules: [rule(5, .prohibit)], kind: .prohibit),
        Case(name: "unreachable", rules: [rule(5, .unreachable)], kind: .none),
    ])
    func selects(_ expected: Case) throws {
        var router = try router(expected.rules)
        var query = RouteQuery(to: ip("8.8.8.8"), link: 0)
        query.source = ip("10.0.1.2")
        query.ingress = 0
        query.mark = 0x12
        query.transportProtocol = 17
        query.sourcePort = 1000
        query.destinationPort = 53
        let result = router.route(query)
        #expect(result.kind == expected.kind && result.nextHop == ip(expected.nextHop))
    }

    @Test func ownAddressesComeFirst() throws {
        var router = try router([Self.rule(1, .prohibit)])
        let own = router.route(to: ip("10.0.1.1"), ingress: 0), other = router.route(to: ip("10.0.1.2"), ingress: 0)
        #expect(own.kind == .local && other.kind == .prohibit)
    }

    @Test func unknownTablesAreRefused() throws {
        var router = try router([])
        var refused = 0
        do { try router.tables.addRule(Self.rule(1, .table(77))) } catch { refused += 1 }
        do { try router.tables.add(100, FIB()) } catch { refused += 1 }
        do { try router.tables.add(RouteTables.main, FIB()) } catch { refused += 1 }
        do { try router.addRoute(Route(destination: prefix("0.0.0.0/0"), kind: .blackhole), table: 77) } catch { refused += 1 }
        #expect(refused == 4)
    }

    @Test func bothDirectionsHashAlike() {
        var counts = [Int](repeating: 0, count: 4)
        for index in 0 ..< 4096 as Range<UInt32> {
            let a = IPAddress(ipv4: 0x0a00_0100 + index), b = IPAddress(ipv4: 0xc000_0200 + (index &* 7))
            let hash = Router.flowHash(a, b, ports: UInt64(index), seed: 9)
            #expect(hash == Router.flowHash(b, a, ports: UInt64(index), seed: 9))
            counts[Int(hash >> 30)] += 1
        }
        // A fair share each: 1024, standard deviation 28.
        for count in counts { #expect((880 ... 1170).contains(count)) }
    }
}
