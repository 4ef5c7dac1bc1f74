// What many flows share: next hop, link header, guards. Entries name one by index, so that an IPv4 entry is one cache line.
//
// Invariant: an action never changes while an entry that a reader may still hold names it. It is freed with the last such
// entry, after quiescence. There are as many actions as there are (neighbour, link header, guard) combinations in use; when the table is
// full, a flow that needs a new one is refused and stays on the slow path (`refusedActionTableFull`).
import Wire

/// 32 bytes, in a table that stays in the L1 cache when next hops are few.
@frozen public struct FlowAction: Hashable, Sendable {
    /// Bytes 0 to 7 of the new Ethernet header as they lie: destination, first two of the source.
    public var linkHead: UInt64 = 0
    /// Bytes 8 to 11: the rest of the source.
    public var linkTail: UInt32 = 0
    public var outputPort: PortIndex = 0
    /// Longest IP packet that the path takes, bytes.
    public var maximumLength: UInt16 = 0
    // The guards on header bytes, side by side so that a worker compares them at once: the traffic class in the low byte, the TCP
    // flags in the high one.
    public var guardTrafficClassMask: UInt8 = 0
    public var tcpFlagsMask: UInt8 = 0
    public var guardTrafficClassValue: UInt8 = 0
    public var tcpFlagsValue: UInt8 = 0
    public var trafficClassMask: UInt8 = 0
    public var trafficClassValue: UInt8 = 0
    public var flags: UInt8 = 0
    /// Tags that the frame leaves with (and `PackedFlowKey.pppoe`), and those tags as they will lie behind the MAC addresses; the
    /// second one's place holds the PPPoE session, in network order, where there is one.
    public var vlanCount: UInt8 = 0
    public var vlanTags: UInt64 = 0

    @inlinable public init() {}

    @inlinable @inline(__always) static var guardMaskOffset: Int { 16 }
    @inlinable @inline(__always) static var guardValueOffset: Int { 18 }

    public enum Flag {
        /// The flow's packets are those of the connection's reply direction.
        public static let isReply: UInt8 = 1
        public static let checksTCPWindow: UInt8 = 2
        public static let checksTransportChecksum: UInt8 = 4
        /// The transport header changes: ports, or a checksum that covers changed addresses.
        public static let rewritesTransport: UInt8 = 8
        public static let rewritesTrafficClass: UInt8 = 16
        /// The frame arrives or leaves with VLAN tags or a PPPoE session header: the link header may change its length.
        public static let rewritesTags: UInt8 = 32
        /// With `rewritesTrafficClass`: `FlowRewrite.writesChecksumLast`.
        public static let writesChecksumLast: UInt8 = 64
        /// What only the long way does.
        public static let isNotPlain = rewritesTrafficClass | rewritesTags
    }

    init(_ description: FlowDescription, rewritesTransport: Bool) {
        let rewrite = description.rewrite
        let guards = description.guard
        let destination = rewrite.destinationMAC.rawValue
        let source = rewrite.sourceMAC.rawValue
        linkHead = (destination << 16 | source >> 32).bigEndian
        linkTail = UInt32(truncatingIfNeeded: source).bigEndian
        outputPort = rewrite.outputPort
        maximumLength = guards.maximumLength
        if description.key.transportProtocol == IPProtocol.tcp {
            tcpFlagsMask = guards.tcpFlagsMask
            tcpFlagsValue = guards.tcpFlagsValue & tcpFlagsMask
            if description.connection != FlowDescription.untracked {
                // Whatever else the ruleset read: these are never the cache's to judge, and data without ACK is invalid.
                let always = TCPFlags.syn | TCPFlags.fin | TCPFlags.rst | TCPFlags.ack
                tcpFlagsMask |= always
                tcpFlagsValue = tcpFlagsValue & ~always | TCPFlags.ack
            }
            if guards.checksTCPWindow && description.connection != FlowDescription.untracked { flags |= Flag.checksTCPWindow }
        }
        guardTrafficClassMask = guards.trafficClassMask
        guardTrafficClassValue = guards.trafficClassValue & guards.trafficClassMask
        trafficClassMask = rewrite.trafficClassMask
        trafficClassValue = rewrite.trafficClassValue
        if trafficClassMask != 0 || trafficClassValue != 0 { flags |= rewrite.writesChecksumLast ? Flag.rewritesTrafficClass | Flag.writesChecksumLast : Flag.rewritesTrafficClass }
        vlanCount = min(rewrite.vlanCount, 2)
        vlanTags = rewrite.vlanTags
        if rewrite.pppoeSession != 0 {
            vlanCount |= PackedFlowKey.pppoe
            vlanTags = vlanTags & 0xffff_ffff | UInt64(rewrite.pppoeSession.bigEndian) << 32
        }
        if description.key.vlanCount != 0 || description.key.pppoeSession != 0 || vlanCount != 0 { flags |= Flag.rewritesTags }
        if description.direction != 0 { flags |= Flag.isReply }
        if guards.checksTransportChecksum { flags |= Flag.checksTransportChecksum }
        if rewritesTransport { flags |= Flag.rewritesTransport }
    }

    var pppoeSession: UInt16 { vlanCount & PackedFlowKey.pppoe == 0 ? 0 : UInt16(truncatingIfNeeded: vlanTags >> 32).byteSwapped }

    var destinationMAC: EthernetAddress { EthernetAddress(rawValue: linkHead.bigEndian >> 16) }
    var sourceMAC: EthernetAddress { EthernetAddress(rawValue: (linkHead.bigEndian & 0xffff) << 32 | UInt64(linkTail.bigEndian)) }
}

/// Interns actions with reference counts; single writer. Chained hashing over arrays, so that removal is exact.
struct FlowActionTable {
    static let none = UInt32.max
    struct Bookkeeping {
        var references: UInt32
        var next: UInt32
        /// `FlowDescription.neighbour`.
        var neighbour = FlowDescription.noNeighbour
    }
    let capacity: Int
    /// Read by workers; everything else is the writer's.
    let actions: UnsafeMutablePointer<FlowAction>
    private let bookkeeping: UnsafeMutablePointer<Bookkeeping>
    private let heads: UnsafeMutablePointer<UInt32>
    private let bucketMask: Int
    private var freeHead: UInt32
    private(set) var count = 0

    static func bucketCount(capacity: Int) -> Int {
        var count = 16
        while count < capacity { count *= 2 }
        return count
    }
    static func memoryRequired(capacity: Int) -> Int {
        capacity * (MemoryLayout<FlowAction>.stride + MemoryLayout<Bookkeeping>.stride) + bucketCount(capacity: capacity) * 4 + 64
    }

    init(memory: UnsafeMutableRawPointer, capacity: Int) {
        self.capacity = capacity
        let buckets = FlowActionTable.bucketCount(capacity: capacity)
        bucketMask = buckets - 1
        actions = memory.bindMemory(to: FlowAction.self, capacity: capacity)
        bookkeeping = (memory + capacity * MemoryLayout<FlowAction>.stride).bindMemory(to: Bookkeeping.self, capacity: capacity)
        heads = (memory + capacity * (MemoryLayout<FlowAction>.stride + MemoryLayout<Bookkeeping>.stride))
            .bindMemory(to: UInt32.self, capacity: buckets)
        heads.initialize(repeating: FlowActionTable.none, count: buckets)
        for index in 0..<capacity {
            (bookkeeping + index).initialize(to: Bookkeeping(references: 0, next: index + 1 < capacity ? UInt32(index + 1) : FlowActionTable.none))
        }
        freeHead = capacity > 0 ? 0 : FlowActionTable.none
    }

    private func bucket(of action: FlowAction) -> Int {
        let guards = UInt64(action.tcpFlagsMask) | UInt64(action.tcpFlagsValue) << 8 | UInt64(action.guardTrafficClassMask) << 16
            | UInt64(action.guardTrafficClassValue) << 24 | UInt64(action.trafficClassMask) << 32
            | UInt64(action.trafficClassValue) << 40 | UInt64(action.flags) << 48 | UInt64(action.vlanCount) << 56
        let link = UInt64(action.linkTail) | UInt64(action.outputPort) << 32 | UInt64(action.maximumLength) << 48
        var hash = action.linkHead &* 0x9e37_79b9_7f4a_7c15
        hash = (hash ^ hash >> 29 ^ link) &* 0xbf58_476d_1ce4_e5b9
        hash = (hash ^ hash >> 32 ^ guards) &* 0x94d0_49bb_1331_11eb
        hash = (hash ^ hash >> 31 ^ action.vlanTags) &* 0x9e37_79b9_7f4a_7c15
        return Int(truncatingIfNeeded: hash >> 32) & bucketMask
    }

    /// The index of `action` towards `neighbour` with one reference more; nil when the table is full.
    mutating func retain(_ action: FlowAction, neighbour: UInt32) -> UInt32? {
        let bucket = bucket(of: action)
        var index = heads[bucket]
        while index != FlowActionTable.none {
            if actions[Int(index)] == action, bookkeeping[Int(index)].neighbour == neighbour {
                bookkeeping[Int(index)].references += 1
                return index
            }
            index = bookkeeping[Int(index)].next
        }
        guard freeHead != FlowActionTable.none else { return nil }
        index = freeHead
        freeHead = bookkeeping[Int(index)].next
        // Plain store: the entry that names this action is published after it by the release store of its tag.
        (actions + Int(index)).initialize(to: action)
        bookkeeping[Int(index)] = Bookkeeping(references: 1, next: heads[bucket], neighbour: neighbour)
        heads[bucket] = index
        count += 1
        return index
    }

    func neighbour(_ index: UInt32) -> UInt32 { bookkeeping[Int(index)].neighbour }

    /// One reference more to an action that is in use.
    mutating func retain(index: UInt32) { bookkeeping[Int(index)].references += 1 }

    /// Gives one reference back; only for entries that no reader can hold any more.
    mutating func release(_ index: UInt32) {
        bookkeeping[Int(index)].references -= 1
        guard bookkeeping[Int(index)].references == 0 else { return }
        let bucket = bucket(of: actions[Int(index)])
        if heads[bucket] == index {
            heads[bucket] = bookkeeping[Int(index)].next
        } else {
            var previous = heads[bucket]
            while bookkeeping[Int(previous)].next != index { previous = bookkeeping[Int(previous)].next }
            bookkeeping[Int(previous)].next = bookkeeping[Int(index)].next
        }
        bookkeeping[Int(index)].next = freeHead
        freeHead = index
        count -= 1
    }
}
