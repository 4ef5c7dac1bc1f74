// Damage to inputs: of their tokens, of their bytes, of their nesting; and of JSON.

struct Mutator {
    var random: Randomness

    /// Changes an input in one to four ways.
    mutating func mutate(_ input: [UInt8], other: [UInt8], isJSON: Bool) -> [UInt8] {
        var bytes = input
        for _ in 0 ... random.below(4) {
            switch random.below(isJSON ? 12 : 10) {
            case 0, 1, 2: tokens(&bytes)
            case 3: flip(&bytes)
            case 4: splice(&bytes, other)
            case 5: cut(&bytes)
            case 6: nest(&bytes, isJSON: isJSON)
            case 7: number(&bytes)
            case 8: insert(&bytes, isJSON: isJSON)
            case 9: double(&bytes)
            default: members(&bytes)
            }
        }
        // The time limit is for inputs of a size that people write.
        return bytes.count > 65536 ? Array(bytes[..<65536]) : bytes
    }

    private func isWord(_ byte: UInt8) -> Bool { byte >= 0x30 && byte <= 0x39 || byte >= 0x41 && byte <= 0x5a || byte >= 0x61 && byte <= 0x7a || byte == 0x5f || byte >= 0x80 }

    /// The bounds of a token near a random place.
    private mutating func token(_ bytes: [UInt8]) -> Range<Int> {
        guard !bytes.isEmpty else { return 0 ..< 0 }
        var start = random.below(bytes.count)
        while start < bytes.count - 1, bytes[start] == 32 || bytes[start] == 10 { start += 1 }
        guard isWord(bytes[start]) else { return start ..< start + 1 }
        var end = start + 1
        while start > 0, isWord(bytes[start - 1]) { start -= 1 }
        while end < bytes.count, isWord(bytes[end]) { end += 1 }
        return start ..< end
    }

    private mutating func tokens(_ bytes: inout [UInt8]) {
        let first = token(bytes)
        switch random.below(5) {
        case 0: bytes.removeSubrange(first)
        case 1: bytes.insert(contentsOf: [32] + bytes[first], at: first.upperBound)
        case 2:
            let second = token(bytes)
            guard first.upperBound <= second.lowerBound else { return }
            let (left, right) = (Array(bytes[first]), Array(bytes[second]))
            bytes.replaceSubrange(second, with: left)
            bytes.replaceSubrange(first, with: right)
        case 3: bytes.replaceSubrange(first, with: Array(random.pick(Grammar.tokens).utf8))
        default: bytes.insert(contentsOf: [32] + Array(random.pick(Grammar.tokens).utf8) + [32], at: first.lowerBound)
        }
    }

    private mutating func flip(_ bytes: inout [UInt8]) {
        guard !bytes.isEmpty else { return }
        for _ in 0 ... random.below(4) { bytes[random.below(bytes.count)] = random.chance(50) ? UInt8(truncatingIfNeeded: random.word()) : random.pick([0, 9, 10, 13, 32, 34, 35, 36, 92, 123, 125, 127, 255]) }
    }

    private mutating func splice(_ bytes: inout [UInt8], _ other: [UInt8]) {
        guard !other.isEmpty else { return }
        let start = random.below(other.count), count = min(other.count - start, 1 + random.below(300))
        bytes.insert(contentsOf: other[start ..< start + count], at: random.below(bytes.count + 1))
    }

    private mutating func cut(_ bytes: inout [UInt8]) {
        guard !bytes.isEmpty else { return }
        let start = random.below(bytes.count)
        if random.chance(50) { bytes.removeSubrange(start...) } else { bytes.removeSubrange(start ..< min(bytes.count, start + 1 + random.below(40))) }
    }

    private mutating func nest(_ bytes: inout [UInt8], isJSON: Bool) {
        let depth = random.pick([3, 20, 63, 64, 65, 127, 129, 1000, 20000])
        let pair = isJSON ? random.pick([("[", "]"), ("{\"a\":", "}"), ("{\"set\":[", "]}")]) : random.pick([("{", "}"), ("(", ")"), ("jump { ", "; }"), ("{ { ", " } }"), ("(1 | ", ")"), ("ip saddr . ", ""), ("!", ""), ("-", ""), ("$", ""), ("\\\n", "")])
        let place = random.below(bytes.count + 1)
        bytes.insert(contentsOf: String(repeating: pair.0, count: depth).utf8, at: place)
        if random.chance(60) { bytes.insert(contentsOf: String(repeating: pair.1, count: depth).utf8, at: min(bytes.count, place + pair.0.utf8.count * depth + random.below(20))) }
    }

    private mutating func number(_ bytes: inout [UInt8]) {
        let digits = bytes.indices.filter { bytes[$0] >= 0x30 && bytes[$0] <= 0x39 }
        let huge = random.pick(["18446744073709551615", "18446744073709551616", "340282366920938463463374607431768211456", "-1", "0", "4294967296", "2147483648", "0xffffffffffffffffffff", "1e308", "9223372036854775808", String(repeating: "9", count: 400), "0x", "00", "08"])
        guard let place = digits.isEmpty ? nil : random.pick(digits) else { return }
        var end = place
        while end < bytes.count, bytes[end] >= 0x30 && bytes[end] <= 0x39 { end += 1 }
        bytes.replaceSubrange(place ..< end, with: Array(huge.utf8))
    }

    private mutating func insert(_ bytes: inout [UInt8], isJSON: Bool) {
        let text = isJSON
            ? random.pick(["\"", "\\u0000", "\\ud800", "null", "true", "-0", "1.5e400", "[]", "{}", "\"\\", "{\"nftables\":[]}", ",", ":"])
            : random.pick(["\"", "include \"/dev/null\"\n", "include \"/nonexistent/*/*\"\n", String(repeating: "include \"/dev/null\"\n", count: 50), "define x = $x\n", "#", "\\\n", "'", "\u{0}", "define y = { $y, 1 }\n",
                           "1-2-3", "10.0.0.0/8-11.0.0.0/8", "* : accept", "@@", "::/129", "0/0", "comment \"\(String(repeating: "c", count: 200))\"", "{ }", "{ , }", "elements = { }", "\"\(String(repeating: "*", count: 40))\"", "\r\n"])
        bytes.insert(contentsOf: text.utf8, at: random.below(bytes.count + 1))
    }

    private mutating func double(_ bytes: inout [UInt8]) {
        guard !bytes.isEmpty, bytes.count < 20000 else { return }
        let start = random.below(bytes.count), count = min(bytes.count - start, 1 + random.below(400))
        let part = bytes[start ..< start + count]
        for _ in 0 ..< random.pick([1, 2, 8]) { bytes.insert(contentsOf: part, at: start) }
    }

    /// JSON: two values change places, or a member's value becomes another kind of value.
    private mutating func members(_ bytes: inout [UInt8]) {
        let colons = bytes.indices.filter { bytes[$0] == 0x3a }
        guard !colons.isEmpty else { return }
        let place = random.pick(colons) + 1
        var end = place, depth = 0
        while end < bytes.count {
            if bytes[end] == 0x5b || bytes[end] == 0x7b { depth += 1 }
            if bytes[end] == 0x5d || bytes[end] == 0x7d { depth -= 1 }
            if depth < 0 || depth == 0 && bytes[end] == 0x2c { break }
            end += 1
        }
        let value = random.pick(["null", "[]", "{}", "0", "-1", "1e30", "\"\"", "\"x\"", "true", "[[]]", "{\"range\": [2, 1]}", "{\"prefix\": {\"addr\": \"10.0.0.0\", \"len\": 99}}", "{\"set\": []}", "\"@s4\"", "[1, 2, 3]", "{\"concat\": [1]}", "{\"|\": [1]}", "{\"map\": {\"key\": 1, \"data\": 2}}"])
        bytes.replaceSubrange(place ..< end, with: Array(value.utf8))
    }
}
