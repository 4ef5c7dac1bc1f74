// Long chains, classified: instead of trying rule after rule, look up which rules a packet can match at all.
//
// Each field that rules compare with constants is a dimension. Its values are cut into elementary intervals at the rules'
// bounds; for each interval a bit vector says which rules its values leave possible, and a second one, common to all
// intervals, which rules do not look at the field (bit vectors after Lakshman and Stiliadis, 1998). Vectors are cut into
// blocks of 512 rules; a block is a cache line, and an empty one is left out and known by one bit (the aggregation of Baboescu
// and Varghese, 2001). Rules stand in blocks by the fields they look at and by value, not by their order in the chain, so
// that for most packets most blocks are empty. Candidates are then run as they are, in the chain's order.
//
// Invariant: a rule is left out only if one of the comparisons before its first effect fails, so that leaving it out
// changes no packet, no counter and no record of the walk's needs. Where a rule changes a field on the way, the rest of
// the chain is looked up anew. Memory is bounded by `ClassifierPlan.blockBudget` a dimension: bounds too many to hold
// widen the rules with the widest ranges, which costs time, never correctness.
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

/// The rules that one elementary interval leaves possible: up to four in place, more as vectors.
struct ClassifierInterval {
    /// Blocks with a rule.
    var blocks: UInt64 = 0
    /// `isListed`: the rules' bits, the last repeated; else the place of the first vector.
    var content: UInt64 = 0
    /// In `content`, for rules listed in place. Places of vectors are smaller.
    static var isListed: UInt64 { 1 << 63 }
    static var listCapacity: Int { 4 }

    init() {}

    init(vectorsAt place: Int, blocks: UInt64) {
        self.blocks = blocks
        content = UInt64(place)
    }

    /// - Parameter bits: 1 to `listCapacity`, each below `Classifier.maximumRules` (so that the highest bit is free).
    init(listing bits: [Int]) {
        content = ClassifierInterval.isListed
        for index in 0 ..< ClassifierInterval.listCapacity {
            let bit = bits[min(index, bits.count - 1)]
            content |= UInt64(bit) << UInt64(16 * index)
            blocks |= 1 << UInt64(bit / Classifier.blockSize)
        }
    }

    /// A listed rule.
    @inline(__always) func rule(_ entry: Int) -> Int { Int(truncatingIfNeeded: content >> UInt64(16 &* entry) & 0x7fff) }

    /// The words of the rules in a block that `blocks` names, as a vector.
    @inline(__always) func vector(_ block: Int, _ vectors: UnsafePointer<SIMD8<UInt64>>) -> UnsafePointer<UInt64> {
        let before = blocks & (1 << UInt64(block) &- 1)
        // Counting bits is a dozen instructions on the default processor.
        let vector = vectors + (Int(truncatingIfNeeded: content) &+ (before == 0 ? 0 : before.nonzeroBitCount))
        return UnsafeRawPointer(vector).assumingMemoryBound(to: UInt64.self)
    }

    /// The words of the rules in a block that `blocks` names.
    /// - Parameter room: eight words for rules that are listed in place.
    @inline(__always) func words(_ block: Int, _ vectors: UnsafePointer<SIMD8<UInt64>>, room: UnsafeMutablePointer<UInt64>) -> UnsafePointer<UInt64> {
        guard content & ClassifierInterval.isListed != 0 else { return vector(block, vectors) }
        for word in 0 ..< Classifier.blockWords { room[word] = 0 }
        for index in 0 ..< ClassifierInterval.listCapacity {
            let bit = rule(index)
            if bit / Classifier.blockSize == block { room[bit % Classifier.blockSize / 64] |= 1 << UInt64(bit % 64) }
        }
        return UnsafePointer(room)
    }
}

/// How a field is read: the frequent ones without the evaluator's detour by registers.
enum ClassifierReader: UInt8 {
    /// 1, 2, 4 or 8 bytes of the network or transport header.
    case network, transport
    case transportProtocol, state
    /// A property of the interface: the interval is known by its place.
    case input, output
    case general
}

struct ClassifierDimension {
    var field: Dimension
    /// First values of the intervals, ascending, the first 0: numbers of 32, 64 or 128 bits, as the field needs.
    var starts: UnsafeMutableRawPointer
    var count: Int
    /// For each value of the leading bits the interval of the first value that has them; nil for few intervals.
    var directory: UnsafeMutablePointer<UInt32>?
    var directoryShift: UInt64
    var intervals: UnsafeMutablePointer<ClassifierInterval>
    var vectors: UnsafeMutablePointer<SIMD8<UInt64>>
    /// Rules that do not look at this field, by block, and the blocks with one.
    var indifferent: UnsafeMutablePointer<SIMD8<UInt64>>
    var indifferentBlocks: UInt64
    var reader = ClassifierReader.general
    /// `.input`, `.output`: intervals by the interface's place; behind the last the one for no interface.
    var byInterface: UnsafeMutablePointer<UInt32>?
    /// The packet's value is being searched for, among `length` intervals from `place` on.
    var searches = false
    var value: UInt64 = 0
    var length = 0
    /// Of the packet's value: its interval (negative for none), what that leaves possible, and its words in the block that is being looked
    /// at, nil for none.
    var place = -1
    var current = ClassifierInterval()
    var words: UnsafePointer<UInt64>?
    /// Eight words for rules listed in place.
    var room: UnsafeMutablePointer<UInt64>
}

struct Classifier {
    static var blockSize: Int { 512 }
    static var blockWords: Int { blockSize / 64 }
    /// Rules of one classifier; longer chains have several.
    static var maximumRules: Int { 64 * blockSize }
    static var maximumDimensions: Int { 16 }
    var dimensions: UnsafeMutablePointer<ClassifierDimension>
    var dimensionCount: Int
    /// Place in the chain of each bit's rule, ascending in a block.
    var positions: UnsafeMutablePointer<UInt32>
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

/// The candidates left of one block.
struct CandidateRun {
    /// The candidates behind the first; read as words, so it comes first.
    var bits: SIMD8<UInt64>
    /// Place in the chain of the first.
    var position: UInt32
    var block: UInt32
    /// The first word that may have a bit.
    var word: UInt32
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
        var blocks = UInt64.max
        let dimensions = classifier.pointee.dimensions, count = classifier.pointee.dimensionCount
        // In stages, so that the misses of all fields pass together: directories, starts, intervals, then vectors.
        for index in 0 ..< count { begin(dimensions + index, &context) }
        for index in 0 ..< count where dimensions[index].searches { dimensions[index].narrow() }
        for index in 0 ..< count where dimensions[index].searches { dimensions[index].search() }
        for index in 0 ..< count {
            let dimension = dimensions + index
            let interval = dimension.pointee.place >= 0 ? dimension.pointee.intervals[dimension.pointee.place] : ClassifierInterval()
            dimension.pointee.current = interval
            blocks &= interval.blocks | dimension.pointee.indifferentBlocks
        }
        classifier.pointee.changes = changes
        var runs = 0
        while blocks != 0 {
            let block = blocks.trailingZeroBitCount
            let bit = blocks & (0 &- blocks)
            blocks &= blocks &- 1
            let run = classifier.pointee.runs + runs
            run.pointee.position = 0
            run.pointee.block = UInt32(truncatingIfNeeded: block)
            run.pointee.word = 0
            guard attempt(classifier, block, bit, run) ?? collect(classifier, block, bit, run) else { continue }
            // Rules before `first` have run.
            while step(run, classifier), run.pointee.position < first {}
            guard run.pointee.position != UInt32.max else { continue }
            runs &+= 1
            // A rule is a few cache lines, and of many rules seldom there.
            let rule = instructions + Int(classifier.pointee.offsets[Int(run.pointee.position)])
            ntl_prefetch_read(rule)
            ntl_prefetch_read(rule + 2)
            ntl_prefetch_read(rule + 4)
        }
        classifier.pointee.runCount = runs
    }

    /// The candidates of a block whose rules all look at a field whose value leaves a few, listed rules: those are tried one by one.
    /// False for none, nil if there is no such field.
    @inline(__always) private func attempt(_ classifier: UnsafeMutablePointer<Classifier>, _ block: Int, _ bit: UInt64, _ run: UnsafeMutablePointer<CandidateRun>) -> Bool? {
        let dimensions = classifier.pointee.dimensions, count = classifier.pointee.dimensionCount
        var chosen = 0
        while chosen < count, dimensions[chosen].indifferentBlocks & bit != 0 || dimensions[chosen].current.content & ClassifierInterval.isListed == 0 { chosen &+= 1 }
        guard chosen < count else { return nil }
        let words = UnsafeMutableRawPointer(run).assumingMemoryBound(to: UInt64.self)
        for word in 0 ..< Classifier.blockWords { words[word] = 0 }
        var all: UInt64 = 0
        var last = -1
        for entry in 0 ..< ClassifierInterval.listCapacity {
            let rule = dimensions[chosen].current.rule(entry)
            // The last is repeated.
            guard rule != last else { break }
            last = rule
            guard rule / Classifier.blockSize == block else { continue }
            let word = rule % Classifier.blockSize / 64
            let mask: UInt64 = 1 << UInt64(rule % 64)
            var index = 0
            while index < count, dimensions[index].allows(rule, block, bit, word, mask) { index &+= 1 }
            guard index == count else { continue }
            words[word] |= mask
            all |= mask
        }
        return all != 0
    }

    /// The candidates of a block, word by word: the first fields, which have the most values, rule out nearly all. False for none.
    @inline(__always) private func collect(_ classifier: UnsafeMutablePointer<Classifier>, _ block: Int, _ bit: UInt64, _ run: UnsafeMutablePointer<CandidateRun>) -> Bool {
        let dimensions = classifier.pointee.dimensions, count = classifier.pointee.dimensionCount
        for index in 0 ..< count {
            let dimension = dimensions + index
            let interval = dimension.pointee.current
            let words = interval.blocks & bit == 0 ? nil : interval.words(block, dimension.pointee.vectors, room: dimension.pointee.room)
            dimension.pointee.words = words
            if let words { ntl_prefetch_read(words) }
        }
        let words = UnsafeMutableRawPointer(run).assumingMemoryBound(to: UInt64.self)
        let used = min(Classifier.blockWords, (Int(classifier.pointee.ruleCount) &- block &* Classifier.blockSize &+ 63) / 64)
        var all: UInt64 = 0
        for word in 0 ..< Classifier.blockWords {
            var candidates: UInt64 = word < used ? UInt64.max : 0
            var index = 0
            while candidates != 0 && index < count {
                let dimension = dimensions + index
                var possible = UnsafeRawPointer(dimension.pointee.indifferent + block).assumingMemoryBound(to: UInt64.self)[word]
                if let own = dimension.pointee.words { possible |= own[word] }
                candidates &= possible
                index &+= 1
            }
            words[word] = candidates
            all |= candidates
        }
        return all != 0
    }

    /// Goes to a run's next candidate; false, and the position at the maximum, if there is none.
    @inline(__always) private func step(_ run: UnsafeMutablePointer<CandidateRun>, _ classifier: UnsafePointer<Classifier>) -> Bool {
        let words = UnsafeMutableRawPointer(run).assumingMemoryBound(to: UInt64.self)
        var word = Int(run.pointee.word)
        while word < 8, words[word] == 0 { word &+= 1 }
        run.pointee.word = UInt32(truncatingIfNeeded: word)
        guard word < 8 else {
            run.pointee.position = UInt32.max
            return false
        }
        let bits = words[word]
        words[word] = bits & (bits &- 1)
        run.pointee.position = classifier.pointee.positions[Int(run.pointee.block) &* Classifier.blockSize &+ word &* 64 &+ bits.trailingZeroBitCount]
        return true
    }

    @inline(__always) private func advance(_ classifier: UnsafeMutablePointer<Classifier>) -> UInt32 {
        let runs = classifier.pointee.runs
        var best = UInt32.max
        var source = 0
        for index in 0 ..< classifier.pointee.runCount where runs[index].position < best {
            best = runs[index].position
            source = index
        }
        guard best != UInt32.max else { return classifier.pointee.offsets[Int(classifier.pointee.ruleCount)] }
        classifier.pointee.position = best
        if !step(runs + source, classifier) {
            classifier.pointee.runCount &-= 1
            runs[source] = runs[classifier.pointee.runCount]
        }
        return classifier.pointee.offsets[Int(best)]
    }

    /// Reads the packet's value of a field; its interval if that needs no long search.
    @inline(__always) private func begin(_ dimension: UnsafeMutablePointer<ClassifierDimension>, _ context: inout PacketContext) {
        switch dimension.pointee.reader {
        case .network, .transport:
            let position = Int(dimension.pointee.field.x), length = Int(dimension.pointee.field.length)
            let base = dimension.pointee.reader == .network ? context.layer.network : context.layer.transportStart(position, length)
            let offset = base &+ position
            guard base >= 0, offset &+ length <= context.layer.end else { return dimension.pointee.end(at: -1) }
            dimension.pointee.begin((context.packet.start + offset).number(0, length) & UInt64(truncatingIfNeeded: dimension.pointee.field.mask))
        case .transportProtocol:
            guard context.layer.isValid else { return dimension.pointee.end(at: -1) }
            dimension.pointee.begin(UInt64(context.layer.transportProtocol) & UInt64(truncatingIfNeeded: dimension.pointee.field.mask))
        case .state:
            context.walk?.pointee.reads.insert(.connectionState)
            dimension.pointee.begin(UInt64(context.conntrack.state) & UInt64(truncatingIfNeeded: dimension.pointee.field.mask))
        case .input: dimension.pointee.end(at: Int(dimension.pointee.byInterface.unsafelyUnwrapped[min(Int(context.input), interfaceCount)]))
        case .output: dimension.pointee.end(at: Int(dimension.pointee.byInterface.unsafelyUnwrapped[min(Int(context.output), interfaceCount)]))
        case .general:
            var value: UInt128 = 0
            dimension.pointee.end(at: read(dimension, &value, &context) ? dimension.pointee.interval(value) : -1)
        }
    }

    private func read(_ dimension: UnsafePointer<ClassifierDimension>, _ value: inout UInt128, _ context: inout PacketContext) -> Bool {
        let field = dimension.pointee.field
        let length = Int(field.length)
        if field.op == Opcode.payload.rawValue {
            let base = start(PayloadBase(rawValue: field.b).unsafelyUnwrapped, Int(field.x), length, &context)
            let offset = base &+ Int(field.x)
            guard base >= 0, offset &+ length <= context.layer.end else { return false }
            value = number(context.packet.start + offset, length) & field.mask
            return true
        }
        var load = Instruction(field.op == Opcode.meta.rawValue ? .meta : .conntrack)
        load.b = field.b
        load.length = field.length
        load.x = field.x
        guard withUnsafePointer(to: load, { field.op == Opcode.meta.rawValue ? loadMeta($0, &context) : loadConntrack($0, &context) }) else { return false }
        value = number(scratch, length) & field.mask
        return true
    }

    @inline(__always) private func number(_ bytes: UnsafeMutableRawPointer, _ length: Int) -> UInt128 {
        length <= 8 ? UInt128(bytes.number(0, length)) : UInt128(bytes.number(0, length &- 8)) << 64 | UInt128(bytes.number(length &- 8, 8))
    }
}
