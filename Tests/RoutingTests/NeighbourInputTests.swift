// ARP and neighbour discovery dialogues as Linux 6.18 held them (namespace with r0 10.0.1.1, fd00:1::1 and r1 10.0.2.1,
// fd00:2::1; default settings).
import Testing
import Wire

@testable import Routing

@Suite struct NeighbourInputTests {
    func arp(_ operation: UInt16, _ sender: String, _ senderMAC: UInt64, _ target: String, targetMAC: EthernetAddress = .zero) -> ARPMessage {
        ARPMessage(operation: operation, senderMAC: mac(senderMAC), senderAddress: ip(sender), targetMAC: targetMAC, targetAddress: ip(target))
    }

    @Test(arguments: [
        ("10.0.1.77", "10.0.1.1", true, NeighbourState.stale), ("10.0.1.79", "10.0.2.1", true, .stale), ("192.168.9.9", "10.0.1.1", true, .stale), ("0.0.0.0", "10.0.1.1", true, .none),
        ("10.0.1.1", "10.0.1.1", false, .none), ("224.0.0.1", "10.0.1.1", false, .none), ("127.0.0.1", "10.0.1.1", false, .none), ("10.0.1.255", "10.0.1.1", true, .none),
        ("10.0.1.80", "10.0.1.255", false, .none), ("10.0.1.78", "10.0.1.78", false, .none), ("10.0.1.80", "10.0.1.200", false, .none), ("0.0.0.0", "10.0.1.9", false, .none),
    ])
    func requests(sender: String, target: String, isAnswered: Bool, state: NeighbourState) throws {
        var router = try testRouter()
        let answer = router.receive(arp(ARPMessage.request, sender, 0x77, target), port: 0, isToUs: false, now: 5 * second)
        #expect((answer != nil) == isAnswered)
        if let answer {
            #expect(answer.operation == ARPMessage.reply && answer.senderMAC == mac(0xa0) && answer.senderAddress == ip(target))
            #expect(answer.targetMAC == mac(0x77) && answer.targetAddress == ip(sender))
        }
        let found = router.neighbours.state(of: ip(sender), port: 0)
        #expect(found == state)
    }

    @Test func updates() throws {
        var router = try testRouter()
        func shown(_ router: borrowing Router) -> String {
            guard let entry = router.neighbours.neighbours.first(where: { $0.address == ip("10.0.1.77") }) else { return "-" }
            return "\(entry.mac.rawValue & 0xff) \(entry.state)"
        }
        _ = router.receive(arp(ARPMessage.request, "10.0.1.77", 0x77, "10.0.1.1"), port: 0, isToUs: false, now: 10 * second)
        #expect(shown(router) == "119 stale")
        // A request to us overrides at once; an answer only when the entry is old enough.
        _ = router.receive(arp(ARPMessage.request, "10.0.1.77", 0x78, "10.0.1.1"), port: 0, isToUs: false, now: 10 * second)
        #expect(shown(router) == "120 stale")
        _ = router.receive(arp(ARPMessage.reply, "10.0.1.77", 0x79, "10.0.1.1"), port: 0, isToUs: true, now: 10 * second + 1)
        #expect(shown(router) == "120 stale")
        _ = router.receive(arp(ARPMessage.reply, "10.0.1.77", 0x79, "10.0.1.1"), port: 0, isToUs: true, now: 12 * second)
        #expect(shown(router) == "121 reachable")
        _ = router.receive(arp(ARPMessage.reply, "10.0.1.77", 0x7a, "10.0.1.77", targetMAC: .broadcast), port: 0, isToUs: false, now: 14 * second)
        #expect(shown(router) == "122 stale")
        _ = router.receive(arp(ARPMessage.request, "10.0.1.77", 0x7c, "10.0.1.200"), port: 0, isToUs: false, now: 14 * second)
        #expect(shown(router) == "122 stale")
        _ = router.receive(arp(ARPMessage.request, "10.0.1.77", 0x7c, "10.0.1.200"), port: 0, isToUs: false, now: 16 * second)
        #expect(shown(router) == "124 stale")
        // A gratuitous request needs no age.
        _ = router.receive(arp(ARPMessage.request, "10.0.1.77", 0x7d, "10.0.1.77"), port: 0, isToUs: false, now: 16 * second)
        #expect(shown(router) == "125 stale")
        _ = router.receive(arp(ARPMessage.reply, "10.0.1.87", 0x77, "10.0.1.1"), port: 0, isToUs: true, now: 16 * second)
        let unknown = router.neighbours.state(of: ip("10.0.1.87"), port: 0)
        #expect(unknown == .none)
    }

    func solicitation(_ source: String, to destination: String, for target: String, linkAddress: EthernetAddress?) -> NeighbourMessage {
        NeighbourMessage(type: NeighbourMessage.solicitation, source: ip(source), destination: ip(destination), target: ip(target), linkAddress: linkAddress)
    }

    @Test func solicitations() throws {
        var router = try testRouter()
        var answer = router.receive(solicitation("fd00:1::77", to: "ff02::1:ff00:1", for: "fd00:1::1", linkAddress: mac(0x77)), port: 0, now: second)
        #expect(answer?.isRouter == true && answer?.isSolicited == true && answer?.overrides == true && answer?.linkAddress == mac(0xa0) && answer?.destination == ip("fd00:1::77"))
        var state = router.neighbours.state(of: ip("fd00:1::77"), port: 0)
        #expect(state == .stale)
        // By unicast: no link address, no override.
        answer = router.receive(solicitation("fd00:1::79", to: "fd00:1::1", for: "fd00:1::1", linkAddress: mac(0x77)), port: 0, now: second)
        #expect(answer?.isSolicited == true && answer?.overrides == false && answer?.linkAddress == nil as EthernetAddress?)
        // By multicast without a link address: no answer, unless the sender is known.
        answer = router.receive(solicitation("fd00:1::78", to: "ff02::1:ff00:1", for: "fd00:1::1", linkAddress: nil), port: 0, now: second)
        #expect(answer?.type == nil as UInt8?)
        answer = router.receive(solicitation("fd00:1::77", to: "ff02::1:ff00:1", for: "fd00:1::1", linkAddress: nil), port: 0, now: second)
        #expect(answer?.type == NeighbourMessage.advertisement)
        // By unicast without one: answered, which makes the neighbour be asked.
        answer = router.receive(solicitation("fd00:1::7a", to: "fd00:1::1", for: "fd00:1::1", linkAddress: nil), port: 0, now: second)
        #expect(answer?.destination == ip("fd00:1::7a"))
        // Duplicate address detection.
        answer = router.receive(solicitation("::", to: "ff02::1:ff00:1", for: "fd00:1::1", linkAddress: nil), port: 0, now: second)
        #expect(answer?.destination == ip("ff02::1") && answer?.isSolicited == false && answer?.overrides == true && answer?.isRouter == true && answer?.linkAddress == mac(0xa0))
        // The subnet-router anycast address: from a unicast address, without override.
        answer = router.receive(solicitation("fd00:1::7d", to: "ff02::1:ff00:0", for: "fd00:1::", linkAddress: mac(0x77)), port: 0, now: second)
        #expect(answer?.source == ip("fd00:1::1") && answer?.target == ip("fd00:1::") && answer?.isSolicited == true && answer?.overrides == false && answer?.linkAddress == mac(0xa0))
        // Another port's address is not ours here.
        answer = router.receive(solicitation("fd00:1::7b", to: "ff02::1:ff00:1", for: "fd00:2::1", linkAddress: mac(0x77)), port: 0, now: second)
        state = router.neighbours.state(of: ip("fd00:1::7b"), port: 0)
        #expect(answer?.type == nil as UInt8? && state == .none)
    }

    @Test func advertisements() throws {
        var router = try testRouter()
        func advertise(_ router: inout Router, mac address: EthernetAddress?, isRouter: Bool = false, isSolicited: Bool, overrides: Bool, target: String = "fd00:1::77") -> String {
            var message = NeighbourMessage(type: NeighbourMessage.advertisement, source: ip(target), destination: ip("fd00:1::1"), target: ip(target), linkAddress: address)
            message.isRouter = isRouter
            message.isSolicited = isSolicited
            message.overrides = overrides
            _ = router.receive(message, port: 0, now: second)
            guard let entry = router.neighbours.neighbours.first(where: { $0.address == ip(target) }) else { return "-" }
            return "\(String(entry.mac.rawValue & 0xff, radix: 16)) \(entry.state)\(entry.isRouter ? " router" : "")"
        }
        _ = router.receive(solicitation("fd00:1::77", to: "ff02::1:ff00:1", for: "fd00:1::1", linkAddress: mac(0x77)), port: 0, now: second)
        #expect(advertise(&router, mac: mac(0x77), isSolicited: true, overrides: false) == "77 reachable")
        #expect(advertise(&router, mac: mac(0x90), isSolicited: true, overrides: false) == "77 stale")
        #expect(advertise(&router, mac: mac(0x91), isRouter: true, isSolicited: false, overrides: true) == "91 stale router")
        #expect(advertise(&router, mac: mac(0x92), isRouter: true, isSolicited: true, overrides: true) == "92 reachable router")
        #expect(advertise(&router, mac: nil, isRouter: true, isSolicited: true, overrides: true) == "92 reachable router")
        #expect(advertise(&router, mac: mac(0x77), isSolicited: true, overrides: true, target: "fd00:1::99") == "-")
        #expect(advertise(&router, mac: mac(0x77), isSolicited: true, overrides: true, target: "fd00:1::1") == "-")
    }
}
