// A small random generator with what the fuzzer draws: the same seed gives the same inputs on every machine.

struct Randomness {
    private var state: UInt64

    init(seed: UInt64, number: UInt64) {
        state = seed &* 0x9e37_79b9_7f4a_7c15 ^ number &* 0xd1b5_4a32_d192_ed03
        for _ in 0 ..< 4 { _ = word() }
    }

    mutating func word() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ mixed >> 30) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ mixed >> 27) &* 0x94d0_49bb_1331_11eb
        return mixed ^ mixed >> 31
    }

    /// 0 ..< count; 0 for an empty range.
    mutating func below(_ count: Int) -> Int { count <= 1 ? 0 : Int(word() % UInt64(count)) }
    mutating func chance(_ percent: Int) -> Bool { below(100) < percent }
    mutating func pick<Element>(_ list: [Element]) -> Element { list[below(list.count)] }
}
