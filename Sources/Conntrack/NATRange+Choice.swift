// Membership in a range, and the spreading of clients over a range of addresses.
//
// Invariant: the address chosen is a function of source, destination (unless `persistent`) and zone alone, the same that
// Linux chooses: lookup3 (Bob Jenkins, public domain) with Linux's constants, over the addresses as they stand in memory.
import Wire

extension NATRange {
    /// Whether a source of this tuple satisfies the range as it is.
    func admitsSource(_ tuple: ConnectionTuple) -> Bool {
        if flags.contains(.addresses) {
            let isLow = (tuple.sourceHigh, tuple.sourceLow) < (minimumAddress.high, minimumAddress.low)
            let isHigh = (tuple.sourceHigh, tuple.sourceLow) > (maximumAddress.high, maximumAddress.low)
            if isLow || isHigh { return false }
        }
        return !flags.contains(.ports) || admitsPort(tuple, .source)
    }

    /// Whether the port (or identifier) lies in the range; protocols without one always do.
    func admitsPort(_ tuple: ConnectionTuple, _ manipulation: NATManipulation) -> Bool {
        switch tuple.transportProtocol {
        case IPProtocol.icmp, IPProtocol.icmpv6:
            return tuple.sourcePort >= minimumPort && tuple.sourcePort <= maximumPort
        case IPProtocol.tcp, IPProtocol.udp, IPProtocol.udplite, IPProtocol.sctp, IPProtocol.gre:
            let port = manipulation == .source ? tuple.sourcePort : tuple.destinationPort
            return port >= minimumPort && port <= maximumPort
        default:
            return true
        }
    }

    /// `prefix`: the range becomes one address, the old one with its network part exchanged.
    public mutating func mapPrefix(of address: IPAddress) {
        let hostHigh = minimumAddress.high ^ maximumAddress.high
        let hostLow = minimumAddress.low ^ maximumAddress.low
        let mapped = IPAddress(
            family: address.family, high: address.high & hostHigh | minimumAddress.high & ~hostHigh,
            low: address.low & hostLow | minimumAddress.low & ~hostLow)
        minimumAddress = mapped
        maximumAddress = mapped
    }

    /// Word `index` of an address, as a little-endian machine loads it from a packet.
    private static func word(_ address: IPAddress, _ index: Int) -> UInt32 {
        if address.family == .ipv4 { return index == 0 ? address.ipv4.byteSwapped : 0 }
        let half = index < 2 ? address.high : address.low
        return UInt32(truncatingIfNeeded: index & 1 == 0 ? half >> 32 : half).byteSwapped
    }

    /// Picks the address for this tuple out of the range.
    func chooseAddress(_ tuple: inout ConnectionTuple, _ manipulation: NATManipulation, zone: ConnectionZone) {
        guard flags.contains(.addresses) else { return }
        var chosen = minimumAddress
        let isPersistent = flags.contains(.persistent)
        if tuple.family == .ipv4, minimumAddress.family == .ipv4 {
            guard minimumAddress.low != maximumAddress.low else {
                if manipulation == .source { tuple.source = chosen } else { tuple.destination = chosen }
                return
            }
            // As below, for one word.
            let destination = UInt32(truncatingIfNeeded: tuple.destinationLow).byteSwapped
            let spread = JenkinsHash.hash(
                UInt32(truncatingIfNeeded: tuple.sourceLow).byteSwapped, 0, 0, 0, seed: isPersistent ? 0 : destination ^ UInt32(zone.identifier))
            let distance = maximumAddress.ipv4 &- minimumAddress.ipv4 &+ 1
            let address = minimumAddress.ipv4 &+ UInt32(truncatingIfNeeded: (UInt64(spread) &* UInt64(distance)) >> 32)
            if manipulation == .source { tuple.sourceLow = UInt64(address) } else { tuple.destinationLow = UInt64(address) }
            return
        }
        if minimumAddress != maximumAddress {
            let last = tuple.family == .ipv4 ? 0 : 3
            let source = tuple.source
            let destination = tuple.destination
            var spread = JenkinsHash.hash(
                NATRange.word(source, 0), NATRange.word(source, 1), NATRange.word(source, 2), NATRange.word(source, 3),
                seed: isPersistent ? 0 : NATRange.word(destination, last) ^ UInt32(zone.identifier))
            var words: (UInt32, UInt32, UInt32, UInt32) = (0, 0, 0, 0)
            var isFull = false
            for index in 0...last {
                let minimum = isFull ? 0 : NATRange.word(minimumAddress, index).byteSwapped
                let maximum = NATRange.word(maximumAddress, index).byteSwapped
                let distance = isFull ? UInt32.max : maximum &- minimum &+ 1
                let value = minimum &+ UInt32(truncatingIfNeeded: (UInt64(spread) &* UInt64(distance)) >> 32)
                if value != maximum { isFull = true }
                switch index {
                case 0: words.0 = value
                case 1: words.1 = value
                case 2: words.2 = value
                default: words.3 = value
                }
                // Where the destination is chosen, its words are replaced as it goes, and the new ones are mixed in.
                if !isPersistent { spread ^= manipulation == .source ? NATRange.word(destination, index) : value.byteSwapped }
            }
            chosen =
                tuple.family == .ipv4
                ? IPAddress(ipv4: words.0)
                : IPAddress(ipv6High: UInt64(words.0) << 32 | UInt64(words.1), low: UInt64(words.2) << 32 | UInt64(words.3))
        }
        if manipulation == .source { tuple.source = chosen } else { tuple.destination = chosen }
    }
}
