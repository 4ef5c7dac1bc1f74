// Which stateful statements an element of a set carries: those of the set's declaration, of the element's own entry, or of the rule that
// added it (nft_dynset.c, nft_set_elem_expr). A set keeps a list of all of them, and an element names a run of that list.
//
// Invariant: two runs of one set differ; a run's statements have a record for each element that the set may hold.
import Ruleset

/// A stateful statement without what it has counted.
enum StatefulKind: Hashable {
    case counter, last
    case limit(Limit)
    case quota(limit: UInt64, isOver: Bool)
    case connectionLimit(count: UInt32, isOver: Bool)

    init?(_ statement: Statement) {
        switch statement {
        case .counter: self = .counter
        case .last: self = .last
        case .limit(let limit): self = .limit(limit)
        case .quota(let quota): self = .quota(limit: quota.limit, isOver: quota.isOver)
        case .connectionLimit(let count, let isOver): self = .connectionLimit(count: count, isOver: isOver)
        default: return nil
        }
    }
}

/// Where an element's statements stand among those of its set; none if the count is 0.
struct StatementRun: Hashable {
    var first: UInt16 = 0
    var count: UInt8 = 0

    init() {}
    init(first: Int, count: Int) {
        self.first = UInt16(first)
        self.count = UInt8(count)
    }
    /// As an instruction holds it.
    init(packed: UInt64) {
        first = UInt16(truncatingIfNeeded: packed >> 8)
        count = UInt8(truncatingIfNeeded: packed)
    }
    var packed: UInt64 { UInt64(first) << 8 | UInt64(count) }
    var isEmpty: Bool { count == 0 }
    var indices: Range<Int> { Int(first) ..< Int(first) + Int(count) }
}

/// A run as the compiler knows it.
struct PlannedRun {
    var kinds: [StatefulKind]
    /// For listings; without state.
    var statements: [Statement]
    var run: StatementRun
}

extension SetPlan {
    func statements(_ run: StatementRun) -> [Statement] { runs.first { $0.run == run }?.statements ?? [] }

    /// For each run of `other` the one with the same statements here, if there is one.
    func equivalents(of other: SetPlan) -> [StatementRun: StatementRun] {
        var result: [StatementRun: StatementRun] = [:]
        for known in other.runs {
            if let own = runs.first(where: { $0.kinds == known.kinds }) { result[known.run] = own.run }
        }
        return result
    }
}

extension Compiler {
    /// The run of `statements` in the set; a new one if it has none like it.
    func run(_ statements: [Statement], _ plan: inout SetPlan) -> StatementRun {
        let kinds = statements.compactMap(StatefulKind.init)
        guard !kinds.isEmpty else { return StatementRun() }
        if let known = plan.runs.first(where: { $0.kinds == kinds }) { return known.run }
        guard kinds.count <= Int(UInt8.max), plan.statements.count + kinds.count <= Int(UInt16.max) else {
            neverMatches("one more kind of statements for the elements of a set, which has too many,")
            return StatementRun()
        }
        let first = plan.statements.count
        for statement in statements {
            guard let state = newState(statement) else { continue }
            plan.statements.append(ElementStatement(op: state.op, base: 0, template: state.number))
        }
        let run = StatementRun(first: first, count: plan.statements.count - first)
        plan.runs.append(PlannedRun(kinds: kinds, statements: statements.map(\.unused), run: run))
        return run
    }
}
