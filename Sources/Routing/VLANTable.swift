// Which interface a tagged frame belongs to.
//
// Invariant: written at configuration time by the owner only, sorted; the packet path searches plain memory by halving.
// Overload: one row a configured VLAN; packets change nothing here.
import Wire

/// The tags of a VLAN interface's frames, outermost first.
@frozen public struct VLANStack: Hashable, Sendable {
    /// 0 for an untagged interface, 1, or 2.
    public var count: UInt8 = 0
    public var outerID: UInt16 = 0
    public var innerID: UInt16 = 0
    /// EtherTypes of the tags: 0x8100 or 0x88a8.
    public var outerType: UInt16 = 0
    public var innerType: UInt16 = 0

    @inlinable public init() {}

    /// Adds a tag inside those that are there.
    @inlinable public mutating func push(id: UInt16, type: UInt16) {
        if count == 0 { (outerID, outerType) = (id, type) } else { (innerID, innerType) = (id, type) }
        count = min(count &+ 1, 2)
    }

    /// The tags as they lie in a frame behind the MAC addresses, priority 0: 4 bytes each, the rest 0.
    @inlinable public var bytes: UInt64 {
        let outer = UInt64(outerType) << 48 | UInt64(outerID) << 32
        return (count == 0 ? 0 : count == 1 ? outer : outer | UInt64(innerType) << 16 | UInt64(innerID)).bigEndian
    }
}

struct VLANTable: ~Copyable {
    private struct Row {
        var port: PortIndex
        var stack: VLANStack
        var interface: PortIndex
    }
    private var rows: [Row] = []

    init() {}

    mutating func insert(port: PortIndex, stack: VLANStack, interface: PortIndex) {
        let key = VLANTable.order(port, stack)
        rows.insert(Row(port: port, stack: stack, interface: interface), at: place(of: key))
    }

    /// The interface of frames with these tags on the port; nil if none is configured.
    func find(port: PortIndex, stack: VLANStack) -> PortIndex? {
        let index = place(of: VLANTable.order(port, stack))
        guard index < rows.count, rows[index].port == port, rows[index].stack == stack else { return nil }
        return rows[index].interface
    }

    /// Index of the first row not before the key.
    private func place(of key: UInt128) -> Int {
        var low = 0, high = rows.count
        while low < high {
            let middle = (low + high) / 2
            if VLANTable.order(rows[middle].port, rows[middle].stack) < key { low = middle + 1 } else { high = middle }
        }
        return low
    }

    private static func order(_ port: PortIndex, _ stack: VLANStack) -> UInt128 {
        let tags = UInt64(stack.outerType) << 48 | UInt64(stack.outerID) << 32 | UInt64(stack.innerType) << 16 | UInt64(stack.innerID)
        return UInt128(port) << 72 | UInt128(stack.count) << 64 | UInt128(tags)
    }
}
