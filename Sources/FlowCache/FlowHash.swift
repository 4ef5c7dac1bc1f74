// The hash of a flow's key: 64-bit multiply-and-fold rounds over seeded words.
//
// Invariant: seeds are drawn once per boot and never leave the process, so a sender cannot aim tuples at one bucket. A
// CRC32 chain (the NIC's instruction) was measured to put sequential tuples into few buckets; this does not.

@frozen public struct FlowHashSeeds: Sendable {
    @usableFromInline var s0: UInt64
    @usableFromInline var s1: UInt64
    @usableFromInline var s2: UInt64
    @usableFromInline var s3: UInt64
    @usableFromInline var s4: UInt64
    @usableFromInline var s5: UInt64
    @usableFromInline var s6: UInt64
    @usableFromInline var s7: UInt64

    /// Spreads one boot secret over the words with splitmix64.
    public init(seed: UInt64) {
        var state = seed
        func next() -> UInt64 {
            state &+= 0x9e37_79b9_7f4a_7c15
            var z = state
            z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
            z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
            return z ^ (z >> 31)
        }
        s0 = next()
        s1 = next()
        s2 = next()
        s3 = next() | 1
        s4 = next()
        s5 = next()
        s6 = next()
        s7 = next()
    }

    @inlinable @inline(__always) static func fold(_ a: UInt64, _ b: UInt64) -> UInt64 {
        let product = a.multipliedFullWidth(by: b)
        return product.high ^ product.low
    }

    @inlinable @inline(__always) public func hashIPv4(addresses: UInt64, tuple: UInt64, encapsulation: UInt32) -> UInt64 {
        let first = FlowHashSeeds.fold(addresses ^ s0, tuple ^ s1)
        return FlowHashSeeds.fold(first ^ s2 ^ UInt64(encapsulation), s3)
    }

    @inlinable @inline(__always)
    public func hashIPv6(_ a0: UInt64, _ a1: UInt64, _ a2: UInt64, _ a3: UInt64, tuple: UInt64, encapsulation: UInt32) -> UInt64 {
        let addresses = FlowHashSeeds.fold(a0 ^ s4, a1 ^ s5) ^ FlowHashSeeds.fold(a2 ^ s6, a3 ^ s7)
        let first = FlowHashSeeds.fold(addresses ^ s0, tuple ^ s1)
        return FlowHashSeeds.fold(first ^ s2 ^ UInt64(encapsulation), s3)
    }

    @inlinable @inline(__always) public func hash(_ key: PackedFlowKey) -> UInt64 {
        key.isIPv6
            ? hashIPv6(key.address0, key.address1, key.address2, key.address3, tuple: key.tuple, encapsulation: key.encapsulation)
            : hashIPv4(addresses: key.address0, tuple: key.tuple, encapsulation: key.encapsulation)
    }
}
