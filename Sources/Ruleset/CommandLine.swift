// The `nft` command: nft's options, files and commands against a ruleset in memory.
import Foundation

/// What running the command gave.
public struct NFTResult: Sendable {
    public var output: String
    public var errors: String
    public var exitStatus: Int32
    /// The transactions that changed the ruleset.
    public var changes: [RulesetChanges] = []
    /// Whether counters or quotas were reset.
    public var altersState = false
}

/// nft's command line.
public struct NFTCommandLine: Sendable {
    public var print = PrintOptions()
    public var json = false
    public var check = false
    public var echo = false
    public var interactive = false
    public var offline = false
    public var files: [String] = []
    public var command: [String] = []
    public var options = LoadOptions()
    /// The generation of the ruleset before this command, and the process that gave it: `-e` names both.
    public var generation: UInt64 = 1
    public var process = ProcessInfo.processInfo.processIdentifier
    /// What `-f -` reads; nil: the process's standard input.
    public var standardInput: String?
    /// A text to print instead of doing anything (`--help`, `--version`), or what is wrong with the arguments.
    public var message: String?
    public var failure: String?

    public static let usage = """
    Usage: nft [ options ] [ cmds... ]

    Options (general):
      -h, --help                      Show this help
      -v, --version                   Show version information

    Options (ruleset input handling):
      -f, --file <filename>           Read input from <filename>, - for standard input
      -D, --define <name=value>       Define variable, e.g. --define foo=1.2.3.4
      -i, --interactive               Read input from interactive CLI
      -I, --includepath <directory>   Add <directory> to the paths searched for include files
      -c, --check                     Check commands validity without actually applying the changes
      -o, --optimize                  Accepted; the ruleset is compiled to an optimized form anyway
          --offline                   Work on an empty ruleset in memory

    Options (ruleset list formatting):
      -a, --handle                    Output rule handle
      -s, --stateless                 Omit stateful information of ruleset
      -t, --terse                     Omit contents of sets
      -S, --service                   Translate ports to service names
      -N, --reversedns                Accepted; addresses are not looked up
      -u, --guid                      Print UID and GID as names
      -n, --numeric                   Print fully numerical output
      -y, --numeric-priority          Print chain priority numerically
      -p, --numeric-protocol          Print layer 4 protocols numerically
      -T, --numeric-time              Print time values numerically

    Options (command output formatting):
      -e, --echo                      Echo what has been added, inserted or replaced
      -j, --json                      Format output in JSON
      -d, --debug <level [,level...]> Accepted and ignored

    """

    private static let long: [String: Character] = [
        "help": "h", "version": "v", "file": "f", "define": "D", "interactive": "i", "includepath": "I", "check": "c", "optimize": "o", "handle": "a", "stateless": "s",
        "terse": "t", "service": "S", "reversedns": "N", "guid": "u", "numeric": "n", "numeric-priority": "y", "numeric-protocol": "p", "numeric-time": "T", "echo": "e", "json": "j", "debug": "d",
    ]

    public init(arguments: [String]) {
        var index = 0
        func value(_ inline: String?) -> String? {
            if let inline { return inline }
            index += 1
            return index < arguments.count ? arguments[index] : nil
        }
        while index < arguments.count {
            let argument = arguments[index]
            if argument == "--" {
                command += arguments[(index + 1)...]
                break
            }
            // From a block on nothing is an option: `{ type filter hook input priority -100 ; }`.
            if argument.hasPrefix("{"), !command.isEmpty {
                command += arguments[index...]
                break
            }
            if argument.hasPrefix("--"), argument.count > 2 {
                let parts = argument.dropFirst(2).split(separator: "=", maxSplits: 1).map(String.init)
                if !command.isEmpty { refuseLateOption(arguments, index); return }
                if parts[0] == "offline" { offline = true; index += 1; continue }
                guard let letter = Self.long[parts[0]] else { failure = "nft: unrecognized option '\(argument)'\n"; return }
                if !apply(letter, { value(parts.count > 1 ? parts[1] : nil) }) { return }
            } else if argument.hasPrefix("-"), argument.count > 1 {
                if !command.isEmpty { refuseLateOption(arguments, index); return }
                var letters = Array(argument.dropFirst())
                while !letters.isEmpty {
                    let letter = letters.removeFirst()
                    let rest = letters.isEmpty ? nil : String(letters)
                    if "fDId".contains(letter) { letters = [] }
                    if !apply(letter, { value(rest) }) { return }
                }
            } else {
                command.append(argument)
            }
            index += 1
        }
    }

    /// Words of one line of `nft -i`, with this command's options.
    public func interactive(_ line: String) -> NFTCommandLine {
        var copy = self
        copy.files = []
        copy.interactive = false
        copy.command = [line]
        return copy
    }

    /// What `nft monitor ...` shall show; nil if it is another command.
    public var monitor: [String]? {
        let words = command.flatMap { $0.split(whereSeparator: \.isWhitespace).map(String.init) }
        return words.first == "monitor" ? Array(words.dropFirst()) : nil
    }

    /// nft takes options before the command only.
    private mutating func refuseLateOption(_ arguments: [String], _ late: Int) {
        var line = "nft", under = "   "
        for (index, argument) in arguments.enumerated() {
            line += " " + argument
            let mark: Character = index == late ? "~" : " "
            under += " " + String(repeating: mark, count: argument.utf8.count)
        }
        let first = under.firstIndex { $0 == "~" } ?? under.endIndex
        failure = "Error: syntax error, options must be specified before commands\n\(line) \n   ^" + under[..<first].dropFirst(4) + under[first...].prefix { $0 == "~" } + "\n"
    }

    private mutating func apply(_ letter: Character, _ value: () -> String?) -> Bool {
        func needed() -> String? {
            let text = value()
            return text
        }
        switch letter {
        case "h": message = Self.usage; return false
        case "v", "V": message = "nftables v1.1.6 (needletail)\n"; return false
        case "f":
            guard let file = needed() else { failure = "nft: option requires an argument -- 'f'\n"; return false }
            files.append(file)
        case "D":
            guard let define = needed(), let equal = define.firstIndex(of: "=") else { failure = "nft: option requires NAME=VALUE -- 'D'\n"; return false }
            options.defines.append((String(define[..<equal]), String(define[define.index(after: equal)...])))
        case "I":
            guard let path = needed() else { failure = "nft: option requires an argument -- 'I'\n"; return false }
            options.includePaths.append(path)
        case "d": _ = needed()
        case "i": interactive = true
        case "c": check = true
        case "o", "N": break
        case "a": print.handles = true
        case "s": print.stateless = true
        case "t": print.terse = true
        case "S": print.serviceNames = true
        case "u": print.userNames = true
        case "n": print.numeric = true
        case "y": print.numericPriority = true
        case "p": print.numericProtocol = true
        case "T": print.numericTime = true
        case "e": echo = true
        case "j": json = true
        default: failure = "nft: invalid option -- '\(letter)'\n"; return false
        }
        return true
    }

    /// Runs against a ruleset, which is replaced by what became of it (unless `-c`): each file a transaction, then the command.
    public func run(on ruleset: inout RulesetValue) -> NFTResult {
        var result = NFTResult(output: message ?? "", errors: failure ?? "", exitStatus: failure == nil ? 0 : 1)
        if message != nil || failure != nil { return result }
        if files.isEmpty, command.isEmpty {
            result.errors = "nft: no command specified\n"
            result.exitStatus = 1
            return result
        }
        for file in files where result.exitStatus == 0 {
            let path = file == "-" ? "/dev/stdin" : file
            let data: Data?
            if path == "/dev/stdin" {
                data = standardInput.map { Data($0.utf8) } ?? (try? FileHandle.standardInput.readToEnd() ?? Data())
            } else {
                data = FileManager.default.contents(atPath: RulesetValue.resolve(path, options))
            }
            guard let data else {
                result.errors += "internal:0:0-0: Error: Could not open file \"\(path)\": No such file or directory\n\n\n"
                result.exitStatus = 1
                return result
            }
            transact([UInt8](data), path, &ruleset, &result)
        }
        if result.exitStatus == 0, !command.isEmpty { transact(Array((command.joined(separator: " ") + "\n").utf8), SourceFile.commandLine, &ruleset, &result) }
        return result
    }

    private func transact(_ bytes: [UInt8], _ name: String, _ ruleset: inout RulesetValue, _ result: inout NFTResult) {
        var options = options
        options.recordsChanges = options.recordsChanges || echo && !check
        let first = bytes.first { $0 != 32 && $0 != 9 && $0 != 10 && $0 != 13 }
        let outcome = first == UInt8(ascii: "{") ? ruleset.applying(json: bytes, name: name, options: options) : ruleset.applying(bytes: bytes, name: name, options: options)
        for diagnostic in outcome.result.diagnostics { result.errors += diagnostic.text }
        if !outcome.result.isAccepted {
            result.exitStatus = 1
            return
        }
        result.output += json ? JSONWriter(options: print).text(outcome.listings) : Listing(options: print).text(outcome.listings)
        if check { return }
        ruleset = outcome.result.value
        result.altersState = result.altersState || outcome.altersState
        guard outcome.isNewGeneration else { return }
        let changes = RulesetChanges(generation: generation + UInt64(result.changes.count) + 1, changes: outcome.changes)
        result.changes.append(changes)
        // What goes is told to monitors only, but for the old form of a rule that was replaced.
        guard echo else { return }
        let shown = changes.changes.enumerated().filter { $0.element.isEchoed(before: $0.offset + 1 < changes.changes.count ? changes.changes[$0.offset + 1] : nil) }.map(\.element)
        if shown.isEmpty { return }
        result.output += json ? RulesetChange.echo(shown, print) : shown.map { $0.text(print) }.joined() + changes.closing(process: process)
    }
}
