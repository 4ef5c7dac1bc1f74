// synproxy: both handshakes, cookies that are none, and what is translated afterwards. (The dialogue was compared with Linux's, whose
// cookies cannot be ours.)
import Conntrack
import Policy
import Ruleset
import Testing
import Wire

@testable import SlowPath

@Suite struct SynproxyTests {
    static let ruleset = """
        table inet t {
          chain raw { type filter hook prerouting priority -300; tcp dport 80 tcp flags syn notrack; }
          chain f { type filter hook forward priority 0; tcp dport 80 ct state invalid,untracked,new synproxy mss 1460 wscale 7 timestamp sack-perm; }
        }

        """

    struct Segment: Equatable {
        var sequence: UInt32, acknowledgement: UInt32, flags: UInt8, window: UInt16
        var options: HandshakeOptions
    }

    static func harness() -> SlowPathHarness {
        SlowPathHarness(ruleset: RulesetValue().applying(text: ruleset, name: "f", options: LoadOptions(interfaces: ["r0", "r1"])).value)
    }

    static func options(_ present: HandshakeOptions.Present, timestamp: UInt32 = 0, echo: UInt32 = 0) -> HandshakeOptions {
        var options = HandshakeOptions()
        options.present = present
        options.maximumSegmentSize = 1400
        options.windowScale = 5
        (options.timestamp, options.timestampEcho) = (timestamp, echo)
        return options
    }

    /// A frame between client 10.0.1.2:1000 (port 0) and server 10.0.2.2:80 (port 1).
    static func frame(_ port: Int, _ sequence: UInt32, _ acknowledgement: UInt32, _ flags: UInt8, _ options: HandshakeOptions, isIPv6: Bool) -> [UInt8] {
        let client = isIPv6 ? IPAddress(ipv6High: 0xfd00_0001_0000_0000, low: 2) : IPAddress(ipv4: 0x0a00_0102)
        let server = isIPv6 ? IPAddress(ipv6High: 0xfd00_0002_0000_0000, low: 2) : IPAddress(ipv4: 0x0a00_0202)
        var segment = port == 0 ? TCPControlSegment(from: client, 1000, to: server, 80) : TCPControlSegment(from: server, 80, to: client, 1000)
        (segment.sequence, segment.acknowledgement, segment.flags, segment.window, segment.options) = (sequence, acknowledgement, flags, 8000, options)
        let link = LinkHeader(
            destination: EthernetAddress(rawValue: SlowPathHarness.macs[port]), source: EthernetAddress(rawValue: SlowPathHarness.macs[port] & ~0xff | 2))
        let memory = UnsafeMutableRawPointer.allocate(byteCount: 256, alignment: 8)
        defer { memory.deallocate() }
        let length = segment.build(into: PacketBuffer(start: memory, length: 0, tailroom: 256), link: link)
        return [UInt8](UnsafeRawBufferPointer(start: memory, count: length))
    }

    /// What a frame says; its checksums have to be right.
    static func read(_ frame: [UInt8]) throws -> Segment {
        var frame = frame
        return try frame.withUnsafeMutableBytes { bytes in
            let packet = PacketBuffer(start: try #require(bytes.baseAddress), length: bytes.count)
            var parsed = ParsedPacket()
            #expect(PacketParser.parse(packet, into: &parsed) == .none)
            #expect(Checksum.verifyTransport(packet, parsed))
            let offset = Int(parsed.transportOffset)
            return Segment(
                sequence: packet.load32(offset + 4), acknowledgement: packet.load32(offset + 8), flags: parsed.tcpFlags, window: packet.load16(offset + 14),
                options: try #require(HandshakeOptions(packet, at: offset, available: parsed.transportLength)))
        }
    }

    @Test(arguments: [false, true]) func twoHandshakesBecomeOneConnection(isIPv6: Bool) throws {
        var harness = Self.harness()
        let asked = Self.options([.maximumSegmentSize, .windowScale, .sackPermitted, .timestamp], timestamp: 1111)
        var sent = harness.send(Self.frame(0, 5000, 0, TCPFlags.syn, asked, isIPv6: isIPv6), port: 0)
        #expect(sent.map(\.port) == [0] && harness.path.resources.connections == 0)
        let synAck = try Self.read(sent[0].frame)
        #expect(synAck.flags == (TCPFlags.syn | TCPFlags.ack) && synAck.acknowledgement == 5001 && synAck.window == 0)
        #expect(synAck.options.maximumSegmentSize == 1460 && synAck.options.windowScale == 7 && synAck.options.timestampEcho == 1111)
        #expect(synAck.options.timestamp & 0x3f == 0x15)

        let cookie = synAck.sequence, shown = synAck.options.timestamp
        let acknowledges = Self.options(.timestamp, timestamp: 1200, echo: shown)
        #expect(harness.send(Self.frame(0, 5001, cookie &+ 6, TCPFlags.ack, acknowledges, isIPv6: isIPv6), port: 0).isEmpty)
        #expect(harness.disposition == .dropped(.ruleDrop) && harness.path.resources.connections == 0)

        sent = harness.send(Self.frame(0, 5001, cookie &+ 1, TCPFlags.ack, acknowledges, isIPv6: isIPv6), port: 0)
        #expect(sent.map(\.port) == [1] && harness.path.resources.connections == 1)
        let syn = try Self.read(sent[0].frame)
        #expect(syn.sequence == 5000 && syn.acknowledgement == cookie && syn.flags == TCPFlags.syn && syn.window == 8000)
        #expect(syn.options.windowScale == 5 && syn.options.present == asked.present && syn.options.timestampEcho == shown)
        #expect(syn.options.maximumSegmentSize == (isIPv6 ? 1220 : 1300))

        let serverTime: UInt32 = 777_000
        let answer = Self.options([.maximumSegmentSize, .windowScale, .timestamp], timestamp: serverTime, echo: 1200)
        sent = harness.send(Self.frame(1, 90_000, 5001, TCPFlags.syn | TCPFlags.ack, answer, isIPv6: isIPv6), port: 1)
        #expect(sent.map(\.port) == [1, 0])
        let toServer = try Self.read(sent[0].frame), toClient = try Self.read(sent[1].frame)
        // Linux translates the echo of this one although it is the server's own already.
        let echo = serverTime &+ serverTime &- shown
        #expect(toServer == Segment(sequence: 5001, acknowledgement: 90_001, flags: TCPFlags.ack, window: 8000, options: Self.stamps(1200, echo)))
        #expect(toClient == Segment(sequence: cookie, acknowledgement: 5001, flags: TCPFlags.ack, window: 8000 >> 5, options: Self.stamps(shown, 1200)))

        sent = harness.send(Self.frame(0, 5001, cookie &+ 1, TCPFlags.ack | TCPFlags.psh, Self.options(.timestamp, timestamp: 1300, echo: shown), isIPv6: isIPv6), port: 0)
        let forth = try Self.read(sent[0].frame)
        #expect(sent[0].port == 1 && forth.sequence == 5001 && forth.acknowledgement == 90_001 && forth.options.timestampEcho == serverTime)
        sent = harness.send(Self.frame(1, 90_001, 5001, TCPFlags.ack | TCPFlags.psh, Self.options(.timestamp, timestamp: serverTime + 5, echo: 1300), isIPv6: isIPv6), port: 1)
        let back = try Self.read(sent[0].frame)
        #expect(sent[0].port == 0 && back.sequence == cookie &+ 1 && back.options.timestamp == shown &+ 5)
        #expect(harness.path.resources.flowEntries == 0)
    }

    private static func stamps(_ timestamp: UInt32, _ echo: UInt32) -> HandshakeOptions {
        var options = HandshakeOptions()
        options.present = .timestamp
        (options.timestamp, options.timestampEcho) = (timestamp, echo)
        return options
    }

    @Test func aRefusalReachesTheClient() throws {
        var harness = Self.harness()
        let synAck = try Self.read(harness.send(Self.frame(0, 5000, 0, TCPFlags.syn, HandshakeOptions(), isIPv6: false), port: 0)[0].frame)
        #expect(synAck.options == HandshakeOptions())
        _ = harness.send(Self.frame(0, 5001, synAck.sequence &+ 1, TCPFlags.ack, HandshakeOptions(), isIPv6: false), port: 0)
        let sent = harness.send(Self.frame(1, 0, 5001, TCPFlags.rst | TCPFlags.ack, HandshakeOptions(), isIPv6: false), port: 1)
        #expect(try Self.read(sent[0].frame).sequence == synAck.sequence &+ 1)
    }

    @Test func aCookieIsGoodForItsClientAndForMinutes() {
        let minute: Timestamp = 60_000_000_000
        let cookies = SYNCookies(seed: 7)
        var client = ParsedPacket()
        client.family = .ipv4
        (client.sourceAddress, client.destinationAddress) = (IPAddress(ipv4: 1), IPAddress(ipv4: 2))
        (client.sourcePort, client.destinationPort) = (3, 4)
        for (offered, size) in [(0, 536), (536, 536), (1299, 536), (1300, 1300), (1459, 1440), (9000, 1460)] as [(UInt16, UInt16)] {
            let cookie = cookies.make(client, sequence: 9, maximumSegmentSize: offered, now: 10 * minute)
            for (now, isGood) in [(10 * minute, true), (12 * minute - 1, true), (12 * minute, false), (9 * minute, false)] {
                #expect(cookies.check(cookie, client, sequence: 9, now: now) == (isGood ? size : nil))
            }
            var other = client
            other.sourcePort = 5
            #expect(cookies.check(cookie, other, sequence: 9, now: 10 * minute) == nil)
            #expect(cookies.check(cookie, client, sequence: 90, now: 10 * minute) == nil)
            #expect(SYNCookies(seed: 8).check(cookie, client, sequence: 9, now: 10 * minute) == nil)
        }
    }
}
