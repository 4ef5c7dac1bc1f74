// `needletail replay` on small captures that the tests make.
import Foundation
import Testing

@Suite struct ReplayTests {
    private static let rules = """
        table inet filter {
        	chain forward {
        		type filter hook forward priority filter; policy drop;
        		udp dport 2000 counter accept
        	}
        }
        """

    /// A directory with `a.toml` and a capture `in.pcap` of ten datagrams from a: eight to port 2000, two to 2001.
    private func prepare(extra: String = "") throws -> Scratch {
        let scratch = try Scratch()
        try scratch.write("rules.nft", ReplayTests.rules)
        try scratch.write("a.toml", Sample.configuration(ruleset: "rules.nft", extra: extra))
        try Capture.write((0..<10).map { Datagram.fromA(destinationPort: $0 < 8 ? 2000 : 2001).frame }, to: scratch.path("in.pcap"))
        return scratch
    }

    private func replay(_ scratch: Scratch, _ arguments: String...) throws -> Outcome {
        try Binary.run(["replay", "--config", "a.toml", "--out", "out"] + arguments, in: scratch.url)
    }

    private func summary(_ outcome: Outcome) throws -> [String: Any] {
        try #require(try JSONSerialization.jsonObject(with: Data(outcome.output.utf8)) as? [String: Any])
    }

    @Test func forwardsByTheRules() throws {
        let scratch = try prepare()
        let outcome = try replay(scratch, "--in", "a=in.pcap", "--json")
        #expect(outcome.exitCode == 0, "\(outcome.error)")
        #expect(try Capture.read(scratch.path("out/b.pcap")) == Array(repeating: Datagram.fromA().forwardedByB.frame, count: 8))
        #expect(try Capture.read(scratch.path("out/a.pcap")).isEmpty)
        let summary = try summary(outcome)
        #expect(summary["packetsIn"] as? Int == 10)
        #expect(summary["packetsOut"] as? Int == 8)
        #expect(summary["drops"] as? [String: Int] == ["policy_drop": 2])
        let counters = try #require(summary["counters"] as? [[String: Any]])
        #expect(counters.count == 1)
        #expect(counters.first?["packets"] as? Int == 8)
        #expect(counters.first?["bytes"] as? Int == 8 * 35)
    }

    @Test func printsATableForPeople() throws {
        let outcome = try replay(try prepare(), "--in", "a=in.pcap")
        #expect(outcome.exitCode == 0, "\(outcome.error)")
        #expect(outcome.output.hasPrefix("10 packets in, 8 out; 0.009 s of traffic in "))
        #expect(outcome.output.contains(/policy_drop +2\n/))
    }

    @Test func twiceTheSameBytes() throws {
        let scratch = try prepare()
        for out in ["one", "two"] {
            #expect(try Binary.run("replay", "--config", "a.toml", "--out", out, "--in", "a=in.pcap", in: scratch.url).exitCode == 0)
        }
        for port in ["a", "b"] { #expect(FileManager.default.contentsEqual(atPath: scratch.path("one/\(port).pcap"), andPath: scratch.path("two/\(port).pcap"))) }
    }

    /// Time begins with the first packet, for elements of the ruleset file as well.
    @Test func elementsTimeOutInTheCapturesTime() throws {
        let scratch = try prepare()
        try scratch.write("rules.nft", """
            table inet filter {
            	set open { type inet_service; flags timeout; elements = { 2000 timeout 4ms, 2001 timeout 1h }; }
            	chain forward { type filter hook forward priority filter; policy drop; udp dport @open accept; }
            }
            """)
        let outcome = try replay(scratch, "--in", "a=in.pcap")
        #expect(outcome.exitCode == 0, "\(outcome.error)")
        let good = Datagram.fromA().forwardedByB.frame, sent = try Capture.read(scratch.path("out/b.pcap"))
        #expect(sent.count == 6)
        #expect(sent.filter { $0 == good }.count == 4)
    }

    @Test func withoutLockstepTheSamePacketsLeave() throws {
        let scratch = try prepare()
        #expect(try replay(scratch, "--in", "a=in.pcap", "--no-lockstep").exitCode == 0)
        #expect(try Capture.read(scratch.path("out/b.pcap")).count == 8)
    }

    @Test func comparesWithWhatIsExpected() throws {
        let scratch = try prepare()
        let good = Datagram.fromA().forwardedByB.frame
        try Capture.write(Array(repeating: good, count: 8), to: scratch.path("good.pcap"))
        let equal = try replay(scratch, "--in", "a=in.pcap", "--expect", "b=good.pcap", "--reference", "Linux")
        #expect(equal.exitCode == 0, "\(equal.error)")
        #expect(equal.output.hasSuffix("\n8 of 8 packets equal those of Linux: all of them\n"))

        var bad = good
        bad[22] ^= 1
        try Capture.write([bad] + Array(repeating: good, count: 8), to: scratch.path("bad.pcap"))
        let different = try replay(scratch, "--in", "a=in.pcap", "--expect", "b=bad.pcap", "--reference", "Linux")
        #expect(different.exitCode == 1)
        #expect(different.output.hasSuffix("\nb: expected frame 1 (49 bytes) was not sent\n8 of 9 packets equal those of Linux\n"))

        try Capture.write([bad] + Array(repeating: good, count: 7), to: scratch.path("changed.pcap"))
        let changed = try replay(scratch, "--in", "a=in.pcap", "--expect", "b=changed.pcap")
        #expect(changed.exitCode == 1)
        #expect(changed.output.hasSuffix("\nb: frame 8: differs from expected frame 1 at bytes 22\n7 of 8 packets equal those of the expected captures; 1 of the 8 that were sent differ\n"))
    }

    @Test func readsAndWritesNetPcapDevices() throws {
        let scratch = try prepare()
        try scratch.write("pcap.toml", Sample.configuration(
            ruleset: "rules.nft",
            devices: ("net_pcap0,rx_pcap=\(scratch.path("in.pcap")),tx_pcap=\(scratch.path("a-tx.pcap"))", "net_pcap1,tx_pcap=\(scratch.path("b-tx.pcap"))")))
        let outcome = try Binary.run("replay", "--config", "pcap.toml", "--out", "out", in: scratch.url)
        #expect(outcome.exitCode == 0, "\(outcome.error)")
        #expect(try Capture.read(scratch.path("b-tx.pcap")) == Array(repeating: Datagram.fromA().forwardedByB.frame, count: 8))
    }

    @Test func saysWhichNamesAreWrong() throws {
        let scratch = try prepare()
        let outcome = try replay(scratch, "--in", "wan=in.pcap", "--in", "a=none.pcap", "--expect", "c=none.pcap")
        #expect(outcome.exitCode == 1)
        #expect(outcome.error == """
            --in wan=in.pcap: a.toml has no port "wan"; it has a, b
            --in a=none.pcap: the file cannot be read
            --expect c=none.pcap: a.toml has no port "c"; it has a, b
            --expect c=none.pcap: the file cannot be read

            """)
        let nothing = try replay(scratch)
        #expect(nothing.exitCode == 1)
        #expect(nothing.error == "no --in NAME=FILE and no port with a net_pcap device: there is nothing to replay\n")
    }

    @Test func aDamagedCaptureIs1() throws {
        let scratch = try prepare()
        let whole = try Data(contentsOf: URL(fileURLWithPath: scratch.path("in.pcap")))
        try whole.prefix(whole.count - 5).write(to: URL(fileURLWithPath: scratch.path("cut.pcap")))
        try scratch.write("text.pcap", "this is no capture")
        for name in ["cut.pcap", "text.pcap"] {
            let outcome = try replay(scratch, "--in", "a=\(name)")
            #expect(outcome.exitCode == 1)
            #expect(outcome.error.contains(name), "\(outcome.error)")
        }
    }

    @Test func aWrongRulesetIs1() throws {
        let scratch = try prepare()
        try scratch.write("rules.nft", "table ip t {\n\tchain c {\n\t\ttcp dport 99999 accept\n\t}\n}\n")
        let outcome = try replay(scratch, "--in", "a=in.pcap")
        #expect(outcome.exitCode == 1)
        #expect(outcome.error == "rules.nft:3:13-17: Error: Service out of range\n\t\ttcp dport 99999 accept\n\t\t          ^^^^^\n")
    }
}
