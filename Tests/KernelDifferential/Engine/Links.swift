// What r0 and r1 are on the wire: ports themselves, VLANs, VLANs in VLANs, PPPoE sessions, and both perhaps on one port.
//
// Invariant: interfaces are numbered as the running router does it: the ports, then each tagged interface after the one below it.
// tags.py puts on and takes off what frames of these carry.
import Policy
import Routing
import Wire

/// r0 and r1, each written PORT, or PORT with what its frames carry: `vID` a VLAN, `sID` a service VLAN, `pID` a PPPoE session; `0s30v31`
/// is a VLAN in a service VLAN of port 0. A third word `learned` or `learned6`: the MAC
/// addresses of IPv4's hosts, or of all, are not known from the start (neighbours.py).
public struct Links {
    private struct Layer {
        var kind: Character
        var number: UInt16
    }
    private var ports: [Int] = []
    private var layers: [[Layer]] = []
    let learnsNeighbours: (ipv4: Bool, ipv6: Bool)
    /// The numbers of r0 and r1.
    private(set) var numbers: [PortIndex] = []
    /// All interfaces as rules know them, by number.
    private(set) var interfaces: [Policy.Interface] = []

    /// - Parameter text: both, with a comma between them; nil if it is none.
    public init?(_ text: Substring) {
        let words = text.split(separator: ",")
        learnsNeighbours = (words.count > 2, words.count > 2 && words[2] == "learned6")
        for word in words.prefix(2) {
            guard let port = word.first?.wholeNumberValue, port < 2 else { return nil }
            var found: [Layer] = []
            for character in word.dropFirst() {
                if let digit = character.wholeNumberValue {
                    guard let last = found.indices.last else { return nil }
                    found[last].number = found[last].number &* 10 &+ UInt16(digit)
                } else {
                    found.append(Layer(kind: character, number: 0))
                }
            }
            ports.append(port)
            layers.append(found)
        }
        guard ports.count == 2 else { return nil }
        var names = ["p0", "p1"]
        for link in 0 ..< 2 where layers[link].isEmpty { names[ports[link]] = "r\(link)" }
        for link in 0 ..< 2 {
            if layers[link].count > 1 { names.append("o\(link)") }
            if !layers[link].isEmpty { names.append("r\(link)") }
            numbers.append(PortIndex(layers[link].isEmpty ? ports[link] : names.count - 1))
        }
        interfaces = names.enumerated().map { place, name in
            if let link = numbers.firstIndex(of: PortIndex(place)), layers[link].last?.kind == "p" { return Interface(name: name, index: UInt32(place + 2), hardwareType: 512, kind: "ppp") }
            return Interface(name: name, index: UInt32(place + 2), kind: place < 2 ? "" : "vlan")
        }
    }

    /// Gives the router its ports and what lies on them; hosts end their sessions at `hosts`.
    func add(to router: inout Router, ports macs: [EthernetAddress], hosts: [EthernetAddress]) throws {
        for port in 0 ..< 2 { try router.interfaces.add(port: PortIndex(port), name: interfaces[port].name, mac: macs[port]) }
        var next: PortIndex = 2
        for link in 0 ..< 2 {
            var below = PortIndex(ports[link])
            for layer in layers[link] {
                let name = interfaces[Int(next)].name
                if layer.kind == "p" {
                    try router.interfaces.add(pppoe: next, name: name, on: below, session: layer.number, peer: hosts[link], mtu: 1492)
                } else {
                    try router.interfaces.add(vlan: next, name: name, on: below, id: layer.number, tag: layer.kind == "s" ? EtherType.qinq : EtherType.vlan, mtu: 1500)
                }
                below = next
                next += 1
            }
        }
    }

    /// The interfaces with tags or sessions, with their numbers.
    public func tagged(_ router: borrowing Router) -> [(number: PortIndex, interface: Routing.Interface)] {
        var found: [(number: PortIndex, interface: Routing.Interface)] = []
        for number in 2 ..< max(2, interfaces.count) { found.append((PortIndex(number), router.interfaces[PortIndex(number)])) }
        return found
    }
}
