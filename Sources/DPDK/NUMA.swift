// Which memory is near which CPU, from libnuma. (DPDK's rte_lcore_to_socket_id looks at the lcore's number, not at the
// CPU that --lcores mapped it to, so it is not asked.)
import CNuma

public enum NUMA {
    /// False where the kernel has no NUMA support; then everything is node 0.
    public static let isAvailable: Bool = numa_available() >= 0

    /// The node of a CPU; 0 without NUMA.
    public static func node(ofCPU cpu: Int) -> Int32 {
        guard isAvailable else { return 0 }
        return max(0, numa_node_of_cpu(Int32(cpu)))
    }

    /// Number of nodes.
    public static var nodeCount: Int { isAvailable ? Int(numa_max_node()) + 1 : 1 }

    /// What to tell the user if a worker's CPU and a port are on different nodes; nil if they are near or unknown.
    public static func warning(workerCPU cpu: Int, port: String, portNode: Int32) -> String? {
        let near = node(ofCPU: cpu)
        guard nodeCount > 1, portNode >= 0, near != portNode else { return nil }
        return "CPU \(cpu) is on NUMA node \(near), port \(port) on node \(portNode): packets cross nodes; use a worker core of node \(portNode)"
    }
}
