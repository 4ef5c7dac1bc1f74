// The rulesets that `bench ruleset-load` loads: made, large, and the same each time.

struct RulesetFiles {
    let elements: Int, rules: Int, chains: Int

    /// Name and text of each file.
    var all: [(name: String, text: String)] {
        [
            ("interval-set", set("type ipv4_addr\n\t\tflags interval", intervals)), ("plain-set", set("type ipv4_addr", scattered.map(Self.address))),
            ("verdict-map", verdicts), ("concatenation", set("type ipv4_addr . inet_service\n\t\tflags interval", concatenations)), ("rules", ruleChain), ("chains", jumps), ("one-element-a-command", oneByOne),
        ]
    }

    private static func address(_ number: UInt32) -> String { "\(number >> 24).\(number >> 16 & 255).\(number >> 8 & 255).\(number & 255)" }

    /// The same numbers in an order that is far from sorted.
    private func mixed(_ count: Int) -> [Int] {
        var order = Array(0 ..< count)
        var state: UInt64 = 1
        for index in stride(from: count - 1, to: 0, by: -1) {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            order.swapAt(index, Int((state >> 33) % UInt64(index + 1)))
        }
        return order
    }

    private var scattered: [UInt32] { mixed(elements).map { 0x0a00_0000 + UInt32($0) * 7 } }

    private var intervals: [String] {
        mixed(elements).map { number in
            let first = 0x0100_0000 + UInt32(number) * 1000, length = [0, 1, 255, 99][number & 3]
            return length == 0 ? Self.address(first) : "\(Self.address(first))-\(Self.address(first + UInt32(length)))"
        }
    }

    private var concatenations: [String] { scattered.enumerated().map { "\(Self.address($0.element)) . \($0.offset % 60000)-\($0.offset % 60000 + 10)" } }

    private func set(_ declaration: String, _ elements: [String]) -> String {
        "table inet t {\n\tset s {\n\t\t\(declaration)\n\t\telements = { \(elements.joined(separator: ",\n\t\t\t")) }\n\t}\n}\n"
    }

    private var verdicts: String {
        let list = scattered.enumerated().map { "\(Self.address($0.element)) : \(["accept", "drop", "jump a", "goto b"][$0.offset & 3])" }
        return "table inet t {\n\tchain a { }\n\tchain b { }\n\tmap m {\n\t\ttype ipv4_addr : verdict\n\t\telements = { \(list.joined(separator: ", ")) }\n\t}\n}\n"
    }

    private var oneByOne: String {
        "add table inet t\nadd set inet t s { type ipv4_addr; flags interval; }\n" + intervals.map { "add element inet t s { \($0) }\n" }.joined()
    }

    private var ruleChain: String {
        let lines = (0 ..< rules).map { number -> String in
            switch number & 3 {
            case 0: "ip saddr \(Self.address(0x0a00_0000 + UInt32(number))) tcp dport \(number % 65535 + 1) accept"
            case 1: "ip daddr \(Self.address(0xc0a8_0000 + UInt32(number % 60000))) ct state new counter accept comment \"rule \(number)\""
            case 2: "udp dport { \(number % 60000 + 1), \(number % 60000 + 3), \(number % 60000 + 10)-\(number % 60000 + 20) } counter drop"
            default: "iifname \"eth\(number % 10)\" ip6 saddr 2001:db8:\(String(number % 65536, radix: 16))::/48 limit rate 10/second burst 5 packets log prefix \"x\(number) \" drop"
            }
        }
        return "table inet t {\n\tchain c {\n\t\ttype filter hook forward priority filter; policy drop;\n\t\t" + lines.joined(separator: "\n\t\t") + "\n\t}\n}\n"
    }

    /// Ten layers, each chain with jumps to four of the next layer.
    private var jumps: String {
        var text = "table inet t {\n"
        let layer = max(1, chains / 10)
        for chain in 0 ..< chains {
            text += "\tchain c\(chain) {\n"
            let next = (chain / layer + 1) * layer
            if next + layer <= chains { for jump in 0 ..< 4 { text += "\t\ttcp dport \(jump + 1) jump c\(next + (chain * 7 + jump * 13) % layer)\n" } }
            text += "\t\ttcp sport \(chain % 65535 + 1) accept\n\t}\n"
        }
        text += "\tchain base {\n\t\ttype filter hook forward priority filter;\n"
        for chain in 0 ..< min(layer, chains) { text += "\t\ttcp sport \(chain % 65535 + 1) jump c\(chain)\n" }
        return text + "\t}\n}\n"
    }
}
