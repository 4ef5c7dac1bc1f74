// What a worker does with each kind of packet, and that it loses none.
import DPDK
import Dataplane
import FlowCache
import Testing
import Wire

extension WorkerSuite {
    @Test func aHitIsTranslatedTrimmedAndCounted() throws {
        let bench = try WorkerBench()
        bench.insert(udpFlow())
        bench.inject(udpFrame(padding: 14))
        #expect(bench.round(tick: 77) == 1)
        let sent = bench.sent(1)
        #expect(sent.count == 1)
        let frame = try #require(sent.first)
        // 14 + 20 + 8 + 4: Ethernet's padding stays behind.
        #expect(frame.count == 46)
        #expect(Array(frame[0..<12]) == [2, 0, 0, 0, 0x0b, 9, 2, 0, 0, 0, 0x0a, 2])
        #expect(frame[22] == 63)
        #expect(Array(frame[26..<36]) == [203, 0, 113, 1, 198, 51, 100, 1] + big16(40_000))
        var copy = frame
        copy.withUnsafeMutableBytes { memory in
            let packet = PacketBuffer(start: memory.baseAddress!, length: memory.count)
            var parsed = ParsedPacket()
            #expect(PacketParser.parse(packet, into: &parsed) == .none)
            #expect(Checksum.verifyTransport(packet, parsed))
        }
        let record = try #require(bench.lookup(udpFlow().key))
        #expect(record.packets == 1 && record.bytes == 32 && record.lastUsed == 78 << 20 - 1)
        #expect(bench.statistics.value(.hits) == 1)
        #expect(bench.statistics.value(port: 0) == PortStatistics(receivedPackets: 1, receivedBytes: 60))
        #expect(bench.statistics.value(port: 1) == PortStatistics(transmittedPackets: 1, transmittedBytes: 46))
        #expect(bench.round() == 0)
        #expect(bench.statistics.value(.idleRounds) == 1)
    }

    @Test func classesAndReasons() throws {
        let bench = try WorkerBench()
        bench.insert(udpFlow())
        let good = udpFrame()
        func changed(_ change: (inout [UInt8]) -> Void) -> [UInt8] {
            var frame = good
            change(&frame)
            return frame
        }
        let arp: [UInt8] = bytes(WorkerSuite.routerAddresses[0]) + [2, 0, 0, 0, 0x0c, 1, 8, 6] + [UInt8](repeating: 0, count: 28)
        // Punted: the frame, the class, and the guard that is counted.
        let up: [([UInt8], PuntClass, FlowGuardReason?)] = [
            (udpFrame(host: 9), .newFlow, nil),
            (udpFrame(timeToLive: 1), .knownFlow, .timeToLive),
            (udpFrame(payload: [UInt8](repeating: 0, count: 1473)), .knownFlow, .tooLong),
            (changed { $0[good.count - 1] ^= 1 }, .knownFlow, .transportChecksum),
            (udpFrame(fragment: 0x2000), .newFlow, .fragment),
            (udpFrame(options: [1, 1, 1, 0]), .newFlow, .options),
            (changed { $0.replaceSubrange(0..<6, with: [UInt8](repeating: 0xff, count: 6)) }, .control, nil),
            (changed { $0.replaceSubrange(0..<6, with: [1, 0, 0x5e, 0, 0, 1]) }, .control, nil),
            (arp, .control, nil),
        ]
        for (frame, punt, reason) in up {
            let before = reason.map { bench.statistics.value(guard: $0) } ?? 0
            bench.inject(frame)
            bench.round()
            let punted = bench.punted(punt)
            #expect(punted.count == 1, "\(punt)")
            // As it came: the slow path sees what the wire showed.
            #expect(punted.first?.frame == frame && punted.first?.port == 0)
            if let reason { #expect(bench.statistics.value(guard: reason) == before + 1) }
        }
        // Dropped: the frame and the reason.
        let down: [([UInt8], DropReason)] = [
            (changed { $0[0] = 4 }, .notForUs),
            ([UInt8](good.prefix(13)), .frameTooShort),
            (changed { $0[24] ^= 1 }, .ipv4BadChecksum),
            (changed { $0[14] = 0x55 }, .ipv4BadVersion),
            ([UInt8](good.prefix(40)), .ipv4Truncated),
            (changed { $0[17] = 19; $0[25] = 0; $0[24] = 0; $0.withUnsafeMutableBytes { Checksum.fillIPv4Header($0.baseAddress! + 14, length: 20) } }, .ipv4BadTotalLength),
            (changed { $0[12] = 0x12 }, .unknownEtherType),
        ]
        for (frame, reason) in down {
            let before = bench.statistics.value(drop: reason)
            bench.inject(frame)
            bench.round()
            #expect(bench.statistics.value(drop: reason) == before + 1, "\(reason)")
        }
        #expect(bench.sent(0).isEmpty && bench.sent(1).isEmpty)
        #expect(bench.pool.inUse == 0)
    }

    @Test func anOlderGenerationGoesUp() throws {
        let bench = try WorkerBench()
        bench.insert(udpFlow())
        bench.invalidateAll()
        bench.inject(udpFrame())
        bench.round()
        #expect(bench.punted(.knownFlow).count == 1)
        #expect(bench.statistics.value(guard: .generation) == 1)
        // The slow path judged it again and published it.
        bench.insert(udpFlow())
        bench.inject(udpFrame())
        bench.round()
        #expect(bench.sent(1).count == 1)
    }

    @Test func whatTheSlowPathHandedDownLeavesFirst() throws {
        let bench = try WorkerBench()
        bench.insert(udpFlow())
        for number in 0..<5 {
            let packet = try #require([UInt8](repeating: UInt8(number), count: 60).withUnsafeBytes { bench.pool.packet($0) })
            #expect(bench.handle.transmit.put(TransmitRequest(packet: packet, port: 1)))
        }
        bench.inject(udpFrame())
        #expect(bench.round() == 6 || bench.statistics.value(.fromSlowPath) == 5)
        let sent = bench.sent(1)
        #expect(sent.map { $0[0] } == [0, 1, 2, 3, 4, 2])
        #expect(sent.last?.count == 46)
    }

    @Test func aFullPuntRingDropsAndNothingLeaks() throws {
        let bench = try WorkerBench(ringCapacity: 3)
        for port in 0..<20 { bench.inject(udpFrame(host: 9, sourcePort: 2000 + port)) }
        bench.round()
        #expect(bench.punted(.newFlow).count == 3)
        #expect(bench.statistics.value(drop: .puntRingFull) == 17)
        #expect(bench.pool.inUse == 0)
    }

    @Test func aFullTransmitQueueAndAClosedPortDropUnderTheirNames() throws {
        let bench = try WorkerBench(portCapacity: 15)
        bench.insert(udpFlow())
        for _ in 0..<2 {
            for _ in 0..<15 { bench.inject(udpFrame()) }
            bench.round()
        }
        #expect(bench.sent(1).count == 15)
        #expect(bench.statistics.value(drop: .transmitFailed) == 15)
        #expect(bench.statistics.value(port: 1).transmittedPackets == 15)
        #expect(bench.statistics.value(port: 1).transmittedBytes == 15 * 46)
        #expect(bench.pool.inUse == 0)
        let closed = try WorkerBench(outputs: 1)
        closed.insert(udpFlow())
        closed.inject(udpFrame())
        closed.round()
        #expect(closed.statistics.value(drop: .portDown) == 1)
        #expect(closed.pool.inUse == 0)
    }

    /// Damaged packets of every kind: no crash, and received = sent + punted + dropped.
    @Test func everyPacketLeavesInExactlyOneWay() throws {
        let bench = try WorkerBench(ringCapacity: 1023)
        for host in 2..<20 { bench.insert(udpFlow(host: UInt8(host))) }
        var random = SystemRandomNumberGenerator()
        var injected: UInt64 = 0
        for _ in 0..<3000 {
            for _ in 0..<Int.random(in: 1...40, using: &random) {
                var frame = udpFrame(
                    host: UInt8.random(in: 2..<22, using: &random), timeToLive: UInt8.random(in: 0..<8, using: &random),
                    padding: Int.random(in: 0..<20, using: &random))
                if Int.random(in: 0..<3, using: &random) == 0 {
                    for _ in 0..<Int.random(in: 1..<4, using: &random) { frame[Int.random(in: 0..<frame.count, using: &random)] = UInt8.random(in: 0...255, using: &random) }
                }
                if Int.random(in: 0..<8, using: &random) == 0 { frame.removeLast(Int.random(in: 0..<frame.count, using: &random)) }
                if frame.isEmpty { continue }
                bench.inject(frame)
                injected += 1
            }
            while bench.round() > 0 {}
            _ = bench.sent(1)
            for punt in PuntClass.allCases { _ = bench.punted(punt) }
        }
        let statistics = bench.statistics
        let dropped = DropReason.allCases.reduce(0) { $0 + statistics.value(drop: $1) }
        #expect(statistics.value(.received) == injected)
        #expect(statistics.value(.transmitted) + statistics.value(.punted) + dropped == injected)
        #expect(statistics.value(.transmitted) > 0 && statistics.value(.punted) > 0 && dropped > 0)
        #expect(PuntClass.allCases.reduce(0) { $0 + statistics.value(punt: $1) } == statistics.value(.punted))
        #expect(bench.pool.inUse == 0)
    }
}
