// Named objects: counters, quotas, limits, helpers and their like, in commands and in tables.

extension Parser {
    func objectAddition(_ operation: CommandOperation, _ kind: String, _ start: Int) throws {
        let target = try chainTarget()
        var comment: String?
        let value: ObjectSyntax
        if accept(.openBrace) {
            (value, comment) = try objectBody(kind)
        } else {
            value = try objectInline(kind)
        }
        emit(operation, .object(target, ObjectNode(name: target.name, location: target.nameLocation, value: value, comment: comment)), start)
    }

    func objectInline(_ kind: String) throws -> ObjectSyntax {
        switch kind {
        case "counter":
            var packets: UInt64 = 0, bytes: UInt64 = 0
            if accept(word: "packets") {
                packets = try number()
                try expect(word: "bytes")
                bytes = try number()
            }
            return .counter(packets: packets, bytes: bytes)
        case "quota": return atEndOfRule() ? .quota(Quota(limit: 0, used: 0, isOver: false)) : .quota(try quota())
        case "limit": return .limit(try limit())
        case "synproxy": return .synproxy(try synproxy())
        case "secmark": return .secmark(try string())
        default: throw unexpected()
        }
    }

    /// Behind the opening brace, up to and with the closing one.
    func objectBody(_ kind: String) throws -> (ObjectSyntax, String?) {
        var comment: String?
        var value: ObjectSyntax? = kind == "counter" ? .counter(packets: 0, bytes: 0) : kind == "quota" ? .quota(Quota(limit: 0, used: 0, isOver: false)) : nil
        var fields: [String: String] = [:]
        var numbers: [String: UInt64] = [:]
        var policy: [(String, UInt64, SourceRange)] = []
        var lines: [String] = []
        while true {
            skipSeparators()
            if accept(.closeBrace) { break }
            if peek().kind == .end { throw unexpected() }
            if try common() { continue }
            if accept(word: "comment") {
                comment = try string()
            } else {
                switch kind {
                case "counter", "quota", "limit", "synproxy", "secmark":
                    let here = try objectInline(kind)
                    if case .synproxy(var all)? = value, case .synproxy(let more) = here {
                        all.mss = more.mss ?? all.mss
                        all.windowScale = more.windowScale ?? all.windowScale
                        all.timestamp = all.timestamp || more.timestamp
                        all.sackPermitted = all.sackPermitted || more.sackPermitted
                        value = .synproxy(all)
                    } else {
                        value = here
                    }
                case "ct helper":
                    if accept(word: "type") {
                        fields["type"] = try quotedString()
                        try expect(word: "protocol")
                        fields["protocol"] = try string()
                    } else if accept(word: "l3proto") {
                        fields["l3proto"] = try string()
                    } else {
                        throw unexpected()
                    }
                case "ct timeout", "ct expectation":
                    switch word() {
                    case "protocol", "l3proto":
                        let key = text(advance())
                        fields[key] = try string()
                    case "policy" where kind == "ct timeout":
                        advance()
                        try expect(.assign)
                        try expect(.openBrace)
                        skipNewlines()
                        while peek().mark != .closeBrace {
                            let state = peek()
                            let name = try string()
                            try expect(.colon)
                            policy.append((name, try time() / 1000, range(state)))
                            skipNewlines()
                            if !accept(.comma) { break }
                            skipNewlines()
                        }
                        try expect(.closeBrace)
                    case "timeout" where kind == "ct expectation":
                        advance()
                        numbers["timeout"] = try time()
                    case "dport", "size":
                        let key = text(advance())
                        numbers[key] = try number()
                    default: throw unexpected()
                    }
                default: lines.append(try verbatimLine())
                }
            }
            if peek().mark != .closeBrace { try endOfStatement() }
        }
        switch kind {
        case "ct helper": value = .ctHelper(type: fields["type"], l4proto: fields["protocol"], l3proto: fields["l3proto"])
        case "ct timeout": value = .ctTimeout(l4proto: fields["protocol"], l3proto: fields["l3proto"], policy: policy)
        case "ct expectation":
            value = .ctExpectation(l4proto: fields["protocol"], l3proto: fields["l3proto"], port: numbers["dport"], timeout: numbers["timeout"], size: numbers["size"])
        case "tunnel": value = .tunnel(lines)
        default: break
        }
        guard let value else { throw unexpected() }
        return (value, comment)
    }

    /// The words up to the end of the line, nested braces included.
    func verbatimLine() throws -> String {
        let start = peek().start
        var depth = 0
        while true {
            let token = peek()
            if token.kind == .end { throw unexpected() }
            if depth == 0, token.kind == .newline || token.mark == .semicolon || token.mark == .closeBrace { break }
            if token.mark == .openBrace { depth += 1 }
            if token.mark == .closeBrace { depth -= 1 }
            advance()
        }
        return range(from: start).text
    }
}
