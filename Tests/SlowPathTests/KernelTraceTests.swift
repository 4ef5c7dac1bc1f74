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
    }

    struct Trace: CustomTestStringConvertible {
        var name: String
        var ruleset = ""
        var steps: [Step] = []
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
        if isOwnV4, frame[23] == 1 {
            for byte in [18, 19, 24, 25] { frame[byte] = 0 }
            // A timestamp reply's times and checksum.
            if frame[34] == 14, frame.count >= 54 { for byte in [36, 37] + (46 ..< 54) { frame[byte] = 0 } }
        } else if frame[12] == 0x86, frame[20] == 58 || frame[20] == 6 {
            for byte in 15 ..< 18 { frame[byte] = 0 }
        } else if frame[12] == 0x86, frame[20] == 44, frame.count >= 62 {
            for byte in 58 ..< 62 { frame[byte] = 0 }
        }
        return frame
    }

    /// ARP, neighbour discovery: Linux's transcripts leave them out.
    private static func isNoise(_ frame: [UInt8]) -> Bool {
        if frame[12] == 8, frame[13] == 6 { return true }
        return frame[12] == 0x86 && frame[20] == 58 && (133 ... 136).contains(frame[54])
    }

    @Test(arguments: traces, [true, false]) func sameAsLinux(trace: Trace, caches: Bool) throws {
        let loaded = RulesetValue().applying(text: trace.ruleset, name: trace.name, options: LoadOptions(interfaces: ["r0", "r1"]))
        #expect(loaded.isAccepted, "\(loaded.diagnostics.map(\.message))")
        var harness = SlowPathHarness(ruleset: loaded.value, cachesFlows: caches, hasPolicy: trace.name == "policy-routing.txt")
        for (number, step) in trace.steps.enumerated() {
            let sent = harness.send(step.frame, port: step.port).filter { !Self.isNoise($0.frame) }
            let got = sent.map { "\($0.port) \(Self.hex(Self.mask($0.frame)))" }.sorted()
            let want = step.expected.map { "\($0.port) \(Self.hex(Self.mask($0.frame)))" }.sorted()
            #expect(got == want, "step \(number): \(step.note)")
        }
    }

    private static func hex(_ frame: [UInt8]) -> String { frame.map { String(format: "%02x", $0) }.joined() }
}
