// The unmanaged face of a compiled ruleset: pointers into memory that a CompiledRuleset owns, for use per packet.
//
// Invariant: valid while its CompiledRuleset lives; one thread evaluates, since rules have state.

public struct Program {
    var instructions: UnsafeMutablePointer<Instruction>
    var chains: UnsafePointer<BaseChain>
    /// Start and count in `chains`, by hook and family: `index(hook, family)`.
    var directory: UnsafePointer<(start: UInt32, count: UInt32)>
    var services: UInt32

    /// Base chains for packets of a family at a hook, in running order: ascending priority, of equal ones the last
    /// registered first. For ingress and egress use `chains(_:device:)`.
    public func chains(_ hook: Hook, _ family: PacketFamily) -> UnsafeBufferPointer<BaseChain> {
        let entry = directory[Program.index(hook, family)]
        return UnsafeBufferPointer(start: chains + Int(entry.start), count: Int(entry.count))
    }

    static func index(_ hook: Hook, _ family: PacketFamily) -> Int { Int(hook.rawValue) * PacketFamily.allCases.count + Int(family.rawValue) }

    /// Whether some rule or chain needs the service for packets of the family.
    public func needs(_ service: PipelineService, _ family: PacketFamily) -> Bool {
        services & Program.bit(service, family) != 0
    }

    static func bit(_ service: PipelineService, _ family: PacketFamily) -> UInt32 {
        1 << (UInt32(service.rawValue) * 8 + UInt32(family.rawValue))
    }

    /// Runs a base chain on a packet. Ingress and egress chains of other devices than `chain.device` are the caller's to skip.
    public func evaluate(_ chain: BaseChain, _ context: inout PacketContext) -> Verdict {
        chain.dropsByPolicy ? .policyDrop : .accept
    }
}
