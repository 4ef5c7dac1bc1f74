import Testing
import Wire

@Suite struct ChecksumTests {
    let memory = GuardedMemory(capacity: 70000)

    @Test func equalsTheReferenceAtEveryLengthAndAlignment() {
        var random = SplitMix64(seed: 2)
        for length in 0...130 {
            let data = (0..<length).map { _ in UInt8.random(in: 0...255, using: &random) }
            let packet = memory.place(data)
            #expect(Checksum.fold(Checksum.partial(UnsafeRawPointer(packet.start), length)) == referenceSum(data))
        }
        let ones = [UInt8](repeating: 0xff, count: 65535)
        #expect(Checksum.fold(Checksum.partial(UnsafeRawPointer(memory.place(ones).start), ones.count)) == referenceSum(ones))
    }

    @Test func partsAddUp() {
        var random = SplitMix64(seed: 3)
        let data = (0..<101).map { _ in UInt8.random(in: 0...255, using: &random) }
        let start = UnsafeRawPointer(memory.place(data).start)
        for cut in stride(from: 0, to: 100, by: 2) {
            #expect(Checksum.fold(Checksum.partial(start + cut, 101 - cut, initial: Checksum.partial(start, cut))) == referenceSum(data))
        }
    }

    /// RFC 1624 updates equal a full recompute, whatever changes.
    @Test func incrementalEqualsFull() {
        var random = SplitMix64(seed: 4)
        for round in 0..<fuzzRounds(5000) {
            var data = (0..<40).map { _ in round % 3 == 0 ? [0, 0xff].randomElement(using: &random)! : UInt8.random(in: 0...255, using: &random) }
            let before = memory.place(data)
            let checksum = ~referenceSum(data)
            let offset = 2 * Int.random(in: 0...12, using: &random)
            let new = IPAddress(ipv6High: random.next(), low: random.next())
            let old = IPAddress(ipv6High: before.load64(offset), low: before.load64(offset + 8))
            let updated128 = Checksum.update(checksum, old: old, new: new)
            let updated32 = Checksum.update(checksum, old: before.load32(offset), new: UInt32(truncatingIfNeeded: new.high >> 32))
            let updated16 = Checksum.update(checksum, old: before.load16(offset), new: UInt16(truncatingIfNeeded: new.high >> 48))
            for (width, updated) in [(2, updated16), (4, updated32), (16, updated128)] {
                for i in 0..<width { data[offset + i] = UInt8(truncatingIfNeeded: (i < 8 ? new.high >> UInt64(56 - 8 * i) : new.low >> UInt64(120 - 8 * i))) }
                let full = ~referenceSum(data)
                // All-zero data is the one case where the two zeros differ (RFC 1624 section 3).
                #expect(updated == full || data.allSatisfy { $0 == 0 })
                for i in 0..<width { data[offset + i] = before.load8(offset + i) }
            }
        }
    }

    @Test func udpZero() {
        #expect(Checksum.applyUDP(Checksum.delta(UInt16(1), 2), to: 0) == 0)
        #expect(Checksum.applyUDP(Checksum.delta(UInt16(1), 2), to: 0, isMandatory: true) == 0xfffe)
        // A change that makes the sum 0xffff is sent as 0xffff, never as "none".
        #expect(Checksum.apply(Checksum.delta(UInt16(0), 0x1234), to: 0x1234) == 0)
        #expect(Checksum.applyUDP(Checksum.delta(UInt16(0), 0x1234), to: 0x1234) == 0xffff)
    }

    @Test(arguments: [
        ipv4Frame(6, tcpSYN), ipv4Frame(17, udp()), ipv4Frame(17, udp([1, 2, 3])), ipv4Frame(1, bytes("0800 0000 004d 0001 aabbcc")), ipv4Frame(136, udp(length: 8)),
        ipv6Frame(6, tcpSYN), ipv6Frame(17, udp()), ipv6Frame(58, bytes("8000 0000 004d 0001")), ipv6Frame(136, udp(length: 0)),
    ])
    func fillThenVerify(frame: [UInt8]) {
        let packet = memory.place(frame)
        var parsed = ParsedPacket()
        #expect(PacketParser.parse(packet, into: &parsed) == .none)
        Checksum.fillTransport(packet, parsed)
        #expect(Checksum.verifyTransport(packet, parsed))
        packet.store8(packet.load8(Int(parsed.transportOffset)) ^ 1, at: Int(parsed.transportOffset))
        #expect(!Checksum.verifyTransport(packet, parsed))
        packet.store8(packet.load8(Int(parsed.transportOffset)) ^ 1, at: Int(parsed.transportOffset))
        if parsed.transportProtocol == 17 {
            packet.store16(0, at: Int(parsed.transportOffset) + 6)
            #expect(Checksum.verifyTransport(packet, parsed))
        }
        if parsed.transportProtocol == 136 {
            // Bytes behind the coverage may change; a checksum of 0 is never right.
            let covered = packet.load16(Int(parsed.transportOffset) + 4)
            packet.store8(0x77, at: packet.length - 1)
            #expect(Checksum.verifyTransport(packet, parsed) == (covered == 8))
            packet.store16(0, at: Int(parsed.transportOffset) + 6)
            #expect(!Checksum.verifyTransport(packet, parsed))
        }
    }

    /// Conntrack's UDP-Lite: UDP's pseudo header, in IPv4 with the low byte of the length only.
    @Test(arguments: [
        (ipv4Frame(136, udp(length: 8)), 17, 0), (ipv6Frame(136, udp(length: 8)), 17, 0),
        (ipv4Frame(136, udp([UInt8](repeating: 7, count: 300), length: 8)), 17, 256), (ipv6Frame(136, udp([UInt8](repeating: 7, count: 300), length: 8)), 17, 0),
    ] as [([UInt8], Int, Int)])
    func udpLiteAsTracked(frame: [UInt8], asProtocol: Int, lost: Int) {
        let packet = memory.place(frame)
        var parsed = ParsedPacket()
        #expect(PacketParser.parse(packet, into: &parsed) == .none)
        Checksum.fillTransport(packet, parsed)
        #expect(!Checksum.verifyTracked(packet, parsed))
        // The pseudo header's protocol is less by 136 - 17, its length by what is lost: the checksum is more by that.
        let offset = Int(parsed.transportOffset) + 6
        packet.store16(Checksum.fold(Checksum.add(UInt64(packet.load16(offset)), UInt64(136 - asProtocol + lost))), at: offset)
        #expect(Checksum.verifyTracked(packet, parsed))
        #expect(!Checksum.verifyTransport(packet, parsed))
    }

    /// The textbook IPv4 header with the checksum b1e6.
    @Test func golden() {
        let frame = bytes("02000000010a 02000000010b 0800 4500003c1c4640004006b1e6ac100a63ac100a0c") + bytes("0400005000000000000000005002200000000000")
        let packet = memory.place(frame)
        #expect(Checksum.verifyIPv4Header(UnsafeRawPointer(packet.start + 14), length: 20))
        Checksum.fillIPv4Header(packet.start + 14, length: 20)
        #expect(packet.load16(24) == 0xb1e6)
    }
}
