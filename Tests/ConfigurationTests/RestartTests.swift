// What of another configuration a running router takes over, and what it names as needing a restart.
import Testing

@testable import Configuration

@Suite struct RestartTests {
    @Test func addressesRoutesAndRulesetsNeedNone() throws {
        let running = try parse(Sample.minimal)
        let wanted = try parse("""
            [[port]]
            name = "r0"
            device = "net_null0"
            addresses = ["10.0.1.1/24", "fd00::1/64"]
            [[routing.route]]
            to = "0.0.0.0/0"
            via = "10.0.1.2"
            [[routing.rule]]
            priority = 5
            table = 254
            [[routing.neighbour]]
            port = "r0"
            address = "10.0.1.2"
            mac = "02:00:00:00:00:02"
            [ruleset]
            file = "rules.nft"
            """)
        #expect(wanted.needsRestart(running: running).isEmpty && running.needsRestart(running: wanted).isEmpty)
    }

    @Test(arguments: [
        ("[worker]\nburst = 16", ["[worker] burst = 16"]), ("[flow-cache]\nentries = 4096", ["[flow-cache] entries = 4096"]),
        ("[routing]\nmultipath-hash = \"ports\"", ["[routing] multipath-hash = \"ports\""]), ("seed = 9", ["seed = 9"]),
        ("[eal]\nworker-cores = [1, 2]", ["[eal] worker-cores = [1, 2]"]),
    ])
    func anythingElseDoes(change: String, named: [String]) throws {
        let running = try parse(Sample.minimal)
        #expect(try parse(change + "\n" + Sample.minimal).needsRestart(running: running) == named)
    }

    @Test func aPortThatComesOrGoes() throws {
        let running = try parse(Sample.minimal)
        let wanted = try parse(Sample.minimal + "[[port]]\nname = \"r1\"\ndevice = \"net_null1\"\n")
        #expect(wanted.needsRestart(running: running).contains("[[port]] name = \"r1\""))
        #expect(running.needsRestart(running: wanted).contains("no [[port]] device = \"net_null1\""))
    }
}
