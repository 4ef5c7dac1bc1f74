// `needletail check`: everything wrong with a configuration and its ruleset, and nothing started.
import ArgumentParser
import Configuration
import Foundation
import Ruleset

struct Check: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Check a configuration and its ruleset without starting anything.",
        discussion: "Prints every problem as FILE:LINE: KEY: what is wrong; what is allowed. Exit code 1 if there is one. Warnings do not change the exit code.")

    @OptionGroup var file: ConfigurationOption
    @OptionGroup var output: JSONOption

    func run() throws {
        try Failure.reporting {
            var report = CheckReport()
            do throws(ConfigurationError) {
                let configuration = try Configuration.load(file: file.config)
                report.findings += configuration.warnings.map { Finding(severity: "warning", file: configuration.file, line: nil, key: nil, message: $0) }
                if let ruleset = configuration.ruleset.file { report.check(ruleset: ruleset, ports: configuration.interfaceNames) }
            } catch {
                report.findings += error.problems.map { Finding(severity: "error", file: $0.file, line: $0.line, key: $0.key.isEmpty ? nil : $0.key, message: $0.message) }
                report.ok = false
            }
            if output.json {
                try JSON.print(report)
            } else {
                for finding in report.findings { Failure.print(finding.text) }
                if report.ok { print("\(file.config): the configuration\(report.rulesetFile.map { " and the ruleset \($0)" } ?? "") can be used") }
            }
            if !report.ok { throw Failure.wrongInput }
        }
    }
}

/// What `check --json` prints.
private struct CheckReport: Encodable {
    var ok = true
    var rulesetFile: String?
    var findings: [Finding] = []

    mutating func check(ruleset path: String, ports: [String]) {
        rulesetFile = path
        let result = RulesetValue.load(file: path, options: LoadOptions(interfaces: ["lo"] + ports))
        ok = ok && result.isAccepted
        findings += result.diagnostics.map {
            Finding(
                severity: $0.severity == .error ? "error" : "warning", file: $0.location.file.isEmpty ? path : $0.location.file,
                line: $0.location.line > 0 ? $0.location.line : nil, column: $0.location.column > 0 ? $0.location.column : nil, message: $0.message, shown: String($0.text.dropLast()))
        }
    }
}

private struct Finding: Encodable {
    var severity: String
    var file: String
    var line: Int?
    var column: Int?
    var key: String?
    var message: String
    /// As it is printed for people, if not in the form of a configuration's problems: nft's own.
    private let shown: String?

    private enum CodingKeys: CodingKey { case severity, file, line, column, key, message }

    init(severity: String, file: String, line: Int?, column: Int? = nil, key: String? = nil, message: String, shown: String? = nil) {
        self.severity = severity
        self.file = file
        self.line = line
        self.column = column
        self.key = key
        self.message = message
        self.shown = shown
    }

    /// Errors read as the compiler's do; warnings say that they are.
    var text: String {
        if let shown { return shown }
        let place = [file, line.map(String.init), column.map(String.init)].compactMap { $0 }.joined(separator: ":")
        return "\(place): " + (severity == "warning" ? "warning: " : "") + (key.map { "\($0): " } ?? "") + message
    }
}
