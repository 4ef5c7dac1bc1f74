// What can be wrong with a configuration file, said so that the reader can mend it without the manual.
//
// Invariant: a load reports every problem of the file at once, in the order of their lines.

/// One thing wrong in one line.
public struct ConfigurationProblem: Sendable, Equatable, Codable, CustomStringConvertible {
    public var file: String
    /// 1-based; of a missing key, the line of the table that lacks it.
    public var line: Int
    /// `eal.worker-cores`; empty when the file as a whole is meant.
    public var key: String
    /// What is wrong, a semicolon, what is allowed.
    public var message: String

    public init(file: String, line: Int, key: String, message: String) {
        self.file = file
        self.line = line
        self.key = key
        self.message = message
    }

    /// `FILE:LINE: key: what is wrong; what is allowed`
    public var description: String { "\(file):\(line): " + (key.isEmpty ? "" : "\(key): ") + message }
}

/// Everything wrong with a configuration.
public struct ConfigurationError: Error, Sendable, Equatable, CustomStringConvertible {
    public var problems: [ConfigurationProblem]
    public var description: String { problems.map(\.description).joined(separator: "\n") }
}
