// The unmanaged face of a compiled ruleset: pointers into memory that a CompiledRuleset owns, for use per packet.
//
// Invariant: valid while its CompiledRuleset lives; one thread evaluates, since rules have state.

/// An interface as `meta` expressions read it.
struct InterfaceRecord {
    var index: UInt32 = 0
    var group: UInt32 = 0
    var hardwareType: UInt16 = 0
    var hasKind = false
    /// 16 bytes each, zero padded, first byte highest.
    var nameHigh: UInt64 = 0
    var nameLow: UInt64 = 0
    var kindHigh: UInt64 = 0
    var kindLow: UInt64 = 0
}

/// Counter of `numgen inc`.
struct GeneratorState {
    var counter: UInt32
}

/// What a program consists of.
@usableFromInline struct ProgramTables {
    var instructions: UnsafeMutablePointer<Instruction>
    var constants: UnsafeMutableRawPointer
    @usableFromInline var chains: UnsafePointer<BaseChain>
    /// Start and count in `chains`, by hook and family: `index(hook, family)`.
    @usableFromInline var directory: UnsafePointer<(start: UInt32, count: UInt32)>
    @usableFromInline var services: UInt32
    var interfaces: UnsafePointer<InterfaceRecord>
    var interfaceCount: Int
    var loopback: UInt16
    var counters: UnsafeMutablePointer<CounterState>
    var counterCount: Int
    var limits: UnsafeMutablePointer<LimitState>
    var quotas: UnsafeMutablePointer<QuotaState>
    var connectionLimits: UnsafeMutablePointer<ConnectionLimitState>
    var lasts: UnsafeMutablePointer<LastState>
    var generators: UnsafeMutablePointer<GeneratorState>
    var natTemplates: UnsafePointer<NATTemplate>
    var sets: UnsafeMutablePointer<SetHeader>
    var classifiers: UnsafeMutablePointer<Classifier>
    /// What is asked for ahead of a packet: fields, and the state of their searches for each packet of a batch.
    var foreseen: UnsafePointer<ForeseenField>
    @usableFromInline var foreseenCount: Int
    var searchHints: UnsafeMutablePointer<SearchHint>
    /// `Registers.size` bytes, then 16 return addresses.
    var scratch: UnsafeMutableRawPointer
    /// State of the pseudo-random generator.
    var random: UnsafeMutablePointer<UInt64>
}

/// Small, so that it is handed on in registers.
public struct Program {
    @usableFromInline let tables: UnsafePointer<ProgramTables>

    /// - Parameter tables: memory that outlives the program.
    init(_ tables: UnsafePointer<ProgramTables>) { self.tables = tables }

    @inlinable @inline(__always) var services: UInt32 { tables.pointee.services }
    @inlinable @inline(__always) var foreseenCount: Int { tables.pointee.foreseenCount }
    @inline(__always) var instructions: UnsafeMutablePointer<Instruction> { tables.pointee.instructions }
    @inline(__always) var constants: UnsafeMutableRawPointer { tables.pointee.constants }
    @inlinable @inline(__always) var chains: UnsafePointer<BaseChain> { tables.pointee.chains }
    @inlinable @inline(__always) var directory: UnsafePointer<(start: UInt32, count: UInt32)> { tables.pointee.directory }
    @inline(__always) var interfaces: UnsafePointer<InterfaceRecord> { tables.pointee.interfaces }
    @inline(__always) var interfaceCount: Int { tables.pointee.interfaceCount }
    /// Place of `lo` among the interfaces.
    public var loopback: UInt16 { tables.pointee.loopback }
    @inline(__always) var counters: UnsafeMutablePointer<CounterState> { tables.pointee.counters }
    @inline(__always) var counterCount: Int { tables.pointee.counterCount }
    @inline(__always) var limits: UnsafeMutablePointer<LimitState> { tables.pointee.limits }
    @inline(__always) var quotas: UnsafeMutablePointer<QuotaState> { tables.pointee.quotas }
    @inline(__always) var connectionLimits: UnsafeMutablePointer<ConnectionLimitState> { tables.pointee.connectionLimits }
    @inline(__always) var lasts: UnsafeMutablePointer<LastState> { tables.pointee.lasts }
    @inline(__always) var generators: UnsafeMutablePointer<GeneratorState> { tables.pointee.generators }
    @inline(__always) var natTemplates: UnsafePointer<NATTemplate> { tables.pointee.natTemplates }
    @inline(__always) var sets: UnsafeMutablePointer<SetHeader> { tables.pointee.sets }
    @inline(__always) var classifiers: UnsafeMutablePointer<Classifier> { tables.pointee.classifiers }
    @inline(__always) var foreseen: UnsafePointer<ForeseenField> { tables.pointee.foreseen }
    @inline(__always) var searchHints: UnsafeMutablePointer<SearchHint> { tables.pointee.searchHints }
    @inline(__always) var scratch: UnsafeMutableRawPointer { tables.pointee.scratch }
    @inline(__always) var random: UnsafeMutablePointer<UInt64> { tables.pointee.random }

    /// Base chains for packets of a family at a hook, in running order: ascending priority, of equal ones the last
    /// registered first. At ingress and egress the chains of all devices: skip those whose `device` is not the packet's.
    @inlinable @inline(__always) public func chains(_ hook: Hook, _ family: PacketFamily) -> UnsafeBufferPointer<BaseChain> {
        let entry = directory[Program.index(hook, family)]
        return UnsafeBufferPointer(start: chains + Int(entry.start), count: Int(entry.count))
    }

    @inlinable @inline(__always) static func index(_ hook: Hook, _ family: PacketFamily) -> Int { Int(hook.rawValue) &* 5 &+ Int(family.rawValue) }
    static var directorySize: Int { 7 * 5 }

    /// Whether some rule or chain needs the service for packets of the family.
    @inlinable @inline(__always) public func needs(_ service: PipelineService, _ family: PacketFamily) -> Bool {
        services & Program.bit(service, family) != 0
    }

    @inlinable @inline(__always) static func bit(_ service: PipelineService, _ family: PacketFamily) -> UInt32 {
        1 << (UInt32(service.rawValue) * 8 + UInt32(family.rawValue))
    }

    @inline(__always) func nextRandom() -> UInt64 {
        // splitmix64
        random.pointee &+= 0x9e37_79b9_7f4a_7c15
        var z = random.pointee
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}

/// The constant part of a NAT statement; addresses and ports come from registers.
struct NATTemplate {
    static let absent: UInt8 = 255
    var kind: NATRequest.Kind = .source
    var flags: NATRequest.Flags = []
    var family: UInt8 = 4
    /// Registers, `absent` if not given. The last address or port equals the first unless given.
    var firstAddress = NATTemplate.absent
    var lastAddress = NATTemplate.absent
    var firstPort = NATTemplate.absent
    var lastPort = NATTemplate.absent
}
