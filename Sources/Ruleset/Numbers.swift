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
    /// The nearest name within an edit distance that makes it likely the one that was meant: a third of the length, as nft
    /// and gcc have it. One letter is like no other.
    static func nearest(to name: String, among names: [String]) -> String? {
        let name = Array(name.utf8.prefix(128))
        var best: (String, Int)?
        for candidate in names {
            let other = Array(candidate.utf8.prefix(128))
            let longest = max(name.count, other.count), shortest = min(name.count, other.count)
            if longest <= 1 { continue }
            let threshold = longest - shortest <= 1 ? max((longest + 2) / 3, 1) : (longest + 4) / 3
            let distance = self.distance(name, other)
            if distance > 0, distance <= threshold, distance < (best?.1 ?? Int.max) { best = (candidate, distance) }
        }
        return best?.0
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
    /// Words that nft's scanner knows wherever they stand: they cannot name a table, chain, set or object. (What it knows in
    /// some statements only, `to` or `rate`, may be a name; so may `last`.)
    static let reserved: Set<String> = [
        "eq", "ne", "le", "lt", "ge", "gt", "lshift", "rshift", "xor", "and", "or", "not", "vmap", "include", "define", "redefine", "undefine", "describe",
        "hook", "device", "devices", "table", "chain", "rule", "set", "element", "map", "flowtable", "handle", "ruleset", "socket", "tproxy", "accept",
        "drop", "continue", "jump", "goto", "return", "inet", "netdev", "add", "replace", "update", "create", "insert", "delete", "get", "list", "reset",
        "flush", "rename", "import", "export", "monitor", "destroy", "position", "index", "comment", "constant", "interval", "dynamic", "auto-merge",
        "timeout", "gc-interval", "elements", "expires", "policy", "size", "flow", "offload", "meter", "counter", "log", "queue", "limit", "quota", "hour",
        "day", "reject", "snat", "dnat", "masquerade", "redirect", "random", "th", "bridge", "ether", "type", "typeof", "vlan", "arp", "ip", "ecn", "time",
        "icmp", "icmpv6", "igmp", "ip6", "priority", "ah", "esp", "comp", "flags", "udp", "udplite", "vxlan", "vni", "geneve", "gre", "gretap", "tcp", "dccp",
        "sctp", "rt", "rt0", "rt2", "srh", "hbh", "frag", "dst", "mh", "meta", "mark", "iif", "iifname", "iiftype", "oif", "oifname", "oiftype", "skuid",
        "skgid", "nftrace", "rtclassid", "ibriport", "ibrname", "obriport", "obrname", "pkttype", "cpu", "iifgroup", "oifgroup", "cgroup", "ct", "numgen",
        "jhash", "symhash", "dup", "fwd", "fib", "osf", "synproxy", "tunnel", "notrack", "all", "exists", "missing", "exthdr", "ipsec", "secmark", "xt",
    ]
}
