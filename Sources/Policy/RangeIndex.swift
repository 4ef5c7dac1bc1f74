// Concatenations with ranges: where in memory the elements are that may hold a key.
//
// Each field's range is covered by one or two prefixes (a range is cut in the middle of the bits that vary, and each half lies
// in a prefix at most twice as large), and an element is entered for each combination, in a hash table keyed by the leading
// bits of all fields. Which bits those are is a shape; a lookup asks once for each shape in use and compares the ranges of
// what it finds. (Linux's pipapo answers the same question with bit maps over all elements.)
//
// Invariant: an element stands in the table once for each of its combinations, under a shape that covers it; prefix
// lengths are rounded down to multiples of 4 (of 16 for long fields), so that shapes are few. A set with more than
// `maximumShapes` puts the rest under the shape without any bits, which is slower and still right. Adding and removing
// an element costs its own combinations only.

import Wire

/// One combination of an element.
struct RangeEntry {
    var next: UInt32
    var hash: UInt32
    var element: UInt32
    var shape: UInt32
}

struct RangeIndex {
    static var maximumShapes: Int { 64 }
    /// Fields that may be cut; the others take one prefix.
    static var maximumCuts: Int { 3 }
    static var none: UInt32 { UInt32.max }

    var entries: UnsafeMutablePointer<RangeEntry>
    var buckets: UnsafeMutablePointer<UInt32>
    var bucketMask: UInt32
    /// Key masks, one for each shape; the first has no bits.
    var masks: UnsafeMutableRawPointer
    /// Entries of each shape.
    var counts: UnsafeMutablePointer<UInt32>
    var shapeCount = 1
    var free: UInt32 = RangeIndex.none
    var fresh: UInt32 = 0
    /// Room for a mask and the ends of a piece while an element is entered.
    var work: UnsafeMutableRawPointer

    /// Combinations that an element of a set with so many fields may have.
    static func combinations(fields: Int) -> Int { 1 << min(fields, maximumCuts) }
}

extension SetHeader {
    @inline(__always) private func mask(_ shape: Int) -> UnsafeMutableRawPointer { index.masks + shape &* keyLength }

    @inline(__always) private func hash(_ key: UnsafeRawPointer, _ shape: Int) -> UInt32 {
        let mask = UnsafeRawPointer(self.mask(shape))
        var state = seed ^ UInt64(shape) &* 0x9e37_79b9_7f4a_7c15
        var place = 0
        while place &+ 8 <= keyLength {
            let word = key.loadUnaligned(fromByteOffset: place, as: UInt64.self) & mask.loadUnaligned(fromByteOffset: place, as: UInt64.self)
            state = SetHeader.mix(state ^ word, 0xa076_1d64_78bd_642f)
            place &+= 8
        }
        var rest: UInt64 = 0
        while place < keyLength {
            rest = rest << 8 | UInt64(key.load(fromByteOffset: place, as: UInt8.self) & mask.load(fromByteOffset: place, as: UInt8.self))
            place &+= 1
        }
        state = SetHeader.mix(state ^ rest, 0xe703_7ed1_a0b4_28db ^ UInt64(keyLength))
        return UInt32(truncatingIfNeeded: state ^ (state >> 32))
    }

    /// The element whose ranges hold the key.
    func findRanges(_ key: UnsafeRawPointer, _ now: Timestamp) -> UInt32 {
        var found = ElementRecord.none
        for shape in 0 ..< index.shapeCount where index.counts[shape] != 0 {
            let hash = hash(key, shape)
            var entry = index.buckets[Int(hash & index.bucketMask)]
            while entry != RangeIndex.none {
                let candidate = index.entries[Int(entry)]
                if candidate.hash == hash, candidate.element < found, holds(candidate.element, key), isAlive(candidate.element, now) { found = candidate.element }
                entry = candidate.next
            }
        }
        return found
    }

    private func holds(_ element: UInt32, _ key: UnsafeRawPointer) -> Bool {
        let first = UnsafeRawPointer(self.key(element)), last = UnsafeRawPointer(lastKey(element))
        for number in 0 ..< fieldCount {
            let offset = Int(fields[number].offset), length = Int(fields[number].length)
            if (key + offset).compare(first + offset, length) < 0 || (key + offset).compare(last + offset, length) > 0 { return false }
        }
        return true
    }

    /// Enters an element whose keys are in place.
    mutating func enterRanges(_ element: UInt32) { forEachCombination(element, isEntering: true) }

    /// Takes an element out of the index.
    mutating func removeRanges(_ element: UInt32) { forEachCombination(element, isEntering: false) }

    private mutating func forEachCombination(_ element: UInt32, isEntering: Bool) {
        let lower = index.work, mask = index.work + keyLength
        let all = RangeIndex.combinations(fields: fieldCount)
        next: for combination in 0 ..< all {
            var cuts = 0
            for number in 0 ..< fieldCount {
                let offset = Int(fields[number].offset), length = Int(fields[number].length)
                let first = UnsafeRawPointer(key(element)) + offset, last = UnsafeRawPointer(lastKey(element)) + offset
                let common = SetHeader.commonBits(first, last, length)
                var bits = common
                (lower + offset).copyMemory(from: first, byteCount: length)
                if common < length &* 8, cuts < RangeIndex.maximumCuts, !SetHeader.isPrefix(first, last, length, common) {
                    let isUpper = combination >> cuts & 1 != 0
                    cuts &+= 1
                    // The lower half ends in ones behind the differing bit, the upper one begins with zeros there.
                    bits = isUpper ? SetHeader.trailing(last, length, from: common &+ 1, ones: false) : SetHeader.trailing(first, length, from: common &+ 1, ones: true)
                    if isUpper { (lower + offset).copyMemory(from: last, byteCount: length) }
                }
                let unit = length <= 4 ? 4 : 16
                SetHeader.writeMask(mask + offset, length, bits: bits == length &* 8 ? bits : bits / unit &* unit)
            }
            // Fields without a cut leave the higher combinations out.
            if combination >> cuts != 0 { continue next }
            let shape = shape(mask, adds: isEntering)
            let hash = hash(lower, shape)
            if isEntering { link(element, shape, hash) } else { unlink(element, shape, hash) }
        }
    }

    /// The number of a shape; 0, the shape without bits, where there is no room for another.
    private mutating func shape(_ mask: UnsafeRawPointer, adds: Bool) -> Int {
        for shape in 0 ..< index.shapeCount where UnsafeRawPointer(self.mask(shape)).equals(mask, keyLength) { return shape }
        guard adds, index.shapeCount < RangeIndex.maximumShapes else { return 0 }
        self.mask(index.shapeCount).copyMemory(from: mask, byteCount: keyLength)
        index.counts[index.shapeCount] = 0
        index.shapeCount &+= 1
        return index.shapeCount &- 1
    }

    private mutating func link(_ element: UInt32, _ shape: Int, _ hash: UInt32) {
        let bucket = Int(hash & index.bucketMask)
        let entry: UInt32
        if index.free != RangeIndex.none {
            entry = index.free
            index.free = index.entries[Int(entry)].next
        } else {
            entry = index.fresh
            index.fresh &+= 1
        }
        index.entries[Int(entry)] = RangeEntry(next: index.buckets[bucket], hash: hash, element: element, shape: UInt32(truncatingIfNeeded: shape))
        index.buckets[bucket] = entry
        index.counts[shape] &+= 1
    }

    private mutating func unlink(_ element: UInt32, _ shape: Int, _ hash: UInt32) {
        let bucket = Int(hash & index.bucketMask)
        var previous = RangeIndex.none, entry = index.buckets[bucket]
        while entry != RangeIndex.none {
            let candidate = index.entries[Int(entry)]
            if candidate.element == element, candidate.hash == hash, candidate.shape == UInt32(truncatingIfNeeded: shape) {
                if previous == RangeIndex.none { index.buckets[bucket] = candidate.next } else { index.entries[Int(previous)].next = candidate.next }
                index.entries[Int(entry)].next = index.free
                index.free = entry
                index.counts[shape] &-= 1
                return
            }
            previous = entry
            entry = candidate.next
        }
    }

    // MARK: - Bits of a field

    @inline(__always) private static func bit(_ bytes: UnsafeRawPointer, _ place: Int) -> Bool { bytes.load(fromByteOffset: place / 8, as: UInt8.self) >> UInt8(7 &- place % 8) & 1 != 0 }

    private static func commonBits(_ a: UnsafeRawPointer, _ b: UnsafeRawPointer, _ length: Int) -> Int {
        for place in 0 ..< length {
            let difference = a.load(fromByteOffset: place, as: UInt8.self) ^ b.load(fromByteOffset: place, as: UInt8.self)
            if difference != 0 { return place &* 8 &+ difference.leadingZeroBitCount }
        }
        return length &* 8
    }

    /// Whether the range is all values with the same `common` leading bits.
    private static func isPrefix(_ first: UnsafeRawPointer, _ last: UnsafeRawPointer, _ length: Int, _ common: Int) -> Bool {
        for place in common ..< length &* 8 where bit(first, place) || !bit(last, place) { return false }
        return true
    }

    /// How many leading bits all of a half share: up to the first bit from `start` on that is as the half's far end has it.
    private static func trailing(_ end: UnsafeRawPointer, _ length: Int, from start: Int, ones: Bool) -> Int {
        var place = start
        while place < length &* 8, bit(end, place) == ones { place &+= 1 }
        return place
    }

    private static func writeMask(_ mask: UnsafeMutableRawPointer, _ length: Int, bits: Int) {
        for place in 0 ..< length {
            let rest = min(8, max(0, bits &- place &* 8))
            mask.storeBytes(of: rest == 8 ? 0xff : ~(UInt8(0xff) >> UInt8(rest)), toByteOffset: place, as: UInt8.self)
        }
    }
}
