// What a connection with a helper needs beyond its record: where lines begin, and how far NAT has shifted the stream.
//
// Invariant: a bounded pool beside the connections, so that a million ordinary ones do not pay for it; a connection whose
// helper finds it full goes on without one, and is counted.
import Wire

/// Readers of control connections (`ct helper`). Raw values are stable; 0 is "none".
@frozen public enum ConnectionHelper: UInt16, CaseIterable, Sendable {
    case ftp = 1
    case tftp = 2
    case sip = 3
    case pptp = 4

    /// The type's name in `ct helper` objects.
    public var name: String {
        switch self {
        case .ftp: "ftp"
        case .tftp: "tftp"
        case .sip: "sip"
        case .pptp: "pptp"
        }
    }
    public init?(name: String) {
        guard let helper = ConnectionHelper.allCases.first(where: { $0.name == name }) else { return nil }
        self = helper
    }
    /// Whether the helper reads connections of this protocol and family; nil for either family.
    public func reads(_ transportProtocol: UInt8, _ family: AddressFamily?) -> Bool {
        switch self {
        case .ftp: transportProtocol == IPProtocol.tcp
        case .tftp: transportProtocol == IPProtocol.udp
        case .sip: transportProtocol == IPProtocol.udp || transportProtocol == IPProtocol.tcp
        case .pptp: transportProtocol == IPProtocol.tcp && family != .ipv6
        }
    }
}

extension Connection {
    /// The name of the helper that expected the connection, its first byte highest, zero padded; 0 for none. `ct helper` compares
    /// that, not the connection's own helper (nft_ct_get_eval).
    public var masterHelperName: UInt64 {
        switch ConnectionHelper(rawValue: masterHelper) {
        case .ftp: 0x6674_7000_0000_0000
        case .tftp: 0x7466_7470_0000_0000
        case .sip: 0x7369_7000_0000_0000
        case .pptp: 0x7070_7470_0000_0000
        case nil: 0
        }
    }
}

/// Shift of one direction's sequence numbers (`struct nf_ct_seqadj`).
struct SequenceShift {
    /// Up to here `before` holds, behind it `after`.
    var position: UInt32 = 0
    var before: Int32 = 0
    var after: Int32 = 0

    func offset(at sequence: UInt32) -> UInt32 { UInt32(bitPattern: TCPWindow.isAfter(sequence, position) ? after : before) }

    /// The payload at `sequence` grew by `change` bytes.
    mutating func grow(by change: Int32, at sequence: UInt32) {
        guard change != 0, before == after || TCPWindow.isBefore(position, sequence) else { return }
        position = sequence
        before = after
        after &+= change
    }
}

struct HelperState {
    var original = SequenceShift()
    var reply = SequenceShift()
    /// Sequence numbers at which a line begins, two remembered a direction.
    var originalLines: (UInt32, UInt32) = (0, 0)
    var replyLines: (UInt32, UInt32) = (0, 0)
    var originalLineCount: UInt8 = 0
    var replyLineCount: UInt8 = 0
    var call = PPTPCall()
    var sip = SIPDialogue()
    var synproxy = SynproxyState()
    var next = Connection.none

    static let synproxyOffset = MemoryLayout<HelperState>.offset(of: \HelperState.synproxy) ?? 0

    func begins(_ direction: ConnectionDirection, _ sequence: UInt32) -> Bool {
        let lines = direction == .original ? originalLines : replyLines
        let count = direction == .original ? originalLineCount : replyLineCount
        return (count > 0 && lines.0 == sequence) || (count > 1 && lines.1 == sequence)
    }

    /// Notes that a line begins at `sequence`, in place of the oldest if that is older.
    mutating func noteLine(_ direction: ConnectionDirection, _ sequence: UInt32) {
        guard !begins(direction, sequence) else { return }
        var lines = direction == .original ? originalLines : replyLines
        var count = direction == .original ? originalLineCount : replyLineCount
        if count == 0 {
            lines.0 = sequence
            count = 1
        } else if count == 1 {
            lines.1 = sequence
            count = 2
        } else if TCPWindow.isBefore(lines.0, lines.1) {
            if TCPWindow.isAfter(sequence, lines.0) { lines.0 = sequence }
        } else if TCPWindow.isAfter(sequence, lines.1) {
            lines.1 = sequence
        }
        if direction == .original {
            originalLines = lines
            originalLineCount = count
        } else {
            replyLines = lines
            replyLineCount = count
        }
    }

    func shift(_ direction: ConnectionDirection) -> SequenceShift { direction == .original ? original : reply }
}

/// Fixed pool of helper states; the memory is reserved, not touched.
struct HelperPool: ~Copyable {
    static var capacity: Int { 65_536 }
    let states: UnsafeMutablePointer<HelperState>
    private var freeHead = Connection.none
    private var touched = 0

    init() { states = .allocate(capacity: HelperPool.capacity) }
    deinit { states.deallocate() }

    mutating func allocate() -> UInt32? {
        let index: UInt32
        if freeHead != Connection.none {
            index = freeHead
            freeHead = states[Int(index)].next
        } else if touched < HelperPool.capacity {
            index = UInt32(touched)
            touched += 1
        } else {
            return nil
        }
        (states + Int(index)).initialize(to: HelperState())
        return index
    }

    mutating func free(_ index: UInt32) {
        states[Int(index)].next = freeHead
        freeHead = index
    }
}
