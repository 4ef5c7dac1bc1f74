// Reassembly of IPv4 and IPv6 fragments before connection tracking (priority -400), by the rules of Linux's ip_defrag and
// nf_ct_frag6_gather: what overlaps kills its datagram, what is contained in one run of what has arrived in order is ignored.
//
// Invariant: fixed memory, one owner. A datagram holds fragment records in order of their offset, none of which touch the
// bytes of another; a record holds its bytes in a chain of blocks. A finished datagram is laid out once, in `output`,
// where it stays until the next call.
//
// Overload:
// - When is a new entry refused? When a datagram has 256 fragments (the datagram goes, `fragmentTooMany`); when records or
//   blocks are used up even after the oldest datagrams went (`fragmentTableFull`).
// - When is an old one evicted? After 30 s (IPv4) or 60 s (IPv6), or, oldest first, when a new datagram or fragment needs
//   the room. Linux refuses the new one instead; here a flood cannot lock out honest datagrams, whose fragments arrive
//   within milliseconds, until it fills the whole table in that time.
// - Can an attacker make this blow up? Memory is fixed. The search for a datagram is one hash chain under a secret seed;
//   the search for a fragment's place starts at the end and is bounded by 256 steps.
import Wire

/// A datagram that is whole again.
public struct ReassembledPacket {
    /// The frame, in the reassembler's memory until its next call: the link header of the fragment with offset 0, and one
    /// linear IP packet. 64 bytes of headroom.
    public var packet: PacketBuffer
    /// How it came, which decides how it may leave (see `Fragmenter`).
    public var fragments: FragmentGeometry
}

/// The sizes of the fragments that a packet was made of, in order; `count` 0 for a packet that came whole.
public struct FragmentGeometry {
    /// Payload bytes of each fragment; in the reassembler's memory until its next call.
    public var lengths: UnsafePointer<UInt16>?
    public var count = 0
    /// The largest fragment, as a whole IP packet: Linux's frag_max_size. 0 for a packet that came whole.
    public var largestPacket = 0
    /// IPv4: the largest fragment had DF set (IPSKB_FRAG_PMTU).
    public var dontFragment = false
    public init() {}
}

/// What became of a fragment.
public enum ReassemblyResult {
    case complete(ReassembledPacket)
    /// Kept, or a duplicate of what is kept.
    case queued
    /// The fragment is dropped, and, unless the reason is `.fragmentTableFull`, so is its datagram (IPv4).
    case dropped(DropReason)
    /// IPv6: not looked at further, since its headers or its length are wrong; Linux's connection tracking lets it pass as it is,
    /// and delivery to the host answers it with a parameter problem at `pointer`.
    case untouched(DropReason, problem: ICMPError)
}

/// Sizes of a reassembler.
public struct ReassemblyLimits: Sendable {
    /// Datagrams under way.
    public var datagrams = 1024
    /// Fragments of all of them.
    public var fragments = 8192
    /// Bytes for their payload (Linux: 4 MiB, `ipfrag_high_thresh`).
    public var bytes = 4 << 20
    public var fragmentsPerDatagram = 256
    public var ipv4Timeout: Timestamp = 30_000_000_000
    public var ipv6Timeout: Timestamp = 60_000_000_000
    public init() {}
}

public struct Reassembler: ~Copyable {
    struct Key {
        var source = IPAddress(ipv4: 0)
        var destination = IPAddress(ipv4: 0)
        var identification: UInt32 = 0
        /// Conntrack zone, or whoever else must not share datagrams.
        var user: UInt32 = 0
        /// IPv4 only; IPv6 fragments are one datagram whatever their first header says.
        var transportProtocol: UInt8 = 0
        static func == (a: Key, b: Key) -> Bool {
            a.identification == b.identification && a.source == b.source && a.destination == b.destination && a.user == b.user && a.transportProtocol == b.transportProtocol
        }
    }
    struct Datagram {
        var key = Key()
        var deadline: Timestamp = 0
        var chain = Reassembler.nothing
        /// Order of arrival within the family, for timeouts and eviction.
        var older = Reassembler.nothing
        var newer = Reassembler.nothing
        var first = Reassembler.nothing
        var last = Reassembler.nothing
        var fragmentCount = 0
        /// Bytes that have arrived, and bytes there are as far as is known.
        var arrived = 0
        var length = 0
        var hasFirst = false
        var hasLast = false
        var largestPacket = 0
        var largestWithDF = 0
        /// Which ECN codepoints were seen, one bit each.
        var congestion: UInt8 = 0
        var ingress: PortIndex = 0
        /// Link, IP and extension headers of the fragment with offset 0, in a block.
        var header = Reassembler.nothing
        var headerLength = 0
        var linkLength = 0
        /// IPv6: where the fragment header was, from the header's start.
        var fragmentHeaderOffset = 0
        /// IPv6: offset from the header's start of the byte that named the fragment header.
        var nextHeaderOffset = 0
        var firstNextHeader: UInt8 = 0
        var inUse = false
    }
    struct Fragment {
        var offset = 0
        var length = 0
        var block = Reassembler.nothing
        /// Whether it was put behind the last fragment, which it adjoins: both are one run (inet_frag_queue_insert).
        var continuesRun = false
        var previous = Reassembler.nothing
        var next = Reassembler.nothing
    }
    static var nothing: UInt32 { .max }
    static var blockBytes: Int { 2048 }
    /// Largest frame: a link header with two tags and a maximal IPv6 packet.
    static var outputBytes: Int { 22 + 40 + 65535 }
    static var outputHeadroom: Int { 64 }

    let limits: ReassemblyLimits
    let datagrams: UnsafeMutablePointer<Datagram>
    let fragments: UnsafeMutablePointer<Fragment>
    /// Blocks are chained by number; `blockLinks[i]` is the one behind block i.
    let blocks: UnsafeMutableRawPointer
    let blockLinks: UnsafeMutablePointer<UInt32>
    private let blockCount: Int
    private let buckets: UnsafeMutablePointer<UInt32>
    private let bucketMask: Int
    private let seed: UInt64
    let output: UnsafeMutableRawPointer
    let geometry: UnsafeMutablePointer<UInt16>
    private var freeDatagram = Reassembler.nothing
    private var freeFragment = Reassembler.nothing
    private var freeBlock = Reassembler.nothing
    /// Oldest and newest datagram by family: index 0 IPv4, 1 IPv6.
    private var oldest = (Reassembler.nothing, Reassembler.nothing)
    private var newest = (Reassembler.nothing, Reassembler.nothing)
    public private(set) var datagramCount = 0
    /// Datagrams that went before their time to make room.
    public private(set) var evictedCount: UInt64 = 0

    public init(limits: ReassemblyLimits = ReassemblyLimits(), seed: UInt64 = 0x6465_6672_6167) {
        self.limits = limits
        self.seed = seed
        datagrams = .allocate(capacity: limits.datagrams)
        datagrams.initialize(repeating: Datagram(), count: limits.datagrams)
        fragments = .allocate(capacity: limits.fragments)
        fragments.initialize(repeating: Fragment(), count: limits.fragments)
        blockCount = max(1, limits.bytes / Reassembler.blockBytes)
        blocks = .allocate(byteCount: blockCount * Reassembler.blockBytes, alignment: 64)
        blockLinks = .allocate(capacity: blockCount)
        var size = 16
        while size < limits.datagrams { size *= 2 }
        bucketMask = size - 1
        buckets = .allocate(capacity: size)
        buckets.initialize(repeating: Reassembler.nothing, count: size)
        output = .allocate(byteCount: Reassembler.outputHeadroom + Reassembler.outputBytes, alignment: 64)
        geometry = .allocate(capacity: limits.fragmentsPerDatagram)
        geometry.initialize(repeating: 0, count: limits.fragmentsPerDatagram)
        for index in stride(from: limits.datagrams - 1, through: 0, by: -1) {
            datagrams[index].chain = freeDatagram
            freeDatagram = UInt32(index)
        }
        for index in stride(from: limits.fragments - 1, through: 0, by: -1) {
            fragments[index].next = freeFragment
            freeFragment = UInt32(index)
        }
        for index in stride(from: blockCount - 1, through: 0, by: -1) {
            blockLinks[index] = freeBlock
            freeBlock = UInt32(index)
        }
    }

    deinit {
        datagrams.deallocate()
        fragments.deallocate()
        blocks.deallocate()
        blockLinks.deallocate()
        buckets.deallocate()
        output.deallocate()
        geometry.deallocate()
    }

    // MARK: - Datagrams

    private func bucket(_ key: borrowing Key) -> Int {
        let a = (key.source.high ^ key.source.low ^ seed).multipliedFullWidth(by: 0x9e37_79b9_7f4a_7c15)
        let b = (key.destination.high ^ key.destination.low ^ a.low ^ a.high).multipliedFullWidth(by: 0xd6e8_feb8_6659_fd93)
        let rest = UInt64(key.identification) | UInt64(key.user) << 32
        let c = (rest ^ UInt64(key.transportProtocol) << 56 ^ b.low ^ b.high).multipliedFullWidth(by: seed | 1)
        return Int(truncatingIfNeeded: c.high ^ c.low) & bucketMask
    }

    /// The datagram with this key, made if need be; `nothing` if there is no room.
    mutating func datagram(_ key: Key, ingress: PortIndex, now: Timestamp) -> UInt32 {
        let home = bucket(key)
        var index = buckets[home]
        while index != Reassembler.nothing {
            // A timed-out datagram that nobody has collected yet takes no more fragments.
            if datagrams[Int(index)].key == key, now < datagrams[Int(index)].deadline { return index }
            index = datagrams[Int(index)].chain
        }
        if freeDatagram == Reassembler.nothing { evictOldest(sparing: Reassembler.nothing) }
        index = freeDatagram
        guard index != Reassembler.nothing else { return index }
        freeDatagram = datagrams[Int(index)].chain
        var new = Datagram()
        new.key = key
        new.deadline = now &+ (key.source.family == .ipv4 ? limits.ipv4Timeout : limits.ipv6Timeout)
        new.ingress = ingress
        new.inUse = true
        new.chain = buckets[home]
        buckets[home] = index
        let isIPv4 = key.source.family == .ipv4
        new.older = isIPv4 ? newest.0 : newest.1
        if new.older != Reassembler.nothing {
            datagrams[Int(new.older)].newer = index
        } else if isIPv4 { oldest.0 = index } else { oldest.1 = index }
        if isIPv4 { newest.0 = index } else { newest.1 = index }
        datagrams[Int(index)] = new
        datagramCount += 1
        return index
    }

    /// Takes a datagram out of the table and frees all that it holds.
    mutating func destroy(_ index: UInt32) {
        unlink(index)
        free(index)
    }

    private mutating func unlink(_ index: UInt32) {
        let datagram = datagrams + Int(index)
        let home = bucket(datagram.pointee.key)
        if buckets[home] == index {
            buckets[home] = datagram.pointee.chain
        } else {
            var previous = Int(buckets[home])
            while datagrams[previous].chain != index { previous = Int(datagrams[previous].chain) }
            datagrams[previous].chain = datagram.pointee.chain
        }
        let isIPv4 = datagram.pointee.key.source.family == .ipv4
        let (older, newer) = (datagram.pointee.older, datagram.pointee.newer)
        if older != Reassembler.nothing { datagrams[Int(older)].newer = newer } else if isIPv4 { oldest.0 = newer } else { oldest.1 = newer }
        if newer != Reassembler.nothing { datagrams[Int(newer)].older = older } else if isIPv4 { newest.0 = older } else { newest.1 = older }
        datagramCount -= 1
    }

    private mutating func free(_ index: UInt32) {
        let datagram = datagrams + Int(index)
        var fragment = datagram.pointee.first
        while fragment != Reassembler.nothing {
            let next = fragments[Int(fragment)].next
            freeBlocks(fragments[Int(fragment)].block)
            fragments[Int(fragment)].next = freeFragment
            freeFragment = fragment
            fragment = next
        }
        if datagram.pointee.header != Reassembler.nothing { freeBlocks(datagram.pointee.header) }
        datagram.pointee = Datagram()
        datagram.pointee.chain = freeDatagram
        freeDatagram = index
    }

    /// Drops the datagram that was begun first, other than `spared`.
    @discardableResult
    private mutating func evictOldest(sparing spared: UInt32) -> Bool {
        func candidate(_ first: UInt32) -> UInt32 { first == spared && first != Reassembler.nothing ? datagrams[Int(first)].newer : first }
        let (a, b) = (candidate(oldest.0), candidate(oldest.1))
        let victim: UInt32
        if a == Reassembler.nothing {
            victim = b
        } else if b == Reassembler.nothing {
            victim = a
        } else {
            let begunA = datagrams[Int(a)].deadline &- limits.ipv4Timeout, begunB = datagrams[Int(b)].deadline &- limits.ipv6Timeout
            victim = begunA <= begunB ? a : b
        }
        guard victim != Reassembler.nothing else { return false }
        destroy(victim)
        evictedCount += 1
        return true
    }

    // MARK: - Memory

    /// A record for a fragment of `datagram`; other datagrams go if there is none.
    mutating func allocateFragment(for datagram: UInt32) -> UInt32 {
        while freeFragment == Reassembler.nothing { guard evictOldest(sparing: datagram) else { return Reassembler.nothing } }
        let index = freeFragment
        freeFragment = fragments[Int(index)].next
        fragments[Int(index)] = Fragment()
        return index
    }

    mutating func releaseFragment(_ index: UInt32) {
        fragments[Int(index)].next = freeFragment
        freeFragment = index
    }

    /// Stores bytes in a chain of blocks; `nothing` if there is not enough room even without all other datagrams.
    mutating func store(_ bytes: UnsafeRawPointer, _ count: Int, for datagram: UInt32) -> UInt32 {
        var first = Reassembler.nothing
        var last = Reassembler.nothing
        var offset = 0
        repeat {
            while freeBlock == Reassembler.nothing {
                guard evictOldest(sparing: datagram) else {
                    freeBlocks(first)
                    return Reassembler.nothing
                }
            }
            let block = freeBlock
            freeBlock = blockLinks[Int(block)]
            blockLinks[Int(block)] = Reassembler.nothing
            if last == Reassembler.nothing { first = block } else { blockLinks[Int(last)] = block }
            last = block
            let part = min(count - offset, Reassembler.blockBytes)
            (blocks + Int(block) * Reassembler.blockBytes).copyMemory(from: bytes + offset, byteCount: part)
            offset += part
        } while offset < count
        return first
    }

    /// Copies a chain of blocks out.
    func load(_ first: UInt32, _ count: Int, to destination: UnsafeMutableRawPointer) {
        var block = first
        var offset = 0
        while offset < count, block != Reassembler.nothing {
            let part = min(count - offset, Reassembler.blockBytes)
            (destination + offset).copyMemory(from: blocks + Int(block) * Reassembler.blockBytes, byteCount: part)
            offset += part
            block = blockLinks[Int(block)]
        }
    }

    private mutating func freeBlocks(_ first: UInt32) {
        var block = first
        while block != Reassembler.nothing {
            let next = blockLinks[Int(block)]
            blockLinks[Int(block)] = freeBlock
            freeBlock = block
            block = next
        }
    }

    // MARK: - Timeouts

    /// A datagram that timed out.
    public struct Expired {
        /// The fragment with offset 0 as it came, if it came: Linux sends "time exceeded" about it (IPv6; IPv4 only for
        /// datagrams to the host itself). In the reassembler's memory until its next call.
        public var firstFragment: PacketBuffer?
        public var family: AddressFamily
        public var ingress: PortIndex
    }

    /// The next datagram that has waited too long; nil when there is none left. Each counts as `fragmentTimeout`.
    public mutating func nextExpired(now: Timestamp) -> Expired? {
        for pass in 0..<2 {
            let index = pass == 0 ? oldest.0 : oldest.1
            guard index != Reassembler.nothing, datagrams[Int(index)].deadline <= now else { continue }
            let datagram = datagrams[Int(index)]
            var result = Expired(firstFragment: nil, family: datagram.key.source.family, ingress: datagram.ingress)
            if datagram.hasFirst, datagram.first != Reassembler.nothing {
                let first = fragments[Int(datagram.first)]
                let start = output + Reassembler.outputHeadroom
                load(datagram.header, datagram.headerLength, to: start)
                load(first.block, first.length, to: start + datagram.headerLength)
                result.firstFragment = PacketBuffer(start: start, length: datagram.headerLength + first.length, headroom: Reassembler.outputHeadroom)
            }
            destroy(index)
            return result
        }
        return nil
    }
}
