// Sets and maps: exact, intervals, concatenations with ranges, dynamic.
import Policy
@testable import Ruleset
import Testing
import Wire

@Suite struct SetTests {
    let source = Expression.payload(Fields.source)
    let destinationPort = Expression.payload(Fields.destinationPort)

    func contains(_ key: Expression, _ source: SetSource, _ frame: Frame, inverted: Bool = false) -> Bool {
        compile(ruleset([[match(key, inverted ? .notEqual : .equal, .set(source)), .verdict(.drop)]])).run(frame) == .drop
    }

    func anonymous(_ type: Datatype, _ keys: [Expression]) -> SetSource {
        .anonymous(AnonymousSet(keyType: type, dataType: nil, isInterval: false, elements: keys.map { SetElement(key: $0) }))
    }

    @Test func exact() {
        let ports = anonymous(Types.port, (0 ..< 1000).map { value(UInt128($0 * 3), Types.port) })
        for number in [0, 3, 999, 2997] as [UInt16] { #expect(contains(destinationPort, ports, .udp(1, number))) }
        for number in [1, 2998, 3000, 65535] as [UInt16] {
            #expect(!contains(destinationPort, ports, .udp(1, number)))
            #expect(contains(destinationPort, ports, .udp(1, number), inverted: true))
        }
    }

    @Test func intervals() {
        let ports = anonymous(Types.port, [.range(Value(10, Types.port), Value(20, Types.port)), value(30, Types.port), .range(Value(65000, Types.port), Value(65535, Types.port))])
        let expected: [(UInt16, Bool)] = [(9, false), (10, true), (20, true), (21, false), (29, false), (30, true), (31, false), (65000, true), (65535, true)]
        for (number, result) in expected { #expect(contains(destinationPort, ports, .udp(1, number)) == result) }
        let networks = anonymous(Types.ipv4, [.prefix(Value(address(10, 0, 0, 0), Types.ipv4), length: 16), .prefix(Value(address(192, 168, 0, 0), Types.ipv4), length: 24)])
        #expect(contains(source, networks, .udp()))
        #expect(!contains(source, networks, .udp(from: 0x0a01_0000)))
        #expect(contains(source, networks, .udp(from: 0xc0a8_00ff)))
        #expect(!contains(source, networks, .udp(from: 0xc0a8_0100)))
    }

    @Test func ipv6Intervals() {
        let first = UInt128(0xfd) << 120
        let network = anonymous(Types.ipv6, [.prefix(Value(first, Types.ipv6), length: 64), .range(Value(1, Types.ipv6), Value(5, Types.ipv6))])
        let frame = Frame.ipv6(next: 17, [0, 1, 0, 53, 0, 8, 0, 0])
        #expect(contains(.payload(Fields.source6), network, frame))
        frame.packet.store8(0xfe, at: 22)
        #expect(!contains(.payload(Fields.source6), network, frame))
    }

    @Test func interfaceNamesWithWildcards() {
        guard case .constant(let prefix) = text("wan") else { return }
        let names = anonymous(Types.name, [.prefix(prefix, length: 24), text("lan1")])
        let key = Expression.meta(.oifname, type: Types.name)
        #expect(contains(key, names, .udp()))
        #expect(!contains(.meta(.iifname, type: Types.name), names, .udp()))
    }

    @Test func concatenationsWithRanges() {
        let type = Datatype.concatenation([Types.ipv4, Types.port])
        func element(_ network: UInt128, _ length: Int, _ low: UInt128, _ high: UInt128) -> Expression {
            .concatenation([.prefix(Value(network, Types.ipv4), length: length), .range(Value(low, Types.port), Value(high, Types.port))])
        }
        let set = anonymous(type, [element(address(10, 0, 0, 0), 8, 50, 60), element(address(192, 168, 0, 0), 16, 1, 65535)])
        let key = Expression.concatenation([source, destinationPort])
        #expect(contains(key, set, .udp(1, 53)))
        #expect(!contains(key, set, .udp(1, 61)))
        #expect(contains(key, set, .udp(1, 61, from: 0xc0a8_0001)))
        #expect(!contains(key, set, .udp(1, 53, from: 0x0b00_0001)))
    }

    @Test func mapsAndTheirMiss() {
        let elements = [SetElement(key: value(53, Types.port), data: value(5, Types.mark)), SetElement(key: value(54, Types.port), data: value(6, Types.mark))]
        let map = AnonymousSet(keyType: Types.port, dataType: Types.mark, isInterval: false, elements: elements)
        let compiled = compile(ruleset([[.setMeta(.mark, .map(key: destinationPort, .anonymous(map), type: Types.mark)), .verdict(.drop)]]))
        var context = Frame.udp(1, 54).context()
        #expect(compiled.run(&context) == .drop)
        #expect(context.mark == 6)
        context = Frame.udp(1, 55).context()
        #expect(compiled.run(&context) == .accept)
        #expect(context.mark == 0)
    }

    @Test func catchAll() {
        var set = NamedSet(name: "s", handle: 5, keyType: Types.port, data: .value(Types.mark), flags: [], elements: [
            SetElement(key: value(53, Types.port), data: value(1, Types.mark)), SetElement(key: .catchAll, data: value(9, Types.mark)),
        ])
        set.flags = []
        let compiled = compile(ruleset([[.setMeta(.mark, .map(key: destinationPort, .named("s"), type: Types.mark))]], sets: [set]))
        for (number, mark) in [(53, 1), (54, 9)] as [(UInt16, UInt32)] {
            var context = Frame.udp(1, number).context()
            _ = compiled.run(&context)
            #expect(context.mark == mark)
        }
    }

    func dynamic(size: UInt32? = nil, timeout: UInt64? = nil, statements: [Statement] = []) -> NamedSet {
        var set = NamedSet(name: "d", handle: 5, keyType: Types.ipv4, data: nil, flags: timeout == nil ? [.dynamic] : [.dynamic, .timeout])
        set.size = size
        set.timeout = timeout
        set.statements = statements
        return set
    }

    func update(_ operation: SetOperation, timeout: UInt64? = nil, statements: [Statement] = []) -> Statement {
        .setUpdate(SetUpdate(operation: operation, set: "d", key: source, data: nil, timeout: timeout, statements: statements, isMeter: false))
    }

    @Test func fullDynamicSetBreaksTheRule() {
        let compiled = compile(ruleset([[update(.add), .verdict(.drop)]], sets: [dynamic(size: 2)]))
        #expect(compiled.run(.udp(from: 1)) == .drop)
        #expect(compiled.run(.udp(from: 2)) == .drop)
        #expect(compiled.run(.udp(from: 3)) == .accept)
        #expect(compiled.run(.udp(from: 1)) == .drop)
    }

    @Test func deletedElementsMakeRoomWhenTheCollectorHasRun() {
        let rules = [[match(destinationPort, .equal, value(1, Types.port)), update(.delete), .verdict(.accept)], [update(.add), .verdict(.drop)]]
        let compiled = compile(ruleset(rules, sets: [dynamic(size: 1)]))
        #expect(compiled.run(.udp(1, 2, from: 1)) == .drop)
        #expect(compiled.run(.udp(1, 2, from: 2)) == .accept)
        #expect(compiled.run(.udp(1, 1, from: 1)) == .accept)
        #expect(compiled.run(.udp(1, 2, from: 2)) == .accept)
        #expect(compiled.currentValue(now: 1_000_000_000).tables[0].set("d")?.elements.isEmpty == true)
        #expect(compiled.run(.udp(1, 2, from: 2), now: 2_000_000_000) == .drop)
    }

    @Test func theCollectorRunsAsOftenAsTheSetSays() {
        var set = dynamic(size: 1, timeout: 500)
        set.gcInterval = 10_000
        let compiled = compile(ruleset([[update(.add), .verdict(.drop)]], sets: [set]))
        #expect(compiled.run(.udp(from: 1), now: 2_000_000_000) == .drop)
        #expect(compiled.run(.udp(from: 2), now: 9_000_000_000) == .accept)
        #expect(compiled.run(.udp(from: 2), now: 10_000_000_000) == .drop)
    }

    @Test func timeoutsAndTheirRefresh() {
        let second: UInt64 = 1_000_000_000
        for (operation, alive) in [(SetOperation.add, false), (.update, true)] {
            let rules = [[match(destinationPort, .equal, value(1, Types.port)), update(operation)], [match(source, .equal, .set(.named("d"))), .verdict(.drop)]]
            let compiled = compile(ruleset(rules, sets: [dynamic(timeout: 10_000)]))
            #expect(compiled.run(.udp(1, 1), now: second) == .drop)
            #expect(compiled.run(.udp(1, 2), now: 10 * second) == .drop)
            #expect(compiled.run(.udp(1, 1), now: 10 * second) == .drop)
            #expect((compiled.run(.udp(1, 2), now: 12 * second) == .drop) == alive)
        }
    }

    @Test func expiredElementsCountUntilTheCollectorRuns() {
        let compiled = compile(ruleset([[update(.add), .verdict(.drop)]], sets: [dynamic(size: 1, timeout: 500)]))
        #expect(compiled.run(.udp(from: 1), now: 2_000_000_000) == .drop)
        #expect(compiled.run(.udp(from: 2), now: 2_600_000_000) == .accept)
        #expect(compiled.run(.udp(from: 2), now: 3_100_000_000) == .drop)
    }

    @Test func statefulElements() {
        let limit = Statement.limit(Limit(rate: 1, unit: 1, burst: 1, isBytes: false, isOver: false))
        let compiled = compile(ruleset([[update(.add, statements: [limit]), .verdict(.accept)]], policy: .drop, sets: [dynamic()]))
        let second: UInt64 = 1_000_000_000
        #expect(compiled.run(.udp(from: 1), now: second) == .accept)
        #expect(compiled.run(.udp(from: 1), now: second) == .policyDrop)
        #expect(compiled.run(.udp(from: 2), now: second) == .accept)
        #expect(compiled.run(.udp(from: 1), now: 2 * second) == .accept)
    }

    @Test func elementsAreListedWithTheirCounters() throws {
        let compiled = compile(ruleset([[update(.add)]], sets: [dynamic(timeout: 10_000, statements: [counter])]))
        for _ in 0 ..< 3 { _ = compiled.run(.udp(), now: 1_000_000_000) }
        let set = try #require(compiled.currentValue(now: 3_000_000_000).tables[0].set("d"))
        let element = try #require(set.elements.first)
        #expect(set.elements.count == 1)
        guard case .constant(let key) = element.key, case .counter(let packets, let bytes)? = element.statements.first else {
            Issue.record("\(element)")
            return
        }
        #expect(key.number == address(10, 0, 1, 2))
        #expect(packets == 3 && bytes == 3 * 32)
        #expect(element.expires == 8000)
    }

    @Test func rangesAgreeWithAPlainScan() {
        // Random rectangles, random points: the compiled set against the definition.
        var random = SystemRandomNumberGenerator()
        let type = Datatype.concatenation([Types.port, Types.port])
        let key = Expression.concatenation([.payload(Fields.sourcePort), destinationPort])
        for _ in 0 ..< 20 {
            let rectangles = (0 ..< 12).map { _ in
                let (a, b) = (UInt16.random(in: 0 ..< 60, using: &random), UInt16.random(in: 0 ..< 60, using: &random))
                return (a, a + UInt16.random(in: 0 ..< 9, using: &random), b, b + UInt16.random(in: 0 ..< 9, using: &random))
            }
            let set = anonymous(type, rectangles.map { rectangle in
                .concatenation([.range(Value(UInt128(rectangle.0), Types.port), Value(UInt128(rectangle.1), Types.port)),
                                .range(Value(UInt128(rectangle.2), Types.port), Value(UInt128(rectangle.3), Types.port))])
            })
            for _ in 0 ..< 50 {
                let (x, y) = (UInt16.random(in: 0 ..< 70, using: &random), UInt16.random(in: 0 ..< 70, using: &random))
                let expected = rectangles.contains { x >= $0.0 && x <= $0.1 && y >= $0.2 && y <= $0.3 }
                #expect(contains(key, set, .udp(x, y)) == expected, "\(x) \(y) \(rectangles)")
            }
        }
    }
}
