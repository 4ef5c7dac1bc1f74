// Sets as they are listed: sorted, intervals merged or refused, prefixes recognised.
//
// Near-linear: one sort and one pass, whatever the number of elements. An overlap is refused (or merged where asked).

enum SetOrder {
    static func isInterval(_ key: Expression) -> Bool {
        switch key {
        case .prefix, .range: true
        case .concatenation(let parts): parts.contains(where: isInterval)
        default: false
        }
    }

    static func bounds(_ key: Expression) -> (low: UInt128, high: UInt128, type: Datatype)? {
        switch key {
        case .constant(let value): return (value.number, value.number, value.type)
        case .prefix(let value, let length):
            let host = value.type.bits - length
            let mask: UInt128 = host >= 128 ? UInt128.max : (UInt128(1) << UInt128(max(host, 0))) - 1
            return (value.number, value.number | mask, value.type)
        case .range(let low, let high): return (low.number, high.number, low.type)
        default: return nil
        }
    }

    static func hasPrefixes(_ type: Datatype) -> Bool {
        type.basic == .ipv4Address || type.basic == .ipv6Address
    }

    /// The shortest form of an interval: value, prefix (of addresses and names), or range.
    static func expression(low: UInt128, high: UInt128, type: Datatype) -> Expression {
        if low == high { return .constant(Value(low, type)) }
        if hasPrefixes(type) || Datatypes.isString(type) {
            let difference = low ^ high
            if difference & (difference &+ 1) == 0, low & difference == 0, high & difference == difference {
                let host = 128 - difference.leadingZeroBitCount
                return .prefix(Value(low, type), length: type.bits - host)
            }
        }
        return .range(Value(low, type), Value(high, type))
    }

    /// A key or data with its intervals in the form in which they are listed.
    static func canonical(_ key: Expression) -> Expression {
        switch key {
        case .prefix, .range:
            guard let (low, high, type) = bounds(key) else { return key }
            return expression(low: low, high: high, type: type)
        case .concatenation(let parts): return .concatenation(parts.map(canonical))
        default: return key
        }
    }

    /// Whether an element of a concatenation holds the first point of `key`: how Linux finds one that is asked for or taken away (pipapo_get).
    static func holds(_ element: Expression, firstOf key: Expression) -> Bool {
        guard case .concatenation(let parts) = element, case .concatenation(let wanted) = key, parts.count == wanted.count else { return false }
        return zip(parts, wanted).allSatisfy { part, wanted in
            guard let (low, high, _) = bounds(part), let first = bounds(wanted)?.low else { return false }
            return low <= first && first <= high
        }
    }

    /// What elements are sorted by.
    static func sortKey(_ key: Expression, interval: Bool) -> [UInt128] {
        switch key {
        case .constant, .prefix, .range:
            guard let (low, _, type) = bounds(key) else { return [] }
            // Flag combinations are listed by their first flag.
            if type.basic == .tcpFlag, !interval { return [low & (~low &+ 1)] }
            return [low]
        case .concatenation(let parts): return parts.flatMap { sortKey($0, interval: true) }
        case .catchAll: return [UInt128.max, UInt128.max, UInt128.max, UInt128.max, UInt128.max]
        default: return []
        }
    }

    /// An element that is there and is added again, as Linux does it since 6.12: another timeout, or a time to expire in, begins now; all else stays.
    private static func renew(_ kept: inout SetElement, by again: SetElement) {
        guard kept.timeout != again.timeout || again.expires ?? 0 != 0 else { return }
        kept.timeout = again.timeout
        kept.expires = again.expires
        if kept.standing == .kept { kept.standing = .renewed }
    }

    static func sameData(_ left: Expression?, _ right: Expression?) -> Bool {
        switch (left, right) {
        case (nil, nil): true
        case (.verdict(let a)?, .verdict(let b)?): a == b
        case (.objectName(let a)?, .objectName(let b)?): a == b
        case (let a?, let b?): identity(a) == identity(b)
        default: false
        }
    }

    /// As the kernel does: an element of a set of ranges in concatenations is refused where its first or its last point
    /// lies in another element. Beyond `overlapLimit` elements the check would take too long and is left out.
    static let overlapLimit = 2048
    private static func checkOverlap(_ elements: [(element: SetElement, index: Int)], _ place: (Int) -> SourceRange?) throws {
        guard elements.count <= overlapLimit else { return }
        var boxes: [[(low: UInt128, high: UInt128)]] = []
        boxes.reserveCapacity(elements.count)
        for (element, index) in elements {
            guard case .concatenation(let parts) = element.key else { continue }
            let box = parts.map { bounds($0).map { ($0.low, $0.high) } ?? (0, 0) }
            for other in boxes where other.count == box.count {
                var holdsFirst = true, holdsLast = true
                for (mine, its) in zip(box, other) {
                    if mine.0 < its.low || mine.0 > its.high { holdsFirst = false }
                    if mine.1 < its.low || mine.1 > its.high { holdsLast = false }
                    if !holdsFirst, !holdsLast { break }
                }
                if holdsFirst || holdsLast { throw EvaluationError(message: "Could not process rule: File exists", location: place(index) ?? .none) }
            }
            boxes.append(box)
        }
    }

    private static func isCatchAll(_ element: SetElement) -> Bool { if case .catchAll = element.key { true } else { false } }

    /// Sorts; with intervals also checks overlap or merges.
    /// - Parameter place: where the element of that number stands; nil if the set held it before.
    static func normalize(_ elements: [SetElement], keyType: Datatype, interval: Bool, merge: Bool, anonymous: Bool, at place: (Int) -> SourceRange?) throws -> [SetElement] {
        func exists(_ index: Int) -> EvaluationError { EvaluationError(message: "Could not process rule: File exists", location: place(index) ?? .none) }
        let rest = elements.filter(isCatchAll)
        if rest.count > 1, !anonymous { throw EvaluationError(message: "conflicting intervals specified", location: elements.lastIndex(where: isCatchAll).flatMap(place) ?? .none) }
        if keyType.isConcatenation {
            var seen: [String: Int] = [:]
            var kept: [SetElement] = []
            var distinct: [(element: SetElement, index: Int)] = []
            var hasRange = false
            for (index, original) in elements.enumerated() where !isCatchAll(original) {
                var element = original
                element.key = canonical(element.key)
                if isInterval(element.key) { hasRange = true }
                let name = identity(element.key)
                if let first = seen[name] {
                    if !sameData(kept[first].data, element.data) { throw exists(index) }
                    renew(&kept[first], by: element)
                    continue
                }
                seen[name] = kept.count
                kept.append(element)
                distinct.append((element, index))
            }
            if hasRange { try checkOverlap(distinct, place) }
            if !hasRange {
                let keyed = kept.map { (sortKey($0.key, interval: false), $0) }
                kept = keyed.enumerated().sorted { a, b in
                    if a.element.0 == b.element.0 { return a.offset < b.offset }
                    return a.element.0.lexicographicallyPrecedes(b.element.0)
                }.map(\.element.1)
            }
            return kept + rest.prefix(1)
        }
        if !interval {
            var keyed: [(key: UInt128, index: Int)] = []
            keyed.reserveCapacity(elements.count)
            for (index, element) in elements.enumerated() where !isCatchAll(element) { keyed.append((sortKey(element.key, interval: false).first ?? 0, index)) }
            keyed.sort { $0.key != $1.key ? $0.key < $1.key : $0.index < $1.index }
            var result: [SetElement] = []
            result.reserveCapacity(keyed.count)
            var seen: [UInt128: Int] = [:]
            for (_, index) in keyed {
                if let number = bounds(elements[index].key)?.low {
                    if let first = seen[number] {
                        if !sameData(result[first].data, elements[index].data) { throw exists(index) }
                        renew(&result[first], by: elements[index])
                        continue
                    }
                    seen[number] = result.count
                }
                result.append(elements[index])
            }
            return result + rest.prefix(1)
        }
        var ranges: [(low: UInt128, high: UInt128, index: Int)] = []
        ranges.reserveCapacity(elements.count)
        for (index, element) in elements.enumerated() {
            if let (low, high, _) = bounds(element.key) { ranges.append((low, high, index)) }
        }
        ranges.sort { $0.low != $1.low ? $0.low < $1.low : $0.high != $1.high ? $0.high < $1.high : $0.index < $1.index }
        var result: [SetElement] = []
        result.reserveCapacity(ranges.count)
        var current: (low: UInt128, high: UInt128, index: Int)?
        // Those that say the current one once more.
        var again: [Int] = []
        func flush() {
            guard let (low, high, index) = current else { return }
            var element = elements[index]
            for other in again { renew(&element, by: elements[other]) }
            again = []
            element.key = expression(low: low, high: high, type: keyType)
            result.append(element)
        }
        for range in ranges {
            guard let last = current else { current = range; continue }
            if range.low == last.low, range.high == last.high {
                if !sameData(elements[last.index].data, elements[range.index].data) { throw exists(last.index) }
                if !merge { again.append(range.index) }
                continue
            }
            let overlaps = range.low <= last.high
            let adjacent = last.high != UInt128.max && range.low == last.high + 1
            if merge, overlaps || adjacent, elements[range.index].timeout == nil, elements[last.index].timeout == nil {
                current = (last.low, max(last.high, range.high), last.index)
                continue
            }
            if overlaps {
                guard let here = place(range.index), let before = place(last.index) else {
                    throw EvaluationError(message: "interval overlaps with an existing one", location: place(range.index) ?? place(last.index) ?? .none)
                }
                // The one that begins higher is marked; of two that begin together, the first.
                let isSwapped = range.low > last.low || range.index < last.index
                throw EvaluationError(message: "conflicting intervals specified", location: isSwapped ? here : before, others: [isSwapped ? before : here])
            }
            flush()
            current = range
        }
        flush()
        return result + rest.prefix(1)
    }

    /// A text that is equal for equal keys.
    static func identity(_ key: Expression) -> String {
        switch key {
        case .concatenation(let parts): return parts.map(identity).joined(separator: ".")
        case .catchAll: return "*"
        default:
            guard let (low, high, _) = bounds(key) else { return "?" }
            return low == high ? String(low, radix: 36) : String(low, radix: 36) + "-" + String(high, radix: 36)
        }
    }
}
