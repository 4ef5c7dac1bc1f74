// Which interface a PPPoE frame belongs to: by the interface below and the session, if it comes from that session's station.
//
// Invariant: a session's number is there once for each interface below. RFC 2516 section 5.4 would allow it once for each station; the
// flow cache knows a frame by its number alone.
// Overload: one row a configured session; packets change nothing here.
import Wire

struct PPPoETable: ~Copyable {
    private struct Row {
        var key: UInt32
        var peer: EthernetAddress
        var interface: PortIndex
    }
    private var rows: [Row] = []

    init() {}

    /// False if the number is taken.
    mutating func insert(below: PortIndex, session: UInt16, peer: EthernetAddress, interface: PortIndex) -> Bool {
        let key = PPPoETable.key(below, session)
        let index = place(of: key)
        guard index == rows.count || rows[index].key != key else { return false }
        rows.insert(Row(key: key, peer: peer, interface: interface), at: index)
        return true
    }

    func find(below: PortIndex, session: UInt16, peer: EthernetAddress) -> PortIndex? {
        let key = PPPoETable.key(below, session)
        let index = place(of: key)
        return index < rows.count && rows[index].key == key && rows[index].peer == peer ? rows[index].interface : nil
    }

    /// Index of the first row not before the key.
    private func place(of key: UInt32) -> Int {
        var low = 0, high = rows.count
        while low < high {
            let middle = (low + high) / 2
            if rows[middle].key < key { low = middle + 1 } else { high = middle }
        }
        return low
    }

    private static func key(_ below: PortIndex, _ session: UInt16) -> UInt32 { UInt32(below) << 16 | UInt32(session) }
}
