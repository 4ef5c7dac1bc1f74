// A frame made ready for a comparison between two routers: what they may choose freely is masked.
//
// Masked is only what each router makes up for packets of its own: of ICMP replies and errors from one of the router's
// addresses, the IPv4 identification and the header checksum over it; of ICMPv6, the flow label. And the identification of
// IPv6 fragments, which Linux draws anew when it cuts a packet that conntrack had put together: it is replaced by its
// ordinal among the addresses' identifications, so that the same fragments must still belong together.
import Wire

/// Identifications of IPv6 fragments in the order of their appearance in one capture.
struct FragmentNames {
    private var ordinals: [[UInt8]: [[UInt8]: UInt32]] = [:]

    mutating func ordinal(addresses: [UInt8], identification: [UInt8]) -> UInt32 {
        let next = UInt32(ordinals[addresses]?.count ?? 0)
        if let known = ordinals[addresses]?[identification] { return known }
        ordinals[addresses, default: [:]][identification] = next
        return next
    }
}

struct ComparableFrame {
    /// 1-based number of the record in its capture.
    let number: Int
    let masked: [UInt8]
    /// Equal for the frames of one direction of one flow.
    let flow: [UInt8]
    /// ARP, neighbour and router discovery, MLD: how neighbours are found is not compared.
    let isNeighbourTraffic: Bool

    init(number: Int, bytes: [UInt8], ownAddresses: Set<IPAddress>, fragments: inout FragmentNames) {
        self.number = number
        var bytes = bytes
        var offset = 12
        while bytes.count >= offset + 6, [0x8100, 0x88a8].contains(ComparableFrame.word(bytes, offset)) { offset += 4 }
        let etherType = bytes.count >= offset + 2 ? ComparableFrame.word(bytes, offset) : 0
        let ip = offset + 2
        switch etherType {
        case 0x0800 where bytes.count >= ip + 20:
            let transport = ip + Int(bytes[ip] & 15) * 4
            let isFragment = ComparableFrame.word(bytes, ip + 6) & 0x3fff != 0
            let isLater = ComparableFrame.word(bytes, ip + 6) & 0x1fff != 0
            let proto = bytes[ip + 9]
            flow = Array(bytes[ip + 12..<ip + 20]) + ComparableFrame.transportKey(bytes, transport, isFragment ? nil : proto)
            if proto == 1, !isLater, bytes.count > transport, [0, 3, 4, 5, 11, 12].contains(bytes[transport]) {
                let source = IPAddress(ipv4: bytes[ip + 12..<ip + 16].reduce(0) { $0 << 8 | UInt32($1) })
                if ownAddresses.contains(source) { for index in [4, 5, 10, 11] { bytes[ip + index] = 0 } }
            }
            isNeighbourTraffic = false
        case 0x86dd where bytes.count >= ip + 40:
            var transport = ip + 40
            var proto = bytes[ip + 6]
            // MLD has a router alert in a hop-by-hop header before it.
            if proto == 0, bytes.count >= transport + 8 {
                proto = bytes[transport]
                transport += 8 + Int(bytes[transport + 1]) * 8
            }
            let addresses = Array(bytes[ip + 8..<ip + 40])
            if proto == 44, bytes.count >= transport + 8 {
                let name = fragments.ordinal(addresses: addresses, identification: Array(bytes[transport + 4..<transport + 8]))
                for index in 0..<4 { bytes[transport + 4 + index] = UInt8(truncatingIfNeeded: name >> (24 - 8 * UInt32(index))) }
            }
            flow = addresses + ComparableFrame.transportKey(bytes, transport, proto)
            let type: UInt8? = proto == 58 && bytes.count > transport ? bytes[transport] : nil
            isNeighbourTraffic = type.map { (130...137).contains(Int($0)) || $0 == 143 } ?? false
            if let type, type < 128 || type == 129 {
                let source = IPAddress(
                    ipv6High: bytes[ip + 8..<ip + 16].reduce(0) { $0 << 8 | UInt64($1) }, low: bytes[ip + 16..<ip + 24].reduce(0) { $0 << 8 | UInt64($1) })
                if ownAddresses.contains(source) {
                    bytes[ip + 1] &= 0xf0
                    bytes[ip + 2] = 0
                    bytes[ip + 3] = 0
                }
            }
        default:
            flow = Array(bytes.prefix(ip))
            isNeighbourTraffic = etherType == 0x0806
        }
        masked = bytes
    }

    /// Protocol and ports, or an echo's type and identifier; for fragments the protocol's place is 0 and nothing follows.
    private static func transportKey(_ bytes: [UInt8], _ offset: Int, _ proto: UInt8?) -> [UInt8] {
        guard let proto else { return [0] }
        guard bytes.count >= offset + 8 else { return [proto] }
        switch proto {
        case 1, 58: return [proto, bytes[offset], bytes[offset + 4], bytes[offset + 5]]
        case 6, 17, 33, 132, 136: return [proto] + bytes[offset..<offset + 4]
        default: return [proto]
        }
    }

    private static func word(_ bytes: [UInt8], _ offset: Int) -> Int { Int(bytes[offset]) << 8 | Int(bytes[offset + 1]) }
}
