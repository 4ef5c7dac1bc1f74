// rte_fib and rte_fib6 against Routing's reference table: the same prefixes in, the same answers out.
import DPDK
import Routing
import Testing
import Wire

/// xorshift64*, seeded: the same routes in every run.
private struct Random: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state ^= state >> 12
        state ^= state << 25
        state ^= state >> 27
        return state &* 0x2545_f491_4f6c_dd1d
    }
}

extension DPDKSuite {
    /// Destinations in the byte order that lookups want.
    private func answers(_ lookup: FIBLookup, _ addresses: [IPAddress]) -> [UInt64] {
        var values = [UInt64](repeating: .max, count: addresses.count)
        if addresses[0].family == .ipv4 {
            let words = addresses.map(\.ipv4)
            words.withUnsafeBytes { lookup.function(lookup.context, $0.baseAddress!, &values, Int32(words.count)) }
        } else {
            let words = addresses.flatMap { [$0.high.bigEndian, $0.low.bigEndian] }
            words.withUnsafeBytes { lookup.function(lookup.context, $0.baseAddress!, &values, Int32(addresses.count)) }
        }
        return values
    }

    /// Prefixes that nest and neighbour each other: few distinct leading bits, every length, edges of the address space.
    private func randomAddress(_ family: AddressFamily, _ random: inout Random) -> IPAddress {
        let leading: [UInt64] = [0x0a, 0xc0, 0x20, 0x00, 0xff]
        let first = leading.randomElement(using: &random)!
        if family == .ipv4 {
            let tail = UInt32.random(in: 0 ... .max, using: &random) & [0x0003_ffff, 0xff, 0x00ff_ff00, 0x3, 0xffff_ffff].randomElement(using: &random)!
            return IPAddress(ipv4: UInt32(first) << 24 | tail & 0x00ff_ffff)
        }
        let high = UInt64.random(in: 0 ... .max, using: &random) & [0xffff, 0x0003_0000_0000_0003, 0x00ff_ff00_0000_0000, 0].randomElement(using: &random)!
        let low = UInt64.random(in: 0 ... .max, using: &random) & [0xff, 0x8000_0000_0000_0001, .max, 0].randomElement(using: &random)!
        return IPAddress(ipv6High: first << 56 | high, low: low)
    }

    private func neighbours(_ address: IPAddress) -> [IPAddress] {
        if address.family == .ipv4 { return [address, IPAddress(ipv4: address.ipv4 &+ 1), IPAddress(ipv4: address.ipv4 &- 1)] }
        let up = address.low.addingReportingOverflow(1), down = address.low.subtractingReportingOverflow(1)
        return [address, IPAddress(ipv6High: address.high &+ (up.overflow ? 1 : 0), low: up.partialValue),
                IPAddress(ipv6High: address.high &- (down.overflow ? 1 : 0), low: down.partialValue)]
    }

    private func lastAddress(_ prefix: IPPrefix) -> IPAddress {
        let address = prefix.address, length = UInt64(prefix.length)
        if address.family == .ipv4 { return IPAddress(ipv4: length == 0 ? .max : address.ipv4 | (length == 32 ? 0 : UInt32.max >> UInt32(length))) }
        let high = length >= 64 ? address.high : address.high | UInt64.max >> length
        let low = length >= 128 ? address.low : length <= 64 ? UInt64.max : address.low | UInt64.max >> (length - 64)
        return IPAddress(ipv6High: high, low: low)
    }

    @Test(arguments: [AddressFamily.ipv4, .ipv6], Array(UInt64(1) ... 6)) func agreesWithReference(_ family: AddressFamily, _ seed: UInt64) throws {
        let fib = try RTEFIBBackend(family: family, maximumRoutes: 4096)
        let reference = PrefixTrie(family: family)
        var random = Random(state: 0x9e37_79b9_7f4a_7c15 &* seed)
        var present: [IPPrefix] = []
        for round in 0 ..< 1500 {
            if !present.isEmpty, Int.random(in: 0 ..< 5, using: &random) < 2 {
                let prefix = present.remove(at: Int.random(in: 0 ..< present.count, using: &random))
                try fib.remove(prefix)
                reference.remove(prefix)
            } else {
                let length = UInt8.random(in: 0 ... UInt8(family.addressBits), using: &random)
                let prefix = IPPrefix(address: randomAddress(family, &random), length: length).network
                let value = UInt32.random(in: 1 ... (Bool.random(using: &random) ? 3 : 32767), using: &random)
                try fib.insert(prefix, value: value)
                try reference.insert(prefix, value: value)
                if !present.contains(prefix) { present.append(prefix) }
            }
            // What is absent may be removed.
            if round % 100 == 0 { try fib.remove(IPPrefix(address: family == .ipv4 ? IPAddress(ipv4: 0x0102_0304) : IPAddress(ipv6High: 1, low: 1), length: UInt8(family.addressBits))) }
            if round % 10 != 0 && round < 1490 { continue }
            var addresses: [IPAddress] = (0 ..< 50).flatMap { _ in neighbours(randomAddress(family, &random)) }
            for prefix in present.suffix(50) + present.prefix(50) { addresses += neighbours(prefix.address) + neighbours(lastAddress(prefix)) }
            let expected = answers(reference.lookup, addresses), got = answers(fib.lookup, addresses)
            if got != expected {
                let index = zip(got, expected).enumerated().first { $0.element.0 != $0.element.1 }!.offset
                Issue.record("round \(round): \(addresses[index]): rte_fib says \(got[index]), the reference \(expected[index]); prefixes \(present)")
                return
            }
        }
        for prefix in present {
            try fib.remove(prefix)
            reference.remove(prefix)
        }
        let addresses = (0 ..< 1000).map { _ in randomAddress(family, &random) }
        #expect(answers(fib.lookup, addresses).allSatisfy { $0 == FIBLookup.noRoute })
    }

    private func prefix(_ address: UInt32, _ length: UInt8) -> IPPrefix { IPPrefix(address: IPAddress(ipv4: address), length: length) }

    @Test func limitsAreErrorsAndChangeNothing() throws {
        let fib = try RTEFIBBackend(family: .ipv4, maximumRoutes: 16, maximumGroups: 2)
        #expect(throws: RoutingError.self) { try fib.insert(prefix(0x0a00_0000, 8), value: 0) }
        #expect(throws: RoutingError.self) { try fib.insert(prefix(0x0a00_0000, 8), value: 40000) }
        try fib.insert(prefix(0x0a00_0000, 8), value: 1)
        var refused: [String] = []
        for index in 0 ..< 4 as Range<UInt32> {
            do { try fib.insert(prefix(0x0a00_0000 + index << 8 + 1, 32), value: 2) } catch { refused.append(error.description) }
        }
        #expect(refused.count == 2 && refused.allSatisfy { $0.contains("no room for another prefix longer than 24 bits (2 of 2 groups in use)") })
        #expect(fib.lookup(IPAddress(ipv4: 0x0a00_0001)) == 2)
        #expect(fib.lookup(IPAddress(ipv4: 0x0a00_0301)) == 1, "the refused route left something behind")
        var routes = 0
        do {
            while routes < 1000 {
                try fib.insert(prefix(0x1400_0000 + UInt32(routes) << 16, 16), value: 3)
                routes += 1
            }
            Issue.record("16 routes were to be the limit")
        } catch { #expect("\(error)".contains("more than 16 routes") && routes == 13) }
        // What was there may change, and what leaves makes room.
        try fib.insert(prefix(0x0a00_0000, 8), value: 5)
        try fib.remove(prefix(0x0a00_0001, 32))
        try fib.insert(prefix(0x0a00_0301, 32), value: 6)
        #expect(fib.lookup(IPAddress(ipv4: 0x0a00_0001)) == 5 && fib.lookup(IPAddress(ipv4: 0x0a00_0301)) == 6)
    }

    /// DPDK 22.11 refuses every long prefix once its count of reservations has gone below zero: a host route that leaves
    /// and had the value of the route around it makes it do so.
    @Test func longPrefixesStayWelcome() throws {
        let fib = try RTEFIBBackend(family: .ipv4, maximumRoutes: 1000)
        try fib.insert(prefix(0x0a00_0000, 8), value: 1)
        for round in 0 ..< 3 as Range<UInt32> {
            try fib.insert(prefix(0x0a00_0001, 32), value: 1)
            try fib.remove(prefix(0x0a00_0001, 32))
            try fib.insert(prefix(0x0b00_0000 + round << 8 + 1, 32), value: 7 + round)
        }
        #expect((0 ..< 3).map { fib.lookup(IPAddress(ipv4: 0x0b00_0001 + UInt32($0) << 8)) } == [7, 8, 9])
        #expect(fib.lookup(IPAddress(ipv4: 0x0a00_0001)) == 1)
    }

    /// DPDK 22.11 overwrites the whole table here: the covered prefix ends where addresses wrap to 0.
    @Test func prefixesMayReachTheEndOfTheSpace() throws {
        let fib = try RTEFIBBackend(family: .ipv4, maximumRoutes: 1000)
        try fib.insert(prefix(0x0a00_0000, 8), value: 1)
        try fib.insert(prefix(0xf000_0000, 4), value: 2)
        try fib.insert(prefix(0, 0), value: 3)
        try fib.insert(prefix(0xffff_ffff, 32), value: 4)
        let addresses: [UInt32] = [0x0a01_0203, 0x0808_0808, 0xf000_0000, 0xffff_fffe, 0xffff_ffff, 0xefff_ffff]
        #expect(addresses.map { fib.lookup(IPAddress(ipv4: $0)) } == [1, 3, 2, 2, 4, 3])
        try fib.remove(prefix(0, 0))
        #expect(addresses.map { fib.lookup(IPAddress(ipv4: $0)) } == [1, 0, 2, 2, 4, 0])
    }

    @Test func manyRoutesGoToDPDK() {
        #expect(RTEFIBBackend.preferred(family: .ipv4, expectedRoutes: 3) is PrefixTrie)
        let many = RTEFIBBackend.preferred(family: .ipv6, expectedRoutes: 3000)
        #expect((many as? RTEFIBBackend)?.maximumRoutes == 6000 && many.family == .ipv6)
        #expect(RTEFIBBackend.preferred(family: .ipv4, expectedRoutes: 8_000_000) is PrefixTrie, "256 MB cannot hold that many")
    }

    @Test func fibRunsOnIt() throws {
        var fib = FIB(ipv4: try RTEFIBBackend(family: .ipv4, maximumRoutes: 1024), ipv6: try RTEFIBBackend(family: .ipv6, maximumRoutes: 1024))
        try fib.add(Route(destination: IPPrefix(address: IPAddress(ipv4: 0), length: 0), nextHops: [NextHop(port: 1, gateway: IPAddress(ipv4: 0x0a00_0202))]))
        try fib.add(Route(destination: IPPrefix(address: IPAddress(ipv6High: 0xfd00_0001_0000_0000, low: 0), length: 64), nextHops: [NextHop(port: 0)]))
        var interfaces = InterfaceTable()
        try interfaces.add(port: 0, name: "p0", mac: EthernetAddress(rawValue: 0x0200_0000_0001))
        try interfaces.add(port: 1, name: "p1", mac: EthernetAddress(rawValue: 0x0200_0000_0002))
        let outside = fib.lookup(IPAddress(ipv4: 0x0808_0808), flowHash: 0, interfaces: interfaces)
        #expect(outside.kind == .unicast && outside.port == 1 && outside.nextHop == IPAddress(ipv4: 0x0a00_0202))
        let inside = fib.lookup(IPAddress(ipv6High: 0xfd00_0001_0000_0000, low: 9), flowHash: 0, interfaces: interfaces)
        #expect(inside.kind == .unicast && inside.port == 0 && inside.isOnLink)
        #expect(fib.lookup(IPAddress(ipv6High: 0xfd00_0001_0000_0001, low: 9), flowHash: 0, interfaces: interfaces).kind == .none)
    }
}
