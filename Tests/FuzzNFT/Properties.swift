// What must hold of every input: it is answered (no crash, no endless loop, no unbounded memory, seen to by `Guard`), an error
// changes nothing and says something, and what was accepted lists to a text, and to JSON, that load to the same listing.
import Ruleset

struct Verdicts {
    var accepted = 0, refused = 0, texts = 0, json = 0
}

struct Failure: Error {
    var what: String
    var details: String
}

struct Properties {
    /// Options under which a listing still says all that there is to say.
    /// Not -S: two ports may have one name (4 and 7 are both "echo" in Debian's /etc/services).
    static let formats: [[String]] = [[], ["-a"], ["-n"], ["-y"], ["-p"], ["-T"], ["-u"], ["-n", "-a"], ["-N"]]

    private static func run(_ ruleset: inout RulesetValue, _ arguments: [String], _ input: String? = nil) -> NFTResult {
        var line = NFTCommandLine(arguments: arguments)
        line.standardInput = input
        return line.run(on: &ruleset)
    }

    private static func list(_ ruleset: RulesetValue, _ options: [String] = []) -> String {
        var value = ruleset
        return run(&value, options + ["list", "ruleset"]).output
    }

    static func load(_ text: String, on ruleset: RulesetValue = RulesetValue()) -> (result: NFTResult, value: RulesetValue) {
        var value = ruleset
        let result = run(&value, ["-f", "-"], text)
        return (result, value)
    }

    static func jsonListing(_ value: RulesetValue) -> String { list(value, ["-j"]) }

    /// Loads an input on a ruleset and checks everything.
    static func check(_ input: [UInt8], on base: RulesetValue, _ random: inout Randomness, _ verdicts: inout Verdicts) throws(Failure) -> RulesetValue {
        let text = String(decoding: input, as: UTF8.self)
        var echoed = base
        let echo = run(&echoed, random.chance(50) ? ["-e", "-a", "-f", "-"] : ["-e", "-j", "-f", "-"], text)
        let (result, value) = load(text, on: base)
        guard echo.exitStatus == result.exitStatus, echo.errors == result.errors else { throw Failure(what: "-e changes the verdict", details: echo.errors + "\n---\n" + result.errors) }
        guard result.exitStatus == 0 else {
            verdicts.refused += 1
            guard !result.errors.isEmpty else { throw Failure(what: "refused without a word", details: "") }
            guard list(value, ["-a"]) == list(base, ["-a"]) else { throw Failure(what: "an error changed the ruleset", details: list(value, ["-a"])) }
            return base
        }
        verdicts.accepted += 1
        let listing = list(value)
        // Numeric times are whole seconds.
        var format = random.pick(formats)
        if listing.contains(/[0-9]ms/) { format.removeAll { $0 == "-n" || $0 == "-T" } }
        let shown = list(value, format)
        let (again, second) = load(shown)
        guard again.exitStatus == 0 else { throw Failure(what: "the listing \(format) does not load", details: shown + "\n---\n" + again.errors) }
        let relisted = list(second)
        // As nft does: `{ 1-5, 2 }` is listed as `{ 1-5 }`, and that, once loaded, as `1-5`.
        guard relisted == listing || collapsed(relisted) == collapsed(listing) else { throw Failure(what: "list (\(format)), load, list is no fixed point", details: difference(listing, relisted)) }
        verdicts.texts += 1
        let json = jsonListing(value)
        if json.isEmpty { return value }
        let (fromJSON, third) = load(json)
        guard fromJSON.exitStatus == 0 else { throw Failure(what: "the JSON listing does not load", details: listing + "\n---\n" + json + "\n---\n" + fromJSON.errors) }
        if isLossyInJSON(listing) { return value }
        let text3 = list(third)
        guard text3 == listing || collapsed(text3) == collapsed(listing) else { throw Failure(what: "list -j, load, list is no fixed point", details: difference(listing, text3) + "\n---\n" + json) }
        verdicts.json += 1
        return value
    }

    /// With sets of one element as the element.
    private static func collapsed(_ listing: String) -> String {
        // A rule of JSON may have no statement, and a bit field's set of one becomes `== bit`.
        let lines = listing.split(separator: "\n").filter { line in line.contains { $0 != "\t" } }
        var output = "", rest = lines.joined(separator: "\n").replacing(" == ", with: " ")[...]
        while let open = rest.firstRange(of: "{ ") {
            output += rest[..<open.lowerBound]
            rest = rest[open.upperBound...]
            let stop = rest.firstIndex { "{},\n".contains($0) } ?? rest.endIndex
            if stop < rest.endIndex, rest[stop] == "}", rest[..<stop].last == " ", !rest[..<stop].contains(" : ") {
                output += rest[..<stop].dropLast()
                rest = rest[rest.index(after: stop)...]
            } else {
                output += "{ "
            }
        }
        return output + rest
    }

    /// What the schema has no place for: fractions of seconds, flags of flowtables, the expression behind a map's data type, comments in the rules of `jump { ... }`.
    private static func isLossyInJSON(_ listing: String) -> Bool {
        let lines = listing.split(separator: "\n")
        // Timeouts are whole seconds there.
        if lines.contains(where: { $0.contains(/timeout [0-9dhms]*ms|expires [0-9dhms]*ms|gc-interval [0-9dhms]*ms/) }) { return true }
        if lines.contains("\t\tflags offload") || lines.contains("\t\tcounter") { return true }
        return lines.contains { $0.contains("\ttypeof ") && $0.contains(" : ") || $0.hasPrefix("\t\t\t") && $0.contains(" comment \"") && !$0.hasPrefix("\t\t\t  ") }
    }

    private static func difference(_ left: String, _ right: String) -> String {
        let a = left.split(separator: "\n", omittingEmptySubsequences: false), b = right.split(separator: "\n", omittingEmptySubsequences: false)
        for (index, line) in a.enumerated() where index >= b.count || b[index] != line { return "first:  \(line)\nsecond: \(index < b.count ? String(b[index]) : "(nothing)")" }
        return "first:  (nothing)\nsecond: \(b.count > a.count ? String(b[a.count]) : "")"
    }
}
