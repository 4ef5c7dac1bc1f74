// A classifier's search for one field's value: how the packet's value is read, and in which elementary interval it lies.
//
// Invariant: a search is in stages (directory, starts), each of which asks the memory for the next, so that the searches of
// several fields wait together.
import CIntrinsics

/// How a field is read: the frequent ones without the evaluator's detour by registers.
enum ClassifierReader: UInt8 {
    /// 1, 2, 4 or 8 bytes of the network or transport header.
    case network, transport
    case transportProtocol, family, state
    /// A property of the interface: the interval is known by its place.
    case input, output
    case general
}

/// Where to look for values with the same leading byte: the values from `base` on stand in steps of 1 << shift.
struct DirectoryBucket {
    var base: UInt64
    /// Place of the first step in the directory, which holds for each step the interval of its first value, and the bucket's last interval
    /// behind them.
    var first: UInt32
    var last: UInt32
    var shift: UInt64
}

struct ClassifierDimension {
    var field: Dimension
    /// First values of the intervals, ascending, the first 0: numbers of 32, 64 or 128 bits, as the field needs.
    var starts: UnsafeMutableRawPointer
    var count: Int
    /// Of fields of one byte, and of two with many intervals: the interval of each value.
    var direct: UnsafePointer<UInt16>?
    /// By the value's highest byte; nil for few intervals and for fields wider than eight bytes.
    var buckets: UnsafePointer<DirectoryBucket>?
    var directory: UnsafePointer<UInt32>
    /// Place of the highest byte in the value.
    var bucketShift: UInt64
    /// With `buckets`: what was found lately (`SearchMemory.count`).
    var memory: UnsafeMutablePointer<SearchMemory>
    /// Where the records of each interval's rules begin, and the end behind them; nil if this field lists none.
    var lists: UnsafePointer<UInt32>?
    /// What the intervals leave possible of the rules in vectors.
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
    var place = 0
    var length = 0
    /// What the packet's interval leaves possible, and its words in the block that is being looked at, nil for none.
    var current = ClassifierInterval()
    var words: UnsafePointer<UInt64>?
    /// Eight words for rules listed in place.
    var room: UnsafeMutablePointer<UInt64>
}

extension ClassifierDimension {
    /// Whether the packet's value leaves a rule of a block of vectors possible.
    @inline(__always) func allows(_ rule: Int, _ block: Int, _ bit: UInt64, _ word: Int, _ mask: UInt64) -> Bool {
        if UnsafeRawPointer(indifferent + block).assumingMemoryBound(to: UInt64.self)[word] & mask != 0 { return true }
        guard current.blocks & bit != 0 else { return false }
        guard current.content & ClassifierInterval.isListed != 0 else { return current.vector(block, vectors)[word] & mask != 0 }
        return current.rule(0) == rule || current.rule(1) == rule || current.rule(2) == rule || current.rule(3) == rule
    }

    /// Begins the search for a value of up to eight bytes. Few intervals are searched at once.
    @inline(__always) mutating func begin(_ value: UInt64) -> UInt32 {
        if let direct {
            let place = UInt32(direct[Int(truncatingIfNeeded: value & 0xffff)])
            if let lists { ntl_prefetch_read(lists + Int(place)) }
            return place
        }
        guard buckets != nil else { return search(value, 0, count) }
        let known = memory + SearchMemory.index(value)
        if known.pointee.value == value { return UInt32(truncatingIfNeeded: known.pointee.place) }
        self.value = value
        place = step(value)
        searches = true
        ntl_prefetch_read(directory + place)
        return Classifier.unreadable
    }

    /// The place of a value's step in the directory.
    @inline(__always) func step(_ value: UInt64) -> Int {
        let bucket = buckets.unsafelyUnwrapped + Int(truncatingIfNeeded: value &>> bucketShift)
        let offset = value >= bucket.pointee.base ? (value &- bucket.pointee.base) &>> bucket.pointee.shift : 0
        return Int(bucket.pointee.first) &+ Int(truncatingIfNeeded: min(offset, UInt64(bucket.pointee.last)))
    }

    @inline(__always) func remember(_ value: UInt64, _ place: UInt32) {
        let entry = memory + SearchMemory.index(value)
        entry.pointee.value = value
        entry.pointee.place = UInt64(place)
    }

    /// What the directory says.
    @inline(__always) mutating func narrow() {
        let step = directory + place
        place = Int(step[0])
        length = Int(step[1]) &+ 1 &- place
        ntl_prefetch_read(starts + (place &+ length >> 1) &* (field.length <= 4 ? 4 : 8))
    }

    /// Finds the interval.
    @inline(__always) mutating func search() -> UInt32 {
        searches = false
        return search(value, place, length)
    }

    /// The interval of a value of up to eight bytes, among `length` from `first` on; its list is asked for.
    @inline(__always) func search(_ value: UInt64, _ first: Int, _ length: Int) -> UInt32 {
        var low = first
        if field.length > 4 {
            low = find(value, first, length)
        } else {
            // As `find`; the sign of a difference in more bits than the numbers have keeps the compiler from branching.
            let starts = self.starts.assumingMemoryBound(to: UInt32.self)
            var rest = length
            while rest > 1 {
                let half = rest >> 1
                let isAbove = Int(truncatingIfNeeded: (value &- UInt64(starts[low &+ half])) >> 63)
                low &+= half & (isAbove &- 1)
                rest &-= half
            }
        }
        if let lists { ntl_prefetch_read(lists + low) }
        return UInt32(truncatingIfNeeded: low)
    }

    /// The elementary interval of a value.
    func interval(_ value: UInt128) -> Int {
        if field.length <= 4 { return find(UInt32(truncatingIfNeeded: value), 0, count) }
        return field.length <= 8 ? find(UInt64(truncatingIfNeeded: value), 0, count) : find(value, 0, count)
    }

    /// The last of `length` intervals from `first` on that begins at or before the value; the first does. Without a branch on
    /// the value, so that searches in several dimensions overlap.
    @inline(__always) private func find<Number: FixedWidthInteger>(_ value: Number, _ first: Int, _ length: Int) -> Int {
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

extension Program {
    /// Reads the packet's value of a field; its interval if that needs no long search, else `searches` is set.
    @inline(__always) func begin(_ dimension: UnsafeMutablePointer<ClassifierDimension>, _ context: inout PacketContext) -> UInt32 {
        switch dimension.pointee.reader {
        case .network, .transport:
            let position = Int(dimension.pointee.field.x), length = Int(dimension.pointee.field.length)
            let base = dimension.pointee.reader == .network ? context.layer.network : context.layer.transportStart(position, length)
            let offset = base &+ position
            guard base >= 0, offset &+ length <= context.layer.end else { return Classifier.unreadable }
            return dimension.pointee.begin((context.packet.start + offset).number(0, length) & UInt64(truncatingIfNeeded: dimension.pointee.field.mask))
        case .transportProtocol:
            guard context.layer.isValid else { return Classifier.unreadable }
            return dimension.pointee.begin(UInt64(context.layer.transportProtocol) & UInt64(truncatingIfNeeded: dimension.pointee.field.mask))
        case .family: return dimension.pointee.begin(Program.familyNumber(context.family) & UInt64(truncatingIfNeeded: dimension.pointee.field.mask))
        case .state:
            context.walk?.pointee.reads.insert(.connectionState)
            return dimension.pointee.begin(UInt64(context.conntrack.state) & UInt64(truncatingIfNeeded: dimension.pointee.field.mask))
        case .input: return dimension.pointee.byInterface.unsafelyUnwrapped[min(Int(context.input), interfaceCount)]
        case .output: return dimension.pointee.byInterface.unsafelyUnwrapped[min(Int(context.output), interfaceCount)]
        case .general:
            var value: UInt128 = 0
            return read(dimension, &value, &context) ? UInt32(truncatingIfNeeded: dimension.pointee.interval(value)) : Classifier.unreadable
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
