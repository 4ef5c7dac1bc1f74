// Rings, quiescence and lcores: two threads, one of them an EAL worker.
import DPDK
import Testing

/// What the worker's C function gets: plain memory.
private struct RingJob {
    var ring: MessageRing<UInt64>.Handle
    var count: UInt64
    var sum: UInt64 = 0
    var disorder: UInt64 = 0
}

private struct ReaderJob {
    var state: QuiescentState.Handle
    var rounds: MessageRing<UInt64>.Handle
    var go: MessageRing<UInt64>.Handle
}

extension DPDKSuite {
    private func worker() throws -> Lcore { try #require(eal.workers.first, "the test's EAL has no worker lcore") }

    @Test func messageRingAcrossThreads() throws {
        let ring = MessageRing<UInt64>(capacity: 64)
        let total: UInt64 = 200_000
        let job = UnsafeMutablePointer<RingJob>.allocate(capacity: 1)
        defer { job.deallocate() }
        job.initialize(to: RingJob(ring: ring.handle, count: total))
        let lcore = try worker()
        try lcore.launch({ context in
            let job = context!.assumingMemoryBound(to: RingJob.self)
            var next: UInt64 = 1
            while next <= job.pointee.count {
                guard let message = job.pointee.ring.get() else {
                    Clock.yield()
                    continue
                }
                if message != next { job.pointee.disorder += 1 }
                job.pointee.sum &+= message
                next += 1
            }
            return 42
        }, context: job)
        #expect(throws: DPDKError.self) { try lcore.launch({ _ in 0 }, context: nil) }
        var next: UInt64 = 1
        while next <= total {
            if ring.handle.put(next) { next += 1 } else { Clock.yield() }
        }
        #expect(lcore.wait() == 42)
        #expect(job.pointee.disorder == 0)
        #expect(job.pointee.sum == total * (total + 1) / 2)
        #expect(ring.handle.isEmpty)
        #expect(!lcore.isRunning)
    }

    @Test func packetRingIsBounded() throws {
        try withPool { pool in
            let ring = SPSCRing(capacity: 5)
            #expect(ring.handle.capacity == 7)
            var packets: [Mbuf] = []
            for _ in 0 ..< 9 { packets.append(try #require(pool.allocator.allocate())) }
            #expect(packets.map { ring.handle.put($0) } == [true, true, true, true, true, true, true, false, false])
            #expect(ring.handle.count == 7 && ring.handle.freeCount == 0)
            #expect(ring.handle.get() == packets[0])
            let batch = PacketBatch(capacity: 4)
            batch[0] = packets[7]
            batch[1] = packets[8]
            #expect(!ring.handle.putAll(batch.storage, count: 2))
            #expect(ring.handle.put(batch.storage, count: 2) == 1)
            packets[0].free()
            packets[8].free()
            #expect(ring.handle.get(into: batch.storage, maximum: 4) == 4)
            #expect(batch[0] == packets[1] && batch[3] == packets[4])
            for index in 0 ..< 4 { batch[index].free() }
            #expect(ring.handle.drainAndFree() == 3)
            #expect(ring.handle.get() == nil)
        }
    }

    @Test func wideMessages() {
        struct Message: BitwiseCopyable, Equatable { var a: UInt64, b: UInt32, c: UInt32, d: UInt64 }
        let ring = MessageRing<Message>(capacity: 3)
        let messages = (1 ... 4).map { Message(a: $0, b: UInt32($0) * 3, c: 7, d: .max - $0) }
        #expect(ring.handle.put(messages, count: 4) == 3)
        #expect(!ring.handle.put(messages[3]))
        var got = [Message](repeating: Message(a: 0, b: 0, c: 0, d: 0), count: 4)
        #expect(got.withUnsafeMutableBufferPointer { ring.handle.get(into: $0.baseAddress!, maximum: 4) } == 3)
        #expect(Array(got[..<3]) == Array(messages[..<3]))
        #expect(ring.handle.get() == nil)
    }

    @Test func graceEndsWhenReadersWereQuiescent() {
        let state = QuiescentState(readers: 2)
        let writer = state.handle
        #expect(writer.hasPassed(writer.start()), "nobody reads")
        writer.register(reader: 0)
        writer.register(reader: 1)
        let token = writer.start()
        #expect(!writer.hasPassed(token))
        writer.quiescent(reader: 0)
        #expect(!writer.hasPassed(token))
        writer.quiescent(reader: 1)
        #expect(writer.hasPassed(token))
        let second = writer.start()
        writer.quiescent(reader: 0)
        writer.offline(reader: 1)
        #expect(writer.hasPassed(second))
        let third = writer.start()
        #expect(!writer.hasPassed(third))
        writer.unregister(reader: 0)
        #expect(writer.hasPassed(third))
    }

    @Test func readerOnAnotherThreadEndsGrace() throws {
        let state = QuiescentState(readers: 1)
        let rounds = MessageRing<UInt64>(capacity: 3), go = MessageRing<UInt64>(capacity: 3)
        let job = UnsafeMutablePointer<ReaderJob>.allocate(capacity: 1)
        defer { job.deallocate() }
        job.initialize(to: ReaderJob(state: state.handle, rounds: rounds.handle, go: go.handle))
        let lcore = try worker()
        try lcore.launch({ context in
            let job = context!.assumingMemoryBound(to: ReaderJob.self)
            job.pointee.state.register(reader: 0)
            _ = job.pointee.rounds.put(1)
            while job.pointee.go.get() == nil { Clock.yield() }
            job.pointee.state.quiescent(reader: 0)
            while job.pointee.go.get() == nil { Clock.yield() }
            job.pointee.state.unregister(reader: 0)
            return 0
        }, context: job)
        while rounds.handle.get() == nil { Clock.yield() }
        let token = state.handle.start()
        #expect(!state.handle.hasPassed(token))
        #expect(go.handle.put(1))
        state.handle.wait(for: token)
        #expect(state.handle.hasPassed(token))
        #expect(go.handle.put(2))
        #expect(lcore.wait() == 0)
    }

    @Test func onlyWorkersCanBeLaunched() {
        #expect(throws: DPDKError.self) { try Lcore.main.launch({ _ in 0 }, context: nil) }
        #expect(throws: DPDKError.self) { try Lcore(id: 99).launch({ _ in 0 }, context: nil) }
    }
}
