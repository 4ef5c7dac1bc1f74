// match-matrix --rules R.tsv --packets P.tsv: which rule matches which packet, asked of the evaluator directly.
//
// Rules: `family<TAB>id<TAB>rule` lines; packets: `pid<TAB>note<TAB>hex of the frame` lines; one header line each. Prints
// `pid<TAB>family<TAB>ids of the rules that match` for each packet and family with a match, families and rules in the
// rule file's order. Each rule is loaded alone, at prerouting behind connection tracking (ip, ip6, inet), at ingress
// (netdev) or input (arp), on the port r0. Exit code 1: a rule does not load; 64: usage.
import Conntrack
import Foundation
import Policy
import Ruleset
import Wire

struct CaseRule {
    var family: String
    var id: String
    var text: String
}

struct CasePacket {
    var pid: String
    var bytes: [UInt8]
}

@main
struct MatchMatrix {
    static let own = EthernetAddress(rawValue: 0x0200_0000_0a01)

    static func main() {
        var paths: [String: String] = [:]
        var arguments = CommandLine.arguments.dropFirst()
        while let name = arguments.popFirst() {
            guard name == "--rules" || name == "--packets", let path = arguments.popFirst() else { return usage() }
            paths[name] = path
        }
        guard let rulesPath = paths["--rules"], let packetsPath = paths["--packets"] else { return usage() }
        guard let ruleLines = rows(rulesPath), let packetLines = rows(packetsPath) else { exit(1) }
        let rules = ruleLines.filter { $0.count >= 3 }.map { CaseRule(family: $0[0], id: $0[1], text: $0[2]) }
        let packets = packetLines.compactMap { row -> CasePacket? in
            guard row.count >= 3, let bytes = decode(row[2]) else { return nil }
            return CasePacket(pid: row[0], bytes: bytes)
        }
        var tracker = ConnectionTracker(seed: 1)
        let arrivals = packets.map { Arrival($0.bytes, &tracker) }
        defer { for arrival in arrivals { arrival.deallocate() } }
        var failed = false
        var matches: [String: [[String]]] = [:]
        var families: [String] = []
        for rule in rules {
            if matches[rule.family] == nil {
                families.append(rule.family)
                matches[rule.family] = Array(repeating: [], count: packets.count)
            }
            guard let compiled = load(rule) else {
                failed = true
                continue
            }
            for (index, arrival) in arrivals.enumerated() where arrival.matches(compiled, rule.family) {
                matches[rule.family]?[index].append(rule.id)
            }
        }
        print("pid\tfamily\tmatched_rule_ids")
        for (index, packet) in packets.enumerated() {
            for family in families {
                guard let ids = matches[family]?[index], !ids.isEmpty else { continue }
                print("\(packet.pid)\t\(family)\t\(ids.joined(separator: " "))")
            }
        }
        fflush(nil)
        exit(failed ? 1 : 0)
    }

    static func usage() {
        FileHandle.standardError.write(Data("usage: match-matrix --rules R.tsv --packets P.tsv\n".utf8))
        exit(64)
    }

    static func rows(_ path: String) -> [[String]]? {
        guard let text = try? String(contentsOfFile: path, encoding: .utf8) else {
            FileHandle.standardError.write(Data("\(path): cannot be read\n".utf8))
            return nil
        }
        return text.split(separator: "\n").dropFirst().map { $0.split(separator: "\t", omittingEmptySubsequences: false).map(String.init) }
    }

    static func decode(_ hex: String) -> [UInt8]? {
        let digits = Array(hex.utf8)
        guard digits.count % 2 == 0 else { return nil }
        return stride(from: 0, to: digits.count, by: 2).reduce(into: [UInt8]?([])) { result, index in
            guard let byte = UInt8(String(decoding: digits[index ..< index + 2], as: UTF8.self), radix: 16) else { return result = nil }
            result?.append(byte)
        }
    }

    /// The rule alone in a chain whose policy is drop: it matches if it gets as far as `accept`.
    static func load(_ rule: CaseRule) -> CompiledRuleset? {
        let hook = switch rule.family {
        case "netdev": "ingress device \"r0\""
        case "arp": "input"
        default: "prerouting"
        }
        let text = """
            table \(rule.family) t {
            \tchain c {
            \t\ttype filter hook \(hook) priority 0; policy drop;
            \t\t\(rule.text) accept
            \t}
            }

            """
        let interfaces = [
            Interface(name: "r0", index: 2, kind: "veth"), Interface(name: "r1", index: 3, kind: "veth"), Interface(name: "lo", index: 1, hardwareType: 772),
        ]
        let result = RulesetValue().applying(text: text, name: rule.id, options: LoadOptions(interfaces: ["lo", "r0", "r1"]))
        guard result.isAccepted else {
            let messages = result.diagnostics.map { "\($0.location.position): \($0.message)" }.joined(separator: "; ")
            FileHandle.standardError.write(Data("\(rule.family) \(rule.id): \(rule.text): \(messages)\n".utf8))
            return nil
        }
        return CompiledRuleset(result.value, interfaces: interfaces, seed: 1)
    }
}
