// The IPv6 hop-by-hop options header, which every router reads (RFC 8200 section 4.3), by the rules of ipv6_parse_hopopts:
// before prerouting. The destination options of a packet for the router itself go by the same rules, but that none is known.
//
// Invariant: the walk is bounded by the header's length (2048 bytes) and by `maximumOptions`.

public enum IPv6Options {
    /// Options other than padding in one header (Linux: max_hbh_opts_number).
    public static var maximumOptions: Int { 8 }

    /// Whether the packet has a hop-by-hop options header, directly behind the IPv6 header.
    @inlinable public static func isPresent(_ packet: PacketBuffer, _ parsed: ParsedPacket) -> Bool {
        parsed.family == .ipv6 && parsed.flags.contains(.hasOptions) && packet.load8(Int(parsed.networkOffset) + 6) == IPProtocol.hopByHop
    }

    /// Checks the hop-by-hop options; unknown ones are handled by the two highest bits of their type (RFC 8200 section 4.2).
    ///
    /// - Parameter error: set if a parameter problem is to be sent.
    /// - Returns: `.none` or `.ipv6BadOption`.
    public static func check(_ packet: PacketBuffer, _ parsed: ParsedPacket, error: inout ICMPError?) -> DropReason {
        guard isPresent(packet, parsed) else { return .none }
        return check(packet, parsed, header: Int(parsed.networkOffset) + 40, isHopByHop: true, error: &error)
    }

    /// The same of any options header of the packet; `header` is its offset in the frame.
    public static func check(_ packet: PacketBuffer, _ parsed: ParsedPacket, header: Int, isHopByHop: Bool, error: inout ICMPError?) -> DropReason {
        let start = Int(parsed.networkOffset)
        // The parser has checked that the whole header is there.
        let end = header + (Int(packet.load8(header + 1)) + 1) * 8
        var option = header + 2
        var padding = 0
        var count = 0
        while option < end {
            let type = packet.load8(option)
            if type == 0 {
                padding += 1
                guard padding <= 7 else { return .ipv6BadOption }
                option += 1
                continue
            }
            guard option + 2 <= end else { return .ipv6BadOption }
            let length = Int(packet.load8(option + 1)) + 2
            guard option + length <= end else { return .ipv6BadOption }
            if type == 1 {
                // No more padding than alignment can want, and only zeros (RFC 4942 section 2.1.9.5).
                padding += length
                guard padding <= 7, (2..<length).allSatisfy({ packet.load8(option + $0) == 0 }) else { return .ipv6BadOption }
                option += length
                continue
            }
            count += 1
            guard count <= maximumOptions else { return .ipv6BadOption }
            padding = 0
            let position = UInt32(option - start)
            switch type {
            case 5 where isHopByHop:
                // Router alert (RFC 2711).
                guard length == 4 else { return .ipv6BadOption }
            case 0xc2 where isHopByHop:
                // Jumbo payload (RFC 2675): wrong where a payload length is given; else longer than any frame.
                guard length == 6, (option - start) & 3 == 2 else { return .ipv6BadOption }
                if packet.load32(option + 2) <= 65535 {
                    error = .parameterProblem(ipv6: position + 2, code: 0)
                } else if packet.load16(start + 4) != 0 {
                    error = .parameterProblem(ipv6: position, code: 0)
                }
                return .ipv6BadOption
            default:
                switch type >> 6 {
                case 0: break
                case 1: return .ipv6BadOption
                case 3 where parsed.destinationAddress.isMulticast: return .ipv6BadOption
                default:
                    error = .parameterProblem(ipv6: position, code: 2)
                    return .ipv6BadOption
                }
            }
            option += length
        }
        return .none
    }
}
