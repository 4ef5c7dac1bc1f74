// Which packets a flow-cache entry may be made of.
import FlowCache
import Ruleset
import Testing
import Wire

@testable import SlowPath

@Suite struct PublicationTests {
    /// A UDP frame from 10.0.1.2:1000 to 10.0.2.2:53 that may be cut; or its answer.
    static func frame(payload: Int, isAnswer: Bool = false, timeToLive: UInt8 = 64) -> [UInt8] {
        let mac = SlowPathHarness.macs[isAnswer ? 1 : 0]
        func bytes(_ mac: UInt64) -> [UInt8] { (0 ..< 6).map { UInt8(truncatingIfNeeded: mac >> (40 - 8 * UInt64($0))) } }
        func big(_ value: Int) -> [UInt8] { [UInt8(value >> 8), UInt8(value & 255)] }
        var frame = bytes(mac)
        frame += bytes(mac & ~0xff | 2) + [8, 0]
        frame += [0x45, 0]
        frame += big(28 + payload)
        frame += [0, 1, 0, 0, timeToLive, 17, 0, 0]
        let ends: [[UInt8]] = [[10, 0, 1, 2], [10, 0, 2, 2]], ports = [big(1000), big(53)]
        for place in isAnswer ? [1, 0] : [0, 1] { frame += ends[place] }
        for place in isAnswer ? [1, 0] : [0, 1] { frame += ports[place] }
        frame += big(8 + payload) + [0, 0] + [UInt8](repeating: 7, count: payload)
        frame.withUnsafeMutableBytes { if let start = $0.baseAddress { Checksum.fillIPv4Header(start + 14, length: 20) } }
        return frame
    }

    static var key: FlowKey {
        var key = FlowKey()
        key.source = IPAddress(ipv4: 0x0a00_0102)
        key.destination = IPAddress(ipv4: 0x0a00_0202)
        (key.sourcePort, key.destinationPort, key.transportProtocol) = (1000, 53, IPProtocol.udp)
        return key
    }

    /// What leaves in pieces shows no link header for the next packets; the first whole one does.
    @Test func aPacketInPiecesMakesNoEntry() throws {
        var harness = SlowPathHarness()
        harness.path.changeRouter { $0.interfaces.setMTU(600, port: 1) }
        #expect(harness.send(Self.frame(payload: 1000), port: 0).count == 2)
        let early = harness.path.flows.pointee.lookup(Self.key)
        #expect(early == nil)
        #expect(harness.send(Self.frame(payload: 10), port: 0).count == 1)
        let late = harness.path.flows.pointee.lookup(Self.key)
        let handle = try #require(late)
        let record = harness.path.flows.pointee.inspect(handle, now: harness.now)
        let flow = try #require(record).description
        #expect(flow.rewrite.destinationMAC == EthernetAddress(rawValue: 0x0200_0000_0b02) && flow.rewrite.sourceMAC == EthernetAddress(rawValue: 0x0200_0000_0b01))
        #expect(flow.guard.maximumLength == 600)
    }

    /// What `show flows` says of a flow: cached only while workers forward by its entries.
    @Test func howAFlowTravels() throws {
        let rules = "table ip t { chain f { type filter hook forward priority 0; ct state established counter; }; }\n"
        let options = LoadOptions(interfaces: ["r0", "r1"])
        let ruleset = RulesetValue().applying(text: rules, name: "f", options: options).value
        var harness = SlowPathHarness(ruleset: ruleset)
        func travel(_ harness: inout SlowPathHarness) -> [FlowTravel] {
            var result: [FlowTravel] = []
            harness.path.tracker.pointee.forEach(now: harness.now) { index, _ in result.append(harness.path.travel(of: index)) }
            return result
        }
        func exchange(_ harness: inout SlowPathHarness) {
            _ = harness.send(Self.frame(payload: 10), port: 0)
            _ = harness.send(Self.frame(payload: 10, isAnswer: true), port: 1)
        }
        _ = harness.send(Self.frame(payload: 10), port: 0)
        var seen = travel(&harness)
        exchange(&harness)
        exchange(&harness)
        seen += travel(&harness)
        harness.path.invalidateFlows()
        seen += travel(&harness)
        exchange(&harness)
        seen += travel(&harness)
        #expect(seen == [.slow("no reply yet"), .cached, .slow("nothing forwarded since rules, routes or neighbours changed"), .cached])
    }
}
