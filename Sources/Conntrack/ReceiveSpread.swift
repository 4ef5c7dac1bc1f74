// How a port spreads what it receives over the workers: Toeplitz over addresses and ports, then the redirection table.
//
// Invariant: for a tuple that `covers` says yes to, `worker(of:)` is the worker whose queue the NIC would put such a packet into. Plain
// data behind pointers, made from what the floor above knows of the device (key, table, kinds of packet); nothing here asks a device.
//
// The hash is linear: each bit of the input that is set adds (xor) the 32 bits of the key that begin at its place. So four bits of
// input at a time are looked up in a table of 16 words for each of the 72 places of an IPv6 tuple: 4.5 KiB, which stays in the cache.
// A port has places of its own, so trying another port costs four words. (DPDK's `rte_thash_adjust_tuple` solves the same equation
// with a key that it has to make itself, which then is not symmetric any more; tests hold this to it and to `rte_softrss`.)
import Wire

@frozen public struct ReceiveSpread: @unchecked Sendable {
    /// Kinds of packet of which ports are part of the hash.
    @frozen public struct Kinds: OptionSet, Sendable {
        public var rawValue: UInt8
        @inlinable public init(rawValue: UInt8) { self.rawValue = rawValue }
        public static var ipv4TCP: Kinds { .init(rawValue: 1) }
        public static var ipv4UDP: Kinds { .init(rawValue: 2) }
        public static var ipv6TCP: Kinds { .init(rawValue: 4) }
        public static var ipv6UDP: Kinds { .init(rawValue: 8) }
    }

    private let words: UnsafeMutablePointer<UInt32>?
    private let workers: UnsafeMutablePointer<UInt16>?
    private let mask: UInt32
    private let kinds: Kinds
    /// Workers below 64 that the redirection table names.
    private let reached: UInt64

    /// Digits of four bits of an IPv6 tuple; bytes of the key that its hash takes.
    private static var places: Int { 72 }
    public static var keyBytes: Int { 40 }

    /// Of a port about which nothing is known.
    public static var unknown: ReceiveSpread { ReceiveSpread() }
    private init() {
        words = nil
        workers = nil
        mask = 0
        kinds = []
        reached = 0
    }

    /// - Parameters:
    ///   - key: the RSS key, `keyBytes` or more.
    ///   - workers: the redirection table with the worker of each entry's queue; its length is a power of two.
    /// - Returns: nil if key or table is not of such a form. The memory is the caller's to give back (`deallocate`).
    public init?(key: [UInt8], workers table: [UInt16], kinds: Kinds) {
        guard key.count >= ReceiveSpread.keyBytes, !table.isEmpty, table.count & (table.count - 1) == 0, table.count <= 1 << 16 else { return nil }
        let words = UnsafeMutablePointer<UInt32>.allocate(capacity: ReceiveSpread.places * 16)
        for place in 0 ..< ReceiveSpread.places {
            // 40 bits of the key from this place's byte on hold the windows of its four bits.
            let window = key[place / 2 ..< place / 2 + 5].reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
            for value in 0 ..< 16 {
                var word: UInt32 = 0
                for bit in 0 ..< 4 where value & 8 >> bit != 0 { word ^= UInt32(truncatingIfNeeded: window >> UInt64(8 - (place & 1) * 4 - bit)) }
                words[place * 16 + value] = word
            }
        }
        self.words = words
        let workers = UnsafeMutablePointer<UInt16>.allocate(capacity: table.count)
        for (place, worker) in table.enumerated() { workers[place] = worker }
        self.workers = workers
        mask = UInt32(table.count - 1)
        self.kinds = kinds
        reached = table.reduce(0) { $0 | ($1 < 64 ? 1 << UInt64($1) : 0) }
    }

    public func deallocate() {
        words?.deallocate()
        workers?.deallocate()
    }

    public var isKnown: Bool { words != nil }

    /// Whether any packet reaches this worker; a worker from number 64 on may.
    func reaches(_ worker: Int) -> Bool { worker >= 64 || reached >> UInt64(worker) & 1 != 0 }

    /// Whether ports are part of the hash of such packets.
    func covers(_ tuple: ConnectionTuple) -> Bool {
        switch (tuple.family, tuple.transportProtocol) {
        case (.ipv4, IPProtocol.tcp): kinds.contains(.ipv4TCP)
        case (.ipv4, IPProtocol.udp): kinds.contains(.ipv4UDP)
        case (.ipv6, IPProtocol.tcp): kinds.contains(.ipv6TCP)
        case (.ipv6, IPProtocol.udp): kinds.contains(.ipv6UDP)
        default: false
        }
    }

    /// The worker of a hash.
    func worker(hash: UInt32) -> Int {
        guard let workers else { return -1 }
        return Int(workers[Int(hash & mask)])
    }

    /// The hash of a packet that shows this tuple.
    public func hash(_ tuple: ConnectionTuple) -> UInt32 {
        var result = hash(destinationPort: tuple.destinationPort, tuple.family)
        if tuple.family == .ipv4 {
            result ^= sum(tuple.sourceLow << 32 | tuple.destinationLow & 0xffff_ffff, digits: 16, from: 0)
            return result ^ sum(UInt64(tuple.sourcePort) << 48, digits: 4, from: 16)
        }
        result ^= sum(tuple.sourceHigh, digits: 16, from: 0) ^ sum(tuple.sourceLow, digits: 16, from: 16)
        result ^= sum(tuple.destinationHigh, digits: 16, from: 32) ^ sum(tuple.destinationLow, digits: 16, from: 48)
        return result ^ sum(UInt64(tuple.sourcePort) << 48, digits: 4, from: 64)
    }

    /// What a destination port adds to the hash.
    @inline(__always)
    func hash(destinationPort: UInt16, _ family: AddressFamily) -> UInt32 {
        sum(UInt64(destinationPort) << 48, digits: 4, from: family == .ipv4 ? 20 : 68)
    }

    /// Of the upper `digits` digits of a word, the first of which stands at `place` of the tuple.
    @inline(__always)
    private func sum(_ word: UInt64, digits: Int, from place: Int) -> UInt32 {
        guard let words else { return 0 }
        var rest = word
        var result: UInt32 = 0
        var current = words + place &* 16
        for _ in 0 ..< digits {
            result ^= current[Int(rest &>> 60)]
            rest &<<= 4
            current += 16
        }
        return result
    }
}
