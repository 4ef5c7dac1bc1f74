// When may what was unpublished be reused? After every worker has passed a point at which it holds no pointer into
// shared tables: quiescent-state-based reclamation (rte_rcu_qsbr).
//
// Invariant: a reader is registered before it reads, reports `quiescent` only between bursts, and is offline (or
// unregistered) while it sleeps or does anything long. The writer unpublishes, calls `start`, and reuses the memory once
// `hasPassed` says so. A reader that never reports stalls reclamation, never safety.
import CDPDK

public struct QuiescentState: ~Copyable, @unchecked Sendable {
    public let handle: Handle
    public let readers: Int
    private let memory: HugeMemory

    /// For readers 0 ..< `readers` (at most 1024).
    public init(readers: Int) {
        precondition(readers > 0 && readers <= 1024, "1 to 1024 readers")
        self.readers = readers
        memory = HugeMemory(byteCount: nt_rcu_bytes(UInt32(readers)))
        handle = Handle(raw: OpaquePointer(memory.base))
        precondition(nt_rcu_init(handle.raw, UInt32(readers)) == 0, "rte_rcu_qsbr_init refused a checked count")
    }

    /// What readers and the writer hold. The state outlives it.
    @frozen public struct Handle: @unchecked Sendable {
        public let raw: OpaquePointer
        @inlinable public init(raw: OpaquePointer) { self.raw = raw }

        /// Reader: from now on the writer waits for this reader whenever it is online. Its number is below `readers`.
        @inlinable public func register(reader: Int) {
            let refused = nt_rcu_register(raw, UInt32(truncatingIfNeeded: reader))
            precondition(refused == 0, "reader number out of range")
            nt_rcu_online(raw, UInt32(truncatingIfNeeded: reader))
        }
        /// Reader: it reads no more.
        @inlinable public func unregister(reader: Int) {
            nt_rcu_offline(raw, UInt32(truncatingIfNeeded: reader))
            _ = nt_rcu_unregister(raw, UInt32(truncatingIfNeeded: reader))
        }
        /// Reader: it holds no pointer into shared tables now. Some nanoseconds; every burst or every few.
        @inlinable @inline(__always) public func quiescent(reader: Int) { nt_rcu_quiescent(raw, UInt32(truncatingIfNeeded: reader)) }
        /// Reader: going to sleep, and back.
        @inlinable public func offline(reader: Int) { nt_rcu_offline(raw, UInt32(truncatingIfNeeded: reader)) }
        @inlinable public func online(reader: Int) { nt_rcu_online(raw, UInt32(truncatingIfNeeded: reader)) }

        /// Writer: begins a grace period after something was unpublished; the token to ask for.
        @inlinable @inline(__always) public func start() -> UInt64 { nt_rcu_start(raw) }
        /// Writer: whether every online reader has been quiescent since `start` returned the token. Never waits.
        @inlinable @inline(__always) public func hasPassed(_ token: UInt64) -> Bool { nt_rcu_check(raw, token, false) == 1 }
        /// Writer: spins until then. Control path only; the calling thread must not be an online reader.
        public func wait(for token: UInt64) { _ = nt_rcu_check(raw, token, true) }
    }
}
