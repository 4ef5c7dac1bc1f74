// Where log lines go and how they look: `2026-11-22 17:04:05 warning: port lan: link is down`.
import Configuration
import Dataplane
import Foundation
import Logging

/// Standard error, or a file that is appended to.
struct LogDestination: Sendable {
    private let handle: FileHandle
    private let withTime: Bool

    init(_ log: Configuration.Log) throws {
        guard let path = log.file else {
            handle = .standardError
            withTime = true
            return
        }
        if !FileManager.default.fileExists(atPath: path) { _ = FileManager.default.createFile(atPath: path, contents: nil) }
        guard let file = FileHandle(forWritingAtPath: path) else {
            throw InputError("log.file: \(path) cannot be written; name a file in a directory that exists, or leave the key out for standard error")
        }
        _ = try? file.seekToEnd()
        handle = file
        withTime = true
    }

    func logger(_ level: Logger.Level) -> Logger {
        var logger = Logger(label: "needletail") { _ in LineHandler(handle: handle) }
        logger.logLevel = level
        return logger
    }
}

extension Logger.Level {
    init(_ level: Configuration.LogLevel, verbose: Int) {
        let configured = Logger.Level(rawValue: level.rawValue) ?? .notice
        self = verbose >= 2 ? .trace : verbose == 1 ? min(configured, .info) : configured
    }
}

/// One line an event.
private struct LineHandler: LogHandler {
    let handle: FileHandle
    var metadata: Logger.Metadata = [:]
    var logLevel = Logger.Level.notice

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        let values = self.metadata.merging(event.metadata ?? [:]) { $1 }
        let suffix = values.sorted { $0.key < $1.key }.map { " \($0.key)=\($0.value)" }.joined()
        var now = time(nil)
        var parts = tm()
        localtime_r(&now, &parts)
        var stamp = [CChar](repeating: 0, count: 32)
        strftime(&stamp, stamp.count, "%Y-%m-%d %H:%M:%S", &parts)
        let text = String(decoding: stamp.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        handle.write(Data("\(text) \(event.level.rawValue): \(event.message)\(suffix)\n".utf8))
    }
}
