// The memory of a compiled ruleset: what the compiler's arrays become when they are done.
//
// Invariant: everything is allocated here, once, and freed by `deallocate`; sizes follow from the ruleset alone.
// A set's elements, its buckets and the runs of stateful records of its elements are reserved for the set's full size;
// the system commits a page when a packet first uses it.
import Glibc
import Wire

struct ProgramMemory {
    private(set) var program: Program
    private var blocks: [UnsafeMutableRawPointer] = []
    /// Stateful records of rules and objects, which come first, and of all, set elements included.
    let ofRules: (counters: Int, quotas: Int, lasts: Int)
    let totals: (counters: Int, quotas: Int, lasts: Int)

    /// Most bytes that connection limits of one set's elements may take together.
    private static var connectionListBudget: Int { 256 << 20 }

    private static var hugePage: Int { 2 << 20 }
    private static var chunk: Int { 8 << 20 }
    private static var largePiece: Int { 32 << 10 }

    init(_ compiler: Compiler, seed: UInt64, now: Timestamp) {
        var blocks: [UnsafeMutableRawPointer] = []
        // Large pieces lie together in huge pages: packets touch them at random.
        var room = 0, next: UnsafeMutableRawPointer?
        func raw(_ count: Int) -> UnsafeMutableRawPointer {
            let size = (max(1, count) + 63) & ~63
            guard size >= ProgramMemory.largePiece else {
                let block = UnsafeMutableRawPointer.allocate(byteCount: size, alignment: 64)
                blocks.append(block)
                return block
            }
            if size > room {
                room = max(size, ProgramMemory.chunk)
                let block = UnsafeMutableRawPointer.allocate(byteCount: room, alignment: ProgramMemory.hugePage)
                // Refused on a machine without huge pages: then they are small.
                madvise(block, room, MADV_HUGEPAGE)
                blocks.append(block)
                next = block
            }
            room -= size
            let piece = next.unsafelyUnwrapped
            next = piece + size
            return piece
        }
        func array<T>(_ values: [T], extra: Int = 0) -> UnsafeMutablePointer<T> {
            let typed = raw((values.count + extra) * MemoryLayout<T>.stride).bindMemory(to: T.self, capacity: values.count + extra)
            values.withUnsafeBufferPointer { if let base = $0.baseAddress { typed.initialize(from: base, count: values.count) } }
            return typed
        }

        // The runs for set elements come behind the records of rules and objects.
        var counterCount = compiler.counters.count, limitCount = compiler.limits.count, quotaCount = compiler.quotas.count
        var connectionCount = compiler.connectionLimits.count, lastCount = compiler.lasts.count
        for number in compiler.sets.indices {
            let capacity = Int(compiler.sets[number].capacity)
            for index in compiler.sets[number].statements.indices {
                switch compiler.sets[number].statements[index].op {
                case .counter:
                    compiler.sets[number].statements[index].base = UInt32(counterCount)
                    counterCount += capacity
                case .limit:
                    compiler.sets[number].statements[index].base = UInt32(limitCount)
                    limitCount += capacity
                case .quota:
                    compiler.sets[number].statements[index].base = UInt32(quotaCount)
                    quotaCount += capacity
                case .connectionLimit:
                    compiler.sets[number].statements[index].base = UInt32(connectionCount)
                    connectionCount += capacity
                default:
                    compiler.sets[number].statements[index].base = UInt32(lastCount)
                    lastCount += capacity
                }
            }
        }
        ofRules = (compiler.counters.count, compiler.quotas.count, compiler.lasts.count)
        totals = (counterCount, quotaCount, lastCount)
        let counters = array(compiler.counters, extra: counterCount - compiler.counters.count)
        let limits = array(compiler.limits, extra: limitCount - compiler.limits.count)
        let quotas = array(compiler.quotas, extra: quotaCount - compiler.quotas.count)
        let connectionLimits = array(compiler.connectionLimits, extra: connectionCount - compiler.connectionLimits.count)
        let lasts = array(compiler.lasts, extra: lastCount - compiler.lasts.count)
        for index in compiler.connectionLimits.indices {
            connectionLimits[index].list = raw(Int(connectionLimits[index].room) * 8).assumingMemoryBound(to: UInt64.self)
        }

        let headers = compiler.sets.map { plan in
            ProgramMemory.header(plan, seed: seed, now: now, raw: raw)
        }
        let (chains, entries) = compiler.directory()
        let sets = array(headers)
        let classifiers = array(compiler.classifiers.map { Classifier($0, interfaces: compiler.interfaces.map(InterfaceRecord.init), raw: raw) })
        let foreseen = Program.foreseen(classifiers, compiler.classifiers.count)
        let tables = ProgramTables(
            instructions: array(compiler.instructions), constants: UnsafeMutableRawPointer(array(compiler.constants)), chains: array(chains),
            directory: array(entries), services: compiler.services, interfaces: array(compiler.interfaces.map(InterfaceRecord.init)),
            interfaceCount: compiler.interfaces.count,
            loopback: UInt16(truncatingIfNeeded: compiler.interfaces.firstIndex { $0.name == Interface.loopback.name } ?? Int(PacketContext.noInterface)), counters: counters, counterCount: counterCount, limits: limits, quotas: quotas,
            connectionLimits: connectionLimits, lasts: lasts, generators: array(compiler.generators), natTemplates: array(compiler.natTemplates),
            sets: sets, classifiers: classifiers, foreseen: array(foreseen), foreseenCount: foreseen.count,
            searchHints: array(Array(repeating: SearchHint(), count: foreseen.isEmpty ? 0 : Program.foresightSlots * Program.foreseenFields)), scratch: raw(Registers.size + 64), random: array([seed ^ 0x2545_f491_4f6c_dd1d]))
        program = Program(UnsafePointer(array([tables])))
        for (number, plan) in compiler.sets.enumerated() {
            for (place, statement) in plan.statements.enumerated() where statement.op == .connectionLimit {
                // An element holds as many connections as the highest limit that its statement may have needs.
                let starts = plan.origins.map(\.origin).filter { $0.statements.contains(place) }.map { plan.templates[Int($0.template) + place - Int($0.first)] }
                let own = plan.elements.flatMap { $0.statements.filter { $0.op == .connectionLimit }.map(\.number) }
                let wanted = (starts + own).map { connectionLimits[Int($0)].room }.max() ?? 0
                let room = min(Int(wanted), max(1, ProgramMemory.connectionListBudget / 8 / max(1, Int(plan.capacity))))
                let lists = raw(room * 8 * Int(plan.capacity)).assumingMemoryBound(to: UInt64.self)
                for element in 0 ..< Int(plan.capacity) {
                    connectionLimits[Int(statement.base) + element] = ConnectionLimitState(
                        limit: 0, inverted: false, count: 0, room: UInt32(room), list: lists + element * room)
                }
            }
            program.fill(sets + number, plan, now: now)
        }
        self.blocks = blocks
    }

    func deallocate() { for block in blocks { block.deallocate() } }

    private static func rangeIndex(_ plan: SetPlan, raw: (Int) -> UnsafeMutableRawPointer) -> RangeIndex {
        let elements = plan.kind == .ranges ? Int(plan.capacity) : 0
        let entries = elements * RangeIndex.combinations(fields: plan.parts.count)
        var buckets = 1
        while buckets < elements * 2 { buckets <<= 1 }
        let table = raw(buckets * 4).assumingMemoryBound(to: UInt32.self)
        table.initialize(repeating: RangeIndex.none, count: buckets)
        let shapes = elements > 0 ? RangeIndex.maximumShapes : 1
        let masks = raw(shapes * plan.keyLength)
        masks.initializeMemory(as: UInt8.self, repeating: 0, count: shapes * plan.keyLength)
        let counts = raw(shapes * 4).assumingMemoryBound(to: UInt32.self)
        counts.initialize(repeating: 0, count: shapes)
        return RangeIndex(entries: raw(entries * MemoryLayout<RangeEntry>.stride).assumingMemoryBound(to: RangeEntry.self), buckets: table,
                          bucketMask: UInt32(buckets - 1), masks: masks, counts: counts, work: raw(plan.keyLength * 2))
    }

    private static func header(_ plan: SetPlan, seed: UInt64, now: Timestamp, raw: (Int) -> UnsafeMutableRawPointer) -> SetHeader {
        let keys = plan.kind == .hash ? plan.keyLength : plan.keyLength * 2
        let stride = (ElementRecord.size + keys + plan.dataLength + 7) & ~7
        var buckets = 1
        while buckets < Int(plan.capacity) { buckets <<= 1 }
        if plan.kind != .hash { buckets = 1 }
        let index = raw(buckets * 4).assumingMemoryBound(to: UInt32.self)
        index.initialize(repeating: ElementRecord.none, count: buckets)
        let statements = raw(plan.statements.count * MemoryLayout<ElementStatement>.stride).assumingMemoryBound(to: ElementStatement.self)
        for (number, statement) in plan.statements.enumerated() { statements[number] = statement }
        let origins = raw(plan.origins.count * MemoryLayout<ElementOrigin>.stride).assumingMemoryBound(to: ElementOrigin.self)
        for (number, planned) in plan.origins.enumerated() { origins[number] = planned.origin }
        let templates = raw(plan.templates.count * 4).assumingMemoryBound(to: UInt32.self)
        for (number, template) in plan.templates.enumerated() { templates[number] = template }
        let fields = raw(plan.parts.count * 4).assumingMemoryBound(to: (offset: UInt16, length: UInt16).self)
        var offset = 0
        for (number, length) in plan.parts.enumerated() {
            fields[number] = (UInt16(offset), UInt16(length))
            offset += length
        }
        let bounds = raw(plan.kind == .interval ? plan.elements.count * MemoryLayout<IntervalBound>.stride : 1).assumingMemoryBound(to: IntervalBound.self)
        var header = SetHeader(elements: raw(stride * Int(plan.capacity)), buckets: index, statements: statements, origins: origins, templates: templates,
                               fields: fields, bounds: bounds,
                               index: rangeIndex(plan, raw: raw))
        header.kind = plan.kind
        header.keyLength = plan.keyLength
        header.dataLength = plan.dataLength
        header.stride = stride
        header.capacity = plan.capacity
        header.bucketMask = UInt32(buckets - 1)
        header.seed = seed
        header.timeout = plan.timeout
        header.hasTimeout = plan.hasTimeout
        header.isDynamic = plan.isDynamic
        header.lastCollection = now
        header.collectionInterval = plan.collectionInterval
        header.statementCount = plan.statements.count
        header.fieldCount = plan.parts.count
        return header
    }
}

extension Program {
    /// Puts a set's elements in place.
    func fill(_ set: UnsafeMutablePointer<SetHeader>, _ plan: SetPlan, now: Timestamp) {
        var bounds: [IntervalBound] = []
        for planned in plan.elements {
            let element = set.pointee.take(now)
            guard element != ElementRecord.none else { break }
            let record = set.pointee.element(element)
            planned.first.withUnsafeBytes { if let base = $0.baseAddress { set.pointee.key(element).copyMemory(from: base, byteCount: plan.keyLength) } }
            if plan.kind != .hash {
                planned.last.withUnsafeBytes { if let base = $0.baseAddress { set.pointee.lastKey(element).copyMemory(from: base, byteCount: plan.keyLength) } }
            }
            planned.data.withUnsafeBytes { if let base = $0.baseAddress { set.pointee.data(element).copyMemory(from: base, byteCount: min($0.count, plan.dataLength)) } }
            if plan.hasTimeout, planned.timeout != 0 {
                record.pointee.timeout = planned.timeout
                record.pointee.expires = planned.expires ?? now &+ planned.timeout
            }
            record.pointee.origin = planned.origin
            startStatements(element, set, now)
            restoreStatements(element, set, planned.statements)
            if planned.isCatchAll {
                set.pointee.catchAll = element
                continue
            }
            switch plan.kind {
            case .hash: set.pointee.link(element)
            case .interval:
                let first = SetHeader.wide(set.pointee.key(element), plan.keyLength), last = SetHeader.wide(set.pointee.lastKey(element), plan.keyLength)
                bounds.append(IntervalBound(firstHigh: first.0, firstLow: first.1, lastHigh: last.0, lastLow: last.1, element: element))
            case .ranges: set.pointee.enterRanges(element)
            }
        }
        bounds.sort { ($0.firstHigh, $0.firstLow) < ($1.firstHigh, $1.firstLow) }
        for (number, bound) in bounds.enumerated() { set.pointee.bounds[number] = bound }
        set.pointee.boundCount = bounds.count
    }

    /// Values that an element's statements bring along (`counter packets 3 bytes 180`).
    private func restoreStatements(_ element: UInt32, _ set: UnsafePointer<SetHeader>, _ states: [(op: Opcode, number: UInt32)]) {
        let record = set.pointee.element(element), state = record.pointee.state
        for (index, own) in zip(set.pointee.origins[Int(record.pointee.origin)].statements, states) {
            let statement = set.pointee.statements[index]
            guard statement.op == own.op else { continue }
            let place = Int(statement.base &+ state)
            switch own.op {
            case .counter: counters[place] = counters[Int(own.number)]
            case .limit: limits[place] = limits[Int(own.number)]
            case .quota: quotas[place] = quotas[Int(own.number)]
            case .connectionLimit:
                connectionLimits[place].limit = connectionLimits[Int(own.number)].limit
                connectionLimits[place].inverted = connectionLimits[Int(own.number)].inverted
            default: lasts[place] = lasts[Int(own.number)]
            }
        }
    }

    /// Adds packets and bytes to a counter.
    public func credit(counter: UInt32, packets: UInt64, bytes: UInt64) {
        guard Int(counter) < counterCount else { return }
        counters[Int(counter)].packets &+= packets
        counters[Int(counter)].bytes &+= bytes
    }
}

extension InterfaceRecord {
    init(_ interface: Interface) {
        (nameHigh, nameLow) = InterfaceRecord.words(interface.name)
        (kindHigh, kindLow) = InterfaceRecord.words(interface.kind)
        hasKind = !interface.kind.isEmpty
        index = interface.index
        group = interface.group
        hardwareType = interface.hardwareType
    }

    /// The first 15 bytes of a name, zero padded to 16.
    static func words(_ name: String) -> (UInt64, UInt64) {
        var bytes = Array(name.utf8.prefix(15))
        bytes += [UInt8](repeating: 0, count: 16 - bytes.count)
        return (bytes[0 ..< 8].reduce(0) { $0 << 8 | UInt64($1) }, bytes[8 ..< 16].reduce(0) { $0 << 8 | UInt64($1) })
    }
}
