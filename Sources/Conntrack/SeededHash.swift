// The hash of tuples, and the generator of random choices.
//
// Invariant: without the seed nobody can tell which tuples share a bucket: SipHash-1-3 (Aumasson, Bernstein) over whole
// words. Both are functions of their seed alone, so a run can be repeated.
import Wire

struct SeededHash: Sendable {
    let key0: UInt64
    let key1: UInt64

    @inline(__always)
    private static func round(_ v0: inout UInt64, _ v1: inout UInt64, _ v2: inout UInt64, _ v3: inout UInt64) {
        v0 &+= v1
        v1 = (v1 << 13 | v1 >> 51) ^ v0
        v0 = v0 << 32 | v0 >> 32
        v2 &+= v3
        v3 = (v3 << 16 | v3 >> 48) ^ v2
        v0 &+= v3
        v3 = (v3 << 21 | v3 >> 43) ^ v0
        v2 &+= v1
        v1 = (v1 << 17 | v1 >> 47) ^ v2
        v2 = v2 << 32 | v2 >> 32
    }

    @inline(__always)
    func callAsFunction(_ a: UInt64, _ b: UInt64, _ c: UInt64, _ d: UInt64, _ e: UInt64) -> UInt32 {
        var v0 = key0 ^ 0x736f_6d65_7073_6575
        var v1 = key1 ^ 0x646f_7261_6e64_6f6d
        var v2 = key0 ^ 0x6c79_6765_6e65_7261
        var v3 = key1 ^ 0x7465_6462_7974_6573
        func absorb(_ word: UInt64) {
            v3 ^= word
            SeededHash.round(&v0, &v1, &v2, &v3)
            v0 ^= word
        }
        absorb(a)
        absorb(b)
        absorb(c)
        absorb(d)
        absorb(e)
        v2 ^= 0xff
        SeededHash.round(&v0, &v1, &v2, &v3)
        SeededHash.round(&v0, &v1, &v2, &v3)
        SeededHash.round(&v0, &v1, &v2, &v3)
        let hash = v0 ^ v1 ^ v2 ^ v3
        return UInt32(truncatingIfNeeded: hash ^ hash >> 32)
    }

    /// Over everything that identifies a direction.
    @inline(__always)
    func tuple(_ tuple: ConnectionTuple) -> UInt32 {
        let rest =
            UInt64(tuple.sourcePort) << 48 | UInt64(tuple.destinationPort) << 32 | UInt64(tuple.zone) << 16
            | UInt64(tuple.transportProtocol) << 8 | UInt64(tuple.family.rawValue)
        return self(tuple.sourceHigh, tuple.sourceLow, tuple.destinationHigh, tuple.destinationLow, rest)
    }

    /// Over the source alone, for the search of a client's existing binding.
    @inline(__always)
    func source(_ tuple: ConnectionTuple, zone: ConnectionZone) -> UInt32 {
        let rest =
            UInt64(tuple.sourcePort) << 48 | UInt64(zone.directions == 3 ? zone.identifier : 0) << 16
            | UInt64(tuple.transportProtocol) << 8 | UInt64(tuple.family.rawValue)
        return self(tuple.sourceHigh, tuple.sourceLow, 0, 1, rest)
    }
}

/// splitmix64 (Steele, Lea, Flood): NAT's choice of ports.
struct RandomChoice: Sendable {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ z >> 30) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ z >> 27) &* 0x94d0_49bb_1331_11eb
        return z ^ z >> 31
    }
}
