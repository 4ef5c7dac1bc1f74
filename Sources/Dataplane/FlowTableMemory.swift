// Memory for tables of the flow cache that are resized. Getting and giving back gigabytes takes long, so a thread of its own does
// it; the slow path goes on meanwhile.
//
// Invariant: the thread asks the EAL for memory only while `FlowTableMemories` is open; `close` waits for it.
import DPDK
import FlowCache
import Foundation
import Synchronization

/// One table's memory.
final class FlowTableMemory: Sendable {
    private let memory: HugeMemory
    init(byteCount: Int, node: Int32, wantsHugePages: Bool) { memory = HugeMemory(byteCount: byteCount, node: node, wantsHugePages: wantsHugePages) }
    var base: UnsafeMutableRawPointer { memory.base }
}

/// The tables' memory that was added while running.
public final class FlowTableMemories: Sendable {
    private struct State {
        var isOpen = true
        var tables: [FlowTableMemory] = []
    }
    private let state = Mutex(State())
    private let node: Int32
    private let wantsHugePages: Bool

    private let isSynchronous: Bool

    /// Memory of NUMA node `node`; -1: of any.
    /// - Parameter isSynchronous: everything is done by the calling thread, so that a test does the same each time.
    public init(node: Int32, wantsHugePages: Bool = true, isSynchronous: Bool = false) {
        self.node = node
        self.wantsHugePages = wantsHugePages
        self.isSynchronous = isSynchronous
    }

    /// Memory for `resize`; nil after `close`. May take long.
    func allocate(_ resize: FlowResize) -> UnsafeMutableRawPointer? {
        state.withLock { state -> FlowTableMemory? in
            guard state.isOpen else { return nil }
            let memory = FlowTableMemory(byteCount: resize.memoryBytes, node: node, wantsHugePages: wantsHugePages)
            state.tables.append(memory)
            return memory
        }?.base
    }

    /// The same by another thread, which calls `deliver` with it.
    func request(_ resize: FlowResize, deliver: @escaping @Sendable (FlowTableAddress) -> Void) {
        let work = { @Sendable in
            guard let base = self.allocate(resize) else { return }
            deliver(FlowTableAddress(base: base))
        }
        if isSynchronous { work() } else { Thread.detachNewThread(work) }
    }

    /// Gives memory back; by another thread if `isLater`.
    func release(_ base: UnsafeMutableRawPointer, isLater: Bool) {
        let address = FlowTableAddress(base: base)
        if isLater, !isSynchronous {
            Thread.detachNewThread { self.remove(address) }
        } else {
            remove(address)
        }
    }

    private func remove(_ address: FlowTableAddress) {
        state.withLock { state in state.tables.removeAll { $0.base == address.base } }
    }

    /// Gives everything back: nobody uses any table now. What is asked for later is not given.
    public func close() {
        state.withLock { state in
            state.isOpen = false
            state.tables = []
        }
    }
}

/// A table's memory on its way between threads.
struct FlowTableAddress: @unchecked Sendable {
    let base: UnsafeMutableRawPointer
}
