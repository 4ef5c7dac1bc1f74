// The ports of the workers' engine, for all engines of the process: for each port and worker a pair of rings, which stands for the queue
// pair that the worker has of that port.
//
// Invariant: between two frames every ring is empty and every packet buffer is back in the pool; `inUse` says so.
import DPDK

final class Wires {
    static let workers = 2, ports = 2
    let pool: Mempool
    private let rings: [[RingPort]]

    init() throws {
        let pool = try Mempool(name: "wires", count: 2047, dataRoom: 9216 + Mempool.headroom, cache: 0)
        self.pool = pool
        rings = try (0 ..< Self.ports).map { port in
            try (0 ..< Self.workers).map { worker in
                let ring = try RingPort(name: "r\(port)w\(worker)", capacity: 255, pool: pool)
                var wanted = PortConfiguration()
                wanted.symmetricRSS = false
                _ = try ring.port.configure(wanted, pools: [pool])
                try ring.port.start()
                return ring
            }
        }
    }

    func device(port: Int, worker: Int) -> EthernetPort { rings[port][worker].port }
    var inUse: Int { pool.inUse }

    /// A frame on its way to the worker, with what the NIC says of its checksums.
    func inject(_ frame: [UInt8], port: Int, worker: Int, flags: OffloadFlags) -> Bool {
        frame.withUnsafeBytes { rings[port][worker].inject($0, flags: flags) }
    }

    /// What left by all ports since the last call.
    func takeSent() -> [(port: Int, frame: [UInt8])] {
        var sent: [(port: Int, frame: [UInt8])] = []
        for port in rings.indices {
            for ring in rings[port] {
                while let packet = ring.take() {
                    var frame: [UInt8] = []
                    var part: Mbuf? = packet
                    while let segment = part {
                        frame += UnsafeRawBufferPointer(start: segment.data, count: segment.length)
                        part = segment.next
                    }
                    sent.append((port, frame))
                    packet.free()
                }
            }
        }
        return sent
    }
}
