// Long chains, classified: instead of trying rule after rule, look up which rules a packet can match at all.
//
// Each field that rules compare with constants is a dimension. Its values are cut into elementary intervals at the rules' bounds, so
// that for each field a packet is a small number. A rule stands in the lists of the intervals of one field, the one that says most
// about it (an address, a port), as a record of what it asks of the others (`ClassifierLists`): a packet's candidates are what its
// intervals list, less what their records rule out. Rules that no field singles out are found by bit vectors
// (`ClassifierVectors`). Candidates are then run in the chain's order: as they are, or, where the record is all that the rule
// compares, from its first effect on.
//
// Invariant: a rule is left out only if one of the comparisons before its first effect fails, so that leaving it out
// changes no packet, no counter and no record of the walk's needs. Where a rule changes a field on the way, the rest of
// the chain is looked up anew. Memory is bounded by `ClassifierPlan.blockBudget` a dimension and by `ClassifierLists.budget`: bounds too
// many to hold widen the rules with the widest ranges, which costs time, never correctness.
import CIntrinsics

/// One value of the packet that rules compare.
struct Dimension: Hashable {
    var op: UInt8
    var b: UInt8
    var length: UInt8
    /// Offset of a payload field, direction of a conntrack key.
    var x: UInt32
    var mask: UInt128
}

/// What a statement can change on the way: parts of a counter, so that a lookup knows what happened since.
enum ChangeClass {
    static let payload: UInt64 = 1
    static let meta: UInt64 = 1 << 20
    static let conntrack: UInt64 = 1 << 40
    /// The bits that count changes of the class.
    static func mask(_ change: UInt64) -> UInt64 { change &* 0xf_ffff }
}

struct Classifier {
    /// Rules of one classifier; longer chains have several.
    static var maximumRules: Int { 64 * blockSize }
    /// As many as a record's comparison can name.
    static var maximumDimensions: Int { 16 }
    /// In a packet's places: the value cannot be read, or no interval is known.
    static var unreadable: UInt32 { UInt32.max }
    /// Those with lists first, `listedCount` of them.
    var dimensions: UnsafeMutablePointer<ClassifierDimension>
    var dimensionCount: Int
    var listedCount: Int
    /// Of the packet, by dimension: its interval.
    var places: UnsafeMutablePointer<UInt32>
    /// Records of the rules that are listed.
    var records: UnsafePointer<UInt64>
    /// Candidates by the lists, ascending: place in the chain << 32 | instruction. Room for as many as the longest lists hold.
    var found: UnsafeMutablePointer<UInt64>
    var foundCount = 0
    var foundNext = 0
    /// Place in the chain of each bit's rule, ascending in a block: of the rules in vectors.
    var positions: UnsafeMutablePointer<UInt32>
    var bitCount: UInt32
    /// First instruction of each rule, and the end behind them.
    var offsets: UnsafeMutablePointer<UInt32>
    var ruleCount: UInt32
    /// Changes that make a lookup stale, and the changes at the last one.
    var sensitivity: UInt64
    var changes: UInt64 = 0
    /// Blocks that still hold candidates, `runCount` of them.
    var runs: UnsafeMutablePointer<CandidateRun>
    var runCount = 0
    /// The last candidate given out.
    var position: UInt32 = 0
}

extension Program {
    /// Finds the candidates of a chain and goes to the first.
    func classify(_ number: Int, _ changes: UInt64, _ context: inout PacketContext) -> UInt32 {
        let classifier = classifiers + number
        lookUp(classifier, changes, from: 0, &context)
        return advance(classifier)
    }

    /// The instruction of the next candidate, or the end.
    @inline(__always) func nextCandidate(_ number: Int, _ changes: UInt64, _ context: inout PacketContext) -> UInt32 {
        let classifier = classifiers + number
        if (classifier.pointee.changes ^ changes) & classifier.pointee.sensitivity != 0 {
            lookUp(classifier, changes, from: classifier.pointee.position &+ 1, &context)
        }
        return advance(classifier)
    }

    /// Finds the candidates among the rules from `first` on.
    private func lookUp(_ classifier: UnsafeMutablePointer<Classifier>, _ changes: UInt64, from first: UInt32, _ context: inout PacketContext) {
        let dimensions = classifier.pointee.dimensions, count = classifier.pointee.dimensionCount, places = classifier.pointee.places
        // In stages, so that the misses of all fields pass together: directories, starts, lists, records.
        for index in 0 ..< count { places[index] = begin(dimensions + index, &context) }
        for index in 0 ..< count where dimensions[index].searches { dimensions[index].narrow() }
        for index in 0 ..< count where dimensions[index].searches { places[index] = dimensions[index].search() }
        classifier.pointee.changes = changes
        classifier.pointee.findListed(from: first, instructions)
        classifier.pointee.runCount = 0
        if classifier.pointee.bitCount > 0 { findByVectors(classifier, from: first) }
    }

    /// The next candidate's instruction, of all that were found.
    @inline(__always) private func advance(_ classifier: UnsafeMutablePointer<Classifier>) -> UInt32 {
        var best = UInt64.max
        if classifier.pointee.foundNext < classifier.pointee.foundCount { best = classifier.pointee.found[classifier.pointee.foundNext] }
        if classifier.pointee.runCount > 0, let instruction = classifier.pointee.takeFromVectors(before: best) { return instruction }
        guard best != UInt64.max else { return classifier.pointee.offsets[Int(classifier.pointee.ruleCount)] }
        classifier.pointee.foundNext &+= 1
        classifier.pointee.position = UInt32(truncatingIfNeeded: best >> 32)
        return UInt32(truncatingIfNeeded: best)
    }
}
