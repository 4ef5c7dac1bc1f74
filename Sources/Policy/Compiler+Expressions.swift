// Expressions into registers.
//
// Invariant: a value of n bits ends up right-aligned in (n + 7) / 8 bytes at the place asked for; the parts of a
// concatenation stand side by side without padding. The compiler refuses (`never`, with a warning) what does not fit the
// register file instead of emitting it.
import Ruleset

/// Whole bytes of a header that hold a bit field, and where the field lies in them.
struct FieldBytes {
    var offset: Int
    var count: Int
    /// Bits behind the field in the last byte.
    var shift: Int

    init(bitOffset: Int, bitLength: Int) {
        offset = bitOffset / 8
        let end = bitOffset + bitLength
        count = (end + 7) / 8 - offset
        shift = (8 - end % 8) % 8
    }
}

extension Compiler {
    /// Emits what puts the expression's value at `register`. Returns its length in bytes.
    @discardableResult
    func load(_ expression: Ruleset.Expression, at register: Int, mask: UInt128? = nil) -> Int {
        let length = byteLength(expression)
        // Room for the bytes around a bit field as well, which are loaded 32 bytes further on.
        guard register + length + 40 <= Registers.size else {
            neverMatches("an expression this long")
            return 0
        }
        switch expression {
        case .constant(let value): immediate(value.bytes, at: register)
        case .prefix(let value, _): immediate(value.bytes, at: register)
        case .flags(let values):
            let number = values.reduce(UInt128(0)) { $0 | $1.number }
            immediate(Compiler.bytes(number, length), at: register)
        case .concatenation(let parts):
            var place = register
            for part in parts { place += load(part, at: place) }
            return place - register
        case .payload(let field): loadPayload(field, at: register, mask: mask)
        case .meta(let key, let type): loadMeta(key, type, at: register)
        case .ct(let field): loadConntrack(field, at: register)
        case .option(let field): loadOption(field, at: register)
        case .map(let key, let source, let type):
            let keyLength = load(key, at: register)
            var lookup = Instruction(.mapLookup)
            lookup.a = UInt8(register)
            lookup.b = UInt8(register)
            lookup.x = set(source, keyLength: keyLength, dataType: type)
            emit(lookup)
        case .fib(let flags, let result, let type):
            var instruction = Instruction(.fib)
            instruction.a = UInt8(register)
            instruction.length = UInt8(type.byteLength)
            instruction.x = UInt32(flags.rawValue)
            instruction.b = switch result {
            case .oif: 0
            case .oifname: 1
            case .type: 2
            case .check: 3
            }
            emit(instruction)
        case .route(let key, let family, let type): loadRoute(key, family, type, at: register)
        case .numgen(let mode, let modulus, let offset, let type):
            var instruction = Instruction(.numgen)
            instruction.a = UInt8(register)
            instruction.length = UInt8(type.byteLength)
            instruction.b = mode == .incremental ? 0 : 1
            instruction.x = UInt32(generators.count)
            instruction.value = UInt64(max(1, modulus))
            instruction.second = UInt64(offset)
            if !rules.isEmpty { rules[Int(rule)].generators.append(generators.count) }
            generators.append(GeneratorState(counter: max(1, modulus) - 1))
            emit(instruction)
        case .jhash(let key, let modulus, let seed, let offset, let type):
            var instruction = Instruction(.jenkinsHash)
            instruction.a = UInt8(register)
            instruction.b = UInt8(register)
            instruction.length = UInt8(type.byteLength)
            instruction.x = UInt32(loadForHash(key, at: register))
            instruction.value = UInt64(seed ?? UInt32(truncatingIfNeeded: self.seed ^ self.seed >> 32)) << 32 | UInt64(max(1, modulus))
            instruction.second = UInt64(offset)
            emit(instruction)
        case .symhash(let modulus, let offset, let type):
            var instruction = Instruction(.symmetricHash)
            instruction.a = UInt8(register)
            instruction.length = UInt8(type.byteLength)
            instruction.value = UInt64(UInt32(truncatingIfNeeded: seed)) << 32 | UInt64(max(1, modulus))
            instruction.second = UInt64(offset)
            emit(instruction)
        case .binary(let operation, let left, let right, _): loadBinary(operation, left, right, at: register)
        case .socket: neverMatches("socket", .ofAHost)
        case .osf: neverMatches("osf")
        case .ipsec: neverMatches("ipsec", .ofAHost)
        case .tunnel(let key, let type):
            // No packet comes from a lightweight tunnel: its path is missing, its fields are not there.
            if key == "path" { immediate([UInt8](repeating: 0, count: type.byteLength), at: register) } else { neverMatches("tunnel", .ofAHost) }
        case .range, .verdict, .set, .objectName, .catchAll: neverMatches("this expression")
        }
        return length
    }

    func byteLength(_ expression: Ruleset.Expression) -> Int {
        switch expression {
        case .concatenation(let parts): parts.reduce(0) { $0 + byteLength($1) }
        case .payload(let field): (field.length + 7) / 8
        case .option(let field): field.testsPresence ? 1 : (field.length + 7) / 8
        case .binary(_, let left, _, _): byteLength(left)
        default: packedLength(expression.type)
        }
    }

    /// Bytes of a value of the type, concatenations without padding.
    func packedLength(_ type: Datatype) -> Int { type.parts.reduce(0) { $0 + $1.byteLength } }

    static func bytes(_ number: UInt128, _ count: Int) -> [UInt8] {
        (0 ..< count).map { index in
            let shift = 8 * (count - 1 - index)
            return shift >= 128 ? 0 : UInt8(truncatingIfNeeded: number >> UInt128(shift))
        }
    }

    func immediate(_ bytes: [UInt8], at register: Int) {
        var instruction = Instruction(.immediate)
        instruction.a = UInt8(register)
        instruction.length = UInt8(bytes.count)
        instruction.x = pool(bytes)
        emit(instruction)
    }

    func operation(_ op: Opcode, _ register: Int, _ length: Int, constant bytes: [UInt8]) {
        var instruction = Instruction(op)
        instruction.a = UInt8(register)
        instruction.length = UInt8(length)
        instruction.x = pool(bytes)
        emit(instruction)
    }

    func shift(_ op: Opcode, _ register: Int, _ length: Int, by amount: Int) {
        guard amount > 0 else { return }
        var instruction = Instruction(op)
        instruction.a = UInt8(register)
        instruction.length = UInt8(length)
        instruction.x = UInt32(amount)
        emit(instruction)
    }

    private func loadPayload(_ field: PayloadField, at register: Int, mask: UInt128?) {
        let bytes = FieldBytes(bitOffset: field.offset, bitLength: field.length)
        let wanted = (field.length + 7) / 8
        var instruction: Instruction
        if let tunnel = field.tunnel {
            instruction = tunnelLoad(field, tunnel)
            instruction.x = UInt32(bytes.offset)
        } else {
            instruction = Instruction(.payload)
            instruction.b = base(field.base).rawValue
            instruction.x = UInt32(bytes.offset)
            let full = UInt128.max >> UInt128(128 - min(128, field.length))
            let readMask = ((mask ?? full) & full) << UInt128(bytes.shift)
            instruction.value = UInt64(readClass(field, bytes)) | UInt64(truncatingIfNeeded: readMask) << 8
        }
        // With a field that straddles bytes, more are loaded than the value has.
        let place = bytes.count > wanted ? register + 32 : register
        instruction.a = UInt8(place)
        instruction.length = UInt8(bytes.count)
        emit(instruction)
        isolate(field.length, bytes, at: place, in: register)
    }

    /// What follows a load of the bytes around a bit field: its bits alone, at the end of what was loaded, in `register`.
    func isolate(_ length: Int, _ bytes: FieldBytes, at place: Int, in register: Int) {
        let wanted = (length + 7) / 8
        shift(.shiftRight, place, bytes.count, by: bytes.shift)
        if length % 8 != 0 || bytes.count > wanted {
            let full = UInt128.max >> UInt128(128 - min(128, length))
            operation(.bitAnd, place, bytes.count, constant: Compiler.bytes(full, bytes.count))
        }
        if place != register {
            var copy = Instruction(.copyRegister)
            copy.a = UInt8(register)
            copy.b = UInt8(place + bytes.count - wanted)
            copy.length = UInt8(wanted)
            emit(copy)
        }
    }

    func base(_ base: Ruleset.PayloadBase) -> PayloadBase {
        switch base {
        case .link: .link
        case .network: .network
        case .transport: .transport
        case .inner: .inner
        }
    }

    func tunnelLoad(_ field: PayloadField, _ tunnel: String) -> Instruction {
        var instruction = Instruction(.tunnel)
        let kind: TunnelKind = switch tunnel {
        case "vxlan": .vxlan
        case "geneve": .geneve
        case "gretap": .gretap
        default: .gre
        }
        instruction.value = UInt64(kind.rawValue)
        let part: TunnelField
        switch field.base {
        case _ where field.isTunnelHeader: part = .header
        case .link: part = .link
        case .network: part = .network
        case .transport, .inner: part = .transport
        }
        instruction.b = part.rawValue
        if !field.isTunnelHeader { instruction.second = Compiler.innerProtocol(field.proto) }
        return instruction
    }

    /// What an inner packet has to be for one of its fields to mean anything.
    private static func innerProtocol(_ proto: String) -> UInt64 {
        let ipv4: UInt64 = 0x0800 << 16, ipv6: UInt64 = 0x86dd << 16
        switch proto {
        case "ip": return ipv4
        case "ip6": return ipv6
        case "arp": return 0x0806 << 16
        case "icmp": return ipv4 | 2
        case "icmpv6": return ipv6 | 59
        case "igmp": return ipv4 | 3
        case "tcp": return 7
        case "udp": return 18
        case "dccp": return 34
        case "esp": return 51
        case "ah": return 52
        case "comp": return 109
        case "sctp": return 133
        case "udplite": return 137
        default: return 0
        }
    }

    /// What it means for the flow that a rule reads these bytes.
    func readClass(_ field: PayloadField, _ bytes: FieldBytes) -> UInt8 {
        let first = bytes.offset, end = bytes.offset + bytes.count
        func within(_ low: Int, _ high: Int) -> Bool { first >= low && end <= high }
        switch (field.base, field.proto) {
        case (.link, _): return within(12, 14) ? ReadClass.constant : WalkRecord.Reason.linkHeader.rawValue
        case (.network, "ip"):
            if within(0, 1) || within(9, 10) || within(12, 20) { return ReadClass.constant }
            if within(1, 2) { return ReadClass.trafficClass4 }
            if within(2, 4) { return WalkRecord.Reason.length.rawValue }
            return (within(8, 9) ? WalkRecord.Reason.timeToLive : .otherHeader).rawValue
        case (.network, "ip6"):
            if within(0, 1), field.offset + field.length <= 4 { return ReadClass.constant }
            if within(0, 2), field.offset + field.length <= 12 { return ReadClass.trafficClass6 }
            if within(4, 6) { return WalkRecord.Reason.length.rawValue }
            if within(6, 7) || within(8, 40) { return ReadClass.constant }
            return (within(7, 8) ? WalkRecord.Reason.timeToLive : .otherHeader).rawValue
        case (.network, _): return WalkRecord.Reason.otherHeader.rawValue
        case (.transport, "tcp"):
            return within(0, 4) ? ReadClass.constant : within(13, 14) ? ReadClass.tcpFlags : WalkRecord.Reason.payload.rawValue
        case (.transport, "udp"): return within(0, 4) ? ReadClass.constant : WalkRecord.Reason.payload.rawValue
        case (.transport, "th"): return within(0, 4) ? ReadClass.ports : WalkRecord.Reason.payload.rawValue
        case (.transport, "icmp"), (.transport, "icmpv6"): return within(0, 2) || within(4, 6) ? ReadClass.constant : WalkRecord.Reason.payload.rawValue
        default: return WalkRecord.Reason.payload.rawValue
        }
    }

    private func loadBinary(_ operation: BinaryOperator, _ left: Ruleset.Expression, _ right: Ruleset.Expression, at register: Int) {
        let constant: UInt128? = if case .constant(let value) = right { value.number } else if case .flags(let values) = right { values.reduce(0) { $0 | $1.number } } else { nil }
        let length = byteLength(left)
        load(left, at: register, mask: operation == .and ? constant : nil)
        guard length > 0 else { return }
        switch (operation, constant) {
        case (.shiftLeft, let amount?): shift(.shiftLeft, register, length, by: Int(min(amount, 1024)))
        case (.shiftRight, let amount?): shift(.shiftRight, register, length, by: Int(min(amount, 1024)))
        case (.and, let number?): self.operation(.bitAnd, register, length, constant: Compiler.bytes(number, length))
        case (.or, let number?): self.operation(.bitOr, register, length, constant: Compiler.bytes(number, length))
        case (.xor, let number?): self.operation(.bitXor, register, length, constant: Compiler.bytes(number, length))
        case (.and, nil), (.or, nil), (.xor, nil):
            let other = register + length
            guard load(right, at: other) == length else { return neverMatches("an operation on values of different size") }
            var instruction = Instruction(operation == .and ? .registerAnd : operation == .or ? .registerOr : .registerXor)
            instruction.a = UInt8(register)
            instruction.b = UInt8(other)
            instruction.length = UInt8(length)
            emit(instruction)
        case (.shiftLeft, nil), (.shiftRight, nil): neverMatches("a shift by a variable")
        }
    }

    /// The bytes that the kernel would hash: parts padded to 32 bits, host-order values in the host's order.
    private func loadForHash(_ key: Ruleset.Expression, at register: Int) -> Int {
        guard case .concatenation(let parts) = key else {
            let length = load(key, at: register)
            if key.type.byteOrder == .host, length > 1, key.type.basic != .interfaceName, key.type.basic != .string { swap(register, length) }
            return length
        }
        var place = register
        for part in parts {
            let length = byteLength(part)
            let padded = (length + 3) / 4 * 4
            guard place + padded + 40 <= Registers.size else {
                neverMatches("an expression this long")
                return 0
            }
            immediate([UInt8](repeating: 0, count: padded), at: place)
            load(part, at: place)
            if part.type.byteOrder == .host, length > 1, part.type.basic != .interfaceName, part.type.basic != .string { swap(place, length) }
            place += padded
        }
        return place - register
    }

    private func swap(_ register: Int, _ length: Int) {
        var instruction = Instruction(.swapBytes)
        instruction.a = UInt8(register)
        instruction.length = UInt8(length)
        instruction.x = UInt32(length)
        emit(instruction)
    }
}
