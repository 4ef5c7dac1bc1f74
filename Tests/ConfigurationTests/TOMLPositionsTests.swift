import Testing

@testable import Configuration

@Suite struct TOMLPositionsTests {
    @Test func findsKeysTablesAndElements() throws {
        let lines = try TOMLPositions.lines(of: """
            # a comment with "quotes" and [brackets]
            title = "a # b" # not a key = 1

            [eal]
            main-core = 0
            worker-cores = [ 1, # one
              2,
              3 ]
            a.b."c.d" = 1

            [[port]]
            name = 'r0'
            [[port]]
            name = "r1"
            options = { mtu = 9000, names = [
              "x" ] }
            text = \"\"\"
            [not-a-table]
            mtu = 1
            \"\"\"
            last = '''a
            b'''
            [port.inner]
            key = 2026-11-22T12:00:00Z
            """)
        let expected = [
            "": 1, "title": 2, "eal": 4, "eal.main-core": 5, "eal.worker-cores": 6, "eal.worker-cores[0]": 6, "eal.worker-cores[1]": 7, "eal.worker-cores[2]": 8,
            "eal.a": 9, "eal.a.b": 9, "eal.a.b.c\\.d": 9, "port": 11, "port[0]": 11, "port[0].name": 12, "port[1]": 13, "port[1].name": 14, "port[1].options": 15,
            "port[1].options.mtu": 15, "port[1].options.names": 15, "port[1].options.names[0]": 16, "port[1].text": 17, "port[1].last": 21,
            "port[1].inner": 23, "port[1].inner.key": 24,
        ]
        #expect(lines == expected)
    }

    @Test(arguments: ["a = \"\\\"\" # x", "a = \"\"\"\"quoted\"\"\"\"", "a = '''x'''''", "a = 1\r", "\ta\t=\t[ [ 1 ], [ ] ]"])
    func readsPastEveryString(_ first: String) throws {
        #expect(try TOMLPositions.lines(of: first + "\nb = 2")["b"] == 2)
    }

    /// Whatever the bytes, reading ends and says something; a trap would end the test.
    @Test func survivesDamage() {
        var state: UInt64 = 42
        func random(_ bound: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(state >> 33) % bound
        }
        let original = Array(Sample.full.utf8)
        let alphabet = Array("[]{}=.,\"'#\n\\ a0-_\u{7f}".utf8)
        for _ in 0..<1500 {
            var bytes = original
            for _ in 0..<1 + random(4) {
                switch random(3) {
                case 0: bytes[random(bytes.count)] = alphabet[random(alphabet.count)]
                case 1: bytes.remove(at: random(bytes.count))
                default: bytes.insert(alphabet[random(alphabet.count)], at: random(bytes.count))
                }
            }
            if random(10) == 0 { bytes.removeLast(random(bytes.count)) }
            let text = String(decoding: bytes, as: UTF8.self)
            for problem in problems(text) { #expect(problem.hasPrefix("test.toml:")) }
        }
    }
}
