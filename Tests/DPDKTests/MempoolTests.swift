// Pools, mbufs, table memory.
import DPDK
import Testing

extension DPDKSuite {
    @Test func poolGivesOutExactlyItsPackets() throws {
        try withPool(count: 100) { pool in
            var batch = PacketBatch(capacity: 100)
            #expect(pool.allocator.allocate(batch.storage, count: 100))
            #expect(pool.allocator.allocate() == nil)
            #expect(pool.inUse == 100 && pool.available == 0)
            batch.count = 100
            batch.freeAll()
            #expect(pool.available == 100)
        }
    }

    @Test func poolSizesAreChecked() {
        #expect { try Mempool(count: 0) } throws: { ($0 as? DPDKError)?.kind == .configuration }
        #expect { try Mempool(count: 10, dataRoom: 70000) } throws: { ($0 as? DPDKError)?.kind == .configuration }
        #expect { try Mempool(count: 400_000) } throws: {
            guard let error = $0 as? DPDKError else { return false }
            return error.kind == .machine && error.message.contains("no memory for 400000 packets") && error.advice.contains("eal.memory-mb")
        }
    }

    @Test func frameMovesInsideItsRoom() throws {
        try withPool(privateBytes: 16) { pool in
            let frame = (0 ..< 100).map { UInt8($0) }
            let mbuf = try #require(frame.withUnsafeBytes { pool.packet($0) })
            #expect(mbuf.length == 100 && mbuf.totalLength == 100 && mbuf.segmentCount == 1 && mbuf.next == nil)
            #expect(mbuf.headroom == 128 && mbuf.tailroom == 2048 - 100)
            mbuf.privateData.storeBytes(of: 0x1122_3344_5566_7788, as: UInt64.self)
            #expect(mbuf.prepend(4) == mbuf.data)
            #expect(mbuf.length == 104 && mbuf.headroom == 124)
            #expect(mbuf.prepend(125) == nil)
            #expect(mbuf.append(2000) == nil)
            #expect(mbuf.append(10) == mbuf.data + 104)
            #expect(mbuf.removeLast(14))
            #expect(!mbuf.removeLast(101))
            #expect(mbuf.removeFirst(200) == nil)
            #expect(mbuf.removeFirst(14) == mbuf.data)
            #expect(mbuf.data.load(as: UInt8.self) == 10 && mbuf.length == 86)
            var packet = mbuf.packetBuffer
            #expect(packet.headroom == 138 && packet.length == 86 && packet.start == mbuf.data)
            packet.headroom -= 8
            packet.length += 6
            mbuf.setFrame(packet)
            #expect(mbuf.length == 92 && mbuf.totalLength == 92 && mbuf.headroom == 130)
            #expect(mbuf.privateData.load(as: UInt64.self) == 0x1122_3344_5566_7788)
            mbuf.offloadFlags = [.mark, .vlan]
            mbuf.mark = 77
            mbuf.rssHash = 99
            mbuf.port = 3
            #expect(mbuf.offloadFlags.contains(.mark) && !mbuf.offloadFlags.contains(.rssHash) && mbuf.mark == 77 && mbuf.rssHash == 99 && mbuf.port == 3)
            mbuf.free()
            #expect([UInt8](repeating: 0, count: 2049).withUnsafeBytes { pool.packet($0) } == nil)
            let empty = try #require(pool.packet(UnsafeRawBufferPointer(start: nil, count: 0)))
            #expect(empty.length == 0)
            empty.free()
        }
    }

    @Test(arguments: [1, 100, 64 << 10, 5 << 20]) func tableMemoryIsZeroedAndAligned(_ bytes: Int) {
        let memory = HugeMemory(byteCount: bytes)
        #expect(Int(bitPattern: memory.base) % 64 == 0)
        #expect(memory.byteCount == bytes && memory.kind == .plain)
        #expect(UnsafeRawBufferPointer(start: memory.base, count: bytes).allSatisfy { $0 == 0 })
        memory.base.storeBytes(of: 1, toByteOffset: bytes - 1, as: UInt8.self)
    }
}
