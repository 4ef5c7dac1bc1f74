// The instruction set of compiled rulesets.
//
// A register is a place in a 256-byte file; a value occupies as many bytes as its type has, in network byte order,
// whatever it is (addresses, marks, interface indices, names padded with zeros), so that one comparison, one range check
// and one set lookup over bytes serve all types.
//
// Invariant: every instruction that can fail carries the place where the next rule begins; a compiled program's last
// instruction of each chain is `endOfChain`, so the evaluator needs no bounds check on its program counter.

enum Opcode: UInt8 {
    // Values: a = destination register, length = bytes.
    case immediate, payload, meta, conntrack, route, fib, extensionHeader, tcpOption, ipOption, sctpChunk, dccpOption
    case numgen, jenkinsHash, symmetricHash, tunnel
    // Transformations of register a in place (or from b).
    case copyRegister, bitAnd, bitOr, bitXor, shiftLeft, shiftRight, swapBytes, registerAnd, registerOr, registerXor
    // Matches: break the rule unless they hold.
    case compareEqual, compareNotEqual, compareLess, compareGreater, compareLessEqual, compareGreaterEqual
    case range, notRange
    // One load, mask and comparison of a payload field of up to 8 bytes.
    case fieldEqual, fieldNotEqual
    case never
    // Sets and maps.
    case setContains, setLacks, mapLookup, verdictMap, dynamicSet, objectMap
    // Verdicts.
    case classify, nextCandidate
    case accept, drop, jump, goTo, returnToCaller, resume, endOfChain
    // Stateful statements.
    case counter, limit, quota, connectionLimit, last
    // Effects.
    case log, reject, nat, notrack, setMeta, setConntrack, setPayload, setTCPOption, resetTCPOption
    case duplicate, forward, queue, tproxy, synproxy, flowAdd, conntrackObject
}

/// 32 bytes, two to a cache line.
struct Instruction {
    var op: Opcode
    var a: UInt8 = 0
    var b: UInt8 = 0
    var length: UInt8 = 0
    /// Where the next rule begins.
    var next: UInt32 = 0
    var rule: UInt32 = 0
    var x: UInt32 = 0
    var value: UInt64 = 0
    var second: UInt64 = 0
    init(_ op: Opcode) { self.op = op }
}
