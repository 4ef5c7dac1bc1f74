import Routing
import Testing
import Wire

/// SplitMix64: deterministic randomness for property tests.
struct SplitMix64: RandomNumberGenerator {
    var state: UInt64
    init(seed: UInt64) { state = seed }
    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}

func ip(_ text: String) -> IPAddress { IPAddress(text)! }
func prefix(_ text: String) -> IPPrefix { IPPrefix(text)! }
func mac(_ last: UInt64) -> EthernetAddress { EthernetAddress(rawValue: 0x0200_0000_0000 | last) }

/// A random address that is near others, so that prefixes overlap.
func randomAddress(_ family: AddressFamily, _ random: inout SplitMix64) -> IPAddress {
    let sparse = random.next() & random.next() & random.next()
    return family == .ipv4 ? IPAddress(ipv4: UInt32(truncatingIfNeeded: sparse)) : IPAddress(ipv6High: sparse, low: random.next() & random.next() & random.next())
}

@Suite struct PrefixTrieTests {
    /// The trie against a linear search, while prefixes come and go. Any other backend can be put in its place.
    @Test(arguments: [AddressFamily.ipv4, .ipv6])
    func equalsLinearSearch(family: AddressFamily) throws {
        var random = SplitMix64(seed: 11)
        let backend: any FIBBackend = PrefixTrie(family: family)
        var table: [IPPrefix: UInt32] = [:]
        for round in 1...3000 {
            let some = IPPrefix(address: randomAddress(family, &random), length: UInt8.random(in: 0...UInt8(family.addressBits), using: &random)).network
            if Int.random(in: 0..<3, using: &random) == 0, let victim = table.keys.randomElement(using: &random) {
                try backend.remove(victim)
                table[victim] = nil
            } else {
                try backend.insert(some, value: UInt32(round))
                table[some] = UInt32(round)
            }
            guard round % 20 == 0 else { continue }
            let lookup = backend.lookup
            for probe in 0..<20 {
                let address = probe % 2 == 0 ? randomAddress(family, &random) : table.keys.randomElement(using: &random)?.address ?? randomAddress(family, &random)
                let expected = table.filter { $0.key.contains(address) }.max { $0.key.length < $1.key.length }?.value ?? 0
                #expect(lookup(address) == UInt64(expected), "\(address) in round \(round)")
            }
        }
    }

    @Test func bulk() throws {
        let trie = PrefixTrie(family: .ipv4)
        try trie.insert(prefix("10.0.0.0/8"), value: 1)
        try trie.insert(prefix("10.1.0.0/16"), value: 2)
        var destinations: [UInt32] = [0x0a00_0001, 0x0a01_0001, 0x0b00_0001]
        var values = [UInt64](repeating: 9, count: 3)
        let lookup = trie.lookup
        lookup.function(lookup.context, &destinations, &values, 3)
        #expect(values == [1, 2, 0])
    }

    @Test func refusesBeyondItsNodes() throws {
        let trie = PrefixTrie(family: .ipv4, maximumNodes: 50)
        try trie.insert(prefix("10.0.0.1/32"), value: 1)
        #expect(throws: RoutingError.self) { try trie.insert(prefix("192.0.0.1/32"), value: 2) }
        #expect(trie.lookup(ip("192.0.0.1")) == 0 && trie.lookup(ip("10.0.0.1")) == 1)
        trie.remove(prefix("10.0.0.1/32"))
        try trie.insert(prefix("10.0.0.1/32"), value: 3)
        #expect(trie.lookup(ip("10.0.0.1")) == 3)
    }
}

@Suite struct FIBTests {
    /// Two ports that are up, one that is down.
    func interfaces() throws -> InterfaceTable {
        var table = InterfaceTable(capacity: 4)
        try table.add(port: 0, name: "r0", mac: mac(1))
        try table.add(port: 1, name: "r1", mac: mac(2), mtu: 1400)
        try table.add(port: 2, name: "r2", mac: mac(3), isUp: false)
        return table
    }

    @Test func longestPrefixAndKinds() throws {
        let ports = try interfaces()
        var fib = FIB()
        try fib.add(Route(destination: prefix("0.0.0.0/0"), nextHops: [NextHop(port: 0, gateway: ip("10.0.0.1"))]))
        try fib.add(Route(destination: prefix("10.1.0.0/16"), nextHops: [NextHop(port: 1)], mtu: 1300, preferredSource: ip("10.1.0.1")))
        try fib.add(Route(destination: prefix("10.1.2.0/24"), kind: .blackhole))
        try fib.add(Route(destination: prefix("10.1.3.0/24"), kind: .prohibit))
        try fib.add(Route(destination: prefix("10.1.4.0/24"), kind: .unreachable))
        let viaGateway = fib.lookup(ip("8.8.8.8"), flowHash: 0, interfaces: ports)
        #expect(viaGateway.kind == .unicast && viaGateway.port == 0 && viaGateway.nextHop == ip("10.0.0.1") && !viaGateway.isOnLink && viaGateway.mtu == 1500 && viaGateway.prefixLength == 0)
        let onLink = fib.lookup(ip("10.1.1.1"), flowHash: 0, interfaces: ports)
        #expect(onLink.port == 1 && onLink.nextHop == ip("10.1.1.1") && onLink.isOnLink && onLink.mtu == 1300 && onLink.preferredSource == ip("10.1.0.1"))
        for (address, kind) in [("10.1.2.1", RouteKind.blackhole), ("10.1.3.1", .prohibit), ("10.1.4.1", .unreachable)] {
            let kindFound = fib.lookup(ip(address), flowHash: 0, interfaces: ports).kind
            #expect(kindFound == kind)
        }
        let none = fib.lookup(ip("2001:db8::1"), flowHash: 0, interfaces: ports).kind
        #expect(none == .none)
    }

    @Test func metricsAndRemoval() throws {
        let ports = try interfaces()
        var fib = FIB()
        let to = prefix("10.0.0.0/8")
        try fib.add(Route(destination: to, nextHops: [NextHop(port: 1)], metric: 20))
        try fib.add(Route(destination: to, nextHops: [NextHop(port: 0)], metric: 10))
        let generation = fib.generation
        var port = fib.lookup(ip("10.0.0.1"), flowHash: 0, interfaces: ports).port
        #expect(port == 0)
        try fib.remove(to, metric: 10)
        port = fib.lookup(ip("10.0.0.1"), flowHash: 0, interfaces: ports).port
        let changed = fib.generation
        #expect(port == 1 && changed != generation)
        try fib.remove(to)
        let kind = fib.lookup(ip("10.0.0.1"), flowHash: 0, interfaces: ports).kind
        #expect(kind == .none)
        var refused = false
        do { try fib.remove(to) } catch { refused = true }
        #expect(refused)
    }

    @Test func multipathKeepsWeightsAndSkipsDeadPorts() throws {
        let ports = try interfaces()
        var fib = FIB()
        try fib.add(Route(destination: prefix("0.0.0.0/0"), nextHops: [NextHop(port: 0, gateway: ip("10.0.0.1"), weight: 1), NextHop(port: 1, gateway: ip("10.0.1.1"), weight: 3), NextHop(port: 2, gateway: ip("10.0.2.1"), weight: 9)]))
        var counts = [0, 0, 0]
        var random = SplitMix64(seed: 12)
        for _ in 0..<4000 {
            let hash = UInt32(truncatingIfNeeded: random.next())
            let a = fib.lookup(ip("8.8.8.8"), flowHash: hash, interfaces: ports), b = fib.lookup(ip("8.8.8.8"), flowHash: hash, interfaces: ports)
            #expect(a.port == b.port)
            counts[Int(a.port)] += 1
        }
        #expect(counts[2] == 0 && (850...1150).contains(counts[0]))
        let extremes = [fib.lookup(ip("8.8.8.8"), flowHash: 0, interfaces: ports).port, fib.lookup(ip("8.8.8.8"), flowHash: .max, interfaces: ports).port]
        #expect(extremes == [0, 1])
    }

    @Test func allPortsDownIsNoRoute() throws {
        let ports = try interfaces()
        var fib = FIB()
        try fib.add(Route(destination: prefix("0.0.0.0/0"), nextHops: [NextHop(port: 2)]))
        let kind = fib.lookup(ip("8.8.8.8"), flowHash: 7, interfaces: ports).kind
        #expect(kind == .none)
    }

    @Test(arguments: [
        (Route(destination: prefix("10.0.0.1/8"), nextHops: [NextHop(port: 0)]), "did you mean 10.0.0.0/8?"),
        (Route(destination: prefix("10.0.0.0/8")), "needs a port or a gateway"),
        (Route(destination: prefix("10.0.0.0/8"), nextHops: [NextHop(port: 0, gateway: ip("fd00::1"))]), "of the other family"),
        (Route(destination: prefix("10.0.0.0/8"), nextHops: [NextHop(port: 0, weight: 0)]), "weight 0"),
        (Route(destination: prefix("10.0.0.0/8"), nextHops: [NextHop(port: 0, gateway: ip("224.0.0.1"))]), "cannot be a gateway"),
        (Route(destination: prefix("10.0.0.0/8"), nextHops: Array(repeating: NextHop(port: 0), count: 17)), "more than 16 next hops"),
        (Route(destination: prefix("10.0.0.0/8"), nextHops: [NextHop(port: 0)], preferredSource: ip("::1")), "of the other family"),
    ])
    func refused(route: Route, message: String) {
        var fib = FIB()
        var text = ""
        do { try fib.add(route) } catch { text = error.description }
        #expect(text.contains(message), "\(text)")
    }

    /// Groups are shared and freed: a full table takes routes again after some went.
    @Test func groupsAreBounded() throws {
        var fib = FIB(groupCapacity: 4)
        func route(_ index: UInt32, via last: UInt32) -> Route {
            Route(destination: IPPrefix(address: IPAddress(ipv4: index << 8), length: 24), nextHops: [NextHop(port: 0, gateway: IPAddress(ipv4: 0x0a00_0000 | last))])
        }
        for index in 1...100 { try fib.add(route(UInt32(index), via: UInt32(index % 3 + 1))) }
        var refused = false
        do { try fib.add(route(200, via: 9)) } catch { refused = true }
        #expect(refused)
        for index in 1...100 where index % 3 == 0 { try fib.remove(route(UInt32(index), via: 1).destination) }
        try fib.add(route(200, via: 9))
        let count = fib.routes.count
        #expect(count == 68)
    }
}
