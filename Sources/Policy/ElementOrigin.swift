// Which stateful statements an element of a set carries: those of the set's declaration, of the element's own entry, or of the rule that
// added it (nft_dynset.c, nft_set_elem_expr).
//
// A set has records for each list of kinds (a counter; a quota and a counter; ...) that its elements carry, and an element names an origin:
// the list, and what its records start with.
//
// Invariant: two lists of one set differ in their kinds, so that there are few of them, however many elements have statements of their own.
import Ruleset

/// What elements that came in one way carry; the first of a set's origins stands for nothing.
struct ElementOrigin: Equatable {
    /// Its list among the set's statements.
    var first: UInt16 = 0
    var count: UInt16 = 0
    /// Place of the first one's start among the set's templates.
    var template: UInt32 = 0

    var statements: Range<Int> { Int(first) ..< Int(first) + Int(count) }
}

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

    var opcode: Opcode {
        switch self {
        case .counter: .counter
        case .last: .last
        case .limit: .limit
        case .quota: .quota
        case .connectionLimit: .connectionLimit
        }
    }
}

/// An origin as the compiler knows it.
struct PlannedOrigin {
    var kinds: [StatefulKind] = []
    /// For listings; without state.
    var statements: [Statement] = []
    var origin = ElementOrigin()
}

extension SetPlan {
    /// For each origin of `other` the one with the same statements here, if there is one.
    func equivalents(of other: SetPlan) -> [UInt16: UInt16] {
        var result: [UInt16: UInt16] = [:]
        for (number, known) in other.origins.enumerated() {
            if let own = origins.firstIndex(where: { $0.kinds == known.kinds }) { result[UInt16(number)] = UInt16(own) }
        }
        return result
    }

    /// The kinds of statements on an origin's list.
    func list(_ origin: UInt16) -> [Opcode] { origins[Int(origin)].origin.statements.map { statements[$0].op } }
}

extension Compiler {
    /// The origin of elements with these statements.
    /// - Parameter isOwn: the elements bring the records' start along, so that one origin serves all whose statements are of the same kinds.
    func origin(_ statements: [Statement], _ plan: inout SetPlan, isOwn: Bool = false) -> UInt16 {
        let kinds = statements.compactMap(StatefulKind.init)
        guard !kinds.isEmpty else { return 0 }
        if !isOwn, let known = plan.origins.firstIndex(where: { $0.kinds == kinds }) { return UInt16(known) }
        let list = kinds.map(\.opcode)
        let known = plan.origins.indices.dropFirst().first { plan.list(UInt16($0)) == list }
        if isOwn, let known { return UInt16(known) }
        guard plan.origins.count < Int(UInt16.max), plan.statements.count + list.count <= Int(UInt16.max) else {
            neverMatches("one more kind of statements for the elements of a set, which has too many,")
            return 0
        }
        var origin = ElementOrigin(first: UInt16(plan.statements.count), count: UInt16(list.count), template: UInt32(plan.templates.count))
        if let known {
            origin.first = plan.origins[known].origin.first
        } else {
            plan.statements += list.map { ElementStatement(op: $0, base: 0) }
        }
        plan.templates += statements.compactMap { newState($0)?.number }
        plan.origins.append(PlannedOrigin(kinds: kinds, statements: statements.map(\.unused), origin: origin))
        return UInt16(plan.origins.count - 1)
    }
}
