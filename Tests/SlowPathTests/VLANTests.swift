// Tagged frames: which interface they come in by, with which tags they leave, and that the flow cache does the same.
import Conntrack
import FlowCache
import Testing
import Wire

@testable import SlowPath

@Suite struct VLANTests {
    static let vlans = [
        VLAN(name: "r0.20", below: 0, id: 20, network: 0x0a14_0000), VLAN(name: "r1.30", below: 1, id: 30, network: 0x0a1e_0000),
        VLAN(name: "r0.20.7", below: 2, id: 7, network: 0x0a1b_0000), VLAN(name: "r1.s5", below: 1, id: 5, tag: EtherType.qinq, network: 0x0a23_0000),
    ]

    struct Case: CustomTestStringConvertible, Sendable {
        var name: String
        var port: Int
        var tags: [UInt32]
        var source: [UInt8]
        var destination: [UInt8]
        var leaves: (port: Int, tags: [UInt32])?
        var reason = DropReason.none
        var testDescription: String { name }
    }

    /// A UDP packet to the router's port with these tags (EtherType and tag control information of each).
    static func frame(_ tags: [UInt32], port: Int, _ source: [UInt8], _ destination: [UInt8], ttl: UInt8 = 64) -> [UInt8] {
        var frame = DropReasonTests.ipv4(DropReasonTests.udp, source: source, destination: destination, ttl: ttl)
        if port == 1 { frame.replaceSubrange(0 ..< 12, with: [2, 0, 0, 0, 0x0b, 1, 2, 0, 0, 0, 0x0b, 2]) }
        frame.insert(contentsOf: bytes(tags), at: 12)
        return frame
    }

    static func bytes(_ tags: [UInt32]) -> [UInt8] { tags.flatMap { tag in [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: tag >> UInt32($0)) } } }

    static let cases: [Case] = [
        Case(name: "VLAN to VLAN", port: 0, tags: [0x8100_0014], source: [10, 20, 0, 2], destination: [10, 30, 0, 2], leaves: (1, [0x8100_001e])),
        Case(name: "priority does not travel", port: 0, tags: [0x8100_a014], source: [10, 20, 0, 2], destination: [10, 30, 0, 2], leaves: (1, [0x8100_001e])),
        Case(name: "VLAN to untagged", port: 0, tags: [0x8100_0014], source: [10, 20, 0, 2], destination: [10, 0, 2, 2], leaves: (1, [])),
        Case(name: "untagged to VLAN", port: 1, tags: [], source: [10, 0, 2, 2], destination: [10, 20, 0, 2], leaves: (0, [0x8100_0014])),
        Case(name: "two tags to untagged", port: 0, tags: [0x8100_0014, 0x8100_0007], source: [10, 27, 0, 2], destination: [10, 0, 2, 2], leaves: (1, [])),
        Case(name: "untagged to two tags", port: 1, tags: [], source: [10, 0, 2, 2], destination: [10, 27, 0, 2], leaves: (0, [0x8100_0014, 0x8100_0007])),
        Case(name: "to a service tag", port: 0, tags: [0x8100_0014], source: [10, 20, 0, 2], destination: [10, 35, 0, 2], leaves: (1, [0x88a8_0005])),
        Case(name: "from a service tag", port: 1, tags: [0x88a8_0005], source: [10, 35, 0, 2], destination: [10, 20, 0, 2], leaves: (0, [0x8100_0014])),
        Case(name: "back out of the same VLAN", port: 0, tags: [0x8100_0014], source: [10, 20, 0, 2], destination: [10, 20, 0, 2], leaves: (0, [0x8100_0014])),
        Case(name: "priority tag", port: 0, tags: [0x8100_a000], source: [10, 0, 1, 2], destination: [10, 0, 2, 2], leaves: (1, [])),
        Case(name: "priority tag before a VLAN", port: 0, tags: [0x8100_a000, 0x8100_0014], source: [10, 20, 0, 2], destination: [10, 0, 2, 2], leaves: (1, [])),
        Case(name: "not configured", port: 0, tags: [0x8100_0063], source: [10, 20, 0, 2], destination: [10, 30, 0, 2], reason: .vlanUnknown),
        Case(name: "the other tag's EtherType", port: 1, tags: [0x8100_0005], source: [10, 35, 0, 2], destination: [10, 20, 0, 2], reason: .vlanUnknown),
        Case(name: "another inner VLAN", port: 0, tags: [0x8100_0014, 0x8100_0008], source: [10, 27, 0, 2], destination: [10, 0, 2, 2], reason: .vlanUnknown),
        Case(name: "on the other port", port: 1, tags: [0x8100_0014], source: [10, 20, 0, 2], destination: [10, 0, 1, 2], reason: .vlanUnknown),
    ]

    @Test(arguments: cases) func leavesByTheRightInterface(_ test: Case) throws {
        var harness = SlowPathHarness(vlans: Self.vlans)
        let sent = harness.send(Self.frame(test.tags, port: test.port, test.source, test.destination), port: test.port)
        guard let leaves = test.leaves else {
            #expect(sent.isEmpty && harness.disposition == .dropped(test.reason))
            return
        }
        #expect(sent.count == 1)
        let out = try #require(sent.first)
        #expect(out.port == leaves.port)
        let expected = Self.frame(leaves.tags, port: leaves.port, test.source, test.destination, ttl: 63)
        #expect(Array(out.frame[12...]) == Array(expected[12...]))
        #expect(Array(out.frame[6 ..< 12]) == (leaves.port == 0 ? [2, 0, 0, 0, 0x0a, 1] : [2, 0, 0, 0, 0x0b, 1]))
    }

    @Test func anAnswerGoesBackTagged() throws {
        var harness = SlowPathHarness(vlans: Self.vlans)
        let sent = harness.send(Self.frame([0x8100_0014, 0x8100_0007], port: 0, [10, 27, 0, 2], [10, 0, 2, 2], ttl: 1), port: 0)
        let out = try #require(sent.first)
        #expect(sent.count == 1 && out.port == 0)
        #expect(Array(out.frame[12 ..< 22]) == Self.bytes([0x8100_0014, 0x8100_0007]) + [8, 0])
        #expect(out.frame[22 + 9] == 1 && Array(out.frame[22 + 12 ..< 22 + 20]) == [10, 27, 0, 1, 10, 27, 0, 2])
    }

    @Test func arpIsAnsweredOnItsVLAN() throws {
        var harness = SlowPathHarness(vlans: Self.vlans)
        let request: [UInt8] = [255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 0x0a, 9, 0x81, 0, 0, 20, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0x0a, 9,
                                10, 20, 0, 9, 0, 0, 0, 0, 0, 0, 10, 20, 0, 1]
        let out = try #require(harness.send(request, port: 0).first)
        #expect(out.port == 0 && Array(out.frame[12 ..< 18]) == [0x81, 0, 0, 20, 8, 6] && out.frame[25] == 2)
    }
}
