// Dialogues recorded from Linux 6.18, packet by packet, with what Linux made of each.
//
// A trace is text. `P time side packet outputSide output note`: a frame sent into side A or B at a time in nanoseconds, and
// the frame that Linux forwarded, whose DSCP a ruleset had set from `ct state` (1 new, 2 established, 3 related, 4 invalid,
// 5 untracked). `C time line`: what `conntrack -L` printed then, all lines, sorted. `N`: a NAT rule of the ruleset. `H`: a helper for a protocol and port.
import Foundation
import Testing
import Wire

@testable import Conntrack

@Suite struct KernelTraceTests {
    static let traces: [String] = {
        var directories = [URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().appendingPathComponent("Fixtures/conntrack").path]
        if let more = ProcessInfo.processInfo.environment["CONNTRACK_TRACES"] { directories.append(more) }
        return directories.flatMap { directory in
            (try? FileManager.default.contentsOfDirectory(atPath: directory))?.filter { $0.hasSuffix(".trace") }.sorted().map { directory + "/" + $0 } ?? []
        }
    }()

    @Test(arguments: traces) func equalsLinux(trace: String) throws {
        let text = try String(contentsOfFile: trace, encoding: .utf8)
        var replay = TraceReplay(name: (trace as NSString).lastPathComponent)
        for line in text.split(separator: "\n") { replay.take(String(line)) }
        replay.finish()
        #expect(replay.packets > 0)
        let equal = replay.differences.isEmpty
        #expect(equal, "\(replay.differences.prefix(6).joined(separator: "\n"))")
    }
}

struct TraceReplay: ~Copyable {
    let name: String
    var tracker: ConnectionTracker
    var packets = 0
    var differences: [String] = []
    private var lastPacket = ""
    private var rules: [NATRule] = []
    private var helpers: [(ConnectionHelper, UInt8, UInt16)] = []
    private var expected: [String] = []
    private var expectedAt: Timestamp = 0

    struct NATRule {
        var manipulation: NATManipulation
        var side: String
        var transportProtocol: UInt8?
        var port: UInt16?
        var range: NATRange
    }

    init(name: String) {
        self.name = name
        tracker = ConnectionTracker(seed: 7)
    }

    mutating func take(_ line: String) {
        let words = line.split(separator: " ", omittingEmptySubsequences: false).map(String.init)
        if words[0] == "C" {
            expectedAt = Timestamp(words[1])!
            expected.append(TraceReplay.normal(words.dropFirst(2).joined(separator: " ")))
            return
        }
        finish()
        if words[0] == "N" { rules.append(TraceReplay.rule(words)) }
        if words[0] == "H" { helpers.append((ConnectionHelper(name: words[1])!, UInt8(words[2])!, UInt16(words[3])!)) }
        if words[0] == "P" { replay(words) }
    }

    /// Compares the listing, if one was recorded since the last packet.
    mutating func finish() {
        guard !expected.isEmpty else { return }
        var ours: [String] = []
        let now = expectedAt
        tracker.forEach(now: now) { _, connection in ours.append(TraceReplay.normal(connection.pointee.listing(now: now))) }
        // Both sorted without the seconds, which may differ by one.
        let left = Dictionary(grouping: expected, by: TraceReplay.withoutSeconds)
        let right = Dictionary(grouping: ours, by: TraceReplay.withoutSeconds)
        for (key, lines) in left {
            guard let mine = right[key] else {
                // On its last tick.
                if TraceReplay.seconds(lines[0]) == 0 { continue }
                differences.append("\(name) packet \(packets) \(lastPacket): Linux has \(lines[0])")
                continue
            }
            if abs(TraceReplay.seconds(lines[0]) - TraceReplay.seconds(mine[0])) > 1 {
                differences.append("\(name) packet \(packets) \(lastPacket): Linux has \(lines[0]), we have \(TraceReplay.seconds(mine[0])) seconds")
            }
        }
        for (key, lines) in right where left[key] == nil { differences.append("\(name) packet \(packets) \(lastPacket): we have \(lines[0])") }
        expected = []
    }

    private mutating func replay(_ words: [String]) {
        packets += 1
        lastPacket = words[6]
        // Room for a helper to lengthen the packet.
        var bytes = TraceReplay.bytes(words[3]) + Array(repeating: 0, count: 64)
        let wanted = words[5] == "-" ? nil : TraceReplay.bytes(words[5])
        let result = bytes.withUnsafeMutableBytes { process($0, side: words[2], wanted: wanted, now: Timestamp(words[1])!) }
        let isVersion6 = bytes[12] == 0x86
        guard let wanted else {
            // It may have met its end elsewhere in Linux: with no neighbour, or as a packet for Linux itself.
            if result.forwarded && result.tracking.state != .invalid && TraceReplay.isHost(result.destination) { differences.append("\(name) packet \(packets) \(lastPacket): Linux dropped it, we say \(result.tracking.state)") }
            return
        }
        guard result.forwarded else {
            differences.append("\(name) packet \(packets) \(lastPacket): Linux forwarded it, we dropped it (\(result.tracking.dropReason) \(result.tracking.invalidReason))")
            return
        }
        let dscp = isVersion6 ? (wanted[14] & 15) << 2 | wanted[15] >> 6 : wanted[15] >> 2
        let state: TrackingState? = [1: .new, 2: .established, 3: .related, 4: .invalid, 5: .untracked][dscp]
        if state != result.tracking.state {
            differences.append("\(name) packet \(packets) \(lastPacket): Linux says \(state.map { "\($0)" } ?? "?"), we say \(result.tracking.state) \(result.tracking.invalidReason)")
        }
        // All but the link header, DSCP, TTL and the IPv4 header checksum, which forwarding changes.
        let skipped: Set<Int> = isVersion6 ? [14, 15, 21] : [15, 22, 24, 25]
        if wanted.count != 14 + (isVersion6 ? 40 + (Int(bytes[18]) << 8 | Int(bytes[19])) : Int(bytes[16]) << 8 | Int(bytes[17])) {
            differences.append("\(name) packet \(packets) \(lastPacket): the length differs")
        }
        let length = isVersion6 ? 54 + (Int(bytes[18]) << 8 | Int(bytes[19])) : 14 + (Int(bytes[16]) << 8 | Int(bytes[17]))
        for offset in 14..<min(length, wanted.count) where !skipped.contains(offset) && bytes[offset] != wanted[offset] {
            differences.append("\(name) packet \(packets) \(lastPacket): byte \(offset): Linux \(wanted[offset]), we \(bytes[offset])")
            return
        }
    }

    private mutating func process(_ bytes: UnsafeMutableRawBufferPointer, side: String, wanted: [UInt8]?, now: Timestamp) -> (forwarded: Bool, tracking: Tracking, destination: IPAddress) {
        var packet = PacketBuffer(start: bytes.baseAddress!, length: bytes.count - 64, tailroom: 64)
        var parsed = ParsedPacket()
        guard PacketParser.parse(packet, into: &parsed) == .none else { return (false, Tracking(), parsed.destinationAddress) }
        var tracking = tracker.track(packet, parsed, now: now)
        guard tracking.dropReason == .none else { return (false, tracking, parsed.destinationAddress) }
        if tracking.hasConnection, !tracking.isReply {
            for (helper, transport, port) in helpers where transport == parsed.transportProtocol && port == parsed.destinationPort {
                tracker.assignHelper(tracking.connection, helper)
            }
        }
        for manipulation in [NATManipulation.destination, .source] where !rules.isEmpty {
            // Linux had 10.0.1.0/24 and fd00:1::/64 at side A, the default route at side B.
            let isSideA = parsed.destinationAddress.ipv4 >> 8 == 0x0a0001 && parsed.family == .ipv4 || parsed.destinationAddress.high == 0xfd00_0001_0000_0000
            let isLocal = parsed.destinationAddress.low & 0xff == 1
            let hookSide = manipulation == .destination ? side : isLocal ? "-" : isSideA ? "A" : "B"
            if tracker.needsNATBinding(tracking, manipulation) {
                let rule = rules.first {
                    $0.manipulation == manipulation && $0.side == hookSide && ($0.transportProtocol == nil || $0.transportProtocol == parsed.transportProtocol)
                        && ($0.port == nil || $0.port == parsed.destinationPort) && $0.range.minimumAddress.family == parsed.family
                }
                guard tracker.setUpNAT(tracking.connection, manipulation, range: rule?.range, now: now) else { return (false, tracking, parsed.destinationAddress) }
                if manipulation == .source, let wanted { adoptRandomPort(tracking.connection, parsed, wanted) }
            }
            guard tracker.translate(packet, &parsed, tracking, manipulation) != .refused else {
                tracker.release(tracking)
                return (false, tracking, parsed.destinationAddress)
            }
        }
        tracking.dropReason = tracker.help(&packet, &parsed, tracking, now: now)
        if tracking.dropReason == .none { tracking.dropReason = tracker.confirm(&tracking, now: now) } else { tracker.release(tracking) }
        while tracker.takeRetired() != nil {}
        tracker.reclaim(upTo: tracker.limboMark)
        return (tracking.dropReason == .none, tracking, parsed.destinationAddress)
    }

    /// Whether Linux had a neighbour of this address: .2 and .3 on both sides.
    private static func isHost(_ address: IPAddress) -> Bool { address.low & 0xff == 2 || address.low & 0xff == 3 }

    /// Where a port had to be exchanged, Linux rolled dice: its port is taken over if ours could have been the same.
    private func adoptRandomPort(_ index: UInt32, _ parsed: ParsedPacket, _ wanted: [UInt8]) {
        let connection = tracker.connection(index)
        let isICMP = connection.pointee.original.isICMP
        let old = connection.pointee.original.sourcePort
        let ours = isICMP ? connection.pointee.reply.sourcePort : connection.pointee.reply.destinationPort
        let offset = Int(parsed.transportOffset) + (isICMP ? 4 : 0)
        let theirs = UInt16(wanted[offset]) << 8 | UInt16(wanted[offset + 1])
        func portClass(_ port: UInt16) -> Int { isICMP ? 0 : port < 512 ? 1 : port < 600 ? 2 : port < 1024 ? 3 : 4 }
        guard ours != old, theirs != old, portClass(ours) == portClass(theirs) else { return }
        if isICMP { connection.pointee.reply.sourcePort = theirs } else { connection.pointee.reply.destinationPort = theirs }
    }

    // MARK: - Text

    /// `N snat|dnat side protocol|- port|- address [ports]`
    private static func rule(_ words: [String]) -> NATRule {
        let address = parse(words[5])
        var range = NATRange(address.0, address.1)
        if words.count > 6 {
            let ports = words[6].split(separator: "-").map { UInt16($0)! }
            range = range.ports(ports[0], ports.last!)
        }
        return NATRule(
            manipulation: words[1] == "snat" ? .source : .destination, side: words[2], transportProtocol: UInt8(words[3]), port: UInt16(words[4]), range: range)
    }

    private static func parse(_ text: String) -> (IPAddress, IPAddress) {
        let ends = text.split(separator: "-").map { end -> IPAddress in
            if end.contains(":") {
                var raw = in6_addr()
                inet_pton(AF_INET6, String(end), &raw)
                return withUnsafeBytes(of: raw) {
                    IPAddress(ipv6High: UInt64(bigEndian: $0.load(as: UInt64.self)), low: UInt64(bigEndian: $0.load(fromByteOffset: 8, as: UInt64.self)))
                }
            }
            return IPAddress(ipv4: end.split(separator: ".").reduce(0) { $0 << 8 | UInt32($1)! })
        }
        return (ends[0], ends.last!)
    }

    static func bytes(_ hex: String) -> [UInt8] {
        let digits = Array(hex.utf8)
        func value(_ digit: UInt8) -> UInt8 { digit < 58 ? digit - 48 : digit - 87 }
        return stride(from: 0, to: digits.count, by: 2).map { value(digits[$0]) << 4 | value(digits[$0 + 1]) }
    }

    /// One space between words, without the reference count.
    private static func normal(_ line: String) -> String {
        line.split(separator: " ").filter { !$0.hasPrefix("use=") }.joined(separator: " ")
    }
    private static func seconds(_ line: String) -> Int { Int(line.split(separator: " ")[2]) ?? -1 }
    private static func withoutSeconds(_ line: String) -> String {
        var words = line.split(separator: " ")
        if Int(words[2]) != nil { words.remove(at: 2) }
        return words.joined(separator: " ")
    }
}
