// Where a piece of a ruleset stands in the text that it came from.
//
// Invariant: offsets are byte offsets into `SourceFile.bytes`, start <= end <= bytes.count; lines and columns are computed
// only when somebody asks, so a location costs a reference and two integers.

/// One file, command line or standard input that was parsed.
public final class SourceFile: Sendable {
    /// The name of what was given as arguments.
    public static let commandLine = "<cmdline>"
    /// As nft prints it in front of messages: a path or `/dev/stdin`.
    public let name: String
    public let bytes: [UInt8]
    /// Where this file was included from.
    public let includedFrom: SourceRange?
    private let lineStarts: [Int32]

    public init(name: String, bytes: [UInt8], includedFrom: SourceRange? = nil) {
        self.name = name
        self.bytes = bytes
        self.includedFrom = includedFrom
        var starts: [Int32] = [0]
        for (index, byte) in bytes.enumerated() where byte == 10 { starts.append(Int32(index + 1)) }
        lineStarts = starts
    }

    /// 1-based line of a byte offset.
    public func line(at offset: Int) -> Int {
        var low = 0, high = lineStarts.count
        while low + 1 < high {
            let middle = (low + high) / 2
            if Int(lineStarts[middle]) <= offset { low = middle } else { high = middle }
        }
        return low + 1
    }

    /// 1-based column of a byte offset, in bytes.
    public func column(at offset: Int) -> Int { offset - Int(lineStarts[line(at: offset) - 1]) + 1 }

    /// The text of a 1-based line without its line end.
    public func text(ofLine line: Int) -> String {
        guard line >= 1, line <= lineStarts.count else { return "" }
        let start = Int(lineStarts[line - 1])
        var end = start
        while end < bytes.count, bytes[end] != 10 { end += 1 }
        return String(decoding: bytes[start..<end], as: UTF8.self)
    }
}

/// A range of bytes in a source file.
public struct SourceRange: Sendable {
    public var source: SourceFile?
    public var start: Int32
    /// One past the last byte.
    public var end: Int32

    public init(source: SourceFile?, start: Int, end: Int) {
        self.source = source
        self.start = Int32(truncatingIfNeeded: start)
        self.end = Int32(truncatingIfNeeded: end)
    }

    /// No place: made by the program, or read from JSON.
    public static let none = SourceRange(source: nil, start: 0, end: 0)

    public var file: String { source?.name ?? "" }
    /// 1-based; 0 when the place is not known.
    public var line: Int { source?.line(at: Int(start)) ?? 0 }
    /// 1-based column of the first byte.
    public var column: Int { source?.column(at: Int(start)) ?? 0 }
    /// The source text of the range.
    public var text: String {
        guard let source, start >= 0, start <= end, Int(end) <= source.bytes.count else { return "" }
        return String(decoding: source.bytes[Int(start)..<Int(end)], as: UTF8.self)
    }
    /// `file:line`, for messages.
    public var position: String { source == nil ? "" : "\(file):\(line)" }

    /// The smallest range that holds both.
    public func joined(_ other: SourceRange) -> SourceRange {
        guard let source else { return other }
        guard source === other.source else { return self }
        return SourceRange(source: source, start: Int(min(start, other.start)), end: Int(max(end, other.end)))
    }
}
