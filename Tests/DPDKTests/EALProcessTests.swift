// Starting and stopping the EAL, in processes of their own, since a process can do it once: the test binary runs itself
// again with one test and a case in its environment.
import DPDK
import Glibc
import Testing

private let caseVariable = "NEEDLETAIL_EAL_CASE"
private func environment(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }

/// The child's side.
@Suite struct EALChild {
    @Test(.enabled(if: environment(caseVariable) != nil, "runs in a child process only")) func childProcess() throws {
        func report(_ body: () throws -> String) {
            do { print("RESULT", try body()) } catch let error as DPDKError {
                print("RESULT error", error.kind, error.message)
                print("RESULT advice", error.advice)
            } catch { print("RESULT", error) }
        }
        switch environment(caseVariable) {
        case "stop":
            report {
                let cpu = EALConfiguration.allowedCPUs[0]
                // Main, slow path and worker share one CPU.
                var configuration = EALConfiguration(mainCPU: cpu, slowPathCPU: cpu, workerCPUs: [cpu], hugePages: false, memoryMB: 64)
                configuration.telemetry = true
                let eal = try EAL.start(configuration)
                let pool = try Mempool(count: 511)
                let port = try EthernetPort(name: "p", device: "net_null0")
                _ = try port.configure(PortConfiguration(), pools: [pool])
                try port.start()
                let table = try RTEFIBBackend(family: .ipv4, maximumRoutes: 100)
                try eal.workers[0].launch({ _ in 7 }, context: nil)
                let answer = eal.workers[0].wait()
                try eal.slowPath?.launch({ _ in 8 }, context: nil)
                let other = eal.slowPath?.wait() ?? 0
                port.close()
                let left = pool.inUse
                EAL.stop()
                EAL.stop()
                // Pool, table and port die after the EAL.
                return withExtendedLifetime((pool, table, port)) { "stopped \(answer) \(other) \(left) \(eal.sharesCPU(eal.workers[0]))" }
            }
            report {
                _ = try EAL.start(.small())
                return "started twice"
            }
        case "huge":
            report {
                let cpu = EALConfiguration.allowedCPUs[0]
                _ = try EAL.start(EALConfiguration(mainCPU: cpu, hugePages: true, memoryMB: 64))
                return "started"
            }
        case "driver":
            report {
                var configuration = EALConfiguration.small(memoryMB: 64)
                configuration.virtualDevices = ["net_nosuchdriver0"]
                _ = try EAL.start(configuration)
                return "started"
            }
            report {
                _ = try EAL.start(.small())
                return "started"
            }
        case "usage":
            report {
                var configuration = EALConfiguration.small(memoryMB: 64)
                configuration.extraArguments = ["--no-such-option"]
                _ = try EAL.start(configuration)
                return "started"
            }
        default: Issue.record("unknown case")
        }
    }
}

@Suite struct EALProcessTests {
    /// What a child prints, all of it.
    private func run(_ name: String) throws -> String {
        let path = "/tmp/needletail-test-\(getpid())-\(name).txt"
        defer { unlink(path) }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 1, path, O_CREAT | O_WRONLY | O_TRUNC, 0o600)
        posix_spawn_file_actions_adddup2(&actions, 1, 2)
        let arguments = ["test", "--testing-library", "swift-testing", "--filter", "EALChild"]
        var words: [UnsafeMutablePointer<CChar>?] = arguments.map { (word: String) in strdup(word) } + [nil]
        var variables: [UnsafeMutablePointer<CChar>?] = [strdup("\(caseVariable)=\(name)")]
        var entry = environ
        while let text = entry.pointee {
            variables.append(text)
            entry += 1
        }
        variables.append(nil)
        var process: pid_t = 0, status: Int32 = 0
        try #require(posix_spawn(&process, "/proc/self/exe", &actions, nil, &words, variables) == 0)
        try #require(waitpid(process, &status, 0) == process)
        for word in words { free(word) }
        let file = try #require(fopen(path, "r"))
        defer { fclose(file) }
        var text = ""
        var line = [CChar](repeating: 0, count: 4096)
        while fgets(&line, 4096, file) != nil { text += String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self) }
        #expect(status == 0, "\(text)")
        #expect(!text.contains("EAL:"), "DPDK's own words reach the terminal: \(text)")
        for folder in ["/var/run/dpdk", "/tmp/dpdk", environment("XDG_RUNTIME_DIR").map { $0 + "/dpdk" } ?? ""] {
            #expect(access("\(folder)/needletail-\(process)", F_OK) != 0, "the runtime directory is left behind")
        }
        return text
    }

    @Test func stopsAndCannotStartAgain() throws {
        let text = try run("stop")
        #expect(text.contains("RESULT stopped 7 8 0 true"), "\(text)")
        #expect(text.contains("RESULT error state DPDK was stopped and cannot be started twice in a process"), "\(text)")
    }

    @Test func aFailedStartIsExplained() throws {
        let text = try run("driver")
        #expect(text.contains("RESULT error machine DPDK does not start"), "\(text)")
        #expect(text.contains("RESULT advice check that DPDK's drivers are installed"), "\(text)")
        #expect(text.contains("RESULT error state DPDK failed to start before"), "\(text)")
    }

    @Test func anUnknownArgumentIsExplained() throws {
        let text = try run("usage")
        #expect(text.contains("RESULT error machine DPDK does not start"), "\(text)")
        #expect(text.contains("RESULT advice check eal.arguments"), "\(text)")
        #expect(!text.contains("Usage:"), "\(text)")
    }

    @Test func missingHugePagesAreExplained() throws {
        let text = try run("huge")
        if text.contains("RESULT started") {
            print("skipped missingHugePagesAreExplained: the machine has huge pages")
            return
        }
        #expect(text.contains("RESULT error machine DPDK does not start"), "\(text)")
        #expect(text.contains("RESULT advice reserve huge pages"), "\(text)")
    }
}
