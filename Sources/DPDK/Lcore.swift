// Execution units of DPDK: threads that the EAL made and pinned.
//
// Invariant: only C function pointers with a context pointer run there, so no closure, actor or reference is involved;
// the context outlives the run.
import CDPDK
import Glibc

/// An EAL thread by its number (not the number of a CPU: several may share one).
public struct Lcore: Hashable, Sendable {
    public var id: UInt32
    public init(id: UInt32) { self.id = id }

    /// The caller's own; nil on a thread that the EAL does not know.
    public static var current: Lcore? {
        let id = rte_lcore_id()
        return id == UInt32.max ? nil : Lcore(id: id)
    }
    public static var main: Lcore { Lcore(id: rte_get_main_lcore()) }

    /// Starts `body(context)` there and returns at once.
    /// - Throws: `DPDKError` (.state) if the lcore is unknown, is the caller's own, or still runs something.
    public func launch(_ body: @escaping @convention(c) (UnsafeMutableRawPointer?) -> Int32, context: UnsafeMutableRawPointer?) throws {
        guard rte_lcore_is_enabled(id) != 0, id != rte_get_main_lcore() else {
            throw DPDKError(.state, "lcore \(id) is not a worker of this process")
        }
        let error = nt_lcore_launch(id, body, context)
        guard error == 0 else { throw DPDKError(.state, "lcore \(id) cannot start: \(errnoText(error))", advice: "wait for what runs there") }
    }

    /// Waits until what runs there returns; its result, 0 if nothing ran. It sleeps meanwhile: the caller's CPU, its cache and its memory
    /// channel are somebody else's.
    @discardableResult public func wait() -> Int32 {
        while isRunning { usleep(1000) }
        return rte_eal_wait_lcore(id)
    }
    public var isRunning: Bool { rte_eal_get_lcore_state(id) == RUNNING }
}

/// The processor's time stamp counter, and the hint of a spinning loop.
public enum Clock {
    /// Ticks per second; 0 before the EAL started.
    public static var ticksPerSecond: UInt64 { rte_get_tsc_hz() }
    @inlinable @inline(__always) public static var ticks: UInt64 { rte_rdtsc() }
    /// CLOCK_MONOTONIC in nanoseconds: a vDSO call, 23 ns. Once a burst, never once a packet.
    @inlinable public static var nanoseconds: UInt64 { nt_monotonic_nanoseconds() }
    /// Tells the core that it spins.
    @inlinable @inline(__always) public static func pause() { rte_pause() }
    /// Gives the CPU to whoever else is mapped to it: for idle loops where lcores share a CPU.
    @inlinable public static func yield() { sched_yield() }
    /// Sleeps: for loops of the control plane that have nothing to do.
    public static func rest(microseconds: UInt32) { usleep(microseconds) }
}
