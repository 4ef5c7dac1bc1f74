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
    /// The client's process, which `-e` and `monitor` name.
    public var process: Int32?
    public init(arguments: [String], workingDirectory: String, standardInput: String? = nil, process: Int32? = nil) {
        self.arguments = arguments
        self.workingDirectory = workingDirectory
        self.standardInput = standardInput
        self.process = process
    }
}

/// `POST /v1/nft/monitor`: what changed, told as `nft monitor` does.
public struct NftMonitorRequest: Codable, Sendable, Equatable {
    /// The words behind `nft`: options, `monitor`, and what to show.
    public var arguments: [String]
    /// `last` of the report before; nil: begin now.
    public var after: UInt64?
    public init(arguments: [String], after: UInt64?) {
        self.arguments = arguments
        self.after = after
    }
}

/// The answer: at once if there is something to tell, else after some seconds, empty.
public struct NftMonitorReport: Codable, Sendable, Equatable {
    public var text: String
    /// The last transaction that it tells of.
    public var last: UInt64
    /// Whether transactions in between are no longer known.
    public var isBehind: Bool
    public init(text: String = "", last: UInt64, isBehind: Bool = false) {
        self.text = text
        self.last = last
        self.isBehind = isBehind
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
