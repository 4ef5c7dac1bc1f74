// JSON values in order, reading and writing. Small, so that the nft path loads nothing larger.
//
// Bounded: nesting of at most 128 levels.

indirect enum JSON {
    case null
    case bool(Bool)
    case int(Int64)
    /// Above the largest `Int64`.
    case large(UInt64)
    case real(Double)
    case string(String)
    case array([JSON])
    case dictionary(JSONMembers)

    static func number(_ value: UInt64) -> JSON { Int64(exactly: value).map { .int($0) } ?? .large(value) }

    static func object(_ members: [(key: String, value: JSON)]) -> JSON { .dictionary(JSONMembers(list: members)) }

    subscript(_ key: String) -> JSON? {
        guard case .dictionary(let members) = self else { return nil }
        return members.first { $0.key == key }?.value
    }
    var text: String? { if case .string(let text) = self { text } else { nil } }
    var integer: UInt64? {
        switch self {
        case .int(let number) where number >= 0: UInt64(number)
        case .large(let number): number
        case .real(let number) where number >= 0 && number < 1.8e19: UInt64(number)
        default: nil
        }
    }
    var items: [JSON]? { if case .array(let items) = self { items } else { nil } }
    var isTrue: Bool { if case .bool(true) = self { true } else { false } }

    // MARK: Writing

    func write(_ out: inout String) {
        switch self {
        case .null: out += "null"
        case .bool(let value): out += value ? "true" : "false"
        case .int(let number): out += String(number)
        case .large(let number): out += String(number)
        case .real(let number): out += String(number)
        case .string(let text): Self.quote(text, &out)
        case .array(let items):
            out += "["
            for (index, item) in items.enumerated() {
                if index > 0 { out += ", " }
                item.write(&out)
            }
            out += "]"
        case .dictionary(let members):
            out += "{"
            for (index, member) in members.enumerated() {
                if index > 0 { out += ", " }
                Self.quote(member.key, &out)
                out += ": "
                member.value.write(&out)
            }
            out += "}"
        }
    }

    private static func quote(_ text: String, _ out: inout String) {
        out += "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": out += "\\\""
            case "\\": out += "\\\\"
            case "\n": out += "\\n"
            case "\t": out += "\\t"
            case "\r": out += "\\r"
            default:
                if scalar.value < 32 { out += "\\u" + Symbols.hex(scalar.value, 4) } else { out.unicodeScalars.append(scalar) }
            }
        }
        out += "\""
    }
}

/// The members of an object in order.
struct JSONMembers: RandomAccessCollection {
    var list: [(key: String, value: JSON)]
    var startIndex: Int { 0 }
    var endIndex: Int { list.count }
    subscript(_ index: Int) -> (key: String, value: JSON) { list[index] }
}

/// What is wrong with a JSON text, and at which byte.
struct JSONError: Error {
    var message: String
    var offset: Int
}

struct JSONParser {
    private let bytes: [UInt8]
    private var position = 0
    private var depth = 0

    private init(_ bytes: [UInt8]) { self.bytes = bytes }

    static func parse(_ bytes: [UInt8]) throws -> JSON {
        var parser = JSONParser(bytes)
        let value = try parser.value()
        parser.skip()
        if parser.position < bytes.count { throw parser.fail("end of file expected") }
        return value
    }

    private func fail(_ message: String) -> JSONError { JSONError(message: message, offset: position) }

    private mutating func skip() {
        while position < bytes.count, bytes[position] == 32 || bytes[position] == 10 || bytes[position] == 13 || bytes[position] == 9 { position += 1 }
    }

    private mutating func value() throws -> JSON {
        skip()
        guard position < bytes.count else { throw fail("premature end of input") }
        depth += 1
        defer { depth -= 1 }
        if depth > 128 { throw fail("nesting is deeper than 128 levels") }
        switch bytes[position] {
        case UInt8(ascii: "{"):
            position += 1
            var members: [(key: String, value: JSON)] = []
            skip()
            if take(125) { return .object(members) }
            while true {
                skip()
                let key = try string()
                skip()
                guard take(58) else { throw fail("':' expected") }
                members.append((key, try value()))
                skip()
                if take(44) { continue }
                guard take(125) else { throw fail("'}' expected") }
                return .object(members)
            }
        case UInt8(ascii: "["):
            position += 1
            var items: [JSON] = []
            skip()
            if take(93) { return .array(items) }
            while true {
                items.append(try value())
                skip()
                if take(44) { continue }
                guard take(93) else { throw fail("']' expected") }
                return .array(items)
            }
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"): return try word("true", .bool(true))
        case UInt8(ascii: "f"): return try word("false", .bool(false))
        case UInt8(ascii: "n"): return try word("null", .null)
        default: return try number()
        }
    }

    private mutating func take(_ byte: UInt8) -> Bool {
        guard position < bytes.count, bytes[position] == byte else { return false }
        position += 1
        return true
    }

    private mutating func word(_ text: String, _ result: JSON) throws -> JSON {
        for byte in text.utf8 { guard take(byte) else { throw fail("invalid token") } }
        return result
    }

    private mutating func number() throws -> JSON {
        let start = position
        while position < bytes.count, Lexer.isDigit(bytes[position]) || [43, 45, 46, 69, 101].contains(bytes[position]) { position += 1 }
        let text = String(decoding: bytes[start..<position], as: UTF8.self)
        if let number = Int64(text) { return .int(number) }
        if let number = UInt64(text) { return .large(number) }
        if let number = Double(text) { return .real(number) }
        position = start
        throw fail("invalid token")
    }

    private mutating func string() throws -> String {
        guard take(34) else { throw fail("string expected") }
        var out: [UInt8] = []
        while position < bytes.count {
            let byte = bytes[position]
            position += 1
            if byte == 34 { return String(decoding: out, as: UTF8.self) }
            if byte != 92 { out.append(byte); continue }
            guard position < bytes.count else { break }
            let escape = bytes[position]
            position += 1
            switch escape {
            case UInt8(ascii: "n"): out.append(10)
            case UInt8(ascii: "t"): out.append(9)
            case UInt8(ascii: "r"): out.append(13)
            case UInt8(ascii: "b"): out.append(8)
            case UInt8(ascii: "f"): out.append(12)
            case UInt8(ascii: "u"):
                guard position + 4 <= bytes.count, let code = UInt32(String(decoding: bytes[position..<(position + 4)], as: UTF8.self), radix: 16) else { throw fail("invalid escape") }
                position += 4
                if let scalar = Unicode.Scalar(code) { out += Array(String(Character(scalar)).utf8) } else { out += [0xef, 0xbf, 0xbd] }
            default: out.append(escape)
            }
        }
        throw fail("premature end of input")
    }
}
