// What each key of [offload] does, seen from outside: the built binary between two emulated NICs, on the captures' own clock.
import Foundation
import Testing

@Suite struct OffloadKeyTests {
    private static let rules = """
        table inet filter {
        	chain forward {
        		type filter hook forward priority filter; policy drop;
        		ct state established counter accept
        		udp dport 2000 counter accept
        	}
        }
        """

    /// A conversation behind port a: its source port, and when each of its datagrams comes, in milliseconds; each is answered half a millisecond later.
    private struct Talk {
        var port: Int
        var times: [Int]
        static func steady(_ port: Int, perSecond: Int, seconds: Int, from: Int = 0) -> Talk {
            Talk(port: port, times: (0 ..< perSecond * seconds).map { from + $0 * 1000 / perSecond })
        }
    }

    /// What `replay --json` says of the NICs after these conversations.
    private struct Report {
        var offered = 0, installed = 0, removed = 0, active = 0, carried = 0
        var refused: [String: Int] = [:]
        var tiers: [String] = []
        /// Of the rule for established connections.
        var counted = 0
        var sent = 0
    }

    private func play(_ talks: [Talk], _ keys: String, nic: String = "full") throws -> Report {
        let scratch = try Scratch()
        try scratch.write("rules.nft", Self.rules)
        try scratch.write("a.toml", Sample.configuration(ruleset: "rules.nft", extra: "[offload]\n\(keys)"))
        var there: [(UInt64, [UInt8])] = [], back: [(UInt64, [UInt8])] = []
        for talk in talks {
            let frame = Datagram.fromA(sourcePort: UInt16(talk.port)).frame
            let answer = Datagram(
                sourceMAC: [2, 0, 0, 0, 0x0b, 2], destinationMAC: [2, 0, 0, 0, 0x0b, 1], source: [192, 0, 2, 9], destination: [10, 0, 1, 2], sourcePort: 2000,
                destinationPort: UInt16(talk.port)).frame
            for time in talk.times {
                there.append((UInt64(time) * 1_000_000, frame))
                back.append((UInt64(time) * 1_000_000 + 500_000, answer))
            }
        }
        try Capture.write(there.sorted { $0.0 < $1.0 }, to: scratch.path("a.pcap"))
        try Capture.write(back.sorted { $0.0 < $1.0 }, to: scratch.path("b.pcap"))
        let outcome = try Binary.run(
            ["replay", "--config", "a.toml", "--emulate-offload", nic, "--in", "a=a.pcap", "--in", "b=b.pcap", "--out", "out", "--json"], in: scratch.url)
        #expect(outcome.exitCode == 0, "\(outcome.error)")
        let summary = try #require(try JSONSerialization.jsonObject(with: Data(outcome.output.utf8)) as? [String: Any])
        var report = Report()
        report.sent = summary["packetsOut"] as? Int ?? 0
        for counter in summary["counters"] as? [[String: Any]] ?? [] where counter["rule"] as? String == "ct state established counter accept" || counter["line"] as? Int == 4 {
            report.counted = counter["packets"] as? Int ?? 0
        }
        guard let offload = summary["offload"] as? [String: Any] else { return report }
        report.offered = offload["offered"] as? Int ?? 0
        report.installed = offload["installed"] as? Int ?? 0
        report.removed = offload["removed"] as? Int ?? 0
        report.active = offload["active"] as? Int ?? 0
        report.carried = offload["carriedPackets"] as? Int ?? 0
        report.refused = offload["refused"] as? [String: Int] ?? [:]
        report.tiers = (offload["ports"] as? [[String: Any]] ?? []).compactMap { $0["tier"] as? String }
        // Whoever forwards a packet: it leaves, and the rule counts it, but for each conversation's first. (Of some NICs the last second's counts
        // are never known.)
        let packets = talks.reduce(0) { $0 + $1.times.count * 2 }
        if nic == "full" { #expect(report.counted == packets - talks.count && report.sent + report.carried == packets) }
        return report
    }

    /// `tier`: what is used of the NIC at most.
    @Test func tier() throws {
        let talk = [Talk.steady(1000, perSecond: 50, seconds: 4)]
        for tier in ["auto", "full"] {
            let report = try play(talk, "tier = \"\(tier)\"")
            #expect(report.tiers == ["full", "full"] && report.active == 1 && report.carried > 150, "\(report)")
        }
        let mark = try play(talk, "tier = \"mark\"")
        #expect(mark.tiers == ["mark", "mark"] && mark.installed == 0 && mark.carried == 0 && mark.refused["port cannot carry flows"] ?? 0 > 0, "\(mark)")
        // Nothing is asked of the NIC at all.
        let none = try play(talk, "tier = \"none\"")
        #expect(none.tiers == [] && none.offered == 0 && none.carried == 0, "\(none)")
    }

    /// `minimum-rate`: packets a second of both directions.
    @Test func minimumRate() throws {
        let talks = [Talk.steady(1000, perSecond: 100, seconds: 4), Talk.steady(1001, perSecond: 10, seconds: 4)]
        for (rate, flows) in [(0, 2), (10, 2), (60, 1), (1000, 0)] {
            let report = try play(talks, "minimum-rate = \(rate)\nminimum-packets = 0")
            #expect(report.installed == flows && report.offered == flows, "\(rate): \(report)")
        }
    }

    /// `minimum-packets`, of both directions.
    @Test func minimumPackets() throws {
        let talks = [Talk.steady(1000, perSecond: 100, seconds: 4), Talk.steady(1001, perSecond: 20, seconds: 4)]
        for (packets, flows) in [(0, 2), (100, 2), (400, 1), (100_000, 0)] {
            let report = try play(talks, "minimum-packets = \(packets)")
            #expect(report.installed == flows, "\(packets): \(report)")
        }
        // The more it asks, the fewer the NIC carries.
        #expect(try play([talks[0]], "minimum-packets = 600").carried < 200)
        #expect(try play([talks[0]], "minimum-packets = 0").carried > 300)
    }

    /// `max-flows`: what is beyond stays in software.
    @Test func maximumFlows() throws {
        let talks = (0 ..< 5).map { Talk.steady(1000 + $0, perSecond: 50, seconds: 3) }
        for most in [0, 1, 3, 5] {
            let report = try play(talks, "max-flows = \(most)")
            #expect(report.active == most && (report.refused["flow limit"] ?? 0 > 0) == (most < 5), "\(most): \(report)")
        }
    }

    /// `idle`: seconds without a packet after which a flow gives its place back; it may come again.
    @Test func idle() throws {
        var talk = Talk.steady(1000, perSecond: 50, seconds: 3)
        talk.times += Talk.steady(1000, perSecond: 50, seconds: 3, from: 10_000).times
        let short = try play([talk], "idle = 4"), long = try play([talk], "idle = 20")
        #expect(short.installed == 2 && short.removed == 1, "\(short)")
        #expect(long.installed == 1 && long.removed == 0 && long.active == 1, "\(long)")
    }

    /// `query-interval-ms`: how often a rule's counters are read, and so how soon an idle flow is noticed.
    @Test func queryInterval() throws {
        var talk = Talk.steady(1000, perSecond: 50, seconds: 3)
        talk.times += Talk.steady(1000, perSecond: 50, seconds: 1, from: 7000).times
        let often = try play([talk], "idle = 2\nquery-interval-ms = 500"), seldom = try play([talk], "idle = 2\nquery-interval-ms = 20000")
        #expect(often.removed == 1, "\(often)")
        #expect(seldom.removed == 0 && seldom.active == 1, "\(seldom)")
    }

    /// `emulate-offload`: a NIC that can only recognise flows carries none; every packet is forwarded all the same.
    @Test(arguments: ["mlx5", "mlx5-hws", "bnxt", "ice", "cxgbe"]) func emulatedNIC(_ nic: String) throws {
        let report = try play([Talk.steady(1000, perSecond: 50, seconds: 4)], "tier = \"auto\"", nic: nic)
        #expect((report.carried > 50) == nic.hasPrefix("mlx5"), "\(report)")
    }
}
