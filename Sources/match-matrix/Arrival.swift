// A frame's way to the hook: what Linux does to it before the chain sees it.
//
// Invariant: connections are remembered from frame to frame, as in the run that made the table; fragments are not.
import Conntrack
import Policy
import Wire

/// One frame, ready to be shown to any number of rules.
struct Arrival {
    /// As it arrives, for netdev and arp; and as the network layer's hooks see it, nil if it does not get there.
    private let link: Shown
    private let network: Shown?

    init(_ frame: [UInt8], _ tracker: inout ConnectionTracker) {
        link = Shown(frame)
        network = Arrival.networkLayer(link, &tracker)
    }

    func deallocate() {
        link.room.deallocate()
        network?.room.deallocate()
    }

    /// Whether the only base chain of the ruleset accepts the frame.
    func matches(_ compiled: CompiledRuleset, _ family: String) -> Bool {
        link.restore()
        network?.restore()
        switch family {
        case "netdev":
            guard var context = link.context else { return false }
            context.family = .netdev
            return Arrival.accepts(compiled, .ingress, .netdev, &context)
        case "arp":
            guard var context = link.context, context.packetType != 3, context.parsed.vlanCount == 0, context.parsed.etherType == EtherType.arp,
                  ARP.isAccepted(context.packet) else { return false }
            context.family = .arp
            return Arrival.accepts(compiled, .input, .arp, &context)
        default:
            guard let network, var context = network.context, family == "inet" || (family == "ip") == (context.family == .ipv4) else { return false }
            return Arrival.accepts(compiled, .prerouting, context.family, &context)
        }
    }

    /// What the frame has become when prerouting at 0 sees it: without a priority tag and a lone fragment's header, tracked.
    private static func networkLayer(_ link: Shown, _ tracker: inout ConnectionTracker) -> Shown? {
        guard let arrived = link.context, arrived.packetType != 3 else { return nil }
        var frame = link.bytes
        var parsed = arrived.parsed
        if parsed.vlanCount == 1, parsed.outerTag & 0xfff == 0 { frame.removeSubrange(12 ..< 16) } else if parsed.vlanCount > 0 { return nil }
        guard link.isWellFormed, parsed.family != nil, !parsed.flags.contains(.isFragment) else { return nil }
        var error: ICMPError?
        guard IPv6Options.check(arrived.packet, arrived.parsed, error: &error) == .none else { return nil }
        if parsed.family == .ipv6, parsed.fragmentHeaderOffset != 0 { frame = withoutFragmentHeader(frame, Int(parsed.fragmentHeaderOffset)) }
        var shown = Shown(frame)
        guard shown.isWellFormed, var context = shown.context, let version = context.parsed.family else { return nil }
        parsed = context.parsed
        context.family = version == .ipv4 ? .ipv4 : .ipv6
        track(context.packet, parsed, &context, &tracker)
        shown.context = context
        return shown
    }

    /// A datagram in one fragment loses its fragment header when defragmentation has looked at it (RFC 6946).
    private static func withoutFragmentHeader(_ frame: [UInt8], _ offset: Int) -> [UInt8] {
        var result = frame
        var place = 14 + 6
        var next = 14 + 40
        while next < offset {
            place = next
            next += (Int(frame[next + 1]) + 1) * 8
        }
        result[place] = frame[offset]
        result.removeSubrange(offset ..< offset + 8)
        let length = (Int(frame[18]) << 8 | Int(frame[19])) - 8
        result[18] = UInt8(length >> 8 & 255)
        result[19] = UInt8(length & 255)
        return result
    }

    private static func accepts(_ compiled: CompiledRuleset, _ hook: Hook, _ family: PacketFamily, _ context: inout PacketContext) -> Bool {
        for chain in compiled.program.chains(hook, family) { return compiled.program.evaluate(chain, &context) == .accept }
        return false
    }

    /// PACKET_HOST 0, BROADCAST 1, MULTICAST 2, OTHERHOST 3.
    static func type(of packet: PacketBuffer) -> UInt8 {
        let destination = UInt64(packet.load16(0)) << 32 | UInt64(packet.load32(2))
        if destination == EthernetAddress.broadcast.rawValue { return 1 }
        if EthernetAddress(rawValue: destination).isGroup { return 2 }
        return destination == MatchMatrix.own.rawValue ? 0 : 3
    }

    private static func track(_ packet: PacketBuffer, _ parsed: ParsedPacket, _ context: inout PacketContext, _ tracker: inout ConnectionTracker) {
        var tracking = tracker.track(packet, parsed, now: 1)
        context.conntrack.state = UInt32(tracking.state.rawValue)
        guard tracking.hasConnection else { return }
        let connection = tracker.connection(tracking.connection)
        context.conntrack.hasConnection = true
        context.conntrack.identifier = 0x1234_5678
        context.conntrack.family = parsed.family ?? .ipv4
        context.conntrack.transportProtocol = connection.pointee.transportProtocol
        context.conntrack.status = connection.pointee.status.rawValue
        context.conntrack.direction = tracking.isReply ? 1 : 0
        context.conntrack.originalPackets = connection.pointee.originalPackets
        context.conntrack.originalBytes = connection.pointee.originalBytes
        context.conntrack.replyPackets = connection.pointee.replyPackets
        context.conntrack.replyBytes = connection.pointee.replyBytes
        // Before it is confirmed, Linux takes the time to live for a point in time that is long past.
        context.conntrack.expiration = connection.pointee.isConfirmed ? (connection.pointee.deadline - 1) / 1_000_000 : 0
        let original = connection.pointee.original, reply = connection.pointee.reply
        context.conntrack.original = view(original)
        context.conntrack.reply = view(reply)
        // A connection is remembered once its first packet has left; a group's packet or a dying one
        // goes nowhere.
        if context.packetType == 0, parsed.timeToLive > 1, !parsed.destinationAddress.isMulticast { _ = tracker.confirm(&tracking, now: 1) } else { tracker.release(tracking) }
    }

    private static func view(_ tuple: ConnectionTuple) -> ConntrackTuple {
        var view = ConntrackTuple()
        view.source = tuple.source
        view.destination = tuple.destination
        view.sourcePort = tuple.sourcePort
        view.destinationPort = tuple.destinationPort
        return view
    }
}

/// A frame in memory with what its context says.
struct Shown {
    let bytes: [UInt8]
    let room: UnsafeMutableRawPointer
    let isWellFormed: Bool
    /// nil if there is no Ethernet header.
    var context: PacketContext?

    init(_ frame: [UInt8]) {
        bytes = frame
        let memory = UnsafeMutableRawPointer.allocate(byteCount: frame.count + 256, alignment: 64)
        frame.withUnsafeBytes { if let base = $0.baseAddress { memory.copyMemory(from: base, byteCount: frame.count) } }
        room = memory
        let packet = PacketBuffer(start: memory, length: frame.count, headroom: 0, tailroom: 256)
        var parsed = ParsedPacket()
        isWellFormed = PacketParser.parse(packet, into: &parsed) == .none
        guard frame.count >= 14 else { return }
        var made = PacketContext(packet: packet, parsed: parsed)
        made.input = 0
        made.wallClock = 1_700_000_000_000_000_000
        made.packetType = Arrival.type(of: packet)
        context = made
    }

    /// Undoes what an earlier rule did to the frame.
    func restore() { bytes.withUnsafeBytes { if let base = $0.baseAddress { room.copyMemory(from: base, byteCount: $0.count) } } }
}

enum ARP {
    /// What Linux's arp_rcv() lets through to the hook: Ethernet, IPv4, long enough.
    static func isAccepted(_ packet: PacketBuffer) -> Bool { packet.length >= 14 + 28 && packet.load8(18) == 6 && packet.load8(19) == 4 }
}
