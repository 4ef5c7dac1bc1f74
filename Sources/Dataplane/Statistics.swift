// A worker's counters: one block of 64-bit words, written by the worker alone, read by anybody.
//
// Invariant: the block is 64-byte aligned and padded, so that no other thread's writes share its lines. The worker adds once a burst
// with relaxed loads and stores (it is the only writer); readers load relaxed, so a snapshot is not one moment's.
import FlowCache
import Synchronization
import Wire

/// Where a counter stands in a worker's block.
@frozen public enum WorkerCounter: Int, CaseIterable, Sendable {
    case rounds, idleRounds, received, hits, misses, punted, transmitted
    /// Packets that the slow path handed over to be sent.
    case fromSlowPath
    case bursts
}

/// The block. Copies refer to the same memory.
@frozen public struct WorkerStatistics: Sendable {
    @usableFromInline nonisolated(unsafe) let words: UnsafeMutableRawPointer
    public let portCount: Int

    @inlinable static var dropBase: Int { 16 }
    @inlinable static var guardBase: Int { 16 + 80 }
    @inlinable static var puntBase: Int { 16 + 80 + 16 }
    @inlinable static var portBase: Int { 16 + 80 + 16 + 8 }
    @inlinable static var wordsPerPort: Int { 4 }

    /// Allocated for the life of the process: others may read a worker's counters after it ended.
    public init(portCount: Int) {
        precondition(DropReason.allCases.count <= 80 && FlowGuardReason.allCases.count <= 16, "worker statistics: more reasons than places")
        self.portCount = portCount
        let count = WorkerStatistics.portBase + portCount * WorkerStatistics.wordsPerPort
        let bytes = (count * 8 + 127) & ~127
        words = UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: 128)
        words.initializeMemory(as: UInt64.self, repeating: 0, count: bytes / 8)
    }

    @inlinable @inline(__always) func add(word: Int, _ amount: Int) {
        words.addRelaxed64(word &* 8, UInt64(truncatingIfNeeded: amount))
    }
    @inlinable @inline(__always) func add(_ counter: WorkerCounter, _ amount: Int) { add(word: counter.rawValue, amount) }
    @inlinable @inline(__always) func add(drop reason: DropReason, _ amount: Int = 1) { add(word: WorkerStatistics.dropBase &+ Int(reason.rawValue), amount) }
    @inlinable @inline(__always) func add(guard reason: FlowGuardReason, _ amount: Int = 1) {
        add(word: WorkerStatistics.guardBase &+ Int(reason.rawValue), amount)
    }
    @inlinable @inline(__always) func add(punt: PuntClass, _ amount: Int) { add(word: WorkerStatistics.puntBase &+ Int(punt.rawValue), amount) }
    @inlinable @inline(__always) func addReceived(port: Int, packets: Int, bytes: Int) {
        add(word: WorkerStatistics.portBase &+ port &* 4, packets)
        add(word: WorkerStatistics.portBase &+ port &* 4 &+ 1, bytes)
    }
    @inlinable @inline(__always) func addTransmitted(port: Int, packets: Int, bytes: Int) {
        add(word: WorkerStatistics.portBase &+ port &* 4 &+ 2, packets)
        add(word: WorkerStatistics.portBase &+ port &* 4 &+ 3, bytes)
    }

    private func load(_ word: Int) -> UInt64 { words.atomic64(word * 8).pointee.load(ordering: .relaxed) }

    public func value(_ counter: WorkerCounter) -> UInt64 { load(counter.rawValue) }
    public func value(drop reason: DropReason) -> UInt64 { load(WorkerStatistics.dropBase + Int(reason.rawValue)) }
    public func value(guard reason: FlowGuardReason) -> UInt64 { load(WorkerStatistics.guardBase + Int(reason.rawValue)) }
    public func value(punt: PuntClass) -> UInt64 { load(WorkerStatistics.puntBase + Int(punt.rawValue)) }
    /// Frames and bytes of one port, as this worker received and sent them.
    public func value(port: PortIndex) -> PortStatistics {
        let base = WorkerStatistics.portBase + Int(port) * 4
        return PortStatistics(receivedPackets: load(base), receivedBytes: load(base + 1), transmittedPackets: load(base + 2), transmittedBytes: load(base + 3))
    }
}

public struct PortStatistics: Sendable, Equatable {
    public var receivedPackets: UInt64 = 0
    public var receivedBytes: UInt64 = 0
    public var transmittedPackets: UInt64 = 0
    public var transmittedBytes: UInt64 = 0
    public init(receivedPackets: UInt64 = 0, receivedBytes: UInt64 = 0, transmittedPackets: UInt64 = 0, transmittedBytes: UInt64 = 0) {
        self.receivedPackets = receivedPackets
        self.receivedBytes = receivedBytes
        self.transmittedPackets = transmittedPackets
        self.transmittedBytes = transmittedBytes
    }
    public static func + (a: PortStatistics, b: PortStatistics) -> PortStatistics {
        PortStatistics(
            receivedPackets: a.receivedPackets + b.receivedPackets, receivedBytes: a.receivedBytes + b.receivedBytes,
            transmittedPackets: a.transmittedPackets + b.transmittedPackets, transmittedBytes: a.transmittedBytes + b.transmittedBytes)
    }
}
