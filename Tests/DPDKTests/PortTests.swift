// Ports over drivers that need no hardware: net_null, net_ring.
import DPDK
import Testing

extension DPDKSuite {
    @Test func nullPortReceivesAndSends() throws {
        try withPool { pool in
            let port = try Port(name: "p0", device: "net_null0,size=64")
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
}
