// Longest-prefix tables of DPDK behind Routing's interface: rte_fib (DIR24_8: one memory access for most destinations,
// two beyond /24) and rte_fib6 (a trie of 24 bits, then 8 bits a step).
//
// Invariant: agrees with Routing's PrefixTrie on every destination (property test). One thread writes and looks up, as
// FIB demands. Three weaknesses of DPDK 22.11 are kept from doing harm, since this file knows what the table should hold:
//  1. A prefix that reaches the end of the address space and covers another one that does, is written wrongly (the end
//     wraps to 0). So such prefixes are never given to DPDK; the pieces they consist of are (`settleEnd`).
//  2. rte_fib's count of reserved tbl8 groups falls below zero when a long prefix leaves that had the value of the prefix
//     around it, and then every long prefix is refused. So a refusal that our own count does not explain makes the table
//     anew (`rebuild`).
//  3. A change that runs out of groups in the middle is not taken back. So our own count refuses before that.
//
// Overload: everything is allocated at the start. A route beyond `maximumRoutes`, or one that needs more tbl8 groups than
// there are, is refused with an error and nothing has changed; nothing is evicted; packets add nothing.
import CDPDK
import Glibc
import Routing
import Synchronization
import Wire

public final class RTEFIBBackend: FIBBackend {
    public let family: AddressFamily
    public let maximumRoutes: Int
    /// Largest value that a prefix may have.
    public let maximumValue: UInt32
    /// tbl8 groups that routes may need together; IPv4: one for each /24 with longer prefixes in it; IPv6: one for each
    /// step of 8 bits beyond 24 on the way to a prefix, shared by prefixes with one beginning.
    public let maximumGroups: Int
    private let node: Int32
    /// Where lookups find the table: its address changes when it is made anew.
    private let table: UnsafeMutablePointer<OpaquePointer?>
    /// What was inserted.
    private var routes: [IPPrefix: UInt32] = [:]
    /// How many prefixes need each tbl8 group, by the beginning they share.
    private var groups: [IPPrefix: Int] = [:]
    /// Values of the end pieces in DPDK's table, 0 for absent: pieces of length 1 to `bits`, then the last address.
    private var endPieces: [UInt32]
    private static let serial = Atomic<Int>(0)
    /// Groups beyond `maximumGroups`: the end pieces' own, and DPDK wants one to spare.
    private static let spareGroups = 16
    private var bits: UInt8 { UInt8(family.addressBits) }

    /// Takes memory of the EAL: 32 MB for `maximumValue` up to 32767, else 64 MB, and about 250 bytes for each route.
    ///
    /// - Parameters:
    ///   - maximumGroups: nil for 4096 (IPv4) or 32000 (IPv6).
    ///   - node: NUMA node of the thread that looks up; -1 for any.
    /// - Throws: `DPDKError` (.machine) if the EAL has not so much memory.
    public init(family: AddressFamily, maximumRoutes: Int = 65536, maximumValue: UInt32 = 32767, maximumGroups: Int? = nil, node: Int32 = -1) throws {
        let isWide = maximumValue > 32767
        let groups = maximumGroups ?? (family == .ipv4 ? 4096 : 32000)
        guard maximumRoutes > 0, maximumRoutes <= 1 << 24, maximumValue > 0, maximumValue <= UInt32(Int32.max), groups > 0, groups <= (isWide ? 1 << 22 : 32700) else {
            throw DPDKError(.configuration, "a FIB of \(maximumRoutes) routes and \(groups) groups with values up to \(maximumValue) is out of range",
                            advice: "at most 2^24 routes, values of 31 bits, 32700 groups (2^22 with values above 32767)")
        }
        guard EAL.current != nil else { throw DPDKError(.state, "rte_fib needs a running EAL") }
        self.family = family
        self.maximumRoutes = maximumRoutes
        self.maximumValue = isWide ? UInt32(Int32.max) : 32767
        self.maximumGroups = groups
        self.node = node
        endPieces = Array(repeating: 0, count: family.addressBits + 1)
        table = .allocate(capacity: 1)
        table.initialize(to: nil)
        guard create() else {
            let megabytes = (isWide ? 64 : 32) + (maximumRoutes * 250 >> 20) + groups * (isWide ? 1024 : 512) >> 20
            throw DPDKError(.machine, "no memory for a FIB of \(maximumRoutes) routes (about \(megabytes) MB): \(errnoText(nt_errno()))",
                            advice: "raise eal.memory-mb or lower the number of routes", log: EAL.takeLog())
        }
    }

    deinit {
        destroy()
        table.deallocate()
    }

    // MARK: - Routes

    public func insert(_ prefix: IPPrefix, value: UInt32) throws(RoutingError) {
        guard value != 0, value <= maximumValue else { throw RoutingError("route \(prefix): more than \(maximumValue) different next hops") }
        let previous = routes[prefix]
        if previous == nil {
            guard routes.count < maximumRoutes else { throw RoutingError("route \(prefix): more than \(maximumRoutes) routes") }
            try reserve(prefix)
        }
        routes[prefix] = value
        if apply(prefix) == 0 || rebuild() { return }
        routes[prefix] = previous
        if previous == nil { release(prefix) }
        _ = rebuild()
        throw RoutingError("route \(prefix): rte_fib has no room for it")
    }

    public func remove(_ prefix: IPPrefix) throws(RoutingError) {
        guard routes.removeValue(forKey: prefix) != nil else { return }
        release(prefix)
        guard apply(prefix) == 0 || rebuild() else { throw RoutingError("route \(prefix): rte_fib has no room for the other routes") }
    }

    /// Beginnings of 24, 32, 40 ... bits that end before the prefix does: each is a group.
    private func groupPrefixes(_ prefix: IPPrefix) -> [IPPrefix] {
        stride(from: UInt8(24), to: prefix.length, by: 8).map { IPPrefix(address: prefix.address, length: $0).network }
    }

    private func reserve(_ prefix: IPPrefix) throws(RoutingError) {
        let wanted = groupPrefixes(prefix)
        let new = wanted.filter { groups[$0] == nil }.count
        guard groups.count + new <= maximumGroups else {
            throw RoutingError("route \(prefix): no room for another prefix longer than 24 bits (\(groups.count) of \(maximumGroups) groups in use)")
        }
        for group in wanted { groups[group, default: 0] += 1 }
    }

    private func release(_ prefix: IPPrefix) {
        for group in groupPrefixes(prefix) {
            let left = groups[group, default: 1] - 1
            groups[group] = left == 0 ? nil : left
        }
    }

    /// Brings DPDK's table up to date with `routes[prefix]`; 0 or -errno.
    private func apply(_ prefix: IPPrefix) -> Int32 {
        if reachesEnd(prefix) || isEndPiece(prefix) { return settleEnd() }
        return write(prefix, routes[prefix] ?? 0)
    }

    // MARK: - The end of the address space

    /// All bits of the prefix are ones.
    private func reachesEnd(_ prefix: IPPrefix) -> Bool { prefix == ones(prefix.length) }

    /// The prefix of that length which ends with the address space.
    private func ones(_ length: UInt8) -> IPPrefix {
        let all = family == .ipv4 ? IPAddress(ipv4: .max) : IPAddress(ipv6High: .max, low: .max)
        return IPPrefix(address: all, length: length).network
    }

    /// All bits are ones but the last, which is a zero.
    private func isEndPiece(_ prefix: IPPrefix) -> Bool { prefix.length > 0 && prefix == endPiece(Int(prefix.length) - 1) }

    /// Piece `index` has `index` ones and a zero; the last piece is the last address. Together they are the whole space,
    /// and only the last one ends with it.
    private func endPiece(_ index: Int) -> IPPrefix {
        if index == Int(bits) { return ones(bits) }
        let address = ones(UInt8(index)).address
        return IPPrefix(address: address, length: UInt8(index + 1))
    }

    /// Gives each end piece the value of the longest prefix that covers it; 0 or -errno.
    private func settleEnd() -> Int32 {
        var covering: UInt32 = 0
        for index in 0 ... Int(bits) {
            covering = routes[ones(UInt8(index))] ?? covering
            let piece = endPiece(index)
            let value = routes[piece] ?? covering
            guard value != endPieces[index] else { continue }
            let error = write(piece, value)
            guard error == 0 else { return error }
            endPieces[index] = value
        }
        return 0
    }

    // MARK: - DPDK's table

    /// Sets a prefix in DPDK's table, or removes it (value 0); 0 or -errno.
    private func write(_ prefix: IPPrefix, _ value: UInt32) -> Int32 {
        guard let raw = table.pointee else { return -ENOMEM }
        let error: Int32
        if family == .ipv4 {
            error = value == 0 ? rte_fib_delete(raw, prefix.address.ipv4, prefix.length) : rte_fib_add(raw, prefix.address.ipv4, prefix.length, UInt64(value))
        } else {
            error = withUnsafeBytes(of: (prefix.address.high.bigEndian, prefix.address.low.bigEndian)) {
                let bytes = $0.baseAddress!.assumingMemoryBound(to: UInt8.self)
                return value == 0 ? rte_fib6_delete(raw, bytes, prefix.length) : rte_fib6_add(raw, bytes, prefix.length, UInt64(value))
            }
        }
        return value == 0 && error == -ENOENT ? 0 : error
    }

    /// Makes the table anew from `routes`; false if they do not fit.
    private func rebuild() -> Bool {
        destroy()
        guard create() else { return false }
        for index in endPieces.indices { endPieces[index] = 0 }
        guard settleEnd() == 0 else { return false }
        for (prefix, value) in routes.sorted(by: { $0.key.length < $1.key.length }) where !reachesEnd(prefix) && !isEndPiece(prefix) {
            guard write(prefix, value) == 0 else { return false }
        }
        return true
    }

    private func create() -> Bool {
        let isWide = maximumValue > 32767
        let name = "nt\(RTEFIBBackend.serial.wrappingAdd(1, ordering: .relaxed).newValue)"
        let capacity = Int32(maximumRoutes + Int(bits) + 1), tbl8 = UInt32(maximumGroups + RTEFIBBackend.spareGroups)
        table.pointee = EAL.control {
            family == .ipv4 ? nt_fib_create(name, node, FIBLookup.noRoute, capacity, tbl8, isWide) : nt_fib6_create(name, node, FIBLookup.noRoute, capacity, tbl8, isWide)
        }
        return table.pointee != nil
    }

    private func destroy() {
        // A stopped EAL took its memory along.
        guard let raw = table.pointee, EAL.current != nil else { return }
        table.pointee = nil
        EAL.control { family == .ipv4 ? rte_fib_free(raw) : rte_fib6_free(raw) }
    }

    // MARK: - Packet path

    public var lookup: FIBLookup {
        if family == .ipv4 {
            return FIBLookup(context: table) { context, destinations, values, count in
                guard let raw = context.assumingMemoryBound(to: OpaquePointer?.self).pointee else {
                    for index in 0 ..< Int(count) { values[index] = FIBLookup.noRoute }
                    return
                }
                _ = rte_fib_lookup_bulk(raw, UnsafeMutablePointer(mutating: destinations.assumingMemoryBound(to: UInt32.self)), values, count)
            }
        }
        return FIBLookup(context: table) { context, destinations, values, count in
            guard let raw = context.assumingMemoryBound(to: OpaquePointer?.self).pointee else {
                for index in 0 ..< Int(count) { values[index] = FIBLookup.noRoute }
                return
            }
            _ = nt_fib6_lookup(raw, destinations, values, count)
        }
    }
}

extension RTEFIBBackend {
    /// From this many routes on DPDK's table is worth its memory and the tenth of a second that it takes to fill.
    public static let worthwhileRoutes = 256

    /// DPDK's table if there are many routes and the EAL has memory for it, otherwise Routing's reference table: both give
    /// the same answers.
    ///
    /// - Parameter expectedRoutes: how many there are to be; room is made for twice as many, and for 4096 at least.
    public static func preferred(family: AddressFamily, expectedRoutes: Int) -> any FIBBackend {
        guard expectedRoutes >= worthwhileRoutes else { return PrefixTrie(family: family) }
        return (try? RTEFIBBackend(family: family, maximumRoutes: min(max(4096, expectedRoutes * 2), 1 << 24))) ?? PrefixTrie(family: family)
    }
}
