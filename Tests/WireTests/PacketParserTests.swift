import Testing
import Wire

@Suite struct PacketParserTests {
    let memory = GuardedMemory(capacity: 70000)

    @Test func tcpOverIPv4() {
        let (reason, p) = parse(ipv4Frame(6, tcpSYN, tos: 0x12, fragment: 0x4000), in: memory)
        #expect(reason == .none)
        #expect(p.family == .ipv4 && p.networkOffset == 14 && p.networkLength == 40 && p.networkHeaderLength == 20)
        #expect(p.transportProtocol == 6 && p.transportOffset == 34 && p.transportLength == 20)
        #expect(p.sourceAddress.ipv4 == 0x0a00_0102 && p.destinationAddress.ipv4 == 0x0a00_0202)
        #expect(p.sourcePort == 1024 && p.destinationPort == 80 && p.tcpFlags == TCPFlags.syn)
        #expect(p.flags == [.hasTransport, .hasPorts, .dontFragment])
        #expect(p.trafficClass == 0x12 && p.timeToLive == 64 && p.fragmentIdentification == 0x1234)
    }

    @Test func udpOverIPv6() {
        let (reason, p) = parse(ipv6Frame(17, udp(), trafficClass: 0xb8), in: memory)
        #expect(reason == .none)
        #expect(p.family == .ipv6 && p.networkLength == 52 && p.networkHeaderLength == 40 && p.transportOffset == 54)
        #expect(p.sourceAddress == IPAddress(ipv6High: 0xfd00_0001_0000_0000, low: 2))
        #expect(p.sourcePort == 6000 && p.destinationPort == 53 && p.trafficClass == 0xb8)
        #expect(p.flags == [.hasTransport, .hasPorts])
    }

    @Test func paddingIsTrimmed() {
        let frame = ipv4Frame(17, udp([])) + [UInt8](repeating: 0xee, count: 18)
        let (reason, p) = parse(frame, in: memory)
        #expect(reason == .none && p.networkLength == 28 && p.transportLength == 8 && p.flags.contains(.hasTransport))
    }

    @Test func vlanTags() {
        let inner = ipv4Frame(6, tcpSYN)
        let tagged = Array(inner[..<12]) + bytes("88a8 0064 8100 a0c8") + Array(inner[12...])
        let (reason, p) = parse(tagged, in: memory)
        #expect(reason == .none && p.vlanCount == 2 && p.outerTag == 100 && p.innerTag == 0xa0c8)
        #expect(p.networkOffset == 22 && p.transportOffset == 42 && p.destinationPort == 80)
        let tooDeep = Array(inner[..<12]) + bytes("8100 0001 8100 0002 8100 0003") + Array(inner[12...])
        #expect(parse(tooDeep, in: memory).0 == .vlanTooDeep)
        #expect(parse(Array(inner[..<12]) + bytes("8100 00"), in: memory).0 == .vlanTruncated)
    }

    @Test func otherEtherTypesAreTheCallers() {
        for type in ["0806", "8864", "88cc", "0026"] {
            let (reason, p) = parse(bytes("ffffffffffff 020000000001 \(type) 0001"), in: memory)
            #expect(reason == .none && p.family == nil)
            #expect(p.etherType == UInt16(type, radix: 16)!)
        }
    }

    /// Linux forwards a packet with a broken transport header; only conntrack calls it invalid.
    @Test(arguments: [
        ("TCP of 19 bytes", ipv4Frame(6, Array(tcpSYN.dropLast())), true),
        ("TCP data offset 4", ipv4Frame(6, bytes("0400 0050 000003e8 00000000 4002 2000 0000 0000")), true),
        ("TCP data offset beyond the packet", ipv4Frame(6, bytes("0400 0050 000003e8 00000000 6002 2000 0000 0000")), true),
        ("TCP of 3 bytes", ipv4Frame(6, [1, 2, 3]), false),
        ("UDP length 7", ipv4Frame(17, udp(length: 7)), true),
        ("UDP length 0", ipv4Frame(17, udp(length: 0)), true),
        ("UDP length beyond the packet", ipv4Frame(17, udp(length: 13)), true),
        ("UDP of 7 bytes", ipv6Frame(17, [1, 2, 3, 4, 5, 6, 7]), true),
        ("UDP-Lite coverage 7", ipv4Frame(136, udp(length: 7)), true),
        ("SCTP of 11 bytes", ipv6Frame(132, [UInt8](repeating: 0, count: 11)), true),
        ("ICMP of 7 bytes", ipv4Frame(1, [8, 0, 0, 0, 0, 0, 0]), false),
        ("destination options cut short", ipv6Frame(60, bytes("1101 0000 0000 0000")), false),
        ("fragment of a fragment", ipv6Frame(44, bytes("2c00 0001 00000001") + bytes("1100 0008 00000002") + udp()), false),
        ("extension header of 7 bytes", ipv6Frame(43, bytes("11000000000000")), false),
    ])
    func malformedTransport(name: String, frame: [UInt8], hasPorts: Bool) {
        let (reason, p) = parse(frame, in: memory)
        #expect(reason == .none, "\(name)")
        #expect(p.flags.contains(.transportMalformed) && !p.flags.contains(.hasTransport), "\(name)")
        #expect(p.flags.contains(.hasPorts) == hasPorts, "\(name)")
    }

    static func changed(_ frame: [UInt8], _ changes: [(Int, UInt8)], fixChecksum: Bool = true) -> [UInt8] {
        var result = frame
        for (offset, value) in changes { result[offset] = value }
        if fixChecksum { fixIPv4Checksum(&result, 14) }
        return result
    }

    @Test(arguments: [
        ("empty frame", [], DropReason.frameTooShort),
        ("13 bytes", Array(ethernet4.dropLast()), .frameTooShort),
        ("65600 bytes", ethernet4 + [UInt8](repeating: 0, count: 65600), .frameTooLong),
        ("IPv4 of 19 bytes", Array(ipv4Frame(255, []).dropLast()), .ipv4Truncated),
        ("version 5", changed(ipv4Frame(6, tcpSYN), [(14, 0x55)]), .ipv4BadVersion),
        ("version 6 as IPv4", changed(ipv4Frame(6, tcpSYN), [(14, 0x65)]), .ipv4BadVersion),
        ("ihl 4", changed(ipv4Frame(6, tcpSYN), [(14, 0x44)]), .ipv4BadHeaderLength),
        ("ihl 0", changed(ipv4Frame(6, tcpSYN), [(14, 0x40)], fixChecksum: false), .ipv4BadHeaderLength),
        ("ihl beyond the frame", changed(ipv4Frame(255, []), [(14, 0x46)], fixChecksum: false), .ipv4Truncated),
        ("total length beyond the frame", changed(ipv4Frame(6, tcpSYN), [(17, 41)]), .ipv4Truncated),
        ("total length 0", changed(ipv4Frame(6, tcpSYN), [(17, 0)]), .ipv4BadTotalLength),
        ("total length 19", changed(ipv4Frame(6, tcpSYN), [(17, 19)]), .ipv4BadTotalLength),
        ("total length below ihl", changed(ipv4Frame(6, tcpSYN, options: [1, 1, 1, 1]), [(17, 23)]), .ipv4BadTotalLength),
        ("wrong checksum", changed(ipv4Frame(6, tcpSYN), [(22, 63)], fixChecksum: false), .ipv4BadChecksum),
        ("wrong checksum, UDP", changed(ipv4Frame(17, udp()), [(24, 0)], fixChecksum: false), .ipv4BadChecksum),
        ("wrong checksum with options", changed(ipv4Frame(6, tcpSYN, options: [1, 1, 1, 1]), [(36, 0)], fixChecksum: false), .ipv4BadChecksum),
        ("IPv6 of 39 bytes", Array(ipv6Frame(59, []).dropLast()), .ipv6Truncated),
        ("IPv6 version 4", changed(ipv6Frame(6, tcpSYN), [(14, 0x45)], fixChecksum: false), .ipv6BadVersion),
        ("payload length beyond the frame", changed(ipv6Frame(6, tcpSYN), [(19, 21)], fixChecksum: false), .ipv6BadPayloadLength),
        ("hop-by-hop header cut short", ipv6Frame(0, bytes("3b01 0104 0000 0000")), .ipv6ExtensionTruncated),
        ("hop-by-hop header of 7 bytes", ipv6Frame(0, bytes("3b 00 01 04 00 00 00")), .ipv6ExtensionTruncated),
        ("1201 destination options headers", ipv6Frame(60, (0..<1201).flatMap { _ in bytes("3c00 0104 0000 0000") }), .ipv6TooManyExtensions),
        ("multicast source", ipv6Frame(17, udp(), source: bytes("ff020000000000000000000000000001")), .martianSource),
        ("loopback source", ipv6Frame(17, udp(), source: bytes("00000000000000000000000000000001")), .martianSource),
        ("loopback destination", ipv6Frame(17, udp(), destination: bytes("00000000000000000000000000000001")), .martianDestination),
        ("interface-local multicast", ipv6Frame(17, udp(), destination: bytes("ff010000000000000000000000000001")), .martianDestination),
    ])
    func dropped(name: String, frame: [UInt8], reason: DropReason) {
        #expect(parse(frame, in: memory).0 == reason, "\(name)")
    }

    @Test func ipv4Fragments() {
        let (_, first) = parse(ipv4Frame(17, udp(length: 1400), fragment: 0x2000), in: memory)
        #expect(first.flags == [.isFragment, .moreFragments, .hasTransport, .hasPorts])
        let (_, later) = parse(ipv4Frame(17, udp(), fragment: 0x2001), in: memory)
        #expect(later.flags == [.isFragment, .moreFragments, .isLaterFragment] && later.fragmentOffset == 8)
        #expect(later.sourcePort == 0 && later.transportProtocol == 17)
        let (_, last) = parse(ipv4Frame(17, udp(), fragment: 0x1fff), in: memory)
        #expect(last.flags == [.isFragment, .isLaterFragment] && last.fragmentOffset == 65528)
    }

    @Test func ipv6Extensions() {
        let chain = bytes("2b00 0104 00000000") + bytes("3300 0000 00000000") + bytes("3c04" + String(repeating: "00", count: 22)) + bytes("1100 0104 00000000")
        let (reason, p) = parse(ipv6Frame(0, chain + udp()), in: memory)
        #expect(reason == .none && p.transportProtocol == 17 && p.destinationPort == 53)
        #expect(p.flags == [.hasOptions, .hasTransport, .hasPorts])
        #expect(p.networkHeaderLength == 88 && p.transportOffset == 102)

        let (_, first) = parse(ipv6Frame(44, bytes("1100 0001 deadbeef") + udp(length: 2000)), in: memory)
        #expect(first.flags == [.isFragment, .moreFragments, .hasTransport, .hasPorts])
        #expect(first.fragmentIdentification == 0xdead_beef && first.fragmentHeaderOffset == 54)
        let (_, later) = parse(ipv6Frame(44, bytes("1100 0008 deadbeef") + udp()), in: memory)
        #expect(later.flags == [.isFragment, .isLaterFragment] && later.fragmentOffset == 8 && later.transportProtocol == 17)
        // An atomic fragment (RFC 6946) is no fragment.
        let (_, atomic) = parse(ipv6Frame(44, bytes("1100 0000 deadbeef") + udp()), in: memory)
        #expect(atomic.flags == [.hasTransport, .hasPorts] && atomic.fragmentHeaderOffset == 54)
        let (_, odd) = parse(ipv6Frame(44, bytes("3c00 0008 deadbeef") + udp()), in: memory)
        #expect(odd.flags.contains(.transportMalformed))
    }

    @Test func echoIdentifier() {
        let (_, request) = parse(ipv4Frame(1, bytes("0800 0000 004d 0001")), in: memory)
        #expect(request.icmpType == 8 && request.icmpIdentifier == 77 && request.flags == [.hasTransport])
        let (_, reply) = parse(ipv6Frame(58, bytes("8100 0000 004d 0001")), in: memory)
        #expect(reply.icmpType == 129 && reply.icmpIdentifier == 77)
        let (_, error) = parse(ipv4Frame(1, bytes("0301 0000 004d 0001")), in: memory)
        #expect(error.icmpType == 3 && error.icmpCode == 1 && error.icmpIdentifier == 0)
    }

    static let seeds: [[UInt8]] = [
        ipv4Frame(6, tcpSYN), ipv4Frame(17, udp()), ipv4Frame(1, bytes("0800 0000 004d 0001")), ipv4Frame(6, tcpSYN, options: [7, 7, 4, 0, 0, 0, 0, 0]),
        ipv4Frame(17, udp(), fragment: 0x2010), ipv6Frame(6, tcpSYN), ipv6Frame(17, udp()),
        ipv6Frame(0, bytes("2b00 0104 00000000") + bytes("3300 0000 00000000") + bytes("3c04" + String(repeating: "00", count: 22)) + bytes("1100 0104 00000000") + udp()),
        ipv6Frame(44, bytes("1100 0001 deadbeef") + udp()),
        bytes("020000000001 020000000002 88a8 0064 8100 00c8") + ipv4Frame(17, udp())[12...],
    ]

    @Test func truncatedAtEachByte() {
        for frame in Self.seeds {
            for length in 0..<frame.count {
                let (reason, p) = parse(Array(frame[..<length]), in: memory)
                #expect(reason != .none || p.family == nil, "\(length) of \(frame.count) bytes pass")
            }
        }
    }

    /// Whatever arrives: the shortcut and the long way agree, nothing is read beyond the frame (the guard page would
    /// end the process), and every offset lies in the frame. `NEEDLETAIL_FUZZ_ROUNDS` scales it.
    @Test func mutations() {
        var random = SplitMix64(seed: 1)
        for _ in 0..<fuzzRounds(20000) {
            let frame = mutate(Self.seeds.randomElement(using: &random)!, &random)
            let packet = memory.place(frame)
            var quick = ParsedPacket(), long = ParsedPacket()
            let reason = PacketParser.parse(packet, into: &quick)
            let reasonAgain = PacketParser.parseGeneral(packet, into: &long)
            #expect(reason == reasonAgain)
            guard reason == .none, quick.family != nil else { continue }
            #expect(String(describing: quick) == String(describing: long))
            #expect(Int(quick.networkOffset) + Int(quick.networkLength) <= frame.count)
            #expect(Int(quick.transportOffset) <= Int(quick.networkOffset) + Int(quick.networkLength))
            _ = Checksum.verifyTransport(packet, quick)
        }
    }
}

import Foundation

/// Rounds of a mutation test: the given number, or a multiple of it set by the environment.
func fuzzRounds(_ rounds: Int) -> Int {
    rounds * max(1, ProcessInfo.processInfo.environment["NEEDLETAIL_FUZZ_ROUNDS"].flatMap(Int.init) ?? 1)
}

/// Flips, overwrites, cuts and grows a frame; half of the time repairs the IPv4 checksum, so that deeper code is reached.
func mutate(_ frame: [UInt8], _ random: inout SplitMix64) -> [UInt8] {
    var result = frame
    for _ in 0...Int.random(in: 0...3, using: &random) {
        guard !result.isEmpty else { break }
        let index = Int.random(in: 0..<result.count, using: &random)
        switch Int.random(in: 0..<6, using: &random) {
        case 0: result[index] ^= 1 << UInt8.random(in: 0...7, using: &random)
        case 1: result[index] = [0, 1, 0x7f, 0x80, 0xff].randomElement(using: &random)!
        case 2: result[index] = UInt8.random(in: 0...255, using: &random)
        case 3: result.removeSubrange(index...)
        case 4: result.append(contentsOf: (0..<Int.random(in: 1...40, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) })
        default: if result.count > 23 { result[Int.random(in: 14..<24, using: &random)] = UInt8.random(in: 0...255, using: &random) }
        }
    }
    if Bool.random(using: &random), result.count >= 34, result[12] == 8, result[13] == 0, 14 + Int(result[14] & 15) * 4 <= result.count, result[14] & 15 >= 5 {
        fixIPv4Checksum(&result, 14)
    }
    return result
}
