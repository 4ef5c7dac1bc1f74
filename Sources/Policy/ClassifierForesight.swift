// What classifiers will look at for a packet that is to come, asked of the memory ahead of time, in stages, so that the misses of a
// batch pass together: directories, starts, lists, records, rules, counters.
//
// Invariant: nothing is decided here; a wrong guess (a field that is rewritten on the way) costs time only. What a search found is kept by the
// value searched for (`SearchMemory`), which holds whoever asks. Every place comes from a table of the program in force, so all loads
// lie within its memory.
import CIntrinsics

/// A field that is worth it: its tables are larger than the caches next to the core.
struct ForeseenField {
    var classifier: UnsafeMutablePointer<Classifier>
    var dimension: UnsafeMutablePointer<ClassifierDimension>
    /// Its number in the classifier.
    var number: Int
}

/// One field's search for one packet of a batch.
struct SearchHint {
    var value: UInt64 = 0
    /// `Classifier.unreadable` if the packet has no such field.
    var place: UInt32 = 0
    var length: UInt32 = 0
    /// The last rule that may suit; `UInt32.max` for none.
    var rule: UInt64 = 0
}

/// A search's result, by value.
struct SearchMemory {
    static var count: Int { 64 }
    var value: UInt64 = 0
    var place: UInt64 = 0
    @inline(__always) static func index(_ value: UInt64) -> Int { Int(truncatingIfNeeded: (value &* 0x9e37_79b9_7f4a_7c15) >> 58) }
}

extension Program {
    /// Packets of a batch that are foreseen; further ones take their places.
    public static var foresightSlots: Int { 64 }
    static var foreseenFields: Int { 8 }
    static var foreseenIntervals: Int { 256 }
    @inlinable @inline(__always) public var foresees: Bool { foreseenCount > 0 }

    /// The fields worth it, of the first classifiers.
    static func foreseen(_ classifiers: UnsafeMutablePointer<Classifier>, _ count: Int) -> [ForeseenField] {
        var result: [ForeseenField] = []
        for number in 0 ..< count {
            let classifier = classifiers + number
            for index in 0 ..< classifier.pointee.listedCount where result.count < foreseenFields {
                let dimension = classifier.pointee.dimensions + index
                guard dimension.pointee.reader == .network || dimension.pointee.reader == .transport, dimension.pointee.count > foreseenIntervals,
                      dimension.pointee.direct != nil || dimension.pointee.buckets != nil else { continue }
                result.append(ForeseenField(classifier: classifier, dimension: dimension, number: index))
            }
        }
        return result
    }

    @inline(__always) private func hints(_ slot: Int) -> UnsafeMutablePointer<SearchHint> { searchHints + (slot & (Program.foresightSlots &- 1)) &* Program.foreseenFields }

    /// First: the directories.
    /// - Parameters: offsets from the frame's start, and the frame's length.
    public func foreseeDirectories(_ slot: Int, _ frame: UnsafeMutableRawPointer, network: Int, transport: Int, end: Int) {
        let hints = hints(slot)
        for index in 0 ..< foreseenCount {
            let dimension = foreseen[index].dimension
            let offset = (dimension.pointee.reader == .network ? network : transport) &+ Int(dimension.pointee.field.x), length = Int(dimension.pointee.field.length)
            hints[index].place = Classifier.unreadable
            guard offset >= 0, offset &+ length <= end else { continue }
            let value = (frame + offset).number(0, length) & UInt64(truncatingIfNeeded: dimension.pointee.field.mask)
            hints[index].value = value
            if let direct = dimension.pointee.direct {
                ntl_prefetch_read(direct + Int(truncatingIfNeeded: value & 0xffff))
                hints[index].place = 0
            } else {
                let step = dimension.pointee.step(value)
                ntl_prefetch_read(dimension.pointee.directory + step)
                hints[index].place = UInt32(truncatingIfNeeded: step)
            }
        }
    }

    /// Then, when those have come: the starts, or the lists.
    public func foreseeStarts(_ slot: Int) {
        let hints = hints(slot)
        for index in 0 ..< foreseenCount where hints[index].place != Classifier.unreadable {
            let dimension = foreseen[index].dimension
            if let direct = dimension.pointee.direct {
                hints[index].place = UInt32(direct[Int(truncatingIfNeeded: hints[index].value & 0xffff)])
                ntl_prefetch_read(dimension.pointee.lists.unsafelyUnwrapped + Int(hints[index].place))
            } else {
                let step = dimension.pointee.directory + Int(hints[index].place)
                let place = Int(step[0]), length = Int(step[1]) &+ 1 &- place
                hints[index].place = UInt32(truncatingIfNeeded: place)
                hints[index].length = UInt32(truncatingIfNeeded: length)
                ntl_prefetch_read(dimension.pointee.starts + (place &+ length >> 1) &* (dimension.pointee.field.length <= 4 ? 4 : 8))
            }
        }
    }

    /// Then the lists of the fields that had to be searched.
    public func foreseeLists(_ slot: Int) {
        let hints = hints(slot)
        for index in 0 ..< foreseenCount where hints[index].place != Classifier.unreadable {
            let dimension = foreseen[index].dimension
            guard dimension.pointee.direct == nil else { continue }
            let place = dimension.pointee.search(hints[index].value, Int(hints[index].place), Int(hints[index].length))
            hints[index].place = place
            dimension.pointee.remember(hints[index].value, place)
        }
    }

    /// Then the records.
    public func foreseeRecords(_ slot: Int) {
        let hints = hints(slot)
        for index in 0 ..< foreseenCount where hints[index].place != Classifier.unreadable {
            let list = foreseen[index].dimension.pointee.lists.unsafelyUnwrapped + Int(hints[index].place)
            if list[0] < list[1] { ntl_prefetch_read(foreseen[index].classifier.pointee.records + Int(list[0])) }
        }
    }

    /// Then the rules that the fields foreseen leave possible.
    public func foreseeRules(_ slot: Int) {
        let hints = hints(slot)
        for index in 0 ..< foreseenCount {
            hints[index].rule = UInt64(UInt32.max)
            guard hints[index].place != Classifier.unreadable else { continue }
            let list = foreseen[index].dimension.pointee.lists.unsafelyUnwrapped + Int(hints[index].place)
            let records = foreseen[index].classifier.pointee.records
            var at = Int(list[0])
            let end = Int(list[1])
            var rule = UInt32.max
            while at < end {
                let header = records[at]
                let behind = at &+ 1 &+ ClassifierRecord.comparisons(header)
                if suits(records + at + 1, behind &- at &- 1, foreseen[index].classifier, hints) {
                    rule = UInt32(truncatingIfNeeded: header)
                    ntl_prefetch_read(instructions + Int(rule))
                    ntl_prefetch_read(instructions + Int(rule) + 2)
                }
                at = behind
            }
            hints[index].rule = UInt64(rule)
        }
    }

    /// At last what those rules count.
    public func foreseeCounters(_ slot: Int) {
        let hints = hints(slot)
        for index in 0 ..< foreseenCount where hints[index].rule != UInt64(UInt32.max) {
            let rule = instructions + Int(hints[index].rule)
            if rule.pointee.op == .counter { ntl_prefetch_write(counters + Int(rule.pointee.x)) }
        }
    }

    /// Whether a record's comparisons hold, as far as fields are foreseen.
    @inline(__always)
    private func suits(_ words: UnsafePointer<UInt64>, _ count: Int, _ classifier: UnsafeMutablePointer<Classifier>, _ hints: UnsafePointer<SearchHint>) -> Bool {
        for index in 0 ..< count {
            let number = ClassifierRecord.dimension(words[index])
            for field in 0 ..< foreseenCount where foreseen[field].number == number && foreseen[field].classifier == classifier {
                guard ClassifierRecord.holds(words[index], place: UInt64(hints[field].place)) else { return false }
            }
        }
        return true
    }
}
