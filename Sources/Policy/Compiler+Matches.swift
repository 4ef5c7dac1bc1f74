// Matches: a value against a constant, a range, a prefix, a bit mask or a set.
//
// Invariant: a match emits instructions that either fall through (it holds) or break the rule. The comparison of a packet
// field of less than 8 bytes with a constant, the bulk of real rulesets, is one instruction.
import Ruleset

extension Compiler {
    func compile(_ match: Match) {
        switch (match.operation, match.right) {
        case (_, .set(let source)):
            let length = load(match.left, at: 0)
            var instruction = Instruction(match.operation == .notEqual || match.operation == .noBit ? .setLacks : .setContains)
            instruction.x = set(source, keyLength: length, dataType: nil)
            emit(instruction)
        case (.equal, .constant(let value)), (.notEqual, .constant(let value)):
            compare(match.left, mask: nil, value.number, equal: match.operation == .equal)
        case (.equal, .flags(let values)), (.notEqual, .flags(let values)):
            compare(match.left, mask: nil, values.reduce(0) { $0 | $1.number }, equal: match.operation == .equal)
        case (.equal, .prefix(let value, let length)), (.notEqual, .prefix(let value, let length)), (.anyBit, .prefix(let value, let length)):
            let mask = Compiler.prefixMask(length, bits: value.type.bits)
            compare(match.left, mask: mask, value.number & mask, equal: match.operation != .notEqual)
        case (.anyBit, .constant(let value)): compare(match.left, mask: value.number, 0, equal: false)
        case (.noBit, .constant(let value)): compare(match.left, mask: value.number, 0, equal: true)
        case (.anyBit, .flags(let values)): compare(match.left, mask: values.reduce(0) { $0 | $1.number }, 0, equal: false)
        case (.noBit, .flags(let values)): compare(match.left, mask: values.reduce(0) { $0 | $1.number }, 0, equal: true)
        case (_, .range(let low, let high)):
            let length = load(match.left, at: 0)
            range(register: 0, length, low.number, high.number, inside: match.operation != .notEqual && match.operation != .noBit)
        case (_, .concatenation): compareConcatenation(match)
        case (_, .constant(let value)):
            let length = load(match.left, at: 0)
            let op: Opcode = switch match.operation {
            case .less: .compareLess
            case .greater: .compareGreater
            case .lessOrEqual: .compareLessEqual
            default: .compareGreaterEqual
            }
            compareRegister(0, length, op, value.number)
        case (.equal, _), (.notEqual, _):
            // Two loads: equal if their exclusive or is zero.
            let length = load(match.left, at: 0)
            guard load(match.right, at: length) == length else { return neverMatches("a comparison of values of different size") }
            var difference = Instruction(.registerXor)
            difference.b = UInt8(length)
            difference.length = UInt8(length)
            emit(difference)
            compareRegister(0, length, match.operation == .equal ? .compareEqual : .compareNotEqual, 0)
        default: neverMatches("this comparison")
        }
    }

    /// The mask of the leading `length` of `bits` bits.
    static func prefixMask(_ length: Int, bits: Int) -> UInt128 {
        guard length > 0 else { return 0 }
        let all = bits >= 128 ? UInt128.max : (UInt128(1) << UInt128(bits)) - 1
        return length >= bits ? all : all & ~((UInt128(1) << UInt128(bits - length)) - 1)
    }

    /// `left & mask == number`, in one instruction where the left side is a small packet field.
    private func compare(_ left: Ruleset.Expression, mask: UInt128?, _ number: UInt128, equal: Bool) {
        if let fused = fusedField(left, mask: mask, number, equal: equal) { return emit(fused) }
        let length = load(left, at: 0, mask: mask)
        guard length > 0 else { return }
        if let mask { operation(.bitAnd, 0, length, constant: Compiler.bytes(mask, length)) }
        compareRegister(0, length, equal ? .compareEqual : .compareNotEqual, number)
    }

    private func fusedField(_ left: Ruleset.Expression, mask: UInt128?, _ number: UInt128, equal: Bool) -> Instruction? {
        var field: PayloadField
        var fieldMask = mask
        switch left {
        case .payload(let payload): field = payload
        case .binary(.and, .payload(let payload), .constant(let value), _):
            field = payload
            fieldMask = (mask ?? UInt128.max) & value.number
        case .binary(.and, .payload(let payload), .flags(let values), _):
            field = payload
            fieldMask = (mask ?? UInt128.max) & values.reduce(0) { $0 | $1.number }
        default: return nil
        }
        guard field.tunnel == nil, field.length <= 56 else { return nil }
        let bytes = FieldBytes(bitOffset: field.offset, bitLength: field.length)
        guard bytes.count < 8 else { return nil }
        let full = (UInt128(1) << UInt128(field.length)) - 1
        guard number <= full else { return nil }
        var instruction = Instruction(equal ? .fieldEqual : .fieldNotEqual)
        instruction.a = readClass(field, bytes)
        instruction.b = base(field.base).rawValue
        instruction.length = UInt8(bytes.count)
        instruction.x = UInt32(bytes.offset)
        instruction.value = UInt64((full & (fieldMask ?? full)) << UInt128(bytes.shift))
        instruction.second = UInt64(number << UInt128(bytes.shift))
        return instruction
    }

    func compareRegister(_ register: Int, _ length: Int, _ op: Opcode, _ number: UInt128) {
        var instruction = Instruction(op)
        instruction.b = UInt8(register)
        instruction.length = UInt8(length)
        if length <= 8 {
            instruction.value = UInt64(truncatingIfNeeded: number)
        } else {
            instruction.x = pool(Compiler.bytes(number, length))
        }
        emit(instruction)
    }

    private func range(register: Int, _ length: Int, _ low: UInt128, _ high: UInt128, inside: Bool) {
        var instruction = Instruction(inside ? .range : .notRange)
        instruction.b = UInt8(register)
        instruction.length = UInt8(length)
        if length <= 8 {
            instruction.value = UInt64(truncatingIfNeeded: low)
            instruction.second = UInt64(truncatingIfNeeded: high)
        } else {
            instruction.x = pool(Compiler.bytes(low, length) + Compiler.bytes(high, length))
        }
        emit(instruction)
    }

    /// `a . b == 1 . 2`: as a set with one element.
    private func compareConcatenation(_ match: Match) {
        let element = SetElement(key: match.right)
        let source = AnonymousSet(keyType: match.right.type, dataType: nil, isInterval: true, elements: [element])
        let length = load(match.left, at: 0)
        var instruction = Instruction(match.operation == .notEqual ? .setLacks : .setContains)
        instruction.x = set(.anonymous(source), keyLength: length, dataType: nil)
        emit(instruction)
    }
}
