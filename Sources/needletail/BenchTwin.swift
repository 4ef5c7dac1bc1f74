// The worker's twin in C (CShims/CDPDK/nt_bench_twin.c), told where everything lies.
import CDPDK
import DPDK
import FlowCache
import Wire

extension nt_twin {
    /// - Parameters:
    ///   - addresses: of port 0 and port 1.
    ///   - ports: DPDK's numbers of them.
    ///   - queue: of both, and the number of the worker that it is the twin of.
    init(_ layout: FlowCacheLayout, _ connections: ConnectionRecords, addresses: [EthernetAddress], ports: [UInt16], queue: Int) {
        self.init()
        func table(_ table: FlowCacheLayout.Table) -> nt_twin_table {
            nt_twin_table(
                tags: UnsafePointer(table.tags.assumingMemoryBound(to: UInt8.self)), entries: table.entries.assumingMemoryBound(to: UInt8.self),
                buckets: table.buckets)
        }
        tables = (table(layout.ipv4), table(layout.ipv6))
        withUnsafeMutableBytes(of: &seeds) { seeds in
            for (place, seed) in layout.seeds.enumerated() { seeds.storeBytes(of: seed, toByteOffset: place * 8, as: UInt64.self) }
        }
        actions = UnsafeRawPointer(layout.actions).assumingMemoryBound(to: UInt8.self)
        generation = layout.generation
        self.connections = connections.base?.assumingMemoryBound(to: UInt8.self)
        connection_stride = UInt64(connections.stride)
        func raw(_ address: EthernetAddress) -> UInt64 { (address.rawValue << 16).bigEndian }
        self.addresses = (raw(addresses[0]), raw(addresses[1]))
        self.ports = (ports[0], ports[1])
        self.queue = UInt16(queue)
        owner = FlowOwner(worker: queue).word
    }
}
