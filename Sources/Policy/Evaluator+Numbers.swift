// `numgen`, `jhash` and `symhash`.
//
// Invariant: jhash equals the kernel's jhash() over the same bytes as nft would have in its registers, so that a ruleset
// with a given seed balances as Linux does. Sources: include/linux/jhash.h (Bob Jenkins' lookup3), nft_numgen.c, nft_hash.c.
import Wire

extension Program {
    /// The upper half of the product: 0 ..< modulus (reciprocal_scale()).
    @inline(__always) private func scale(_ value: UInt32, _ modulus: UInt32) -> UInt32 { UInt32((UInt64(value) &* UInt64(modulus)) >> 32) }

    /// b = 0 incremental, 1 random; x = generator; value = modulus, second = offset.
    func loadNumber(_ pc: UnsafePointer<Instruction>, _ context: inout PacketContext) -> Bool {
        context.walk?.pointee.refuse(.numgen, rule: pc.pointee.rule)
        let modulus = UInt32(truncatingIfNeeded: pc.pointee.value)
        let number: UInt32
        if pc.pointee.b == 0 {
            let state = generators + Int(pc.pointee.x)
            let next = state.pointee.counter &+ 1
            number = next < modulus ? next : 0
            state.pointee.counter = number
        } else {
            number = scale(UInt32(truncatingIfNeeded: nextRandom()), modulus)
        }
        scratch.setNumber(UInt64(number &+ UInt32(truncatingIfNeeded: pc.pointee.second)), Int(pc.pointee.a), Int(pc.pointee.length))
        return true
    }

    /// b = register of the key, x = its bytes, value = seed << 32 | modulus, second = offset.
    func loadJenkinsHash(_ pc: UnsafePointer<Instruction>) -> Bool {
        let hash = JenkinsHash.hash(scratch + Int(pc.pointee.b), Int(pc.pointee.x), UInt32(truncatingIfNeeded: pc.pointee.value >> 32))
        let number = scale(hash, UInt32(truncatingIfNeeded: pc.pointee.value)) &+ UInt32(truncatingIfNeeded: pc.pointee.second)
        scratch.setNumber(UInt64(number), Int(pc.pointee.a), Int(pc.pointee.length))
        return true
    }

    /// value = seed << 32 | modulus, second = offset. Linux's own seed is random and secret, so only the symmetry is the same.
    func loadSymmetricHash(_ pc: UnsafePointer<Instruction>, _ context: inout PacketContext) -> Bool {
        let parsed = context.parsed
        let addresses = SetHeader.mix(parsed.sourceAddress.low ^ parsed.destinationAddress.low ^ 0x9e37_79b9_7f4a_7c15,
                                      parsed.sourceAddress.high ^ parsed.destinationAddress.high ^ 0xa076_1d64_78bd_642f)
        let ports = UInt64(parsed.sourcePort ^ parsed.destinationPort) << 8 | UInt64(parsed.transportProtocol)
        let hash = SetHeader.mix(addresses ^ ports, 0xe703_7ed1_a0b4_28db ^ (pc.pointee.value >> 32))
        let number = scale(UInt32(truncatingIfNeeded: hash), UInt32(truncatingIfNeeded: pc.pointee.value)) &+ UInt32(truncatingIfNeeded: pc.pointee.second)
        scratch.setNumber(UInt64(number), Int(pc.pointee.a), Int(pc.pointee.length))
        return true
    }
}
