// Rules that no field singles out, found by bit vectors: for each interval of a field a vector says which of them its values leave
// possible, and another, common to all intervals, which do not look at the field (bit vectors after Lakshman and Stiliadis, 1998).
// Vectors are cut into blocks of 512 rules; a block is a cache line, and an empty one is left out and known by one bit (the
// aggregation of Baboescu and Varghese, 2001).
//
// Invariant: rules stand in blocks by the fields they look at and by value, not by their order in the chain, so that for most
// packets most blocks are empty; within a block they stand in the chain's order.
import CIntrinsics

extension Classifier {
    static var blockSize: Int { 512 }
    static var blockWords: Int { blockSize / 64 }
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
    /// Finds the candidates in vectors among the rules from `first` on.
    func findByVectors(_ classifier: UnsafeMutablePointer<Classifier>, from first: UInt32) {
        var blocks = UInt64.max
        let dimensions = classifier.pointee.dimensions, count = classifier.pointee.dimensionCount
        for index in 0 ..< count {
            let dimension = dimensions + index
            let place = classifier.pointee.places[index]
            let interval = place != Classifier.unreadable ? dimension.pointee.intervals[Int(place)] : ClassifierInterval()
            dimension.pointee.current = interval
            blocks &= interval.blocks | dimension.pointee.indifferentBlocks
        }
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
            while classifier.pointee.step(run), run.pointee.position < first {}
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
        let used = min(Classifier.blockWords, (Int(classifier.pointee.bitCount) &- block &* Classifier.blockSize &+ 63) / 64)
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
}

extension Classifier {
    /// Goes to a run's next candidate; false, and the position at the maximum, if there is none.
    @inline(__always) func step(_ run: UnsafeMutablePointer<CandidateRun>) -> Bool {
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
        run.pointee.position = positions[Int(run.pointee.block) &* Classifier.blockSize &+ word &* 64 &+ bits.trailingZeroBitCount]
        return true
    }

    /// The first instruction of the next candidate in vectors, if it stands before `other` (place in the chain << 32).
    mutating func takeFromVectors(before other: UInt64) -> UInt32? {
        var best = UInt32.max
        var source = 0
        for index in 0 ..< runCount where runs[index].position < best {
            best = runs[index].position
            source = index
        }
        guard best != UInt32.max, UInt64(best) << 32 < other else { return nil }
        position = best
        if !step(runs + source) {
            runCount &-= 1
            runs[source] = runs[runCount]
        }
        return offsets[Int(best)]
    }
}
