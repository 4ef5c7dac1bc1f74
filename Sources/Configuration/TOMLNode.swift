// A TOML document as a tree of plain values, each with the line it stands on.
//
// TOMLKit parses; its nodes give no positions, so `TOMLPositions` finds them in the text.
internal import TOMLKit

/// A value and where it stands.
struct TOMLNode {
    enum Value {
        case string(String)
        case integer(Int)
        case boolean(Bool)
        case array([TOMLNode])
        case table([String: TOMLNode])
        /// A float, date or time: nothing here wants one. The word is TOML's name for it.
        case other(String)
    }
    var value: Value
    var line: Int

    /// What the value is, with its article, for messages.
    var kind: String {
        switch value {
        case .string: "a string"
        case .integer: "an integer"
        case .boolean: "a boolean"
        case .array: "an array"
        case .table: "a table"
        case .other(let name): name
        }
    }

    /// Parses a document into its root table.
    static func parse(_ text: String) throws -> TOMLNode {
        let lines = try TOMLPositions.lines(of: text)
        return TOMLNode(table: try TOMLTable(string: text), path: "", lines: lines, fallback: 1)
    }

    private init(value: Value, line: Int) {
        self.value = value
        self.line = line
    }

    private init(table: TOMLTable, path: String, lines: [String: Int], fallback: Int) {
        let line = lines[path] ?? fallback
        var entries: [String: TOMLNode] = [:]
        for key in table.keys {
            guard let value = table[key] else { continue }
            entries[key] = TOMLNode(value, path: TOMLPositions.path(path, key), lines: lines, fallback: line)
        }
        self.init(value: .table(entries), line: line)
    }

    private init(_ node: TOMLValueConvertible, path: String, lines: [String: Int], fallback: Int) {
        let line = lines[path] ?? fallback
        switch node.type {
        case .table:
            if let table = node.table { self.init(table: table, path: path, lines: lines, fallback: fallback) } else { self.init(value: .other("a table"), line: line) }
        case .array:
            let elements = node.array.map { array in
                (0..<array.count).map { TOMLNode(array[$0], path: TOMLPositions.path(path, $0), lines: lines, fallback: line) }
            }
            self.init(value: .array(elements ?? []), line: line)
        case .string: self.init(value: .string(node.string ?? ""), line: line)
        case .int: self.init(value: .integer(node.int ?? 0), line: line)
        case .bool: self.init(value: .boolean(node.bool ?? false), line: line)
        case .double: self.init(value: .other("a floating-point number"), line: line)
        case .date: self.init(value: .other("a date"), line: line)
        case .time: self.init(value: .other("a time"), line: line)
        case .dateTime: self.init(value: .other("a date and time"), line: line)
        }
    }
}
