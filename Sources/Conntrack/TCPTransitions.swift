// Linux's table of TCP transitions: by direction, by what the segment is, by the connection's state.
//
// Invariant: the judge of each cell is the sender's side of the story as a middle box can know it; see the state
// diagram of RFC 9293 section 3.3.2.
import Wire

/// What a segment does to the state.
enum TCPTransition: Equatable {
    case to(TCPState)
    /// Let pass without believing it: either end may know better and will answer.
    case ignore
    case invalid

    /// One letter a cell: S SYN_SENT, R SYN_RECV, E ESTABLISHED, F FIN_WAIT, C CLOSE_WAIT, L LAST_ACK, T TIME_WAIT,
    /// O CLOSE, 2 SYN_SENT2, i ignore, - invalid. Columns: none, SYN_SENT, SYN_RECV, ESTABLISHED, FIN_WAIT,
    /// CLOSE_WAIT, LAST_ACK, TIME_WAIT, CLOSE, SYN_SENT2. Rows: SYN, SYN/ACK, FIN, ACK, RST, none of them.
    private static let original: StaticString = "SSiiiiiSS2--R------R--FFLLLTO-E-EECCTTO--OOOOOOOOO----------"
    private static let reply: StaticString = "-2-----S-2-RiiiiiiiR--FFLLLTO--iRECCTTOi-OOOOOOOOO----------"

    static func next(_ direction: ConnectionDirection, _ kind: TCPSegment.Kind, _ state: TCPState) -> TCPTransition {
        let table = direction == .original ? original : reply
        switch table.utf8Start[Int(kind.rawValue) * 10 + Int(state.rawValue)] {
        case UInt8(ascii: "S"): return .to(.synSent)
        case UInt8(ascii: "R"): return .to(.synReceived)
        case UInt8(ascii: "E"): return .to(.established)
        case UInt8(ascii: "F"): return .to(.finWait)
        case UInt8(ascii: "C"): return .to(.closeWait)
        case UInt8(ascii: "L"): return .to(.lastAck)
        case UInt8(ascii: "T"): return .to(.timeWait)
        case UInt8(ascii: "O"): return .to(.close)
        case UInt8(ascii: "2"): return .to(.synSent2)
        case UInt8(ascii: "i"): return .ignore
        default: return .invalid
        }
    }
}
