// Between the slow path, which knows flows, and the offload manager, which knows rules: messages both ways.
//
// Invariant: used by the slow-path core only; nothing here waits. A candidate that finds the ring full is offered again
// when it is next found busy; a withdrawal that does is kept and tried again.
import FlowCache
import Offload
import SlowPath
import Wire

public final class OffloadLink {
    private let client: OffloadClient
    private var waiting: [OffloadSlot] = []
    private var recalls = false

    public init(client: OffloadClient) { self.client = client }

    /// Passes withdrawals on and takes events; their number.
    func serve(_ path: UnsafeMutablePointer<SlowPath>, now: Timestamp) -> Int {
        if path.pointee.takeRecall() { recalls = true }
        if recalls, client.withdrawAll() { recalls = false }
        while let handle = path.pointee.nextWithdrawn() { waiting.append(OffloadSlot(handle)) }
        while let slot = waiting.first, client.withdraw(slot) { waiting.removeFirst() }
        while let hit = path.pointee.nextSoftwareHit() { _ = client.noteSoftwareHits(OffloadSlot(hit.handle), direction: hit.direction) }
        return client.drainEvents { event in
            let handle = FlowHandle(slot: event.slot.index, generation: event.slot.generation)
            switch event.kind {
            case .installed: path.pointee.offloadInstalled(event.connection, handle)
            case .refused: path.pointee.offloadEnded(event.connection, handle, retryAt: event.time)
            case .removed: path.pointee.offloadEnded(event.connection, handle, retryAt: max(now, event.time))
            case .credit:
                path.pointee.creditOffloaded(event.connection, handle, direction: event.direction, packets: event.packets, bytes: event.bytes, lastSeen: event.time)
            }
        }
    }

    /// Offers what the last sweep found busy.
    func offerBusyFlows(_ path: UnsafeMutablePointer<SlowPath>, now: Timestamp) {
        while let pair = path.pointee.nextBusyFlow(now: now) {
            var candidate = OffloadCandidate(
                slot: OffloadSlot(pair.originalHandle), replySlot: OffloadSlot(pair.replyHandle), original: pair.original, reply: pair.reply)
            candidate.packetsPerSecond = pair.packetsPerSecond
            candidate.originalTimeToLive = pair.originalTimeToLive
            candidate.replyTimeToLive = pair.replyTimeToLive
            guard client.offer(candidate) else { return }
            path.pointee.offerTaken(pair)
        }
    }
}

extension OffloadSlot {
    init(_ handle: FlowHandle) { self.init(index: handle.slot, generation: handle.generation) }
}
