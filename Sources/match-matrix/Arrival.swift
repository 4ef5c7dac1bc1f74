// A frame's way to the hook: what Linux does to it before the chain sees it.
//
// Invariant: every frame is new: no connection, no fragment queue and no rule remembers an earlier one.
import Conntrack
import Policy
import Wire

/// One frame, ready to be shown to any number of rules.
struct Arrival {
    private let frame: [UInt8]
    private let room: UnsafeMutableRawPointer
    private var context: PacketContext
    private let isWellFormed: Bool

    init(_ frame: [UInt8]) {
        self.frame = frame
        room = .allocate(byteCount: frame.count + 256, alignment: 64)
        let packet = PacketBuffer(start: room, length: frame.count, headroom: 0, tailroom: 256)
        frame.withUnsafeBytes { if let base = $0.baseAddress { packet.start.copyMemory(from: base, byteCount: frame.count) } }
        var parsed = ParsedPacket()
        isWellFormed = PacketParser.parse(packet, into: &parsed) == .none
        context = PacketContext(packet: packet, parsed: parsed)
        guard frame.count >= 14 else { return }
        context.input = 0
        context.wallClock = 1_700_000_000_000_000_000
        context.packetType = Arrival.type(of: packet)
        if isWellFormed, parsed.family != nil { Arrival.track(packet, parsed, &context) }
    }

    func deallocate() { room.deallocate() }

    /// Whether the only base chain of the ruleset accepts the frame.
    func matches(_ compiled: CompiledRuleset, _ family: String) -> Bool {
        guard frame.count >= 14 else { return false }
        frame.withUnsafeBytes { if let base = $0.baseAddress { room.copyMemory(from: base, byteCount: frame.count) } }
        var context = context
        if family == "netdev" {
            context.family = .netdev
            context.conntrack = ConntrackView()
            return Arrival.accepts(compiled, .ingress, .netdev, &context)
        }
        // The network layer takes no frame for others and no tag that belongs to no VLAN interface.
        guard context.packetType != 3, context.parsed.vlanCount == 0 else { return false }
        if family == "arp" {
            guard context.parsed.etherType == EtherType.arp, ARP.isAccepted(context.packet) else { return false }
            context.family = .arp
            return Arrival.accepts(compiled, .input, .arp, &context)
        }
        guard isWellFormed, let version = context.parsed.family, family == "inet" || (family == "ip") == (version == .ipv4) else { return false }
        // Defragmentation keeps a fragment that is not alone.
        guard !context.parsed.flags.contains(.isFragment) else { return false }
        context.family = version == .ipv4 ? .ipv4 : .ipv6
        return Arrival.accepts(compiled, .prerouting, context.family, &context)
    }

    private static func accepts(_ compiled: CompiledRuleset, _ hook: Hook, _ family: PacketFamily, _ context: inout PacketContext) -> Bool {
        for chain in compiled.program.chains(hook, family) { return compiled.program.evaluate(chain, &context) == .accept }
        return false
    }

    /// PACKET_HOST 0, BROADCAST 1, MULTICAST 2, OTHERHOST 3.
    private static func type(of packet: PacketBuffer) -> UInt8 {
        let destination = UInt64(packet.load16(0)) << 32 | UInt64(packet.load32(2))
        if destination == EthernetAddress.broadcast.rawValue { return 1 }
        if EthernetAddress(rawValue: destination).isGroup { return 2 }
        return destination == MatchMatrix.own.rawValue ? 0 : 3
    }

    private static func track(_ packet: PacketBuffer, _ parsed: ParsedPacket, _ context: inout PacketContext) {
        var tracker = ConnectionTracker(seed: 1)
        let tracking = tracker.track(packet, parsed, now: 1)
        context.conntrack.state = UInt32(tracking.state.rawValue)
        guard tracking.hasConnection else { return }
        let connection = tracker.connection(tracking.connection)
        context.conntrack.hasConnection = true
        context.conntrack.identifier = 0x1234_5678
        context.conntrack.family = parsed.family ?? .ipv4
        context.conntrack.transportProtocol = connection.pointee.transportProtocol
        context.conntrack.status = connection.pointee.status.rawValue
        context.conntrack.direction = tracking.isReply ? 1 : 0
        context.conntrack.originalPackets = 1
        context.conntrack.originalBytes = UInt64(parsed.networkLength)
        context.conntrack.expiration = connection.pointee.deadline / 1_000_000
        let original = connection.pointee.original, reply = connection.pointee.reply
        context.conntrack.original = view(original)
        context.conntrack.reply = view(reply)
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

enum ARP {
    /// What Linux's arp_rcv() lets through to the hook: Ethernet, IPv4, long enough.
    static func isAccepted(_ packet: PacketBuffer) -> Bool { packet.length >= 14 + 28 }
}
