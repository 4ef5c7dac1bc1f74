// Messages against the bytes that Linux 6.18 sent in answer to the same frames (recorded in a network namespace; the
// identification and flow label that Linux chose are given to the builder).
import Testing
import Wire

@Suite struct BuilderTests {
    let memory = GuardedMemory(capacity: 70000)
    let room = UnsafeMutableRawPointer.allocate(byteCount: 4096, alignment: 64)
    var target: PacketBuffer { PacketBuffer(start: room, length: 0, tailroom: 4096) }
    let link = LinkHeader(destination: EthernetAddress("02:00:00:00:0a:0a")!, source: EthernetAddress("02:00:00:00:00:a0")!)

    func parsed(_ frame: [UInt8]) -> (PacketBuffer, ParsedPacket) {
        let packet = memory.place(frame)
        var parsed = ParsedPacket()
        let reason = PacketParser.parse(packet, into: &parsed)
        #expect(reason == .none)
        return (packet, parsed)
    }
    func built(_ length: Int) -> String { hex(Array(UnsafeRawBufferPointer(start: room, count: length))) }

    // MARK: - TCP resets

    @Test(arguments: [
        // reject with tcp reset: SYN, ACK, ACK with data, FIN with data, no flags, SYN and FIN with data
        ("0200000000a0020000000a0a0800455b0028000700004006636b0a0001020a00020200050016000003e80000022b5002004d92640000",
         "020000000a0a0200000000a008004500002800004000400623cd0a0002020a0001020016000500000000000003e95014000094c90000"),
        ("0200000000a0020000000a0a0800455b0028000700004006636b0a0001020a00020200050016000003e80000022b5010004d92560000",
         "020000000a0a0200000000a008004500002800004000400623cd0a0002020a000102001600050000022b000000005004000096970000"),
        ("0200000000a0020000000a0a0800455b002d00070000400663660a0001020a00020200050016000003e80000022b5010004d4e7f000068656c6c6f",
         "020000000a0a0200000000a008004500002800004000400623cd0a0002020a000102001600050000022b000000005004000096970000"),
        ("0200000000a0020000000a0a0800455b002a00070000400663690a0001020a00020200050016000003e80000022b5001004d19ea00007879",
         "020000000a0a0200000000a008004500002800004000400623cd0a0002020a0001020016000500000000000003eb5014000094c70000"),
        ("0200000000a0020000000a0a0800455b0028000700004006636b0a0001020a00020200050016000003e80000022b5000004d92660000",
         "020000000a0a0200000000a008004500002800004000400623cd0a0002020a0001020016000500000000000003e85014000094ca0000"),
        ("0200000000a0020000000a0a0800455b002b00070000400663680a0001020a00020200050016000003e80000022b5003004dcdfd0000616263",
         "020000000a0a0200000000a008004500002800004000400623cd0a0002020a0001020016000500000000000003ed5014000094c50000"),
        ("0200000000a0020000000a0a86dd6b91234500140640fd000001000000000000000000000002fd00000200000000000000000000000200050016000003e80000022b5002004daf5f0000",
         "020000000a0a0200000000a086dd6000000000140640fd000002000000000000000000000002fd0000010000000000000000000000020016000500000000000003e950140000b1c40000"),
        // behind a destination options header
        ("0200000000a0020000000a0a86dd60000000001c3c40fd000001000000000000000000000002fd000002000000000000000000000002060001040000000000050016000003e80000022b5002004daf5f0000",
         "020000000a0a0200000000a086dd6000000000140640fd000002000000000000000000000002fd0000010000000000000000000000020016000500000000000003e950140000b1c40000"),
    ])
    func rejectReset(input: String, output: String) {
        let (packet, p) = parsed(bytes(input))
        #expect(TCPReset.mayAnswer(packet, p, UpperLayer(packet, p)!, isLinkBroadcast: false))
        #expect(built(TCPReset.build(into: target, answering: packet, p, UpperLayer(packet, p)!, style: .reject, link: link)) == output)
    }

    @Test(arguments: [
        // closed port: the segment's DSCP, without ECN; for IPv6 a flow label
        ("0200000000a0020000000a0a0800455b0028000700004006646c0a0001020a00010100050063000003e8000000005002004d95430000", UInt32(0),
         "020000000a0a0200000000a008004558002800004000400624760a0001010a0001020063000500000000000003e950140000957d0000"),
        ("0200000000a0020000000a0a86dd6b91234500140640fd000001000000000000000000000002fd00000100000000000000000000000100050063000003e80000000050022000918c0000", 0xcef06,
         "020000000a0a0200000000a086dd6b8cef0600140640fd000001000000000000000000000001fd0000010000000000000000000000020063000500000000000003e950140000b1790000"),
        ("0200000000a0020000000a0a86dd6000000000160640fd000001000000000000000000000002fd00000100000000000000000000000100050063000003e80000000950102000290a00006869", 0xcef06,
         "020000000a0a0200000000a086dd600cef0600140640fd000001000000000000000000000001fd0000010000000000000000000000020063000500000009000000005004" + "0000b5690000"),
    ])
    func closedPortReset(input: String, flowLabel: UInt32, output: String) {
        let (packet, p) = parsed(bytes(input))
        #expect(built(TCPReset.build(into: target, answering: packet, p, UpperLayer(packet, p)!, style: .closedPort(flowLabel: flowLabel), link: link)) == output)
    }

    @Test func noResetForResetsAndDamage() {
        let reset = bytes("0200000000a0020000000a0a0800455b0028000700004006636b0a0001020a00020200050016000003e80000022b5004004d92620000")
        let (a, pa) = parsed(reset)
        #expect(!TCPReset.mayAnswer(a, pa, UpperLayer(a, pa)!, isLinkBroadcast: false))
        let wrongSum = bytes("0200000000a0020000000a0a08004500002800070000400663c60a0001020a0002020005001600000000000000005002200000010000")
        let (b, pb) = parsed(wrongSum)
        #expect(!TCPReset.mayAnswer(b, pb, UpperLayer(b, pb)!, isLinkBroadcast: false))
        let (c, pc) = parsed(bytes("0200000000a0020000000a0a0800455b0028000700004006636b0a0001020a00020200050016000003e80000022b5002004d92640000"))
        #expect(TCPReset.mayAnswer(c, pc, UpperLayer(c, pc)!, isLinkBroadcast: false) && !TCPReset.mayAnswer(c, pc, UpperLayer(c, pc)!, isLinkBroadcast: true))
        let (d, pd) = parsed(ipv4Frame(6, tcpSYN, fragment: 1))
        #expect(UpperLayer(d, pd) == nil)
    }

    // MARK: - ICMP errors

    @Test(arguments: [
        (ICMPError.portUnreachable(.ipv4), "10.0.1.1", UInt16(0xdf8d), UInt32(0),
         "0200000000a0020000000a0a0800455b003000070000401164590a0001020a000101045708ae001c27fa7878787878787878787878787878787878787878",
         "020000000a0a0200000000a0080045da004cdf8d0000400184470a0001010a0001020303132d00000000455b003000070000401164590a0001020a000101045708ae001c27fa7878787878787878787878787878787878787878"),
        (.portUnreachable(.ipv6), "fd00:1::1", 0, 0x9ac86,
         "0200000000a0020000000a0a86dd6b912345001c1140fd000001000000000000000000000002fd000001000000000000000000000001045708ae001c43f67878787878787878787878787878787878787878",
         "020000000a0a0200000000a086dd6009ac86004c3a40fd000001000000000000000000000001fd00000100000000000000000000000201046469000000006b912345001c1140fd000001000000000000000000000002fd000001000000000000000000000001045708ae001c43f67878787878787878787878787878787878787878"),
        (.protocolUnreachable(), "10.0.1.1", 0xdfb9, 0,
         "0200000000a0020000000a0a08004500001900070000406364790a0001020a00010168656c6c6f",
         "020000000a0a0200000000a0080045c00035dfb900004001844c0a0001010a0001020302b92b000000004500001900070000406364790a0001020a00010168656c6c6f"),
        (.parameterProblem(ipv6: 6, code: 1), "fd00:1::1", 0, 0xbf262,
         "0200000000a0020000000a0a86dd6000000000056340fd000001000000000000000000000002fd00000100000000000000000000000168656c6c6f",
         "020000000a0a0200000000a086dd600bf26200353a40fd000001000000000000000000000001fd00000100000000000000000000000204010064000000066000000000056340fd000001000000000000000000000002fd00000100000000000000000000000168656c6c6f"),
        (.timeExceeded(.ipv4), "10.0.1.1", 0xdfdc, 0,
         "0200000000a0020000000a0a0800455b0030000700000111a2580a0001020a000202045708ae001c26f97878787878787878787878787878787878787878",
         "020000000a0a0200000000a0080045da004cdfdc0000400183f80a0001010a0001020b000c3100000000455b0030000700000111a2580a0001020a000202045708ae001c26f97878787878787878787878787878787878787878"),
        (.timeExceeded(.ipv6), "fd00:1::1", 0, 0x612e0,
         "0200000000a0020000000a0a86dd6b900000001c1101fd000001000000000000000000000002fd000002000000000000000000000002045708ae001c43f47878787878787878787878787878787878787878",
         "020000000a0a0200000000a086dd600612e0004c3a40fd000001000000000000000000000001fd000001000000000000000000000002030085f2000000006b900000001c1101fd000001000000000000000000000002fd000002000000000000000000000002045708ae001c43f47878787878787878787878787878787878787878"),
        (.parameterProblem(ipv4: 20), "10.0.1.1", 0x8948, 0,
         "0200000000a0020000000a0a08004600002200070000091117c10a0001020a0002028200000000010007000a00007878",
         "020000000a0a0200000000a0080045c0003e894800004001dab40a0001010a0001020c006775140000004600002200070000091117c10a0001020a0002028200000000010007000a00007878"),
        (.parameterProblem(ipv6: 42, code: 2), "fd00:1::1", 0, 0x7aaa7,
         "0200000000a0020000000a0a86dd6000000000120040fd000001000000000000000000000002fd00000200000000000000000000000211009e040000000000010007000aa4a47878",
         "020000000a0a0200000000a086dd6007aaa700423a40fd000001000000000000000000000001fd0000010000000000000000000000020402dac10000002a6000000000120040fd000001000000000000000000000002fd00000200000000000000000000000211009e040000000000010007000aa4a47878"),
    ] as [(ICMPError, String, UInt16, UInt32, String, String)])
    func errors(error: ICMPError, source: String, identification: UInt16, flowLabel: UInt32, input: String, output: String) {
        let (packet, p) = parsed(bytes(input))
        #expect(error.mayAnswer(packet, p, isLinkBroadcast: false))
        #expect(built(error.build(into: target, about: packet, p, source: IPAddress(source)!, identification: identification, flowLabel: flowLabel, link: link)) == output)
    }

    /// Linux quotes up to 576 bytes for IPv4 and 1280 for IPv6, headers included; padding is never quoted.
    @Test func quoteLength() {
        let (a, pa) = parsed(ipv4Frame(17, udp([UInt8](repeating: 1, count: 1200))))
        #expect(ICMPError.timeExceeded(.ipv4).build(into: target, about: a, pa, source: IPAddress("10.0.0.1")!, identification: 0, flowLabel: 0, link: link) == 14 + 576)
        let (b, pb) = parsed(ipv6Frame(17, udp([UInt8](repeating: 1, count: 1400))))
        #expect(ICMPError.timeExceeded(.ipv6).build(into: target, about: b, pb, source: IPAddress("fd00::1")!, identification: 0, flowLabel: 0, link: link) == 14 + 1280)
        let (c, pc) = parsed(ipv4Frame(17, udp([])) + [UInt8](repeating: 9, count: 100))
        #expect(ICMPError.timeExceeded(.ipv4).build(into: target, about: c, pc, source: IPAddress("10.0.0.1")!, identification: 0, flowLabel: 0, link: link) == 14 + 28 + 28)
        let small = PacketBuffer(start: room, length: 0, tailroom: 14 + 28 + 27)
        #expect(ICMPError.timeExceeded(.ipv4).build(into: small, about: c, pc, source: IPAddress("10.0.0.1")!, identification: 0, flowLabel: 0, link: link) == 0)
        #expect(ICMPError.timeExceeded(.ipv4).build(into: target, about: c, pc, source: IPAddress("fd00::1")!, identification: 0, flowLabel: 0, link: link) == 0)
    }

    @Test func vlanTagsOfAnswers() {
        let (packet, p) = parsed(ipv4Frame(6, tcpSYN))
        var tagged = link
        tagged.vlanCount = 2
        tagged.outerTag = 100
        tagged.innerTag = 0xa0c8
        let length = TCPReset.build(into: target, answering: packet, p, UpperLayer(packet, p)!, style: .reject, link: tagged)
        #expect(length == 62 && built(length).dropFirst(24).prefix(20) == "88a80064" + "8100a0c8" + "0800")
        let (_, answer) = parsed(Array(UnsafeRawBufferPointer(start: room, count: length)))
        #expect(answer.vlanCount == 2 && answer.innerTag == 0xa0c8 && answer.tcpFlags == TCPFlags.rst | TCPFlags.ack)
    }

    @Test(arguments: [
        ("later fragment", ipv4Frame(17, udp(), fragment: 1), false), ("first fragment", ipv4Frame(17, udp(), fragment: 0x2000), true),
        ("ICMP echo", ipv4Frame(1, bytes("0800 0000 0001 0001")), true), ("ICMP unreachable", ipv4Frame(1, bytes("0301 0000 0000 0000")), false),
        ("ICMP redirect", ipv4Frame(1, bytes("0501 0000 0000 0000")), false), ("ICMP type 19", ipv4Frame(1, bytes("1300 0000 0000 0000")), false),
        ("empty ICMP", ipv4Frame(1, []), false), ("source unspecified", ipv4Frame(17, udp(), source: 0), false), ("source multicast", ipv4Frame(17, udp(), source: 0xe000_0001), false),
        ("source broadcast", ipv4Frame(17, udp(), source: 0xffff_ffff), false), ("destination multicast", ipv4Frame(17, udp(), destination: 0xe000_0005), false),
        ("destination broadcast", ipv4Frame(17, udp(), destination: 0xffff_ffff), false), ("IPv6", ipv6Frame(17, udp()), true),
        ("ICMPv6 echo", ipv6Frame(58, bytes("8000 0000 0000 0000")), true), ("ICMPv6 error", ipv6Frame(58, bytes("0304 0000 0000 0000")), false),
        ("empty ICMPv6", ipv6Frame(58, []), false), ("IPv6 source unspecified", ipv6Frame(17, udp(), source: [UInt8](repeating: 0, count: 16)), false),
        ("IPv6 destination multicast", ipv6Frame(17, udp(), destination: bytes("ff0e0000000000000000000000000001")), false),
        ("IPv6 later fragment", ipv6Frame(44, bytes("1100 0008 00000001") + udp()), true),
    ] as [(String, [UInt8], Bool)])
    func eligibility(name: String, frame: [UInt8], may: Bool) {
        let (packet, p) = parsed(frame)
        let error = ICMPError.timeExceeded(p.family!)
        #expect(error.mayAnswer(packet, p, isLinkBroadcast: false) == may, "\(name)")
        #expect(!error.mayAnswer(packet, p, isLinkBroadcast: true), "\(name)")
    }

    @Test func multicastMayBeToldOfItsSizeAndOptions() {
        let group = bytes("ff0e0000000000000000000000000001")
        let (packet, p) = parsed(ipv6Frame(17, udp(), destination: group))
        #expect(ICMPError.packetTooBig(.ipv6, mtu: 1280).mayAnswer(packet, p, isLinkBroadcast: true))
        for (option, may) in [("9e", true), ("de", false)] {
            let (packet, p) = parsed(ipv6Frame(0, bytes("1100 \(option)04 0000 0000") + udp(), destination: group))
            #expect(ICMPError.parameterProblem(ipv6: 42, code: 2).mayAnswer(packet, p, isLinkBroadcast: true) == may)
        }
    }

    // MARK: - Echo replies

    @Test(arguments: [
        ("0200000000a0020000000a0a0800455b002000074000400124790a0001020a000101080019230009000370696e67", "10.0.1.1", UInt16(0xdfd1), UInt32(0),
         "020000000a0a0200000000a00800455b0020dfd10000400184ae0a0001010a000102000021230009000370696e67"),
        ("0200000000a0020000000a0a86dd6b912345000c3a03fd000001000000000000000000000002fd0000010000000000000000000000018000a6d50009000370696e67", "fd00:1::1", 0, 0x23aa8,
         "020000000a0a0200000000a086dd6b923aa8000c3a40fd000001000000000000000000000001fd0000010000000000000000000000028100a5d50009000370696e67"),
    ])
    func echo(input: String, source: String, identification: UInt16, flowLabel: UInt32, output: String) {
        let (packet, p) = parsed(bytes(input))
        #expect(EchoReply.isRequest(packet, p))
        #expect(built(EchoReply.build(into: target, answering: packet, p, source: IPAddress(source)!, identification: identification, flowLabel: flowLabel, link: link)) == output)
        packet.store8(0x55, at: packet.length - 1)
        #expect(!EchoReply.isRequest(packet, p))
    }

    @Test func timestamp() {
        let (packet, p) = parsed(bytes("0200000000a0020000000a0a08004500002800070000400164cc0a0001020a0001010d00f2f200090003000000010000000000000000"))
        #expect(TimestampReply.isRequest(packet, p))
        #expect(built(TimestampReply.build(into: target, answering: packet, p, millisecondsOfDay: 0x03da_6c54, identification: 0xe005, link: link))
            == "020000000a0a0200000000a0080045000028e0050000400184cd0a0001010a0001020e001196000900030000000103da6c5403da6c54")
        packet.store8(1, at: packet.length - 1)
        #expect(!TimestampReply.isRequest(packet, p))
    }

    // MARK: - ARP and neighbour discovery

    @Test func arp() {
        let request = bytes("ffffffffffff020000000a7708060001080006040001020000000a770a00014d0000000000000a000101")
        let (packet, p) = parsed(request)
        let message = ARPMessage.read(packet, p)
        #expect(message?.operation == ARPMessage.request && message?.senderAddress == IPAddress("10.0.1.77")! && message?.targetAddress == IPAddress("10.0.1.1")!)
        let own = EthernetAddress("02:00:00:00:00:a0")!
        let reply = ARPMessage(operation: ARPMessage.reply, senderMAC: own, senderAddress: message!.targetAddress, targetMAC: message!.senderMAC, targetAddress: message!.senderAddress)
        #expect(built(reply.build(into: target, link: LinkHeader(destination: message!.senderMAC, source: own)))
            == "020000000a770200000000a0080600010800060400020200000000a00a000101020000000a770a00014d")
        for (offset, value) in [(15, UInt8(7)), (17, 1), (18, 8), (19, 16), (21, 3), (21, 0)] {
            var broken = request
            broken[offset] = value
            let (packet, p) = parsed(broken)
            #expect(ARPMessage.read(packet, p) == nil, "byte \(offset)")
        }
        for length in 14..<request.count {
            let (packet, p) = parsed(Array(request[..<length]))
            #expect(ARPMessage.read(packet, p) == nil)
        }
    }

    static let solicitation = bytes("3333ff000001020000000a7786dd6000000000203afffd000001000000000000000000000077ff0200000000000000000001ff000001870072ab00000000fd0000010000000000000000000000010101020000000a77")

    func read(_ frame: [UInt8], fix: Bool = true) -> (DropReason, NeighbourMessage) {
        let (packet, p) = parsed(frame)
        if fix { Checksum.fillTransport(packet, p) }
        var message = NeighbourMessage(type: 0, source: p.sourceAddress, destination: p.destinationAddress, target: p.destinationAddress)
        let reason = NeighbourMessage.read(packet, p, into: &message)
        return (reason, message)
    }

    @Test func neighbourDiscovery() {
        let (reason, message) = read(Self.solicitation, fix: false)
        #expect(reason == .none && message.type == NeighbourMessage.solicitation && message.target == IPAddress("fd00:1::1")! && message.linkAddress == EthernetAddress("02:00:00:00:0a:77")!)
        #expect(NeighbourMessage.solicitedNode(message.target) == message.destination && NeighbourMessage.groupMAC(message.destination) == EthernetAddress("33:33:ff:00:00:01")!)
        let own = EthernetAddress("02:00:00:00:00:a0")!
        var answer = NeighbourMessage(type: NeighbourMessage.advertisement, source: message.target, destination: message.source, target: message.target, linkAddress: own)
        answer.isRouter = true
        answer.isSolicited = true
        answer.overrides = true
        #expect(built(answer.build(into: target, link: LinkHeader(destination: message.linkAddress!, source: own)))
            == "020000000a770200000000a086dd6000000000203afffd000001000000000000000000000001fd00000100000000000000000000007788009b84e0000000fd00000100000000000000000000000102010200000000a0")
        let asked = NeighbourMessage(type: NeighbourMessage.solicitation, source: IPAddress("fd00:1::1")!, destination: IPAddress("ff02::1:ff00:7a")!, target: IPAddress("fd00:1::7a")!, linkAddress: own)
        #expect(built(asked.build(into: target, link: LinkHeader(destination: EthernetAddress("33:33:ff:00:00:7a")!, source: own)))
            == "3333ff00007a0200000000a086dd6000000000203afffd000001000000000000000000000001ff0200000000000000000001ff00007a87007c0600000000fd00000100000000000000000000007a01010200000000a0")
    }

    @Test func malformedNeighbourDiscovery() {
        func changed(_ changes: [(Int, UInt8)]) -> [UInt8] {
            var frame = Self.solicitation
            for (offset, value) in changes { frame[offset] = value }
            return frame
        }
        #expect(read(changed([(21, 254)])).0 == .ndBadHopLimit)
        #expect(read(changed([(55, 1)])).0 == .ndMalformed, "code")
        #expect(read(changed([(57, 0)]), fix: false).0 == .ndMalformed, "checksum")
        #expect(read(changed([(62, 0xff)])).0 == .ndMalformed, "multicast target")
        #expect(read(changed([(79, 0)])).0 == .ndMalformed, "option of no length")
        #expect(read(changed([(79, 2)])).0 == .ndMalformed, "option beyond the packet")
        #expect(read(changed((22..<38).map { ($0, 0) })).0 == .ndMalformed, "duplicate detection with a link address")
        #expect(read(changed([(78, 14)])).0 == .none, "unknown option")
        var short = Array(Self.solicitation[..<77])
        short[19] = 23
        #expect(read(short).0 == .ndMalformed, "23 bytes")
        var bare = Array(Self.solicitation[..<78])
        bare[19] = 24
        #expect(read(bare).0 == .none && read(bare).1.linkAddress == nil)
        bare[54] = 136
        bare[58] = 0x40
        #expect(read(bare).0 == .ndMalformed, "solicited advertisement to a group")
    }

    /// Damaged messages: nothing is read beyond the frame.
    @Test func mutations() {
        var random = SplitMix64(seed: 6)
        let seeds = [Self.solicitation, bytes("ffffffffffff020000000a7708060001080006040001020000000a770a00014d0000000000000a000101")]
        for _ in 0..<fuzzRounds(10000) {
            let frame = mutate(seeds.randomElement(using: &random)!, &random)
            let packet = memory.place(frame)
            var p = ParsedPacket()
            guard PacketParser.parse(packet, into: &p) == .none else { continue }
            if p.etherType == EtherType.arp { _ = ARPMessage.read(packet, p) }
            guard p.family != nil else { continue }
            if Bool.random(using: &random) { Checksum.fillTransport(packet, p) }
            var message = NeighbourMessage(type: 0, source: p.sourceAddress, destination: p.destinationAddress, target: p.destinationAddress)
            _ = NeighbourMessage.read(packet, p, into: &message)
            var error: ICMPError?
            _ = IPv6Options.check(packet, p, error: &error)
        }
    }

    // MARK: - Hop-by-hop options

    /// Each as Linux 6.18 took it: passed, dropped, or answered with a parameter problem (code, pointer).
    @Test(arguments: [
        ("0104 0000 0000", DropReason.none, nil), ("0104 0000 0100", .ipv6BadOption, nil), ("0000 0000 0000", .none, nil), ("010c" + String(repeating: "00", count: 12), .ipv6BadOption, nil),
        ("0502 0000 0100", .none, nil), ("0503 0000 0000", .ipv6BadOption, nil), ("1e04 0000 0000", .none, nil), ("5e04 0000 0000", .ipv6BadOption, nil),
        ("9e04 0000 0000", .ipv6BadOption, ICMPError(type: 4, code: 2, information: 42)), ("de04 0000 0000", .ipv6BadOption, ICMPError(type: 4, code: 2, information: 42)),
        ("c204 0000 0001", .ipv6BadOption, ICMPError(type: 4, code: 0, information: 44)), ("c204 0001 0001", .ipv6BadOption, ICMPError(type: 4, code: 0, information: 42)),
        ("00c2 0400 0100 0101 0500 0000 0000", .ipv6BadOption, nil), ("1e05 0000 0000", .ipv6BadOption, nil),
        (String(repeating: "1e00", count: 8) + "010400000000", .none, nil), (String(repeating: "1e00", count: 9) + "01020000", .ipv6BadOption, nil),
        ("0000001e" + String(repeating: "00", count: 10), .ipv6BadOption, nil),
    ] as [(String, DropReason, ICMPError?)])
    func hopByHop(options: String, reason: DropReason, expected: ICMPError?) {
        let body = bytes(options)
        let (packet, p) = parsed(ipv6Frame(0, [17, UInt8((body.count + 2) / 8 - 1)] + body + udp()))
        var error: ICMPError?
        let result = IPv6Options.check(packet, p, error: &error)
        #expect(result == reason && error?.type == expected?.type && error?.code == expected?.code && error?.information == expected?.information)
    }
}

func hex(_ data: [UInt8]) -> String { data.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined() }
