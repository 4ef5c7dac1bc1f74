// RSS as a device has it, against what the port learned of it; and our way of choosing ports against DPDK's own.
import CDPDK
import Conntrack
import DPDK
import Testing
import Wire

private func input(_ tuple: ConnectionTuple) -> [UInt32] {
    func halves(_ word: UInt64) -> [UInt32] { [UInt32(truncatingIfNeeded: word >> 32), UInt32(truncatingIfNeeded: word)] }
    var words: [UInt32] = []
    for (high, low) in [(tuple.sourceHigh, tuple.sourceLow), (tuple.destinationHigh, tuple.destinationLow)] {
        words += tuple.family == .ipv4 ? [UInt32(truncatingIfNeeded: low)] : halves(high) + halves(low)
    }
    return words + [UInt32(tuple.sourcePort) << 16 | UInt32(tuple.destinationPort)]
}

private func softRSS(_ tuple: ConnectionTuple, _ key: [UInt8]) -> UInt32 {
    var words = input(tuple)
    // It reads a word beyond the input's.
    return (key + [0, 0, 0, 0]).withUnsafeBytes { rte_softrss(&words, UInt32(words.count), $0.bindMemory(to: UInt8.self).baseAddress) }
}

private func randomTuple(isIPv6: Bool) -> ConnectionTuple {
    var tuple = ConnectionTuple()
    tuple.family = isIPv6 ? .ipv6 : .ipv4
    func word() -> UInt64 { isIPv6 ? .random(in: .min ... .max) : UInt64(UInt32.random(in: .min ... .max)) }
    (tuple.sourceLow, tuple.destinationLow) = (word(), word())
    if isIPv6 { (tuple.sourceHigh, tuple.destinationHigh) = (word(), word()) }
    (tuple.sourcePort, tuple.destinationPort) = (.random(in: .min ... .max), .random(in: .min ... .max))
    tuple.transportProtocol = IPProtocol.tcp
    return tuple
}

extension DPDKSuite {
    @Test func aPortTellsHowItSpreads() throws {
        try withPool { pool in
            let port = try EthernetPort(name: "p0", device: "net_null7,size=64")
            var wanted = PortConfiguration()
            wanted.receiveQueues = 3
            wanted.transmitQueues = 3
            wanted.hashKeyWord = ReceiveHashing.keyWord(seed: 42)
            let setup = try port.configure(wanted, pools: [pool])
            guard setup.receiveQueues == 3, setup.symmetricRSS else {
                Issue.record("net_null has RSS")
                return
            }
            #expect(throws: DPDKError.self) { try port.receiveHashing() }
            try port.start()
            let hashing = try port.receiveHashing()
            let word = wanted.hashKeyWord
            #expect(word.nonzeroBitCount & 1 == 1 && hashing.key.count >= ReceiveSpread.keyBytes)
            #expect(hashing.key.enumerated().allSatisfy { $0.element == UInt8(truncatingIfNeeded: $0.offset & 1 == 0 ? word >> 8 : word) })
            #expect(hashing.ipv4TCP && hashing.ipv4UDP && hashing.ipv6TCP && hashing.ipv6UDP)
            #expect(hashing.queues.count == 128 && hashing.queues.enumerated().allSatisfy { $0.element == UInt16($0.offset % 3) })
            port.close()
        }
    }

    @Test func aRingPortTellsNothing() throws {
        try withPool { pool in
            let single = try RingPort(name: "r1", capacity: 63, pool: pool)
            _ = try single.port.configure(PortConfiguration(), pools: [pool])
            try single.port.start()
            #expect(try single.port.receiveHashing().queues == [0])
            single.close()
            let ring = try RingPort(name: "r0", queues: 2, capacity: 63, pool: pool)
            var wanted = PortConfiguration()
            wanted.receiveQueues = 2
            wanted.transmitQueues = 2
            #expect(try ring.port.configure(wanted, pools: [pool]).receiveQueues == 2)
            try ring.port.start()
            #expect(throws: DPDKError.self) { try ring.port.receiveHashing() }
            ring.close()
        }
    }

    @Test func theHashIsDPDKs() throws {
        for round in 0 ..< 300 {
            let key = (0 ..< 40).map { _ in UInt8.random(in: .min ... .max) }
            let spread = try #require(ReceiveSpread(key: key, workers: [0, 1], kinds: .ipv4TCP))
            defer { spread.deallocate() }
            let tuple = randomTuple(isIPv6: round & 1 == 0)
            #expect(spread.hash(tuple) == softRSS(tuple, key))
        }
    }

    /// With a key of DPDK's making, `rte_thash_adjust_tuple` and the tracker bring the answers to the same entry of the table.
    @Test(arguments: [false, true]) func portsAreThoseThatDPDKWouldChoose(isIPv6: Bool) throws {
        let context = try #require(rte_thash_init_ctx("nt-steer", 40, 7, nil, 0))
        defer { rte_thash_free_ctx(context) }
        // The destination port of the answer: the last 16 bits of the tuple.
        let bits: UInt32 = isIPv6 ? 288 : 96
        #expect(rte_thash_add_helper(context, "nt-port", 16, bits - 16) == 0)
        let helper = try #require(rte_thash_get_helper(context, "nt-port"))
        let key = Array(UnsafeBufferPointer(start: try #require(rte_thash_get_key(context)), count: 40))
        let spread = try #require(ReceiveSpread(key: key, workers: (0 ..< 128).map { UInt16($0) }, kinds: [.ipv4TCP, .ipv6TCP]))
        defer { spread.deallocate() }
        for wanted in [UInt32(0), 5, 64, 127] {
            let reply = randomTuple(isIPv6: isIPv6)
            var bytes = input(reply).flatMap { word in (0 ..< 4).map { UInt8(truncatingIfNeeded: word >> UInt32(24 - 8 * $0)) } }
            #expect(rte_thash_adjust_tuple(context, helper, &bytes, UInt32(bytes.count), wanted, 1, nil, nil) == 0)
            var theirs = reply
            theirs.destinationPort = UInt16(bytes[bytes.count - 2]) << 8 | UInt16(bytes[bytes.count - 1])
            #expect(spread.hash(theirs) & 127 == wanted && softRSS(theirs, key) & 127 == wanted)
            // The hash is linear in the port: whatever DPDK's solution is, ours is one of the same equation.
            let ours = try #require((UInt16(1024) ... .max).first { port in
                var tuple = reply
                tuple.destinationPort = port
                return spread.hash(tuple) & 127 == wanted
            })
            var mine = reply
            mine.destinationPort = ours
            #expect(softRSS(mine, key) & 127 == wanted)
        }
    }
}
