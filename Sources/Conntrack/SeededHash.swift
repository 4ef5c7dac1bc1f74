// The hash of tuples, and the generator of random choices.
//
// Invariant: without the seed nobody can tell which tuples share a bucket. A sum of products of keyed halves (NH of UMAC: Black,
// Halevi, Krawczyk, Krovetz, Rogaway, 1999) gives two different tuples the same number with a chance of 2^-32 over the keys, whatever
// the tuples; a linear function with a random factor and summand of 128 bits (Dietzfelbinger, 1996) then makes any of its bits
// independent for two numbers. Nobody gets to see a hash. Both are functions of their seed alone, so a run can be repeated.
import Wire

struct SeededHash: Sendable {
    private let keyA: UInt64, keyB: UInt64, keyC: UInt64, keyD: UInt64, keyE: UInt64
    private let factorHigh: UInt64, factorLow: UInt64, summandHigh: UInt64, summandLow: UInt64

    init(key0: UInt64, key1: UInt64) {
        var keys = RandomChoice(state: key0)
        keyA = keys.next() ^ key1
        keyB = keys.next() &+ key1
        keyC = keys.next()
        keyD = keys.next()
        keyE = keys.next()
        var linear = RandomChoice(state: key1)
        factorHigh = linear.next()
        factorLow = linear.next()
        summandHigh = linear.next()
        summandLow = linear.next()
    }

    /// The product of both halves of a word, each with its half of the key added.
    @inline(__always)
    private static func product(_ word: UInt64, _ key: UInt64) -> UInt64 {
        let high = UInt32(truncatingIfNeeded: word >> 32) &+ UInt32(truncatingIfNeeded: key >> 32)
        let low = UInt32(truncatingIfNeeded: word) &+ UInt32(truncatingIfNeeded: key)
        return UInt64(high) &* UInt64(low)
    }

    @inline(__always)
    func callAsFunction(_ a: UInt64, _ b: UInt64, _ c: UInt64, _ d: UInt64, _ e: UInt64) -> UInt32 {
        let front = SeededHash.product(a, keyA) &+ SeededHash.product(b, keyB) &+ SeededHash.product(c, keyC)
        let sum = front &+ SeededHash.product(d, keyD) &+ SeededHash.product(e, keyE)
        // The upper half of (factor * sum + summand) modulo 2^128.
        let product = factorLow.multipliedFullWidth(by: sum)
        let (_, carry) = product.low.addingReportingOverflow(summandLow)
        let upper = product.high &+ factorHigh &* sum &+ summandHigh &+ (carry ? 1 : 0)
        return UInt32(truncatingIfNeeded: upper >> 32)
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
    /// What the next ports are, if they are known: of a source, of a destination.
    var wantedPorts: (source: UInt16, destination: UInt16)?

    init(state: UInt64) { self.state = state }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ z >> 30) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ z >> 27) &* 0x94d0_49bb_1331_11eb
        return z ^ z >> 31
    }

    /// Where in a range of ports from `minimum` on to begin.
    mutating func portOffset(from minimum: UInt32, isSource: Bool) -> UInt16 {
        if let wanted = wantedPorts { return UInt16(truncatingIfNeeded: UInt32(isSource ? wanted.source : wanted.destination) &- minimum) }
        return UInt16(truncatingIfNeeded: next())
    }
}
