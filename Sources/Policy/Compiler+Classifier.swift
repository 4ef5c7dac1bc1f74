// Which chains are classified, and what their rules ask before they have an effect.
//
// Invariant: only comparisons that stand before a rule's first effect count, of fields that are constant in a flow or
// whose changes on the way the classifier hears of (`ChangeClass`). What is not understood asks nothing.
import Ruleset

extension Compiler {
    /// Chains shorter than this are run rule by rule.
    static var classifiedLength: Int { 16 }
    /// The first rules of a chain are run before its classifier: they are those that established connections meet.
    static var unclassifiedHead: Int { 2 }

    /// A long chain that waits for its classifier: its instruction in front of each run of rules, and the rules' first instructions.
    struct PendingClassifier {
        var head: Int
        var starts: [Int]
        var end: Int
    }

    /// Puts the classifiers of long chains in place, or turns their instructions into plain steps to the next rule.
    func finishClassifiers() {
        var memory = ChainConditions()
        for pending in pendingClassifiers {
            let rules = pending.starts.indices.map { position in
                classified(pending.starts[position] ..< (position + 1 < pending.starts.count ? pending.starts[position + 1] : pending.end), &memory)
            }
            let plan = ClassifierPlan(rules, end: UInt32(pending.end))
            let number = UInt32(classifiers.count)
            if plan == nil { instructions[pending.head] = step(to: pending.head + 1) } else { instructions[pending.head].x = number }
            for (position, start) in pending.starts.enumerated() {
                let following = position + 1 < pending.starts.count ? pending.starts[position + 1] : pending.end
                if plan != nil { instructions[following - 1].x = number } else {
                    for index in start ..< following { instructions[index].next = UInt32(following) }
                    instructions[following - 1] = step(to: following)
                }
            }
            if let plan { classifiers.append(plan) }
        }
    }

    private func step(to place: Int) -> Instruction {
        var instruction = Instruction(.goTo)
        instruction.x = UInt32(place)
        return instruction
    }

    /// What was found out about chains: any packet outside of these leaves the chain as it came.
    struct ChainConditions {
        var known: [UInt32: Conditions] = [:]
        var depth = 0
    }

    /// What a packet needs for some rule of a chain to do anything: fields that every rule looks at.
    private func chainConditions(_ offset: UInt32, _ memory: inout ChainConditions) -> Conditions {
        if let known = memory.known[offset] { return known }
        guard memory.depth < 16, let rules = chainRules[offset] else { return [:] }
        memory.depth += 1
        defer { memory.depth -= 1 }
        // A chain without rules does nothing, which no condition expresses: it asks nothing.
        var result: Conditions?
        for rule in rules {
            let own = classified(rule, &memory).conditions
            if var common = result {
                for dimension in common.keys {
                    if let other = own[dimension], let mine = common[dimension] { common[dimension] = mine.union(other).joined() } else { common[dimension] = nil }
                }
                result = common
            } else {
                result = own
            }
            if result?.isEmpty == true { break }
        }
        memory.known[offset] = result ?? [:]
        return result ?? [:]
    }

    /// What one rule asks before its first effect.
    private func classified(_ range: Range<Int>, _ memory: inout ChainConditions) -> ClassifiedRule {
        var reader = ConditionReader()
        var index = range.lowerBound
        reading: while index < range.upperBound {
            let instruction = instructions[index]
            switch instruction.op {
            case .setContains, .setLacks, .verdictMap, .mapLookup, .objectMap:
                let set = sets[Int(instruction.x)]
                // Elements with statements of their own have effects; a named set's elements come and go.
                guard set.statements.isEmpty else { break reading }
                let isKnown = set.name == nil && reader.look(instruction, in: set)
                if instruction.op == .verdictMap || instruction.op == .objectMap { break reading }
                if instruction.op == .mapLookup { reader.forget(Int(instruction.a), max(1, set.dataLength)) }
                if !isKnown || instruction.op == .mapLookup { reader.isExact = false }
            case .jump:
                for (dimension, ranges) in chainConditions(instruction.x, &memory) { reader.require(dimension, ranges) }
                break reading
            default:
                guard reader.read(instruction, constants) else { break reading }
            }
            index += 1
        }
        let isWhole = reader.comparesAll && instructions[index ..< range.upperBound].allSatisfy { Compiler.readsNoRegister($0.op) }
        return ClassifiedRule(conditions: reader.conditions, start: UInt32(range.lowerBound), effect: isWhole ? UInt32(index) : nil)
    }

    /// Statements that act alike wherever the rule was entered.
    private static func readsNoRegister(_ op: Opcode) -> Bool {
        switch op {
        case .counter, .limit, .quota, .connectionLimit, .last, .notrack, .accept, .drop, .jump, .goTo, .returnToCaller, .resume, .nextCandidate: true
        default: false
        }
    }
}

/// Follows a rule's loads and comparisons.
struct ConditionReader {
    private(set) var conditions: Conditions = [:]
    /// TCP flags count as well, which differ between a flow's packets.
    var readsFlags = false
    /// Whether the conditions are all that was asked: nothing was compared, loaded or looked up that they do not tell.
    var isExact = true
    /// Registers that were loaded and not yet compared: the load itself may break the rule.
    private var uncompared: Set<Int> = []
    var comparesAll: Bool { isExact && uncompared.isEmpty }
    /// What registers hold, as far as it is known, by their first byte.
    private var held: [Int: Dimension] = [:]

    /// False at the rule's first effect.
    mutating func read(_ instruction: Instruction, _ constants: [UInt8]) -> Bool {
        switch instruction.op {
        case .fieldEqual, .fieldNotEqual:
            guard counts(instruction.a), ConditionReader.isConstant(instruction) else {
                isExact = false
                return true
            }
            let dimension = Dimension(op: Opcode.payload.rawValue, b: instruction.b, length: instruction.length, x: instruction.x, mask: UInt128(instruction.value))
            let value = UInt128(instruction.second)
            compare(dimension, ValueRanges([(value, value)]), isNegated: instruction.op == .fieldNotEqual)
        case .payload:
            forget(Int(instruction.a), Int(instruction.length))
            uncompared.insert(Int(instruction.a))
            if counts(UInt8(truncatingIfNeeded: instruction.value)), ConditionReader.isConstant(instruction) { hold(instruction, x: instruction.x) }
        case .meta:
            forget(Int(instruction.a), Int(instruction.length))
            uncompared.insert(Int(instruction.a))
            if ConditionReader.metaKeys.contains(instruction.b) { hold(instruction, x: 0) }
        case .conntrack:
            forget(Int(instruction.a), Int(instruction.length))
            uncompared.insert(Int(instruction.a))
            if ConditionReader.conntrackKeys.contains(instruction.b) { hold(instruction, x: instruction.x) }
        case .bitAnd:
            let place = Int(instruction.a)
            let dimension = held[place]
            forget(place, Int(instruction.length))
            if var masked = dimension, masked.length == instruction.length {
                masked.mask &= ConditionReader.number(constants, instruction.x, Int(instruction.length))
                held[place] = masked
            }
        case .compareEqual, .compareNotEqual, .compareLess, .compareGreater, .compareLessEqual, .compareGreaterEqual: compare(instruction, constants)
        case .range, .notRange:
            guard let dimension = held[Int(instruction.b)], dimension.length == instruction.length else {
                isExact = false
                return true
            }
            uncompared.remove(Int(instruction.b))
            let length = Int(instruction.length)
            let low = length <= 8 ? UInt128(instruction.value) : ConditionReader.number(constants, instruction.x, length)
            let high = length <= 8 ? UInt128(instruction.second) : ConditionReader.number(constants, instruction.x + UInt32(length), length)
            compare(dimension, ValueRanges([(low, high)]), isNegated: instruction.op == .notRange)
        case .never: isExact = false
        case .immediate, .route, .fib, .extensionHeader, .tcpOption, .ipOption, .sctpChunk, .dccpOption, .tunnel, .jenkinsHash, .symmetricHash,
             .bitOr, .bitXor, .shiftLeft, .shiftRight, .swapBytes, .registerAnd, .registerOr, .registerXor, .copyRegister:
            isExact = false
            forget(Int(instruction.a), max(1, Int(instruction.length)))
        default: return false
        }
        return true
    }

    private func counts(_ readClass: UInt8) -> Bool { readClass == ReadClass.constant || (readsFlags && readClass == ReadClass.tcpFlags) }

    /// A lookup in a set whose elements do not change. Whether the conditions now tell all of it.
    mutating func look(_ instruction: Instruction, in set: SetPlan) -> Bool {
        guard !set.elements.contains(where: { $0.isCatchAll }) else { return false }
        var isKnown = set.parts.count == 1
        var offset = 0
        let isNegated = instruction.op == .setLacks
        for length in set.parts {
            defer { offset += length }
            guard let dimension = held[Int(instruction.b) + offset], Int(dimension.length) == length, !isNegated || set.parts.count == 1 else {
                isKnown = false
                continue
            }
            uncompared.remove(Int(instruction.b) + offset)
            let pieces = set.elements.map { element -> (low: UInt128, high: UInt128) in
                (ConditionReader.number(element.first, UInt32(offset), length), ConditionReader.number(set.kind == .hash ? element.first : element.last, UInt32(offset), length))
            }
            compare(dimension, ValueRanges(pieces), isNegated: isNegated)
        }
        return isKnown
    }

    /// The rule needs the field to be within the ranges.
    mutating func require(_ dimension: Dimension, _ ranges: ValueRanges) {
        conditions[dimension] = conditions[dimension].map { $0.intersection(ranges) } ?? ranges
    }

    /// Something else stands in these bytes from here on.
    mutating func forget(_ place: Int, _ length: Int) {
        for (start, dimension) in held where start < place + length && place < start + Int(dimension.length) { held[start] = nil }
    }

    private mutating func hold(_ instruction: Instruction, x: UInt32) {
        guard instruction.length >= 1, instruction.length <= 16 else { return }
        held[Int(instruction.a)] = Dimension(op: instruction.op.rawValue, b: instruction.b, length: instruction.length, x: x, mask: ConditionReader.all(Int(instruction.length)))
    }

    private mutating func compare(_ instruction: Instruction, _ constants: [UInt8]) {
        guard let dimension = held[Int(instruction.b)], dimension.length == instruction.length else {
            isExact = false
            return
        }
        uncompared.remove(Int(instruction.b))
        let length = Int(instruction.length)
        let value = length <= 8 ? UInt128(instruction.value) : ConditionReader.number(constants, instruction.x, length)
        let maximum = ConditionReader.all(length)
        switch instruction.op {
        case .compareEqual: compare(dimension, ValueRanges([(value, value)]), isNegated: false)
        case .compareNotEqual: compare(dimension, ValueRanges([(value, value)]), isNegated: true)
        case .compareLess: compare(dimension, value == 0 ? ValueRanges([]) : ValueRanges([(0, value - 1)]), isNegated: false)
        case .compareLessEqual: compare(dimension, ValueRanges([(0, value)]), isNegated: false)
        case .compareGreater: compare(dimension, value >= maximum ? ValueRanges([]) : ValueRanges([(value + 1, maximum)]), isNegated: false)
        default: compare(dimension, ValueRanges([(value, maximum)]), isNegated: false)
        }
    }

    /// Notes a comparison of a masked field; a prefix's mask is turned into ranges of the whole field.
    private mutating func compare(_ dimension: Dimension, _ ranges: ValueRanges, isNegated: Bool) {
        let maximum = dimension.maximum
        let wanted = isNegated ? ranges.complement(maximum) : ranges
        if dimension.op == Opcode.conntrack.rawValue, dimension.b == ConntrackKey.state.rawValue, dimension.mask != maximum {
            // One bit is set in a state, always.
            var whole = dimension
            whole.mask = maximum
            let states = ConntrackState.all.map { UInt128($0) }.filter { state in
                let masked = state & dimension.mask
                return wanted.pieces.contains { $0.low <= masked && masked <= $0.high }
            }
            return require(whole, ValueRanges(states.map { (low: $0, high: $0) }))
        }
        let hidden = maximum & ~dimension.mask
        guard hidden != 0, hidden & (hidden + 1) == 0 else { return require(dimension, wanted) }
        var whole = dimension
        whole.mask = maximum
        // Bounds that the masked value never has move to the next that it has.
        let spread = wanted.pieces.compactMap { piece -> (low: UInt128, high: UInt128)? in
            let low = piece.low & hidden == 0 ? piece.low : (piece.low | hidden) == maximum ? nil : (piece.low | hidden) + 1
            guard let low, low <= piece.high else { return nil }
            return (low, piece.high & dimension.mask | hidden)
        }
        require(whole, ValueRanges(spread))
    }

    /// Packet and interface properties that statements change only with the classifier hearing of it.
    private static let metaKeys: Set<UInt8> = Set([
        MetaKey.networkProtocol, .family, .transportProtocol, .mark, .priority, .packetType,
        .inputIndex, .inputName, .inputType, .inputGroup, .outputIndex, .outputName, .outputType, .outputGroup,
    ].map(\.rawValue))
    /// Not the status: a rule that asks must be heard asking, since connections of the flow cache become assured later.
    private static let conntrackKeys: Set<UInt8> = Set([
        ConntrackKey.state, .direction, .mark, .zone, .networkProtocol, .transportProtocol, .source, .destination,
        .sourceIPv4, .sourceIPv6, .destinationIPv4, .destinationIPv6, .sourcePort, .destinationPort,
    ].map(\.rawValue))

    /// The link header's addresses are rewritten on the way; its protocol is not.
    private static func isConstant(_ instruction: Instruction) -> Bool { instruction.b != PayloadBase.link.rawValue || instruction.x >= 12 }

    private static func all(_ length: Int) -> UInt128 { length >= 16 ? UInt128.max : (UInt128(1) << UInt128(8 * length)) - 1 }

    private static func number(_ bytes: [UInt8], _ place: UInt32, _ length: Int) -> UInt128 {
        bytes[Int(place) ..< Int(place) + length].reduce(UInt128(0)) { $0 << 8 | UInt128($1) }
    }
}
