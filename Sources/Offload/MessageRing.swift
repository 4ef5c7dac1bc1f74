// A bounded ring of fixed-size messages for one producer and one consumer.
//
// Invariant: `head` is written by the producer alone, `tail` by the consumer alone. The element is written before the
// producer's release store of `head`, which pairs with the consumer's acquire load; the consumer's release store of
// `tail` pairs with the producer's acquire load, so a cell is rewritten only after it was read. Full: the message is
// not taken and the producer is told. Nobody waits, so the ring cannot be made to block a packet path.
import Synchronization

/// A handle on the ring; copies mean the same ring. `deallocate` ends it for all.
public struct MessageRing<Element: BitwiseCopyable>: @unchecked Sendable {
    private let cells: UnsafeMutablePointer<Element>
    private let mask: Int
    /// `head` and `tail` 128 bytes apart: the adjacent-line prefetcher would make them one otherwise.
    private let indices: UnsafeMutableRawPointer

    /// - Parameter capacity: messages, rounded up to a power of two.
    public init(capacity: Int) {
        var size = 2
        while size < capacity { size *= 2 }
        mask = size - 1
        cells = .allocate(capacity: size)
        indices = .allocate(byteCount: 256, alignment: 128)
        indices.bindMemory(to: Atomic<Int>.self, capacity: 1).initialize(to: Atomic(0))
        (indices + 128).bindMemory(to: Atomic<Int>.self, capacity: 1).initialize(to: Atomic(0))
    }

    public func deallocate() {
        cells.deallocate()
        indices.deallocate()
    }

    private var head: UnsafeMutablePointer<Atomic<Int>> { indices.assumingMemoryBound(to: Atomic<Int>.self) }
    private var tail: UnsafeMutablePointer<Atomic<Int>> { (indices + 128).assumingMemoryBound(to: Atomic<Int>.self) }

    /// Producer: appends a message; false if the ring is full.
    public func push(_ message: Element) -> Bool {
        let at = head.pointee.load(ordering: .relaxed)
        // Pairs with the consumer's release store in `pop`.
        guard at &- tail.pointee.load(ordering: .acquiring) <= mask else { return false }
        (cells + (at & mask)).initialize(to: message)
        // Pairs with the consumer's acquire load in `pop`.
        head.pointee.store(at &+ 1, ordering: .releasing)
        return true
    }

    /// Consumer: takes the oldest message; nil if there is none.
    public func pop() -> Element? {
        let at = tail.pointee.load(ordering: .relaxed)
        // Pairs with the producer's release store in `push`.
        guard head.pointee.load(ordering: .acquiring) != at else { return nil }
        let message = (cells + (at & mask)).pointee
        // Pairs with the producer's acquire load in `push`.
        tail.pointee.store(at &+ 1, ordering: .releasing)
        return message
    }

    /// Messages waiting; exact for producer and consumer when the other stands still.
    public var count: Int {
        head.pointee.load(ordering: .relaxed) &- tail.pointee.load(ordering: .relaxed)
    }
}
