// Rules and their statements.

extension Parser {
    func atEndOfRule() -> Bool {
        let token = peek()
        return token.kind == .newline || token.kind == .end || token.mark == .semicolon || token.mark == .closeBrace
    }

    func rule() throws -> RuleNode {
        let start = peek().start
        var rule = RuleNode(statements: [], location: .none)
        if atEndOfRule() { throw unexpected() }
        while !atEndOfRule() {
            if isWord("comment") {
                advance()
                rule.comment = try anyString()
                break
            }
            let begin = peek().start
            let kind = try statement()
            rule.statements.append(StatementNode(kind: kind, location: range(from: begin)))
        }
        rule.location = range(from: start)
        return rule
    }

    func statement() throws -> StatementKind {
        let token = peek()
        if token.kind == .word {
            if let verdict = try verdict() { return .verdict(verdict) }
            switch text(token) {
            case "counter", "limit", "quota", "last": return try statefulStatement().kind
            case "log": return try log()
            case "reject": return try reject()
            case "snat": return try nat(.snat)
            case "dnat": return try nat(.dnat)
            case "masquerade": return try nat(.masquerade)
            case "redirect": return try nat(.redirect)
            case "notrack":
                advance()
                return .notrack
            case "dup":
                advance()
                if !isWord("to") { throw unexpected(expecting: "to") }
                advance()
                let address = try argument()
                var device: Node?
                if accept(word: "device") { device = try argument() }
                return .duplicate(address: address, device: device)
            case "fwd":
                advance()
                let family = AddressFamily(rawValue: word())
                if family != nil, isWord("to", 1) {
                    advance()
                    advance()
                    let address = try argument()
                    try expect(word: "device")
                    return .forward(device: try argument(), address: address, family: family)
                }
                try expect(word: "to")
                return .forward(device: try argument(), address: nil, family: nil)
            case "queue": return try queue()
            case "tproxy": return try tproxy()
            case "synproxy":
                advance()
                if accept(word: "name") { return .object(.synproxy, try objectName()) }
                return .synproxy(try synproxy())
            case "meter": return try meter()
            case "add", "update", "delete":
                if peek(1).mark == .at { return try setUpdate() }
                throw unexpected()
            case "set" where ["add", "update", "delete"].contains(word(1)): return try oldSetUpdate()
            case "flow":
                advance()
                if accept(word: "add") || accept(word: "offload") {
                    try expect(.at)
                    return .flowAdd(try identifier())
                }
                throw unexpected()
            case "reset":
                advance()
                try expect(word: "tcp")
                try expect(word: "option")
                return .resetOption(name: try tcpOptionName())
            case "xt":
                advance()
                let kind = text(advance())
                return .xtables(kind: kind, name: try string())
            case "ct":
                if let special = try conntrackStatement() { return special }
            case "meta" where isWord("secmark", 1) && isWord("set", 2) && peek(3).kind == .quoted:
                advance()
                advance()
                advance()
                return .object(.secmark, try objectName())
            default: break
            }
        }
        return try matchStatement()
    }

    /// `counter`, `limit`, `quota`, `last`, `ct count`: also allowed in set elements and declarations.
    func statefulStatement() throws -> StatementNode {
        let start = peek().start
        let kind = try statefulKind()
        return StatementNode(kind: kind, location: range(from: start))
    }

    func statefulKind() throws -> StatementKind {
        switch word() {
        case "counter":
            advance()
            if accept(word: "name") { return .object(.counter, try objectName()) }
            var packets: UInt64 = 0, bytes: UInt64 = 0
            while true {
                if isWord("packets") { advance(); packets = try number() } else if isWord("bytes"), peek(1).kind == .number { advance(); bytes = try number() } else { break }
            }
            return .counter(packets: packets, bytes: bytes)
        case "limit":
            advance()
            if accept(word: "name") { return .object(.limit, try objectName()) }
            return .limit(try limit())
        case "quota":
            advance()
            if accept(word: "name") { return .object(.quota, try objectName()) }
            return .quota(try quota())
        case "last":
            advance()
            if accept(word: "used") { return accept(word: "never") ? .last(nil) : .last(try time()) }
            return .last(nil)
        case "ct":
            advance()
            try expect(word: "count")
            let over = accept(word: "over")
            if !over { _ = accept(word: "until") }
            let count = try number()
            return .connectionLimit(UInt32(truncatingIfNeeded: count), over: over)
        default: throw unexpected()
        }
    }

    func objectName() throws -> Node {
        let token = peek()
        if token.kind == .quoted {
            advance()
            return Node(.quoted(text(token)), range(token))
        }
        return try expression(.left)
    }

    /// `rate [over] N[unit]/time [burst N unit]`, behind the word `limit`.
    func limit() throws -> Limit {
        try expect(word: "rate")
        var limit = Limit(rate: 0, unit: 1, burst: 0, isBytes: false, isOver: false)
        if accept(word: "over") { limit.isOver = true } else { _ = accept(word: "until") }
        let start = peek()
        let (value, scale) = try byteQuantity()
        limit.rate = value
        if let scale {
            limit.isBytes = true
            let (product, overflow) = limit.rate.multipliedReportingOverflow(by: scale)
            if overflow { throw SyntaxError(message: "limit rate is too large", location: range(start)) }
            limit.rate = product
        }
        if !accept(.slash) { throw unexpected(expecting: scale == nil ? "/ or string or bytes" : "/") }
        let units: [String: UInt64] = ["second": 1, "minute": 60, "hour": 3600, "day": 86400, "week": 604_800]
        guard let unit = units[word()] else { throw unexpected() }
        advance()
        limit.unit = unit
        limit.burst = limit.isBytes ? 0 : 5
        if accept(word: "burst") {
            let burstStart = lastEnd
            let place = peek()
            let burst = try byteQuantity()
            if let scale = burst.scale {
                if !limit.isBytes { throw SyntaxError(message: "syntax error, unexpected bytes", location: range(place)) }
                limit.burst = burst.value &* scale
            } else {
                if accept(word: "packets"), limit.isBytes { throw SyntaxError(message: "syntax error, unexpected packets", location: range(place)) }
                limit.burst = burst.value
                if !limit.isBytes, burst.value == 0 { throw SyntaxError(message: "packet limit burst must be > 0", location: range(from: burstStart - 5)) }
            }
        }
        if limit.rate == 0 { throw SyntaxError(message: "limit rate must be > 0", location: range(start)) }
        return limit
    }

    /// A number, perhaps with `bytes`, `kbytes` or `mbytes`.
    func byteQuantity() throws -> (value: UInt64, scale: UInt64?) {
        let token = peek()
        // The scanner reads `10m` of `10mbytes` as a time.
        if token.kind == .literal, text(token).hasSuffix("m"), let value = UInt64(text(token).dropLast()), word(1).hasPrefix("bytes") {
            advance()
            splitAtSlash()
            advance()
            return (value, 1024 * 1024)
        }
        let value = try number()
        splitAtSlash()
        switch word() {
        case "bytes": advance(); return (value, 1)
        case "kbytes": advance(); return (value, 1024)
        case "mbytes": advance(); return (value, 1024 * 1024)
        default: return (value, nil)
        }
    }

    /// Behind the word `quota`.
    func quota() throws -> Quota {
        let over = accept(word: "over")
        if !over { _ = accept(word: "until") }
        let place = peek()
        let amount = try byteQuantity()
        guard let scale = amount.scale else { throw unexpected(expecting: "string or bytes") }
        var used: UInt64 = 0
        if accept(word: "used") {
            let spent = try byteQuantity()
            guard let scale = spent.scale else { throw unexpected() }
            used = spent.value &* scale
        }
        let (limit, overflow) = amount.value.multipliedReportingOverflow(by: scale)
        if overflow { throw SyntaxError(message: "quota is too large", location: range(place)) }
        return Quota(limit: limit, used: used, isOver: over)
    }

    func synproxy() throws -> Synproxy {
        var result = Synproxy(mss: nil, windowScale: nil, timestamp: false, sackPermitted: false)
        while true {
            let token = peek()
            if accept(word: "mss") || accept(word: "maxseg") {
                let value = try number()
                if value > 0xffff { throw SyntaxError(message: "mss is too large", location: range(token)) }
                result.mss = UInt16(value)
            } else if accept(word: "wscale") {
                let value = try number()
                if value > 14 { throw SyntaxError(message: "wscale is too large", location: range(token)) }
                result.windowScale = UInt8(value)
            } else if accept(word: "timestamp") {
                result.timestamp = true
            } else if accept(word: "sack-perm") || accept(word: "sack-permitted") {
                result.sackPermitted = true
            } else {
                return result
            }
        }
    }

    func log() throws -> StatementKind {
        advance()
        var log = Log()
        var prefix: Node?
        while peek().kind == .word {
            let token = peek()
            switch text(token) {
            case "prefix":
                advance()
                if peek().mark == .dollar { prefix = try variable() } else {
                    let place = peek()
                    prefix = Node(.quoted(try expanded(try string(), at: range(place))), range(from: token.start))
                }
            case "group": advance(); log.group = UInt16(truncatingIfNeeded: try number())
            case "snaplen": advance(); log.snapLength = UInt32(truncatingIfNeeded: try number())
            case "queue-threshold": advance(); log.queueThreshold = UInt16(truncatingIfNeeded: try number())
            case "level":
                advance()
                let place = peek()
                let level = try string()
                guard let number = Symbols.logLevels.firstIndex(of: level) ?? ["warning": 4, "error": 3, "panic": 0][level] else {
                    throw SyntaxError(message: "invalid log level", location: range(place))
                }
                log.level = UInt8(number)
            case "flags":
                advance()
                if accept(word: "tcp") {
                    repeat {
                        if accept(word: "sequence") { log.flags |= 1 } else if accept(word: "options") { log.flags |= 2 } else { throw unexpected() }
                    } while accept(.comma)
                } else if accept(word: "ip") {
                    try expect(word: "options")
                    log.flags |= 4
                } else if accept(word: "skuid") {
                    log.flags |= 8
                } else if accept(word: "ether") {
                    log.flags |= 32
                } else if accept(word: "all") {
                    log.flags |= 47
                } else {
                    throw unexpected()
                }
            default: return .log(log, prefix: prefix)
            }
        }
        return .log(log, prefix: prefix)
    }

    func reject() throws -> StatementKind {
        advance()
        guard accept(word: "with") else { return .reject(kind: nil, code: nil) }
        if accept(word: "tcp") {
            try expect(word: "reset")
            return .reject(kind: "tcp", code: nil)
        }
        let kind = word()
        guard ["icmp", "icmpv6", "icmpx"].contains(kind) else { throw unexpected(expecting: "icmp or icmpv6 or tcp or icmpx") }
        advance()
        _ = accept(word: "type")
        let code = try multiton(.right)
        return .reject(kind: kind, code: code)
    }
}
