// `needletail run` and its control socket: start, questions, a stop with nothing left behind.
import Foundation
import Glibc
import Testing

/// A running needletail on two net_null ports, told to stop when the value goes away.
private final class Router {
    let scratch: Scratch
    let process = Process()

    /// Starts it and waits until its socket answers.
    init(_ scratch: Scratch, ruleset: String? = nil, change: (String) -> String = { $0 }) throws {
        self.scratch = scratch
        if let ruleset { try scratch.write("rules.nft", ruleset) }
        try scratch.write("run.toml", change(Sample.configuration(ruleset: ruleset == nil ? nil : "rules.nft", devices: ("net_null0,no-rx=1", "net_null1,no-rx=1"))))
        for name in ["out", "err"] { try scratch.write(name, "") }
        process.executableURL = URL(fileURLWithPath: Binary.path)
        process.arguments = ["run", "--config", "run.toml"]
        process.currentDirectoryURL = scratch.url
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = FileHandle(forWritingAtPath: scratch.path("out"))
        process.standardError = FileHandle(forWritingAtPath: scratch.path("err"))
        try process.run()
        let deadline = Date(timeIntervalSinceNow: 60)
        while try Binary.run("show", "status", "--socket", "control.sock", in: scratch.url).exitCode != 0 {
            guard process.isRunning, Date() < deadline else { throw NotStarted(error: text("err")) }
            usleep(100_000)
        }
    }

    struct NotStarted: Error { var error: String }

    deinit { signal(SIGKILL) }

    /// Sends a signal to the process, and to nobody else: an identifier of 0 would mean this whole process group.
    func signal(_ number: Int32) {
        let identifier = process.processIdentifier
        if process.isRunning, identifier > 1 { kill(identifier, number) }
    }

    func text(_ name: String) -> String { (try? String(contentsOfFile: scratch.path(name), encoding: .utf8)) ?? "" }

    func show(_ arguments: String...) throws -> Outcome { try Binary.run(["show"] + arguments + ["--socket", "control.sock"], in: scratch.url) }

    /// Writes bytes to the control socket and hangs up.
    func send(_ text: String) {
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(descriptor) }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: scratch.path("control.sock").utf8.prefix($0.count - 1)) }
        let size = socklen_t(MemoryLayout<sockaddr_un>.size)
        let connected = withUnsafePointer(to: &address) { $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(descriptor, $0, size) } }
        #expect(connected == 0)
        _ = Array(text.utf8).withUnsafeBytes { Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
        usleep(20_000)
    }

    /// Sends a signal and gives the exit code, 128 and more for a signal's death.
    func end(_ number: Int32 = SIGTERM) -> Int32 {
        signal(number)
        process.waitUntilExit()
        return process.terminationReason == .exit ? process.terminationStatus : 128 + process.terminationStatus
    }
}

@Suite(.serialized) struct RunTests {
    @Test func answersAndStops() throws {
        let router = try Router(try Scratch())
        let mode = try FileManager.default.attributesOfItem(atPath: router.scratch.path("control.sock"))[.posixPermissions] as? Int
        #expect(mode == 0o600)

        let status = try router.show("status", "--json")
        #expect(status.exitCode == 0, "\(status.error)")
        let fields = try #require(try JSONSerialization.jsonObject(with: Data(status.output.utf8)) as? [String: Any])
        #expect(fields["ports"] as? Int == 2)
        #expect(fields["processIdentifier"] as? Int == Int(router.process.processIdentifier))
        for question in ["stats", "ports", "interfaces", "flows", "conntrack", "offload"] {
            let text = try router.show(question)
            #expect(text.exitCode == 0, "show \(question): \(text.error)")
            let json = try router.show(question, "--json")
            #expect(json.exitCode == 0)
            #expect(throws: Never.self) { try JSONSerialization.jsonObject(with: Data(json.output.utf8)) }
        }
        let metrics = try router.show("metrics")
        #expect(metrics.output.contains("\nneedletail_port_received_packets_total{port=\"a\"} 0\n"))
        // What show config prints is a configuration again.
        let config = try router.scratch.write("again.toml", try router.show("config").output)
        #expect(try Binary.run("check", "--config", config).exitCode == 0)

        #expect(router.end() == 0, "\(router.text("err"))")
        #expect(router.text("out").hasPrefix("0 packets in, 0 out; "))
        #expect(!FileManager.default.fileExists(atPath: router.scratch.path("control.sock")))
    }

    /// With two workers each port's RSS is learned (net_null has one, net_ring none); with one nobody asks.
    @Test func twoWorkersLearnHowPortsSpread() throws {
        for (steering, isAsked) in [("auto", true), ("off", false)] {
            let router = try Router(try Scratch()) { text in
                text.replacingOccurrences(of: "worker-cores = [0]", with: "worker-cores = [0, 1]").replacingOccurrences(of: "net_null1,no-rx=1", with: "net_ring0,nodeaction=r0:0:CREATE") + "\n[nat]\nsteer-ports = \"\(steering)\"\n"
            }
            #expect(try router.show("metrics").output.contains("\nneedletail_nat_steering_total{result=\"moved\"} 0\n"))
            #expect(router.end() == 0, "\(router.text("err"))")
            #expect(!router.text("err").contains("port a: the device"), "\(router.text("err"))")
            #expect(router.text("err").contains("port b: the device has no RSS") == isAsked, "\(router.text("err"))")
        }
    }

    @Test func aSecondOneIsRefusedAndAStaleSocketIsNot() throws {
        let scratch = try Scratch()
        let first = try Router(scratch)
        let second = try Binary.run("run", "--config", "run.toml", in: scratch.url)
        #expect(second.exitCode == 2)
        #expect(second.error.contains("control socket \(scratch.path("control.sock")): another needletail listens there; stop it or choose another path in [control] socket")
            || second.error.contains("control socket control.sock: another needletail listens there"), "\(second.error)")
        #expect(try first.show("status").exitCode == 0)
        #expect(first.end(SIGKILL) == 128 + SIGKILL)
        #expect(FileManager.default.fileExists(atPath: scratch.path("control.sock")))
        let third = try Router(scratch)
        #expect(third.end(SIGINT) == 0, "\(third.text("err"))")
    }

    @Test func aFileInTheSocketsPlaceIsKept() throws {
        let scratch = try Scratch()
        try scratch.write("run.toml", Sample.configuration(ruleset: nil, devices: ("net_null0,no-rx=1", "net_null1,no-rx=1")))
        try scratch.write("control.sock", "precious")
        let outcome = try Binary.run("run", "--config", "run.toml", in: scratch.url)
        #expect(outcome.exitCode == 2)
        #expect(outcome.error.contains("control.sock: there is a file of that name which is no socket; remove it or choose another path in [control] socket"), "\(outcome.error)")
        #expect(try String(contentsOfFile: scratch.path("control.sock"), encoding: .utf8) == "precious")
    }

    @Test func readsTheRulesetAgain() throws {
        let router = try Router(try Scratch(), ruleset: "table ip t {\n\tcounter old {\n\t}\n}\n")
        #expect(try router.show("stats").output.contains("ip t old"))
        try router.scratch.write("rules.nft", "table ip t {\n\tcounter new {\n\t}\n}\n")
        router.signal(SIGHUP)
        let deadline = Date(timeIntervalSinceNow: 30)
        while try !router.show("stats").output.contains("ip t new"), Date() < deadline { usleep(100_000) }
        #expect(try router.show("stats").output.contains("ip t new"))
        try router.scratch.write("rules.nft", "table ip t {\n\tnonsense\n}\n")
        router.signal(SIGHUP)
        while !router.text("err").contains("configuration and ruleset stay as they were"), Date() < deadline { usleep(100_000) }
        #expect(router.text("err").contains("configuration and ruleset stay as they were"))
        #expect(try router.show("stats").output.contains("ip t new"))
        #expect(router.end() == 0, "\(router.text("err"))")
    }

    @Test func takesOverAnotherConfiguration() throws {
        let router = try Router(try Scratch(), ruleset: "table ip t {\n\tcounter old {\n\t}\n}\n")
        func reload() throws -> Outcome { try Binary.run("reload", "--socket", "control.sock", in: router.scratch.url) }
        let before = router.text("run.toml")
        let after = before.replacing("10.0.2.1/24\"]", with: "10.0.2.1/24\", \"192.0.2.1/24\"]").replacing("via = \"10.0.2.2\"", with: "via = \"192.0.2.2\"")
        try router.scratch.write("run.toml", after)
        try router.scratch.write("rules.nft", "table ip t {\n\tcounter new {\n\t}\n}\n")
        let taken = try reload()
        #expect(taken.exitCode == 0 && taken.error.isEmpty, "\(taken.error)")
        #expect(try router.show("ports", "--json").output.contains("\"192.0.2.1/24\""))
        #expect(try router.show("config").output.contains("via = \"192.0.2.2\"") && router.show("stats").output.contains("ip t new"))
        for (text, message) in [
            (after.replacing("max = 4096", with: "max = 8192"), "run.toml: this needs a restart, nothing was taken over:\n    [conntrack] max = 8192\n"),
            (before.replacing("via = \"10.0.2.2\"", with: "via = \"172.16.0.1\""), "run.toml:"),
        ] {
            try router.scratch.write("run.toml", text)
            let refused = try reload()
            #expect(refused.exitCode == 1 && refused.error.contains(message), "\(refused.error)")
            #expect(try router.show("config").output.contains("via = \"192.0.2.2\""))
        }
        #expect(router.end() == 0, "\(router.text("err"))")
    }

    @Test func garbageOnTheSocketHurtsNobody() throws {
        let router = try Router(try Scratch())
        let requests = [
            "", "\r\n\r\n", "GET", "GET /v1/status HTTP/9.9\r\n\r\n", "GET /nothing HTTP/1.1\r\n\r\n", "POST /v1/nft HTTP/1.1\r\nContent-Length: 3\r\n\r\n{}}",
            "POST /v1/nft HTTP/1.1\r\nContent-Length: -1\r\n\r\n", "POST /v1/nft HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
            "POST /v1/nft HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "GET /v1/flows?limit=-5 HTTP/1.1\r\n\r\n", "GET /v1/flows?limit=x HTTP/1.1\r\n\r\n",
            String(repeating: "A", count: 100_000), "GET / HTTP/1.1\r\n" + String(repeating: "X: y\r\n", count: 5000) + "\r\n", "\u{0}\u{1}\u{2}\u{ff}",
        ]
        for request in requests { router.send(request) }
        #expect(try router.show("status").exitCode == 0)
        #expect(router.end() == 0, "\(router.text("err"))")
    }

    @Test func whatTheMachineLacksIs2() throws {
        let scratch = try Scratch()
        try scratch.write("run.toml", Sample.configuration(ruleset: nil, devices: ("net_af_packet0,iface=doesnotexist", "net_null1,no-rx=1")))
        let outcome = try Binary.run("run", "--config", "run.toml", in: scratch.url)
        #expect(outcome.exitCode == 2)
        #expect(outcome.error.contains("net_af_packet0,iface=doesnotexist"), "\(outcome.error)")
    }
}
