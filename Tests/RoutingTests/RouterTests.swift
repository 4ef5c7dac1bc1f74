import Testing
import Wire

@testable import Routing

/// The kernel-diff topology: r0 10.0.1.1/24 fd00:1::1/64, r1 10.0.2.1/24 fd00:2::1/64, default routes by r1.
func testRouter() throws -> Router {
    var router = Router(interfaces: InterfaceTable(capacity: 4), fib: FIB(), neighbours: NeighbourTable(capacity: 64, waitingCapacity: 256))
    try router.interfaces.add(port: 0, name: "r0", mac: mac(0xa0))
    try router.interfaces.add(port: 1, name: "r1", mac: mac(0xb1))
    try router.addAddress(prefix("10.0.1.1/24"), port: 0)
    try router.addAddress(prefix("10.0.2.1/24"), port: 1)
    try router.addAddress(prefix("fd00:1::1/64"), port: 0)
    try router.addAddress(prefix("fd00:2::1/64"), port: 1)
    try router.addRoute(Route(destination: prefix("0.0.0.0/0"), nextHops: [NextHop(port: Router.anyPort, gateway: ip("10.0.2.2"))]))
    try router.addRoute(Route(destination: prefix("::/0"), nextHops: [NextHop(port: 1, gateway: ip("fd00:2::2"))]))
    return router
}

@Suite struct RouterTests {
    @Test(arguments: [
        ("10.0.1.1", RouteKind.local, 0, "10.0.1.1"), ("10.0.2.1", .local, 1, "10.0.2.1"), ("10.0.1.255", .broadcast, 0, "10.0.1.255"), ("255.255.255.255", .broadcast, 0, "255.255.255.255"),
        ("10.0.1.0", .unicast, 0, "10.0.1.0"), ("10.0.1.2", .unicast, 0, "10.0.1.2"), ("10.0.2.9", .unicast, 1, "10.0.2.9"), ("192.168.9.9", .unicast, 1, "10.0.2.2"),
        ("224.0.0.1", .multicast, 0, "224.0.0.1"), ("127.0.0.1", .local, 0, "127.0.0.1"), ("fd00:1::1", .local, 0, "fd00:1::1"), ("fd00:1::", .local, 0, "fd00:1::"),
        ("fd00:1::2", .unicast, 0, "fd00:1::2"), ("2001:db8::1", .unicast, 1, "fd00:2::2"), ("ff02::1", .multicast, 0, "ff02::1"),
    ])
    func routes(destination: String, kind: RouteKind, port: PortIndex, nextHop: String) throws {
        var router = try testRouter()
        let result = router.route(to: ip(destination), ingress: 0)
        #expect(result.kind == kind && result.port == port && result.nextHop == ip(nextHop))
    }

    @Test func linkLocalNeedsALinkLocalAddress() throws {
        var router = try testRouter()
        #expect(router.route(to: ip("fe80::9"), ingress: 0).kind == .none, "the default route goes by another port")
        #expect(router.route(to: ip("fe80::9"), ingress: 1).nextHop == ip("fd00:2::2"))
        try router.addAddress(prefix("fe80::1/64"), port: 0)
        let result = router.route(to: ip("fe80::9"), ingress: 0)
        #expect(result.kind == .unicast && result.port == 0 && result.nextHop == ip("fe80::9"))
    }

    /// As Linux 6.18 with rp_filter=0: measured with packets from r0 to 10.0.2.2.
    @Test(arguments: [
        ("10.0.1.2", "10.0.2.2", DropReason.none), ("10.0.1.255", "10.0.2.2", .none), ("10.0.1.1", "10.0.2.2", .martianSource), ("10.0.2.1", "10.0.2.2", .martianSource),
        ("240.0.0.1", "10.0.2.2", .none), ("127.0.0.1", "10.0.2.2", .martianSource), ("224.0.0.1", "10.0.2.2", .martianSource), ("255.255.255.255", "10.0.2.2", .martianSource),
        ("0.0.0.0", "10.0.2.2", .martianSource), ("0.0.0.0", "255.255.255.255", .none), ("10.0.1.2", "0.1.2.3", .none), ("0.1.2.3", "10.0.2.2", .none), ("10.0.1.2", "0.0.0.0", .martianDestination), ("10.0.1.2", "127.0.0.1", .martianDestination),
        ("fd00:1::1", "fd00:2::2", .none),
    ])
    func ingress(source: String, destination: String, reason: DropReason) throws {
        var router = try testRouter()
        let result = router.checkIngress(source: ip(source), destination: ip(destination))
        #expect(result == reason)
    }

    @Test func addressesComeAndGo() throws {
        var router = try testRouter()
        try router.addAddress(prefix("10.0.1.5/24"), port: 0)
        try router.removeAddress(ip("10.0.1.1"), port: 0)
        var result = router.route(to: ip("10.0.1.9"), ingress: 1)
        // The secondary address has become the first.
        #expect(result.kind == .unicast && result.preferredSource == ip("10.0.1.5"))
        try router.removeAddress(ip("10.0.1.5"), port: 0)
        result = router.route(to: ip("10.0.1.9"), ingress: 1)
        #expect(result.nextHop == ip("10.0.2.2"))
        result = router.route(to: ip("10.0.1.255"), ingress: 1)
        #expect(result.kind == .unicast)
        for bad in ["224.0.0.1/24", "0.0.0.0/8", "255.255.255.255/32", "10.0.2.1/24"] {
            var refused = false
            do { try router.addAddress(prefix(bad), port: 1) } catch { refused = true }
            #expect(refused, "\(bad)")
        }
    }

    @Test func routesNeedReachableGateways() throws {
        var router = try testRouter()
        for route in [
            Route(destination: prefix("172.16.0.0/12"), nextHops: [NextHop(port: Router.anyPort, gateway: ip("192.168.0.1"))]),
            Route(destination: prefix("172.16.0.0/12"), nextHops: [NextHop(port: 9)]),
            Route(destination: prefix("172.16.0.0/12"), nextHops: [NextHop(port: 0, gateway: ip("10.0.1.1"))]),
            Route(destination: prefix("172.16.0.0/12"), nextHops: [NextHop(port: Router.anyPort)]),
        ] {
            var refused = false
            do { try router.addRoute(route) } catch { refused = true }
            #expect(refused)
        }
    }

    @Test func multicastGroups() throws {
        let router = try testRouter()
        for (group, member) in [("224.0.0.1", true), ("224.0.0.5", false), ("ff02::1", true), ("ff02::2", true), ("ff02::1:ff00:1", true), ("ff02::1:ff00:0", true), ("ff02::1:ff00:2", false), ("ff02::5", false)] {
            let result = router.interfaces.isMember(of: ip(group), port: 0)
            #expect(result == member, "\(group)")
        }
    }

    // MARK: - Source addresses

    @Test func sourcesOfErrors() throws {
        var router = try testRouter()
        let back = router.route(to: ip("10.0.1.2"), ingress: 0)
        var source = router.errorSource(aboutPacketTo: ip("192.168.1.1"), routeBack: back, to: ip("10.0.1.2"))
        #expect(source == ip("10.0.1.1"))
        // About a packet to one of our addresses: from that very address.
        source = router.errorSource(aboutPacketTo: ip("10.0.2.1"), routeBack: back, to: ip("10.0.1.2"))
        #expect(source == ip("10.0.2.1"))
        // By a gateway: the address in the gateway's subnet.
        let far = router.route(to: ip("192.168.1.1"), ingress: 0)
        source = router.errorSource(aboutPacketTo: ip("10.0.1.9"), routeBack: far, to: ip("192.168.1.1"))
        #expect(source == ip("10.0.2.1"))
        let back6 = router.route(to: ip("fd00:1::2"), ingress: 0)
        source = router.errorSource(aboutPacketTo: ip("2001:db8::1"), routeBack: back6, to: ip("fd00:1::2"), ingress: 0)
        #expect(source == ip("fd00:1::1"))
    }

    @Test func ipv4SourceIsNearTheGateway() throws {
        var router = try testRouter()
        try router.addAddress(prefix("172.16.0.1/24"), port: 0)
        try router.addAddress(prefix("172.16.0.2/24"), port: 0)
        try router.addRoute(Route(destination: prefix("8.0.0.0/8"), nextHops: [NextHop(port: 0, gateway: ip("172.16.0.9"))]))
        let route = router.route(to: ip("8.8.8.8"), ingress: 1)
        let source = router.sourceAddress(for: route, to: ip("8.8.8.8"))
        #expect(source == ip("172.16.0.1"))
        let solicitation = router.solicitationSource(port: 0, target: ip("172.16.0.9"))
        #expect(solicitation == ip("172.16.0.1"))
    }

    /// RFC 6724 section 10.2, as far as it concerns one port.
    @Test func ipv6SourceSelection() throws {
        var router = try testRouter()
        try router.addAddress(prefix("fe80::1/64"), port: 0)
        try router.addAddress(prefix("2001:db8:1::1/64"), port: 0)
        for (destination, expected) in [("2001:db8:2::9", "2001:db8:1::1"), ("fd00:1::9", "fd00:1::1"), ("fe80::9", "fe80::1"), ("ff02::1", "fe80::1"), ("2001:db8:1::1", "2001:db8:1::1")] {
            var route = RouteResult()
            route.port = 0
            let source = router.sourceAddress(for: route, to: ip(destination))
            #expect(source == ip(expected), "\(destination)")
        }
        let solicitation = router.solicitationSource(port: 0, target: ip("fd00:1::9"))
        #expect(solicitation == ip("fe80::1"))
        let elsewhere = router.solicitationSource(port: 1, target: ip("fd00:2::9"))
        #expect(elsewhere == ip("fd00:2::1"))
    }

    @Test func flowHashSpreads() {
        var counts = [Int](repeating: 0, count: 16)
        for index in 0..<16000 { counts[Int(Router.flowHash(IPAddress(ipv4: 0x0a00_0000 + UInt32(index)), ip("10.0.2.2"), seed: 5) >> 28)] += 1 }
        #expect(counts.allSatisfy { (800...1200).contains($0) })
    }

    // MARK: - IPv4 options

    /// Each as Linux 6.18 took it (from 10.0.1.2 to 10.0.2.2): what left, or where the parameter problem pointed.
    @Test(arguments: [
        ("0707040000000000", "0707080a00020100", nil), ("0707080000000000", "0707080000000000", nil), ("0707ff0000000000", "0707ff0000000000", nil), ("0708050000000000", "070809000a000201", nil),
        ("0703040000000000", "0703040000000000", nil), ("0707050000000000", nil, 22), ("0705040000000000", nil, 22), ("0707030000000000", nil, 22), ("07020000", nil, 21), ("0703040703040000", nil, 23),
        ("82000000", nil, 20), ("82010000", nil, 20), ("82090000", nil, 20), ("1e040000", "1e040000", nil), ("9e040000", "9e040000", nil), ("01010182", nil, 23), ("00556677", "00000000", nil),
        ("440c05000000000000000000", "440c0900000003e800000000", nil), ("4408090000000000", "4408091000000000", nil), ("440809f000000000", nil, 23),
        ("440c05010000000000000000", "440c0d010a000101000003e8", nil), ("440c05030a00020100000000", "440c0d030a000201000003e8", nil), ("440c05030a00024d00000000", "440c05030a00024d00000000", nil),
        ("440c05020000000000000000", "440c05020000000000000000", nil), ("440c04000000000000000000", nil, 22), ("44030500", nil, 21), ("440a09000000000000000000", nil, 22), ("440a05010000000000000000", nil, 22),
        ("4404050044040500", nil, 24), ("94040001", "94040001", nil), ("94030000", nil, 21), ("9408000000000000", "9408000000000000", nil), ("820b00000000000000000000", "820b00000000000000000000", nil),
        ("8606000000010000", nil, 21), ("88040001", "88040001", nil), ("8303048303040000", nil, 23), ("8307030000000000", nil, 22), ("83020000", nil, 21),
        ("07070400000000" + "4408050000000000" + "00", "0707080a000201" + "44080900000003e8" + "00", nil),
    ] as [(String, String?, UInt8?)])
    func options(before: String, after: String?, pointer: UInt8?) throws {
        let router = try testRouter()
        let options = stride(from: 0, to: before.count, by: 2).map { UInt8(before.dropFirst($0).prefix(2), radix: 16)! }
        var frame: [UInt8] = [UInt8](repeating: 0, count: 12) + [8, 0, 0x40 | UInt8(5 + options.count / 4), 0, 0, UInt8(20 + options.count), 0, 7, 0, 0, 9, 255, 0, 0, 10, 0, 1, 2, 10, 0, 2, 2] + options
        try frame.withUnsafeMutableBytes { bytes in
            Checksum.fillIPv4Header(bytes.baseAddress! + 14, length: 20 + options.count)
            let packet = PacketBuffer(start: bytes.baseAddress!, length: bytes.count)
            var parsed = ParsedPacket()
            try #require(PacketParser.parse(packet, into: &parsed) == .none)
            var state = IPv4OptionState()
            var error: ICMPError?
            let reason = router.receiveOptions(packet, parsed, localAddress: ip("10.0.1.1"), millisecondsOfDay: 1000, state: &state, error: &error)
            if let after {
                #expect(reason == .none && error == nil)
                router.forwardOptions(packet, parsed, state: state, outgoingAddress: ip("10.0.2.1"))
                let text = bytes[34...].map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
                #expect(text == after)
                #expect(Checksum.verifyIPv4Header(bytes.baseAddress! + 14, length: 20 + options.count))
            } else {
                #expect(reason == .ipv4BadOption && error?.type == 12 && error?.information == UInt32(pointer!) << 24)
            }
        }
    }

    @Test func sourceRoutesAreRefusedSilently() throws {
        let router = try testRouter()
        var frame: [UInt8] = [UInt8](repeating: 0, count: 12) + [8, 0, 0x47, 0, 0, 28, 0, 7, 0, 0, 9, 255, 0, 0, 10, 0, 1, 2, 10, 0, 2, 2, 0x83, 7, 4, 10, 0, 2, 2, 0]
        try frame.withUnsafeMutableBytes { bytes in
            Checksum.fillIPv4Header(bytes.baseAddress! + 14, length: 28)
            let packet = PacketBuffer(start: bytes.baseAddress!, length: bytes.count)
            var parsed = ParsedPacket()
            try #require(PacketParser.parse(packet, into: &parsed) == .none)
            var state = IPv4OptionState()
            var error: ICMPError?
            let reason = router.receiveOptions(packet, parsed, localAddress: ip("10.0.1.1"), millisecondsOfDay: 0, state: &state, error: &error)
            #expect(reason == .ipv4BadOption && error == nil)
        }
    }

    /// Random option bytes: nothing traps, nothing beyond the header changes, the checksum comes out right.
    @Test func randomOptions() throws {
        let router = try testRouter()
        var random = SplitMix64(seed: 13)
        let types: [UInt8] = [0, 1, 7, 68, 130, 131, 134, 137, 148, 30]
        for _ in 0..<20000 {
            let words = Int.random(in: 1...10, using: &random)
            var frame: [UInt8] = [UInt8](repeating: 0, count: 12) + [8, 0, 0x45 + UInt8(words), 0, 0, UInt8(24 + words * 4), 0, 7, 0, 0, 9, 255, 0, 0, 10, 0, 1, 2, 10, 0, 2, 2]
            for _ in 0..<words * 4 { frame.append(Bool.random(using: &random) ? types.randomElement(using: &random)! : UInt8.random(in: 0...12, using: &random)) }
            frame += [1, 2, 3, 4]
            try frame.withUnsafeMutableBytes { bytes in
                Checksum.fillIPv4Header(bytes.baseAddress! + 14, length: 20 + words * 4)
                let packet = PacketBuffer(start: bytes.baseAddress!, length: bytes.count)
                var parsed = ParsedPacket()
                try #require(PacketParser.parse(packet, into: &parsed) == .none)
                var state = IPv4OptionState()
                var error: ICMPError?
                if router.receiveOptions(packet, parsed, localAddress: ip("10.0.1.1"), millisecondsOfDay: 5, state: &state, error: &error) == .none {
                    router.forwardOptions(packet, parsed, state: state, outgoingAddress: ip("10.0.2.1"))
                    #expect(Checksum.verifyIPv4Header(bytes.baseAddress! + 14, length: 20 + words * 4))
                }
                #expect(Array(bytes.suffix(4)) == [1, 2, 3, 4])
            }
        }
    }

    @Test func anotherConfigurationKeepsWhatIsKnownOfTheNetwork() throws {
        var router = try testRouter()
        router.interfaces.setMTU(1300, port: 1)
        router.interfaces.setUp(false, port: 0)
        try router.neighbours.addPermanent(ip("10.0.1.7"), port: 0, mac: mac(7), now: 0)
        var other = try testRouter()
        try other.removeAddress(ip("10.0.1.1"), port: 0)
        try other.addAddress(prefix("10.9.0.1/16"), port: 1)
        try other.addRoute(Route(destination: prefix("192.0.2.0/24"), nextHops: [NextHop(port: 1, gateway: ip("10.9.0.2"))]))
        router.exchange(&other)
        #expect(router.route(to: ip("192.0.2.1"), ingress: 1).nextHop == ip("10.9.0.2"))
        #expect(router.route(to: ip("10.0.1.9"), ingress: 1).port == 1, "the old network went with its address")
        let own = [router.interfaces.isOwn(ip("10.9.0.1")), router.interfaces.isOwn(ip("10.0.1.1")), other.interfaces.isOwn(ip("10.0.1.1"))]
        #expect(own == [true, false, true], "the old tables are the caller's")
        let (mtu, isUp, state) = (router.interfaces[1].mtu, router.interfaces[0].isUp, router.neighbours.state(of: ip("10.0.1.7"), port: 0))
        #expect(mtu == 1300 && !isUp && state == .permanent)
    }
}
