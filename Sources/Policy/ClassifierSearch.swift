// A classifier's search for one field's value: its elementary interval, and what that leaves possible.
//
// Invariant: a search is in stages (directory, starts, interval), each of which asks the memory for the next, so that the searches of
// several fields wait together.
import CIntrinsics

extension ClassifierDimension {
    /// Whether the packet's value leaves a rule of a block possible.
    @inline(__always) func allows(_ rule: Int, _ block: Int, _ bit: UInt64, _ word: Int, _ mask: UInt64) -> Bool {
        if UnsafeRawPointer(indifferent + block).assumingMemoryBound(to: UInt64.self)[word] & mask != 0 { return true }
        guard current.blocks & bit != 0 else { return false }
        guard current.content & ClassifierInterval.isListed != 0 else { return current.vector(block, vectors)[word] & mask != 0 }
        return current.rule(0) == rule || current.rule(1) == rule || current.rule(2) == rule || current.rule(3) == rule
    }

    /// The value's interval is known.
    @inline(__always) mutating func end(at place: Int) {
        searches = false
        self.place = place
    }

    /// Begins the search for a value of up to eight bytes. Few intervals are searched at once.
    @inline(__always) mutating func begin(_ value: UInt64) {
        self.value = value
        place = 0
        length = count
        if let directory {
            searches = true
            ntl_prefetch_read(directory + Int(truncatingIfNeeded: value >> directoryShift))
        } else {
            search()
        }
    }

    /// What the directory says.
    @inline(__always) mutating func narrow() {
        guard let directory else { return }
        let bucket = Int(truncatingIfNeeded: value >> directoryShift)
        place = Int(directory[bucket])
        length = Int(directory[bucket &+ 1]) &+ 1 &- place
        ntl_prefetch_read(starts + (place &+ length >> 1) &* (field.length <= 4 ? 4 : 8))
    }

    /// Finds the interval.
    @inline(__always) mutating func search() {
        searches = false
        guard field.length <= 4 else {
            place = search(value, place, length)
            return
        }
        // As `search`; the sign of a difference in more bits than the numbers have keeps the compiler from branching.
        let starts = self.starts.assumingMemoryBound(to: UInt32.self)
        var low = place, rest = length
        while rest > 1 {
            let half = rest >> 1
            let isAbove = Int(truncatingIfNeeded: (value &- UInt64(starts[low &+ half])) >> 63)
            low &+= half & (isAbove &- 1)
            rest &-= half
        }
        place = low
        ntl_prefetch_read(intervals + low)
    }

    /// The elementary interval of a value.
    func interval(_ value: UInt128) -> Int {
        var first = 0, length = count
        if let directory {
            let bucket = Int(truncatingIfNeeded: value >> UInt128(directoryShift))
            first = Int(directory[bucket])
            length = Int(directory[bucket &+ 1]) &+ 1 &- first
        }
        if field.length <= 4 { return search(UInt32(truncatingIfNeeded: value), first, length) }
        return field.length <= 8 ? search(UInt64(truncatingIfNeeded: value), first, length) : search(value, first, length)
    }

    /// The last of `length` intervals from `first` on that begins at or before the value; the first does. Without a branch on
    /// the value, so that searches in several dimensions overlap.
    @inline(__always) private func search<Number: FixedWidthInteger>(_ value: Number, _ first: Int, _ length: Int) -> Int {
        let starts = self.starts.assumingMemoryBound(to: Number.self)
        var low = first, rest = length
        while rest > 1 {
            let half = rest >> 1
            let isBelow = 0 &- (starts[low &+ half] <= value ? 1 : 0)
            low &+= half & isBelow
            rest &-= half
        }
        return low
    }
}
