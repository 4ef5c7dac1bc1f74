// How busy a cached flow is in software, which decides whether it is offered to the NIC, and packets of flows in the NIC that software saw
// all the same.
//
// Invariant: a rate is what both directions' entries counted between two visits of the sweep at least `window` apart, over that time; so
// it is right however long a sweep takes.
import Conntrack
import FlowCache
import Wire

/// What a flow must have done in software before it is offered to the NIC.
public struct OffloadThreshold: Sendable {
    /// Both directions together, over a quarter of a second or more; 0: whatever it is.
    public var packetsPerSecond: UInt32
    /// Packets of both directions so far.
    public var packets: UInt64
    public init(packetsPerSecond: UInt32, packets: UInt64) {
        self.packetsPerSecond = packetsPerSecond
        self.packets = packets
    }
}

/// What is measured of a connection, and how its packets arrive.
struct FlowMeasure {
    var connectionGeneration: UInt32 = 0
    /// When the window under way began; 0: none is.
    var from: UInt32 = 0
    /// Counted since then, and since the connection began to be cached.
    var packets: UInt32 = 0
    var total: UInt32 = 0
    /// Over the last whole window, or at least that in the one under way; 0: not known.
    var packetsPerSecond: UInt32 = 0
    /// By direction, of the packet that had the flow cached.
    var originalTimeToLive: UInt8 = 0
    var replyTimeToLive: UInt8 = 0

    /// 0.25 s in ticks.
    private static let window: UInt32 = 239

    /// Takes a count; true if there is a rate now: a window has ended with it, or holds packets for a rate of `enough` already.
    mutating func add(_ count: UInt64, enough: UInt32, now: Timestamp) -> Bool {
        let tick = max(1, FlowCache.tick(now)), count = min(count, UInt64(UInt32.max))
        total = UInt32(clamping: UInt64(total) + count)
        guard from != 0 else {
            // These were counted since nobody knows when.
            from = tick
            return false
        }
        packets = UInt32(clamping: UInt64(packets) + count)
        let elapsed = tick &- from
        let rate = UInt32(clamping: UInt64(packets) * 1_000_000_000 / FlowCache.nanoseconds(ticks: max(elapsed, Self.window)))
        guard elapsed >= Self.window else {
            guard rate > 0, rate >= enough else { return false }
            packetsPerSecond = rate
            return true
        }
        packetsPerSecond = max(1, rate)
        from = tick
        packets = 0
        return true
    }
}

/// A flow in the NIC of which software forwarded packets.
public struct SoftwareHit: Sendable {
    /// Names the offer.
    public var handle = FlowHandle(slot: 0, generation: 0)
    public var direction: UInt8 = 0
}

extension SlowPath {
    /// Notes what a sweep found a cached flow to have done.
    mutating func noteBusy(_ record: FlowRecord, now: Timestamp) {
        guard let threshold = settings.offload, record.packets > 0 else { return }
        let index = Int(record.connection)
        guard !offered[index].isOut else { return noteSoftwareHit(record) }
        let connection = tracker.pointee.connection(record.connection)
        if measures[index].connectionGeneration != connection.pointee.generation { beginMeasuring(record.connection) }
        let isWhole = measures[index].add(record.packets, enough: threshold.packetsPerSecond, now: now)
        guard isWhole || threshold.packetsPerSecond == 0, measures[index].packetsPerSecond >= threshold.packetsPerSecond else { return }
        let total = max(UInt64(measures[index].total), connection.pointee.originalPackets + connection.pointee.replyPackets)
        guard total >= threshold.packets, offered[index].retryAt <= now, busyCount < Self.offloadQueueCapacity else { return }
        busy[busyCount] = record.connection
        busyCount += 1
    }

    private mutating func beginMeasuring(_ connection: UInt32) {
        measures[Int(connection)] = FlowMeasure(connectionGeneration: tracker.pointee.connection(connection).pointee.generation)
    }

    /// A packet of the direction arrives with this TTL or hop limit.
    mutating func noteTimeToLive(_ connection: UInt32, direction: UInt8, _ timeToLive: UInt8) {
        guard settings.offload != nil else { return }
        if measures[Int(connection)].connectionGeneration != tracker.pointee.connection(connection).pointee.generation { beginMeasuring(connection) }
        if direction == 0 { measures[Int(connection)].originalTimeToLive = timeToLive } else { measures[Int(connection)].replyTimeToLive = timeToLive }
    }

    private mutating func noteSoftwareHit(_ record: FlowRecord) {
        let offer = offered[Int(record.connection)]
        // A hint: what finds no room is found again by the next sweep.
        guard offer.isInstalled, softwareHitCount < Self.offloadQueueCapacity else { return }
        softwareHits[softwareHitCount] = SoftwareHit(handle: offer.handle, direction: record.direction)
        softwareHitCount += 1
    }

    /// The next flow in the NIC of which software forwarded packets; nil when there is none left.
    public mutating func nextSoftwareHit() -> SoftwareHit? {
        guard softwareHitCount > 0 else { return nil }
        softwareHitCount -= 1
        return softwareHits[softwareHitCount]
    }
}
