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
        if command.offline || command.message != nil || command.failure != nil || command.check && command.command.isEmpty {
            var ruleset = RulesetValue()
            let result = command.run(on: &ruleset)
            print(result.output, result.errors)
            return result.exitStatus
        }
        var input: String?
        if command.files.contains("-") || command.files.contains("/dev/stdin") || command.interactive {
            input = String(decoding: FileHandle.standardInput.readDataToEndOfFile(), as: UTF8.self)
        }
        let socket = ProcessInfo.processInfo.environment["NEEDLETAIL_SOCKET"] ?? Configuration.Control().socket
        let request = NftRequest(arguments: arguments, workingDirectory: FileManager.default.currentDirectoryPath, standardInput: input)
        do {
            let result = try ControlClient(path: socket).nft(request)
            print(result.standardOutput, result.standardError)
            return result.exitCode
        } catch {
            print("", "\(error)\n")
            return 2
        }
    }

    private static func print(_ output: String, _ errors: String) {
        FileHandle.standardOutput.write(Data(output.utf8))
        FileHandle.standardError.write(Data(errors.utf8))
    }
}
