// Exit codes and messages of the command line.
import Foundation
import Testing

@Suite struct CommandLineTests {
    @Test func helpAndVersion() throws {
        let help = try Binary.run("--help")
        #expect(help.exitCode == 0)
        for word in ["run", "replay", "check", "show", "bench", "nft"] { #expect(help.output.contains("\n  \(word) "), "--help does not name \(word)") }
        let version = try Binary.run("--version")
        #expect(version.exitCode == 0)
        #expect(version.output.wholeMatch(of: /\d+\.\d+\.\d+\n/) != nil)
    }

    @Test(arguments: [["--nonsense"], ["nonsense"], ["run"], ["replay", "--config", "x"], ["replay", "--config", "x", "--out", "y", "--in", "noequals"], ["show", "flows", "--limit", "0"], ["check"]])
    func wrongUsageIs64(_ arguments: [String]) throws {
        let outcome = try Binary.run(arguments)
        #expect(outcome.exitCode == 64)
        #expect(outcome.error.contains("Usage: "))
        #expect(outcome.output.isEmpty)
    }

    @Test(arguments: [["check"], ["run"], ["replay", "--out", "unused"]]) func aWrongConfigurationIs1AndEveryProblemIsSaid(_ command: [String]) throws {
        let scratch = try Scratch()
        let file = try scratch.write("bad.toml", """
            [eal]
            worker-cores = [1, 1]
            [[port]]
            name = "r0"
            device = "eth0"
            [ruleset]
            file = "none.nft"
            """)
        let outcome = try Binary.run(command + ["--config", file], in: scratch.url)
        #expect(outcome.exitCode == 1)
        let lines = outcome.error.split(separator: "\n").map(String.init)
        #expect(lines.count == 3)
        #expect(lines.first?.hasPrefix("\(file):2: eal.worker-cores: CPU 1 is listed twice") == true)
        #expect(lines.dropFirst().first?.hasPrefix("\(file):5: port.device: \"eth0\" is not allowed") == true)
        #expect(lines.last?.hasPrefix("\(file):7: ruleset.file: \"\(scratch.path("none.nft"))\" cannot be read") == true)
        #expect(!FileManager.default.fileExists(atPath: scratch.path("unused")), "something was started")
    }

    @Test func checkAcceptsTheDemo() throws {
        let outcome = try Binary.run("check", "--config", "conf/demo.toml")
        #expect(outcome.exitCode == 0)
        #expect(outcome.output == "conf/demo.toml: the configuration and the ruleset conf/demo.nft can be used\n")
        #expect(outcome.error.isEmpty)
    }

    @Test func checkNamesTheLineOfAWrongRule() throws {
        let scratch = try Scratch()
        try scratch.write("rules.nft", "table ip t {\n\tchain c {\n\t\ttcp dport 99999 accept\n\t}\n}\n")
        let file = try scratch.write("a.toml", Sample.configuration(ruleset: "rules.nft"))
        let outcome = try Binary.run("check", "--config", file)
        #expect(outcome.exitCode == 1)
        #expect(outcome.error.hasPrefix("\(scratch.path("rules.nft")):3:"))
        let json = try Binary.run("check", "--config", file, "--json")
        #expect(json.exitCode == 1)
        let report = try JSONDecoder().decode(CheckReport.self, from: Data(json.output.utf8))
        #expect(!report.ok)
        #expect(report.findings.contains { $0.severity == "error" && $0.line == 3 && $0.file == scratch.path("rules.nft") })
    }

    @Test func checkWarnsOfWhatNeverMatchesAndRefusesWhatWouldOpen() throws {
        let scratch = try Scratch()
        let file = try scratch.write("a.toml", Sample.configuration(ruleset: "rules.nft"))
        func check(_ rule: String) throws -> Outcome {
            try scratch.write("rules.nft", "table ip t {\n\tchain c {\n\t\ttype filter hook forward priority 0;\n\t\t\(rule)\n\t}\n}\n")
            return try Binary.run("check", "--config", file)
        }
        let place = "\(scratch.path("rules.nft")):4:3-"
        let user = try check("meta skuid 1000 drop")
        #expect(user.exitCode == 0)
        #expect(user.error.hasPrefix(place) && user.error.contains("Warning: meta skuid never matches in a forwarder"))
        let harmless = try check("osf name \"Linux\" accept")
        #expect(harmless.exitCode == 0)
        #expect(harmless.error.contains("Warning: osf is not supported: the rule never matches"))
        for rule in ["osf name \"Linux\" drop", "osf ttl loose name \"Linux\" reject"] {
            let opening = try check(rule)
            #expect(opening.exitCode == 1)
            #expect(opening.error.hasPrefix(place) && opening.error.contains("would let through what it keeps out"))
        }
    }

    @Test func checkWarnsOfAMissingRuleset() throws {
        let scratch = try Scratch()
        let file = try scratch.write("a.toml", Sample.configuration(ruleset: nil))
        let outcome = try Binary.run("check", "--config", file)
        #expect(outcome.exitCode == 0)
        #expect(outcome.error == "\(file): warning: no [ruleset] file: every packet that has a route is forwarded\n")
    }

    @Test func showWithoutANeedletailIs2() throws {
        let scratch = try Scratch()
        let socket = scratch.path("none.sock")
        let outcome = try Binary.run("show", "status", "--socket", socket)
        #expect(outcome.exitCode == 2)
        #expect(outcome.error == "needletail: no needletail listens on \(socket); start one with needletail run --config FILE, or name its socket with --socket or --config\n")
    }

    @Test func showSaysThatASocketPathIsTooLong() throws {
        let socket = "/" + String(repeating: "s", count: 120)
        let outcome = try Binary.run("show", "ports", "--socket", socket)
        #expect(outcome.exitCode == 2)
        #expect(outcome.error == "needletail: control socket \(socket): the path is 121 bytes long, a Unix socket's has 1 to 107; choose a shorter one in [control] socket\n")
    }

    private struct CheckReport: Decodable {
        struct Finding: Decodable {
            var severity: String
            var file: String
            var line: Int?
        }
        var ok: Bool
        var findings: [Finding]
    }
}
