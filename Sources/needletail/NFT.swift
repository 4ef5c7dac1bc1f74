// `needletail nft ...`, and the binary under the name `nft`: hands nft's own arguments to the Ruleset module, offline, or to the
// running needletail through its control socket.
//
// Invariant: nothing of DPDK is touched on this path, so that it costs no more than nft itself.
import ArgumentParser
import Configuration
import Control
import Dataplane
import Foundation
import Ruleset

struct NFT: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "nft",
        abstract: "List and change the ruleset, with nft's own arguments.",
        discussion: "With --offline it works on an empty ruleset in memory: each -f FILE is one transaction, then the command runs.")

    @Argument(parsing: .captureForPassthrough, help: "nft's arguments; see `nft --help`.")
    var arguments: [String] = []

    func run() throws {
        let status = Self.run(arguments)
        if status != 0 { throw ExitCode(status) }
    }

    /// Runs nft's arguments; the result is the exit status.
    static func run(_ arguments: [String]) -> Int32 {
        let command = NFTCommandLine(arguments: arguments)
        if command.message != nil || command.failure != nil || command.files.isEmpty && command.command.isEmpty && !command.interactive {
            var nothing = RulesetValue()
            return finish(command.run(on: &nothing))
        }
        let isLineByLine = command.interactive && command.files.isEmpty && command.command.isEmpty
        if command.offline {
            if isLineByLine {
                var ruleset = RulesetValue()
                return lines { line in _ = finish(command.interactive(line).run(on: &ruleset)) }
            }
            var ruleset = RulesetValue()
            return finish(command.run(on: &ruleset))
        }
        let socket = ProcessInfo.processInfo.environment["NEEDLETAIL_SOCKET"] ?? Configuration.Control().socket
        let client = ControlClient(path: socket)
        do {
            if let words = command.monitor { return try monitor(client, arguments, words) }
            if isLineByLine {
                // The options once more, then the line as the command.
                let options = arguments.filter { $0 != "-i" && $0 != "--interactive" }
                return try lines { line in _ = try send(client, options + ["--", line], input: nil) }
            }
            let readsInput = command.files.contains("-") || command.files.contains("/dev/stdin")
            let input = readsInput ? String(decoding: FileHandle.standardInput.readDataToEndOfFile(), as: UTF8.self) : nil
            return try send(client, arguments, input: input)
        } catch {
            print("", "\(error)\n")
            return 2
        }
    }

    private static func finish(_ result: NFTResult) -> Int32 {
        print(result.output, result.errors)
        return result.exitStatus
    }

    private static func send(_ client: ControlClient, _ arguments: [String], input: String?) throws(ControlError) -> Int32 {
        let result = try client.nft(NftRequest(
            arguments: arguments, workingDirectory: FileManager.default.currentDirectoryPath, standardInput: input, process: ProcessInfo.processInfo.processIdentifier))
        print(result.standardOutput, result.standardError)
        return result.exitCode
    }

    /// `nft -i`: one command a line, until the end, `quit` or `exit`; an error does not end it.
    private static func lines(_ run: (String) throws -> Void) rethrows -> Int32 {
        while let line = readLine() {
            let words = line.trimmingCharacters(in: .whitespaces)
            if words == "quit" || words == "exit" { break }
            if !words.isEmpty { try run(line) }
        }
        return 0
    }

    /// `nft monitor`: prints what changes until it is interrupted.
    private static func monitor(_ client: ControlClient, _ arguments: [String], _ words: [String]) throws(ControlError) -> Int32 {
        guard MonitorFilter(words) != nil else {
            print("", "Error: monitor \(words.joined(separator: " ")): expected [new|destroy] [tables|chains|sets|rules|elements|ruleset]\n")
            return 1
        }
        var after: UInt64?
        while true {
            let news = try client.changes(NftMonitorRequest(arguments: arguments, after: after))
            print(news.text, news.isBehind ? "nft: changes were lost: the output was read too slowly\n" : "")
            after = news.last
        }
    }

    private static func print(_ output: String, _ errors: String) {
        FileHandle.standardOutput.write(Data(output.utf8))
        FileHandle.standardError.write(Data(errors.utf8))
    }
}
