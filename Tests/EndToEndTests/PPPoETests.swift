// A PPPoE session through the built binary: frames as they lie on the wire, in both directions, in the slow path and in the cache.
import Foundation
import Testing

@Suite struct PPPoETests {
    private static let session = """
        [[pppoe]]
        name = "ppp0"
        port = "b"
        session = 17
        peer = "02:00:00:00:0b:fe"
        addresses = ["203.0.113.7/32"]
        [[routing.route]]
        to = "198.51.100.0/24"
        port = "ppp0"
        """
    private static let rules = """
        table ip nat {
        	chain post {
        		type nat hook postrouting priority srcnat; policy accept;
        		oifname "ppp0" counter masquerade
        	}
        }
        table ip filter {
        	chain forward {
        		type filter hook forward priority filter; policy accept;
        		iifname "ppp0" oifname "a" counter
        	}
        }
        """

    /// The datagram behind its Ethernet header, in session `number`; `slack` bytes of padding inside.
    private static func inSession(_ datagram: Datagram, number: UInt8 = 17, slack: Int = 0) -> [UInt8] {
        let frame = datagram.frame
        let packet = Array(frame[14...])
        let length = packet.count + 2 + slack
        var header = Array(frame[..<12])
        header += [0x88, 0x64, 0x11, 0, 0, number, UInt8(length >> 8), UInt8(length & 255), 0, 0x21]
        return header + packet + [UInt8](repeating: 0, count: slack)
    }

    @Test func translatesIntoASessionAndBack() throws {
        let scratch = try Scratch()
        try scratch.write("rules.nft", Self.rules)
        try scratch.write("a.toml", Sample.configuration(ruleset: "rules.nft", extra: Self.session))
        let far: [UInt8] = [198, 51, 100, 9]
        let out = Datagram.fromA(to: far)
        let answer = Datagram(
            sourceMAC: [2, 0, 0, 0, 0x0b, 0xfe], destinationMAC: [2, 0, 0, 0, 0x0b, 1], source: far, destination: [203, 0, 113, 7], sourcePort: 2000, destinationPort: 1000)
        var foreign = answer
        foreign.sourceMAC[5] = 0xfd
        try Capture.write(Array(repeating: out.frame, count: 20), to: scratch.path("a.pcap"))
        // A stranger's session, then another session, then answers.
        var frames = [Self.inSession(foreign), Self.inSession(answer, number: 18)]
        for place in 0 ..< 18 {
            frames.append(Self.inSession(answer, slack: place % 3))
            if place == 12 { frames.append(Self.inSession(foreign)) }
        }
        try Capture.write(frames, to: scratch.path("b.pcap"))
        let outcome = try Binary.run("replay", "--config", "a.toml", "--out", "out", "--in", "a=a.pcap", "--in", "b=b.pcap", "--json", in: scratch.url)
        #expect(outcome.exitCode == 0, "\(outcome.error)")

        var translated = out
        (translated.source, translated.sourceMAC, translated.destinationMAC) = ([203, 0, 113, 7], [2, 0, 0, 0, 0x0b, 1], [2, 0, 0, 0, 0x0b, 0xfe])
        translated.timeToLive -= 1
        #expect(try Capture.read(scratch.path("out/b.pcap")) == Array(repeating: Self.inSession(translated), count: 20))
        var back = answer
        (back.destination, back.sourceMAC, back.destinationMAC) = ([10, 0, 1, 2], [2, 0, 0, 0, 0x0a, 1], [2, 0, 0, 0, 0x0a, 2])
        back.timeToLive -= 1
        #expect(try Capture.read(scratch.path("out/a.pcap")) == Array(repeating: back.frame, count: 18))

        let summary = try #require(try JSONSerialization.jsonObject(with: Data(outcome.output.utf8)) as? [String: Any])
        #expect(summary["drops"] as? [String: Int] == ["pppoe_unknown_session": 3])
        let cache = try #require(summary["flowCache"] as? [String: Any])
        #expect(try #require(cache["softwareHits"] as? Int) > 20)
        let counters = try #require(summary["counters"] as? [[String: Any]])
        #expect(counters.map { $0["packets"] as? Int } == [1, 18])
    }
}
