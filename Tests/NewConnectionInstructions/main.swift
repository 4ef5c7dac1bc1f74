// First packets of connections through the slow path, for callgrind to count: scripts/check-instructions. No DPDK.
//
//     new-connection-instructions RULES nat|no-nat PACKETS
//
// The table of connections is full nearly from the start, so that each connection takes another's place, as in
// `needletail bench new-connections`. Prints the packets forwarded. Counted are what SlowPath does for a batch
// (`anticipate...`), for a packet (`process`).
import Conntrack
import FlowCache
import Foundation
import Policy
import Routing
import Ruleset
import SlowPath
import Wire

let words = CommandLine.arguments
guard words.count == 4, let ruleCount = Int(words[1]), let wanted = Int(words[3]) else {
    FileHandle.standardError.write(Data("usage: new-connection-instructions RULES nat|no-nat PACKETS\n".utf8))
    exit(64)
}
func run(ruleCount: Int, wanted: Int) throws {
    let rules = BenchRules(count: ruleCount, translates: words[2] == "nat")
    let loaded = RulesetValue().applying(text: rules.linear)
    guard loaded.isAccepted else { fatalError("the ruleset does not load") }
    let stations: [UInt64] = [0x0200_0000_0a01, 0x0200_0000_0b01]
    var router = Router()
    for port in 0 ..< 2 {
        let index = PortIndex(port), net = UInt32(0xc0a8_0000 + port << 8)
        try router.interfaces.add(port: index, name: port == 0 ? "lan0" : "wan0", mac: EthernetAddress(rawValue: stations[port]))
        try router.addAddress(IPPrefix(address: IPAddress(ipv4: net | 1), length: 24), port: index)
        try router.neighbours.addPermanent(IPAddress(ipv4: net | 2), port: index, mac: EthernetAddress(rawValue: stations[port] | 2), now: 0)
        let gateway = NextHop(port: index, gateway: IPAddress(ipv4: net | 2))
        try router.addRoute(Route(destination: IPPrefix(address: IPAddress(ipv4: port == 0 ? 0x0a00_0000 : 0), length: port == 0 ? 8 : 0), nextHops: [gateway]))
    }
    var tracking = TrackerConfiguration()
    tracking.maximumConnections = 1024
    let layout = FlowCacheConfiguration(ipv4Capacity: 1024, ipv6Capacity: 1024, seed: 1)
    var settings = SlowPathSettings()
    settings.creditLists = max(65_536, ruleCount)
    var path = SlowPath(
        settings: settings, tracker: ConnectionTracker(configuration: tracking, seed: 1),
        flows: FlowCache(memory: .allocate(byteCount: FlowCache.memoryRequired(layout), alignment: 128), configuration: layout),
        ruleset: CompiledRuleset(loaded.value, interfaces: [Interface(name: "lan0", index: 1), Interface(name: "wan0", index: 2)], seed: 1),
        router: router, reassembler: Reassembler())

    let packets = rules.linearPackets.filter { !$0.isTCP && $0.sourcePort == 0 }
    let burst = 32
    let frames = UnsafeMutableRawPointer.allocate(byteCount: burst * 256, alignment: 64)
    var now: Timestamp = 1_000_000_000
    var serial = 0, forwarded = 0

    func frame(_ place: Int) -> PacketBuffer {
        let (round, index) = serial.quotientAndRemainder(dividingBy: packets.count)
        serial += 1
        let wanted = packets[index]
        let frame = PacketBuffer(start: frames + place * 256 + 64, length: 60, headroom: 64, tailroom: 128)
        frame.start.initializeMemory(as: UInt8.self, repeating: 0, count: 60)
        frame.storeMAC(EthernetAddress(rawValue: stations[0]), at: 0)
        frame.storeMAC(EthernetAddress(rawValue: stations[0] | 2), at: 6)
        frame.store16(EtherType.ipv4, at: 12)
        frame.store16(0x4500, at: 14)
        frame.store16(46, at: 16)
        frame.store16(0x4000, at: 20)
        frame.store8(64, at: 22)
        frame.store8(IPProtocol.udp, at: 23)
        frame.store32(wanted.source, at: 26)
        frame.store32(wanted.destination, at: 30)
        frame.store16(UInt16(1024 + round % 64_000), at: 34)
        frame.store16(wanted.destinationPort, at: 36)
        frame.store16(26, at: 38)
        Checksum.fillIPv4Header(frame.start + 14, length: 20)
        var parsed = ParsedPacket()
        _ = PacketParser.parse(frame, into: &parsed)
        Checksum.fillTransport(frame, parsed)
        return frame
    }

    while serial < wanted {
        let batch = (0 ..< burst).map { frame($0) }
        for packet in batch { path.anticipate(packet.start, length: packet.length, ingress: 0) }
        path.anticipateAll()
        for packet in batch where path.process(packet, ingress: 0, now: now).sendsInPlace { forwarded += 1 }
        now += 32_000
        path.withdrawRetired()
        _ = path.beginGracePeriod()
        path.endGracePeriod(now: now)
    }
    guard forwarded * 100 > wanted * 99 else {
        FileHandle.standardError.write(Data("new-connection-instructions: only \(forwarded) of \(wanted) packets were forwarded\n".utf8))
        exit(1)
    }
    print(serial)
}

try run(ruleCount: ruleCount, wanted: wanted)
