// Ports over drivers that need no hardware: net_null, net_ring.
import DPDK
import Foundation
import Testing
import Wire

extension DPDKSuite {
    @Test func nullPortReceivesAndSends() throws {
        try withPool { pool in
            let port = try EthernetPort(name: "p0", device: "net_null0,size=64")
            let setup = try port.configure(PortConfiguration(), pools: [pool])
            #expect(setup.receiveQueues == 1)
            try port.start()
            var batch = PacketBatch(capacity: 32)
            port.receiveQueue(0).receive(into: &batch)
            #expect(batch.count == 32)
            #expect(batch[0].length == 64)
            #expect(batch[31].segmentCount == 1)
            #expect(pool.inUse >= 32)
            #expect(port.transmitQueue(0).transmitOrFree(&batch) == 0)
            #expect(port.statistics.receivedPackets == 32)
            #expect(port.statistics.sentPackets == 32)
            port.close()
        }
    }

    @Test func ringPortCarriesFrames() throws {
        try withPool { pool in
            let ring = try RingPort(name: "r0", capacity: 63, pool: pool)
            _ = try ring.port.configure(PortConfiguration(), pools: [pool])
            try ring.port.start()
            let frame = (0 ..< 60).map { UInt8($0) }
            #expect(frame.withUnsafeBytes { ring.inject($0) })
            var batch = PacketBatch(capacity: 32)
            ring.port.receiveQueue(0).receive(into: &batch)
            #expect(batch.count == 1)
            #expect(Array(UnsafeRawBufferPointer(start: batch[0].data, count: batch[0].length)) == frame)
            #expect(ring.port.transmitQueue(0).transmitOrFree(&batch) == 0)
            let sent = try #require(ring.take())
            #expect(sent.length == 60)
            sent.free()
            #expect(ring.take() == nil)
            ring.close()
        }
    }

    @Test func pcapPortCopiesACapture() throws {
        let input = NSTemporaryDirectory() + "needletail-\(UUID().uuidString).pcap", output = input + ".out"
        defer {
            unlink(input)
            unlink(output)
        }
        // The last frame is longer than a packet buffer, so it comes in two segments.
        let frames = [60, 1514, 3000].map { length in (0 ..< length).map { UInt8(truncatingIfNeeded: $0 &* 7) } }
        do {
            var writer = try CaptureWriter(path: input)
            for frame in frames { frame.withUnsafeBytes { writer.write($0, timestamp: 1_000_000_000) } }
            try writer.finish()
        }
        try withPool { pool in
            let port = try EthernetPort(name: "p", device: "net_pcap3,rx_pcap=\(input),tx_pcap=\(output)")
            _ = try port.configure(PortConfiguration(), pools: [pool])
            try port.start()
            var batch = PacketBatch(capacity: 32)
            port.receiveQueue(0).receive(into: &batch)
            #expect(batch.count == 3)
            guard batch.count == 3 else { return }
            #expect((0 ..< 3).map { batch[$0].totalLength } == [60, 1514, 3000])
            #expect(batch[2].segmentCount == 2 && batch[2].length < 3000 && batch[2].next != nil)
            #expect(!batch[2].linearize(), "3000 bytes do not fit a buffer of 2048")
            #expect(port.transmitQueue(0).transmitOrFree(&batch) == 0)
            port.stop()
            port.close()
        }
        var reader = try CaptureReader(path: output)
        for frame in frames {
            let record = try #require(try reader.next())
            #expect(Array(record.bytes) == frame)
        }
        #expect(try reader.next() == nil)
    }

    @Test func aPortTakesAnotherAddress() throws {
        let address = EthernetAddress(rawValue: 0x0200_0000_0a01)
        let null = try EthernetPort(name: "n", device: "net_null8")
        try null.setMACAddress(address)
        #expect(null.macAddress == address)
        null.close()
        // net_pcap keeps its own address and receives every frame.
        let output = NSTemporaryDirectory() + "needletail-\(UUID().uuidString).pcap"
        defer { unlink(output) }
        let pcap = try EthernetPort(name: "p", device: "net_pcap8,tx_pcap=\(output)")
        try pcap.setMACAddress(address)
        pcap.close()
    }

    @Test func portsStartAndStopAgain() throws {
        try withPool { pool in
            for _ in 0 ..< 3 {
                let port = try EthernetPort(name: "p", device: "net_null4")
                #expect(throws: DPDKError.self) { try port.start() }
                for queues in [1, 2] {
                    var wanted = PortConfiguration()
                    wanted.receiveQueues = queues
                    wanted.transmitQueues = queues
                    let setup = try port.configure(wanted, pools: [pool])
                    #expect(setup.receiveQueues == queues && setup.transmitQueues == queues)
                    try port.start()
                    #expect(port.isStarted && port.link.isUp)
                    #expect(throws: DPDKError.self) { try port.configure(wanted, pools: [pool]) }
                    var batch = PacketBatch(capacity: 8)
                    for queue in 0 ..< queues {
                        port.receiveQueue(queue).receive(into: &batch)
                        #expect(batch.count == 8)
                        batch.freeAll()
                    }
                    port.stop()
                    port.stop()
                }
                port.close()
                port.close()
                #expect(throws: DPDKError.self) { try port.start() }
            }
        }
    }

    @Test func queuesAreClamped() throws {
        try withPool { pool in
            let ring = try RingPort(name: "narrow", pool: pool)
            var wanted = PortConfiguration()
            wanted.receiveQueues = 4
            let setup = try ring.port.configure(wanted, pools: [pool])
            #expect(setup.receiveQueues == 1)
            #expect(setup.notes.contains("port narrow: 4 receive queues wanted, the device has 1"))
            ring.close()
        }
    }

    @Test func nullPortHashesSymmetrically() throws {
        try withPool { pool in
            let port = try EthernetPort(name: "wide", device: "net_null5")
            var wanted = PortConfiguration()
            wanted.receiveQueues = 2
            wanted.mtu = 1400
            let setup = try port.configure(wanted, pools: [pool])
            #expect(port.capabilities.hashes == setup.symmetricRSS)
            #expect(setup.mtu == 1400)
            port.close()
        }
    }

    @Test(arguments: [
        ("net_nosuchdriver0", "device 'net_nosuchdriver0' cannot be made", "check the driver's name"),
        ("net_pcap5,rx_pcap=/nonexistent/x.pcap,tx_pcap=/nonexistent/y.pcap", "cannot be made", "rx_pcap files are there"),
        ("net_af_packet5,iface=nosuchinterface0", "cannot be made", "check that the interface exists"),
        ("0000:7f:1f.7", "cannot be made", "bound to a driver"),
        ("nonsense", "'nonsense' is not a device", "write a PCI address"),
    ]) func deviceErrorsSayWhatToDo(_ device: String, _ message: String, _ advice: String) throws {
        do {
            _ = try EthernetPort(name: "x", device: device)
            Issue.record("\(device) was made")
        } catch let error as DPDKError {
            #expect(error.message.contains(message), "\(error)")
            #expect(error.advice.contains(advice), "\(error)")
        }
    }

    @Test func aDeviceIsUsedOnce() throws {
        let first = try EthernetPort(name: "one", device: "net_null6")
        #expect { try EthernetPort(name: "two", device: "net_null6") } throws: { ($0 as? DPDKError)?.message == "port two: device 'net_null6' is in use already" }
        first.close()
        try EthernetPort(name: "two", device: "net_null6").close()
    }

    @Test func receiveCallbackSeesEachBurst() throws {
        try withPool { pool in
            let ring = try RingPort(name: "cb", pool: pool)
            _ = try ring.port.configure(PortConfiguration(), pools: [pool])
            let seen = UnsafeMutablePointer<Int>.allocate(capacity: 1)
            defer { seen.deallocate() }
            seen.initialize(to: 0)
            let callback = try ring.port.addReceiveCallback(queue: 0, context: seen) { _, _, packets, count, _, context in
                let seen = context!.assumingMemoryBound(to: Int.self)
                seen.pointee += Int(count)
                // Takes the first packet away.
                guard count > 0 else { return 0 }
                Mbuf(packets![0]!).free()
                for index in 1 ..< Int(count) { packets![index - 1] = packets![index] }
                return count - 1
            }
            try ring.port.start()
            for length in [60, 61, 62] {
                #expect([UInt8](repeating: 1, count: length).withUnsafeBytes { ring.inject($0) })
            }
            var batch = PacketBatch(capacity: 8)
            ring.port.receiveQueue(0).receive(into: &batch)
            #expect(seen.pointee == 3 && batch.count == 2 && batch[0].length == 61)
            batch.freeAll()
            ring.port.remove(callback)
            #expect([UInt8](repeating: 1, count: 60).withUnsafeBytes { ring.inject($0) })
            ring.port.receiveQueue(0).receive(into: &batch)
            #expect(seen.pointee == 3 && batch.count == 1)
            batch.freeAll()
            ring.close()
        }
    }

    @Test func closingFreesWhatIsInTheRings() throws {
        try withPool { pool in
            let ring = try RingPort(name: "full", capacity: 7, pool: pool)
            _ = try ring.port.configure(PortConfiguration(), pools: [pool])
            try ring.port.start()
            let frame = [UInt8](repeating: 9, count: 60)
            let taken = (0 ..< 10).map { _ in frame.withUnsafeBytes { ring.inject($0) } }
            #expect(taken == Array(repeating: true, count: 7) + Array(repeating: false, count: 3))
            #expect(ring.pendingCount == 7 && pool.inUse == 7)
            ring.close()
        }
    }
}
