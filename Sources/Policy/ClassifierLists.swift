// A classifier's lists: for each interval of a field the rules that stand there, each as a record of what it asks of the other fields.
//
// A record is a header and a comparison a field, eight bytes each: it is known from a line or two, without a look at the rule itself,
// whether the packet's intervals suit it. Where the record holds all that the rule compares, the header names the rule's first
// effect, so that nothing is compared twice.
//
// Invariant: a list holds at most `capacity` rules, and all lists together `budget` words a rule; a rule that no field takes stands in
// vectors (`ClassifierVectors`).
import CIntrinsics

enum ClassifierRecord {
    /// - Parameters:
    ///   - instruction: where the rule is to be entered.
    ///   - position: the rule's place in the chain, below 1 << 24.
    static func header(instruction: UInt32, position: Int, comparisons: Int) -> UInt64 {
        UInt64(comparisons) << 56 | UInt64(position) << 32 | UInt64(instruction)
    }

    @inline(__always) static func comparisons(_ header: UInt64) -> Int { Int(truncatingIfNeeded: header >> 56) }
    /// Place in the chain << 32 | instruction.
    @inline(__always) static func candidate(_ header: UInt64) -> UInt64 { header & 0xff_ffff_ffff_ffff }

    /// A comparison with a set of places is exact; more places than this are compared with the range that holds them.
    static var maskPlaces: Int { 58 }
    private static var isMask: UInt64 { 1 << 59 }

    /// The packet's place in a dimension is one of these, of `count` that there are: exactly so if `isExact`.
    static func comparison(_ dimension: Int, _ pieces: [ClosedRange<Int>], count: Int) -> (word: UInt64, isExact: Bool) {
        let name = UInt64(dimension) << 60
        if count <= maskPlaces {
            var mask: UInt64 = 0
            for piece in pieces { for place in piece { mask |= 1 << UInt64(place) } }
            return (name | isMask | mask, true)
        }
        guard let first = pieces.first, let last = pieces.last else { return (name | isMask, true) }
        return (name | UInt64(first.lowerBound) << 29 | UInt64(last.upperBound - first.lowerBound), pieces.count == 1)
    }

    @inline(__always) static func dimension(_ word: UInt64) -> Int { Int(truncatingIfNeeded: word >> 60) }

    /// Whether the packet's places suit a comparison. `Classifier.unreadable` suits none.
    @inline(__always) static func holds(_ word: UInt64, _ places: UnsafePointer<UInt32>) -> Bool { holds(word, place: UInt64(places[dimension(word)])) }

    @inline(__always) static func holds(_ word: UInt64, place: UInt64) -> Bool {
        if word & isMask == 0 { return place &- (word >> 29 & 0x1fff_ffff) <= word & 0x1fff_ffff }
        return place < UInt64(maskPlaces) && word &>> place & 1 != 0
    }
}

extension Classifier {
    /// Finds the listed candidates among the rules from `first` on.
    @inline(__always) mutating func findListed(from first: UInt32, _ instructions: UnsafePointer<Instruction>) {
        foundCount = 0
        foundNext = 0
        let least = UInt64(first) << 32
        for index in 0 ..< listedCount {
            guard places[index] != Classifier.unreadable else { continue }
            let list = dimensions[index].lists.unsafelyUnwrapped + Int(places[index])
            var at = Int(list[0])
            let end = Int(list[1])
            while at < end {
                let header = records[at]
                let behind = at &+ 1 &+ ClassifierRecord.comparisons(header)
                at &+= 1
                while at < behind, ClassifierRecord.holds(records[at], places) { at &+= 1 }
                if at == behind, ClassifierRecord.candidate(header) >= least { add(ClassifierRecord.candidate(header), instructions) }
                at = behind
            }
        }
    }

    @inline(__always) private mutating func add(_ candidate: UInt64, _ instructions: UnsafePointer<Instruction>) {
        // A rule is a few cache lines, and of many rules seldom there.
        ntl_prefetch_read(instructions + Int(truncatingIfNeeded: candidate & 0xffff_ffff))
        ntl_prefetch_read(instructions + Int(truncatingIfNeeded: candidate & 0xffff_ffff) + 2)
        var place = foundCount
        while place > 0, found[place &- 1] > candidate {
            found[place] = found[place &- 1]
            place &-= 1
        }
        found[place] = candidate
        foundCount &+= 1
    }
}

/// Which rules stand in which lists.
struct ClassifierLists {
    /// Rules of one interval.
    static var capacity: Int { 32 }
    /// Intervals of one rule.
    static var maximumSpan: Int { 64 }
    /// A field lists a rule in at most one interval of so many.
    static var leastShare: Int { 8 }
    /// Words a rule, on the average of all.
    static var budget: Int { 64 }

    /// By dimension and interval, the rules there.
    private(set) var rules: [[[Int32]]]
    /// Rules that no field takes.
    private(set) var unlisted: [Int] = []

    init(_ fields: [FieldPlan], ruleCount: Int) {
        rules = fields.map { Array(repeating: [], count: $0.starts.count) }
        var words = ClassifierLists.budget * ruleCount
        let least = (0 ..< ruleCount).map { rule in fields.map { $0.span(rule) ?? Int.max }.min() ?? Int.max }
        // Those that one value singles out first.
        for rule in (0 ..< ruleCount).sorted(by: { (least[$0], $0) < (least[$1], $1) }) {
            // It asks for what no packet has.
            if least[rule] == 0 { continue }
            var best: (dimension: Int, span: Int, share: Double, longest: Int)?
            for (number, field) in fields.enumerated() {
                guard let span = field.span(rule), span <= ClassifierLists.maximumSpan, span * ClassifierLists.leastShare <= field.starts.count else { continue }
                // The field that says most about the rule: the fewest packets have to look at it.
                let share = Double(span) / Double(field.starts.count)
                let longest = field.pieces[rule].reduce(0) { longest, piece in piece.reduce(longest) { max($0, rules[number][$1].count) } }
                guard longest < ClassifierLists.capacity else { continue }
                if let best, (best.longest, best.share) <= (longest, share) { continue }
                best = (number, span, share, longest)
            }
            let needed = (best?.span ?? 0) * (1 + fields.count { $0.looks[rule] })
            guard let best, needed <= words else {
                unlisted.append(rule)
                continue
            }
            words -= needed
            for piece in fields[best.dimension].pieces[rule] { for place in piece { rules[best.dimension][place].append(Int32(rule)) } }
        }
        unlisted.sort()
    }

    /// Whether some rule stands in a list of the dimension.
    func isUsed(_ dimension: Int) -> Bool { rules[dimension].contains { !$0.isEmpty } }

    /// The dimensions in another order.
    mutating func reorder(_ order: [Int]) { rules = order.map { rules[$0] } }
}
