// State across rulesets: what a ruleset takes over from the one that was in force.
//
// Invariant: what is carried over is matched by table (family and name), handle and version, objects and sets by table and name, so
// a rule that was not touched by a transaction keeps counting where it was. What a transaction took away and made again under its old name is
// new: its handle, or its table's, is another. (A file that is read again has handles of its own; there names suffice.)
// The matching is worked out aside; `run` only copies, and is what the core that runs packets has to do.
// A transaction is made against a snapshot and put in force later. What packets did in between is added to what the
// transaction made of the snapshot's numbers: a counter that it reset, or an element that it took away, stays so, and no
// packet goes uncounted.
import Ruleset
import Wire

public final class StateTransfer: @unchecked Sendable {
    private struct RuleKey: Hashable {
        var table: Int
        var handle: UInt64
        var version: UInt32
    }
    private struct Record {
        var op: Opcode
        var new: UInt32
        var old: UInt32
        /// By its handles the same, not only by its name.
        var isSame: Bool
    }

    private let new: CompiledRuleset
    private let previous: CompiledRuleset
    private var records: [Record] = []
    private var sets: [(new: Int, old: Int, isSame: Bool)] = []

    /// Works out what goes where; touches no state.
    public init(to new: CompiledRuleset, from previous: CompiledRuleset) {
        self.new = new
        self.previous = previous
        var old: [RuleKey: CompiledRule] = [:]
        old.reserveCapacity(previous.rules.count)
        for rule in previous.rules where !rule.states.isEmpty || !rule.generators.isEmpty { old[RuleKey(table: rule.table, handle: rule.handle, version: rule.version)] = rule }
        let tables = new.ruleset.tables.map { table in previous.ruleset.tables.firstIndex { $0.family == table.family && $0.name == table.name } }
        let areSame = zip(new.ruleset.tables, tables).map { table, before in before.map { previous.ruleset.tables[$0].handle == table.handle } ?? false }
        for rule in new.rules where !rule.states.isEmpty || !rule.generators.isEmpty {
            guard let table = tables[rule.table], let before = old[RuleKey(table: table, handle: rule.handle, version: rule.version)], before.states.map(\.op) == rule.states.map(\.op) else { continue }
            if before.generators.count == rule.generators.count {
                for (generator, was) in zip(rule.generators, before.generators) {
                    records.append(Record(op: .numgen, new: UInt32(generator), old: UInt32(was), isSame: areSame[rule.table]))
                }
            }
            for (state, was) in zip(rule.states, before.states) {
                records.append(Record(op: state.op, new: state.number, old: was.number, isSame: areSame[rule.table]))
            }
        }
        for (number, was) in tables.enumerated() {
            guard let was else { continue }
            let handles = Self.handles(new.ruleset.tables[number]), oldHandles = Self.handles(previous.ruleset.tables[was])
            for (kind, objects) in new.objectNumbers[number] {
                guard let op = Compiler.opcode(kind) else { continue }
                for (name, object) in objects {
                    guard let before = previous.objectNumbers[was][kind]?[name] else { continue }
                    let place = Named(kind: kind, name: name)
                    records.append(Record(op: op, new: object, old: before, isSame: areSame[number] && handles[place] == oldHandles[place]))
                }
            }
            for (index, plan) in new.sets.enumerated() where plan.table == number && (plan.isDynamic || plan.hasTimeout || !plan.statements.isEmpty) {
                guard let name = plan.name, let before = previous.sets.firstIndex(where: { $0.table == was && $0.name == name }) else { continue }
                let to = new.program.sets[index], from = previous.program.sets[before]
                guard to.kind == .hash, from.kind == .hash, to.keyLength == from.keyLength, to.dataLength == from.dataLength else { continue }
                let place = Named(kind: nil, name: name)
                sets.append((index, before, areSame[number] && handles[place] == oldHandles[place]))
            }
        }
    }

    /// An object of that kind, or a set.
    private struct Named: Hashable {
        var kind: ObjectKind?
        var name: String
    }

    private static func handles(_ table: Table) -> [Named: UInt64] {
        var handles: [Named: UInt64] = [:]
        for object in table.objects { handles[Named(kind: object.value.kind, name: object.name)] = object.handle }
        for set in table.sets { handles[Named(kind: nil, name: set.name)] = set.handle }
        return handles
    }

    /// Takes the state over.
    /// - Parameter snapshot: what the new ruleset was made from; nil: the old state counts as it is.
    public func run(now: Timestamp, since snapshot: StateSnapshot? = nil) {
        for record in records where record.isSame || snapshot == nil { adopt(record.op, record.new, record.old, snapshot?.program) }
        for (index, before, isSame) in sets where isSame || snapshot == nil { adoptElements(index, before, now, snapshot?.program) }
    }

    private func adopt(_ op: Opcode, _ number: UInt32, _ before: UInt32, _ base: Program?) {
        let to = new.program, from = previous.program, new = Int(number), old = Int(before)
        switch op {
        case .counter:
            var counter = from.counters[old]
            if let base {
                counter.packets = counter.packets &- base.counters[old].packets &+ to.counters[new].packets
                counter.bytes = counter.bytes &- base.counters[old].bytes &+ to.counters[new].bytes
            }
            to.counters[new] = counter
        case .quota:
            var consumed = from.quotas[old].consumed
            if let base { consumed = consumed &- base.quotas[old].consumed &+ to.quotas[new].consumed }
            to.quotas[new].consumed = consumed
        case .numgen: to.generators[new] = from.generators[old]
        case .last:
            if let base, base.lasts[old].isSet, !to.lasts[new].isSet, base.lasts[old].time == from.lasts[old].time { return }
            to.lasts[new] = from.lasts[old]
        case .limit:
            let was = from.limits[old]
            guard was.cost == to.limits[new].cost, was.maximum == to.limits[new].maximum, was.rate == to.limits[new].rate else { return }
            to.limits[new].tokens = was.tokens
            to.limits[new].last = was.last
        case .connectionLimit:
            guard let source = from.connectionLimits[old].list, let list = to.connectionLimits[new].list else { return }
            let count = min(from.connectionLimits[old].count, to.connectionLimits[new].room)
            list.update(from: source, count: Int(count))
            to.connectionLimits[new].count = count
        default: return
        }
    }

    private func adoptElements(_ index: Int, _ before: Int, _ now: Timestamp, _ base: Program?) {
        let program = self.new.program
        let new = program.sets + index, old = previous.program.sets + before
        new.pointee.lastCollection = old.pointee.lastCollection(by: now)
        defer { adoptDead(new, old, now) }
        let plan = self.new.sets[index], origins = plan.equivalents(of: previous.sets[before])
        let lists = plan.origins.indices.map { plan.list(UInt16($0)) }, oldLists = previous.sets[before].origins.indices.map { previous.sets[before].list(UInt16($0)) }
        if base != nil { settleKept(new, old, plan, now) }
        for number in 0 ..< old.pointee.fresh {
            let record = old.pointee.element(number).pointee
            guard record.flags & ElementRecord.Flag.inUse != 0, number != old.pointee.catchAll, record.expires > now else { continue }
            let key = old.pointee.key(number)
            let isKnown = base.map { $0.sets[before].holds(key, record, at: number) } ?? false
            var element = new.pointee.findExact(key, new.pointee.hash(key), now)
            if element == ElementRecord.none {
                // What the ruleset listed and no longer lists is gone; what packets added since stays.
                guard !isKnown, record.flags & ElementRecord.Flag.dynamic != 0, new.pointee.isDynamic || new.pointee.hasTimeout else { continue }
                element = new.pointee.take(now)
                guard element != ElementRecord.none else { return }
                new.pointee.key(element).copyMemory(from: key, byteCount: new.pointee.keyLength)
                new.pointee.data(element).copyMemory(from: old.pointee.data(number), byteCount: new.pointee.dataLength)
                new.pointee.element(element).pointee.flags |= record.flags & ElementRecord.Flag.dynamic
                new.pointee.link(element)
            }
            let standing = Int(element) < plan.elements.count ? plan.elements[Int(element)].standing : .kept
            // Of a transaction; a file that is read again says the same elements once more.
            if standing == .fresh, base != nil { continue }
            // Another one of the same key than the transaction knew.
            if base != nil, !isKnown {
                new.pointee.element(element).pointee.flags |= record.flags & ElementRecord.Flag.dynamic
                new.pointee.data(element).copyMemory(from: old.pointee.data(number), byteCount: new.pointee.dataLength)
            }
            if standing != .renewed {
                new.pointee.element(element).pointee.timeout = record.timeout
                new.pointee.element(element).pointee.expires = record.expires
            }
            // The statements that it came with, even if no rule would give it these any more; without, if nothing here has such.
            let entry = new.pointee.element(element)
            if lists[Int(entry.pointee.origin)] != oldLists[Int(record.origin)] {
                entry.pointee.origin = origins[record.origin] ?? 0
                program.startStatements(element, new, now)
            }
            let there = new.pointee.origins[Int(entry.pointee.origin)].statements, here = old.pointee.origins[Int(record.origin)].statements
            for (to, from) in zip(there, here) {
                let to = new.pointee.statements[to], from = old.pointee.statements[from]
                adopt(to.op, to.base &+ entry.pointee.state, from.base &+ record.state, isKnown ? base : nil)
            }
        }
    }
}

extension StateTransfer {
    /// What the snapshot had is there as long as in the ruleset before: packets took it away since, or time, or packets refreshed it.
    private func settleKept(_ new: UnsafeMutablePointer<SetHeader>, _ old: UnsafeMutablePointer<SetHeader>, _ plan: SetPlan, _ now: Timestamp) {
        for (place, planned) in plan.elements.enumerated() where planned.standing == .kept {
            let number = UInt32(place)
            guard number < new.pointee.fresh, number != new.pointee.catchAll, new.pointee.element(number).pointee.flags & ElementRecord.Flag.inUse != 0 else { continue }
            let key = new.pointee.key(number)
            let standing = old.pointee.findExact(key, old.pointee.hash(key), now)
            if standing == ElementRecord.none { new.pointee.remove(number) } else { new.pointee.element(number).pointee.expires = old.pointee.element(standing).pointee.expires }
        }
    }

    /// Elements that nobody finds any more take up room until the collector runs.
    private func adoptDead(_ new: UnsafeMutablePointer<SetHeader>, _ old: UnsafeMutablePointer<SetHeader>, _ now: Timestamp) {
        for number in 0 ..< old.pointee.fresh {
            guard old.pointee.lingers(number, now) else { continue }
            let element = new.pointee.take(now)
            guard element != ElementRecord.none else { return }
            new.pointee.key(element).copyMemory(from: old.pointee.key(number), byteCount: new.pointee.keyLength)
            new.pointee.element(element).pointee.expires = old.pointee.element(number).pointee.expires
            new.pointee.link(element)
        }
    }
}

extension SetHeader {
    /// When the collector ran last, had a packet called it by now.
    func lastCollection(by now: Timestamp) -> Timestamp {
        let since = now &- min(now, lastCollection)
        return lastCollection &+ since / collectionInterval &* collectionInterval
    }

    /// Whether the element of that number has ended and takes up room still.
    func lingers(_ number: UInt32, _ now: Timestamp) -> Bool {
        let record = element(number).pointee
        return record.flags & ElementRecord.Flag.inUse != 0 && number != catchAll && record.expires <= now && record.expires > lastCollection(by: now)
    }

    /// Whether the element of that number was this one already, of that key and record.
    func holds(_ wanted: UnsafeRawPointer, _ record: ElementRecord, at number: UInt32) -> Bool {
        guard number < fresh, element(number).pointee.flags & ElementRecord.Flag.inUse != 0 else { return false }
        guard ElementRecord.Flag.tenant(element(number).pointee.flags) == ElementRecord.Flag.tenant(record.flags) else { return false }
        return UnsafeRawBufferPointer(start: key(number), count: keyLength).elementsEqual(UnsafeRawBufferPointer(start: wanted, count: keyLength))
    }
}
