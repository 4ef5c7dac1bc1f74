// A slow path on two ports r0 and r1 with the hosts that Tests/Fixtures/kernel speaks of, driven frame by frame.
import Conntrack
import FlowCache
import Policy
import Routing
import Ruleset
import Wire

@testable import SlowPath

/// A VLAN for the harness, with a /24 of its own.
struct VLAN {
    var name: String
    var below: PortIndex
    var id: UInt16
    var tag = EtherType.vlan
    var network: UInt32
    var mtu: UInt32 = 1500
}

struct SlowPathHarness: ~Copyable {
    var path: SlowPath
    var now: Timestamp = 1_000_000_000
    /// Time from one frame to the next.
    var interval: Timestamp = 40_000_000
    private let cacheMemory: UnsafeMutableRawPointer
    private let buffer = UnsafeMutableRawPointer.allocate(byteCount: 16384, alignment: 64)

    static let macs: [UInt64] = [0x0200_0000_0a01, 0x0200_0000_0b01]

    /// - Parameter vlans: further interfaces behind r0 and r1, in this order; host 2 of each network is known.
    ///   - hasPolicy: with the tables and rules of `addPolicy`.
    ///   - offload: which flows are offered to a NIC.
    init(ruleset: RulesetValue = RulesetValue(), cachesFlows: Bool = true, vlans: [VLAN] = [], hasPolicy: Bool = false, offload: OffloadThreshold? = nil) {
        let layout = FlowCacheConfiguration(ipv4Capacity: 1024, ipv6Capacity: 1024, seed: 1)
        cacheMemory = .allocate(byteCount: FlowCache.memoryRequired(layout), alignment: 128)
        var tracking = TrackerConfiguration()
        tracking.maximumConnections = 1024
        var settings = SlowPathSettings()
        settings.cachesFlows = cachesFlows
        settings.icmpErrorsPerSecond = 0
        settings.offload = offload
        path = SlowPath(
            settings: settings, tracker: ConnectionTracker(configuration: tracking, seed: 1), flows: FlowCache(memory: cacheMemory, configuration: layout),
            ruleset: CompiledRuleset(ruleset, interfaces: (["r0", "r1"] + vlans.map(\.name)).enumerated().map { Interface(name: $1, index: UInt32($0 + 2)) }, seed: 1),
            router: Self.router(vlans, hasPolicy: hasPolicy), reassembler: Reassembler())
    }

    deinit {
        cacheMemory.deallocate()
        buffer.deallocate()
    }

    /// 10.0.1.0/24 and fd00:1::/64 behind r0, 10.0.2.0/24 and fd00:2::/64 behind r1; hosts 2 and 3 of each are known; the
    /// default routes go to host 2 behind r1.
    private static func router(_ vlans: [VLAN], hasPolicy: Bool) -> Router {
        var router = Router()
        do {
            for port in 0 ..< 2 {
                let index = PortIndex(port), net4 = UInt32(0x0a00_0100 + port << 8), net6 = UInt64(0xfd00_0001_0000_0000 + UInt64(port) << 32)
                try router.interfaces.add(port: index, name: "r\(port)", mac: EthernetAddress(rawValue: macs[port]))
                try router.addAddress(IPPrefix(address: IPAddress(ipv4: net4 | 1), length: 24), port: index)
                try router.addAddress(IPPrefix(address: IPAddress(ipv6High: net6, low: 1), length: 64), port: index)
                for host in UInt64(2) ... 3 {
                    let mac = EthernetAddress(rawValue: macs[port] & ~0xff | host)
                    try router.neighbours.addPermanent(IPAddress(ipv4: net4 | UInt32(host)), port: index, mac: mac, now: 0)
                    try router.neighbours.addPermanent(IPAddress(ipv6High: net6, low: host), port: index, mac: mac, now: 0)
                }
            }
            try router.addRoute(Route(destination: IPPrefix(address: IPAddress(ipv4: 0), length: 0), nextHops: [NextHop(port: 1, gateway: IPAddress(ipv4: 0x0a00_0202))]))
            try router.addRoute(Route(destination: IPPrefix(address: IPAddress(ipv6High: 0, low: 0), length: 0),
                                      nextHops: [NextHop(port: 1, gateway: IPAddress(ipv6High: 0xfd00_0002_0000_0000, low: 2))]))
            for (place, vlan) in vlans.enumerated() {
                let index = PortIndex(2 + place)
                try router.interfaces.add(vlan: index, name: vlan.name, on: vlan.below, id: vlan.id, tag: vlan.tag, mtu: vlan.mtu)
                try router.addAddress(IPPrefix(address: IPAddress(ipv4: vlan.network | 1), length: 24), port: index)
                let mac = EthernetAddress(rawValue: router.interfaces[index].mac.rawValue & ~0xff | 2)
                try router.neighbours.addPermanent(IPAddress(ipv4: vlan.network | 2), port: index, mac: mac, now: 0)
            }
            if hasPolicy { try addPolicy(&router) }
        } catch { preconditionFailure("\(error)") }
        return router
    }

    /// What Linux had when Tests/Fixtures/kernel/policy-routing.txt was recorded: `ip rule` and `ip route`, line by line.
    private static func addPolicy(_ router: inout Router) throws {
        let routes: [(table: UInt32, to: String, kind: RouteKind, via: String, mtu: UInt32, source: String)] = [
            (100, "0.0.0.0/0", .unicast, "10.0.2.3", 0, ""), (101, "0.0.0.0/0", .unicast, "10.0.2.3", 0, ""), (102, "0.0.0.0/0", .unicast, "10.0.1.3", 0, ""),
            (103, "10.9.0.0/16", .unicast, "10.0.2.3", 0, ""), (103, "0.0.0.0/0", .unicast, "10.0.1.3", 0, ""), (100, "10.8.0.0/16", .throw, "", 0, ""),
            (100, "10.7.0.0/16", .prohibit, "", 0, ""), (254, "10.6.0.0/16", .unreachable, "", 0, ""), (254, "10.5.0.0/16", .blackhole, "", 0, ""),
            (254, "10.4.0.0/16", .prohibit, "", 0, ""), (254, "10.3.0.0/16", .unicast, "10.0.2.3", 1000, ""), (254, "10.2.0.0/16", .unicast, "10.0.2.3", 0, "10.0.1.1"),
            (100, "::/0", .unicast, "fd00:2::3", 0, ""), (101, "::/0", .unicast, "fd00:2::3", 0, ""), (100, "2001:db8:8::/48", .throw, "", 0, ""),
            (100, "2001:db8:7::/48", .prohibit, "", 0, ""), (254, "2001:db8:6::/48", .unreachable, "", 0, ""), (254, "2001:db8:5::/48", .blackhole, "", 0, ""),
            (254, "2001:db8:4::/48", .prohibit, "", 0, ""), (254, "2001:db8:3::/48", .unicast, "fd00:2::3", 1300, ""),
        ]
        for table in [100, 101, 102, 103] as [UInt32] { try router.tables.add(table, FIB(groupCapacity: 64)) }
        for route in routes {
            guard let to = IPPrefix(route.to) else { preconditionFailure(route.to) }
            let hops = IPAddress(route.via).map { [NextHop(port: Router.anyPort, gateway: $0)] } ?? []
            try router.addRoute(Route(destination: to, kind: route.kind, nextHops: hops, mtu: route.mtu, preferredSource: IPAddress(route.source)), table: route.table)
        }
        func add(_ priority: UInt32, _ families: [Wire.AddressFamily], _ action: RoutingAction, _ select: (inout RoutingRule) -> Void) throws {
            for family in families {
                var rule = RoutingRule(priority: priority, family: family, action: action)
                select(&rule)
                try router.tables.addRule(rule)
            }
        }
        func mark(_ mark: UInt32, _ mask: UInt32 = .max) -> (inout RoutingRule) -> Void {
            { rule in
                rule.mark = mark
                rule.mask = mask
            }
        }
        try add(100, [.ipv4, .ipv6], .table(100), mark(1))
        try add(101, [.ipv4], .table(101), mark(2, 15))
        try add(102, [.ipv4, .ipv6], .prohibit, mark(3))
        try add(103, [.ipv4, .ipv6], .unreachable, mark(4))
        try add(104, [.ipv4, .ipv6], .blackhole, mark(5))
        try add(105, [.ipv4], .table(101)) { $0.source = IPPrefix("10.0.1.3/32") }
        try add(105, [.ipv6], .table(101)) { $0.source = IPPrefix("fd00:1::3/128") }
        try add(106, [.ipv4], .table(102)) { rule in
            rule.destination = IPPrefix("203.0.113.0/24")
            rule.ingress = 1
        }
        try add(107, [.ipv4], .table(103)) { rule in
            mark(6)(&rule)
            rule.suppressedLength = 8
        }
        try add(108, [.ipv4], .table(101)) { rule in
            rule.transportProtocol = IPProtocol.tcp
            rule.destinationPorts = 443 ... 443
        }
        try add(109, [.ipv4], .table(102)) { rule in
            mark(0, 0x100)(&rule)
            rule.isInverted = true
        }
        try add(110, [.ipv4], .table(102)) { rule in
            rule.ingress = Router.anyPort
            rule.destination = IPPrefix("198.19.0.0/16")
        }
    }

    /// One frame in; everything that comes out, `interval` later in the slow path's time than the one before.
    mutating func send(_ frame: [UInt8], port: Int) -> [(port: Int, frame: [UInt8])] {
        now += interval
        let start = buffer + 256
        frame.withUnsafeBytes { if let base = $0.baseAddress { start.copyMemory(from: base, byteCount: $0.count) } }
        let outcome = path.process(PacketBuffer(start: start, length: frame.count, headroom: 256, tailroom: 4096), ingress: PortIndex(port), now: now)
        var sent = said
        if outcome.sendsInPlace { sent.append((Int(outcome.port), [UInt8](UnsafeRawBufferPointer(start: path.inPlace.start, count: path.inPlace.length)))) }
        if outcome.publishes { path.commitPublication(now: now) }
        disposition = outcome.disposition
        return sent
    }

    /// What happens by the clock; everything that comes out.
    mutating func timers() -> [(port: Int, frame: [UInt8])] {
        path.runTimers(now: now)
        return said
    }

    /// What the router made itself.
    private var said: [(port: Int, frame: [UInt8])] {
        (0 ..< path.outbox.count).map { index in
            let packet = path.outbox[index]
            return (Int(packet.port), [UInt8](UnsafeRawBufferPointer(start: packet.start, count: packet.length)))
        }
    }

    /// How the last frame ended.
    var disposition = Disposition.delivered
}
