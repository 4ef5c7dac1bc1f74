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
        let dimensions = plan.dimensions.map { dimension in
            let starts: UnsafeMutableRawPointer = switch dimension.field.length {
            case ...4: UnsafeMutableRawPointer(copy(dimension.starts.map { UInt32(truncatingIfNeeded: $0) }))
            case ...8: UnsafeMutableRawPointer(copy(dimension.starts.map { UInt64(truncatingIfNeeded: $0) }))
            default: UnsafeMutableRawPointer(copy(dimension.starts))
            }
            let bits = 8 * Int(dimension.field.length)
            let leading = Classifier.directoryBits(bits, dimension.starts.count)
            var result = ClassifierDimension(
                field: dimension.field, starts: starts, count: dimension.starts.count,
                directory: leading > 0 ? copy(Classifier.directory(dimension.starts, bits: bits, leading: leading)) : nil,
                directoryShift: UInt64(bits - leading), intervals: copy(dimension.intervals), vectors: copy(dimension.vectors),
                indifferent: copy(dimension.indifferent), indifferentBlocks: dimension.indifferentBlocks,
                room: raw(Classifier.blockSize / 8).bindMemory(to: UInt64.self, capacity: Classifier.blockWords))
            result.reader = dimension.field.reader
            if result.reader == .input || result.reader == .output {
                let values = interfaces.map { dimension.field.value($0) } + [0]
                result.byInterface = copy(values.map { UInt32(result.interval($0)) })
            }
            return result
        }
        let blockCount = (plan.positions.count + Classifier.blockSize - 1) / Classifier.blockSize
        let runs = raw(blockCount * MemoryLayout<CandidateRun>.stride).bindMemory(to: CandidateRun.self, capacity: blockCount)
        self.init(dimensions: copy(dimensions), dimensionCount: dimensions.count, positions: copy(plan.positions), offsets: copy(plan.offsets),
                  ruleCount: UInt32(plan.offsets.count - 1), sensitivity: plan.sensitivity, runs: runs)
    }

    /// How many leading bits a field's directory looks at; 0 for none. Ports lie everywhere and need no more entries than there
    /// are intervals; addresses of a network share their leading bits, and need more.
    private static func directoryBits(_ bits: Int, _ intervals: Int) -> Int {
        guard intervals > 64, bits >= 16 else { return 0 }
        return bits == 16 ? intervals.bitWidth - intervals.leadingZeroBitCount - 1 : 16
    }

    /// The interval of the first value of each bucket, and the last interval behind them.
    private static func directory(_ starts: [UInt128], bits: Int, leading: Int) -> [UInt32] {
        var result: [UInt32] = []
        result.reserveCapacity(1 << leading + 1)
        var interval = 0
        for bucket in 0 ..< 1 << leading {
            let first = UInt128(bucket) << UInt128(bits - leading)
            while interval + 1 < starts.count, starts[interval + 1] <= first { interval += 1 }
            result.append(UInt32(interval))
        }
        result.append(UInt32(starts.count - 1))
        return result
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
