// `describe` and `list hooks`.

enum Description {
    static func text(_ node: Node) -> String {
        let evaluator = Evaluator(view: TableView(family: .inet, set: { _ in nil }, interfaces: nil))
        evaluator.isLenient = true
        if case .symbol(let name) = node.kind {
            guard let type = Datatypes.declared(name) else { return "unknown datatype \(name)\n" }
            return "datatype \(name) (\(Datatypes.description(type))), \(type.bits) bits\n" + symbols(type)
        }
        guard let expression = try? evaluator.general(node, nil) else { return "unknown expression\n" }
        let type = expression.type
        let kind = switch expression {
        case .payload: "payload"
        case .meta: "meta"
        case .ct: "ct"
        case .option: "exthdr"
        default: "expression"
        }
        return "\(kind) expression, datatype \(type.name) (\(Datatypes.description(type))), \(type.bits) bits\n" + symbols(type)
    }

    private static func symbols(_ type: Datatype) -> String {
        let table = Symbols.table(type.basic)
        if table.isEmpty { return "" }
        let width = (type.bits + 7) / 8 * 2
        return "\npre-defined symbolic constants (in hexadecimal):\n" + table.map { "\t\($0.0)\(String(repeating: " ", count: max(1, 31 - $0.0.utf8.count)))0x\(Symbols.hex($0.1, width))\n" }.joined()
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
