// A classifier's plan put into memory.
//
// Invariant: as ProgramMemory: everything is allocated once, sizes follow from the ruleset.

extension Classifier {
    /// - Parameters:
    ///   - interfaces: those that packets come and go by.
    ///   - raw: memory that lives as long as the program, aligned to 64 bytes.
    init(_ plan: ClassifierPlan, interfaces: [InterfaceRecord], raw: (Int) -> UnsafeMutableRawPointer) {
        func copy<T>(_ values: [T]) -> UnsafeMutablePointer<T> {
            let typed = raw(values.count * MemoryLayout<T>.stride).bindMemory(to: T.self, capacity: values.count)
            values.withUnsafeBufferPointer { if let base = $0.baseAddress { typed.initialize(from: base, count: values.count) } }
            return typed
        }
        let dimensions = plan.fields.indices.map { number -> ClassifierDimension in
            let field = plan.fields[number], vectors = plan.vectors[number]
            let starts: UnsafeMutableRawPointer = switch field.field.length {
            case ...4: UnsafeMutableRawPointer(copy(field.starts.map { UInt32(truncatingIfNeeded: $0) }))
            case ...8: UnsafeMutableRawPointer(copy(field.starts.map { UInt64(truncatingIfNeeded: $0) }))
            default: UnsafeMutableRawPointer(copy(field.starts))
            }
            let directory = ClassifierDirectory(field)
            var result = ClassifierDimension(
                field: field.field, starts: starts, count: field.starts.count,
                direct: directory.direct.isEmpty ? nil : UnsafePointer(copy(directory.direct)),
                buckets: directory.buckets.isEmpty ? nil : UnsafePointer(copy(directory.buckets)), directory: copy(directory.steps),
                bucketShift: UInt64(max(0, 8 * Int(field.field.length) - 8)),
                // Zero lies in the first interval, so an entry is right from the start.
                memory: copy(Array(repeating: SearchMemory(), count: directory.buckets.isEmpty ? 0 : SearchMemory.count)),
                lists: number < plan.listedCount ? UnsafePointer(copy(plan.lists[number])) : nil,
                intervals: copy(vectors.intervals), vectors: copy(vectors.vectors),
                indifferent: copy(vectors.indifferent), indifferentBlocks: vectors.indifferentBlocks,
                room: raw(Classifier.blockSize / 8).bindMemory(to: UInt64.self, capacity: Classifier.blockWords))
            result.reader = field.field.reader
            if result.reader == .input || result.reader == .output {
                let values = interfaces.map { field.field.value($0) } + [0]
                result.byInterface = copy(values.map { UInt32(result.interval($0)) })
            }
            return result
        }
        let blockCount = (plan.positions.count + Classifier.blockSize - 1) / Classifier.blockSize
        let runs = raw(blockCount * MemoryLayout<CandidateRun>.stride).bindMemory(to: CandidateRun.self, capacity: blockCount)
        self.init(dimensions: copy(dimensions), dimensionCount: dimensions.count, listedCount: plan.listedCount,
                  places: copy(Array(repeating: UInt32(0), count: Classifier.maximumDimensions)), records: UnsafePointer(copy(plan.records)),
                  found: copy(Array(repeating: UInt64(0), count: plan.mostListed)), positions: copy(plan.positions), bitCount: UInt32(plan.positions.count),
                  offsets: copy(plan.offsets), ruleCount: UInt32(plan.offsets.count - 1), sensitivity: plan.sensitivity, runs: runs)
    }
}

/// How a field's values are found among its intervals without many steps.
private struct ClassifierDirectory {
    /// The interval of each value of a field of one byte, or of two with many intervals.
    private(set) var direct: [UInt16] = []
    private(set) var buckets: [DirectoryBucket] = []
    private(set) var steps: [UInt32] = []

    init(_ field: FieldPlan) {
        let bits = 8 * Int(field.field.length), starts = field.starts
        guard bits <= 64, field.field.reader != .general, starts.count > 64 || bits == 8 else { return }
        var interval = 0
        if bits == 8 || (bits == 16 && starts.count > 128) {
            for value in 0 ..< 1 << bits {
                while interval + 1 < starts.count, starts[interval + 1] <= UInt128(value) { interval += 1 }
                direct.append(UInt16(interval))
            }
            return
        }
        for bucket in 0 ..< 256 {
            let low = UInt128(bucket) << UInt128(bits - 8), high = low + ((UInt128(1) << UInt128(bits - 8)) - 1)
            while interval + 1 < starts.count, starts[interval + 1] <= low { interval += 1 }
            var last = interval
            while last + 1 < starts.count, starts[last + 1] <= high { last += 1 }
            let base = last > interval ? starts[interval + 1] : low
            // Four times as many steps as intervals, of the part of the bucket where they are.
            let wanted = UInt128(max(1, (last - interval) * 4)), width = last > interval ? starts[last] - base + 1 : 1
            var shift = 0
            while width >> UInt128(shift) > wanted { shift += 1 }
            let count = Int((width - 1) >> UInt128(shift)) + 1
            buckets.append(DirectoryBucket(base: UInt64(base), first: UInt32(steps.count), last: UInt32(count - 1), shift: UInt64(shift)))
            // The first step holds what is below the base as well, the last what is behind its end.
            steps.append(UInt32(interval))
            for step in 1 ..< max(1, count) {
                let value = base + UInt128(step) << UInt128(shift)
                while interval + 1 < starts.count, starts[interval + 1] <= value { interval += 1 }
                steps.append(UInt32(interval))
            }
            steps.append(UInt32(last))
            interval = last
        }
    }
}

extension Dimension {
    /// How the packet path reads the field.
    fileprivate var reader: ClassifierReader {
        let isWord = length == 1 || length == 2 || length == 4 || length == 8
        switch Opcode(rawValue: op) {
        case .payload where isWord && b == PayloadBase.network.rawValue: return .network
        case .payload where isWord && b == PayloadBase.transport.rawValue: return .transport
        case .meta:
            switch MetaKey(rawValue: b) {
            case .transportProtocol where length == 1: return .transportProtocol
            case .family where length == 1: return .family
            case .inputName, .inputIndex: return .input
            case .outputName, .outputIndex: return .output
            default: return .general
            }
        case .conntrack where b == ConntrackKey.state.rawValue && length == 4: return .state
        default: return .general
        }
    }

    /// The field's value for an interface: its number, or the first `length` bytes of its name.
    fileprivate func value(_ interface: InterfaceRecord) -> UInt128 {
        let isName = b == MetaKey.inputName.rawValue || b == MetaKey.outputName.rawValue
        let name = UInt128(interface.nameHigh) << 64 | UInt128(interface.nameLow)
        return (isName ? name >> UInt128(8 * (16 - Int(length))) : UInt128(interface.index)) & mask
    }
}
