// Neighbour solicitations and advertisements (RFC 4861 sections 4.3, 4.4): read with all the checks of section 7.1, and
// written.
//
// Invariant: `read` gives a message only if hop limit, code, checksum, length, addresses and options are all right.

@frozen public struct NeighbourMessage: Sendable {
    public static var solicitation: UInt8 { 135 }
    public static var advertisement: UInt8 { 136 }

    public var type: UInt8
    public var source: IPAddress
    public var destination: IPAddress
    public var target: IPAddress
    /// Source (solicitation) or target (advertisement) link-layer address option.
    public var linkAddress: EthernetAddress?
    /// Advertisement flags.
    public var isRouter = false
    public var isSolicited = false
    public var overrides = false

    @inlinable public init(type: UInt8, source: IPAddress, destination: IPAddress, target: IPAddress, linkAddress: EthernetAddress? = nil) {
        self.type = type
        self.source = source
        self.destination = destination
        self.target = target
        self.linkAddress = linkAddress
    }

    /// The solicited-node group of an address (RFC 4291 section 2.7.1).
    @inlinable public static func solicitedNode(_ address: IPAddress) -> IPAddress {
        IPAddress(ipv6High: 0xff02_0000_0000_0000, low: 0x0000_0001_ff00_0000 | address.low & 0xff_ffff)
    }
    /// The MAC address of an IPv6 multicast group (RFC 2464 section 7).
    @inlinable public static func groupMAC(_ group: IPAddress) -> EthernetAddress {
        EthernetAddress(rawValue: 0x3333_0000_0000 | group.low & 0xffff_ffff)
    }

    /// Whether a packet is neighbour discovery (types 133 to 137), which is never forwarded.
    @inlinable public static func isDiscovery(_ parsed: ParsedPacket) -> Bool {
        parsed.transportProtocol == IPProtocol.icmpv6 && parsed.family == .ipv6 && parsed.flags.contains(.hasTransport) && (133...137).contains(parsed.icmpType)
    }

    /// Reads a solicitation or advertisement into `message`.
    /// - Returns: `.none`, `.ndBadHopLimit` or `.ndMalformed`.
    public static func read(_ packet: PacketBuffer, _ parsed: ParsedPacket, into message: inout NeighbourMessage) -> DropReason {
        guard isDiscovery(parsed), !parsed.flags.contains(.isFragment) else { return .ndMalformed }
        guard parsed.timeToLive == 255 else { return .ndBadHopLimit }
        let offset = Int(parsed.transportOffset)
        guard parsed.icmpCode == 0, parsed.transportLength >= 24, Checksum.verifyTransport(packet, parsed) else { return .ndMalformed }
        let target = packet.loadAddress(.ipv6, offset + 8)
        guard !target.isMulticast else { return .ndMalformed }
        var result = NeighbourMessage(type: parsed.icmpType, source: parsed.sourceAddress, destination: parsed.destinationAddress, target: target)
        let wanted: UInt8
        switch parsed.icmpType {
        case solicitation: wanted = 1
        case advertisement:
            wanted = 2
            let flags = packet.load8(offset + 4)
            result.isRouter = flags & 0x80 != 0
            result.isSolicited = flags & 0x40 != 0
            result.overrides = flags & 0x20 != 0
            if result.destination.isMulticast, result.isSolicited { return .ndMalformed }
        default: return .ndMalformed
        }
        // Options: type, length in units of 8 bytes, never 0. At most 8191 steps bounded by the packet's length.
        var option = offset + 24
        let end = offset + parsed.transportLength
        while option < end {
            guard option + 2 <= end else { return .ndMalformed }
            let length = Int(packet.load8(option + 1)) * 8
            guard length > 0, option + length <= end else { return .ndMalformed }
            if packet.load8(option) == wanted, result.linkAddress == nil {
                guard length == 8 else { return .ndMalformed }
                result.linkAddress = packet.loadMAC(option + 2)
            }
            option += length
        }
        if result.type == solicitation, result.source.isUnspecified {
            // Duplicate address detection: to the solicited-node group, without a link address.
            guard result.destination == solicitedNode(target), result.linkAddress == nil else { return .ndMalformed }
        }
        message = result
        return .none
    }

    /// Writes a frame with the message; hop limit 255.
    /// - Returns: the frame's length; 0 if `room` is too small.
    public func build(into room: PacketBuffer, link: LinkHeader) -> Int {
        let offset = link.length
        let length = linkAddress == nil ? 24 : 32
        guard room.tailroom >= offset + 40 + length else { return 0 }
        var header = IPHeader(source: source, destination: destination, transportProtocol: IPProtocol.icmpv6)
        header.timeToLive = 255
        link.write(to: room, etherType: EtherType.ipv6)
        header.write(to: room, at: offset, payloadLength: length)
        let message = offset + 40
        room.store32(UInt32(type) << 24, at: message)
        let flags: UInt32 = (isRouter ? 0x8000_0000 : 0) | (isSolicited ? 0x4000_0000 : 0) | (overrides ? 0x2000_0000 : 0)
        room.store32(type == NeighbourMessage.advertisement ? flags : 0, at: message + 4)
        room.storeAddress(target, at: message + 8)
        if let linkAddress {
            room.store16(type == NeighbourMessage.solicitation ? 0x0101 : 0x0201, at: message + 24)
            room.storeMAC(linkAddress, at: message + 26)
        }
        header.fillChecksum(room, at: message, length: length, field: 2)
        return message + length
    }
}
