// Finds the line of each key, table and array element of a TOML document.
//
// It runs before TOMLKit, whose parser has assertions that end the process over some malformed documents: it refuses
// whatever has not the shape of TOML. What it lets pass may still be wrong in detail (a value's digits, a key given
// twice); TOMLKit says that.

/// A scanner over the document's UTF-8 bytes.
struct TOMLPositions {
    private let bytes: [UInt8]
    private var at = 0
    private var line = 1
    private var lines: [String: Int] = [:]
    /// The first thing that is no TOML, and where.
    private var failure: Failure?
    /// Elements so far of each array of tables.
    private var tableCounts: [String: Int] = [:]

    struct Failure: Error, Equatable {
        var line: Int
        var message: String
    }

    /// Lines by path: `""` for the root, `eal.main-core`, `port[1].addresses[0]`. A header's line is its table's.
    static func lines(of text: String) throws(Failure) -> [String: Int] {
        var scanner = TOMLPositions(bytes: Array(text.utf8))
        scanner.document()
        if let failure = scanner.failure { throw failure }
        return scanner.lines
    }

    /// A key containing a separator cannot be confused with a path, since each part is escaped.
    static func path(_ parent: String, _ key: String) -> String {
        let escaped = key.contains(where: { ".[]\\".contains($0) }) ? key.map { ".[]\\".contains($0) ? "\\\($0)" : "\($0)" }.joined() : key
        return parent.isEmpty ? escaped : parent + "." + escaped
    }

    static func path(_ parent: String, _ index: Int) -> String { "\(parent)[\(index)]" }

    private init(bytes: [UInt8]) { self.bytes = bytes }

    private var current: UInt8? { at < bytes.count ? bytes[at] : nil }
    private func starts(with text: StaticString) -> Bool {
        guard at + text.utf8CodeUnitCount <= bytes.count else { return false }
        return text.withUTF8Buffer { word in bytes[at..<at + word.count].elementsEqual(word) }
    }

    private mutating func step() {
        if current == UInt8(ascii: "\n") { line += 1 }
        at += 1
    }

    private mutating func fail(_ message: String, line: Int? = nil) {
        if failure == nil { failure = Failure(line: line ?? self.line, message: message) }
    }

    private mutating func note(_ path: String) { if lines[path] == nil { lines[path] = line } }

    /// Skips blanks; with `newlines`, line ends and comments too.
    private mutating func skipBlanks(newlines: Bool) {
        while let byte = current {
            if byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t") {
                step()
            } else if newlines, byte == UInt8(ascii: "\n") || byte == UInt8(ascii: "\r") {
                step()
            } else if newlines, byte == UInt8(ascii: "#") {
                while let byte = current, byte != UInt8(ascii: "\n") { step() }
            } else {
                return
            }
        }
    }

    private mutating func document() {
        var table = ""
        lines[""] = 1
        while true {
            skipBlanks(newlines: true)
            guard let byte = current else { return }
            if byte == UInt8(ascii: "[") {
                guard let header = tableHeader() else { return }
                table = header
            } else {
                guard keyAndValue(in: table) else { return }
            }
        }
    }

    /// `[a.b]` or `[[a.b]]`; gives the table's path.
    private mutating func tableHeader() -> String? {
        let isArray = starts(with: "[[")
        step()
        if isArray { step() }
        skipBlanks(newlines: false)
        guard let byte = current, isBareKey(byte) || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "'") else {
            fail("a table header needs a name; write [eal] or [[port]]")
            return nil
        }
        guard let keys = dottedKey(), let last = keys.last else { return nil }
        guard starts(with: isArray ? "]]" : "]") else {
            fail("a table header ends in \(isArray ? "]]" : "]")")
            return nil
        }
        var path = ""
        for key in keys.dropLast() {
            path = TOMLPositions.path(path, key)
            if let count = tableCounts[path] { path = TOMLPositions.path(path, count - 1) } else { note(path) }
        }
        path = TOMLPositions.path(path, last)
        if isArray {
            note(path)
            let index = tableCounts[path, default: 0]
            tableCounts[path] = index + 1
            path = TOMLPositions.path(path, index)
        }
        lines[path] = line
        for _ in 0..<(isArray ? 2 : 1) { step() }
        return path
    }

    private mutating func keyAndValue(in table: String) -> Bool {
        guard let keys = dottedKey() else { return false }
        var path = table
        for key in keys {
            path = TOMLPositions.path(path, key)
            note(path)
        }
        skipBlanks(newlines: false)
        guard current == UInt8(ascii: "=") else {
            fail("an = is expected behind the key \(keys.joined(separator: "."))")
            return false
        }
        step()
        skipBlanks(newlines: false)
        return value(path)
    }

    private mutating func dottedKey() -> [String]? {
        var keys: [String] = []
        while true {
            skipBlanks(newlines: false)
            guard let byte = current else {
                fail("a key is expected")
                return nil
            }
            if byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "'") {
                guard let key = string() else { return nil }
                keys.append(key)
            } else {
                let start = at
                while let byte = current, isBareKey(byte) { at += 1 }
                guard at > start else {
                    fail("a key is expected: letters, digits, - and _")
                    return nil
                }
                keys.append(String(decoding: bytes[start..<at], as: UTF8.self))
            }
            skipBlanks(newlines: false)
            guard current == UInt8(ascii: ".") else { return keys }
            step()
        }
    }

    private func isBareKey(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "-"): true
        default: false
        }
    }

    private mutating func value(_ path: String) -> Bool {
        let start = at, firstLine = line
        guard let byte = current else {
            fail("a value is expected")
            return false
        }
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "'"):
            return string() != nil
        case UInt8(ascii: "["):
            step()
            var index = 0
            while true {
                skipBlanks(newlines: true)
                guard let byte = current else {
                    fail("the array is not closed; a ] is missing", line: firstLine)
                    return false
                }
                if byte == UInt8(ascii: "]") {
                    step()
                    return true
                }
                if byte == UInt8(ascii: ",") {
                    step()
                    continue
                }
                let element = TOMLPositions.path(path, index)
                note(element)
                guard value(element) else { return false }
                index += 1
            }
        case UInt8(ascii: "{"):
            step()
            while true {
                skipBlanks(newlines: true)
                guard let byte = current else {
                    fail("the inline table is not closed; a } is missing", line: firstLine)
                    return false
                }
                if byte == UInt8(ascii: "}") {
                    step()
                    return true
                }
                if byte == UInt8(ascii: ",") {
                    step()
                    continue
                }
                guard keyAndValue(in: path) else { return false }
            }
        default:
            while let byte = current, !",]}#\n\r".utf8.contains(byte) { at += 1 }
            if at == start { fail("a value is expected") }
            return at > start
        }
    }

    /// Any of the four kinds of string; its text is right for keys, which have no line continuations.
    private mutating func string() -> String? {
        guard let quote = current else { return nil }
        let firstLine = line
        let isBasic = quote == UInt8(ascii: "\"")
        let isMultiline = starts(with: isBasic ? "\"\"\"" : "'''")
        var text: [UInt8] = []
        for _ in 0..<(isMultiline ? 3 : 1) { step() }
        while let byte = current {
            if byte == quote, !isMultiline || starts(with: isBasic ? "\"\"\"" : "'''") {
                for _ in 0..<(isMultiline ? 3 : 1) { step() }
                // Up to two further quotes belong to the text: `""""a"""""`.
                while isMultiline, current == quote { step() }
                return String(decoding: text, as: UTF8.self)
            }
            if !isMultiline, byte == UInt8(ascii: "\n") { break }
            if isBasic, byte == UInt8(ascii: "\\") {
                step()
                guard let escaped = current else { break }
                text.append(escaped)
            } else {
                text.append(byte)
            }
            step()
        }
        fail("the string is not closed; a quote is missing", line: firstLine)
        return nil
    }
}
