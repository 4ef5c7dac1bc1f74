// What Linux did, byte for byte: rulesets and frames with the answers of a real kernel (Tests/Fixtures/kernel), run through
// the slow path as a function. Masked are what Linux picks at random: the IPv4 identification of packets that the router
// makes itself, the IPv6 flow label of its errors,
// the identification of fragments that it cuts anew, and the time in timestamp replies.
import Conntrack
import FlowCache
import Foundation
import Policy
import Routing
import Ruleset
import Testing
import Wire

@testable import SlowPath

@Suite struct KernelTraceTests {
    struct Step {
        var note: String
        var port: Int
        var frame: [UInt8] = []
        var expected: [(port: Int, frame: [UInt8])] = []
        /// Milliseconds that pass before it.
        var wait: UInt64 = 0
    }

    struct Trace: CustomTestStringConvertible {
        var name: String
        var ruleset = ""
        var steps: [Step] = []
        /// Packets and bytes of every counter of a chain, in order, by "family table chain".
        var counts: [String: String] = [:]
        var testDescription: String { name }
    }

    static let traces: [Trace] = {
        let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().appendingPathComponent("Fixtures/kernel")
        let files = (try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []
        return files.filter { $0.hasSuffix(".txt") }.sorted().compactMap { file in
            (try? String(contentsOf: folder.appendingPathComponent(file), encoding: .utf8)).map { read($0, name: file) }
        }
    }()

    private static func read(_ text: String, name: String) -> Trace {
        var trace = Trace(name: name)
        var isInRuleset = false
        for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
            if isInRuleset {
                if line == "end" { isInRuleset = false } else { trace.ruleset += line + "\n" }
                continue
            }
            let words = line.split(separator: " ", maxSplits: 1).map(String.init)
            switch words.first {
            case "ruleset": isInRuleset = true
            case "wait": trace.steps[trace.steps.count - 1].wait = UInt64(words[1]) ?? 0
            case "counts":
                let parts = words[1].split(separator: ":", maxSplits: 1).map(String.init)
                trace.counts[parts[0]] = parts[1].trimmingCharacters(in: .whitespaces)
            case "step": trace.steps.append(Step(note: words.count > 1 ? words[1] : "", port: 0))
            case "in", "out":
                let parts = words[1].split(separator: " ")
                let port = parts[0] == "A" ? 0 : 1
                if words[0] == "in" {
                    trace.steps[trace.steps.count - 1].port = port
                    trace.steps[trace.steps.count - 1].frame = bytes(parts[1])
                } else {
                    trace.steps[trace.steps.count - 1].expected.append((port, bytes(parts[1])))
                }
            default: break
            }
        }
        return trace
    }

    private static func bytes(_ hex: Substring) -> [UInt8] {
        let digits = Array(hex.utf8).map { $0 < 58 ? $0 - 48 : $0 - 87 }
        return stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
    }

    /// Zeroes what is random in packets that the router makes itself.
    private static func mask(_ frame: [UInt8]) -> [UInt8] {
        var frame = frame
        guard frame.count >= 42 else { return frame }
        let isOwnV4 = frame[12] == 8 && frame[13] == 0 && ([10, 0, 1, 1] == frame[26 ..< 30] || [10, 0, 2, 1] == frame[26 ..< 30])
        let isError = frame[12] == 8 && frame[13] == 0 && frame[23] == 1 && [3, 4, 5, 11, 12].contains(frame[34])
        if isError || (isOwnV4 && frame[23] == 1) {
            for byte in [18, 19, 24, 25] { frame[byte] = 0 }
            // A timestamp reply's times and checksum.
            if frame[34] == 14, frame.count >= 54 { for byte in [36, 37] + (46 ..< 54) { frame[byte] = 0 } }
        } else if frame[12] == 0x86, frame[20] == 58 || frame[20] == 6 {
            for byte in 15 ..< 18 { frame[byte] = 0 }
        } else if frame[12] == 0x86, frame[20] == 44, frame.count >= 62 {
            for byte in 58 ..< 62 { frame[byte] = 0 }
        } else if frame[12] == 0x86, frame[20] == 0 || frame[20] == 60, frame.count >= 70, frame[54] == 44 {
            for byte in 66 ..< 70 { frame[byte] = 0 }
        }
        return frame
    }

    private static func isARP(_ frame: [UInt8]) -> Bool { frame[12] == 8 && frame[13] == 6 }

    /// Neighbour discovery: Linux's transcripts leave it out, and ARP, unless they are about ARP.
    private static func isNoise(_ frame: [UInt8]) -> Bool {
        frame[12] == 0x86 && frame[20] == 58 && (133 ... 136).contains(frame[54])
    }

    @Test(arguments: traces, [true, false]) func sameAsLinux(trace: Trace, caches: Bool) throws {
        let loaded = RulesetValue().applying(text: trace.ruleset, name: trace.name, options: LoadOptions(interfaces: ["lo", "r0", "r1"]))
        #expect(loaded.isAccepted, "\(loaded.diagnostics.map(\.message))")
        var harness = SlowPathHarness(ruleset: loaded.value, cachesFlows: caches, hasPolicy: trace.name == "policy-routing.txt")
        if trace.steps.contains(where: { $0.wait > 0 }) { harness.interval = 1_000_000 }
        let isAboutARP = trace.steps.contains { $0.expected.contains { Self.isARP($0.frame) } }
        for (number, step) in trace.steps.enumerated() {
            harness.now += step.wait * 1_000_000
            let sent = harness.send(step.frame, port: step.port).filter { !Self.isNoise($0.frame) && (isAboutARP || !Self.isARP($0.frame)) }
            let got = sent.map { "\($0.port) \(Self.hex(Self.mask($0.frame)))" }.sorted()
            let want = step.expected.map { "\($0.port) \(Self.hex(Self.mask($0.frame)))" }.sorted()
            #expect(got == want, "step \(number): \(step.note)")
        }
        if !trace.counts.isEmpty {
            harness.path.creditAllFlows(now: harness.now)
            #expect(Self.counts(harness.path.ruleset.currentValue(now: harness.now), of: Set(trace.counts.keys)) == trace.counts)
        }
    }

    /// What the counters of these chains stand at.
    private static func counts(_ value: RulesetValue, of chains: Set<String>) -> [String: String] {
        var result: [String: String] = [:]
        for table in value.tables {
            for chain in table.chains {
                let name = "\(table.family.rawValue) \(table.name) \(chain.name)"
                guard chains.contains(name) else { continue }
                var words: [String] = []
                for rule in chain.rules {
                    for case .counter(let packets, let bytes) in rule.statements { words.append("\(packets)/\(bytes)") }
                }
                result[name] = words.joined(separator: " ")
            }
        }
        return result
    }

    private static func hex(_ frame: [UInt8]) -> String { frame.map { String(format: "%02x", $0) }.joined() }
}
