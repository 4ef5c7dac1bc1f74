// A TCP window that a worker and the slow path write: neither undoes the other's, whatever comes between a look and a store.
import Foundation
import Synchronization
import Testing
import Wire

@testable import Conntrack

/// What a worker and the slow path of `neitherUndoesTheOther` tell each other.
private final class Conversation: Sendable {
    /// Segments that were sent up, and those that both ends are done with.
    let up = Atomic<Int>(0), done = Atomic<Int>(0)
    /// Bytes that the worker has forwarded.
    let forwarded = Atomic<Int>(0)
    let refused = Atomic<Int>(0)
}

@Suite struct SharedWindowTests {
    /// A connection whose window workers write: the client's next segment has number 101, the server's 501.
    private func shared() -> (TestTracker, UInt32, UnsafeMutablePointer<TCPWindowPair>) {
        let tracker = TestTracker(seed: 1)
        let index = tracker.establish(now: 0)
        tracker.tracker.shareWindow(index)
        return (tracker, index, UnsafeMutableRawPointer(tracker.connection(index)).assumingMemoryBound(to: TCPWindowPair.self))
    }

    private func data(_ sequence: UInt32, _ length: Int) -> TestPacket {
        .tcp(client, 1000, server, 80, TCPFlags.ack, sequence: sequence, acknowledgement: 501, payload: [UInt8](repeating: 1, count: length))
    }

    private func answer(_ acknowledgement: UInt32) -> TestPacket { .tcp(server, 80, client, 1000, TCPFlags.ack, sequence: 501, acknowledgement: acknowledgement) }

    /// A grace period of the slow path, `between` which a worker stores what it had under way.
    private func gracePeriod(_ tracker: TestTracker, between: () -> Void = {}) -> Bool {
        let isNeeded = tracker.tracker.beginWindowGracePeriod()
        between()
        tracker.tracker.endWindowGracePeriod()
        return isNeeded
    }

    /// Where nothing was tracked for a while the next segment of each direction says where the window is, and it is enforced from there on.
    @Test(arguments: [false, true]) func windowsAreLearntAfresh(isShared: Bool) {
        let tracker = TestTracker(seed: 1)
        let index = tracker.establish(now: 0)
        if isShared { tracker.tracker.shareWindow(index) }
        func state(_ sequence: UInt32) -> TrackingState { tracker.track(data(sequence, 10), now: 0).state }
        #expect(state(10_000_101) == .invalid)
        tracker.tracker.relearnWindows(.ipv6)
        #expect(state(10_000_101) == .invalid)
        tracker.tracker.relearnWindows(.ipv4)
        #expect([state(10_000_101), state(10_000_111), state(20_000_101)] == [.established, .established, .invalid])
    }

    @Test func whatAWorkerStoredOverIsStillKnown() {
        let (tracker, _, window) = shared()
        let invalid = tracker.statistics.invalidTotal
        // The slow path lets 100 bytes pass; a worker that had looked before stores what its segment of 10 came to.
        _ = tracker.pass(data(101, 100), now: 0)
        #expect(window.pointee.original.end == 201)
        window.pointee.original.end = 111
        _ = tracker.pass(answer(201), now: 0)
        #expect(tracker.statistics.invalidTotal == invalid)
        // At the end of a grace period it is brought in again; another shows that it stayed; then nothing is left to do.
        #expect(gracePeriod(tracker) { window.pointee.original.end = 111 })
        #expect(window.pointee.original.end == 201)
        #expect(gracePeriod(tracker))
        #expect(!gracePeriod(tracker))
        // Memory alone is not enough, which is what the note is for.
        window.pointee.original.end = 111
        _ = tracker.pass(answer(201), now: 0)
        #expect(tracker.statistics.invalidTotal == invalid + 1)
    }

    @Test func whatAWorkerStoresMeanwhileStays() {
        let (tracker, _, window) = shared()
        _ = tracker.pass(data(101, 10), now: 0)
        let before = TCPWindowPair(shared: window)
        var after = before
        #expect(TCPWindow.judge(&after, TCPSegment(header: data(111, 10).packet.start + 34, length: 30), direction: 0) == .within)
        // A worker goes further between the slow path's look and its merge.
        window.pointee.original.end = 181
        window.pointee.original.maxWindow = 60_000
        window.pointee.reply.maxEnd = before.reply.maxEnd &+ 77
        window.pointee.original.flags |= TCPEndpoint.Flag.closeInit
        TCPWindow.merge(from: before, to: after, into: window)
        #expect(window.pointee.original.end == 181 && window.pointee.original.maxWindow == 60_000 && window.pointee.reply.maxEnd == before.reply.maxEnd &+ 77)
        #expect(window.pointee.original.flags & TCPEndpoint.Flag.closeInit != 0)
        #expect(!before.covers(after) && TCPWindowPair(shared: window).covers(after))
    }

    /// What sets a window back takes it over: workers accept nothing until they have all been quiescent.
    @Test func aWindowThatIsSetBackIsTakenOver() {
        let (tracker, index, window) = shared()
        _ = tracker.pass(data(101, 10), now: 0)
        #expect(TCPWindow.acceptEstablished(window, header: answer(111).packet.start + 34, length: 20, direction: 1))
        tracker.tracker.noteOffloaded(index, hardware: true)
        #expect(!TCPWindow.acceptEstablished(window, header: answer(111).packet.start + 34, length: 20, direction: 1))
        // A worker that had looked before stores its sender's window: it has to be closed again.
        #expect(gracePeriod(tracker) { window.pointee.original.maxWindow = 9000 })
        #expect(window.pointee.original.maxWindow == 0)
        // The slow path learns both ends anew meanwhile, far from where they were.
        let invalid = tracker.statistics.invalidTotal
        _ = tracker.pass(.tcp(client, 1000, server, 80, TCPFlags.ack, sequence: 5_000_000, acknowledgement: 7_000_000, payload: [1]), now: 0)
        _ = tracker.pass(.tcp(server, 80, client, 1000, TCPFlags.ack, sequence: 7_000_000, acknowledgement: 5_000_001), now: 0)
        #expect(tracker.statistics.invalidTotal == invalid && window.pointee.original.maxWindow == 0)
        #expect(gracePeriod(tracker))
        #expect(window.pointee.original.end == 5_000_001 && window.pointee.original.maxWindow != 0 && window.pointee.reply.maxWindow != 0)
        #expect(window.pointee.original.flags & TCPEndpoint.Flag.beLiberal != 0 && !gracePeriod(tracker))
    }

    /// More connections than notes: what is displaced is put back first.
    @Test func aDisplacedNoteIsPutBack() {
        let tracker = TestTracker(seed: 1)
        var indices: [UInt32] = []
        for port in 0 ..< 1100 { indices.append(tracker.establish(UInt16(2000 + port), now: 0)) }
        for index in indices {
            tracker.tracker.shareWindow(index)
            tracker.tracker.noteOffloaded(index, hardware: true)
        }
        let displaced = indices.filter { tracker.connection($0).pointee.window.original.flags & TCPEndpoint.Flag.beLiberal != 0 }
        #expect(displaced.count == 1100 - 1024)
        #expect(gracePeriod(tracker))
        #expect(indices.allSatisfy { tracker.connection($0).pointee.window.original.flags & TCPEndpoint.Flag.beLiberal != 0 } && !gracePeriod(tracker))
    }

    /// A worker forwards a client's segments, of which every third goes up; the slow path judges that one and then the answer to all that was forwarded,
    /// while the worker goes on. None is refused.
    @Test func neitherUndoesTheOther() {
        let (tracker, _, window) = shared()
        let talk = Conversation()
        let address = UInt(bitPattern: window)
        let segments = 60_000
        Thread.detachNewThread {
            guard let window = UnsafeMutablePointer<TCPWindowPair>(bitPattern: address) else { return }
            let packet = TestPacket.tcp(client, 1000, server, 80, TCPFlags.ack, sequence: 0, acknowledgement: 501, payload: [1])
            let header = packet.packet.start + 34
            for number in 0 ..< segments {
                // What may be in flight: the receiver's window.
                while number - talk.done.load(ordering: .acquiring) > 4000 { Thread.sleep(forTimeInterval: 0) }
                if number % 3 == 2 {
                    talk.up.store(number, ordering: .releasing)
                } else {
                    header.storeBytes(of: (UInt32(101) &+ UInt32(number)).bigEndian, toByteOffset: 4, as: UInt32.self)
                    if !TCPWindow.acceptEstablished(window, header: header, length: 21, direction: 0) { talk.refused.add(1, ordering: .relaxed) }
                    // Release, pairs with the acquiring load below: the receiver has the segment only after the worker is done with it.
                    talk.forwarded.store(number + 1, ordering: .releasing)
                }
            }
            talk.up.store(segments + 1, ordering: .releasing)
        }
        let invalid = tracker.statistics.invalidTotal
        var number = 2
        while number < segments {
            while talk.up.load(ordering: .acquiring) < number { Thread.sleep(forTimeInterval: 0) }
            _ = tracker.pass(data(101 &+ UInt32(number), 1), now: 0)
            _ = tracker.pass(answer(101 &+ UInt32(max(number + 1, talk.forwarded.load(ordering: .acquiring)))), now: 0)
            talk.done.store(number, ordering: .releasing)
            number += 3
        }
        while talk.up.load(ordering: .acquiring) <= segments { Thread.sleep(forTimeInterval: 0) }
        #expect(tracker.statistics.invalidTotal == invalid && talk.refused.load(ordering: .relaxed) == 0)
        #expect(TCPWindowPair(shared: window).original.end == 101 &+ UInt32(segments))
    }
}
