// What happens to a flow cache while it works, at random and often: frames reach another worker, tables grow from next to nothing, entries
// are swept, everything is invalidated. None of it may show.
//
// Invariant: frames and time alone decide, so that a case that showed a difference shows it again.
import FlowCache
import SlowPath
import Wire

struct Upkeep {
    /// Tables begin with room for next to nothing.
    let resizes: Bool
    /// One frame in so many reaches the other worker; 0: none does.
    private let spread: UInt64
    private let invalidates: Bool
    private var state: UInt64
    /// The worker that gets the frame.
    private(set) var worker = 0

    init(seed: UInt64) {
        state = seed &* 0x9e37_79b9_7f4a_7c15
        resizes = state >> 60 & 1 == 1
        spread = [0, 0, 12, 3][Int(state >> 56 & 3)]
        invalidates = state >> 52 & 3 == 3
    }

    private mutating func random(_ bound: UInt64) -> UInt64 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return (state >> 33) % bound
    }

    /// Another frame comes.
    mutating func next() { worker = spread != 0 && random(spread) == 0 ? 1 : 0 }

    mutating func run(_ path: inout SlowPath, now: Timestamp) {
        if invalidates, random(10) == 0 { path.invalidateFlows() }
        if random(4) == 0 { path.sweepFlows(budget: 40, now: now) }
        if resizes {
            if let wanted = path.flows.pointee.wantedResize(), wanted.isGrowth || random(8) == 0 {
                let memory = UnsafeMutableRawPointer.allocate(byteCount: wanted.memoryBytes, alignment: 128)
                memory.initializeMemory(as: UInt8.self, repeating: 0, count: wanted.memoryBytes)
                if !path.flows.pointee.beginResize(wanted, memory: memory) { memory.deallocate() }
            }
            if case .finished(let released?) = path.advanceFlowResize(budget: 30, now: now) { released.deallocate() }
        }
        if random(3) == 0, path.beginGracePeriod() { path.endGracePeriod(now: now) }
    }
}
