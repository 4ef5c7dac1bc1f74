// Frames for the tests of connection tracking, with right checksums unless a test spoils them.
import Wire

@testable import Conntrack

let second: Timestamp = 1_000_000_000

func ip(_ a: UInt32, _ b: UInt32, _ c: UInt32, _ d: UInt32) -> IPAddress { IPAddress(ipv4: a << 24 | b << 16 | c << 8 | d) }
func ip6(_ last: UInt64) -> IPAddress { IPAddress(ipv6High: 0xfd00_0001_0000_0000, low: last) }

let client = ip(10, 0, 1, 2)
let server = ip(10, 0, 2, 2)
let outer = ip(192, 0, 2, 1)

/// A frame in memory of its own.
final class TestPacket {
    let packet: PacketBuffer
    var parsed = ParsedPacket()

    init(_ bytes: [UInt8]) {
        let memory = UnsafeMutableRawPointer.allocate(byteCount: max(bytes.count, 64), alignment: 64)
        memory.copyMemory(from: bytes, byteCount: bytes.count)
        packet = PacketBuffer(start: memory, length: bytes.count)
        _ = PacketParser.parse(packet, into: &parsed)
    }
    deinit { packet.start.deallocate() }

    /// An IP packet with this transport part, checksums filled.
    convenience init(_ source: IPAddress, _ destination: IPAddress, protocol: UInt8, _ transport: [UInt8], fill: Bool = true) {
        var bytes: [UInt8] = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2]
        let length = transport.count
        if source.family == .ipv4 {
            let total = length + 20
            bytes += [8, 0, 0x45, 0, UInt8(total >> 8), UInt8(total & 255), 0, 1, 0x40, 0, 64, `protocol`, 0, 0]
            for address in [source, destination] { bytes += (0..<4).map { UInt8(truncatingIfNeeded: address.ipv4 >> UInt32(24 - 8 * $0)) } }
        } else {
            bytes += [0x86, 0xdd, 0x60, 0, 0, 0, UInt8(length >> 8), UInt8(length & 255), `protocol`, 64]
            for address in [source, destination] {
                for half in [address.high, address.low] { bytes += (0..<8).map { UInt8(truncatingIfNeeded: half >> UInt64(56 - 8 * $0)) } }
            }
        }
        self.init(bytes + transport)
        if source.family == .ipv4 { Checksum.fillIPv4Header(packet.start + 14, length: 20) }
        _ = PacketParser.parse(packet, into: &parsed)
        if fill { Checksum.fillTransport(packet, parsed) }
    }

    static func udp(_ source: IPAddress, _ sourcePort: UInt16, _ destination: IPAddress, _ destinationPort: UInt16, payload: [UInt8] = [1, 2, 3], fill: Bool = true) -> TestPacket {
        let length = UInt16(payload.count + 8)
        return TestPacket(source, destination, protocol: IPProtocol.udp, big(sourcePort) + big(destinationPort) + big(length) + [0, 0] + payload, fill: fill)
    }

    static func tcp(
        _ source: IPAddress, _ sourcePort: UInt16, _ destination: IPAddress, _ destinationPort: UInt16, _ flags: UInt8, sequence: UInt32 = 0, acknowledgement: UInt32 = 0,
        window: UInt16 = 8192, options: [UInt8] = [], payload: [UInt8] = []
    ) -> TestPacket {
        let words = UInt8((20 + options.count) / 4)
        let header = big(sourcePort) + big(destinationPort) + big(sequence) + big(acknowledgement) + [words << 4, flags] + big(window) + [0, 0, 0, 0]
        return TestPacket(source, destination, protocol: IPProtocol.tcp, header + options + payload)
    }

    static func icmp(_ source: IPAddress, _ destination: IPAddress, type: UInt8, code: UInt8 = 0, identifier: UInt16 = 7, body: [UInt8] = [1, 2, 3, 4]) -> TestPacket {
        let `protocol` = source.family == .ipv4 ? IPProtocol.icmp : IPProtocol.icmpv6
        return TestPacket(source, destination, protocol: `protocol`, [type, code, 0, 0] + big(identifier) + [0, 1] + body)
    }

    /// The bytes from the network header on.
    var network: [UInt8] { (14..<packet.length).map { packet.load8($0) } }

    var checksumsAreRight: Bool {
        var again = ParsedPacket()
        return PacketParser.parse(packet, into: &again) == .none && Checksum.verifyTransport(packet, again)
    }
}

func big<Integer: FixedWidthInteger>(_ value: Integer) -> [UInt8] { withUnsafeBytes(of: value.bigEndian) { Array($0) } }

extension TCPFlags {
    static let synAck = syn | ack
    static let finAck = fin | ack
    static let rstAck = rst | ack
}

/// A tracker that `#expect` can look into: its macros copy what they look at.
final class TestTracker {
    var tracker: ConnectionTracker

    init(configuration: TrackerConfiguration = TrackerConfiguration(), seed: UInt64) { tracker = ConnectionTracker(configuration: configuration, seed: seed) }

    var count: Int { tracker.count }
    var slots: Int { tracker.slots }
    var limboCount: Int { tracker.limboCount }
    var limboMark: UInt64 { tracker.limboMark }
    var statistics: TrackerStatistics { tracker.statistics }
    func connection(_ index: UInt32) -> UnsafeMutablePointer<Connection> { tracker.connection(index) }
    func isCurrent(_ index: UInt32, generation: UInt32) -> Bool { tracker.isCurrent(index, generation: generation) }
    func track(_ test: TestPacket, zone: ConnectionZone = .default, now: Timestamp) -> Tracking { tracker.track(test.packet, test.parsed, zone: zone, now: now) }
    func confirm(_ tracking: inout Tracking, now: Timestamp) -> DropReason { tracker.confirm(&tracking, now: now) }
    func release(_ tracking: Tracking) { tracker.release(tracking) }
    func remove(_ index: UInt32) { tracker.remove(index) }
    func removeAll() { tracker.removeAll() }
    func forEachDue(now: Timestamp, budget: Int, _ body: (UInt32) -> Void) { tracker.forEachDue(now: now, budget: budget, body) }
    func setLastUse(_ lastUse: ConnectionLastUse) { tracker.lastUse = lastUse }
    @discardableResult func expire(now: Timestamp, budget: Int) -> Int { tracker.expire(now: now, budget: budget) }
    func takeRetired() -> UInt32? { tracker.takeRetired() }
    func reclaim() { tracker.reclaim(upTo: tracker.limboMark) }
    func find(_ tuple: ConnectionTuple, now: Timestamp) -> UInt32 { tracker.find(tuple, now: now) }
    func setUpNAT(_ index: UInt32, _ manipulation: NATManipulation, range: NATRange?, masqueradeInterface: UInt32 = 0, now: Timestamp) -> Bool {
        tracker.setUpNAT(index, manipulation, range: range, masqueradeInterface: masqueradeInterface, now: now)
    }
    func definePolicy(_ number: UInt16, _ timeouts: ConnectionTimeouts) -> Bool { tracker.definePolicy(number, timeouts) }
    func assignPolicy(_ index: UInt32, _ number: UInt16) { tracker.assignPolicy(index, number) }
    func assignHelper(_ index: UInt32, _ helper: ConnectionHelper) { tracker.assignHelper(index, helper) }
    var expectationCount: Int { tracker.expectations.count }
    func addExpectation(_ tracking: Tracking, transportProtocol: UInt8, port: UInt16, seconds: UInt32, limit: Int, now: Timestamp) -> Bool {
        tracker.addExpectation(tracking, transportProtocol: transportProtocol, port: port, seconds: seconds, limit: limit, now: now)
    }
    func translate(_ packet: PacketBuffer, _ parsed: inout ParsedPacket, _ tracking: Tracking, _ manipulation: NATManipulation) -> Bool {
        tracker.translate(packet, &parsed, tracking, manipulation) != .refused
    }
    func help(_ packet: inout PacketBuffer, _ parsed: inout ParsedPacket, _ tracking: Tracking, now: Timestamp) -> DropReason {
        tracker.help(&packet, &parsed, tracking, now: now)
    }
    func dropMasqueraded(_ address: IPAddress, interface: UInt32, cursor: inout Int, budget: Int) -> Bool {
        tracker.dropMasqueraded(address, interface: interface, cursor: &cursor, budget: budget)
    }
    func masqueradeMoved(_ tracking: Tracking, to interface: UInt32) -> Bool { tracker.masqueradeMoved(tracking, to: interface) }

    /// Prerouting to postrouting, with one NAT rule a side for the connection's first packet.
    func pass(_ test: TestPacket, destination: NATRange? = nil, source: NATRange? = nil, steering: SteeringTarget? = nil, now: Timestamp) -> Tracking {
        var tracking = tracker.track(test.packet, test.parsed, now: now)
        guard tracking.dropReason == .none else { return tracking }
        for (manipulation, range) in [(NATManipulation.destination, destination), (.source, source)] {
            if tracker.needsNATBinding(tracking, manipulation) { tracker.setUpNAT(tracking.connection, manipulation, range: range, steering: steering, now: now) }
            guard tracker.translate(test.packet, &test.parsed, tracking, manipulation) != .refused else {
                tracker.release(tracking)
                tracking.dropReason = .natExhausted
                return tracking
            }
        }
        let reason = tracker.confirm(&tracking, now: now)
        if reason != .none { tracking.dropReason = reason }
        return tracking
    }

    /// A handshake from `client` to port 80 of `server`.
    func establish(_ port: UInt16 = 1000, now: Timestamp) -> UInt32 {
        _ = pass(.tcp(client, port, server, 80, TCPFlags.syn, sequence: 100), now: now)
        _ = pass(.tcp(server, 80, client, port, TCPFlags.synAck, sequence: 500, acknowledgement: 101), now: now)
        return pass(.tcp(client, port, server, 80, TCPFlags.ack, sequence: 101, acknowledgement: 501), now: now).connection
    }
}
