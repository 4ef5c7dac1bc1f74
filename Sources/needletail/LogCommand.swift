// `needletail log`: the packets that `log` rules saw, as the kernel's log shows them.
import ArgumentParser
import Control
import Foundation
import Policy

struct LogCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "log", abstract: "Show the packets that log rules saw.",
        discussion: """
            Asks a running needletail through its control socket. Lines have the kernel's form (prefix, IN= OUT= MAC= SRC= ...). The log is \
            a ring in memory: when more packets are logged than it holds before anybody looks, the oldest are gone, and a line says how many.
            """)
    @OptionGroup var socket: SocketOption
    @OptionGroup var output: JSONOption
    @Option(help: "At most so many of the last lines to begin with.") var lines = 100
    @Option(help: "Only lines of this log group (`log group N`).") var group: UInt16?
    @Flag(name: .shortAndLong, help: "Go on until interrupted; asks twice a second.") var follow = false

    func validate() throws { if lines < 1 { throw ValidationError("--lines must be 1 or more") } }

    func run() throws {
        try Failure.reporting {
            let client = try socket.client()
            var next: Int?
            repeat {
                let answer: [LogLine] = try client.get(next.map { "log?from=\($0)&limit=1000" } ?? "log?limit=\(lines)")
                if let next, let first = answer.first, first.number > next { Failure.print("\(first.number - next) lines were lost") }
                next = answer.last.map { $0.number + 1 } ?? next
                let shown = group == nil ? answer : answer.filter { $0.group == group }
                if output.json, !follow { return try JSON.print(Array(shown)) }
                for line in shown { print(output.json ? try LogCommand.json(line) : LogCommand.text(line)) }
                guard follow else { return }
                fflush(nil)
                usleep(500_000)
            } while true
        }
    }

    private static func json(_ line: LogLine) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(line), as: UTF8.self)
    }

    private static func text(_ line: LogLine) -> String {
        let levels = ["emerg", "alert", "crit", "err", "warn", "notice", "info", "debug", "audit"]
        var seconds = time_t(line.time)
        var parts = tm()
        localtime_r(&seconds, &parts)
        let place = String(format: "%04d-%02d-%02d %02d:%02d:%02d.%06d", parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec,
                           Int((line.time - Double(seconds)) * 1e6))
        let mark = line.group.map { "group \($0)" } ?? (Int(line.level) < levels.count ? levels[Int(line.level)] : "\(line.level)")
        return "\(place) \(mark): \(line.text)"
    }
}
