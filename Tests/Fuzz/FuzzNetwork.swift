// The router under test: two ports, VLANs on them (also one in another), PPPoE sessions on a port and on a VLAN; each with a network
// of its own, whose second and third hosts are known neighbours and whose fourth has to be asked for.
import Policy
import Routing
import Wire

struct FuzzInterface {
    var name: String
    /// The port that its frames use.
    var port: Int
    /// The VLAN tags of its frames, outermost first.
    var tags: [UInt32] = []
    /// The PPPoE session; 0 if it is none.
    var session: UInt16 = 0
    /// The third byte of its IPv4 network 10.0.N.0/24, the second word of its IPv6 network fd00:N::/64.
    var network: UInt32

    /// The router's own, in the port's network.
    var mac: UInt64 { port == 0 ? 0x0200_0000_0a01 : 0x0200_0000_0b01 }
    var ipv4: UInt32 { 0x0a00_0001 | network << 8 }
    var ipv6: (high: UInt64, low: UInt64) { (0xfd00_0000_0000_0000 | UInt64(network) << 32, 1) }
    /// Of every other station on its link.
    var peer: UInt64 { 0x0200_0000_0002 | UInt64(port) << 8 }
}

enum FuzzNetwork {
    static let interfaces = [
        FuzzInterface(name: "r0", port: 0, network: 1), FuzzInterface(name: "r1", port: 1, network: 2),
        FuzzInterface(name: "r1.30", port: 1, tags: [0x8100_001e], network: 3), FuzzInterface(name: "r0.40", port: 0, tags: [0x88a8_0028], network: 4),
        FuzzInterface(name: "r0.40.5", port: 0, tags: [0x88a8_0028, 0x8100_0005], network: 5), FuzzInterface(name: "ppp0", port: 1, session: 17, network: 6),
        FuzzInterface(name: "ppp1", port: 1, tags: [0x8100_001e], session: 18, network: 7),
    ]
    static var names: [String] { interfaces.map(\.name) }
    static var policyInterfaces: [Policy.Interface] { interfaces.enumerated().map { Policy.Interface(name: $0.element.name, index: UInt32($0.offset + 1)) } }

    static func router() throws -> Router {
        var router = Router()
        for (place, interface) in interfaces.enumerated() {
            let index = PortIndex(place)
            if interface.session != 0 {
                let below: PortIndex = interface.tags.isEmpty ? 1 : 2
                try router.interfaces.add(
                    pppoe: index, name: interface.name, on: below, session: interface.session, peer: EthernetAddress(rawValue: interface.peer), mtu: 1492)
            } else if let tag = interface.tags.last {
                let below = interface.tags.count == 2 ? 3 : PortIndex(interface.port)
                try router.interfaces.add(vlan: index, name: interface.name, on: below, id: UInt16(tag & 0xfff), tag: UInt16(tag >> 16), mtu: 1500)
            } else {
                try router.interfaces.add(port: index, name: interface.name, mac: EthernetAddress(rawValue: interface.mac))
            }
            try router.addAddress(IPPrefix(address: IPAddress(ipv4: interface.ipv4), length: 24), port: index)
            try router.addAddress(IPPrefix(address: IPAddress(ipv6High: interface.ipv6.high, low: interface.ipv6.low), length: 64), port: index)
            guard interface.session == 0 else { continue }
            for host in UInt32(2) ... 3 {
                let mac = EthernetAddress(rawValue: interface.peer)
                try router.neighbours.addPermanent(IPAddress(ipv4: interface.ipv4 & 0xffff_ff00 | host), port: index, mac: mac, now: 0)
                try router.neighbours.addPermanent(IPAddress(ipv6High: interface.ipv6.high, low: UInt64(host)), port: index, mac: mac, now: 0)
            }
        }
        try router.addRoute(Route(destination: IPPrefix(address: IPAddress(ipv4: 0), length: 0), nextHops: [NextHop(port: 1, gateway: IPAddress(ipv4: 0x0a00_0202))]))
        return router
    }

    /// Where a frame's IP header would begin, behind any tags and session header; nil if the frame ends before.
    static func networkOffset(_ frame: [UInt8]) -> Int? {
        var at = 12
        while at + 2 <= frame.count {
            switch UInt16(frame[at]) << 8 | UInt16(frame[at + 1]) {
            case EtherType.vlan, EtherType.qinq: at += 4
            case EtherType.pppoeSession: return at + 10
            default: return at + 2
            }
        }
        return nil
    }
}
