// Where nf_tables takes a packet's headers to be (`struct nft_pktinfo`), worked out once for each base chain.
//
// Invariant: every offset lies within the frame, and `end` is the frame's end or, at the hooks of ip, ip6 and inet, the
// end of the IP packet, since Linux has cut the padding off by then. Source: nft_set_pktinfo_ipv4/6(_validate),
// ipv6_find_hdr().
import Wire

extension PacketContext {
    /// What an inet table's chain at a link hook takes the frame for; nil if it does not look at such frames. One that is not sound
    /// is dropped there (nft_do_chain_inet_ingress).
    public mutating func familyAtLinkHook(_ hook: Hook) -> (isIPv4: Bool, isSound: Bool)? {
        locate(hook)
        guard layer.etherType == EtherType.ipv4 || layer.etherType == EtherType.ipv6 else { return nil }
        return (layer.etherType == EtherType.ipv4, layer.isValid)
    }

    /// Fills `layer` for a chain's hook.
    @inline(__always) mutating func locate(_ hook: Hook) {
        var network = Int(parsed.networkOffset)
        var info = TransportInfo()
        info.etherType = parsed.etherType
        let isLinkHook = hook == .ingress || hook == .egress || family == .bridge || family == .netdev
        if isLinkHook, parsed.vlanCount > 1 {
            // Linux has taken one tag off at most; the next one stands where a network header would.
            network = 18
            info.etherType = EtherType.vlan
        }
        info.network = network
        if !isLinkHook, family == .ipv4 || family == .ipv6 {
            info.end = network &+ Int(parsed.networkLength)
            // The buffer's length: a rule may have changed what the header says.
            info.trafficLength = packet.length &- network
            if family == .ipv4 {
                info.isValid = true
                info.transportProtocol = parsed.transportProtocol
                info.offset = network &+ Int(parsed.networkHeaderLength)
                info.fragmentOffset = parsed.fragmentOffset
            } else {
                TransportInfo.locateIPv6(packet, &info)
            }
        } else {
            info.end = packet.length
            // The length of an 802.3 frame: Linux names it after what follows, Novell's or LLC (eth_type_trans).
            if info.etherType < 0x600 { info.etherType = packet.length >= network &+ 2 && packet.load16(network) == 0xffff ? 1 : 4 }
            info.trafficLength = hook == .egress || (family == .arp && hook == .output) ? packet.length : packet.length &- network
            TransportInfo.locateUnchecked(packet, &info)
            // ipv6_find_hdr() leaves a later fragment's offset at 0: where the buffer starts.
            if info.fragmentOffset != 0, info.etherType == EtherType.ipv6, hook == .egress { info.offset = 0 }
        }
        layer = info
    }
}

extension TransportInfo {
    /// Frame offset of the transport header for a load of `length` bytes at `position` of it, or -1. A later fragment has none, but
    /// Linux's short way for aligned loads of 1, 2 or 4 bytes does not look (nft_payload_fast_eval; seen on 6.18).
    @inline(__always) func transportStart(_ position: Int, _ length: Int) -> Int {
        guard isValid else { return -1 }
        if fragmentOffset == 0 { return offset }
        return length <= 4 && length & (length &- 1) == 0 && position & (length &- 1) == 0 ? offset : -1
    }

    /// At the link hooks nothing has looked at the packet yet.
    static func locateUnchecked(_ packet: PacketBuffer, _ info: inout TransportInfo) {
        let network = info.network
        if info.etherType == EtherType.ipv4 {
            guard packet.length &- network >= 20 else { return }
            let header = Int(packet.load8(network) & 15) &* 4
            let total = Int(packet.load16(network &+ 2))
            guard packet.load8(network) >> 4 == 4, header >= 20, total >= header, total <= packet.length &- network else { return }
            info.isValid = true
            info.transportProtocol = packet.load8(network &+ 9)
            info.offset = network &+ header
            info.fragmentOffset = packet.load16(network &+ 6) & 0x1fff
        } else if info.etherType == EtherType.ipv6 {
            guard packet.length &- network >= 40, packet.load8(network) >> 4 == 6,
                  Int(packet.load16(network &+ 4)) &+ 40 <= packet.length &- network else { return }
            locateIPv6(packet, &info)
        }
    }

    static func locateIPv6(_ packet: PacketBuffer, _ info: inout TransportInfo) {
        let found = IPv6Headers.find(packet, network: info.network, end: info.end, target: nil)
        guard found.header >= 0 else { return }
        info.isValid = true
        info.transportProtocol = UInt8(truncatingIfNeeded: found.header)
        info.offset = found.fragmentOffset == 0 ? found.offset : info.network
        info.fragmentOffset = found.fragmentOffset
    }
}

/// Linux's walk over IPv6 extension headers.
enum IPv6Headers {
    @inline(__always) static func isExtension(_ header: UInt8) -> Bool {
        header == 0 || header == 43 || header == 44 || header == 51 || header == 59 || header == 60
    }

    /// Looks for `target`, or for the upper-layer header if it is nil. `header` is negative if there is none.
    static func find(_ packet: PacketBuffer, network: Int, end: Int, target: UInt8?) -> (header: Int, offset: Int, fragmentOffset: UInt16) {
        var next = packet.load8(network &+ 6)
        var start = network &+ 40
        while true {
            let found = next == target
            if !isExtension(next) || next == IPProtocol.noNextHeader {
                return target == nil || found ? (Int(next), start, 0) : (-1, 0, 0)
            }
            guard start &+ 2 <= end else { return (-1, 0, 0) }
            if next == IPProtocol.routing, start &+ 4 > end { return (-1, 0, 0) }
            let following = packet.load8(start)
            var length = (Int(packet.load8(start &+ 1)) &+ 1) &* 8
            if next == IPProtocol.fragment {
                guard start &+ 4 <= end else { return (-1, 0, 0) }
                let fragment = packet.load16(start &+ 2) & 0xfff8
                if fragment != 0 {
                    if target == nil, !isExtension(following) || following == IPProtocol.noNextHeader { return (Int(following), start, fragment) }
                    return found ? (Int(next), start, fragment) : (-1, 0, 0)
                }
                length = 8
            } else if next == IPProtocol.authentication {
                if target == nil { return (Int(next), start, 0) }
                length = (Int(packet.load8(start &+ 1)) &+ 2) &* 4
            }
            if found { return (Int(next), start, 0) }
            next = following
            start &+= length
        }
    }
}
