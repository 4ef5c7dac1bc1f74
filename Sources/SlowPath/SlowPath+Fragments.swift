// Provisional until the reassembler lands.
import Wire
public struct Reassembler: ~Copyable { public init() {} }
extension SlowPath {
    mutating func defragment(_ transit: inout Transit) -> Disposition? { nil }
    mutating func fragment(_ transit: inout Transit, limit: Int) -> Disposition { .dropped(.packetTooBig) }
    mutating func expireFragments(now: Timestamp) {}
}
