// `needletail check`: everything wrong with a configuration and its ruleset, and nothing started.
import ArgumentParser
import Configuration
import Dataplane
import Foundation
import Policy
import Ruleset

struct Check: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Check a configuration and its ruleset without starting anything.",
        discussion: "Prints every problem as FILE:LINE: KEY: what is wrong; what is allowed. Exit code 1 if there is one. Warnings do not change the exit code.")

    @OptionGroup var file: ConfigurationOption
    @OptionGroup var output: JSONOption
    @Flag(help: "Say as well which rules will keep which traffic out of the flow cache, and what to write instead.") var explain = false

    func run() throws {
        try Failure.reporting {
            var report = CheckReport()
            do throws(ConfigurationError) {
                let configuration = try Configuration.load(file: file.config)
                report.findings += configuration.warnings.map { Finding(severity: "warning", file: configuration.file, line: nil, key: nil, message: $0) }
                if let ruleset = configuration.ruleset.file { report.check(ruleset: ruleset, ports: configuration.interfaceNames, explain: explain) }
            } catch {
                report.findings += error.problems.map { Finding(severity: "error", file: $0.file, line: $0.line, key: $0.key.isEmpty ? nil : $0.key, message: $0.message) }
                report.ok = false
            }
            if output.json {
                try JSON.print(report)
            } else {
                for finding in report.findings { Failure.print(finding.text) }
                for rule in report.uncached ?? [] { print(rule.text) }
                if report.uncached?.isEmpty == true { print("no rule keeps established traffic out of the flow cache") }
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
    /// With --explain: what keeps traffic out of the flow cache.
    var uncached: [UncachedRule]?

    mutating func check(ruleset path: String, ports: [String], explain: Bool) {
        rulesetFile = path
        let diagnostics = LiveRuleset.diagnostics(file: path, ports: ports)
        ok = ok && !diagnostics.contains { $0.severity == .error }
        if explain, ok {
            let loaded = RulesetValue.load(file: path, options: LoadOptions(interfaces: ["lo"] + ports))
            let interfaces = ports.enumerated().map { Interface(name: $0.element, index: UInt32($0.offset + 2)) }
            uncached = CompiledRuleset.cacheObstacles(loaded.value, interfaces: interfaces).map { UncachedRule($0, path) }
        }
        findings += diagnostics.map {
            Finding(
                severity: $0.severity == .error ? "error" : "warning", file: $0.location.file.isEmpty ? path : $0.location.file,
                line: $0.location.line > 0 ? $0.location.line : nil, column: $0.location.column > 0 ? $0.location.column : nil, message: $0.message, shown: String($0.text.dropLast()))
        }
    }
}

/// A rule that keeps traffic in the slow path.
private struct UncachedRule: Encodable {
    var file: String
    var line: Int?
    var rule: String
    var chain: String
    var reason: String
    /// Empty: all that reaches the rule.
    var traffic: String
    var advice: String

    init(_ obstacle: CacheObstacle, _ path: String) {
        file = obstacle.location.file.isEmpty ? path : obstacle.location.file
        line = obstacle.location.line > 0 ? obstacle.location.line : nil
        rule = obstacle.location.text
        chain = obstacle.chain
        reason = "\(obstacle.reason)"
        traffic = obstacle.traffic
        advice = obstacle.advice
    }

    var text: String {
        let place = file + (line.map { ":\($0)" } ?? "")
        let who = traffic.isEmpty ? "all established traffic that reaches this rule" : "established traffic with `\(traffic)`"
        return "\(place): \(rule)\n    in \(chain): \(reason) keeps \(who) out of the flow cache\n    instead: \(advice)"
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
