// One key of the configuration: how it is read, how it is written, what is allowed. The schema is a list of these, so
// that reading, printing, "did you mean" and the test of the reference file cannot disagree about which keys there are.
import Wire

/// Collects problems while a document is read; `key` is where the reader stands.
struct ProblemList {
    let file: String
    private(set) var problems: [ConfigurationProblem] = []

    init(file: String) { self.file = file }

    mutating func add(_ line: Int, _ key: String, _ message: String) {
        problems.append(ConfigurationProblem(file: file, line: line, key: key, message: message))
    }
}

/// A key of the table that `Section` is the value of.
struct Setting<Section> {
    let name: String
    let isRequired: Bool
    /// Puts the node's value into the section or says what is wrong with it; the string is the key's full name.
    let read: (TOMLNode, String, inout Section, inout ProblemList) -> Void
    /// The value as TOML, nil if it is not set.
    let write: (Section) -> String?
}

extension Setting {
    /// A setting of one value. `parse` gives the value or nil for a value that is not allowed.
    private static func one<Value>(
        _ name: String, _ field: WritableKeyPath<Section, Value>, required: Bool, allowed: String,
        parse: @escaping (TOMLNode.Value) -> Parsed<Value>, write: @escaping (Value) -> String?
    ) -> Setting {
        Setting(name: name, isRequired: required) { node, key, section, problems in
            switch parse(node.value) {
            case .value(let value): section[keyPath: field] = value
            case .wrongType: problems.add(node.line, key, "is \(node.kind)\(node.quoted); must be \(allowed)")
            case .notAllowed(let shown, let hint): problems.add(node.line, key, "\(shown) is not allowed\(hint); must be \(allowed)")
            }
        } write: {
            write($0[keyPath: field])
        }
    }

    static func integer(
        _ name: String, _ field: WritableKeyPath<Section, Int>, required: Bool = false, _ range: ClosedRange<Int>, powerOfTwo: Bool = false, note: String = ""
    ) -> Setting {
        let what = powerOfTwo ? "a power of two" : "an integer"
        return one(name, field, required: required, allowed: "\(what) from \(range.lowerBound) to \(range.upperBound)\(note)") { value in
            guard case .integer(let number) = value else { return .wrongType }
            guard range.contains(number), !powerOfTwo || number & (number - 1) == 0 else { return .notAllowed("\(number)") }
            return .value(number)
        } write: { "\($0)" }
    }

    static func integer(_ name: String, optional field: WritableKeyPath<Section, Int?>, _ range: ClosedRange<Int>, note: String = "") -> Setting {
        one(name, field, required: false, allowed: "an integer from \(range.lowerBound) to \(range.upperBound)\(note)") { value in
            guard case .integer(let number) = value else { return .wrongType }
            guard range.contains(number) else { return .notAllowed("\(number)") }
            return .value(number)
        } write: { $0.map { "\($0)" } }
    }

    static func seed(_ name: String, _ field: WritableKeyPath<Section, UInt64?>) -> Setting {
        one(name, field, required: false, allowed: "an integer, 0 or greater") { value in
            guard case .integer(let number) = value else { return .wrongType }
            guard number >= 0 else { return .notAllowed("\(number)") }
            return .value(UInt64(number))
        } write: { $0.map { "\($0)" } }
    }

    static func boolean(_ name: String, _ field: WritableKeyPath<Section, Bool>) -> Setting {
        one(name, field, required: false, allowed: "true or false") { value in
            guard case .boolean(let flag) = value else { return .wrongType }
            return .value(flag)
        } write: { "\($0)" }
    }

    static func choice<Choice: RawRepresentable<String> & CaseIterable>(_ name: String, _ field: WritableKeyPath<Section, Choice>) -> Setting {
        let words = Choice.allCases.map(\.rawValue)
        return one(name, field, required: false, allowed: "one of \(quotedList(words))") { value in
            guard case .string(let word) = value else { return .wrongType }
            guard let choice = Choice(rawValue: word) else { return .notAllowed("\"\(word)\"", didYouMean(word, words)) }
            return .value(choice)
        } write: { quotedTOML($0.rawValue) }
    }

    static func choice<Choice: RawRepresentable<String> & CaseIterable>(_ name: String, optional field: WritableKeyPath<Section, Choice?>) -> Setting {
        let words = Choice.allCases.map(\.rawValue)
        return one(name, field, required: false, allowed: "one of \(quotedList(words))") { value in
            guard case .string(let word) = value else { return .wrongType }
            guard let choice = Choice(rawValue: word) else { return .notAllowed("\"\(word)\"", didYouMean(word, words)) }
            return .value(choice)
        } write: { $0.map { quotedTOML($0.rawValue) } }
    }

    /// Free text; `check` gives nil if the text is fine, else what it must be.
    static func text(_ name: String, _ field: WritableKeyPath<Section, String>, required: Bool = false, allowed: String, check: @escaping (String) -> Bool) -> Setting {
        one(name, field, required: required, allowed: allowed, parse: { parseText($0, check) }, write: { quotedTOML($0) })
    }

    static func text(_ name: String, optional field: WritableKeyPath<Section, String?>, allowed: String, check: @escaping (String) -> Bool) -> Setting {
        one(name, field, required: false, allowed: allowed, parse: { parseText($0, check).map { $0 } }, write: { $0.map(quotedTOML) })
    }

    private static func parseText(_ value: TOMLNode.Value, _ check: (String) -> Bool) -> Parsed<String> {
        guard case .string(let text) = value else { return .wrongType }
        return check(text) ? .value(text) : .notAllowed("\"\(text)\"")
    }

    static func address(_ name: String, _ field: WritableKeyPath<Section, IPAddress>) -> Setting {
        one(name, field, required: true, allowed: allowedAddress, parse: parseAddress, write: { quotedTOML($0.description) })
    }

    static func address(_ name: String, optional field: WritableKeyPath<Section, IPAddress?>) -> Setting {
        one(name, field, required: false, allowed: allowedAddress, parse: { parseAddress($0).map { $0 } }, write: { $0.map { quotedTOML($0.description) } })
    }

    private static var allowedAddress: String { "an IPv4 or IPv6 address such as \"10.0.1.2\" or \"fd00::2\"" }

    private static func parseAddress(_ value: TOMLNode.Value) -> Parsed<IPAddress> {
        guard case .string(let text) = value else { return .wrongType }
        guard let address = IPAddress(text) else { return .notAllowed("\"\(text)\"") }
        return .value(address)
    }

    static func mac(_ name: String, _ field: WritableKeyPath<Section, EthernetAddress>) -> Setting {
        one(name, field, required: true, allowed: allowedMAC, parse: parseMAC, write: { quotedTOML($0.description) })
    }

    static func mac(_ name: String, optional field: WritableKeyPath<Section, EthernetAddress?>) -> Setting {
        one(name, field, required: false, allowed: allowedMAC, parse: { parseMAC($0).map { $0 } }, write: { $0.map { quotedTOML($0.description) } })
    }

    private static var allowedMAC: String { "a unicast MAC address such as \"02:00:00:00:0a:02\"" }

    private static func parseMAC(_ value: TOMLNode.Value) -> Parsed<EthernetAddress> {
        guard case .string(let text) = value else { return .wrongType }
        guard let mac = EthernetAddress(text), !mac.isGroup, mac != .zero else { return .notAllowed("\"\(text)\"") }
        return .value(mac)
    }

    /// A network: no bit of the address outside the prefix.
    static func network(_ name: String, _ field: WritableKeyPath<Section, IPPrefix>) -> Setting {
        one(name, field, required: true, allowed: allowedNetwork, parse: parseNetwork, write: { quotedTOML($0.description) })
    }

    static func network(_ name: String, optional field: WritableKeyPath<Section, IPPrefix?>) -> Setting {
        one(name, field, required: false, allowed: allowedNetwork, parse: { parseNetwork($0).map { $0 } }, write: { $0.map { quotedTOML($0.description) } })
    }

    private static var allowedNetwork: String { "a network such as \"10.0.0.0/8\", \"fd00::/16\" or \"0.0.0.0/0\"" }

    private static func parseNetwork(_ value: TOMLNode.Value) -> Parsed<IPPrefix> {
        guard case .string(let text) = value else { return .wrongType }
        guard let prefix = IPPrefix(text) else { return .notAllowed("\"\(text)\"") }
        guard prefix.address == prefix.network else {
            return .notAllowed("\"\(text)\"", " (bits are set behind the prefix: did you mean \"\(prefix.network)/\(prefix.length)\"?)")
        }
        return .value(prefix)
    }

    /// A list, each element judged by itself so that each wrong one is reported on its own line.
    static func list<Element>(
        _ name: String, _ field: WritableKeyPath<Section, [Element]>, allowed: String,
        parse: @escaping (TOMLNode.Value) -> Element?, write: @escaping (Element) -> String
    ) -> Setting {
        Setting(name: name, isRequired: false) { node, key, section, problems in
            guard case .array(let nodes) = node.value else {
                return problems.add(node.line, key, "is \(node.kind)\(node.quoted); must be an array of \(allowed)")
            }
            section[keyPath: field] = nodes.compactMap { element in
                if let value = parse(element.value) { return value }
                problems.add(element.line, key, "element \(element.shown) is not allowed; must be an array of \(allowed)")
                return nil
            }
        } write: { section in
            "[" + section[keyPath: field].map(write).joined(separator: ", ") + "]"
        }
    }
}

/// What became of one value.
enum Parsed<Value> {
    case value(Value)
    case wrongType
    /// The value as the user wrote it, and a hint.
    case notAllowed(String, String = "")

    func map<Other>(_ transform: (Value) -> Other) -> Parsed<Other> {
        switch self {
        case .value(let value): .value(transform(value))
        case .wrongType: .wrongType
        case .notAllowed(let shown, let hint): .notAllowed(shown, hint)
        }
    }
}

extension TOMLNode {
    /// The value for a message, empty for what is too long to show.
    fileprivate var quoted: String {
        switch value {
        case .string, .integer, .boolean: " (\(shown))"
        case .array, .table, .other: ""
        }
    }

    fileprivate var shown: String {
        switch value {
        case .string(let text): "\"\(text)\""
        case .integer(let number): "\(number)"
        case .boolean(let flag): "\(flag)"
        case .array, .table, .other: "(\(kind))"
        }
    }
}

/// `"a", "b" or "c"`
func quotedList(_ words: [String]) -> String {
    let quoted = words.map { "\"\($0)\"" }
    guard let last = quoted.last, quoted.count > 1 else { return quoted.first ?? "" }
    return quoted.dropLast().joined(separator: ", ") + " or " + last
}

/// A TOML basic string.
func quotedTOML(_ text: String) -> String {
    var out = "\""
    for scalar in text.unicodeScalars {
        switch scalar {
        case "\"": out += "\\\""
        case "\\": out += "\\\\"
        case "\n": out += "\\n"
        case "\t": out += "\\t"
        case _ where scalar.value < 0x20 || scalar.value == 0x7f:
            let hex = String(scalar.value, radix: 16)
            out += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
        default: out.unicodeScalars.append(scalar)
        }
    }
    return out + "\""
}
