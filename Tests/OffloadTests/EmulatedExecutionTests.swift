// The emulated NIC's packet path: bytes out, bytes to software, counters.
import CDPDK
import FlowCache
import Testing
import Wire

@testable import Offload

extension OffloadSuite {
    @Test(arguments: [(4, 6), (4, 17), (6, 6), (6, 17)] as [(UInt8, UInt8)], [true, false])
    func carriesBothDirectionsByteExact(_ kind: (UInt8, UInt8), nat: Bool) throws {
        for vlans: [UInt16] in [[], [7], [100, 0x200]] {
            try withBench { bench in
                let flow = TestFlow(family: kind.0, transportProtocol: kind.1, nat: nat, vlans: vlans)
                #expect(bench.pass(flow.original.bytes).software == [flow.original.bytes], "no rule yet")
                #expect(bench.manager.offer(flow.candidate))
                bench.run()
                #expect(bench.events(.installed).map(\.slot) == [flow.slot])
                let there = bench.pass(flow.original.bytes, port: 0)
                #expect(there.sent == [flow.originalOut.bytes])
                #expect(there.software.isEmpty)
                let back = bench.pass(flow.reply.bytes, port: 1)
                #expect(back.sent == [flow.replyOut.bytes])
                #expect(back.software.isEmpty)
            }
        }
    }

    @Test func leavesATagWithAPriorityToSoftware() throws {
        try withBench { bench in
            let flow = TestFlow(vlans: [7])
            #expect(bench.manager.offer(flow.candidate))
            bench.run()
            var frame = flow.original
            frame.vlans = [0x6007]
            #expect(bench.pass(frame.bytes).software == [frame.bytes])
            #expect(bench.pass(flow.original.bytes).software.isEmpty)
        }
    }

    @Test func keepsUDPWithoutChecksumAndMapsZero() throws {
        try withBench { bench in
            var flow = TestFlow(transportProtocol: 17)
            flow.original.hasUDPChecksum = false
            flow.originalOut.hasUDPChecksum = false
            #expect(bench.manager.offer(flow.candidate))
            bench.run()
            #expect(bench.pass(flow.original.bytes).sent == [flow.originalOut.bytes])
            // Every value of a payload word, so that the new checksum passes through 0 and 0xffff.
            flow.original.hasUDPChecksum = true
            flow.originalOut.hasUDPChecksum = true
            for word in stride(from: UInt32(0), through: 0xffff, by: 1) {
                let payload = [UInt8(word >> 8), UInt8(word & 0xff)]
                flow.original.payload = payload
                flow.originalOut.payload = payload
                let passed = bench.pass(flow.original.bytes)
                if passed.sent != [flow.originalOut.bytes] {
                    Issue.record("payload word \(word)")
                    break
                }
            }
        }
    }

    @Test func leavesToSoftwareWhatItMust() throws {
        try withBench { bench in
            let flow = TestFlow()
            #expect(bench.manager.offer(flow.candidate))
            bench.run()
            func changed(_ change: (inout Frame) -> Void) -> [UInt8] {
                var frame = flow.original
                change(&frame)
                return frame.bytes
            }
            var truncated = flow.original.bytes
            truncated.removeLast()
            var badIPChecksum = flow.original.bytes
            badIPChecksum[24] ^= 0x10
            let cases: [(String, [UInt8])] = [
                ("FIN", changed { $0.tcpFlags = 0x11 }), ("SYN", changed { $0.tcpFlags = 0x02 }), ("RST", changed { $0.tcpFlags = 0x14 }),
                ("first fragment", changed { $0.fragment = 0x2000 }), ("later fragment", changed { $0.fragment = 0x0010 }),
                ("options", changed { $0.options = [1, 1, 1, 1] }), ("TTL 1", changed { $0.ttl = 1 }), ("TTL 0", changed { $0.ttl = 0 }),
                ("another source", changed { $0.source[3] = 3 }), ("another port", changed { $0.sourcePort = 40001 }),
                ("tagged", changed { $0.vlans = [5] }), ("another MAC", changed { $0.destinationMAC = 0x0200_0000_0009 }),
                ("wrong transport checksum", changed { $0.checksumError = 1 }), ("wrong header checksum", badIPChecksum),
                ("truncated", truncated), ("longer than the MTU", changed { $0.payload = [UInt8](repeating: 7, count: 1461) }),
                ("empty TCP header", changed { $0.payload = [] }.dropLast(8).map { $0 }), ("runt", Array(flow.original.bytes[..<13])),
            ]
            for (name, frame) in cases {
                let passed = bench.pass(frame)
                #expect(passed.software == [frame], "\(name)")
                #expect(passed.sent.isEmpty, "\(name)")
            }
            let taken: [(String, [UInt8])] = [
                ("TTL 2", changed { $0.ttl = 2 }), ("PSH", changed { $0.tcpFlags = 0x18 }),
                ("as long as the MTU", changed { $0.payload = [UInt8](repeating: 7, count: 1460) }),
            ]
            for (name, frame) in taken {
                let passed = bench.pass(frame)
                #expect(passed.sent.count == 1, "\(name)")
                #expect(passed.software.isEmpty, "\(name)")
            }
        }
    }

    @Test func keepsOrderOfWhatIsLeft() throws {
        try withBench { bench in
            let flow = TestFlow()
            #expect(bench.manager.offer(flow.candidate))
            bench.run()
            var other = flow.original
            for number in 0..<10 {
                other.sourcePort = number % 2 == 0 ? flow.original.sourcePort : 50000 + UInt16(number)
                other.bytes.withUnsafeBytes { _ = bench.rings[0].inject($0) }
            }
            let passed = bench.poll(port: 0)
            #expect(passed.sent.count == 5)
            #expect(passed.software.map { Int($0[34]) << 8 | Int($0[35]) } == [50001, 50003, 50005, 50007, 50009])
        }
    }

    @Test func trimsPaddingAndCountsIPBytes() throws {
        try withBench { bench in
            var flow = TestFlow(vlans: [12])
            flow.original.payload = []
            flow.originalOut.payload = []
            #expect(bench.manager.offer(flow.candidate))
            bench.run()
            var padded = flow.original
            padded.padding = 6
            #expect(bench.pass(padded.bytes).sent == [flow.originalOut.bytes])
            bench.run(after: Bench.second)
            #expect(bench.events(.credit).map(\.packets) == [1])
            #expect(bench.events(.credit).map(\.bytes) == [40])
        }
    }

    @Test func countsWhatTheOutputQueueDoesNotTake() throws {
        try withBench { bench in
            let flow = TestFlow()
            #expect(bench.manager.offer(flow.candidate))
            bench.run()
            var received = 0
            for _ in 0..<10 {
                for _ in 0..<30 { flow.original.bytes.withUnsafeBytes { _ = bench.rings[0].inject($0) } }
                var batch: [OpaquePointer?] = Array(repeating: nil, count: 32)
                received += bench.rings[0].port.receiveQueue(0).receive(into: &batch, maximum: 32)
            }
            #expect(received == 0)
            let statistics = try #require(EmulatedNIC.statistics(port: bench.ports[0].dpdkPort))
            #expect(statistics.carriedPackets == 300)
            #expect(statistics.lostAtTransmit == 300 - UInt64(bench.rings[1].sentCount))
            #expect(statistics.lostAtTransmit > 0)
            _ = bench.poll(port: 0)
        }
    }

    @Test func extensionHeadersGoToSoftware() throws {
        try withBench { bench in
            let flow = TestFlow(family: 6)
            #expect(bench.manager.offer(flow.candidate))
            bench.run()
            for header: UInt8 in [0, 43, 44, 60] {
                var bytes = flow.original.bytes
                bytes.insert(contentsOf: [6, 0, 0, 0, 0, 0, 0, 0], at: 54)
                bytes[20] = header
                let length = UInt16(bytes[18]) << 8 + UInt16(bytes[19]) + 8
                bytes[18] = UInt8(length >> 8)
                bytes[19] = UInt8(length & 0xff)
                #expect(bench.pass(bytes).software == [bytes])
            }
        }
    }
}
