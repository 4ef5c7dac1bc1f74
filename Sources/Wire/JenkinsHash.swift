// Bob Jenkins' lookup3 (public domain), the hash that Linux calls jhash(): NAT chooses addresses by it, and rules balance.
//
// Invariant: equals jhash() and jhash2() of include/linux/jhash.h on a little-endian machine, bit for bit.

public enum JenkinsHash {
    /// The hash of `count` bytes.
    public static func hash(_ key: UnsafeRawPointer, _ count: Int, _ seed: UInt32) -> UInt32 {
        var state = State(count, seed)
        var offset = 0
        while count &- offset > 12 {
            func word(_ index: Int) -> UInt32 { UInt32(littleEndian: key.loadUnaligned(fromByteOffset: offset &+ index &* 4, as: UInt32.self)) }
            state.mix(word(0), word(1), word(2))
            offset &+= 12
        }
        guard offset < count else { return state.c }
        for index in 0 ..< count &- offset {
            let byte = UInt32(key.load(fromByteOffset: offset &+ index, as: UInt8.self)) << UInt32(index % 4 &* 8)
            if index < 4 { state.a &+= byte } else if index < 8 { state.b &+= byte } else { state.c &+= byte }
        }
        return state.final()
    }

    /// The hash of four words.
    public static func hash(_ k0: UInt32, _ k1: UInt32, _ k2: UInt32, _ k3: UInt32, seed: UInt32) -> UInt32 {
        var state = State(16, seed)
        state.mix(k0, k1, k2)
        state.a &+= k3
        return state.final()
    }

    private struct State {
        var a: UInt32
        var b: UInt32
        var c: UInt32

        @inline(__always) init(_ count: Int, _ seed: UInt32) {
            a = 0xdead_beef &+ UInt32(truncatingIfNeeded: count) &+ seed
            b = a
            c = a
        }

        @inline(__always) private func rotate(_ value: UInt32, _ bits: UInt32) -> UInt32 { value << bits | value >> (32 &- bits) }

        @inline(__always) mutating func mix(_ first: UInt32, _ second: UInt32, _ third: UInt32) {
            a &+= first
            b &+= second
            c &+= third
            a = (a &- c) ^ rotate(c, 4)
            c &+= b
            b = (b &- a) ^ rotate(a, 6)
            a &+= c
            c = (c &- b) ^ rotate(b, 8)
            b &+= a
            a = (a &- c) ^ rotate(c, 16)
            c &+= b
            b = (b &- a) ^ rotate(a, 19)
            a &+= c
            c = (c &- b) ^ rotate(b, 4)
            b &+= a
        }

        @inline(__always) mutating func final() -> UInt32 {
            c = (c ^ b) &- rotate(b, 14)
            a = (a ^ c) &- rotate(c, 11)
            b = (b ^ a) &- rotate(a, 25)
            c = (c ^ b) &- rotate(b, 16)
            a = (a ^ c) &- rotate(c, 4)
            b = (b ^ a) &- rotate(a, 14)
            c = (c ^ b) &- rotate(b, 24)
            return c
        }
    }
}
