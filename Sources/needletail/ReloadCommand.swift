// `needletail reload`: the running router reads its configuration and ruleset again.
import ArgumentParser
import Control
import Foundation

struct ReloadCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "reload", abstract: "Let the running router read its configuration and ruleset again.",
        discussion: """
            Takes over the interfaces' addresses, [routing] and [ruleset], all of it or nothing; connections live on. What needs a restart is \
            named, and then nothing is taken over.
            """)
    @OptionGroup var socket: SocketOption
    @OptionGroup var output: JSONOption

    func run() throws {
        try Failure.reporting {
            let result = try socket.client().reload()
            if output.json { try JSON.print(result) } else { FileHandle.standardError.write(Data(result.standardError.utf8)) }
            if result.exitCode != 0 { throw ExitCode(result.exitCode) }
        }
    }
}
