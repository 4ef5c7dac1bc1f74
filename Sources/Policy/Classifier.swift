// Long chains, classified: instead of trying rule after rule, look up which rules a packet can match at all.
//
// Rules that compare the same fields (a tuple) with constants stand in one hash table; a packet's candidates are what its
// own values find there, in each tuple's table, plus the rules that compare nothing of the kind. Candidates are then run
// as they are, in their order, so that a collision of hashes costs time and never correctness (tuple space search,
// Srinivasan and others, 1999).
//
// Invariant: a rule is left out only if one of the comparisons before its first effect fails; the fields compared are
// constant for a flow, so a walk that leaves a rule out depends on nothing that it does not record. Memory grows with the
// number of rules only, lookups with the number of tuples (`maximumTuples`).

/// One value of the packet that rules compare.
struct Dimension: Hashable {
    var op: UInt8
    var b: UInt8
    var length: UInt8
    var x: UInt32
    var maskHigh: UInt64
    var maskLow: UInt64
}

struct ClassifierTuple {
    var dimensions: UnsafeMutablePointer<UInt16>
    var dimensionCount: Int
    var slots: UnsafeMutablePointer<ClassifierSlot>
    var slotMask: Int
}

/// Rules (a run of `Classifier.positions`) whose constants hash to `hash`; count 0: free.
struct ClassifierSlot {
    var hash: UInt64 = 0
    var start: UInt32 = 0
    var count: UInt32 = 0
}

struct Classifier {
    static var maximumTuples: Int { 24 }
    static var maximumDimensions: Int { 64 }
    var dimensions: UnsafeMutablePointer<Dimension>
    var dimensionCount: Int
    /// Two words for each dimension, and whether it can be read.
    var values: UnsafeMutablePointer<(high: UInt64, low: UInt64)>
    var readable: UnsafeMutablePointer<Bool>
    var tuples: UnsafeMutablePointer<ClassifierTuple>
    var tupleCount: Int
    var positions: UnsafeMutablePointer<UInt32>
    /// What is left of each tuple's candidates; the last is for the rules outside of all tuples.
    var cursors: UnsafeMutablePointer<(next: UInt32, end: UInt32)>
    var unclassified: (start: UInt32, count: UInt32)
    /// First instruction of each rule, and the chain's end behind them.
    var offsets: UnsafeMutablePointer<UInt32>
    var ruleCount: UInt32

    @inline(__always) static func mix(_ hash: UInt64, _ high: UInt64, _ low: UInt64) -> UInt64 {
        SetHeader.mix(SetHeader.mix(hash ^ low, 0xa076_1d64_78bd_642f) ^ high, 0xe703_7ed1_a0b4_28db)
    }
}

extension Program {
    /// Finds the candidates of a chain and goes to the first.
    func classify(_ number: Int, _ context: inout PacketContext) -> UInt32 {
        let classifier = classifiers + number
        for index in 0 ..< classifier.pointee.dimensionCount {
            classifier.pointee.readable[index] = read(classifier.pointee.dimensions + index, &classifier.pointee.values[index], &context)
        }
        for index in 0 ..< classifier.pointee.tupleCount {
            classifier.pointee.cursors[index] = find(classifier.pointee.tuples + index, classifier)
        }
        let rest = classifier.pointee.unclassified
        classifier.pointee.cursors[classifier.pointee.tupleCount] = (rest.start, rest.start &+ rest.count)
        return advance(number)
    }

    private func find(_ tuple: UnsafePointer<ClassifierTuple>, _ classifier: UnsafePointer<Classifier>) -> (next: UInt32, end: UInt32) {
        var hash: UInt64 = 0
        for index in 0 ..< tuple.pointee.dimensionCount {
            let dimension = Int(tuple.pointee.dimensions[index])
            guard classifier.pointee.readable[dimension] else { return (0, 0) }
            let value = classifier.pointee.values[dimension]
            hash = Classifier.mix(hash, value.high, value.low)
        }
        var place = Int(truncatingIfNeeded: hash) & tuple.pointee.slotMask
        while tuple.pointee.slots[place].count != 0 {
            let slot = tuple.pointee.slots[place]
            if slot.hash == hash { return (slot.start, slot.start &+ slot.count) }
            place = (place &+ 1) & tuple.pointee.slotMask
        }
        return (0, 0)
    }

    /// The instruction of the next candidate, or the chain's end.
    @inline(__always) func advance(_ number: Int) -> UInt32 {
        let classifier = classifiers + number
        var best = classifier.pointee.ruleCount
        var source = -1
        for index in 0 ... classifier.pointee.tupleCount {
            let cursor = classifier.pointee.cursors[index]
            guard cursor.next < cursor.end else { continue }
            let position = classifier.pointee.positions[Int(cursor.next)]
            if position < best {
                best = position
                source = index
            }
        }
        if source >= 0 { classifier.pointee.cursors[source].next &+= 1 }
        return classifier.pointee.offsets[Int(best)]
    }

    private func read(_ dimension: UnsafePointer<Dimension>, _ value: inout (high: UInt64, low: UInt64), _ context: inout PacketContext) -> Bool {
        let length = Int(dimension.pointee.length)
        if dimension.pointee.op == Opcode.payload.rawValue {
            let base = start(PayloadBase(rawValue: dimension.pointee.b).unsafelyUnwrapped, &context)
            let offset = base &+ Int(dimension.pointee.x)
            guard base >= 0, offset &+ length <= context.layer.end else { return false }
            value = words(context.packet.start + offset, length)
        } else {
            var load = Instruction(.meta)
            load.b = dimension.pointee.b
            load.length = dimension.pointee.length
            guard withUnsafePointer(to: load, { loadMeta($0, &context) }) else { return false }
            value = words(scratch, length)
        }
        value.high &= dimension.pointee.maskHigh
        value.low &= dimension.pointee.maskLow
        return true
    }

    @inline(__always) private func words(_ bytes: UnsafeMutableRawPointer, _ length: Int) -> (high: UInt64, low: UInt64) {
        length <= 8 ? (0, bytes.number(0, length)) : (bytes.number(0, length &- 8), bytes.number(length &- 8, 8))
    }
}
