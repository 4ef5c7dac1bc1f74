// The VLANs and PPPoE sessions on the ports, as a worker knows them: whose frame one is, for its interface's counters, and the station at
// the other end of a session, since the flow cache's key has the session's number, not the station.
//
// Invariant: written before the worker runs, then constant; one row a configured interface, so packets change nothing here.
import FlowCache
import Routing
import Wire

struct TaggedInterfaces {
    private struct Row {
        /// Bit 63 for a session; the port in bits 32 to 47; below it tags and session as `PackedFlowKey.encapsulation` has them.
        var key: UInt64
        /// Of a session's station, as it lies in a frame's bytes 6 to 11.
        var peer: UInt64
        var interface: Int
    }
    private let rows: UnsafeMutablePointer<Row>
    private let count: Int
    private static var isSession: UInt64 { 1 << 63 }

    /// - Parameter interfaces: with their numbers; those without tag and session are left out.
    init(_ interfaces: [(number: PortIndex, interface: Interface)]) {
        var found: [Row] = []
        for (number, interface) in interfaces where interface.pppoeSession != 0 || interface.vlan.count > 0 {
            let stack = interface.vlan
            let outer = stack.count > 0 ? TaggedInterfaces.tag(stack.outerID, type: stack.outerType) : 0
            let inner = stack.count > 1 ? TaggedInterfaces.tag(stack.innerID, type: stack.innerType) : 0
            let second = interface.pppoeSession != 0 ? UInt64(interface.pppoeSession) : inner
            found.append(Row(
                key: UInt64(interface.lower) << 32 | second << 16 | outer | (interface.pppoeSession != 0 ? TaggedInterfaces.isSession : 0),
                peer: (interface.pppoePeer.rawValue << 16).bigEndian, interface: Int(number)))
        }
        found.sort { $0.key < $1.key }
        count = found.count
        rows = .allocate(capacity: max(1, count))
        for (place, row) in found.enumerated() { (rows + place).initialize(to: row) }
    }

    func deallocate() { rows.deallocate() }

    @inline(__always) var isEmpty: Bool { count == 0 }

    @inline(__always)
    private static func tag(_ id: UInt16, type: UInt16) -> UInt64 { UInt64(id & 0xfff | (type == EtherType.qinq ? FlowKey.serviceTag : 0)) }

    /// The row of a key, or -1.
    @inline(__always)
    private func find(_ key: UInt64) -> Int {
        var low = 0, high = count
        while low < high {
            let middle = (low &+ high) &>> 1
            if rows[middle].key < key { low = middle &+ 1 } else { high = middle }
        }
        return low < count && rows[low].key == key ? low : -1
    }

    @inline(__always)
    private static func station(_ frame: UnsafeMutableRawPointer) -> UInt64 {
        UInt64(frame.loadUnaligned(fromByteOffset: 6, as: UInt32.self)) | UInt64(frame.loadUnaligned(fromByteOffset: 10, as: UInt16.self)) &<< 32
    }

    /// Whether the frame comes from its session's station. A session that is not configured has none.
    @inline(__always)
    func holds(_ frame: UnsafeMutableRawPointer, port: PortIndex, encapsulation: UInt32) -> Bool {
        let row = find(UInt64(port) &<< 32 | UInt64(encapsulation) | TaggedInterfaces.isSession)
        return row >= 0 && rows[row].peer == TaggedInterfaces.station(frame)
    }

    /// The number of the interface that a frame of `port` arrives or leaves by; -1 if it is the port itself, or none. Its first `length`
    /// bytes, 14 at least, lie in one piece.
    /// - Parameter arrives: a session's frame must come from its station.
    @inline(never)
    func interface(_ frame: UnsafeMutableRawPointer, length: Int, port: PortIndex, arrives: Bool) -> Int {
        var key = UInt64(port) &<< 32
        var place = 12
        var etherType = frame.loadUnaligned(fromByteOffset: 12, as: UInt16.self).byteSwapped
        var tags = 0, shift: UInt64 = 0
        while etherType == EtherType.vlan || etherType == EtherType.qinq {
            guard tags < 2, length >= place &+ 6 else { return -1 }
            let id = frame.loadUnaligned(fromByteOffset: place &+ 2, as: UInt16.self).byteSwapped
            // A tag without an identifier gives a priority only (IEEE 802.1Q clause 6.9).
            if id & 0xfff != 0 {
                key |= TaggedInterfaces.tag(id, type: etherType) &<< shift
                shift &+= 16
            }
            tags &+= 1
            place &+= 4
            etherType = frame.loadUnaligned(fromByteOffset: place, as: UInt16.self).byteSwapped
        }
        if etherType == EtherType.pppoeSession, shift <= 16, length >= place &+ 6 {
            let session = frame.loadUnaligned(fromByteOffset: place &+ 4, as: UInt16.self).byteSwapped
            let inSession = find(key | UInt64(session) &<< 16 | TaggedInterfaces.isSession)
            if inSession >= 0, !arrives || rows[inSession].peer == TaggedInterfaces.station(frame) { return rows[inSession].interface }
        }
        // A session's frame that is nobody's here is its VLAN's all the same.
        let row = shift == 0 ? -1 : find(key)
        return row >= 0 ? rows[row].interface : -1
    }
}
