// A copy of what packets change in a program, so that another thread can read it at leisure.
//
// Invariant: taken by the core that runs packets; it costs one copy of the counters and of the sets that packets or time
// change, whatever the number of rules. Of memory that no packet used yet nothing is copied.
import Wire

public final class StateSnapshot: @unchecked Sendable {
    /// The program that it was taken of, with pointers to the copies.
    let program: Program
    /// When.
    public let time: Timestamp
    private let blocks: [UnsafeMutableRawPointer]

    init(_ original: Program, _ memory: ProgramMemory, _ sets: [SetPlan], time: Timestamp) {
        self.time = time
        var blocks: [UnsafeMutableRawPointer] = []
        func room<T>(_ count: Int) -> UnsafeMutablePointer<T> {
            let block = UnsafeMutableRawPointer.allocate(byteCount: max(1, count * MemoryLayout<T>.stride), alignment: 64)
            blocks.append(block)
            return block.bindMemory(to: T.self, capacity: count)
        }
        var copy = original.tables.pointee
        copy.counters = room(memory.totals.counters)
        copy.counters.update(from: original.counters, count: memory.ofRules.counters)
        copy.quotas = room(memory.totals.quotas)
        copy.quotas.update(from: original.quotas, count: memory.ofRules.quotas)
        copy.lasts = room(memory.totals.lasts)
        copy.lasts.update(from: original.lasts, count: memory.ofRules.lasts)
        copy.sets = room(sets.count)
        copy.sets.update(from: original.sets, count: sets.count)
        for (number, plan) in sets.enumerated() where plan.isDynamic || plan.hasTimeout || !plan.statements.isEmpty {
            let from = original.sets[number], used = Int(from.fresh)
            let elements: UnsafeMutablePointer<UInt8> = room(used * from.stride)
            UnsafeMutableRawPointer(elements).copyMemory(from: from.elements, byteCount: used * from.stride)
            copy.sets[number].elements = UnsafeMutableRawPointer(elements)
            for statement in 0 ..< from.statementCount {
                let own = from.statements[statement], base = Int(own.base)
                switch own.op {
                case .counter: (copy.counters + base).update(from: original.counters + base, count: used)
                case .quota: (copy.quotas + base).update(from: original.quotas + base, count: used)
                case .last: (copy.lasts + base).update(from: original.lasts + base, count: used)
                default: break
                }
            }
        }
        let tables: UnsafeMutablePointer<ProgramTables> = room(1)
        tables.initialize(to: copy)
        program = Program(UnsafePointer(tables))
        self.blocks = blocks
    }

    deinit { for block in blocks { block.deallocate() } }
}
