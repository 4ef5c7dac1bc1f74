// PPPoE session frames: which interface they come in by, how they leave, what goes nowhere, and that the flow cache learns of them.
import FlowCache
import Policy
import Routing
import Testing
import Wire

@testable import SlowPath

@Suite struct PPPoETests {
    static let peer = EthernetAddress(rawValue: 0x0200_0000_0b02)

    /// Session 17 on r1 (interface 3, network 10.50.0.0/24) and session 18 on its VLAN 30 (interface 4, 10.51.0.0/24).
    private func harness(cachesFlows: Bool = true) throws -> SlowPathHarness {
        var harness = SlowPathHarness(cachesFlows: cachesFlows, vlans: [VLAN(name: "r1.30", below: 1, id: 30, network: 0x0a1e_0000)])
        try harness.path.router.interfaces.add(pppoe: 3, name: "ppp0", on: 1, session: 17, peer: Self.peer, mtu: 1492)
        try harness.path.router.interfaces.add(pppoe: 4, name: "ppp1", on: 2, session: 18, peer: Self.peer, mtu: 1492)
        for (index, network) in [(PortIndex(3), UInt32(0x0a32_0000)), (4, 0x0a33_0000)] {
            try harness.path.router.addAddress(IPPrefix(address: IPAddress(ipv4: network | 1), length: 24), port: index)
        }
        return harness
    }

    private static func frame(
        session: UInt16? = nil, tags: [UInt32] = [], port: Int, _ source: [UInt8], _ destination: [UInt8], ttl: UInt8 = 64, pppProtocol: [UInt8] = [0, 0x21],
        slack: Int = 0
    ) -> [UInt8] {
        var frame = VLANTests.frame(tags, port: port, source, destination, ttl: ttl)
        guard let session else { return frame }
        let at = 12 + 4 * tags.count, length = frame.count - at - 2 + 2 + slack
        var header: [UInt8] = [0x88, 0x64, 0x11, 0, UInt8(session >> 8), UInt8(session & 0xff)]
        header += [UInt8(length >> 8), UInt8(length & 0xff)]
        header += pppProtocol
        frame.replaceSubrange(at ..< at + 2, with: header)
        return frame + [UInt8](repeating: 0, count: slack)
    }

    struct Case: CustomTestStringConvertible, Sendable {
        var name: String
        var frame: [UInt8]
        var port: Int
        /// From behind the MAC addresses on.
        var leaves: (port: Int, frame: [UInt8])?
        var reason = DropReason.none
        var testDescription: String { name }
    }

    private static let inside: [UInt8] = [10, 0, 1, 2], far: [UInt8] = [10, 50, 0, 2], farther: [UInt8] = [10, 51, 0, 2]

    private static func broken(_ offset: Int, _ value: UInt8) -> [UInt8] {
        var bytes = frame(session: 17, port: 1, far, inside)
        bytes[offset] = value
        return bytes
    }

    static let cases: [Case] = [
        Case(name: "into a session", frame: frame(port: 0, inside, far), port: 0, leaves: (1, frame(session: 17, port: 1, inside, far, ttl: 63))),
        Case(name: "out of a session", frame: frame(session: 17, port: 1, far, inside), port: 1, leaves: (0, frame(port: 0, far, inside, ttl: 63))),
        Case(name: "padding inside the session", frame: frame(session: 17, port: 1, far, inside, slack: 7), port: 1, leaves: (0, frame(port: 0, far, inside, ttl: 63))),
        Case(name: "into a tagged session", frame: frame(port: 0, inside, farther), port: 0,
             leaves: (1, frame(session: 18, tags: [0x8100_001e], port: 1, inside, farther, ttl: 63))),
        Case(name: "session to session", frame: frame(session: 17, port: 1, far, farther), port: 1,
             leaves: (1, frame(session: 18, tags: [0x8100_001e], port: 1, far, farther, ttl: 63))),
        Case(name: "tagged session to session", frame: frame(session: 18, tags: [0x8100_001e], port: 1, farther, far), port: 1,
             leaves: (1, frame(session: 17, port: 1, farther, far, ttl: 63))),
        Case(name: "another session", frame: frame(session: 19, port: 1, far, inside), port: 1, reason: .pppoeUnknownSession),
        Case(name: "a session of the VLAN, untagged", frame: frame(session: 18, port: 1, far, inside), port: 1, reason: .pppoeUnknownSession),
        Case(name: "on the other port", frame: frame(session: 17, port: 0, far, inside), port: 0, reason: .pppoeUnknownSession),
        Case(name: "from another station", frame: broken(11, 9), port: 1, reason: .pppoeUnknownSession),
        Case(name: "LCP", frame: frame(session: 17, port: 1, far, inside, pppProtocol: [0xc0, 0x21]), port: 1, reason: .pppoeUnknownProtocol),
        Case(name: "another version", frame: broken(14, 0x21), port: 1, reason: .pppoeMalformed),
        Case(name: "a code", frame: broken(15, 0xa7), port: 1, reason: .pppoeMalformed),
        Case(name: "longer than the frame", frame: broken(18, 9), port: 1, reason: .pppoeMalformed),
        Case(name: "no room for a protocol", frame: broken(19, 1), port: 1, reason: .pppoeMalformed),
        Case(name: "cut short", frame: Array(broken(14, 0x11)[..<20]), port: 1, reason: .pppoeMalformed),
        Case(name: "shorter than its IP packet", frame: broken(19, 12), port: 1, reason: .ipv4Truncated),
        Case(name: "IPv6 that is IPv4", frame: frame(session: 17, port: 1, far, inside, pppProtocol: [0, 0x57]), port: 1, reason: .ipv6Truncated),
    ]

    @Test(arguments: cases) func goesWhereItShould(_ test: Case) throws {
        var harness = try harness()
        try harness.path.router.neighbours.addPermanent(IPAddress(ipv4: 0x0a32_0002), port: 3, mac: EthernetAddress(rawValue: 0x0200_0000_0fff), now: 0)
        let sent = harness.send(test.frame, port: test.port)
        guard let leaves = test.leaves else {
            #expect(sent.isEmpty && harness.disposition == .dropped(test.reason), "\(harness.disposition)")
            return
        }
        let out = try #require(sent.first)
        #expect(sent.count == 1 && out.port == leaves.port)
        #expect(Array(out.frame[12...]) == Array(leaves.frame[12...]))
        if leaves.port == 1 { #expect(Array(out.frame[..<12]) == [2, 0, 0, 0, 0x0b, 2, 2, 0, 0, 0, 0x0b, 1]) }
    }

    @Test func anErrorGoesBackInTheSession() throws {
        var harness = try harness()
        let out = try #require(harness.send(Self.frame(session: 17, port: 1, Self.far, Self.inside, ttl: 1), port: 1).first)
        #expect(out.port == 1 && Array(out.frame[12 ..< 18]) == [0x88, 0x64, 0x11, 0, 0, 17])
        // ICMP, from the session's own address.
        #expect(out.frame[22 + 9] == 1 && Array(out.frame[22 + 12 ..< 22 + 20]) == [10, 50, 0, 1, 10, 50, 0, 2])
        let length = Int(out.frame[18]) << 8 | Int(out.frame[19])
        #expect(length == out.frame.count - 20)
    }

    @Test func theFlowCacheLearnsBothDirections() throws {
        var harness = try harness()
        for _ in 0 ..< 3 {
            _ = harness.send(Self.frame(port: 0, Self.inside, Self.far), port: 0)
            _ = harness.send(Self.reversed(Self.frame(session: 17, port: 1, Self.far, Self.inside)), port: 1)
        }
        var found: [FlowDescription] = []
        harness.path.flows.pointee.sweep(now: harness.now) { record in
            found.append(record.description)
            return true
        }
        let out = try #require(found.first { $0.key.pppoeSession == 0 }), back = try #require(found.first { $0.key.pppoeSession == 17 })
        #expect(found.count == 2)
        #expect(out.rewrite.pppoeSession == 17 && out.rewrite.destinationMAC == Self.peer && out.rewrite.outputPort == 1 && out.guard.maximumLength == 1492)
        #expect(back.rewrite.pppoeSession == 0 && back.key.ingressPort == 1 && back.rewrite.outputPort == 0)
    }

    /// The same frame with its UDP ports exchanged: the answer.
    private static func reversed(_ frame: [UInt8]) -> [UInt8] {
        var frame = frame
        let ports = 22 + 20
        for place in 0 ..< 2 { frame.swapAt(ports + place, ports + 2 + place) }
        return frame
    }
}
