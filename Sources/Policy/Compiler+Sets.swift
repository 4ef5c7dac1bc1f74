// Sets and maps, anonymous and named: which structure, which elements.
//
// Invariant: an element's key has exactly the set's key length; of a set with ranges every element has a first and a last
// key. An anonymous set is exact if none of its elements is a range or prefix, whatever the tree says.
import Ruleset

extension Compiler {
    /// Default size of a dynamic set without `size`, as in Linux.
    static var defaultDynamicSize: UInt32 { 65_535 }
    /// Most elements that a set may be declared for; the memory is reserved, not touched.
    static var maximumSize: UInt32 { 4_194_304 }

    /// Number of the set that a lookup goes to.
    func set(_ source: SetSource, keyLength: Int, dataType: Datatype?) -> UInt32 {
        switch source {
        case .named(let name):
            if let number = setNumbers[table][name] {
                if sets[number].keyLength != keyLength { neverMatches("@\(name), whose keys have another size,") }
                return UInt32(number)
            }
            neverMatches("@\(name), which does not exist,")
            return set(.anonymous(AnonymousSet(keyType: Datatype(.integer, bits: keyLength * 8, byteOrder: .network), dataType: dataType, isInterval: false, elements: [])),
                       keyLength: keyLength, dataType: dataType)
        case .anonymous(let anonymous):
            var plan = self.plan(anonymous.keyType, anonymous.elements, isInterval: false, keyLength: keyLength)
            if let type = anonymous.dataType {
                let data: MapData = type.basic == .verdict ? .verdict : .value(type)
                setDataLength(data, anonymous.elements, &plan)
                addElements(anonymous.elements, data, &plan)
            } else {
                addElements(anonymous.elements, nil, &plan)
            }
            plan.capacity = UInt32(plan.elements.count)
            sets.append(plan)
            return UInt32(sets.count - 1)
        }
    }

    /// `counter name KEY map { ... }` with a map written in place.
    func objectSet(_ source: SetSource, _ kind: ObjectKind, keyLength: Int) -> UInt32 {
        guard case .anonymous(let anonymous) = source else { return set(source, keyLength: keyLength, dataType: nil) }
        var plan = self.plan(anonymous.keyType, anonymous.elements, isInterval: false, keyLength: keyLength)
        plan.dataLength = 8
        addElements(anonymous.elements, .object(kind), &plan)
        plan.capacity = UInt32(plan.elements.count)
        sets.append(plan)
        return UInt32(sets.count - 1)
    }

    func compileNamedSet(_ named: NamedSet) {
        var plan = self.plan(named.keyType, named.elements, isInterval: named.flags.contains(.interval), keyLength: packedLength(named.keyType))
        plan.name = named.name
        plan.timeout = (named.timeout ?? 0) &* 1_000_000
        plan.isDynamic = named.flags.contains(.dynamic)
        plan.hasTimeout = named.flags.contains(.timeout) || named.timeout != nil
        if let interval = named.gcInterval, interval > 0 { plan.collectionInterval = min(interval, 1 << 40) &* 1_000_000 }
        let declared = origin(named.statements, &plan)
        if let data = named.data { setDataLength(data, named.elements, &plan) }
        addElements(named.elements, named.data, &plan, declared: declared)
        let wanted = named.size ?? (plan.isDynamic || plan.hasTimeout ? Compiler.defaultDynamicSize : UInt32(plan.elements.count))
        plan.capacity = max(min(wanted, Compiler.maximumSize), UInt32(plan.elements.count))
        setNumbers[table][named.name] = sets.count
        sets.append(plan)
    }

    private func plan(_ type: Datatype, _ elements: [SetElement], isInterval: Bool, keyLength: Int) -> SetPlan {
        var parts = type.parts.map(\.byteLength)
        // Anonymous sets take their key's size from what is looked up (raw payloads, bit fields).
        if parts.count == 1 { parts = [keyLength] }
        let hasRanges = isInterval || elements.contains { Compiler.isRange($0.key) }
        let kind: SetKind = !hasRanges ? .hash : parts.count > 1 || keyLength > 16 ? .ranges : .interval
        return SetPlan(table: table, name: nil, kind: kind, parts: parts, keyLength: parts.reduce(0, +), capacity: 0)
    }

    private static func isRange(_ key: Ruleset.Expression) -> Bool {
        switch key {
        case .range, .prefix: true
        case .concatenation(let parts): parts.contains(where: isRange)
        default: false
        }
    }

    private func setDataLength(_ data: MapData, _ elements: [SetElement], _ plan: inout SetPlan) {
        switch data {
        case .verdict, .object: plan.dataLength = 8
        case .value(let type):
            plan.dataLength = packedLength(type)
            if elements.contains(where: { $0.data.map(Compiler.isRange) ?? false }) {
                plan.hasIntervalData = true
                plan.dataLength *= 2
            }
        }
    }

    /// `declared`: what an element without statements of its own carries.
    func addElements(_ elements: [SetElement], _ data: MapData?, _ plan: inout SetPlan, declared: UInt16 = 0) {
        for element in elements {
            var planned = ElementPlan(first: [], last: [])
            if case .catchAll = element.key {
                planned.isCatchAll = true
                planned.first = [UInt8](repeating: 0, count: plan.keyLength)
                planned.last = planned.first
            } else {
                guard let (first, last) = bounds(element.key, plan.parts) else {
                    neverMatches("a set element")
                    continue
                }
                (planned.first, planned.last) = (first, last)
            }
            planned.timeout = (element.timeout ?? plan.timeout / 1_000_000) &* 1_000_000
            if let expires = element.expires { planned.expires = now &+ expires &* 1_000_000 }
            planned.standing = element.standing
            if let data, let value = element.data { planned.data = self.data(value, data, plan, &planned.chain) }
            if planned.data.count < plan.dataLength { planned.data += [UInt8](repeating: 0, count: plan.dataLength - planned.data.count) }
            // The kinds of its statements only: what it has counted is its own.
            planned.origin = element.statements.isEmpty ? declared : origin(element.statements.map(\.unused), &plan, isOwn: true)
            planned.statements = element.statements.compactMap { newState($0) }
            plan.elements.append(planned)
        }
    }

    /// First and last key of an element, packed.
    private func bounds(_ key: Ruleset.Expression, _ parts: [Int]) -> ([UInt8], [UInt8])? {
        let pieces: [Ruleset.Expression] = if case .concatenation(let list) = key { list } else { [key] }
        guard pieces.count == parts.count else { return nil }
        var first: [UInt8] = [], last: [UInt8] = []
        for (piece, length) in zip(pieces, parts) {
            switch piece {
            case .constant(let value):
                first += Compiler.bytes(value.number, length)
                last += Compiler.bytes(value.number, length)
            case .flags(let values):
                let number = values.reduce(UInt128(0)) { $0 | $1.number }
                first += Compiler.bytes(number, length)
                last += Compiler.bytes(number, length)
            case .range(let low, let high):
                first += Compiler.bytes(low.number, length)
                last += Compiler.bytes(high.number, length)
            case .prefix(let value, let prefix):
                let bits = value.type.bits
                let mask = Compiler.prefixMask(prefix, bits: bits)
                let all = Compiler.prefixMask(bits, bits: bits)
                first += Compiler.bytes(value.number & mask, length)
                last += Compiler.bytes(value.number & mask | (all & ~mask), length)
            default: return nil
            }
        }
        return (first, last)
    }

    private func data(_ value: Ruleset.Expression, _ kind: MapData, _ plan: SetPlan, _ chain: inout Int?) -> [UInt8] {
        switch (kind, value) {
        case (.verdict, .verdict(let verdict)): return verdictData(verdict, &chain)
        case (.object(let object), .objectName(let name)):
            guard let number = objectNumbers[table][object]?[name], let op = Compiler.opcode(object) else { return [Opcode.never.rawValue, 0, 0, 0, 0, 0, 0, 0] }
            return [op.rawValue, Compiler.change(object)?.rawValue ?? 0, 0, 0] + withUnsafeBytes(of: number) { Array($0) }
        case (.value(let type), _):
            guard let (first, last) = bounds(value, type.parts.map(\.byteLength)) else { return [] }
            return plan.hasIntervalData ? first + last : first
        default: return []
        }
    }

    private func verdictData(_ verdict: Ruleset.Verdict, _ chain: inout Int?) -> [UInt8] {
        let op: Opcode
        switch verdict {
        case .accept: op = .accept
        case .drop: op = .drop
        case .continue: op = .resume
        case .return: op = .returnToCaller
        case .jump(let name):
            op = .jump
            chain = chainNumbers[table][name]
        case .goto(let name):
            op = .goTo
            chain = chainNumbers[table][name]
        }
        return [op.rawValue, 0, 0, 0, 0, 0, 0, 0]
    }

    static func opcode(_ kind: ObjectKind) -> Opcode? {
        switch kind {
        case .counter: .counter
        case .quota: .quota
        case .limit: .limit
        case .ctHelper, .ctTimeout, .ctExpectation: .conntrackObject
        case .synproxy: .synproxy
        case .secmark, .tunnel: nil
        }
    }

    static func change(_ kind: ObjectKind) -> ConntrackView.Changes? {
        switch kind {
        case .ctHelper: .helper
        case .ctTimeout: .timeout
        case .ctExpectation: .expectation
        default: nil
        }
    }
}
