// Everything that needs a running EAL: one serialized suite, since the EAL starts once in a process and its ports and
// pools are the process's own. Files of this target extend it, one for each concept.
import DPDK
import Testing

@Suite(.serialized) struct DPDKSuite {
    /// The EAL of this test process; another test target may have started it.
    static let eal = Result { try EAL.shared(.small()) }
    let eal: EAL

    init() throws { eal = try DPDKSuite.eal.get() }

    /// Runs `body` with a pool, and fails if a packet is missing from it afterwards.
    func withPool(count: Int = 1023, dataRoom: Int = Mempool.defaultDataRoom, privateBytes: Int = 0, _ body: (Mempool) throws -> Void) throws {
        let pool = try Mempool(name: "test", count: count, dataRoom: dataRoom, privateBytes: privateBytes, cache: 32)
        #expect(pool.inUse == 0)
        try body(pool)
        #expect(pool.inUse == 0, "packets leaked")
    }
}
