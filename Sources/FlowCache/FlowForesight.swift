// What publishing a flow and withdrawing one will look at, asked of the memory ahead of time: each would miss the cache two or three
// times in a row, unless a batch of packets has its misses together.
//
// Invariant: nothing is changed and nothing decided here; a wrong guess costs time only. Two words, so that it is handed about
// in registers: both point into the cache's memory and outlive whoever holds it.
import CIntrinsics
import Wire

public struct FlowForesight {
    private let families: UnsafeMutablePointer<FlowTableFamily>
    private let seeds: UnsafePointer<FlowHashSeeds>

    init(families: UnsafeMutablePointer<FlowTableFamily>, seeds: UnsafePointer<FlowHashSeeds>) {
        self.families = families
        self.seeds = seeds
    }

    private func table(isIPv6: Bool) -> UnsafeMutablePointer<FlowTable> {
        UnsafeMutableRawPointer(isIPv6 ? families + 1 : families).assumingMemoryBound(to: FlowTable.self)
    }

    /// First, of a frame whose flow may be published: its bucket. The flow's hash; nil if it is no plain frame.
    public func request(_ frame: UnsafeMutableRawPointer, length: Int, ingress: PortIndex) -> (hash: UInt64, isIPv6: Bool)? {
        withUnsafeTemporaryAllocation(of: FlowProbe.self, capacity: 1) { room in
            let probe = room.baseAddress.unsafelyUnwrapped
            guard FlowProbe.read(frame, length: length, ingress: ingress, seeds: seeds.pointee, into: probe) else { return nil }
            let hash = probe.pointee.hash, isIPv6 = probe.pointee.isIPv6
            let view = table(isIPv6: isIPv6).pointee.view
            ntl_prefetch_write(view.line(view.bucket(hash)))
            return (hash, isIPv6)
        }
    }

    /// Then, when that has come: the place that a new entry would take, or the entry that is there.
    public func requestRoom(_ hash: UInt64, isIPv6: Bool) {
        let table = table(isIPv6: isIPv6)
        let view = table.pointee.view, bucket = view.bucket(hash), line = view.line(bucket)
        let held = view.match(line, FlowTableView.tag(hash))
        let lanes = held != 0 ? held : view.match(line, FlowTableView.free)
        guard lanes != 0 else { return }
        request(table, slot: bucket &* FlowTableView.lanes &+ lanes.trailingZeroBitCount)
    }

    /// All that withdrawing the entry will look at.
    public func request(_ handle: FlowHandle) {
        let table = table(isIPv6: handle.isIPv6), slot = handle.place
        guard handle.isAlternate == table.pointee.isAlternate, slot < table.pointee.slotCount else { return }
        ntl_prefetch_write(table.pointee.view.line(slot / FlowTableView.lanes))
        request(table, slot: slot)
    }

    private func request(_ table: UnsafeMutablePointer<FlowTable>, slot: Int) {
        ntl_prefetch_write(table.pointee.records + slot)
        let entry = table.pointee.view.entry(slot: slot)
        ntl_prefetch_write(entry)
        if table.pointee.isIPv6 { ntl_prefetch_write(entry + 64) }
    }
}
