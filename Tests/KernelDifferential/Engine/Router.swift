// The router under test: two interfaces r0 and r1, hosts 2 and 3 of both networks known on each or to be asked, default routes by host 2 behind r1;
// the same that linux.py builds of a namespace.
import Routing
import Wire

func makeRouter(_ links: Links) throws -> Router {
    var router = Router()
    let macs: [UInt64] = [0x0200_0000_0a01, 0x0200_0000_0b01]
    try links.add(to: &router, ports: macs.map { EthernetAddress(rawValue: $0) }, hosts: macs.map { EthernetAddress(rawValue: $0 & ~0xff | 2) })
    for port in 0 ..< 2 {
        let index = links.numbers[port]
        let net4 = UInt32(0x0a00_0100 + port << 8), net6 = UInt64(0xfd00_0001_0000_0000 + UInt64(port) << 32)
        try router.addAddress(IPPrefix(address: IPAddress(ipv4: net4 | 1), length: 24), port: index)
        try router.addAddress(IPPrefix(address: IPAddress(ipv6High: net6, low: 1), length: 64), port: index)
        for host in UInt64(2) ... 3 {
            let mac = EthernetAddress(rawValue: macs[port] & ~0xff | host)
            for other in 0 ..< 2 {
                if !links.learnsNeighbours.ipv4 { try router.neighbours.addPermanent(IPAddress(ipv4: UInt32(0x0a00_0100 + other << 8) | UInt32(host)), port: index, mac: mac, now: 0) }
                if !links.learnsNeighbours.ipv6 { try router.neighbours.addPermanent(IPAddress(ipv6High: UInt64(0xfd00_0001_0000_0000 + UInt64(other) << 32), low: host), port: index, mac: mac, now: 0) }
            }
        }
    }
    try router.addRoute(Route(destination: IPPrefix(address: IPAddress(ipv4: 0), length: 0), nextHops: [NextHop(port: links.numbers[1], gateway: IPAddress(ipv4: 0x0a00_0202))]))
    try router.addRoute(Route(destination: IPPrefix(address: IPAddress(ipv6High: 0, low: 0), length: 0),
                              nextHops: [NextHop(port: links.numbers[1], gateway: IPAddress(ipv6High: 0xfd00_0002_0000_0000, low: 2))]))
    return router
}
