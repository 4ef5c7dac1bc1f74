// The reference longest-prefix table: a binary trie, one level a bit. Simple enough to be right by inspection; other
// backends are tested against it, and small routers run on it.
//
// Overload: grows only at configuration time, up to `maximumNodes`; an insertion beyond that is refused with an error.
// Nothing is evicted. Packets cannot add nodes. A lookup costs at most 33 or 129 steps.
import Wire

public final class PrefixTrie: FIBBackend {
    public let family: AddressFamily

    private struct Node {
        var children: (UInt32, UInt32) = (0, 0)
        var value: UInt32 = 0
    }
    /// What the lookup function sees; lives at a fixed address.
    private struct Shared {
        var nodes: UnsafeMutablePointer<Node>
    }
    private let shared: UnsafeMutablePointer<Shared>
    private var capacity: Int
    /// Node 0 is the root; nodes on the free list are linked by their first child.
    private var used = 1
    private var freeList: UInt32 = 0
    private var freeCount = 0
    private let maximumNodes: Int

    public init(family: AddressFamily, maximumNodes: Int = 1 << 24) {
        self.family = family
        self.maximumNodes = maximumNodes
        capacity = max(1, min(1024, maximumNodes))
        shared = .allocate(capacity: 1)
        let nodes = UnsafeMutablePointer<Node>.allocate(capacity: capacity)
        nodes.initialize(repeating: Node(), count: capacity)
        shared.initialize(to: Shared(nodes: nodes))
    }

    deinit {
        shared.pointee.nodes.deallocate()
        shared.deallocate()
    }

    public var lookup: FIBLookup {
        if family == .ipv4 {
            return FIBLookup(context: shared) { context, destinations, values, count in
                let nodes = context.assumingMemoryBound(to: Shared.self).pointee.nodes
                for index in 0..<Int(count) {
                    let destination = destinations.load(fromByteOffset: index * 4, as: UInt32.self)
                    values[index] = PrefixTrie.walk(nodes, high: UInt64(destination) << 32, low: 0, bits: 32)
                }
            }
        }
        return FIBLookup(context: shared) { context, destinations, values, count in
            let nodes = context.assumingMemoryBound(to: Shared.self).pointee.nodes
            for index in 0..<Int(count) {
                let high = UInt64(bigEndian: destinations.loadUnaligned(fromByteOffset: index * 16, as: UInt64.self))
                let low = UInt64(bigEndian: destinations.loadUnaligned(fromByteOffset: index * 16 + 8, as: UInt64.self))
                values[index] = PrefixTrie.walk(nodes, high: high, low: low, bits: 128)
            }
        }
    }

    /// The value of the longest prefix; the address is left-aligned in `high` and `low`.
    private static func walk(_ nodes: UnsafeMutablePointer<Node>, high: UInt64, low: UInt64, bits: Int) -> UInt64 {
        var best = nodes[0].value
        var node: UInt32 = 0
        var word = high
        for depth in 0..<bits {
            if depth == 64 { word = low }
            node = word >> 63 == 0 ? nodes[Int(node)].children.0 : nodes[Int(node)].children.1
            if node == 0 { break }
            word <<= 1
            let value = nodes[Int(node)].value
            if value != 0 { best = value }
        }
        return UInt64(best)
    }

    private static func bit(_ address: IPAddress, _ depth: Int) -> Bool {
        if address.family == .ipv4 { return address.ipv4 >> UInt32(31 - depth) & 1 == 1 }
        return depth < 64 ? address.high >> UInt64(63 - depth) & 1 == 1 : address.low >> UInt64(127 - depth) & 1 == 1
    }

    public func insert(_ prefix: IPPrefix, value: UInt32) throws(RoutingError) {
        precondition(prefix.address.family == family)
        // Enough for the whole path before the first change, so that a refusal changes nothing.
        guard reserve(Int(prefix.length)) else {
            throw RoutingError("the route table is full: \(prefix) needs more than \(maximumNodes) nodes")
        }
        var node = 0
        for depth in 0..<Int(prefix.length) {
            let right = PrefixTrie.bit(prefix.address, depth)
            let next = right ? shared.pointee.nodes[node].children.1 : shared.pointee.nodes[node].children.0
            if next != 0 {
                node = Int(next)
                continue
            }
            let new = allocate()
            if right { shared.pointee.nodes[node].children.1 = new } else { shared.pointee.nodes[node].children.0 = new }
            node = Int(new)
        }
        shared.pointee.nodes[node].value = value
    }

    public func remove(_ prefix: IPPrefix) {
        precondition(prefix.address.family == family)
        var path: [(node: Int, right: Bool)] = []
        var node = 0
        for depth in 0..<Int(prefix.length) {
            let right = PrefixTrie.bit(prefix.address, depth)
            let next = right ? shared.pointee.nodes[node].children.1 : shared.pointee.nodes[node].children.0
            if next == 0 { return }
            path.append((node, right))
            node = Int(next)
        }
        shared.pointee.nodes[node].value = 0
        while let parent = path.popLast() {
            let current = shared.pointee.nodes[node]
            guard current.value == 0, current.children == (0, 0) else { break }
            if parent.right { shared.pointee.nodes[parent.node].children.1 = 0 } else { shared.pointee.nodes[parent.node].children.0 = 0 }
            shared.pointee.nodes[node].children.0 = freeList
            freeList = UInt32(node)
            freeCount += 1
            node = parent.node
        }
    }

    private func reserve(_ count: Int) -> Bool {
        let needed = used + max(0, count - freeCount)
        if needed <= capacity { return true }
        guard needed <= maximumNodes else { return false }
        let newCapacity = min(maximumNodes, max(capacity * 2, needed))
        let grown = UnsafeMutablePointer<Node>.allocate(capacity: newCapacity)
        grown.moveInitialize(from: shared.pointee.nodes, count: capacity)
        (grown + capacity).initialize(repeating: Node(), count: newCapacity - capacity)
        shared.pointee.nodes.deallocate()
        shared.pointee.nodes = grown
        capacity = newCapacity
        return true
    }

    private func allocate() -> UInt32 {
        if freeList != 0 {
            let node = freeList
            freeList = shared.pointee.nodes[Int(node)].children.0
            freeCount -= 1
            shared.pointee.nodes[Int(node)] = Node()
            return node
        }
        used += 1
        return UInt32(used - 1)
    }
}
