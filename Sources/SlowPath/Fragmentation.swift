// Cuts an IP packet into fragments as Linux does (ip_do_fragment, ip6_fragment): a packet that was reassembled leaves in
// the very pieces in which it came, if those fit; any other is cut into the largest pieces that fit.
//
// Invariant: a plain value that walks over the packet; each piece is written into memory of the caller's. The packet must
// not change between the first piece and the last. Pieces carry whole multiples of 8 bytes, the last one excepted.
import Wire

struct Fragmenter {
    private let packet: PacketBuffer
    private let network: Int
    private let isIPv6: Bool
    private let fragments: FragmentGeometry
    private let keepsGeometry: Bool
    /// Bytes of the first piece then: an extension header that came behind the fragment header may leave before it.
    private let firstLength: Int
    /// Payload bytes of a piece that fits.
    private let room: Int
    /// Bytes of the IP header, or of the IPv6 header and the extension headers that each piece repeats.
    private let headerLength: Int
    private let end: Int
    /// IPv4: fragment offset of the packet's first byte, if it is a fragment itself, and whether more come behind it.
    private let baseOffset: Int
    private let baseHasMore: Bool
    private let identification: UInt32
    private var position: Int
    private var index = 0

    /// - Parameters:
    ///   - mtu: the path's MTU; for a reassembled packet, the largest piece that came is a limit as well.
    ///   - identification: IPv6 only. IPv4 pieces keep the packet's.
    /// - Returns: nil if a piece could not hold 8 bytes.
    init?(_ packet: PacketBuffer, _ parsed: ParsedPacket, fragments: FragmentGeometry, mtu: Int, identification: UInt32) {
        self.packet = packet
        self.fragments = fragments
        self.identification = identification
        network = Int(parsed.networkOffset)
        isIPv6 = parsed.family == .ipv6
        end = network + Int(parsed.networkLength)
        let limit = fragments.count > 0 ? min(mtu, fragments.largestPacket) : mtu
        if isIPv6 {
            headerLength = Fragmenter.unfragmentableLength(packet, parsed)
            // A router never cuts below the minimum MTU (RFC 8200 section 5).
            room = max(limit, 1280) - headerLength - 8
            baseOffset = 0
            baseHasMore = false
        } else {
            headerLength = Int(parsed.networkHeaderLength)
            room = limit - headerLength
            baseOffset = Int(parsed.fragmentOffset)
            baseHasMore = parsed.flags.contains(.moreFragments)
        }
        guard room >= 8 else { return nil }
        position = network + headerLength
        let payload = end - network - headerLength, first = Fragmenter.firstLength(fragments, room: room, payload: payload)
        // Linux's early demultiplexing has pulled a TCP header together, and its connection tracking one of SCTP (sctp_error): a shorter first
        // piece is no more.
        let pulled = parsed.transportProtocol == IPProtocol.tcp ? 20 : parsed.transportProtocol == IPProtocol.sctp ? 12 : 0
        firstLength = payload >= pulled && first < pulled ? 0 : first
        keepsGeometry = firstLength > 0
    }

    /// Most bytes of a piece's frame.
    var maximumPieceLength: Int { network + headerLength + (isIPv6 ? 8 : 0) + room }

    /// Bytes of the first piece if the packet can leave in the pieces that it came in, else 0.
    private static func firstLength(_ fragments: FragmentGeometry, room: Int, payload: Int) -> Int {
        guard fragments.count > 1, let lengths = fragments.lengths else { return 0 }
        var first = payload
        for index in 1..<fragments.count {
            let length = Int(lengths[index])
            guard length <= room, length & 7 == 0 || index == fragments.count - 1 else { return 0 }
            first -= length
        }
        return first > 0 && first <= room && first & 7 == 0 ? first : 0
    }

    /// IPv6 header, and hop-by-hop, routing and destination options headers that every node on the way reads
    /// (ip6_find_1stfragopt).
    private static func unfragmentableLength(_ packet: PacketBuffer, _ parsed: ParsedPacket) -> Int {
        let start = Int(parsed.networkOffset)
        var next = packet.load8(start + 6)
        var offset = start + 40
        var sawRouting = false
        let end = min(start + Int(parsed.networkHeaderLength), start + Int(parsed.networkLength))
        while offset + 8 <= end {
            switch next {
            case IPProtocol.hopByHop: break
            case IPProtocol.routing: sawRouting = true
            case IPProtocol.destinationOptions where !sawRouting: break
            default: return offset - start
            }
            next = packet.load8(offset)
            offset += (Int(packet.load8(offset + 1)) + 1) * 8
        }
        return min(offset, end) - start
    }

    /// Writes the next piece with a copy of the packet's link header.
    /// - Returns: the frame's length; 0 when there is no piece left; -1 if `target` is too small.
    mutating func next(into target: PacketBuffer) -> Int {
        guard position < end else { return 0 }
        let left = end - position
        let length = keepsGeometry ? (index == 0 ? firstLength : Int(fragments.lengths![index])) : left <= room ? left : room & ~7
        let isLast = length == left
        let payload = network + headerLength + (isIPv6 ? 8 : 0)
        guard target.tailroom >= payload + length else { return -1 }
        target.start.copyMemory(from: packet.start, byteCount: network + headerLength)
        (target.start + payload).copyMemory(from: packet.start + position, byteCount: length)
        let offset = position - network - headerLength
        if isIPv6 { writeIPv6Header(target, offset: offset, length: length, isLast: isLast) } else { writeIPv4Header(target, offset: offset, length: length, isLast: isLast) }
        position += length
        index += 1
        return payload + length
    }

    private func writeIPv4Header(_ target: PacketBuffer, offset: Int, length: Int, isLast: Bool) {
        target.store16(UInt16(headerLength + length), at: network + 2)
        // DF survives only where the pieces are new ones (IPSKB_FRAG_PMTU).
        var field = UInt16((baseOffset + offset) >> 3)
        if !isLast || baseHasMore { field |= 0x2000 }
        if fragments.dontFragment, !keepsGeometry { field |= 0x4000 }
        target.store16(field, at: network + 6)
        if offset > 0 { blankOptions(target) }
        Checksum.fillIPv4Header(target.start + network, length: headerLength)
    }

    /// Options that are not to be copied become no-operations in all pieces but the first (RFC 791 section 3.1).
    private func blankOptions(_ target: PacketBuffer) {
        var option = network + 20
        let end = network + headerLength
        while option < end {
            let type = target.load8(option)
            if type == 0 { return }
            if type == 1 {
                option += 1
                continue
            }
            guard option + 1 < end else { return }
            let length = Int(target.load8(option + 1))
            guard length >= 2, option + length <= end else { return }
            if type & 0x80 == 0 { for byte in 0..<length { target.store8(1, at: option + byte) } }
            option += length
        }
    }

    private func writeIPv6Header(_ target: PacketBuffer, offset: Int, length: Int, isLast: Bool) {
        // The last header that is repeated names the fragment header, which names what that header named.
        var nameAt = network + 6
        var header = network + 40
        while header < network + headerLength {
            nameAt = header
            header += (Int(target.load8(header + 1)) + 1) * 8
        }
        let fragment = network + headerLength
        target.store8(target.load8(nameAt), at: fragment)
        target.store8(IPProtocol.fragment, at: nameAt)
        target.store8(0, at: fragment + 1)
        target.store16(UInt16(offset) | (isLast ? 0 : 1), at: fragment + 2)
        target.store32(identification, at: fragment + 4)
        target.store16(UInt16(headerLength - 40 + 8 + length), at: network + 4)
    }
}
