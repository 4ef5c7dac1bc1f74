// The way in: text to a checked ruleset.
import Foundation

/// A message about a ruleset.
public struct Diagnostic: Sendable {
    public enum Severity: String, Sendable { case error = "Error", warning = "Warning" }
    public var severity: Severity
    public var message: String
    public var location: SourceRange
    /// Further places that the message is about.
    public var others: [SourceRange] = []
    public init(severity: Severity = .error, message: String, location: SourceRange, others: [SourceRange] = []) {
        self.severity = severity
        self.message = message
        self.location = location
        self.others = others
    }
}

/// What became of a transaction. With an error, `value` is the ruleset as it was.
public struct LoadResult: Sendable {
    public var value: RulesetValue
    public var diagnostics: [Diagnostic]
    public var isAccepted: Bool { !diagnostics.contains { $0.severity == .error } }
}

/// What a transaction may use of its surroundings.
public struct LoadOptions: Sendable {
    /// The interface names that exist, in index order (index 1 first); nil: every name exists.
    public var interfaces: [String]?
    /// Folders to search for included files (`-I`).
    public var includePaths: [String] = []
    /// Variables from the command line (`-D`).
    public var defines: [(name: String, value: String)] = []
    /// Whether the changes are recorded, for `nft -e` and `nft monitor`.
    public var recordsChanges = false
    /// Where relative paths start, when that is not the process's own folder.
    public var workingDirectory: String?
    public init(interfaces: [String]? = nil) { self.interfaces = interfaces }
}

extension RulesetValue {
    /// One transaction: the commands of `text` in order on a copy of this ruleset; all of them or none.
    public func applying(text: String, name: String = SourceFile.commandLine, options: LoadOptions = LoadOptions()) -> LoadResult {
        applying(bytes: Array(text.utf8), name: name, options: options).result
    }

    func applying(bytes: [UInt8], name: String, options: LoadOptions) -> TransactionOutcome {
        let parser = Parser(source: SourceFile(name: name, bytes: bytes), options: options)
        parser.parseAll()
        if !parser.diagnostics.isEmpty { return TransactionOutcome(result: LoadResult(value: self, diagnostics: parser.diagnostics)) }
        return applying(commands: parser.commands, options: options)
    }

    func applying(commands: [Command], options: LoadOptions) -> TransactionOutcome {
        let transaction = Transaction(value: self, options: options)
        transaction.run(commands)
        let failed = transaction.diagnostics.contains { $0.severity == .error }
        return TransactionOutcome(
            result: LoadResult(value: failed ? self : transaction.value, diagnostics: transaction.diagnostics), listings: transaction.listings,
            changes: failed ? [] : transaction.changes, isNewGeneration: !failed && transaction.isNewGeneration, altersState: !failed && transaction.altersState)
    }

    /// A path as the working directory makes it.
    static func resolve(_ path: String, _ options: LoadOptions) -> String {
        guard let folder = options.workingDirectory, !path.hasPrefix("/") else { return path }
        return folder + "/" + path
    }

    /// A file as one transaction on an empty ruleset.
    public static func load(file path: String, options: LoadOptions = LoadOptions()) -> LoadResult {
        guard let data = FileManager.default.contents(atPath: path) else {
            let source = SourceFile(name: path, bytes: [])
            return LoadResult(value: RulesetValue(), diagnostics: [Diagnostic(message: "Could not open file \"\(path)\": No such file or directory", location: SourceRange(source: source, start: 0, end: 0))])
        }
        return RulesetValue().applying(bytes: [UInt8](data), name: path, options: options).result
    }
}

/// What a transaction gave besides the new value.
struct TransactionOutcome {
    var result: LoadResult
    var listings: [ListRequest] = []
    var changes: [RulesetChange] = []
    /// Whether the ruleset changed (`reset` alone makes no new generation).
    var isNewGeneration = false
    /// Whether counters or quotas were reset.
    var altersState = false
}

extension Diagnostic {
    /// As nft prints it: `FILE:LINE:COL-COL: Error: text`, the source line, carets.
    public var text: String {
        guard let source = location.source else { return "\(severity.rawValue): \(message)\n" }
        let line = location.line, first = location.column
        let isBehindTheLast = line > 1 && Int(location.start) == source.bytes.count && first == 1
        let lineText = Array(source.text(ofLine: isBehindTheLast ? line - 1 : line).utf8)
        var last = isBehindTheLast ? first : source.line(at: max(Int(location.end) - 1, Int(location.start))) == line ? source.column(at: max(Int(location.end) - 1, Int(location.start))) : lineText.count
        last = max(last, first)
        var output = ""
        var includes: [SourceRange] = []
        var outer = source.includedFrom
        while let place = outer { includes.append(place); outer = place.source?.includedFrom }
        for (index, place) in includes.enumerated() { output += (index == 0 ? "In file included from " : "                      from ") + "\(place.file):\(place.line):\(place.column)-\(place.column + max(0, Int(place.end - place.start) - 1)):\n" }
        // nft names no place in what was given as arguments.
        output += (source.name == SourceFile.commandLine ? "" : "\(source.name):\(line):\(first)-\(last): ") + "\(severity.rawValue): \(message)\n"
        output += String(decoding: lineText, as: UTF8.self) + "\n"
        var carets = ""
        for (index, byte) in lineText.enumerated() where index < first - 1 { carets += byte == 9 ? "\t" : " " }
        var underline = [UInt8](repeating: UInt8(ascii: "^"), count: min(max(1, last - first + 1), 4096))
        for other in others where other.source === source && other.line == line {
            let start = other.column, end = source.column(at: max(Int(other.end) - 1, Int(other.start)))
            let shift = first - start
            if shift > 0 {
                carets = String(carets.prefix(start - 1)) + String(repeating: "~", count: max(1, end - start + 1))
                while carets.utf8.count < first - 1 { carets += " " }
            } else if end > last {
                while underline.count < start - first { underline.append(32) }
                underline += [UInt8](repeating: UInt8(ascii: "~"), count: min(4096, max(1, end - start + 1)))
            }
        }
        return output + carets + String(decoding: underline, as: UTF8.self) + "\n"
    }
}
