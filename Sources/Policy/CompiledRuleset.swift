// A checked ruleset turned into a flat program with its state: counters, limits, sets.
//
// Invariant: owns all memory that `program` points to. Building may allocate and take as long as it needs, evaluating
// never allocates. A new ruleset is compiled aside, with the state of the old one carried over, then swapped in.
import Wire

public final class CompiledRuleset {
    public let program: Program
    public let interfaces: [Interface]
    /// What the ruleset says that a forwarder cannot do; one line each, `FILE:LINE: text`.
    public private(set) var warnings: [String] = []
    private let instructions: UnsafeMutablePointer<Instruction>
    private let chains: UnsafeMutablePointer<BaseChain>
    private let directory: UnsafeMutablePointer<(start: UInt32, count: UInt32)>

    /// A ruleset without tables: every hook accepts.
    public init(interfaces: [Interface]) {
        self.interfaces = interfaces
        instructions = .allocate(capacity: 1)
        chains = .allocate(capacity: 1)
        let size = Hook.allCases.count * PacketFamily.allCases.count
        directory = .allocate(capacity: size)
        directory.initialize(repeating: (0, 0), count: size)
        program = Program(instructions: instructions, chains: chains, directory: directory, services: 0)
    }

    deinit {
        instructions.deallocate()
        chains.deallocate()
        directory.deallocate()
    }

    /// Adds packets and bytes to a counter that a walk passed (`WalkRecord.counter`), for packets that skipped the rules.
    public func credit(counter: UInt32, packets: UInt64, bytes: UInt64) {}

    /// `FILE:LINE: rule text`, for messages and `show flows`.
    public func ruleDescription(_ rule: UInt32) -> String { "" }

    /// `family table chain` of a base chain.
    public func chainName(_ chainID: UInt32) -> String { "" }
}
