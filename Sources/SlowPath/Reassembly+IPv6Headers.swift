// What IPv6 reassembly asks of a packet's extension headers before it takes a fragment (find_prev_fhdr, ipv6frag_thdr_truncated).
//
// Invariant: only bytes within the IP packet are read; each step goes forward by at least 8 bytes.
import Wire

extension Reassembler {
    /// Whether the fragment header itself is cut short: such a packet is dropped, while one whose earlier headers are broken goes on.
    static func cutsFragmentHeader(_ packet: PacketBuffer, _ parsed: ParsedPacket) -> Bool {
        let network = Int(parsed.networkOffset), end = network + Int(parsed.networkLength)
        guard parsed.family == .ipv6, parsed.fragmentHeaderOffset == 0, parsed.transportProtocol == IPProtocol.fragment, packet.load16(network + 4) != 0 else { return false }
        var next = packet.load8(network + 6), start = network + 40
        while next != IPProtocol.fragment {
            guard PacketParser.isExtensionHeader(next), start + 2 <= end else { return false }
            let size = PacketParser.extensionHeaderLength(next, units: packet.load8(start + 1))
            next = packet.load8(start)
            start += size
        }
        return start <= end && start + 8 > end
    }

    /// RFC 8200 section 4.5: the first fragment must hold all headers up to the transport header. As in Linux, headers that break
    /// off before they name one are not held against it.
    static func firstFragmentLacksHeaders(_ packet: PacketBuffer, _ parsed: ParsedPacket) -> Bool {
        guard !parsed.flags.contains(.isLaterFragment) else { return false }
        let end = Int(parsed.networkOffset) + Int(parsed.networkLength)
        var next = packet.load8(Int(parsed.fragmentHeaderOffset)), start = Int(parsed.fragmentHeaderOffset) + 8
        while PacketParser.isExtensionHeader(next) {
            guard start + 2 <= end else { return false }
            if next == IPProtocol.fragment, start + 4 > end || packet.load16(start + 2) & 0xfff8 != 0 { return false }
            let size = PacketParser.extensionHeaderLength(next, units: packet.load8(start + 1))
            next = packet.load8(start)
            start += size
        }
        switch next {
        case IPProtocol.noNextHeader: return false
        case IPProtocol.tcp: return start + 20 > end
        case IPProtocol.udp, IPProtocol.icmpv6: return start + 8 > end
        default: return start + 1 > end
        }
    }
}
