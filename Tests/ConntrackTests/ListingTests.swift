import Testing
import Wire

@testable import Conntrack

@Suite struct ListingTests {
    @Test func ofATranslatedConnection() {
        let tracker = TestTracker(seed: 1)
        let index = tracker.pass(.udp(client, 1234, server, 53), source: NATRange(outer), now: 0).connection
        #expect(
            tracker.connection(index).pointee.listing(now: second, counters: false)
                == "udp      17 29 src=10.0.1.2 dst=10.0.2.2 sport=1234 dport=53 [UNREPLIED] src=10.0.2.2 dst=192.0.2.1 sport=53 dport=1234 mark=0 use=1")
        #expect(
            tracker.connection(index).pointee.listing(now: second)
                == "udp      17 29 src=10.0.1.2 dst=10.0.2.2 sport=1234 dport=53 packets=1 bytes=31 [UNREPLIED] src=10.0.2.2 dst=192.0.2.1 sport=53 dport=1234 packets=0 bytes=0 mark=0 use=1")
    }

    @Test func offloadHidesStateAndTime() {
        let tracker = TestTracker(seed: 1)
        let index = tracker.establish(now: 0)
        let line = "src=10.0.1.2 dst=10.0.2.2 sport=1000 dport=80 src=10.0.2.2 dst=10.0.1.2 sport=80 dport=1000"
        #expect(tracker.connection(index).pointee.listing(now: 0, counters: false) == "tcp      6 432000 ESTABLISHED \(line) [ASSURED] mark=0 use=1")
        tracker.tracker.noteOffloaded(index, hardware: false)
        #expect(tracker.connection(index).pointee.listing(now: 0, counters: false) == "tcp      6 \(line) [OFFLOAD] mark=0 use=2")
        tracker.tracker.noteOffloaded(index, hardware: true)
        #expect(tracker.connection(index).pointee.listing(now: 0, counters: false) == "tcp      6 \(line) [HW_OFFLOAD] mark=0 use=2")
    }

    @Test func zonesAndAddresses() {
        let tracker = TestTracker(seed: 1)
        let test = TestPacket.icmp(ip6(2), ip6(0x100), type: 128)
        var tracking = tracker.track(test, zone: ConnectionZone(5), now: 0)
        _ = tracker.confirm(&tracking, now: 0)
        #expect(
            tracker.connection(tracking.connection).pointee.listing(now: 0, counters: false)
                == "icmpv6   58 30 src=fd00:1::2 dst=fd00:1::100 type=128 code=0 id=7 [UNREPLIED] src=fd00:1::100 dst=fd00:1::2 type=129 code=0 id=7 mark=0 zone=5 use=1")
        #expect(IPAddress(ipv6High: 0, low: 1).text == "::1")
        #expect(IPAddress(ipv6High: 0, low: 0).text == "::")
        #expect(IPAddress(ipv6High: 0x2001_0db8_0000_0001, low: 0x0001_0000_0000_0001).text == "2001:db8:0:1:1::1")
        #expect(IPAddress(ipv6High: 0x2001_0db8_0001_0002, low: 0x0003_0004_0005_0000).text == "2001:db8:1:2:3:4:5:0")
    }

    @Test func aHelperIsNamed() {
        let tracker = TestTracker(seed: 1)
        let index = tracker.establish(now: 0)
        tracker.connection(index).pointee.helper = ConnectionHelper.ftp.rawValue
        #expect(tracker.connection(index).pointee.listing(now: 0, counters: false).hasSuffix(" [ASSURED] mark=0 helper=ftp use=1"))
    }
}
