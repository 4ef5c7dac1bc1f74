// The built needletail as a subprocess, as its users run it.
import Foundation

/// What a run of the command came to.
struct Outcome {
    var exitCode: Int32
    var output: String
    var error: String
}

enum Binary {
    /// The binary lies beside the test bundle that this is.
    static let path: String = {
        let tests = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? CommandLine.arguments[0]
        return URL(fileURLWithPath: tests).deletingLastPathComponent().appendingPathComponent("needletail").path
    }()

    /// The repository.
    static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    /// Runs the command to its end.
    static func run(_ arguments: String..., input: String = "", in directory: URL? = nil) throws -> Outcome {
        try run(arguments, input: input, in: directory)
    }

    static func run(_ arguments: [String], input: String = "", in directory: URL? = nil) throws -> Outcome {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: path)
        process.arguments = arguments
        process.currentDirectoryURL = directory ?? root
        // Files, not pipes: a full pipe would stop the process that this one waits for.
        let scratch = try Scratch()
        let files = try ["in", "out", "err"].map { name in
            let url = scratch.url.appendingPathComponent(name)
            try (name == "in" ? input : "").write(to: url, atomically: false, encoding: .utf8)
            return url
        }
        process.standardInput = try FileHandle(forReadingFrom: files[0])
        process.standardOutput = try FileHandle(forWritingTo: files[1])
        process.standardError = try FileHandle(forWritingTo: files[2])
        try process.run()
        process.waitUntilExit()
        let texts = try files.map { String(decoding: try Data(contentsOf: $0), as: UTF8.self) }
        return Outcome(exitCode: process.terminationReason == .exit ? process.terminationStatus : 128 + process.terminationStatus, output: texts[1], error: texts[2])
    }
}

/// A directory that goes away with the value.
final class Scratch {
    let url: URL

    init() throws {
        url = FileManager.default.temporaryDirectory.appendingPathComponent("needletail-\(UUID().uuidString.prefix(13))")
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(at: url) }

    /// Writes a file and gives its path.
    @discardableResult func write(_ name: String, _ text: String) throws -> String {
        let file = url.appendingPathComponent(name)
        try text.write(to: file, atomically: true, encoding: .utf8)
        return file.path
    }

    func path(_ name: String) -> String { url.appendingPathComponent(name).path }
}
