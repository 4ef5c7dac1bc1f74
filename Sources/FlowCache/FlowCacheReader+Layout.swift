// Where the cache lies in memory: for the benchmark, whose twin in C reads the same table.

public struct FlowCacheLayout: @unchecked Sendable {
    public struct Table {
        public let tags: UnsafeMutableRawPointer
        public let entries: UnsafeMutableRawPointer
        public let buckets: UInt64
    }
    public let ipv4: Table
    public let ipv6: Table
    public let actions: UnsafePointer<FlowAction>
    /// The generation that entries must have.
    public let generation: UnsafePointer<UInt32>
    /// Eight words, in the order of `FlowHashSeeds`.
    public let seeds: [UInt64]
}

extension FlowCacheReader {
    public var layout: FlowCacheLayout {
        func table(_ view: FlowTableView) -> FlowCacheLayout.Table {
            FlowCacheLayout.Table(tags: view.tags, entries: view.entries, buckets: view.bucketCount)
        }
        return FlowCacheLayout(
            ipv4: table(ipv4), ipv6: table(ipv6), actions: actions, generation: UnsafePointer(shared.assumingMemoryBound(to: UInt32.self)),
            seeds: [seeds.s0, seeds.s1, seeds.s2, seeds.s3, seeds.s4, seeds.s5, seeds.s6, seeds.s7])
    }
}
