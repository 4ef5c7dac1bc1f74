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
    private let cacheMemory: UnsafeMutableRawPointer
    private let buffer = UnsafeMutableRawPointer.allocate(byteCount: 16384, alignment: 64)

    static let macs: [UInt64] = [0x0200_0000_0a01, 0x0200_0000_0b01]

    /// - Parameter vlans: further interfaces behind r0 and r1, in this order; host 2 of each network is known.
    init(ruleset: RulesetValue = RulesetValue(), cachesFlows: Bool = true, vlans: [VLAN] = []) {
        let layout = FlowCacheConfiguration(ipv4Capacity: 1024, ipv6Capacity: 1024, seed: 1)
        cacheMemory = .allocate(byteCount: FlowCache.memoryRequired(layout), alignment: 128)
        var tracking = TrackerConfiguration()
        tracking.maximumConnections = 1024
        var settings = SlowPathSettings()
        settings.cachesFlows = cachesFlows
        settings.icmpErrorsPerSecond = 0
        path = SlowPath(
            settings: settings, tracker: ConnectionTracker(configuration: tracking, seed: 1), flows: FlowCache(memory: cacheMemory, configuration: layout),
            ruleset: CompiledRuleset(ruleset, interfaces: (["r0", "r1"] + vlans.map(\.name)).enumerated().map { Interface(name: $1, index: UInt32($0 + 1)) }, seed: 1),
            router: Self.router(vlans), reassembler: Reassembler())
    }

    deinit {
        cacheMemory.deallocate()
        buffer.deallocate()
    }

    /// 10.0.1.0/24 and fd00:1::/64 behind r0, 10.0.2.0/24 and fd00:2::/64 behind r1; hosts 2 and 3 of each are known; the
    /// default routes go to host 2 behind r1.
    private static func router(_ vlans: [VLAN]) -> Router {
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
        } catch { preconditionFailure("\(error)") }
        return router
    }

    /// One frame in; everything that comes out, 40 ms later in the slow path's time than the one before.
    mutating func send(_ frame: [UInt8], port: Int) -> [(port: Int, frame: [UInt8])] {
        now += 40_000_000
        let start = buffer + 256
        frame.withUnsafeBytes { if let base = $0.baseAddress { start.copyMemory(from: base, byteCount: $0.count) } }
        let outcome = path.process(PacketBuffer(start: start, length: frame.count, headroom: 256, tailroom: 4096), ingress: PortIndex(port), now: now)
        var sent: [(port: Int, frame: [UInt8])] = []
        for index in 0 ..< path.outbox.count {
            let packet = path.outbox[index]
            sent.append((Int(packet.port), [UInt8](UnsafeRawBufferPointer(start: packet.start, count: packet.length))))
        }
        if outcome.sendsInPlace { sent.append((Int(outcome.port), [UInt8](UnsafeRawBufferPointer(start: path.inPlace.start, count: path.inPlace.length)))) }
        if outcome.publishes { path.commitPublication(now: now) }
        disposition = outcome.disposition
        return sent
    }

    /// How the last frame ended.
    var disposition = Disposition.delivered
}
