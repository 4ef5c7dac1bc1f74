// What VLANs and PPPoE sessions have received and sent, through the built binary: held to the frames that went in and came out, with the
// flow cache and without.
import Foundation
import Testing

@Suite struct InterfaceCounterTests {
    private static let interfaces = """
        [[vlan]]
        name = "a.20"
        port = "a"
        id = 20
        addresses = ["10.0.20.1/24"]
        [[vlan]]
        name = "a.20.30"
        port = "a.20"
        id = 30
        addresses = ["10.0.30.1/24"]
        [[vlan]]
        name = "b.5"
        port = "b"
        id = 5
        tag = "802.1ad"
        addresses = ["10.0.5.1/24"]
        [[pppoe]]
        name = "ppp0"
        port = "b.5"
        session = 17
        peer = "02:00:00:00:0b:fe"
        addresses = ["203.0.113.7/32"]
        [[routing.route]]
        to = "198.51.100.0/24"
        port = "ppp0"
        [[routing.neighbour]]
        port = "a.20"
        address = "10.0.20.2"
        mac = "02:00:00:00:0a:02"
        [[routing.neighbour]]
        port = "a.20.30"
        address = "10.0.30.2"
        mac = "02:00:00:00:0a:02"
        """

    /// The frame with tags behind its addresses, and `slack` bytes of padding.
    private static func tagged(_ frame: [UInt8], _ tags: [[UInt8]], slack: Int = 0) -> [UInt8] {
        Array(frame[..<12]) + tags.flatMap { $0 } + Array(frame[12...]) + [UInt8](repeating: 0, count: slack)
    }

    private static func inSession(_ frame: [UInt8]) -> [UInt8] {
        let length = frame.count - 14 + 2
        var header = Array(frame[..<12])
        header += [0x88, 0x64, 0x11, 0, 0, 17, UInt8(length >> 8), UInt8(length & 255), 0, 0x21] as [UInt8]
        return header + Array(frame[14...])
    }

    private static let vlan20: [UInt8] = [0x81, 0, 0, 20], vlan30: [UInt8] = [0x81, 0, 0, 30], vlan99: [UInt8] = [0x81, 0, 0, 99]
    private static let service5: [UInt8] = [0x88, 0xa8, 0, 5], priority: [UInt8] = [0x81, 0, 0xe0, 0]

    private static func totals(_ frames: [[UInt8]]) -> [Int] { [frames.count, frames.reduce(0) { $0 + $1.count }] }

    @Test(arguments: ["transparent", "off"]) func countsAreThoseOfTheFrames(mode: String) throws {
        let scratch = try Scratch()
        let text = Sample.configuration(ruleset: nil, extra: Self.interfaces).replacingOccurrences(of: "[flow-cache]\n", with: "[flow-cache]\nmode = \"\(mode)\"\n")
        try scratch.write("a.toml", text)
        let far: [UInt8] = [198, 51, 100, 9], other: [UInt8] = [192, 0, 2, 9]
        let client = Datagram.fromA(to: far), plain = Datagram.fromA(to: other, sourcePort: 7)
        var inVLAN = client, inBoth = plain
        inVLAN.source = [10, 0, 20, 2]
        inBoth.source = [10, 0, 30, 2]
        var fromSession = Datagram(
            sourceMAC: [2, 0, 0, 0, 0x0b, 0xfe], destinationMAC: [2, 0, 0, 0, 0x0b, 1], source: far, destination: [10, 0, 20, 2], sourcePort: 2000, destinationPort: 1000)
        let fromB = Datagram(
            sourceMAC: [2, 0, 0, 0, 0x0b, 2], destinationMAC: [2, 0, 0, 0, 0x0b, 1], source: other, destination: [10, 0, 30, 2], sourcePort: 2000, destinationPort: 7)
        let session = Self.tagged(Self.inSession(fromSession.frame), [Self.service5])
        fromSession.sourceMAC[5] = 0xfd
        let stranger = Self.tagged(Self.inSession(fromSession.frame), [Self.service5])

        var a: [[UInt8]] = [], b: [[UInt8]] = []
        for place in 0 ..< 30 {
            a.append(Self.tagged(inVLAN.frame, [Self.vlan20], slack: place % 3))
            a.append(Self.tagged(inBoth.frame, [Self.vlan20, Self.vlan30]))
            if place % 10 == 0 {
                a.append(Self.tagged(plain.frame, [Self.vlan99]))
                a.append(Self.tagged(plain.frame, [Self.priority]))
            }
            b.append(session)
            b.append(fromB.frame)
            if place % 15 == 0 { b.append(stranger) }
        }
        try Capture.write(a, to: scratch.path("a.pcap"))
        try Capture.write(b, to: scratch.path("b.pcap"), start: 1_700_000_000)
        let outcome = try Binary.run("replay", "--config", "a.toml", "--out", "out", "--in", "a=a.pcap", "--in", "b=b.pcap", "--json", in: scratch.url)
        #expect(outcome.exitCode == 0, "\(outcome.error)")
        let summary = try #require(try JSONSerialization.jsonObject(with: Data(outcome.output.utf8)) as? [String: Any])
        var found: [String: [Int]] = [:]
        for it in try #require(summary["interfaces"] as? [[String: Any]]) {
            found[try #require(it["name"] as? String)] = ["packetsIn", "bytesIn", "packetsOut", "bytesOut"].compactMap { it[$0] as? Int }
        }
        let outA = try Capture.read(scratch.path("out/a.pcap")), outB = try Capture.read(scratch.path("out/b.pcap"))
        func has(_ frame: [UInt8], _ bytes: [UInt8]) -> Bool { Array(frame[12 ..< 12 + bytes.count]) == bytes }
        func expected(_ inward: [[UInt8]], _ outward: [[UInt8]], _ start: [UInt8]) -> [Int] {
            Self.totals(inward.filter { has($0, start) }) + Self.totals(outward.filter { has($0, start) })
        }
        #expect(found["a"] == Self.totals(a) + Self.totals(outA) && found["b"] == Self.totals(b) + Self.totals(outB))
        // Whoever is above a VLAN counts for it, too.
        #expect(found["a.20"] == expected(a, outA, Self.vlan20) && found["a.20.30"] == expected(a, outA, Self.vlan20 + Self.vlan30))
        #expect(found["b.5"] == expected(b, outB, Self.service5))
        #expect(found["ppp0"] == expected(b.filter { $0 != stranger }, outB, Self.service5 + [0x88, 0x64]))
        #expect(try #require(found["ppp0"]?[0]) == 30 && found["ppp0"]?[2] == 30 && found["a.20.30"]?[2] == 30, "\(found)")
        let cache = try #require(summary["flowCache"] as? [String: Any])
        #expect((cache["softwareHits"] as? Int ?? 0 > 60) == (mode == "transparent"), "\(cache)")
    }
}
