// ICMP and ICMPv6 error messages, byte for byte as Linux sends them (icmp_send, icmp6_send).
//
// Invariant: writes only into `room` (from its start, `tailroom` bytes) and quotes only what the offending packet's
// headers say is in it. IP options of the offending packet are not echoed.

/// Which error; type and code differ by family.
@frozen public struct ICMPError: Hashable, Sendable {
    public var type: UInt8
    public var code: UInt8
    /// The second word of the message: next-hop MTU, or the pointer (IPv4: in the topmost byte).
    public var information: UInt32

    @inlinable public init(type: UInt8, code: UInt8, information: UInt32 = 0) {
        self.type = type
        self.code = code
        self.information = information
    }

    // MARK: - The errors that a router sends

    @inlinable public static func timeExceeded(_ family: AddressFamily) -> ICMPError { ICMPError(type: family == .ipv4 ? 11 : 3, code: 0) }
    /// Of a fragment's reassembly; only sent when the first fragment has arrived.
    @inlinable public static func reassemblyTimeExceeded(_ family: AddressFamily) -> ICMPError { ICMPError(type: family == .ipv4 ? 11 : 3, code: 1) }
    /// No route at all.
    @inlinable public static func networkUnreachable(_ family: AddressFamily) -> ICMPError { family == .ipv4 ? ICMPError(type: 3, code: 0) : ICMPError(type: 1, code: 0) }
    /// The neighbour does not answer, or an `unreachable` route.
    @inlinable public static func hostUnreachable(_ family: AddressFamily) -> ICMPError { family == .ipv4 ? ICMPError(type: 3, code: 1) : ICMPError(type: 1, code: 3) }
    @inlinable public static func protocolUnreachable() -> ICMPError { ICMPError(type: 3, code: 2) }
    @inlinable public static func portUnreachable(_ family: AddressFamily) -> ICMPError { family == .ipv4 ? ICMPError(type: 3, code: 3) : ICMPError(type: 1, code: 4) }
    @inlinable public static func administrativelyProhibited(_ family: AddressFamily) -> ICMPError { family == .ipv4 ? ICMPError(type: 3, code: 13) : ICMPError(type: 1, code: 1) }
    /// IPv4: fragmentation needed (only where DF is set); IPv6: packet too big.
    @inlinable public static func packetTooBig(_ family: AddressFamily, mtu: UInt32) -> ICMPError {
        family == .ipv4 ? ICMPError(type: 3, code: 4, information: min(mtu, 0xffff)) : ICMPError(type: 2, code: 0, information: mtu)
    }
    /// A bad IPv4 option at `pointer` bytes from the IP header.
    @inlinable public static func parameterProblem(ipv4 pointer: UInt8) -> ICMPError { ICMPError(type: 12, code: 0, information: UInt32(pointer) << 24) }
    /// IPv6; code 0 erroneous field, 1 unknown next header, 2 unknown option.
    @inlinable public static func parameterProblem(ipv6 pointer: UInt32, code: UInt8) -> ICMPError { ICMPError(type: 4, code: code, information: pointer) }

    // MARK: - Building

    /// Most bytes that an error message takes, link header without tags included.
    @inlinable public static var maximumLength: Int { 14 + 8 + 1280 }

    /// Writes the error about `packet` into `room`.
    ///
    /// - Parameters:
    ///   - source: see `Router.errorSource`; of the packet's family.
    ///   - identification: IPv4 identification (Linux: a per-destination counter with a random start).
    ///   - flowLabel: IPv6 flow label (Linux: a keyed hash of the flow).
    ///   - options: IPv4 options of the error.
    /// - Returns: the frame's length; 0 if `room` is too small or the families do not fit.
    public func build(
        into room: PacketBuffer, about packet: PacketBuffer, _ parsed: ParsedPacket, source: IPAddress, identification: UInt16, flowLabel: UInt32, link: LinkHeader,
        options: IPv4AnswerOptions = IPv4AnswerOptions()
    ) -> Int {
        guard let family = parsed.family, source.family == family else { return 0 }
        var header = IPHeader(source: source, destination: parsed.sourceAddress, transportProtocol: family == .ipv4 ? IPProtocol.icmp : IPProtocol.icmpv6)
        let limit: Int
        if family == .ipv4 {
            // The TOS bits of old without the lowest, and precedence "internetwork control".
            header.trafficClass = parsed.trafficClass & 0x1e | 0xc0
            header.identification = identification
            header.options = options
            limit = 576 - header.length - 8
        } else {
            header.flowLabel = flowLabel
            limit = 1280 - 40 - 8
        }
        let quoted = min(Int(parsed.networkLength), limit, packet.length - Int(parsed.networkOffset))
        let offset = link.length
        let message = offset + header.length
        guard quoted >= 0, room.tailroom >= message + 8 + quoted else { return 0 }
        link.write(to: room, etherType: header.etherType)
        header.write(to: room, at: offset, payloadLength: 8 + quoted)
        room.store8(type, at: message)
        room.store8(code, at: message + 1)
        room.store16(0, at: message + 2)
        room.store32(information, at: message + 4)
        (room.start + message + 8).copyMemory(from: packet.start + Int(parsed.networkOffset), byteCount: quoted)
        header.fillChecksum(room, at: message, length: 8 + quoted, field: 2)
        return message + 8 + quoted
    }
}
