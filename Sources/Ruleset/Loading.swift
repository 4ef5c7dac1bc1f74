// The way in: text to a checked ruleset.

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
    public init(interfaces: [String]? = nil) { self.interfaces = interfaces }
}

extension RulesetValue {
    /// One transaction: the commands of `text` in order on a copy of this ruleset; all of them or none.
    public func applying(text: String, name: String = "<cmdline>", options: LoadOptions = LoadOptions()) -> LoadResult {
        LoadResult(value: self, diagnostics: [Diagnostic(message: "not yet", location: .none)])
    }

    /// A file as one transaction on an empty ruleset.
    public static func load(file path: String, options: LoadOptions = LoadOptions()) -> LoadResult {
        RulesetValue().applying(text: "", name: path, options: options)
    }
}
