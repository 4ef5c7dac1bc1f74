// `describe` and `list hooks`.

enum Description {
    static func text(_ node: Node) -> String {
        let evaluator = Evaluator(view: TableView(family: .inet, set: { _ in nil }, interfaces: nil))
        evaluator.isLenient = true
        if case .symbol(let name) = node.kind {
            guard let type = Datatypes.declared(name) else { return "symbol expression, datatype invalid (invalid)\n" }
            return "datatype \(name) (\(Datatypes.description(type)))\(bases(type)), \(type.bits) bits\n" + symbols(type)
        }
        guard let expression = try? evaluator.general(node, nil) else { return "unknown expression\n" }
        let type = expression.type
        let kind = switch expression {
        case .payload: "payload"
        case .meta: "meta"
        case .ct: "ct"
        case .option: "exthdr"
        case .fib: "fib"
        case .route: "rt"
        case .socket: "socket"
        case .osf: "osf"
        case .numgen: "numgen"
        case .jhash: "jhash"
        case .symhash: "symhash"
        case .ipsec: "ipsec"
        default: "expression"
        }
        let width = Datatypes.isString(type) ? "\(type.bits / 8) characters" : "\(type.bits) bits"
        return "\(kind) expression, datatype \(type.name) (\(Datatypes.description(type)))\(bases(type)), \(width)\n" + symbols(type)
    }

    /// The types that a type is made of, as nft names them: ` (basetype bitmask, integer)`.
    private static func bases(_ type: Datatype) -> String {
        switch type.basic {
        case .integer, .string, .verdict, .invalid, .concatenation, .osfName: ""
        case .tcpFlag, .ctState, .ctStatus, .ctLabel, .ctEvent: " (basetype bitmask, integer)"
        case .etherAddress: " (basetype link layer address, integer)"
        case .interfaceName, .interfaceKind: " (basetype string)"
        default: " (basetype integer)"
        }
    }

    private static func isDecimal(_ type: BasicType) -> Bool {
        switch type {
        case .nfProto, .icmpType, .icmpCode, .icmpv6Type, .icmpv6Code, .icmpxCode, .igmpType, .ctDirection, .packetType, .fibAddressType, .boolean, .day, .mhType: true
        default: false
        }
    }

    private static func symbols(_ type: Datatype) -> String {
        let table = Symbols.table(type.basic)
        if table.isEmpty { return "" }
        if isDecimal(type.basic) {
            func padded(_ text: String, _ width: Int, left: Bool) -> String {
                let blanks = String(repeating: " ", count: max(0, width - text.utf8.count))
                return left ? text + blanks : blanks + text
            }
            return "\npre-defined symbolic constants (in decimal):\n" + table.map { "\t\(padded($0.0, 30, left: true))\t\(padded(String($0.1), 20, left: false))\n" }.joined()
        }
        let width = (type.bits + 7) / 8 * 2
        return "\npre-defined symbolic constants (in hexadecimal):\n" + table.map { "\t\($0.0)\(String(repeating: " ", count: max(0, 30 - $0.0.utf8.count)))\t0x\(Symbols.hex($0.1, width))\n" }.joined()
    }

    /// Base chains by family and hook, in running order.
    static func hooks(_ value: RulesetValue) -> String {
        var text = ""
        for family in Family.allCases {
            var lines: [String] = []
            for hook in [ChainHook.ingress, .prerouting, .input, .forward, .output, .postrouting, .egress] {
                var chains: [(Int32, String)] = []
                for table in value.tables where table.family == family || table.family == .inet && (family == .ip || family == .ip6) {
                    for chain in table.chains { if let base = chain.base, base.hook == hook { chains.append((base.priority, "chain \(table.family.rawValue) \(table.name) \(chain.name) [nf_tables]")) } }
                }
                if chains.isEmpty { continue }
                lines.append("\thook \(hook.rawValue) {")
                for (priority, name) in chains.sorted(by: { $0.0 < $1.0 }) {
                    let digits = String(abs(priority))
                    lines.append("\t\t\(priority < 0 ? "-" : priority == 0 ? " " : "+")\(String(repeating: "0", count: max(0, 10 - digits.count)))\(digits) \(name)")
                }
                lines.append("\t}")
            }
            if !lines.isEmpty { text += "family \(family.rawValue) {\n" + lines.joined(separator: "\n") + "\n}\n" }
        }
        return text
    }
}
