// A classifier as the compiler sees it: which values each rule leaves possible, field by field, and the lists and bit vectors
// that follow from it.
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

/// A rule as a classifier sees it.
struct ClassifiedRule {
    /// What it asks of a packet before it has an effect.
    var conditions: Conditions
    /// Its first instruction.
    var start: UInt32
    /// Where its effects begin, if the conditions are all that it compares and its effects read no register.
    var effect: UInt32?
}

/// One dimension: its values cut into intervals, and which of them each rule leaves possible.
struct FieldPlan {
    let field: Dimension
    private(set) var starts: [UInt128] = []
    /// By rule: whether it looks at the field, as far as that is worth it, and the intervals that it leaves possible.
    private(set) var looks: [Bool]
    private(set) var pieces: [[ClosedRange<Int>]]
    /// By rule: its pieces were joined.
    private(set) var isJoined: [Bool]

    init(_ field: Dimension, _ rules: [ClassifiedRule]) {
        self.field = field
        looks = Array(repeating: false, count: rules.count)
        isJoined = looks
        pieces = Array(repeating: [], count: rules.count)
        var ranges: [(rule: Int, ranges: ValueRanges)] = []
        for (number, rule) in rules.enumerated() {
            guard let own = rule.conditions[field] else { continue }
            ranges.append((number, own.joined()))
            isJoined[number] = own.pieces.count > ValueRanges.maximumPieces
        }
        cut(ranges)
        if starts.count > 64 {
            // Nearly every value suits these rules (`!= PREFIX`): to look costs more than to try them.
            ranges = ranges.filter { entry in entry.ranges.pieces.reduce(0) { $0 + place($1.high) - place($1.low) + 1 } < starts.count / 2 }
            cut(ranges)
        }
        for entry in ranges {
            looks[entry.rule] = true
            pieces[entry.rule] = entry.ranges.pieces.map { place($0.low) ... place($0.high) }
        }
    }

    /// How many intervals a rule leaves possible; nil if it does not look at the field.
    func span(_ rule: Int) -> Int? { looks[rule] ? pieces[rule].reduce(0) { $0 + $1.count } : nil }

    private func place(_ value: UInt128) -> Int {
        var low = 0, high = starts.count
        while high - low > 1 {
            let middle = (low + high) / 2
            if starts[middle] <= value { low = middle } else { high = middle }
        }
        return low
    }

    private mutating func cut(_ ranges: [(rule: Int, ranges: ValueRanges)]) {
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
}

/// The vectors of one dimension.
struct VectorPlan {
    private(set) var intervals: [ClassifierInterval] = []
    private(set) var vectors: [SIMD8<UInt64>] = []
    private(set) var indifferent: [SIMD8<UInt64>]
    private(set) var indifferentBlocks: UInt64 = 0

    /// - Parameter order: rules by their bits.
    init(_ field: FieldPlan, _ order: [Int]) {
        let blockCount = (order.count + Classifier.blockSize - 1) / Classifier.blockSize
        indifferent = Array(repeating: SIMD8(repeating: 0), count: blockCount)
        guard blockCount > 0 else { return }
        var kept: [(bit: Int, pieces: [ClosedRange<Int>], span: Int)] = []
        for (bit, rule) in order.enumerated() { if let span = field.span(rule) { kept.append((bit, field.pieces[rule], span)) } }
        while !build(kept.map { ($0.bit, $0.pieces) }, field.starts.count, blockCount) {
            // The rules that span the most intervals fill the vectors.
            kept = Array(kept.sorted { $0.span < $1.span }.prefix(kept.count / 2))
        }
        var looks = Array(repeating: false, count: order.count)
        for entry in kept { looks[entry.bit] = true }
        for bit in order.indices where !looks[bit] {
            indifferent[bit / Classifier.blockSize][bit % Classifier.blockSize / 64] |= 1 << UInt64(bit % 64)
            indifferentBlocks |= 1 << UInt64(bit / Classifier.blockSize)
        }
    }

    /// False if the vectors grow beyond the budget.
    private mutating func build(_ rules: [(bit: Int, pieces: [ClosedRange<Int>])], _ count: Int, _ blockCount: Int) -> Bool {
        // Rules by the interval where they come in, and by the one behind their last.
        var changes = Array(repeating: [Int](), count: count + 1)
        for entry in rules {
            for piece in entry.pieces {
                changes[piece.lowerBound].append(entry.bit)
                changes[piece.upperBound + 1].append(~entry.bit)
            }
        }
        intervals = []
        vectors = []
        var active = Array(repeating: SIMD8<UInt64>(repeating: 0), count: blockCount)
        var counts = Array(repeating: 0, count: blockCount)
        for place in 0 ..< count {
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
                intervals.append(ClassifierInterval(listing: VectorPlan.bits(active, blocks)))
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
    /// Those with lists first, `listedCount` of them.
    private(set) var fields: [FieldPlan]
    private(set) var vectors: [VectorPlan] = []
    private(set) var listedCount: Int
    /// Records of all lists, and for each listed dimension where each interval's begin, with the end behind them.
    private(set) var records: [UInt64] = []
    private(set) var lists: [[UInt32]] = []
    /// The most candidates that lists give a packet.
    private(set) var mostListed = 0
    /// Place in the chain of each bit's rule.
    private(set) var positions: [UInt32]
    private(set) var offsets: [UInt32]
    private(set) var sensitivity: UInt64 = 0

    /// nil if too few rules look at anything.
    /// - Parameter end: the instruction behind the last rule.
    init?(_ rules: [ClassifiedRule], end: UInt32) {
        offsets = rules.map(\.start) + [end]
        let chosen = ClassifierPlan.choose(rules)
        guard rules.count(where: { rule in chosen.contains { rule.conditions[$0] != nil } }) >= Compiler.classifiedLength else { return nil }
        let all = chosen.map { FieldPlan($0, rules) }
        var assigned = ClassifierLists(all, ruleCount: rules.count)
        let listed = all.indices.filter(assigned.isUsed), others = all.indices.filter { !assigned.isUsed($0) }
        listedCount = listed.count
        fields = (listed + others).map { all[$0] }
        assigned.reorder(listed + others)
        let order = ClassifierPlan.arrange(rules, assigned.unlisted, by: fields.map(\.field))
        positions = order.map { UInt32($0) }
        vectors = fields.map { VectorPlan($0, order) }
        write(assigned, rules)
        for field in fields {
            switch field.field.op {
            case Opcode.payload.rawValue: sensitivity |= ChangeClass.mask(ChangeClass.payload)
            case Opcode.meta.rawValue:
                // The transport protocol and the network protocol stand in the packet.
                sensitivity |= ChangeClass.mask(ChangeClass.meta) | ChangeClass.mask(ChangeClass.payload)
            default: sensitivity |= ChangeClass.mask(ChangeClass.conntrack)
            }
        }
    }

    /// Writes the lists' records.
    private mutating func write(_ assigned: ClassifierLists, _ rules: [ClassifiedRule]) {
        for dimension in 0 ..< listedCount {
            var begins: [UInt32] = []
            begins.reserveCapacity(fields[dimension].starts.count + 1)
            var longest = 0
            for list in assigned.rules[dimension] {
                begins.append(UInt32(records.count))
                longest = max(longest, list.count)
                for rule in list.sorted() { records += record(of: Int(rule), rules[Int(rule)], in: dimension) }
            }
            begins.append(UInt32(records.count))
            lists.append(begins)
            mostListed += longest
        }
    }

    /// What a rule that a dimension lists asks of the others.
    private func record(of rule: Int, _ own: ClassifiedRule, in listing: Int) -> [UInt64] {
        var words: [UInt64] = []
        // What the record does not compare, the rule has to.
        var compared = 0, isExact = true
        // The fields with the most intervals first: they rule out the most.
        for (dimension, field) in fields.enumerated() where field.looks[rule] {
            compared += 1
            if field.isJoined[rule] { isExact = false }
            guard dimension != listing else { continue }
            let comparison = ClassifierRecord.comparison(dimension, field.pieces[rule], count: field.starts.count)
            words.append(comparison.word)
            if !comparison.isExact { isExact = false }
        }
        if compared < own.conditions.count { isExact = false }
        let entry = isExact ? own.effect ?? own.start : own.start
        return [ClassifierRecord.header(instruction: entry, position: rule, comparisons: words.count)] + words
    }

    /// The fields worth a look, those with the most different values first.
    private static func choose(_ rules: [ClassifiedRule]) -> [Dimension] {
        var looking: [Dimension: Int] = [:]
        var values: [Dimension: Set<UInt128>] = [:]
        for rule in rules {
            for (dimension, ranges) in rule.conditions {
                looking[dimension, default: 0] += 1
                values[dimension, default: []].insert(ranges.pieces.first?.low ?? 0)
            }
        }
        let worth = rules.count / 128
        let used = looking.filter { $0.value > worth }.sorted { ($0.value, $0.key.order) > ($1.value, $1.key.order) }.prefix(Classifier.maximumDimensions).map(\.key)
        return used.sorted { (values[$0]?.count ?? 0, $0.order) > (values[$1]?.count ?? 0, $1.order) }
    }

    /// The rules for vectors by the fields that they look at and by value, so that a block's rules are alike; in a block by their order in
    /// the chain.
    private static func arrange(_ rules: [ClassifiedRule], _ chosen: [Int], by dimensions: [Dimension]) -> [Int] {
        let keys = chosen.map { rule -> (shape: UInt64, value: UInt128) in
            var shape: UInt64 = 0
            var value: UInt128?
            for (number, dimension) in dimensions.enumerated() {
                guard let ranges = rules[rule].conditions[dimension] else { continue }
                shape |= 1 << UInt64(63 - number)
                value = value ?? ranges.pieces.first?.low
            }
            return (shape, value ?? 0)
        }
        var order = chosen.indices.sorted { (keys[$0].shape, keys[$0].value, $0) < (keys[$1].shape, keys[$1].value, $1) }.map { chosen[$0] }
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
