// Elements of sets and maps: added, taken away, found.
//
// Near-linear in what a transaction says, however many commands it says it in: additions and removals are collected by
// set (`ElementLog`) and sorted in once, before anybody looks at the elements or at the end.

/// What a transaction did to the elements of one set and has not sorted in yet.
struct ElementLog {
    /// What the set held and what was added, in that order; nil: taken away again.
    var elements: [SetElement?]
    /// How many the set held, and where each of those added stands.
    let known: Int
    var places: [SourceRange] = []
    /// Position by identity of the key, the last one if it was added more than once; made when a removal first asks for it.
    private(set) var positions: [String: Int]?
    /// By position: that of the same key added before.
    private var earlier: [Int: Int] = [:]

    init(_ elements: [SetElement]) {
        self.elements = elements
        known = elements.count
    }

    var hasAdditions: Bool { elements.count > known }

    mutating func makePositions() {
        if positions != nil { return }
        positions = [:]
        positions?.reserveCapacity(elements.count)
        for (position, element) in elements.enumerated() { if let element { enter(SetOrder.identity(element.key), at: position) } }
    }

    /// Whether the key is new.
    @discardableResult private mutating func enter(_ identity: String, at position: Int) -> Bool {
        guard let before = positions?.updateValue(position, forKey: identity) else { return true }
        earlier[position] = before
        return false
    }

    /// Adds one more; whether it is known to be new.
    mutating func add(_ element: SetElement) -> Bool {
        let isNew = positions != nil && enter(SetOrder.identity(SetOrder.canonical(element.key)), at: elements.count)
        elements.append(element)
        return isNew
    }

    /// Takes an element away, however often it was added: the one of that key or, in a concatenation, the one that holds the key's first point.
    /// - Parameter clash: set to where it was added with other data, which is what is wrong then.
    mutating func remove(_ key: Expression, clash: inout SourceRange?) -> SetElement? {
        makePositions()
        var position = positions?.removeValue(forKey: SetOrder.identity(key))
        if position == nil, let around = elements.first(where: { $0.map { SetOrder.holds($0.key, firstOf: key) } ?? false }), let around {
            position = positions?.removeValue(forKey: SetOrder.identity(around.key))
        }
        var gone: SetElement?, last: Int?
        while let here = position {
            if let gone, let before = elements[here], !SetOrder.sameData(before.data, gone.data) { clash = last.flatMap(place) }
            gone = elements[here]
            last = here
            elements[here] = nil
            position = earlier.removeValue(forKey: here)
        }
        return gone
    }

    /// Where the element at a position stands; nil if the set held it before.
    func place(_ position: Int) -> SourceRange? { position < known || places.isEmpty ? nil : places[min(position - known, places.count - 1)] }
}

extension Transaction {
    /// How often additions are sorted in before something is taken away, so that an overlap of intervals, or too many elements, are seen even if they
    /// do not last.
    static let mostEarlySettlements = 32

    struct SetPlace: Hashable {
        var table: Int
        var set: Int
    }

    /// Sorts in what the sets' logs hold. Whoever is about to look at elements calls this first.
    func settleElements() {
        if elementLogs.isEmpty { return }
        let logs = elementLogs
        elementLogs = [:]
        for place in logs.keys.sorted(by: { ($0.table, $0.set) < ($1.table, $1.set) }) {
            guard let log = logs[place] else { continue }
            attempt { try self.settle(log, place.table, place.set) }
        }
    }

    func addElements(of node: SetNode, _ table: Int) throws {
        guard let elements = node.elements, let index = value.tables[table].sets.firstIndex(where: { $0.name == node.name }) else { return }
        try addElements(elements, table, index, create: false)
    }

    func addElements(_ node: Node, _ table: Int, _ index: Int, create: Bool) throws {
        let evaluator = self.evaluator(table)
        let items = try evaluator.items(node)
        let set = value.tables[table].sets[index]
        var fresh: [SetElement] = []
        fresh.reserveCapacity(items.count)
        let interval = set.flags.contains(.interval)
        for item in items {
            var element = try evaluator.element(item, keyType: set.keyType, data: set.data)
            if !interval, SetOrder.isInterval(element.key) {
                let canonical = SetOrder.canonical(element.key)
                if SetOrder.isInterval(canonical) {
                    let what = { if case .range = element.key { "range" } else { "prefix" } }()
                    throw EvaluationError(message: "You must add 'flags interval' to your set declaration if you want to add \(what) elements", location: item.location)
                }
                element.key = canonical
            }
            for target in References.chains(element.data) where chain(table, target) == nil { throw kernel(Self.missing, item.key.location) }
            if !set.statements.isEmpty, !item.statements.isEmpty, item.statements.count != set.statements.count {
                throw EvaluationError(message: "number of statements mismatch, set expects \(set.statements.count) but element has \(item.statements.count)", location: item.key.location)
            }
            if set.statements.isEmpty, !set.flags.contains(.dynamic), let first = item.statements.first {
                throw EvaluationError(message: "missing statement in \(set.isMap ? "map" : "set") declaration", location: first.location)
            }
            if element.statements.isEmpty, !set.statements.isEmpty { element.statements = set.statements }
            if element.timeout != nil, !set.flags.contains(.timeout) { throw kernel("Invalid argument", item.key.location) }
            if let timeout = element.timeout, timeout == set.timeout { element.timeout = nil }
            element.standing = .fresh
            fresh.append(element)
        }
        if create { try refuseKnown(fresh, set, at: node.location) }
        log(fresh, table, index, at: items.map(\.key.location))
        touchedRules = true
    }

    /// `create element` adds nothing that is there.
    private func refuseKnown(_ fresh: [SetElement], _ set: NamedSet, at place: SourceRange) throws {
        var known = Set<String>()
        for element in set.elements { known.insert(SetOrder.identity(element.key)) }
        if fresh.contains(where: { known.contains(SetOrder.identity($0.key)) }) { throw kernel(Self.exists, place) }
    }

    private func log(_ fresh: [SetElement], _ table: Int, _ index: Int, at places: [SourceRange]) {
        let key = SetPlace(table: table, set: index)
        // Taken out and put back: the log is never copied.
        var log = elementLogs.removeValue(forKey: key) ?? ElementLog(value.tables[table].sets[index].elements)
        if options.recordsChanges { log.makePositions() }
        for element in fresh where log.add(element) { note(.add, table, .element(value.tables[table].sets[index], element)) }
        log.places += places
        elementLogs[key] = log
    }

    private func settle(_ log: ElementLog, _ table: Int, _ index: Int) throws {
        let set = value.tables[table].sets[index]
        let elements = log.elements.compactMap(\.self)
        let complete = elements.count == log.elements.count
        func blame(_ position: Int) -> SourceRange? { log.place(complete ? position : .max) }
        let merged = try SetOrder.normalize(elements, keyType: set.keyType, interval: set.flags.contains(.interval), merge: set.autoMerge && !set.isMap, anonymous: false, at: blame)
        if let size = set.size, merged.count + set.lingering > Int(size) { throw kernel("Too many open files in system", blame(Int(size) - set.lingering) ?? .none) }
        value.tables[table].sets[index].elements = merged
    }

    func changeElements(_ command: Command, _ target: Target, _ node: Node) throws {
        let table = try self.table(target)
        guard let index = value.tables[table].sets.firstIndex(where: { $0.name == target.name }) else {
            if command.operation == .destroy { return }
            var message = Self.missing
            if let near = Spelling.nearest(to: target.name, among: value.tables[table].sets.map(\.name)) { message += "; did you mean set ‘\(near)’ in table \(target.family.rawValue) ‘\(target.table)’?" }
            throw EvaluationError(message: message, location: target.nameLocation)
        }
        if command.operation == .create || command.operation == .get || command.operation == .reset { settleElements() }
        switch command.operation {
        case .add, .create: try addElements(node, table, index, create: command.operation == .create)
        case .delete, .destroy: try removeElements(node, table, index, mustExist: command.operation == .delete)
        case .get: listings.append(.elements(value, table, index, try foundElements(node, table, index)))
        case .reset: listings.append(.elements(value, table, index, try foundElements(node, table, index)))
        default: throw kernel(Self.unsupported, command.location)
        }
    }

    private func keys(_ node: Node, _ table: Int, _ index: Int) throws -> [(SetElement, SourceRange)] {
        let evaluator = self.evaluator(table)
        let set = value.tables[table].sets[index]
        return try evaluator.items(node).map { item in
            var bare = item
            bare.data = nil
            var element = try evaluator.element(bare, keyType: set.keyType, data: nil)
            element.key = SetOrder.canonical(element.key)
            return (element, item.location)
        }
    }

    private func foundElements(_ node: Node, _ table: Int, _ index: Int) throws -> [SetElement] {
        let elements = value.tables[table].sets[index].elements
        return try keys(node, table, index).map { wanted, place in
            let identity = SetOrder.identity(wanted.key)
            if let exact = elements.first(where: { SetOrder.identity($0.key) == identity }) { return exact }
            if let (low, high, _) = SetOrder.bounds(wanted.key), let around = elements.first(where: { SetOrder.bounds($0.key).map { $0.low <= low && high <= $0.high } ?? false }) { return around }
            if let around = elements.first(where: { SetOrder.holds($0.key, firstOf: wanted.key) }) { return around }
            throw kernel(Self.missing, place)
        }
    }

    private func removeElements(_ node: Node, _ table: Int, _ index: Int, mustExist: Bool) throws {
        let target = value.tables[table].sets[index]
        if !target.autoMerge || target.keyType.isConcatenation {
            try logRemoval(node, table, index, mustExist: mustExist)
            return
        }
        settleElements()
        let set = value.tables[table].sets[index]
        let keys = try self.keys(node, table, index)
        var positions: [String: Int] = [:]
        for (position, element) in set.elements.enumerated() { positions[SetOrder.identity(element.key)] = position }
        var gone = Set<Int>()
        var cuts: [(UInt128, UInt128)] = []
        for (wanted, place) in keys {
            if let position = positions[SetOrder.identity(wanted.key)] { gone.insert(position); continue }
            if let (low, high, _) = SetOrder.bounds(wanted.key), set.elements.contains(where: { SetOrder.bounds($0.key).map { $0.low <= low && high <= $0.high } ?? false }) {
                cuts.append((low, high))
                continue
            }
            if mustExist { throw kernel(Self.missing, place) }
        }
        var left = set.elements.enumerated().filter { !gone.contains($0.offset) }.map(\.element)
        for (low, high) in cuts {
            left = left.flatMap { element -> [SetElement] in
                guard let (first, last, type) = SetOrder.bounds(element.key), first <= low, high <= last else { return [element] }
                var parts: [SetElement] = []
                if first < low { var part = element; part.key = SetOrder.expression(low: first, high: low - 1, type: type); parts.append(part) }
                if high < last { var part = element; part.key = SetOrder.expression(low: high + 1, high: last, type: type); parts.append(part) }
                return parts
            }
        }
        value.tables[table].sets[index].elements = left
        for position in gone.sorted() { note(.delete, table, .element(set, set.elements[position])) }
    }

    private func logRemoval(_ node: Node, _ table: Int, _ index: Int, mustExist: Bool) throws {
        let key = SetPlace(table: table, set: index)
        let keys = try self.keys(node, table, index)
        let set = value.tables[table].sets[index]
        if earlySettlements < Self.mostEarlySettlements, set.flags.contains(.interval) || set.size != nil, let log = elementLogs[key], log.hasAdditions {
            earlySettlements += 1
            settleElements()
        }
        var log = elementLogs.removeValue(forKey: key) ?? ElementLog(value.tables[table].sets[index].elements)
        defer { elementLogs[key] = log }
        for (wanted, place) in keys {
            var clash: SourceRange?
            let gone = log.remove(wanted.key, clash: &clash)
            if let clash { throw kernel(Self.exists, clash) }
            if let gone {
                note(.delete, table, .element(value.tables[table].sets[index], gone))
            } else if mustExist {
                throw kernel(Self.missing, place)
            }
        }
    }
}
