// Tokens to syntax: the entry, scopes of variables, includes and recovery after an error.
//
// Invariant: nesting, include depth and the number of messages are bounded; after an error parsing goes on behind the
// next end of a statement, so that one run reports all of them.
import Foundation

struct SyntaxError: Error {
    var message: String
    var location: SourceRange
}

final class Scope {
    var variables: [String: Node] = [:]
    let parent: Scope?
    init(parent: Scope?) { self.parent = parent }
}

final class Parser {
    static let maximumNesting = 64, maximumIncludes = 16, maximumErrors = 10
    let options: LoadOptions
    var lexer: Lexer
    var lookahead: [Token] = []
    var scope = Scope(parent: nil)
    var commands: [Command] = []
    var diagnostics: [Diagnostic] = []
    var nesting = 0
    var includeDepth = 0
    var lastEnd = 0
    var anonymousChains = 0
    /// The input ended inside a block, and a message says so.
    var reportedEnd = false
    /// Inside the value of an assignment, whose grammar is narrower than that of a match.
    var isArgument = false

    init(source: SourceFile, options: LoadOptions) {
        lexer = Lexer(source: source)
        self.options = options
        for define in options.defines {
            let text = SourceFile(name: "<cmdline>", bytes: Array(define.value.utf8))
            let inner = Parser(source: text, options: LoadOptions())
            if let node = try? inner.initializer() { scope.variables[define.name] = node }
        }
    }

    // MARK: Tokens

    func peek(_ distance: Int = 0) -> Token {
        while lookahead.count <= distance { lookahead.append(lexer.next()) }
        return lookahead[distance]
    }

    @discardableResult func advance() -> Token {
        let token: Token
        if lookahead.isEmpty { token = lexer.next() } else { token = lookahead.removeFirst() }
        lastEnd = token.end
        return token
    }

    func text(_ token: Token) -> String {
        switch token.kind {
        case .quoted: String(decoding: lexer.source.bytes[(token.start + 1)..<(token.end - 1)], as: UTF8.self)
        case .asterisk where lexer.source.bytes[token.start] == 34: String(decoding: lexer.source.bytes[(token.start + 1)..<(token.end - 1)], as: UTF8.self)
        default: String(decoding: lexer.source.bytes[token.start..<token.end], as: UTF8.self)
        }
    }

    func range(_ token: Token) -> SourceRange { SourceRange(source: lexer.source, start: token.start, end: token.end) }
    func range(from start: Int) -> SourceRange { SourceRange(source: lexer.source, start: start, end: max(start, lastEnd)) }

    /// The word at the given distance, or "" when it is something else.
    func word(_ distance: Int = 0) -> String {
        let token = peek(distance)
        return token.kind == .word ? text(token) : ""
    }

    func isWord(_ expected: String, _ distance: Int = 0) -> Bool {
        let token = peek(distance)
        guard token.kind == .word, token.end - token.start == expected.utf8.count else { return false }
        return zip(lexer.source.bytes[token.start..<token.end], expected.utf8).allSatisfy { $0 == $1 }
    }

    func accept(word expected: String) -> Bool {
        guard isWord(expected) else { return false }
        advance()
        return true
    }

    /// `bytes/second` is one word to the scanner: takes it apart at the slash.
    func splitAtSlash() {
        let token = peek()
        guard token.kind == .word, let slash = lexer.source.bytes[token.start..<token.end].firstIndex(of: 47) else { return }
        var parts = [Token(kind: .word, start: token.start, end: slash), Token(kind: .punctuation, start: slash, end: slash + 1, mark: .slash)]
        if slash + 1 < token.end { parts.append(Token(kind: .word, start: slash + 1, end: token.end)) }
        lookahead.replaceSubrange(0..<1, with: parts)
    }

    func accept(_ mark: Token.Mark) -> Bool {
        guard peek().mark == mark else { return false }
        advance()
        return true
    }

    func expect(_ mark: Token.Mark) throws {
        if accept(mark) { return }
        throw unexpected(expecting: [.openBrace, .assign, .slash].contains(mark) ? Self.names[mark] : nil)
    }
    func expect(word expected: String) throws { if !accept(word: expected) { throw unexpected(expecting: expected) } }

    func unexpected(expecting: String? = nil) -> SyntaxError {
        let token = peek()
        let what = switch token.kind {
        case .word: Keywords.reserved.contains(text(token)) ? text(token) : "string"
        case .number: "number"
        case .literal: "string"
        case .quoted: "quoted string"
        case .asterisk: "string with a trailing asterisk"
        case .newline: "newline"
        case .end: "end of file"
        case .junk: "junk"
        case .punctuation: Self.names[token.mark] ?? "'\(text(token))'"
        }
        return SyntaxError(message: "syntax error, unexpected \(what)" + (expecting.map { ", expecting \($0)" } ?? ""), location: range(token))
    }

    private static let names: [Token.Mark: String] = [
        .comma: "comma", .dot: ".", .colon: "colon", .semicolon: "semicolon", .shiftLeft: "<<", .shiftRight: ">>", .ampersand: "&", .caret: "^",
        .not: "!", .bar: "'|'", .slash: "/", .dash: "-", .asterisk: "*", .at: "@", .dollar: "'$'", .assign: "'='", .equal: "==", .notEqual: "!=",
        .openBrace: "'{'", .closeBrace: "'}'", .less: "<", .greater: ">", .lessOrEqual: "<=", .greaterOrEqual: ">=",
    ]

    func nested<T>(_ body: () throws -> T) throws -> T {
        nesting += 1
        defer { nesting -= 1 }
        if nesting > Self.maximumNesting { throw SyntaxError(message: "nesting is deeper than \(Self.maximumNesting) levels", location: range(peek())) }
        return try body()
    }

    func skipNewlines() { while peek().kind == .newline { advance() } }

    func skipSeparators() { while peek().kind == .newline || peek().mark == .semicolon { advance() } }

    /// `;` or newline; the end of the input serves as well.
    func endOfStatement() throws {
        let token = peek()
        if token.kind == .newline || token.mark == .semicolon { advance(); return }
        if token.kind == .end { return }
        throw unexpected(expecting: token.mark == .closeBrace ? "newline or semicolon" : nil)
    }

    func report(_ error: SyntaxError) {
        if diagnostics.count < Self.maximumErrors { diagnostics.append(Diagnostic(message: error.message, location: error.location)) }
    }

    /// Skips to behind the next end of a statement, whatever braces stand on the way: so does nft's grammar, whose blocks
    /// take "error, end of statement" as an item. A brace that is skipped closes nothing.
    func recover() {
        while peek().kind != .end {
            let token = advance()
            if token.kind == .newline || token.mark == .semicolon { return }
        }
    }

    // MARK: Files

    func parseAll() {
        while true {
            skipSeparators()
            let token = peek()
            if token.kind == .end { return }
            if diagnostics.count >= Self.maximumErrors { return }
            do {
                try command()
                try endOfStatement()
            } catch let error as SyntaxError {
                report(error)
                recover()
            } catch {}
        }
    }

    /// `define`, `redefine`, `undefine`, `include`: true if one was here.
    func common() throws -> Bool {
        guard peek().kind == .word else { return false }
        switch word() {
        case "include":
            let start = advance().start
            try include(from: start)
            return true
        case "define", "redefine":
            let redefining = isWord("redefine")
            advance()
            let nameToken = peek()
            let name = try identifier()
            try expect(.assign)
            let value = try initializer()
            if !redefining, scope.variables[name] != nil {
                throw SyntaxError(message: "redefinition of symbol '\(name)'", location: range(nameToken))
            }
            scope.variables[name] = value
            return true
        case "undefine":
            advance()
            let token = peek()
            let name = try identifier()
            if scope.variables.removeValue(forKey: name) == nil { throw SyntaxError(message: "undefined symbol '\(name)'", location: range(token)) }
            return true
        default: return false
        }
    }

    func initializer() throws -> Node {
        if peek().mark == .dash {
            let start = advance().start
            let number = advance()
            return Node(.symbol("-" + text(number)), range(from: start))
        }
        return try rightHandSide(allowList: true)
    }

    /// - Parameter start: of the word `include`, where messages begin; as nft has it, they end behind the line's end.
    private func include(from start: Int) throws {
        let token = peek()
        guard token.kind == .quoted || token.kind == .asterisk else { throw unexpected(expecting: "quoted string") }
        advance()
        let pattern = text(token)
        let place = SourceRange(source: lexer.source, start: start, end: lastEnd + (peek().kind == .newline || peek().mark == .semicolon ? 1 : 0))
        if includeDepth >= Self.maximumIncludes {
            throw SyntaxError(message: "Include nested too deeply, max \(Self.maximumIncludes) levels", location: place)
        }
        let hasWildcard = pattern.contains { "*?[".contains($0) }
        var candidates: [String] = []
        if pattern.hasPrefix("/") || pattern.hasPrefix("./") || pattern.hasPrefix("../") {
            candidates = [pattern]
        } else {
            candidates = (options.includePaths + ["/etc"]).map { $0 + "/" + pattern }
            if !options.includePaths.contains(".") { candidates.append(pattern) }
        }
        for candidate in candidates {
            var files: [String] = []
            if hasWildcard {
                var result = glob_t()
                defer { globfree(&result) }
                if glob(RulesetValue.resolve(candidate, options), 0, nil, &result) == 0 {
                    for index in 0..<Int(result.gl_pathc) { if let path = result.gl_pathv[index] { files.append(String(cString: path)) } }
                }
                if files.isEmpty { continue }
            } else {
                let path = RulesetValue.resolve(candidate, options)
                guard FileManager.default.fileExists(atPath: path) else { continue }
                files = [path]
            }
            for file in files {
                var isFolder: ObjCBool = false
                guard FileManager.default.fileExists(atPath: file, isDirectory: &isFolder) else { continue }
                if isFolder.boolValue {
                    if hasWildcard { continue }
                    throw SyntaxError(message: "Not a regular file: \"\(file)\"", location: place)
                }
                guard let data = FileManager.default.contents(atPath: file) else {
                    throw SyntaxError(message: "Could not open file \"\(file)\": Permission denied", location: place)
                }
                nestedParse(SourceFile(name: file, bytes: [UInt8](data), includedFrom: place))
            }
            return
        }
        if hasWildcard { return }
        throw SyntaxError(message: "File not found: \(pattern)", location: place)
    }

    /// What an included file may hold depends on the block it stands in.
    enum BlockKind { case file, table(Box<TableNode>), chain(Box<ChainNode>), set(Box<SetNode>) }
    final class Box<T> { var value: T; init(_ value: T) { self.value = value } }
    var block = BlockKind.file

    private func nestedParse(_ source: SourceFile) {
        let saved = (lexer, lookahead, lastEnd)
        lexer = Lexer(source: source)
        lookahead = []
        includeDepth += 1
        switch block {
        case .file: parseAll()
        case .table(let box): tableBody(box, untilEnd: true)
        case .chain(let box): chainBody(box, untilEnd: true)
        case .set(let box): setBody(box, untilEnd: true)
        }
        includeDepth -= 1
        (lexer, lookahead, lastEnd) = saved
    }

    func lookUp(_ name: String) -> Node? {
        var current: Scope? = scope
        while let here = current {
            if let node = here.variables[name] { return node }
            current = here.parent
        }
        return nil
    }

    func variable() throws -> Node {
        let start = peek().start
        try expect(.dollar)
        let token = peek()
        let name = try identifier()
        guard let value = lookUp(name) else { throw unknown(name, at: range(token)) }
        return Node(.variable(name, value), range(from: start))
    }

    private func unknown(_ name: String, at place: SourceRange) -> SyntaxError {
        var message = "unknown identifier '\(name)'"
        var names: [String] = []
        var current: Scope? = scope
        while let here = current { names += here.variables.keys; current = here.parent }
        if let near = Spelling.nearest(to: name, among: names.sorted()) { message += "; did you mean identifier '\(near)'?" }
        return SyntaxError(message: message, location: place)
    }

    /// A quoted text with the variables that it names put in.
    func expanded(_ text: String, at place: SourceRange) throws -> String {
        guard text.utf8.contains(UInt8(ascii: "$")) else { return text }
        let bytes = Array(text.utf8)
        var output: [UInt8] = []
        var index = 0
        while index < bytes.count {
            guard bytes[index] == UInt8(ascii: "$") else { output.append(bytes[index]); index += 1; continue }
            var end = index + 1
            while end < bytes.count, Lexer.isLetter(bytes[end]) || Lexer.isDigit(bytes[end]) || bytes[end] == UInt8(ascii: "_") { end += 1 }
            let name = String(decoding: bytes[(index + 1)..<end], as: UTF8.self)
            guard let value = lookUp(name) else { throw unknown(name, at: place) }
            switch value.resolved.kind {
            case .symbol(let word), .quoted(let word), .wildcard(let word): output += word.utf8
            default: throw SyntaxError(message: "the value of '\(name)' is no text", location: place)
            }
            index = end
        }
        return String(decoding: output, as: UTF8.self)
    }

    // MARK: Names and numbers

    func identifier() throws -> String {
        let token = peek()
        guard token.kind == .word else { throw unexpected(expecting: "string") }
        let name = text(token)
        if Keywords.reserved.contains(name) { throw unexpected(expecting: "string") }
        advance()
        return name
    }

    func number() throws -> UInt64 {
        let token = peek()
        guard token.kind == .number, let value = Numbers.unsigned(text(token)) else { throw unexpected(expecting: "number") }
        advance()
        return value
    }

    func signedNumber() throws -> Int64 {
        let negative = accept(.dash)
        let value = Int64(truncatingIfNeeded: min(try number(), UInt64(Int64.max)))
        return negative ? -value : value
    }

    func string() throws -> String {
        let token = peek()
        guard token.kind == .quoted || token.kind == .word || token.kind == .asterisk else { throw unexpected(expecting: "string") }
        advance()
        return text(token)
    }

    /// A text in or without quotes, perhaps with an asterisk at its end.
    func anyString() throws -> String {
        let token = peek()
        guard token.kind == .quoted || token.kind == .word || token.kind == .asterisk else { throw unexpected(expecting: "string or quoted string or string with a trailing asterisk") }
        advance()
        return text(token)
    }

    func quotedString() throws -> String {
        let token = peek()
        guard token.kind == .quoted || token.kind == .asterisk else { throw unexpected(expecting: "quoted string") }
        advance()
        return text(token)
    }

    /// Milliseconds.
    func time() throws -> UInt64 {
        let token = peek()
        let value = text(token)
        guard token.kind == .number || token.kind == .literal || token.kind == .quoted || token.kind == .word, let milliseconds = Numbers.time(value) else {
            if token.kind == .number || token.kind == .literal || token.kind == .word {
                throw SyntaxError(message: "wrong time format", location: range(token))
            }
            throw unexpected(expecting: "string")
        }
        advance()
        return milliseconds
    }

    func family() -> Family? {
        guard peek().kind == .word, let family = Family(rawValue: word()) else { return nil }
        advance()
        return family
    }
}
