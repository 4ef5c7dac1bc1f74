// Which chains are classified, and by which tuples.
//
// Invariant: only comparisons that stand before a rule's first effect, of fields that no rule changes and that are
// constant in a flow, make it into a tuple.
import Ruleset

/// A classifier as the compiler sees it.
struct ClassifierPlan {
    var dimensions: [Dimension] = []
    /// Dimensions of each tuple, and its rules by hash.
    var tuples: [(dimensions: [UInt16], rules: [UInt64: [UInt32]])] = []
    var unclassified: [UInt32] = []
    var offsets: [UInt32] = []
}

extension Compiler {
    /// Chains shorter than this are run rule by rule.
    static var classifiedLength: Int { 16 }

    /// Whether some rule changes a field that classifiers would read.
    static func changesConstantFields(_ ruleset: RulesetValue) -> Bool {
        for table in ruleset.tables {
            for chain in table.chains {
                for rule in chain.rules {
                    for case .setPayload(let field, _) in rule.statements {
                        let isTrafficClassOrTTL = field.base == .network && (field.proto == "ip" || field.proto == "ip6")
                            && ["dscp", "ecn", "ttl", "hoplimit", "id", "flowlabel"].contains(field.field)
                        if !isTrafficClassOrTTL { return true }
                    }
                }
            }
        }
        return false
    }

    /// Builds the classifier of a chain whose rules begin at `starts`; false if it is not worth it.
    func classify(_ starts: [Int], end: Int, _ plan: inout ClassifierPlan) -> Bool {
        var numbers: [Dimension: UInt16] = [:]
        var tuples: [[UInt16]: Int] = [:]
        for (position, start) in starts.enumerated() {
            let limit = position + 1 < starts.count ? starts[position + 1] : end
            var compared: [UInt16: (UInt64, UInt64)] = [:]
            for (dimension, high, low) in comparisons(start ..< limit) {
                guard let number = numbers[dimension] ?? (numbers.count < Classifier.maximumDimensions ? UInt16(numbers.count) : nil) else { continue }
                if numbers[dimension] == nil {
                    numbers[dimension] = number
                    plan.dimensions.append(dimension)
                }
                compared[number] = (high, low)
            }
            let key = compared.keys.sorted()
            guard !key.isEmpty, tuples[key] != nil || tuples.count < Classifier.maximumTuples else {
                plan.unclassified.append(UInt32(position))
                continue
            }
            let tuple = tuples[key] ?? plan.tuples.count
            if tuples[key] == nil {
                tuples[key] = tuple
                plan.tuples.append((key, [:]))
            }
            let hash = key.reduce(UInt64(0)) { hash, number in Classifier.mix(hash, compared[number]?.0 ?? 0, compared[number]?.1 ?? 0) }
            plan.tuples[tuple].rules[hash, default: []].append(UInt32(position))
        }
        plan.offsets = (starts + [end]).map { UInt32($0) }
        return plan.unclassified.count * 2 <= starts.count
    }

    /// The equality comparisons before the first effect among a rule's instructions.
    private func comparisons(_ range: Range<Int>) -> [(Dimension, UInt64, UInt64)] {
        var result: [(Dimension, UInt64, UInt64)] = []
        /// What register 0 holds, as far as it is known.
        var loaded: Dimension?
        for index in range {
            let instruction = instructions[index]
            switch instruction.op {
            case .fieldEqual:
                guard instruction.a == ReadClass.constant, instruction.b != PayloadBase.link.rawValue || instruction.x >= 12 else { continue }
                let dimension = Dimension(op: Opcode.payload.rawValue, b: instruction.b, length: instruction.length, x: instruction.x, maskHigh: 0, maskLow: instruction.value)
                result.append((dimension, 0, instruction.second))
            case .payload:
                let isConstant = UInt8(truncatingIfNeeded: instruction.value) == ReadClass.constant && instruction.a == 0 && instruction.length <= 16
                loaded = isConstant && instruction.b != PayloadBase.link.rawValue ? dimension(.payload, instruction) : nil
            case .meta:
                let isConstant = instruction.a == 0 && Compiler.constantKeys.contains(instruction.b)
                loaded = isConstant ? dimension(.meta, instruction) : nil
            case .bitAnd:
                guard var masked = loaded, instruction.a == 0, instruction.length == masked.length else { continue }
                let (high, low) = words(instruction.x, Int(instruction.length))
                masked.maskHigh &= high
                masked.maskLow &= low
                loaded = masked
            case .compareEqual:
                guard let dimension = loaded, instruction.b == 0, instruction.length == dimension.length else { continue }
                if instruction.length <= 8 {
                    result.append((dimension, 0, instruction.value))
                } else {
                    let (high, low) = words(instruction.x, Int(instruction.length))
                    result.append((dimension, high, low))
                }
            case .compareNotEqual, .compareLess, .compareGreater, .compareLessEqual, .compareGreaterEqual, .range, .notRange, .fieldNotEqual, .never: continue
            case .setContains, .setLacks:
                // An element with statements of its own, or one that a packet may time out, is an effect or no constant.
                if !sets[Int(instruction.x)].statements.isEmpty { return result }
            case .immediate, .conntrack, .route, .fib, .extensionHeader, .tcpOption, .ipOption, .sctpChunk, .dccpOption, .tunnel, .jenkinsHash, .symmetricHash,
                 .bitOr, .bitXor, .shiftLeft, .shiftRight, .swapBytes, .registerAnd, .registerOr, .registerXor, .copyRegister:
                if instruction.a == 0 { loaded = nil }
            default: return result
            }
        }
        return result
    }

    /// Packet and interface properties that no statement changes.
    private static let constantKeys: Set<UInt8> = Set([
        MetaKey.networkProtocol, .family, .transportProtocol, .inputIndex, .inputName, .inputType, .inputGroup, .outputIndex, .outputName, .outputType, .outputGroup,
    ].map(\.rawValue))

    private func dimension(_ op: Opcode, _ instruction: Instruction) -> Dimension {
        Dimension(op: op.rawValue, b: instruction.b, length: instruction.length, x: op == .payload ? instruction.x : 0, maskHigh: UInt64.max, maskLow: UInt64.max)
    }

    private func words(_ place: UInt32, _ length: Int) -> (UInt64, UInt64) {
        let bytes = constants[Int(place) ..< Int(place) + length]
        let number = bytes.reduce(UInt128(0)) { $0 << 8 | UInt128($1) }
        return (UInt64(truncatingIfNeeded: number >> 64), UInt64(truncatingIfNeeded: number))
    }
}
