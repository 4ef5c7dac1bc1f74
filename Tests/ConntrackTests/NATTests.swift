// Bindings and the rewriting of packets: choice of ports and addresses, both directions, errors, checksums.
import Testing
import Wire

@testable import Conntrack

@Suite struct NATTests {
    @Test(arguments: [IPProtocol.tcp, IPProtocol.udp]) func thereAndBack(transport: UInt8) {
        let tracker = TestTracker(seed: 1)
        func make(_ a: IPAddress, _ p: UInt16, _ b: IPAddress, _ q: UInt16, _ flags: UInt8, _ s: UInt32, _ k: UInt32) -> TestPacket {
            transport == IPProtocol.tcp ? .tcp(a, p, b, q, flags, sequence: s, acknowledgement: k) : .udp(a, p, b, q)
        }
        let public8080 = NATRange(server).ports(80)
        let first = make(client, 1234, outer, 8080, TCPFlags.syn, 1, 0)
        #expect(tracker.pass(first, destination: public8080, source: NATRange(ip(198, 51, 100, 1)), now: 0).state == .new)
        #expect(first.parsed.sourceAddress == ip(198, 51, 100, 1) && first.parsed.destinationAddress == server)
        #expect(first.parsed.sourcePort == 1234 && first.parsed.destinationPort == 80)
        #expect(first.packet.load32(26) == ip(198, 51, 100, 1).ipv4 && first.packet.load16(36) == 80)
        #expect(first.checksumsAreRight)
        let answer = make(server, 80, ip(198, 51, 100, 1), 1234, TCPFlags.synAck, 9, 2)
        let tracking = tracker.pass(answer, now: 0)
        #expect(tracking.state == .established && tracking.isReply)
        #expect(answer.parsed.sourceAddress == outer && answer.parsed.sourcePort == 8080)
        #expect(answer.parsed.destinationAddress == client && answer.parsed.destinationPort == 1234)
        #expect(answer.checksumsAreRight)
    }

    @Test func ofIPv6() {
        let tracker = TestTracker(seed: 1)
        let first = TestPacket.udp(ip6(2), 1, ip6(9), 2)
        _ = tracker.pass(first, source: NATRange(ip6(77)), now: 0)
        #expect(first.parsed.sourceAddress == ip6(77) && first.checksumsAreRight)
        let answer = TestPacket.udp(ip6(9), 2, ip6(77), 1)
        #expect(tracker.pass(answer, now: 0).state == .established)
        #expect(answer.parsed.destinationAddress == ip6(2) && answer.checksumsAreRight)
        let echo = TestPacket.icmp(ip6(2), ip6(9), type: 128)
        _ = tracker.pass(echo, source: NATRange(ip6(77)), now: 0)
        #expect(echo.checksumsAreRight)
    }

    @Test func udpWithoutChecksumStaysWithout() {
        let tracker = TestTracker(seed: 1)
        let test = TestPacket.udp(client, 1, server, 2, fill: false)
        _ = tracker.pass(test, source: NATRange(outer).ports(999), now: 0)
        #expect(test.parsed.sourcePort == 999 && test.packet.load16(40) == 0)
    }

    @Test func aDamagedPacketStaysDamaged() {
        var configuration = TrackerConfiguration()
        configuration.verifiesChecksums = false
        let tracker = TestTracker(configuration: configuration, seed: 1)
        let test = TestPacket.udp(client, 1, server, 2)
        test.packet.store8(0xee, at: test.packet.length - 1)
        _ = tracker.pass(test, source: NATRange(outer), now: 0)
        #expect(test.parsed.sourceAddress == outer && !test.checksumsAreRight)
    }

    @Test func theSourcePortIsKeptWhileItIsFree() {
        let tracker = TestTracker(seed: 1)
        for (port, low, high) in [(53, 1, 511), (511, 1, 511), (512, 600, 1023), (1023, 600, 1023), (1024, 1024, 65535), (40000, 1024, 65535)] as [(UInt16, UInt16, UInt16)] {
            let one = TestPacket.udp(client, port, server, 9)
            let two = TestPacket.udp(ip(10, 0, 1, 3), port, server, 9)
            let three = TestPacket.udp(ip(10, 0, 1, 3), port, ip(10, 0, 2, 9), 9)
            for test in [one, two, three] { _ = tracker.pass(test, source: NATRange(outer), now: 0) }
            #expect(one.parsed.sourcePort == port)
            #expect(two.parsed.sourcePort != port && two.parsed.sourcePort >= low && two.parsed.sourcePort <= high)
            // The same client keeps its outer port towards another server.
            #expect(three.parsed.sourcePort == two.parsed.sourcePort)
        }
    }

    @Test func aNullBindingAvoidsAPortInUse() {
        let tracker = TestTracker(seed: 1)
        _ = tracker.pass(.udp(client, 5000, server, 9), source: NATRange(outer), now: 0)
        let own = TestPacket.udp(outer, 5000, server, 9)
        #expect(tracker.pass(own, now: 0).dropReason == .none)
        #expect(own.parsed.sourceAddress == outer && own.parsed.sourcePort != 5000)
        #expect(own.checksumsAreRight)
    }

    @Test func anExhaustedRangeDrops() {
        let tracker = TestTracker(seed: 1)
        let range = NATRange(outer).ports(600, 609)
        var ports: Set<UInt16> = []
        for host in 0..<10 as Range<UInt32> {
            let test = TestPacket.udp(ip(10, 0, 1, 10 + host), 77, server, 9)
            #expect(tracker.pass(test, source: range, now: 0).dropReason == .none)
            ports.insert(test.parsed.sourcePort)
        }
        #expect(ports == Set(600...609))
        #expect(tracker.pass(.udp(ip(10, 0, 1, 99), 77, server, 9), source: range, now: 0).dropReason == .natExhausted)
        #expect(tracker.count == 10 && tracker.statistics.natExhausted == 1)
        // Another server: the ports are free again.
        #expect(tracker.pass(.udp(ip(10, 0, 1, 99), 77, ip(10, 0, 2, 3), 9), source: range, now: 0).dropReason == .none)
    }

    /// The rest of a connection from its SYN/ACK to TIME_WAIT.
    private func close(_ tracker: TestTracker, _ host: IPAddress, port: UInt16, from start: UInt32) {
        for (fromServer, flags, s, a) in [
            (true, TCPFlags.synAck, 900, start + 1), (false, TCPFlags.ack, start + 1, 901), (false, TCPFlags.finAck, start + 1, 901), (true, TCPFlags.finAck, 901, start + 2),
            (false, TCPFlags.ack, start + 2, 902),
        ] as [(Bool, UInt8, UInt32, UInt32)] {
            let test: TestPacket =
                fromServer ? .tcp(server, 80, outer, port, flags, sequence: s, acknowledgement: a) : .tcp(host, 5, server, 80, flags, sequence: s, acknowledgement: a)
            #expect(tracker.pass(test, now: 0).state == .established)
        }
    }

    @Test func aRangeOfOnePortIsTakenWithoutASearch() {
        let tracker = TestTracker(seed: 1)
        let range = NATRange(outer).ports(700)
        #expect(tracker.pass(.tcp(client, 5, server, 80, TCPFlags.syn, sequence: 1000), source: range, now: 0).dropReason == .none)
        close(tracker, client, port: 700, from: 1000)
        #expect(tracker.connection(0).pointee.tcpState == .timeWait)
        #expect(tracker.pass(.tcp(ip(10, 0, 1, 3), 5, server, 80, TCPFlags.syn, sequence: 5000), source: range, now: 0).dropReason == .none)
    }

    @Test func anExhaustedRangeTakesAPortFromAClosedConnection() {
        let tracker = TestTracker(seed: 2)
        let range = NATRange(outer).ports(700, 701)
        for host in [client, ip(10, 0, 1, 3)] {
            let syn = TestPacket.tcp(host, 5, server, 80, TCPFlags.syn, sequence: 1000)
            #expect(tracker.pass(syn, source: range, now: 0).dropReason == .none)
            close(tracker, host, port: syn.parsed.sourcePort, from: 1000)
        }
        // Behind the old sequence numbers: no. Beyond them: a closed one makes room.
        #expect(tracker.pass(.tcp(ip(10, 0, 1, 4), 5, server, 80, TCPFlags.syn, sequence: 10), source: range, now: 0).dropReason == .natExhausted)
        #expect(tracker.count == 2)
        #expect(tracker.pass(.tcp(ip(10, 0, 1, 4), 5, server, 80, TCPFlags.syn, sequence: 5000), source: range, now: 0).dropReason == .none)
        #expect(tracker.count == 2)
    }

    @Test func randomPortsDifferAndRepeatWithTheSeed() {
        func run(_ seed: UInt64) -> [UInt16] {
            let tracker = TestTracker(seed: seed)
            var range = NATRange(outer)
            range.flags.insert(.fullyRandom)
            return (1...5).map { index in
                let test = TestPacket.udp(client, 2000, ip(10, 0, 2, UInt32(index)), 9)
                _ = tracker.pass(test, source: range, now: 0)
                return test.parsed.sourcePort
            }
        }
        #expect(run(1) == run(1))
        #expect(run(1) != run(2))
        #expect(Set(run(1)).count == 5)
    }

    @Test func aPrefixChangesTheNetworkPartOnly() {
        let tracker = TestTracker(seed: 1)
        var range = NATRange(ip(192, 0, 2, 0), ip(192, 0, 2, 255))
        range.flags.insert(.prefix)
        let test = TestPacket.udp(ip(10, 0, 1, 77), 1, server, 2)
        _ = tracker.pass(test, source: range, now: 0)
        #expect(test.parsed.sourceAddress == ip(192, 0, 2, 77))
    }

    @Test func aRangeOfTheWrongFamilyIsRefused() {
        let tracker = TestTracker(seed: 1)
        let test = TestPacket.udp(client, 1, server, 2)
        let tracking = tracker.track(test, now: 0)
        #expect(!tracker.setUpNAT(tracking.connection, .source, range: NATRange(ip6(1)), now: 0))
    }

    @Test func identifiersOfEchoesStandInForPorts() {
        let tracker = TestTracker(seed: 1)
        let one = TestPacket.icmp(client, server, type: 8)
        let two = TestPacket.icmp(ip(10, 0, 1, 3), server, type: 8)
        for test in [one, two] { _ = tracker.pass(test, source: NATRange(outer), now: 0) }
        #expect(one.parsed.icmpIdentifier == 7 && two.parsed.icmpIdentifier != 7)
        #expect(two.checksumsAreRight)
        let answer = TestPacket.icmp(server, outer, type: 0, identifier: two.parsed.icmpIdentifier)
        #expect(tracker.pass(answer, now: 0).state == .established)
        #expect(answer.parsed.destinationAddress == ip(10, 0, 1, 3) && answer.packet.load16(38) == 7 && answer.checksumsAreRight)
    }

    @Test(arguments: [8, 20, 40]) func anErrorIsTranslatedInsideAndOut(quotedTransport: Int) {
        let tracker = TestTracker(seed: 1)
        let first = TestPacket.tcp(client, 1234, server, 80, TCPFlags.syn, options: Array(repeating: 1, count: 20))
        let before = first.network
        let index = tracker.pass(first, source: NATRange(outer).ports(999), now: 0).connection
        let quoted = Array(first.network.prefix(20 + quotedTransport))
        let error = TestPacket.icmp(ip(10, 0, 2, 254), outer, type: 11, body: quoted)
        let tracking = tracker.pass(error, now: 0)
        #expect(tracking.state == .related && tracking.isRelatedError && tracking.connection == index && tracking.isReply)
        #expect(error.parsed.destinationAddress == client && error.checksumsAreRight)
        // What the client reads there is its own packet, to the byte.
        #expect(Array(error.network.suffix(20 + quotedTransport)) == Array(before.prefix(20 + quotedTransport)))
    }

    @Test func anErrorToSomebodyElseIsInvalid() {
        let tracker = TestTracker(seed: 1)
        let first = TestPacket.udp(client, 1, server, 2)
        _ = tracker.pass(first, source: NATRange(outer), now: 0)
        let error = TestPacket.icmp(server, ip(192, 0, 2, 99), type: 3, body: first.network)
        #expect(tracker.pass(error, now: 0).invalidReason == .icmpErrorMisaddressed)
        let stray = TestPacket.icmp(server, outer, type: 3, body: TestPacket.udp(outer, 7, server, 2).network)
        #expect(tracker.pass(stray, now: 0).invalidReason == .icmpErrorUnrelated)
        let short = TestPacket.icmp(server, outer, type: 3, body: Array(first.network.prefix(22)))
        #expect(tracker.pass(short, now: 0).invalidReason == .icmpErrorTruncated)
    }

    @Test func aRedirectAboutATranslatedConnectionIsDropped() {
        let tracker = TestTracker(seed: 1)
        let first = TestPacket.udp(client, 1, server, 2)
        _ = tracker.pass(first, source: NATRange(outer), now: 0)
        #expect(tracker.pass(.icmp(server, outer, type: 5, body: first.network), now: 0).dropReason == .natExhausted)
    }

    @Test func masqueradeEndsWhenTheConnectionMoves() {
        let tracker = TestTracker(seed: 1)
        let test = TestPacket.udp(client, 1, server, 2)
        var tracking = tracker.track(test, now: 0)
        #expect(tracker.setUpNAT(tracking.connection, .source, range: NATRange(outer), masqueradeInterface: 4, now: 0))
        _ = tracker.confirm(&tracking, now: 0)
        #expect(!tracker.masqueradeMoved(tracking, to: 4))
        #expect(tracker.masqueradeMoved(tracking, to: 5))
        #expect(tracker.count == 0)
    }

    /// Linux drops what was given the address that went, of the interface that it went from (inet_cmp), and nothing else.
    @Test func masqueradeEndsWithItsAddress() {
        let tracker = TestTracker(seed: 1)
        for (port, interface) in [(UInt16(1), UInt32(4)), (2, 4), (3, 5), (4, 0)] {
            var tracking = tracker.track(TestPacket.udp(client, port, server, 2), now: 0)
            #expect(tracker.setUpNAT(tracking.connection, .source, range: NATRange(port == 2 ? IPAddress(ipv4: 0xc000_0299) : outer), masqueradeInterface: interface, now: 0))
            _ = tracker.confirm(&tracking, now: 0)
        }
        var cursor = 0, rounds = 1
        while !tracker.dropMasqueraded(outer, interface: 4, cursor: &cursor, budget: 1) { rounds += 1 }
        #expect(rounds == 4 && tracker.count == 3)
        let gone = tracker.takeRetired()
        #expect(gone.map { tracker.connection($0).pointee.original.sourcePort } == 1 && tracker.takeRetired() == nil)
    }
}
