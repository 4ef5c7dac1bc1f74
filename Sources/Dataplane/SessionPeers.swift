// The station at the other end of each PPPoE session: the flow cache's key has the session's number, not the station.
//
// Invariant: written before the worker runs, then constant; one row a configured session, so packets change nothing here.
import Routing
import Wire

struct SessionPeers {
    private struct Row {
        /// Ingress port in bits 32 to 47, below it the tag and the session as `PackedFlowKey.encapsulation` has them.
        var key: UInt64
        /// As it lies in a frame's bytes 6 to 11.
        var peer: UInt64
    }
    private let rows: UnsafeMutablePointer<Row>
    private let count: Int

    init(_ interfaces: [Interface]) {
        var found: [Row] = []
        for interface in interfaces where interface.pppoeSession != 0 {
            let tag = UInt32(truncatingIfNeeded: interface.vlan.bytes.bigEndian >> 32)
            let outer = interface.vlan.count == 0 ? 0 : tag & 0xfff | (tag >> 16 == UInt32(EtherType.qinq) ? 0x8000 : 0)
            found.append(Row(
                key: UInt64(interface.lower) << 32 | UInt64(interface.pppoeSession) << 16 | UInt64(outer),
                peer: (interface.pppoePeer.rawValue << 16).bigEndian))
        }
        found.sort { $0.key < $1.key }
        count = found.count
        rows = .allocate(capacity: max(1, count))
        for (place, row) in found.enumerated() { (rows + place).initialize(to: row) }
    }

    func deallocate() { rows.deallocate() }

    /// Whether the frame comes from the session's station. A session that is not configured has none.
    @inline(__always)
    func holds(_ frame: UnsafeMutableRawPointer, port: PortIndex, encapsulation: UInt32) -> Bool {
        let key = UInt64(port) &<< 32 | UInt64(encapsulation)
        var low = 0, high = count
        while low < high {
            let middle = (low &+ high) &>> 1
            if rows[middle].key < key { low = middle &+ 1 } else { high = middle }
        }
        guard low < count, rows[low].key == key else { return false }
        let source = UInt64(frame.loadUnaligned(fromByteOffset: 6, as: UInt32.self))
            | UInt64(frame.loadUnaligned(fromByteOffset: 10, as: UInt16.self)) &<< 32
        return source == rows[low].peer
    }
}
