// From a file to a checked configuration.
import Foundation
internal import TOMLKit

extension Configuration {
    /// Reads and checks a file. Paths in it are taken relative to the directory of the file.
    /// - Throws: every problem at once; nothing has been started or opened.
    public static func load(file: String) throws(ConfigurationError) -> Configuration {
        let text: String
        do {
            text = try String(contentsOfFile: file, encoding: .utf8)
        } catch {
            let reason = FileManager.default.fileExists(atPath: file) ? "cannot be read as UTF-8 text" : "there is no such file"
            throw ConfigurationError(problems: [ConfigurationProblem(file: file, line: 1, key: "", message: "\(reason); --config takes the path of a configuration such as conf/needletail.toml")])
        }
        return try parse(text, file: file)
    }

    /// Checks the text of a configuration.
    /// - Parameters:
    ///   - file: the name to use in messages; relative paths in the text start at its directory.
    ///   - fileExists: whether a path is a readable regular file.
    public static func parse(
        _ text: String, file: String, fileExists: (String) -> Bool = { isReadableFile($0) }
    ) throws(ConfigurationError) -> Configuration {
        let root: TOMLNode
        do {
            root = try TOMLNode.parse(text)
        } catch let error as TOMLParseError {
            throw ConfigurationError(problems: [ConfigurationProblem(file: file, line: error.source.begin.line, key: "", message: "not TOML at column \(error.source.begin.column): \(error.description)")])
        } catch let error as TOMLPositions.Failure {
            throw ConfigurationError(problems: [ConfigurationProblem(file: file, line: error.line, key: "", message: "not TOML: \(error.message)")])
        } catch {
            throw ConfigurationError(problems: [ConfigurationProblem(file: file, line: 1, key: "", message: "not TOML: \(error)")])
        }
        var configuration = Configuration()
        configuration.file = file
        var problems = ProblemList(file: file)
        var positions = Positions()
        Schema.root.read(root, "", into: &configuration, &problems, &positions)
        configuration.resolvePaths()
        configuration.check(positions, fileExists: fileExists, &problems)
        guard problems.problems.isEmpty else {
            throw ConfigurationError(problems: problems.problems.sorted { ($0.line, $0.key, $0.message) < ($1.line, $1.key, $1.message) })
        }
        return configuration
    }

    /// Every key that a configuration may hold: `eal.main-core`, `port[].mtu`.
    public static var knownKeys: [String] { Schema.root.keys("") }

    /// The configuration with every default written out; parses to an equal value.
    public var toml: String { Schema.root.write(self, "") }

    private mutating func resolvePaths() {
        let directory = (file as NSString).deletingLastPathComponent
        func resolve(_ path: String) -> String { path.hasPrefix("/") || directory.isEmpty ? path : (directory as NSString).appendingPathComponent(path) }
        ruleset.file = ruleset.file.map(resolve)
        control.socket = resolve(control.socket)
        log.file = log.file.map(resolve)
    }

    public static func isReadableFile(_ path: String) -> Bool {
        var isDirectory: ObjCBool = false
        return FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory) && !isDirectory.boolValue && FileManager.default.isReadableFile(atPath: path)
    }
}
