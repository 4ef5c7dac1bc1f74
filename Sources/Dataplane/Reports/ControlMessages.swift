// What goes over the control socket besides the reports.

/// The product's own.
public enum Version {
    public static let text = "0.1.0"
}

/// `GET /v1/status`
public struct StatusReport: Codable, Sendable, Equatable {
    public var version = Version.text
    public var processIdentifier = 0
    /// Seconds since the start.
    public var uptime: Double = 0
    public var configurationFile = ""
    public var rulesetFile: String?
    public var workers = 0
    public var ports = 0
    /// Counts ruleset and configuration changes.
    public var generation: UInt64 = 0
    public init() {}
}

/// `POST /v1/nft`: one run of the nft command.
public struct NftRequest: Codable, Sendable, Equatable {
    /// The words behind `nft`.
    public var arguments: [String]
    /// Where the client runs: relative paths of `-f` and `include` start there.
    public var workingDirectory: String
    /// What `-f -` reads.
    public var standardInput: String?
    public init(arguments: [String], workingDirectory: String, standardInput: String? = nil) {
        self.arguments = arguments
        self.workingDirectory = workingDirectory
        self.standardInput = standardInput
    }
}

/// What a command came to, and what it printed.
public struct CommandResult: Codable, Sendable, Equatable {
    public var standardOutput: String
    public var standardError: String
    public var exitCode: Int32
    public init(standardOutput: String = "", standardError: String = "", exitCode: Int32 = 0) {
        self.standardOutput = standardOutput
        self.standardError = standardError
        self.exitCode = exitCode
    }
}
