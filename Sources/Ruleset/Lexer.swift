// Bytes to tokens, by the longest match as nft's scanner does it: `1d2h` is one literal, `80-90` three tokens, `echo-reply` one word.
//
// Invariant: every call to `next` moves forward or returns `.end`; no input makes it fail: a byte that belongs nowhere
// becomes a `.junk` token.

struct Lexer {
    let source: SourceFile
    private(set) var position = 0

    init(source: SourceFile) { self.source = source }

    @inline(__always) private func byte(_ index: Int) -> UInt8 { index < source.bytes.count ? source.bytes[index] : 0 }

    static func isDigit(_ byte: UInt8) -> Bool { byte >= 48 && byte <= 57 }
    static func isHex(_ byte: UInt8) -> Bool { isDigit(byte) || (byte >= 97 && byte <= 102) || (byte >= 65 && byte <= 70) }
    static func isLetter(_ byte: UInt8) -> Bool { (byte >= 97 && byte <= 122) || (byte >= 65 && byte <= 90) }
    static func beginsWord(_ byte: UInt8) -> Bool { isLetter(byte) || byte == 95 || byte == 46 }
    static func continuesWord(_ byte: UInt8) -> Bool { beginsWord(byte) || isDigit(byte) || byte == 47 || byte == 45 }

    mutating func next() -> Token {
        while true {
            let current = byte(position)
            if position >= source.bytes.count { return Token(kind: .end, start: position, end: position) }
            switch current {
            case 32, 9, 13: position += 1
            case 92 where byte(position + 1) == 10: position += 2
            case 92 where byte(position + 1) == 13 && byte(position + 2) == 10: position += 3
            case 35: while position < source.bytes.count, source.bytes[position] != 10 { position += 1 }
            default: return scan(current)
            }
        }
    }

    private mutating func take(_ kind: Token.Kind, _ length: Int, _ mark: Token.Mark = .none) -> Token {
        let token = Token(kind: kind, start: position, end: position + length, mark: mark)
        position += length
        return token
    }

    private mutating func scan(_ current: UInt8) -> Token {
        if current == 10 { return take(.newline, 1) }
        if current == 34 { return quoted() }
        if Self.isHex(current) || current == 58 {
            let length = addressLength()
            if length > 0 {
                let other = wordLength()
                if length >= other { return take(.literal, length) }
            }
        }
        if Self.isDigit(current) {
            let number = numberLength()
            let time = timeLength()
            if time > number { return take(.literal, time) }
            for name in ["8021q", "8021ad"] where source.bytes[position...].starts(with: name.utf8) && !Self.continuesWord(byte(position + name.utf8.count)) {
                return take(.literal, name.utf8.count)
            }
            return take(.number, number)
        }
        if Self.beginsWord(current), current != 46 || Self.isLetter(byte(position + 1)) || byte(position + 1) == 95 {
            let length = wordLength()
            if byte(position + length) == 42 { return take(.asterisk, length + 1) }
            if byte(position + length) == 92, byte(position + length + 1) == 42 {
                var end = position + length + 2
                while Self.continuesWord(byte(end)) { end += 1 }
                return take(.asterisk, end - position)
            }
            return take(.word, length)
        }
        if current == 92, byte(position + 1) == 42 { return take(.asterisk, 2) }
        return punctuation(current)
    }

    private mutating func quoted() -> Token {
        var end = position + 1
        while end < source.bytes.count, source.bytes[end] != 34, source.bytes[end] != 0 { end += 1 }
        if end >= source.bytes.count || source.bytes[end] == 0 { return take(.junk, 1) }
        let asterisk = end > position + 1 && source.bytes[end - 1] == 42
        return take(asterisk ? .asterisk : .quoted, end + 1 - position)
    }

    private func wordLength() -> Int {
        guard Self.beginsWord(byte(position)) else { return 0 }
        var end = position + 1
        while Self.continuesWord(byte(end)) { end += 1 }
        return end - position
    }

    private func numberLength() -> Int {
        var end = position
        if byte(end) == 48, byte(end + 1) == 120 || byte(end + 1) == 88, Self.isHex(byte(end + 2)) {
            end += 2
            while Self.isHex(byte(end)) { end += 1 }
            return end - position
        }
        while Self.isDigit(byte(end)) { end += 1 }
        return end - position
    }

    /// `1d2h3m4s5ms`
    private func timeLength() -> Int {
        var end = position
        var units: [[UInt8]] = [[100], [104], [109], [115], [109, 115]]
        while !units.isEmpty {
            var probe = end
            while Self.isDigit(byte(probe)) { probe += 1 }
            if probe == end { break }
            var found = false
            while let unit = units.first {
                units.removeFirst()
                if unit == [109], byte(probe) == 109, byte(probe + 1) == 115 { continue }
                if unit.enumerated().allSatisfy({ byte(probe + $0.offset) == $0.element }) {
                    end = probe + unit.count
                    found = true
                    break
                }
            }
            if !found { break }
        }
        return end - position
    }

    /// The longest MAC, IPv4, IPv6 address or class id here; 0 if there is none.
    private func addressLength() -> Int {
        var longest = 0
        // IPv4
        var end = position
        var parts = 0
        while parts < 4 {
            let start = end
            while Self.isDigit(byte(end)), end - start < 3 { end += 1 }
            if end == start { break }
            parts += 1
            if parts == 4 { longest = end - position; break }
            if byte(end) != 46 { break }
            end += 1
        }
        // MAC: six groups of one or two digits.
        end = position
        parts = 0
        while parts < 6 {
            let start = end
            while Self.isHex(byte(end)), end - start < 2 { end += 1 }
            if end == start { break }
            parts += 1
            if parts == 6 { longest = max(longest, end - position); break }
            if byte(end) != 58 { break }
            end += 1
        }
        longest = max(longest, ipv6Length())
        // Class id: only where a separator follows.
        end = position
        while Self.isHex(byte(end)), end - position < 4 { end += 1 }
        if end > position, byte(end) == 58 {
            let colon = end
            end += 1
            while Self.isHex(byte(end)), end - colon <= 4 { end += 1 }
            if end > colon + 1, end - position > longest {
                switch byte(end) {
                case 32, 9, 10, 58, 45, 125, 44: longest = end - position
                default: break
                }
            }
        }
        return longest
    }

    private func ipv6Length() -> Int {
        var best = 0
        var index = position
        var groups = 0
        var compressed = false
        if byte(index) == 58 {
            guard byte(index + 1) == 58 else { return 0 }
            compressed = true
            index += 2
            best = 2
        }
        while groups < 8 {
            let start = index
            while Self.isHex(byte(index)), index - start < 4 { index += 1 }
            if index == start { break }
            // An IPv4 tail.
            if groups <= 6, byte(index) == 46, compressed || groups == 6 {
                var probe = start
                var parts = 0
                while parts < 4 {
                    let begin = probe
                    while Self.isDigit(byte(probe)), probe - begin < 3 { probe += 1 }
                    if probe == begin { break }
                    parts += 1
                    if parts == 4 || byte(probe) != 46 { break }
                    probe += 1
                }
                if parts == 4 { return probe - position }
            }
            groups += 1
            if groups == 8 || (compressed && groups <= 7) { if groups == 8 || compressed { best = index - position } }
            guard byte(index) == 58 else { break }
            if byte(index + 1) == 58 {
                if compressed || groups > 7 { break }
                compressed = true
                index += 2
                best = index - position
                continue
            }
            index += 1
        }
        return groups == 0 && !compressed ? 0 : best
    }

    private mutating func punctuation(_ current: UInt8) -> Token {
        let following = byte(position + 1)
        switch current {
        case 44: return take(.punctuation, 1, .comma)
        case 46: return take(.punctuation, 1, .dot)
        case 58: return take(.punctuation, 1, .colon)
        case 59: return take(.punctuation, 1, .semicolon)
        case 123: return take(.punctuation, 1, .openBrace)
        case 125: return take(.punctuation, 1, .closeBrace)
        case 91: return take(.punctuation, 1, .openBracket)
        case 93: return take(.punctuation, 1, .closeBracket)
        case 40: return take(.punctuation, 1, .openParenthesis)
        case 41: return take(.punctuation, 1, .closeParenthesis)
        case 60: return following == 60 ? take(.punctuation, 2, .shiftLeft) : following == 61 ? take(.punctuation, 2, .lessOrEqual) : take(.punctuation, 1, .less)
        case 62: return following == 62 ? take(.punctuation, 2, .shiftRight) : following == 61 ? take(.punctuation, 2, .greaterOrEqual) : take(.punctuation, 1, .greater)
        case 61: return following == 61 ? take(.punctuation, 2, .equal) : take(.punctuation, 1, .assign)
        case 33: return following == 61 ? take(.punctuation, 2, .notEqual) : take(.punctuation, 1, .not)
        case 38: return take(.punctuation, 1, .ampersand)
        case 94: return take(.punctuation, 1, .caret)
        case 126: return take(.punctuation, 1, .tilde)
        case 124: return take(.punctuation, 1, .bar)
        case 47: return take(.punctuation, 1, .slash)
        case 45: return take(.punctuation, 1, .dash)
        case 42: return take(.punctuation, 1, .asterisk)
        case 64: return take(.punctuation, 1, .at)
        case 36: return take(.punctuation, 1, .dollar)
        default: return take(.junk, 1)
        }
    }
}
