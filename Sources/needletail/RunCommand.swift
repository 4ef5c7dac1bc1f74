// `needletail run`: start the router and keep it running until it is told to stop.
import ArgumentParser
import Configuration
import Control
import Dataplane
import Foundation
import Logging

struct RunCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "Run the router until SIGINT, SIGTERM or a stop through the control socket.",
        discussion: "Prints a summary at the end. SIGHUP reads the configuration and the ruleset again, as `needletail reload` does.")

    @OptionGroup var file: ConfigurationOption
    @OptionGroup var output: JSONOption

    @Flag(name: .shortAndLong, help: "Log more; twice for everything.")
    var verbose: Int

    func run() async throws {
        try await Failure.reporting {
            let configuration = try file.load()
            let logger = try LogDestination(configuration.log).logger(Logger.Level(configuration.log.level, verbose: verbose))
            for warning in configuration.warnings { logger.warning("\(warning)") }
            try ControlServer.checkPath(configuration.control.socket)
            let runtime = try Runtime(configuration: configuration, logger: logger)
            let signals = SignalWatcher([
                SIGINT: { Task { await runtime.stop() } },
                SIGTERM: { Task { await runtime.stop() } },
                SIGHUP: { Task { RunCommand.log(await runtime.reload(), to: logger) } },
            ])
            let summary = try await RunCommand.forward(runtime, ControlServer(path: configuration.control.socket, backend: runtime), logger)
            withExtendedLifetime(signals) {}
            if output.json { try JSON.print(summary) } else { print(summary.table, terminator: "") }
        }
    }

    /// The router and its control socket side by side; if the socket cannot be had, the router stops and the error stands.
    private static func forward(_ runtime: Runtime, _ server: ControlServer, _ logger: Logger) async throws -> ForwardingSummary {
        let control = Task {
            do {
                try await server.run { logger.info("listening for show and nft", metadata: ["socket": "\(server.path)"]) }
            } catch {
                await runtime.stop()
                throw error
            }
        }
        let summary: ForwardingSummary
        do {
            summary = try await runtime.run()
        } catch {
            control.cancel()
            _ = await control.result
            throw error
        }
        control.cancel()
        if case .failure(let error) = await control.result, !(error is CancellationError) { throw error }
        return summary
    }

    private static func log(_ result: CommandResult, to logger: Logger) {
        if result.exitCode == 0 { return logger.notice("configuration and ruleset were read again") }
        logger.error("configuration and ruleset stay as they were:\n\(result.standardError)")
    }
}
