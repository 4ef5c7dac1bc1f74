// `ip dscp set`, `tcp option maxseg size set` and the like.
//
// Invariant: a bit field is written by loading the bytes around it, replacing its bits and storing the bytes back; the
// bytes begin at an even offset of the header, as the Internet checksum wants.
import Ruleset

extension Compiler {
    func setPayload(_ field: PayloadField, _ value: Ruleset.Expression) {
        guard field.tunnel == nil else { return neverMatches("a change inside a tunnel") }
        var bytes = FieldBytes(bitOffset: field.offset, bitLength: field.length)
        let ownChecksum = Compiler.checksumPlace(field)
        let isPseudoHeader = Compiler.isInPseudoHeader(field)
        if ownChecksum != nil, bytes.offset % 2 == 1 {
            bytes.offset -= 1
            bytes.count += 1
        }
        let count = bytes.count
        let valueLength = (field.length + 7) / 8
        guard count <= 64, valueLength <= count else { return neverMatches("a change of this many bytes") }
        let bits = UInt128.max >> UInt128(128 - min(128, field.length))
        let isWhole = field.length == count * 8
        // The new bits at register 0, the old bytes behind them.
        // Of a longer number (`numgen`, hashes) Linux writes the leading bytes.
        let own = byteLength(value)
        if isWhole, own > count, own <= 8 {
            guard load(value, at: 0) == own else { return }
        } else {
            guard loadSized(value, count, at: 0) else { return }
        }
        shift(.shiftLeft, 0, count, by: bytes.shift)
        if !isWhole {
            let mask = Compiler.bytes(bits, count), place = 64
            operation(.bitAnd, 0, count, constant: Compiler.shiftedLeft(mask, by: bytes.shift))
            var old = Instruction(.payload)
            old.a = UInt8(place)
            old.b = base(field.base).rawValue
            old.length = UInt8(count)
            old.x = UInt32(bytes.offset)
            emit(old)
            operation(.bitAnd, place, count, constant: Compiler.shiftedLeft(mask, by: bytes.shift).map { ~$0 })
            var merge = Instruction(.registerOr)
            merge.a = 0
            merge.b = UInt8(place)
            merge.length = UInt8(count)
            emit(merge)
        }
        var store = Instruction(.setPayload)
        store.b = base(field.base).rawValue
        store.x = UInt32(bytes.offset)
        store.length = UInt8(count)
        store.value = UInt64((ownChecksum ?? -1) + 1) | (isPseudoHeader ? 0x1_0000 : 0) | (field.base == .transport && field.proto == "sctp" && !field.isRaw ? 0x2_0000 : 0)
        store.second = trafficClassEffect(field, value)
        emit(store)
    }

    private static func shiftedLeft(_ bytes: [UInt8], by amount: Int) -> [UInt8] {
        var result = bytes
        for index in bytes.indices {
            let low: UInt8 = index + 1 < bytes.count && amount > 0 ? bytes[index + 1] >> UInt8(8 - amount) : 0
            result[index] = bytes[index] << UInt8(amount) | low
        }
        return result
    }

    /// Where the header keeps its own Internet checksum; nil if it has none, or if the field is that checksum.
    private static func checksumPlace(_ field: PayloadField) -> Int? {
        // nft mends no checksum for a field that was not named.
        guard !field.isRaw else { return nil }
        let place: Int? = switch (field.base, field.proto) {
        case (.network, "ip"): 10
        case (.transport, "tcp"): 16
        // Not udplite: nft asks for no mending there.
        case (.transport, "udp"): 6
        case (.transport, "icmp"), (.transport, "icmpv6"), (.transport, "igmp"): 2
        default: nil
        }
        return place == field.offset / 8 ? nil : place
    }

    /// Fields that TCP, UDP and ICMPv6 checksum as well: lengths, protocol, addresses.
    private static func isInPseudoHeader(_ field: PayloadField) -> Bool {
        guard field.base == .network else { return false }
        let offset = field.offset / 8
        switch field.proto {
        case "ip": return offset == 2 || offset == 9 || (12 ..< 20).contains(offset)
        case "ip6": return offset == 4 || offset == 6 || (8 ..< 40).contains(offset)
        default: return false
        }
    }

    /// A constant change of DSCP or ECN, which the flow cache can repeat: 1 << 16 | mask << 8 | value.
    private func trafficClassEffect(_ field: PayloadField, _ value: Ruleset.Expression) -> UInt64 {
        guard field.base == .network, case .constant(let constant) = value else { return 0 }
        let start = field.proto == "ip" ? 8 : field.proto == "ip6" ? 4 : -1
        guard start >= 0, field.offset >= start, field.offset + field.length <= start + 8 else { return 0 }
        let shift = UInt64(start + 8 - field.offset - field.length)
        let mask: UInt64 = ((1 << UInt64(field.length)) - 1) << shift
        return 1 << 16 | mask << 8 | (UInt64(truncatingIfNeeded: constant.number) << shift & mask)
    }

    func setOption(_ field: OptionField, _ value: Ruleset.Expression) {
        guard field.family == .tcpOption, field.offset % 8 == 0, field.length == 16 || field.length == 32 || field.length == 8 else {
            return neverMatches("a change of this option")
        }
        let length = field.length / 8
        guard loadSized(value, length, at: 0) else { return }
        var instruction = Instruction(.setTCPOption)
        instruction.value = UInt64(field.number)
        instruction.x = UInt32(field.offset / 8)
        instruction.length = UInt8(length)
        emit(instruction)
    }
}
