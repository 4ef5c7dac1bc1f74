// SIP and PPTP under payloads of every kind, with NAT that lengthens them: no trap, checksums right, lengths true, tables
// within their bounds.
import Testing
import Wire

@testable import Conntrack

@Suite struct HostileHelperTests {
    /// Runs the helper over a payload in memory that ends where the packet's room ends.
    private func help(_ tracker: TestTracker, _ test: TestPacket, room: Int, now: Timestamp = 0) {
        let tracking = tracker.track(test, now: now)
        guard tracking.hasConnection else { return }
        let memory = UnsafeMutableRawPointer.allocate(byteCount: test.packet.length + room, alignment: 64)
        defer { memory.deallocate() }
        memory.copyMemory(from: test.packet.start, byteCount: test.packet.length)
        var packet = PacketBuffer(start: memory, length: test.packet.length, tailroom: room)
        var parsed = test.parsed
        let reason = tracker.help(&packet, &parsed, tracking, now: now)
        var again = ParsedPacket()
        let defect = PacketParser.parse(packet, into: &again)
        #expect(defect == .none)
        if reason == .none { #expect(Checksum.verifyTransport(packet, again)) }
        #expect(Int(again.networkOffset) + Int(again.networkLength) == packet.length)
    }

    private func connection(_ tracker: TestTracker, _ first: TestPacket, _ helper: ConnectionHelper) -> Tracking {
        var tracking = tracker.track(first, now: 0)
        tracker.assignHelper(tracking.connection, helper)
        _ = tracker.setUpNAT(tracking.connection, .destination, range: nil, now: 0)
        _ = tracker.setUpNAT(tracking.connection, .source, range: NATRange(ip(192, 168, 100, 200)), now: 0)
        let reason = tracker.confirm(&tracking, now: 0)
        #expect(reason == .none)
        return tracking
    }

    @Test(arguments: [1, 2, 3, 4] as [UInt64], [false, true]) func sip(seed: UInt64, isTCP: Bool) {
        var random = RandomChoice(state: seed)
        let tracker = TestTracker(seed: seed)
        let words = [
            "INVITE sip:10.0.2.2:5060 SIP/2.0\r\n", "REGISTER sip:x@10.0.1.2 SIP/2.0\r\n", "SIP/2.0 200 OK\r\n", "ACK ", "BYE ", "\r\n", "\n", " \t", "Via: SIP/2.0/UDP 10.0.1.2:2000",
            "v: SIP/2.0/TCP 10.0.1.2:2000", ";maddr=10.0.1.2", ";received=10.0.2.2", ";rport=5060", "From: <sip:a@10.0.1.2:2000>", "t: sip:b@10.0.2.2", "Contact: ", "<sip:c@10.0.1.2:2000>",
            ",", ";expires=9", "Expires: 7", "CSeq: 1 INVITE\r\n", "CSeq: 1 REGISTER\r\n", "Content-Length: 9", "l: 99999999999", "v=0\r\n", "o=- 1 1 IN IP4 10.0.1.2\r\n", "c=IN IP4 10.0.1.2\r\n",
            "m=audio 20000 x\r\n", "m=video 65535 x\r\n", "m=image 1 x\r\n", "m=audio ", "IN IP4 ", "10.0.1.2", "1.2.3.4.5", "::1", "[", "]", ":", "sip:", "@", "999999999999999999999",
        ]
        for round in 0 ..< 400 {
            let port = UInt16(2000 + round % 8)
            if round < 8 {
                _ = connection(tracker, isTCP ? .tcp(client, port, server, 5060, TCPFlags.syn, sequence: 99) : .udp(client, port, server, 5060), .sip)
                if isTCP { _ = tracker.pass(.tcp(server, 5060, ip(192, 168, 100, 200), port, TCPFlags.synAck, sequence: 499, acknowledgement: 100), now: 0) }
            }
            var text = random.next() % 3 == 0 ? "" : words[Int(random.next() % 3)]
            for _ in 0 ..< Int(random.next() % 14) { text += words[Int(random.next() % UInt64(words.count))] }
            let payload = Array(text.utf8)
            let isAnswer = random.next() % 2 == 0
            let source = isAnswer ? server : client, destination = isAnswer ? ip(192, 168, 100, 200) : server
            let test: TestPacket = isTCP
                ? .tcp(source, isAnswer ? 5060 : port, destination, isAnswer ? port : 5060, TCPFlags.ack, sequence: isAnswer ? 500 : 100, acknowledgement: isAnswer ? 100 : 500, payload: payload)
                : .udp(source, isAnswer ? 5060 : port, destination, isAnswer ? port : 5060, payload: payload)
            help(tracker, test, room: random.next() % 4 == 0 ? 0 : 300)
        }
        #expect(tracker.expectationCount <= 8 * 11)
    }

    @Test(arguments: [1, 2, 3, 4] as [UInt64]) func pptp(seed: UInt64) {
        var random = RandomChoice(state: seed)
        let tracker = TestTracker(seed: seed)
        for round in 0 ..< 40 {
            let port = UInt16(3000 + round)
            let tracking = connection(tracker, .tcp(client, port, server, 1723, TCPFlags.syn, sequence: 99), .pptp)
            _ = tracker.pass(.tcp(server, 1723, ip(192, 168, 100, 200), port, TCPFlags.synAck, sequence: 499, acknowledgement: 100), now: 0)
            for _ in 0 ..< 60 {
                var payload: [UInt8] = [0, 156, 0, 1, 0x1a, 0x2b, 0x3c, 0x4d, 0, UInt8(random.next() % 17), 0, 0]
                for _ in 0 ..< Int(random.next() % 220) { payload.append(UInt8(random.next() % 3)) }
                if random.next() % 10 == 0 { payload.removeLast(Int(random.next() % UInt64(payload.count))) }
                let isAnswer = random.next() % 2 == 0
                help(tracker, isAnswer
                    ? .tcp(server, 1723, ip(192, 168, 100, 200), port, TCPFlags.ack, sequence: 500, acknowledgement: 100, payload: payload)
                    : .tcp(client, port, server, 1723, TCPFlags.ack, sequence: 100, acknowledgement: 500, payload: payload), room: 0)
            }
            #expect(tracker.expectationCount <= 2)
            tracker.remove(tracking.connection)
        }
        #expect(tracker.expectationCount == 0 && tracker.tracker.greKeys.count == 0)
    }

    @Test func shortestIPv6() {
        for (address, text) in [("fd00::1", "fd00::1"), ("::", "::"), ("1:0:0:2::", "1:0:0:2::"), ("0:0:1::", "0:0:1::"), ("1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"), ("::ffff:0:1", "::ffff:0:1"), ("1:0:2:0:3:0:4:0", "1:0:2:0:3:0:4:0")] {
            guard let parsed = IPAddress(address) else { continue }
            let written = ConnectionTracker.sipText(parsed, isBracketed: false)
            let memory = UnsafeMutableRawPointer.allocate(byteCount: 64, alignment: 8)
            defer { memory.deallocate() }
            written.copy(to: memory)
            let got = String(decoding: UnsafeRawBufferPointer(start: memory, count: written.count), as: UTF8.self)
            #expect(got == text)
        }
    }
}
