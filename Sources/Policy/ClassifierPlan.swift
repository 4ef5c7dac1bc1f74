// A classifier as the compiler sees it: which values each rule leaves possible, field by field, and the bit vectors that
// follow from it.
//
// Invariant: the ranges of a rule in a dimension are ascending and do not touch; a rule without an entry there does not look
// at the field.

/// The values of a field that a rule leaves possible.
struct ValueRanges {
    /// More pieces than this are joined: the rule is then a candidate for a few packets more.
    static var maximumPieces: Int { 64 }
    private(set) var pieces: [(low: UInt128, high: UInt128)]

    /// - Parameter pieces: any ranges within 0 ... `maximum`, in any order.
    init(_ pieces: [(low: UInt128, high: UInt128)]) {
        let sorted = pieces.filter { $0.low <= $0.high }.sorted { $0.low < $1.low }
        var merged: [(low: UInt128, high: UInt128)] = []
        for piece in sorted {
            if let last = merged.last, piece.low <= last.high || piece.low - last.high == 1 {
                merged[merged.count - 1].high = max(last.high, piece.high)
            } else {
                merged.append(piece)
            }
        }
        self.pieces = merged
    }

    func complement(_ maximum: UInt128) -> ValueRanges {
        var result: [(low: UInt128, high: UInt128)] = []
        var next: UInt128? = 0
        for piece in pieces {
            if let low = next, piece.low > low { result.append((low, piece.low - 1)) }
            next = piece.high >= maximum ? nil : piece.high + 1
        }
        if let low = next { result.append((low, maximum)) }
        return ValueRanges(result)
    }

    func intersection(_ other: ValueRanges) -> ValueRanges {
        var result: [(low: UInt128, high: UInt128)] = []
        var a = 0, b = 0
        while a < pieces.count, b < other.pieces.count {
            let low = max(pieces[a].low, other.pieces[b].low), high = min(pieces[a].high, other.pieces[b].high)
            if low <= high { result.append((low, high)) }
            if pieces[a].high < other.pieces[b].high { a += 1 } else { b += 1 }
        }
        return ValueRanges(result)
    }

    func union(_ other: ValueRanges) -> ValueRanges { ValueRanges(pieces + other.pieces) }

    /// The same with at most `maximumPieces` pieces: neighbours are joined.
    func joined() -> ValueRanges {
        guard pieces.count > ValueRanges.maximumPieces else { return self }
        let step = (pieces.count + ValueRanges.maximumPieces - 1) / ValueRanges.maximumPieces
        return ValueRanges(stride(from: 0, to: pieces.count, by: step).map { (pieces[$0].low, pieces[min($0 + step, pieces.count) - 1].high) })
    }
}

/// What a rule (or a chain as a whole) asks of a packet before it has an effect.
typealias Conditions = [Dimension: ValueRanges]

/// The vectors of one dimension.
struct DimensionPlan {
    var field: Dimension
    var starts: [UInt128] = []
    var intervals: [ClassifierInterval] = []
    var vectors: [SIMD8<UInt64>] = []
    var indifferent: [SIMD8<UInt64>]
    var indifferentBlocks: UInt64 = 0

    /// - Parameter ranges: of the rules that look at the field, by their bits.
    init(_ field: Dimension, _ ranges: [(bit: Int, ranges: ValueRanges)], ruleCount: Int) {
        self.field = field
        let blockCount = (ruleCount + Classifier.blockSize - 1) / Classifier.blockSize
        indifferent = Array(repeating: SIMD8(repeating: 0), count: blockCount)
        var kept = ranges
        // Nearly every value suits these rules (`!= PREFIX`): to look costs more than to try them.
        cut(kept)
        if starts.count > 64 { kept = kept.filter { span($0.ranges) < starts.count / 2 } }
        while !build(kept, blockCount) {
            // The rules that span the most intervals fill the vectors.
            kept = Array(kept.sorted { span($0.ranges) < span($1.ranges) }.prefix(kept.count / 2))
        }
        var looks = Array(repeating: false, count: ruleCount)
        for entry in kept { looks[entry.bit] = true }
        for bit in 0 ..< ruleCount where !looks[bit] {
            indifferent[bit / Classifier.blockSize][bit % Classifier.blockSize / 64] |= 1 << UInt64(bit % 64)
            indifferentBlocks |= 1 << UInt64(bit / Classifier.blockSize)
        }
    }

    private func place(_ value: UInt128) -> Int {
        var low = 0, high = starts.count
        while high - low > 1 {
            let middle = (low + high) / 2
            if starts[middle] <= value { low = middle } else { high = middle }
        }
        return low
    }

    private func span(_ ranges: ValueRanges) -> Int { ranges.pieces.reduce(0) { $0 + place($1.high) - place($1.low) + 1 } }

    /// Cuts the field's values into intervals.
    private mutating func cut(_ ranges: [(bit: Int, ranges: ValueRanges)]) {
        var bounds: [UInt128] = [0]
        for entry in ranges {
            for piece in entry.ranges.pieces {
                bounds.append(piece.low)
                if piece.high < field.maximum { bounds.append(piece.high + 1) }
            }
        }
        bounds.sort()
        starts = []
        for bound in bounds where starts.last != bound { starts.append(bound) }
    }

    /// False if the vectors grow beyond the budget.
    private mutating func build(_ ranges: [(bit: Int, ranges: ValueRanges)], _ blockCount: Int) -> Bool {
        cut(ranges)
        // Rules by the interval where they come in, and by the one behind their last.
        var changes = Array(repeating: [Int](), count: starts.count + 1)
        for entry in ranges {
            for piece in entry.ranges.pieces {
                changes[place(piece.low)].append(entry.bit)
                changes[place(piece.high) + 1].append(~entry.bit)
            }
        }
        intervals = []
        vectors = []
        var active = Array(repeating: SIMD8<UInt64>(repeating: 0), count: blockCount)
        var counts = Array(repeating: 0, count: blockCount)
        for place in starts.indices {
            for change in changes[place] {
                let bit = change < 0 ? ~change : change
                active[bit / Classifier.blockSize][bit % Classifier.blockSize / 64] ^= 1 << UInt64(bit % 64)
                counts[bit / Classifier.blockSize] += change < 0 ? -1 : 1
            }
            var blocks: UInt64 = 0
            for block in 0 ..< blockCount where counts[block] > 0 { blocks |= 1 << UInt64(block) }
            let rules = counts.reduce(0, +)
            if rules == 0 {
                intervals.append(ClassifierInterval())
            } else if rules <= ClassifierInterval.listCapacity {
                intervals.append(ClassifierInterval(listing: DimensionPlan.bits(active, blocks)))
            } else {
                intervals.append(ClassifierInterval(vectorsAt: vectors.count, blocks: blocks))
                for block in 0 ..< blockCount where counts[block] > 0 { vectors.append(active[block]) }
            }
            if vectors.count > ClassifierPlan.blockBudget { return false }
        }
        return true
    }

    /// The bits set in the blocks named.
    private static func bits(_ active: [SIMD8<UInt64>], _ blocks: UInt64) -> [Int] {
        var result: [Int] = []
        for block in active.indices where blocks & 1 << UInt64(block) != 0 {
            for word in 0 ..< 8 {
                var rest = active[block][word]
                while rest != 0 {
                    result.append(block * Classifier.blockSize + word * 64 + rest.trailingZeroBitCount)
                    rest &= rest - 1
                }
            }
        }
        return result
    }
}

struct ClassifierPlan {
    /// Blocks of 64 bytes for one dimension: 64 MiB.
    static var blockBudget: Int { 1 << 20 }
    private(set) var dimensions: [DimensionPlan] = []
    /// Place in the chain of each bit's rule.
    private(set) var positions: [UInt32]
    private(set) var offsets: [UInt32]
    private(set) var sensitivity: UInt64 = 0

    /// nil if too few rules look at anything.
    init?(_ rules: [Conditions], offsets: [UInt32]) {
        self.offsets = offsets
        let chosen = ClassifierPlan.choose(rules)
        guard rules.count(where: { rule in chosen.contains { rule[$0] != nil } }) >= Compiler.classifiedLength else { return nil }
        let order = ClassifierPlan.arrange(rules, by: chosen)
        positions = order.map { UInt32($0) }
        for dimension in chosen {
            var ranges: [(bit: Int, ranges: ValueRanges)] = []
            for (bit, rule) in order.enumerated() { if let own = rules[rule][dimension] { ranges.append((bit, own.joined())) } }
            dimensions.append(DimensionPlan(dimension, ranges, ruleCount: rules.count))
            switch dimension.op {
            case Opcode.payload.rawValue: sensitivity |= ChangeClass.mask(ChangeClass.payload)
            case Opcode.meta.rawValue:
                // The transport protocol and the network protocol stand in the packet.
                sensitivity |= ChangeClass.mask(ChangeClass.meta) | ChangeClass.mask(ChangeClass.payload)
            default: sensitivity |= ChangeClass.mask(ChangeClass.conntrack)
            }
        }
    }

    /// The fields worth a look, those with the most different values first.
    private static func choose(_ rules: [Conditions]) -> [Dimension] {
        var looking: [Dimension: Int] = [:]
        var values: [Dimension: Set<UInt128>] = [:]
        for rule in rules {
            for (dimension, ranges) in rule {
                looking[dimension, default: 0] += 1
                values[dimension, default: []].insert(ranges.pieces.first?.low ?? 0)
            }
        }
        let worth = rules.count / 128
        let used = looking.filter { $0.value > worth }.sorted { ($0.value, $0.key.order) > ($1.value, $1.key.order) }.prefix(Classifier.maximumDimensions).map(\.key)
        return used.sorted { (values[$0]?.count ?? 0, $0.order) > (values[$1]?.count ?? 0, $1.order) }
    }

    /// The rules by the fields that they look at and by value, so that a block's rules are alike; in a block by their order in the chain.
    private static func arrange(_ rules: [Conditions], by dimensions: [Dimension]) -> [Int] {
        let keys = rules.map { rule -> (shape: UInt64, value: UInt128) in
            var shape: UInt64 = 0
            var value: UInt128?
            for (number, dimension) in dimensions.enumerated() {
                guard let ranges = rule[dimension] else { continue }
                shape |= 1 << UInt64(63 - number)
                value = value ?? ranges.pieces.first?.low
            }
            return (shape, value ?? 0)
        }
        var order = rules.indices.sorted { (keys[$0].shape, keys[$0].value, $0) < (keys[$1].shape, keys[$1].value, $1) }
        for start in stride(from: 0, to: order.count, by: Classifier.blockSize) {
            order[start ..< min(start + Classifier.blockSize, order.count)].sort()
        }
        return order
    }
}

extension Dimension {
    /// The largest number that fits the field.
    var maximum: UInt128 { length >= 16 ? UInt128.max : (UInt128(1) << UInt128(8 * Int(length))) - 1 }

    /// Any fixed order, so that the same ruleset compiles to the same program.
    fileprivate var order: UInt64 { UInt64(op) << 56 | UInt64(b) << 48 | UInt64(length) << 40 | UInt64(x & 0xffff) << 16 | UInt64(truncatingIfNeeded: mask ^ mask >> 64) & 0xffff }
}
