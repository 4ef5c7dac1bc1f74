// Helpers, expectations and timeout policies beyond what the recorded dialogues show: bounds and hostile payloads.
import Testing
import Wire

@testable import Conntrack

@Suite struct HelperTests {
    @Test func aPolicyReplacesTheConfiguredTimeouts() {
        let tracker = TestTracker(seed: 1)
        var timeouts = ConnectionTimeouts()
        let known = [timeouts.set("established", IPProtocol.tcp, seconds: 77), timeouts.set("syn_sent", IPProtocol.tcp, seconds: 5), timeouts.set("replied", IPProtocol.tcp, seconds: 5)]
        #expect(known == [true, true, false])
        #expect(tracker.definePolicy(3, timeouts))
        #expect(!tracker.definePolicy(256, timeouts) && !tracker.definePolicy(0, timeouts))
        let syn = TestPacket.tcp(client, 1, server, 80, TCPFlags.syn, sequence: 100)
        var tracking = tracker.track(syn, now: 0)
        tracker.assignPolicy(tracking.connection, 3)
        #expect(tracker.confirm(&tracking, now: 0) == .none)
        let connection = tracker.connection(tracking.connection)
        #expect(connection.pointee.deadline == 5 * second)
        _ = tracker.pass(.tcp(server, 80, client, 1, TCPFlags.synAck, sequence: 500, acknowledgement: 101), now: 0)
        _ = tracker.pass(.tcp(client, 1, server, 80, TCPFlags.ack, sequence: 101, acknowledgement: 501), now: 0)
        #expect(connection.pointee.deadline == 77 * second)
        // Other connections keep the configured ones.
        let other = tracker.establish(now: 0)
        #expect(tracker.connection(other).pointee.deadline == 432_000 * second)
        // A confirmed connection keeps what it has.
        tracker.assignPolicy(other, 3)
        #expect(tracker.connection(other).pointee.timeoutPolicy == 0)
    }

    @Test func anExpectedConnectionIsRelatedOnce() {
        let tracker = TestTracker(seed: 1)
        let first = TestPacket.udp(client, 1000, server, 5060)
        var tracking = tracker.track(first, now: 0)
        tracker.connection(tracking.connection).pointee.mark = 9
        #expect(tracker.addExpectation(tracking, transportProtocol: IPProtocol.tcp, port: 4000, seconds: 10, limit: 1, now: 0))
        // Not before its master is known.
        let early = tracker.track(.tcp(server, 7, client, 4000, TCPFlags.syn), now: 0)
        #expect(early.state == .new)
        tracker.release(early)
        #expect(tracker.addExpectation(tracking, transportProtocol: IPProtocol.tcp, port: 4000, seconds: 10, limit: 1, now: 0))
        #expect(tracker.confirm(&tracking, now: 0) == .none)
        let wrong = tracker.pass(.tcp(server, 7, client, 4001, TCPFlags.syn), now: second)
        #expect(wrong.state == .new)
        let expected = tracker.pass(.tcp(server, 7, client, 4000, TCPFlags.syn), now: second)
        #expect(expected.state == .related)
        #expect(tracker.connection(expected.connection).pointee.mark == 9)
        #expect(tracker.connection(expected.connection).pointee.status.contains(.expected))
        #expect(tracker.pass(.tcp(server, 8, client, 4000, TCPFlags.syn), now: second).state == .new)
    }

    @Test func expectationsDieWithTheirTimeAndTheirMaster() {
        let tracker = TestTracker(seed: 1)
        for (step, ending) in ["time", "master"].enumerated() {
            let port = UInt16(6000 + step)
            var tracking = tracker.track(.udp(client, port, server, 5060), now: 0)
            #expect(tracker.addExpectation(tracking, transportProtocol: IPProtocol.udp, port: port, seconds: 10, limit: 1, now: 0))
            #expect(tracker.confirm(&tracking, now: 0) == .none)
            if ending == "master" {
                tracker.remove(tracking.connection)
                #expect(tracker.expectationCount == 1)
            }
            let now = ending == "time" ? 10 * second : second
            #expect(tracker.pass(.udp(server, 1, client, port), now: now).state == .new)
        }
    }

    @Test func theOldestExpectationGivesWay() {
        let tracker = TestTracker(seed: 1)
        var tracking = tracker.track(.udp(client, 1, server, 5060), now: 0)
        for port in 7000..<7005 as Range<UInt16> {
            #expect(tracker.addExpectation(tracking, transportProtocol: IPProtocol.udp, port: port, seconds: 100, limit: 2, now: 0))
        }
        #expect(tracker.expectationCount == 2)
        #expect(tracker.confirm(&tracking, now: 0) == .none)
        #expect(tracker.pass(.udp(server, 1, client, 7002), now: 0).state == .new)
        #expect(tracker.pass(.udp(server, 2, client, 7004), now: 0).state == .related)
    }

    @Test func thePoolOfExpectationsIsBounded() {
        let tracker = TestTracker(seed: 1)
        var added = 0
        for port in 0..<1200 as Range<UInt16> {
            var tracking = tracker.track(.udp(client, port, server, 5060), now: 0)
            if tracker.addExpectation(tracking, transportProtocol: IPProtocol.udp, port: port, seconds: 100, limit: 1, now: 0) { added += 1 }
            #expect(tracker.confirm(&tracking, now: 0) == .none)
        }
        #expect(added == 1024 && tracker.expectationCount == 1024)
        tracker.removeAll()
        #expect(tracker.expectationCount == 0)
    }

    /// Payloads of every kind through the FTP helper, with NAT that lengthens them: no trap, checksums right, lengths true.
    @Test(arguments: [1, 2, 3, 4] as [UInt64]) func hostileFTP(seed: UInt64) {
        var random = RandomChoice(state: seed)
        let tracker = TestTracker(seed: seed)
        let words = ["PORT ", "EPRT ", "227 ", "229 ", "(", "|||", "|1|", "|2|", "10,0,1,2,", "10.0.1.2|", "fd00:1::2|", "::", ":", "1", "255", "99999999999", ",", "|", ")", "\r\n", "\n", "x", " "]
        for round in 0..<300 {
            let port = UInt16(2000 + round)
            var syn = tracker.track(.tcp(client, port, server, 21, TCPFlags.syn, sequence: 99), now: 0)
            tracker.assignHelper(syn.connection, .ftp)
            _ = tracker.setUpNAT(syn.connection, .destination, range: nil, now: 0)
            _ = tracker.setUpNAT(syn.connection, .source, range: NATRange(ip(192, 168, 100, 200)), now: 0)
            #expect(tracker.confirm(&syn, now: 0) == .none)
            _ = tracker.pass(.tcp(server, 21, ip(192, 168, 100, 200), port, TCPFlags.synAck, sequence: 499, acknowledgement: 100), now: 0)
            var sequences: (UInt32, UInt32) = (100, 500)
            for step in 0..<6 {
                let fromServer = random.next() % 2 == 0
                var text = step < 2 ? "hello\r\n" : ""
                if step >= 2 { for _ in 0..<Int(random.next() % 9) { text += words[Int(random.next() % UInt64(words.count))] } }
                let payload = Array(text.utf8)
                let test: TestPacket =
                    fromServer
                    ? .tcp(server, 21, ip(192, 168, 100, 200), port, TCPFlags.ack, sequence: sequences.1, acknowledgement: sequences.0, payload: payload)
                    : .tcp(client, port, server, 21, TCPFlags.ack, sequence: sequences.0, acknowledgement: sequences.1, payload: payload)
                let room = UnsafeMutableRawPointer.allocate(byteCount: 2048, alignment: 64)
                defer { room.deallocate() }
                room.copyMemory(from: test.packet.start, byteCount: test.packet.length)
                var packet = PacketBuffer(start: room, length: test.packet.length, tailroom: random.next() % 4 == 0 ? 0 : 100)
                var parsed = test.parsed
                let tracking = tracker.tracker.track(packet, parsed, now: 0)
                guard tracking.hasConnection else { continue }
                for manipulation in [NATManipulation.destination, .source] { #expect(tracker.translate(packet, &parsed, tracking, manipulation)) }
                if tracker.help(&packet, &parsed, tracking, now: 0) == .none {
                    var again = ParsedPacket()
                    #expect(PacketParser.parse(packet, into: &again) == .none)
                    #expect(Checksum.verifyTransport(packet, again))
                    #expect(Int(again.networkLength) + 14 == packet.length)
                }
                if fromServer { sequences.1 &+= UInt32(payload.count) } else { sequences.0 &+= UInt32(payload.count) }
            }
        }
        #expect(tracker.expectationCount <= 1024)
    }
}
