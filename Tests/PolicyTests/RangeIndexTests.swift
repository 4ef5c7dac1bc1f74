// Concatenations with ranges: the index against a look at every element, with elements coming, going and dying.
@testable import Policy
import Ruleset
import Testing
import Wire

@Suite struct RangeIndexTests {
    private struct Element {
        var first: [UInt8]
        var last: [UInt8]
        var expires: Timestamp
    }

    private func set(parts: [Int], capacity: UInt32) -> (owner: CompiledRuleset, set: UnsafeMutablePointer<SetHeader>) {
        let types = parts.map { ["", "inet_proto", "inet_service", "", "ipv4_addr"].count > $0 ? ["", "inet_proto", "inet_service", "", "ipv4_addr"][$0] : "ipv6_addr" }
        let text = "table inet t { set s { type \(types.joined(separator: " . ")); flags interval,timeout; size \(capacity); }; }"
        let loaded = RulesetValue().applying(text: text)
        #expect(loaded.diagnostics.isEmpty, "\(loaded.diagnostics.map(\.message))")
        let compiled = compile(loaded.value)
        return (compiled, compiled.program.sets)
    }

    private func key(_ parts: [Int], _ random: inout ClassifierTests.Generator) -> [UInt8] {
        parts.flatMap { length -> [UInt8] in
            var bytes = [UInt8](repeating: 0, count: length)
            // Few values, so that keys meet elements.
            for place in 0 ..< length where place >= length - 2 || place == 0 { bytes[place] = UInt8.random(in: 0 ... (place == length - 1 ? 255 : 3), using: &random) }
            return bytes
        }
    }

    private func holds(_ element: Element, _ key: [UInt8], _ parts: [Int]) -> Bool {
        var offset = 0
        for length in parts {
            let value = key[offset ..< offset + length], first = element.first[offset ..< offset + length], last = element.last[offset ..< offset + length]
            if value.lexicographicallyPrecedes(first) || last.lexicographicallyPrecedes(value) { return false }
            offset += length
        }
        return true
    }

    @Test(arguments: [[4, 2], [4, 1, 2], [4, 4, 2, 2], [16, 2], [2, 2, 2, 2, 2]], 0 ..< 6) func findsWhatAScanFinds(parts: [Int], seed: Int) {
        var random = ClassifierTests.Generator(state: UInt64(seed) &* 31 &+ 7)
        let (owner, set) = self.set(parts: parts, capacity: 400)
        var elements: [UInt32: Element] = [:]
        var now: Timestamp = 1_000
        for _ in 0 ..< 3000 {
            now += 10_000_000
            switch Int.random(in: 0 ..< 4, using: &random) {
            case 0:
                var (low, high) = (key(parts, &random), key(parts, &random))
                var offset = 0
                for length in parts {
                    let range = offset ..< offset + length
                    if Int.random(in: 0 ..< 3, using: &random) == 0 { high.replaceSubrange(range, with: low[range]) }
                    if high[range].lexicographicallyPrecedes(low[range]) {
                        let swapped = Array(low[range])
                        low.replaceSubrange(range, with: high[range])
                        high.replaceSubrange(range, with: swapped)
                    }
                    offset += length
                }
                let number = set.pointee.take(now)
                guard number != ElementRecord.none else { break }
                low.withUnsafeBytes { set.pointee.key(number).copyMemory(from: $0.baseAddress!, byteCount: $0.count) }
                high.withUnsafeBytes { set.pointee.lastKey(number).copyMemory(from: $0.baseAddress!, byteCount: $0.count) }
                let expires = now + UInt64.random(in: 1 ..< 200, using: &random) * 100_000_000
                set.pointee.element(number).pointee.expires = expires
                set.pointee.enterRanges(number)
                elements[number] = Element(first: low, last: high, expires: expires)
            case 1:
                if let victim = elements.keys.sorted().randomElement(using: &random) {
                    // The collector may have been here before.
                    if set.pointee.element(victim).pointee.flags != 0 { set.pointee.remove(victim) }
                    elements[victim] = nil
                }
            default:
                let wanted = key(parts, &random)
                elements = elements.filter { $0.value.expires > now }
                let found = wanted.withUnsafeBytes { set.pointee.find($0.baseAddress!, now) }
                let expected = elements.filter { holds($0.value, wanted, parts) }.keys.min() ?? ElementRecord.none
                #expect(found == expected)
            }
        }
        withExtendedLifetime(owner) {}
        #expect(set.pointee.index.shapeCount <= RangeIndex.maximumShapes)
    }
}
