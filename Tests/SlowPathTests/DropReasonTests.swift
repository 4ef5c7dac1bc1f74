// Every kind of bad packet is dropped under a reason of its own, counted once, and answered by nothing or by the error
// that Linux sends.
import Testing
import Wire

@testable import SlowPath

@Suite struct DropReasonTests {
    /// A frame from host 2 behind r0 to host 2 behind r1, and what was done to it.
    struct Case: CustomTestStringConvertible, Sendable {
        var name: String
        var frames: [[UInt8]]
        var reason: DropReason
        var answers = 0
        var testDescription: String { name }
    }

    static func ipv4(_ payload: [UInt8], protocolNumber: UInt8 = 17, source: [UInt8] = [10, 0, 1, 2], destination: [UInt8] = [10, 0, 2, 2],
                     options: [UInt8] = [], ttl: UInt8 = 64, fragment: UInt16 = 0, identification: UInt16 = 7, length: Int? = nil, fixes: Bool = true) -> [UInt8] {
        var frame: [UInt8] = [2, 0, 0, 0, 0x0a, 1, 2, 0, 0, 0, 0x0a, 2, 8, 0]
        let total = length ?? 20 + options.count + payload.count
        frame.append(contentsOf: [UInt8(0x45 + options.count / 4), 0, UInt8(truncatingIfNeeded: total >> 8), UInt8(truncatingIfNeeded: total)])
        frame.append(contentsOf: [UInt8(identification >> 8), UInt8(truncatingIfNeeded: identification), UInt8(fragment >> 8), UInt8(truncatingIfNeeded: fragment)])
        frame.append(contentsOf: [ttl, protocolNumber, 0, 0])
        frame.append(contentsOf: source)
        frame.append(contentsOf: destination)
        frame.append(contentsOf: options)
        frame.append(contentsOf: payload)
        if fixes {
            frame.withUnsafeMutableBytes { Checksum.fillIPv4Header($0.baseAddress! + 14, length: 20 + options.count) }
        }
        return frame
    }

    static func ipv6(_ payload: [UInt8], next: UInt8, hopLimit: UInt8 = 64, length: Int? = nil) -> [UInt8] {
        var frame: [UInt8] = [2, 0, 0, 0, 0x0a, 1, 2, 0, 0, 0, 0x0a, 2, 0x86, 0xdd, 0x60, 0, 0, 0]
        let total = length ?? payload.count
        frame.append(contentsOf: [UInt8(truncatingIfNeeded: total >> 8), UInt8(truncatingIfNeeded: total), next, hopLimit])
        for port in [UInt8(1), 2] {
            frame.append(contentsOf: [0xfd, 0, 0, port, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2])
        }
        frame.append(contentsOf: payload)
        return frame
    }

    static let udp: [UInt8] = [0, 9, 0, 53, 0, 12, 0, 0, 1, 2, 3, 4]

    static func changed(_ frame: [UInt8], _ place: Int, _ byte: UInt8) -> [UInt8] {
        var frame = frame
        frame[place] = byte
        return frame
    }

    static let cases: [Case] = [
        Case(name: "zero length", frames: [[]], reason: .frameTooShort),
        Case(name: "thirteen bytes", frames: [[UInt8](repeating: 0, count: 13)], reason: .frameTooShort),
        Case(name: "other station", frames: [changed(ipv4(udp), 5, 9)], reason: .notForUs),
        Case(name: "unknown EtherType", frames: [changed(ipv4(udp), 13, 0x42)], reason: .unknownEtherType),
        Case(name: "VLAN tag cut off", frames: [Array(changed(changed(ipv4(udp), 12, 0x81), 13, 0)[..<15])], reason: .vlanTruncated),
        Case(name: "IPv4 header cut off", frames: [Array(ipv4(udp)[..<30])], reason: .ipv4Truncated),
        Case(name: "version 5 in an IPv4 frame", frames: [changed(ipv4(udp), 14, 0x55)], reason: .ipv4BadVersion),
        Case(name: "header length 16", frames: [changed(ipv4(udp), 14, 0x44)], reason: .ipv4BadHeaderLength),
        Case(name: "total length beyond the frame", frames: [ipv4(udp, length: 500)], reason: .ipv4Truncated),
        Case(name: "total length below the header", frames: [ipv4(udp, length: 10)], reason: .ipv4BadTotalLength),
        Case(name: "wrong header checksum", frames: [ipv4(udp, fixes: false)], reason: .ipv4BadChecksum),
        Case(name: "option runs over the header", frames: [ipv4(udp, options: [7, 40, 4, 0])], reason: .ipv4BadOption, answers: 1),
        Case(name: "IPv6 header cut off", frames: [Array(ipv6(udp, next: 17)[..<40])], reason: .ipv6Truncated),
        Case(name: "version 4 in an IPv6 frame", frames: [changed(ipv6(udp, next: 17), 14, 0x40)], reason: .ipv6BadVersion),
        Case(name: "payload length beyond the frame", frames: [ipv6(udp, next: 17, length: 900)], reason: .ipv6BadPayloadLength),
        Case(name: "hop-by-hop header cut off", frames: [ipv6([17, 9, 0, 0], next: 0)], reason: .ipv6ExtensionTruncated),
        Case(name: "extension headers without end", frames: [ipv6([UInt8]((0 ..< 1300).flatMap { _ in [60, 0, 1, 4, 0, 0, 0, 0] as [UInt8] }), next: 60)], reason: .ipv6TooManyExtensions),
        Case(name: "multicast source", frames: [ipv4(udp, source: [224, 0, 0, 9])], reason: .martianSource),
        Case(name: "our own source", frames: [ipv4(udp, source: [10, 0, 2, 1])], reason: .martianSource),
        Case(name: "loopback destination", frames: [ipv4(udp, destination: [127, 0, 0, 1])], reason: .martianDestination),
        Case(name: "a group that we are not in", frames: [changed(changed(changed(ipv4(udp, destination: [224, 9, 9, 9]), 0, 1), 1, 0), 2, 0x5e)], reason: .multicastDestination),
        Case(name: "time to live 1", frames: [ipv4(udp, ttl: 1)], reason: .timeToLiveExceeded, answers: 1),
        Case(name: "hop limit 1", frames: [ipv6(udp, next: 17, hopLimit: 1)], reason: .timeToLiveExceeded, answers: 1),
        Case(name: "longer than the path, not to be cut", frames: [ipv4([0, 9, 0, 53, 0x06, 0x40, 0, 0] + [UInt8](repeating: 0, count: 1592), fragment: 0x4000)], reason: .packetTooBig, answers: 1),
        Case(name: "longer than the path, IPv6", frames: [ipv6([0, 9, 0, 53, 0x06, 0x40, 0, 0] + [UInt8](repeating: 0, count: 1592), next: 17)], reason: .packetTooBig, answers: 1),
        Case(name: "UDP to a closed port of ours", frames: [ipv4(udp, destination: [10, 0, 1, 1])], reason: .localNoListener, answers: 1),
        Case(name: "a protocol that we do not speak", frames: [ipv4(udp, protocolNumber: 99, destination: [10, 0, 1, 1])], reason: .localNoProtocol, answers: 1),
        Case(name: "overlapping fragments", frames: [
            ipv4(udp + [UInt8](repeating: 7, count: 20), destination: [10, 0, 1, 1], fragment: 0x2000),
            ipv4([UInt8](repeating: 8, count: 32), destination: [10, 0, 1, 1], fragment: 0x2002),
        ], reason: .fragmentOverlap),
        Case(name: "a fragment beyond 64 KiB", frames: [ipv4([UInt8](repeating: 7, count: 32), destination: [10, 0, 1, 1], fragment: 0x1fff)], reason: .fragmentTooLong),
    ]

    @Test(arguments: cases) func countedUnderItsReason(_ test: Case) {
        var harness = SlowPathHarness()
        var answers = 0
        for frame in test.frames { answers += harness.send(frame, port: 0).count }
        for reason in DropReason.allCases where reason != .none {
            let count = harness.path.statistics.dropped(reason)
            #expect(count == (reason == test.reason ? 1 : 0), "\(reason.name)")
        }
        #expect(answers == test.answers)
    }

    @Test func nothingIsAnsweredTwice() {
        // An error about an error would bounce for ever between two routers.
        var harness = SlowPathHarness()
        let quoted = Array(Self.ipv4(Self.udp)[14...])
        let error = Self.ipv4([3, 3, 0, 0, 0, 0, 0, 0] + quoted, protocolNumber: 1, ttl: 1)
        #expect(harness.send(error, port: 0).isEmpty)
        #expect(harness.path.statistics.dropped(.timeToLiveExceeded) == 1)
        #expect(harness.path.statistics.dropped(.icmpErrorSuppressed) == 1)
    }
}
