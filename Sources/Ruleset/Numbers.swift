// Reading numbers and times, and guessing what a misspelt word was meant to be.

enum Numbers {
    /// Decimal, `0x` hexadecimal or `0` octal, as strtoull with base 0 reads it.
    static func unsigned(_ text: String) -> UInt64? {
        if text.hasPrefix("0x") || text.hasPrefix("0X") { return UInt64(text.dropFirst(2), radix: 16) }
        if text.count > 1, text.hasPrefix("0") { return UInt64(text.dropFirst(), radix: 8) }
        guard text.utf8.allSatisfy(Lexer.isDigit) else { return nil }
        return UInt64(text)
    }

    /// As above, of up to 128 bits.
    static func wide(_ text: String) -> UInt128? {
        if text.hasPrefix("0x") || text.hasPrefix("0X") { return UInt128(text.dropFirst(2), radix: 16) }
        if text.count > 1, text.hasPrefix("0"), let octal = UInt128(text.dropFirst(), radix: 8) { return octal }
        guard !text.isEmpty, text.utf8.allSatisfy(Lexer.isDigit) else { return nil }
        return UInt128(text)
    }

    /// `1d2h3m4s5ms` or a number of seconds; the result is milliseconds.
    static func time(_ text: String) -> UInt64? {
        var total: UInt64 = 0
        var index = text.utf8.startIndex
        let bytes = text.utf8
        var sawUnit = false
        while index < bytes.endIndex {
            var value: UInt64 = 0
            let start = index
            while index < bytes.endIndex, Lexer.isDigit(bytes[index]) {
                let (product, overflow) = value.multipliedReportingOverflow(by: 10)
                if overflow || product > UInt64.max / 2 { return nil }
                value = product + UInt64(bytes[index] - 48)
                index = bytes.index(after: index)
            }
            if index == start { return nil }
            var unit = ""
            while index < bytes.endIndex, !Lexer.isDigit(bytes[index]) {
                unit.unicodeScalars.append(Unicode.Scalar(bytes[index]))
                index = bytes.index(after: index)
            }
            let factor: UInt64
            switch unit {
            case "w": factor = 7 * 86_400_000
            case "d": factor = 86_400_000
            case "h": factor = 3_600_000
            case "m": factor = 60000
            case "s": factor = 1000
            case "ms": factor = 1
            case "" where !sawUnit && index == bytes.endIndex: factor = 1000
            default: return nil
            }
            sawUnit = true
            let (product, overflow) = value.multipliedReportingOverflow(by: factor)
            let (sum, second) = total.addingReportingOverflow(product)
            if overflow || second { return nil }
            total = sum
        }
        return sawUnit ? total : nil
    }
}

enum Spelling {
    /// The name within an edit distance that makes it likely the one that was meant.
    static func nearest(to name: String, among names: [String]) -> String? {
        var best: (String, Int)?
        for candidate in names {
            let distance = self.distance(Array(name.utf8.prefix(64)), Array(candidate.utf8.prefix(64)))
            if distance < (best?.1 ?? Int.max) { best = (candidate, distance) }
        }
        guard let best, best.1 > 0, best.1 <= max(name.utf8.count / 2, 1), best.1 <= 3 else { return nil }
        return best.0
    }

    static func distance(_ left: [UInt8], _ right: [UInt8]) -> Int {
        if left.isEmpty || right.isEmpty { return max(left.count, right.count) }
        var row = Array(0...right.count)
        for (i, a) in left.enumerated() {
            var diagonal = row[0]
            row[0] = i + 1
            for (j, b) in right.enumerated() {
                let next = min(row[j + 1] + 1, row[j] + 1, diagonal + (a == b ? 0 : 1))
                diagonal = row[j + 1]
                row[j + 1] = next
            }
        }
        return row[right.count]
    }
}

enum Keywords {
    /// Words that cannot name a table, chain, set or object without quotes.
    static let reserved: Set<String> = [
        "accept", "drop", "continue", "return", "jump", "goto", "queue", "add", "create", "insert", "replace", "delete", "destroy", "flush", "reset", "list",
        "get", "rename", "describe", "monitor", "export", "import", "include", "define", "redefine", "undefine", "table", "tables", "chain", "chains", "rule",
        "rules", "set", "sets", "map", "maps", "element", "vmap", "flowtable", "flowtables", "ruleset", "inet", "ip", "ip6", "arp", "bridge", "netdev", "ether", "vlan",
        "tcp", "udp", "udplite", "sctp", "dccp", "icmp", "icmpv6", "igmp", "ah", "esp", "comp", "th", "meta", "ct", "fib", "rt", "socket", "osf", "ipsec",
        "numgen", "jhash", "symhash", "counter", "limit", "quota", "log", "reject", "snat", "dnat", "masquerade", "redirect", "notrack", "dup", "fwd", "tproxy", "synproxy",
        "meter", "type", "typeof", "hook", "priority", "policy", "flags", "elements", "timeout", "comment", "handle", "position", "index", "missing", "exists",
        "mark", "iif", "oif", "iifname", "oifname", "iiftype", "oiftype", "iifgroup", "oifgroup", "skuid", "skgid", "nftrace", "rtclassid", "pkttype", "cpu",
        "cgroup", "and", "or", "xor", "lshift", "rshift", "eq", "ne", "lt", "gt", "le", "ge", "to", "device", "devices", "over", "until", "rate", "burst",
        "exthdr", "hbh", "frag", "dst", "mh", "vxlan", "geneve", "gre", "gretap", "xt",
    ]
}
