// Speaks frames over pipes, for run.py: one command a line, answers end with a line ".".
//
//     ruleset CACHE MUTATION SEED LINKS HEX   a new engine; what r0 and r1 are (Links.swift), the ruleset's text in hex; answers what nft would say
//     frame PORT NANOSECONDS HEX        "out PORT HEX" for each frame that comes out, "end DISPOSITION"; behind HEX may stand the source
//                                       and the destination port that NAT is to choose where it may choose
//     nft FRAMES HEX                    changes the ruleset by these commands, in force after so many frames
//     change WHAT LINK VALUE            changes routing: mtu BYTES, [no-]address PREFIX, [no-]route PREFIX,GATEWAY, [no-]neighbour ADDRESS,MAC
//     list                              what `nft -a list ruleset` prints
//     connections [whole]               the connections, one a line, as ctnetlink.py writes them, or with all their fields
//     expectations                      the expectations, one a line
//     hits                              "HITS FRAMES VERIFIED"
import Foundation
import Ruleset

private func bytes(_ hex: Substring) -> [UInt8] {
    let digits = hex.utf8.map { $0 < 58 ? $0 &- 48 : $0 &- 87 }
    return stride(from: 0, to: digits.count - 1, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
}
private func text(_ hex: Substring) -> String { String(decoding: bytes(hex), as: UTF8.self) }
private let digits = Array("0123456789abcdef".utf8)
private func hex(_ frame: [UInt8]) -> String {
    String(decoding: frame.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
}

/// Serves commands until the input ends; `make` puts a front before each new engine.
public func serve(front make: (EngineParts) throws -> any Front) throws {
    var engine: Engine?
    while let line = readLine() {
        let words = line.split(separator: " ", omittingEmptySubsequences: false)
        switch words[0] {
        case "ruleset":
            // The old engine's front ends before another one begins.
            engine = nil
            guard let links = Links(words[4]) else {
                print("what links are these?")
                break
            }
            let loaded = RulesetValue().applying(text: text(words[5]), name: "ruleset", options: LoadOptions(interfaces: ["lo"] + links.interfaces.map(\.name)))
            if loaded.isAccepted {
                engine = try Engine(ruleset: loaded.value, links: links, cachesFlows: words[1] == "1", mutation: Mutation(rawValue: String(words[2])) ?? .none, seed: UInt64(words[3]) ?? 1, front: make)
            } else {
                print(loaded.diagnostics.map { "stdin:\($0.location.line): \($0.message)" }.joined(separator: "\n"))
            }
        case "frame":
            var ports: (source: UInt16, destination: UInt16)?
            if words.count > 5, let source = UInt16(words[4]), let destination = UInt16(words[5]) { ports = (source, destination) }
            for (port, frame) in engine?.send(bytes(words[3]), port: Int(words[1]) ?? 0, advance: UInt64(words[2]) ?? 0, ports: ports) ?? [] { print("out \(port) \(hex(frame))") }
            print("end \(engine?.front.disposition ?? "")")
        case "nft": print(engine?.nft(["-f", "-"], input: text(words[2]), held: Int(words[1]) ?? 0) ?? "")
        case "change": print(engine?.change(Array(words.dropFirst())) ?? "")
        case "list": print((engine?.front.defect ?? "") + (engine?.nft(["-a", "list", "ruleset"]) ?? ""))
        case "connections": print(engine?.connections(isWhole: words.count > 1).joined(separator: "\n") ?? "")
        case "expectations": print(engine?.expectations().joined(separator: "\n") ?? "")
        case "hits": print("\(engine?.front.hits ?? 0) \(engine?.front.frames ?? 0) \(engine?.front.verifiedHits ?? 0)")
        default: print("unknown command")
        }
        print(".")
        fflush(nil)
    }
}
