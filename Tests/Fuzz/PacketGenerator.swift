// Frames to begin with: well-formed packets of every kind that the slow path knows, between a few hosts, so that
// mutations of them reach deep. Everything follows from the seed.
import SlowPath
import Wire

struct PacketGenerator {
    private var random: SplitMix64
    init(seed: UInt64) { random = SplitMix64(seed: seed) }

    mutating func next(_ bound: Int) -> Int { Int(truncatingIfNeeded: random.next() % UInt64(max(1, bound))) }
    private mutating func chance(_ percent: Int) -> Bool { next(100) < percent }
    private mutating func pick<Element>(_ elements: [Element]) -> Element { elements[next(elements.count)] }

    /// A well-formed frame, and the port where it comes in. Half of them come by the two untagged interfaces.
    mutating func frame() -> (port: Int, bytes: [UInt8]) {
        let index = chance(50) ? next(2) : next(FuzzNetwork.interfaces.count)
        let interface = FuzzNetwork.interfaces[index]
        let other = FuzzNetwork.interfaces[chance(40) ? 1 - min(index, 1) : next(FuzzNetwork.interfaces.count)]
        let kind = next(100)
        let plain = kind < 3 ? arp(interface) : chance(60) ? ipv4(interface, other) : ipv6(interface, other)
        return (interface.port, encapsulated(plain, interface))
    }

    /// The frame with the interface's tags and session header.
    private mutating func encapsulated(_ plain: [UInt8], _ interface: FuzzInterface) -> [UInt8] {
        var frame = ByteWriter(bytes: Array(plain[..<12]))
        for tag in interface.tags { frame.put(UInt64(tag) | UInt64(next(8)) << 13, 4) }
        if interface.session != 0 {
            frame.put(0x8864_1100, 4)
            frame.put(UInt64(interface.session), 2)
            frame.put(UInt64(plain.count - 12), 2)
            frame.put(plain[12] == 0x86 ? 0x57 : 0x21, 2)
        } else {
            frame.bytes += plain[12 ..< 14]
        }
        return frame.bytes + plain[14...]
    }

    private func link(_ interface: FuzzInterface, _ type: UInt16) -> ByteWriter {
        var frame = ByteWriter()
        frame.put(interface.mac, 6)
        frame.put(interface.peer, 6)
        frame.put(UInt64(type), 2)
        return frame
    }

    private mutating func arp(_ interface: FuzzInterface) -> [UInt8] {
        var frame = link(interface, EtherType.arp)
        frame.put(0x0001_0800_0604, 6)
        frame.put(UInt64(1 + next(2)), 2)
        frame.put(interface.peer, 6)
        frame.put(UInt64(host4(interface)), 4)
        frame.put(0, 6)
        frame.put(UInt64(chance(70) ? interface.ipv4 : host4(interface)), 4)
        return frame.bytes
    }

    private mutating func host4(_ interface: FuzzInterface) -> UInt32 { (interface.ipv4 & 0xffff_ff00) | UInt32(2 + next(3)) }

    private static let oddDestinations: [UInt32] = [0xe000_0001, 0xffff_ffff, 0x7f00_0001, 0x0a00_01ff, 0x0808_0808, 0]
    private static let options: [[UInt8]] = [[7, 7, 4, 0, 0, 0, 0, 0], [0x44, 8, 5, 0, 0, 0, 0, 0], [0x83, 7, 4, 10, 0, 2, 2, 0], [0x94, 4, 0, 0], [1, 1, 1, 0]]

    private mutating func ipv4(_ interface: FuzzInterface, _ other: FuzzInterface) -> [UInt8] {
        let source = host4(interface)
        let destination = chance(80) ? host4(other) : chance(60) ? interface.ipv4 : pick(Self.oddDestinations)
        let (number, payload) = transport(v6: false, interface, other)
        let options: [UInt8] = chance(5) ? pick(Self.options) : []
        var rest = payload
        var fragment: UInt16 = chance(50) ? 0x4000 : 0
        if chance(8), payload.count > 24 {
            let cut = 8 * (1 + next(payload.count / 8 - 1))
            if chance(50) {
                rest = Array(payload[..<cut])
                fragment = 0x2000
            } else {
                rest = Array(payload[cut...])
                fragment = UInt16(cut / 8)
            }
        }
        var frame = link(interface, EtherType.ipv4)
        frame.put(UInt64(0x45 + options.count / 4), 1)
        frame.put(UInt64(next(256)), 1)
        frame.put(UInt64(20 + options.count + rest.count), 2)
        frame.put(UInt64(next(4)), 2)
        frame.put(UInt64(fragment), 2)
        frame.put(pick([64, 64, 64, 1, 2, 255]), 1)
        frame.put(UInt64(number), 1)
        frame.put(0, 2)
        frame.put(UInt64(source), 4)
        frame.put(UInt64(destination), 4)
        frame.bytes.append(contentsOf: options)
        frame.bytes.append(contentsOf: rest)
        return frame.bytes
    }

    private static let groups: [(UInt64, UInt64)] = [(0xff02_0000_0000_0000, 1), (0xff02_0000_0000_0000, 0x1_ff00_0001), (0xfe80_0000_0000_0000, 9), (0x2001_0db8_0000_0000, 1)]

    private mutating func ipv6(_ interface: FuzzInterface, _ other: FuzzInterface) -> [UInt8] {
        let own = interface.ipv6
        let destination = chance(75) ? (other.ipv6.high, UInt64(2 + next(3))) : chance(50) ? own : pick(Self.groups)
        let (last, payload) = transport(v6: true, interface, other)
        var number = last
        var body = ByteWriter()
        if chance(8) {
            body.put(UInt64(number) << 56 | UInt64(next(2)) << 32 | UInt64(next(4)), 8)
            number = 44
        }
        if chance(6) {
            body.put(UInt64(number) << 56 | 0x0104_0000_0000, 8)
            number = 60
        }
        if chance(10) {
            body.put(UInt64(number) << 56 | 0x0502_0000_0100, 8)
            number = 0
        }
        body.bytes = body.bytes.count > 8 ? chain(body.bytes) : body.bytes
        body.bytes.append(contentsOf: payload)
        var frame = link(interface, EtherType.ipv6)
        frame.put(0x6000_0000 | UInt64(next(256)) << 20, 4)
        frame.put(UInt64(body.bytes.count), 2)
        frame.put(UInt64(number), 1)
        frame.put(pick([64, 64, 255, 1]), 1)
        frame.put(own.high, 8)
        frame.put(UInt64(2 + next(3)), 8)
        frame.put(destination.0, 8)
        frame.put(destination.1, 8)
        frame.bytes.append(contentsOf: body.bytes)
        return frame.bytes
    }

    /// Extension headers were written from the last to the first.
    private func chain(_ headers: [UInt8]) -> [UInt8] {
        var result: [UInt8] = []
        for start in stride(from: headers.count - 8, through: 0, by: -8) { result.append(contentsOf: headers[start ..< start + 8]) }
        return result
    }

    private mutating func transport(v6: Bool, _ interface: FuzzInterface, _ other: FuzzInterface) -> (UInt8, [UInt8]) {
        let count: Int = pick([0, 1, 12, 100, 600])
        let source: UInt64 = pick([53, 80, 8080, UInt64(1024 + next(8))]), destination: UInt64 = pick([53, 80, 22, 8080, UInt64(1024 + next(8))])
        var part = ByteWriter()
        var number: UInt8
        switch next(100) {
        case ..<40:
            number = 6
            let options: [UInt8] = chance(30) ? [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0] : chance(30) ? [2, 4, 5, 0xb4] : chance(20) ? [1, 1, 5, 10, 0, 0, 0, 9, 0, 0, 0, 19] : []
            part.put(source, 2)
            part.put(destination, 2)
            part.put(UInt64(1000 + next(2000)), 4)
            part.put(UInt64(1000 + next(2000)), 4)
            part.put(UInt64((20 + options.count) / 4) << 4, 1)
            part.put(pick([0x02, 0x12, 0x10, 0x18, 0x11, 0x04, 0x14, 0, 0x3f]), 1)
            part.put(0x2000_0000_0000, 6)
            part.bytes.append(contentsOf: options)
        case ..<70:
            number = 17
            part.put(source, 2)
            part.put(destination, 2)
            part.put(UInt64(8 + count), 2)
            part.put(0, 2)
        case ..<80:
            number = v6 ? 58 : 1
            part.put(v6 ? pick([128, 129]) : pick([8, 0, 13, 17]), 1)
            part.put(0, 3)
            part.put(UInt64(next(4)), 2)
            part.put(1, 2)
        case ..<88:
            number = v6 ? 58 : 1
            part.put(v6 ? UInt64(1 + next(4)) : pick([3, 11, 5, 12]), 1)
            part.put(UInt64(next(6)), 1)
            part.put(0, 2)
            part.put(0x500, 4)
            let quoted = v6 ? ipv6(other, interface) : ipv4(other, interface)
            part.bytes.append(contentsOf: quoted.dropFirst(14).prefix(v6 ? 1200 : 60))
            return (number, part.bytes)
        case ..<92 where v6:
            part.put(pick([135, 136]), 1)
            part.put(0, 3)
            part.put(0x6000_0000, 4)
            part.put(interface.ipv6.high, 8)
            part.put(interface.ipv6.low, 8)
            part.put(0x0101, 2)
            part.put(0x0200_0000_0002, 6)
            return (58, part.bytes)
        case ..<95:
            number = 47
            part.put(0x2001_0800_0004_0001, 8)
        case ..<97:
            number = 132
            part.put(source, 2)
            part.put(destination, 2)
            part.put(random.next(), 8)
            part.put(0x0100_0014, 4)
            part.put(random.next(), 8)
            part.put(random.next(), 8)
        default: number = UInt8(next(256))
        }
        for place in 0 ..< count { part.bytes.append(UInt8(truncatingIfNeeded: place)) }
        return (number, part.bytes)
    }

    /// Computes the checksums of a frame anew, so that a mutation is looked at behind them; a frame that is no IP stays.
    static func fixChecksums(_ packet: PacketBuffer) {
        let frame = [UInt8](UnsafeRawBufferPointer(start: packet.start, count: packet.length))
        guard let at = FuzzNetwork.networkOffset(frame), packet.length >= at + 20 else { return }
        // The parser is shown an untagged frame: what stands before the IP header is the EtherType of what it says it is.
        let inner = PacketBuffer(start: packet.start + at - 14, length: packet.length - at + 14, headroom: 0, tailroom: 0)
        let before = inner.load16(12)
        defer { inner.store16(before, at: 12) }
        switch before {
        case EtherType.ipv4, 0x0021:
            inner.store16(EtherType.ipv4, at: 12)
            let length = Int(inner.load8(14) & 15) * 4
            if length >= 20, 14 + length <= inner.length { Checksum.fillIPv4Header(inner.start + 14, length: length) }
        case EtherType.ipv6, 0x0057: inner.store16(EtherType.ipv6, at: 12)
        default: return
        }
        fixTransport(inner)
    }

    private static func fixTransport(_ packet: PacketBuffer) {
        var parsed = ParsedPacket()
        guard PacketParser.parse(packet, into: &parsed) == .none, parsed.flags.contains(.hasTransport), !parsed.flags.contains(.isFragment) else { return }
        Checksum.fillTransport(packet, parsed)
    }

    /// Damages a frame in up to four places.
    mutating func mutate(_ frame: inout [UInt8]) {
        for _ in 0 ... next(4) where !frame.isEmpty {
            let place = chance(70) ? next(min(frame.count, 80)) : next(frame.count)
            switch next(10) {
            case 0 ... 2: frame[place] ^= 1 << UInt8(next(8))
            case 3, 4: frame[place] = UInt8(next(256))
            case 5: frame[place] = pick([0, 0xff, 0x7f, 0x80, 1])
            case 6: frame.removeLast(next(frame.count))
            case 7: frame += (0 ..< next(200)).map { UInt8(truncatingIfNeeded: $0) }
            case 8: frame.removeSubrange(place ..< min(frame.count, place + 1 + next(8)))
            default: frame.insert(contentsOf: frame[place ..< min(frame.count, place + 1 + next(16))], at: place)
            }
        }
        if frame.count > 9000 { frame.removeLast(frame.count - 9000) }
    }
}

/// Bytes in network order, one after the other.
struct ByteWriter {
    var bytes: [UInt8] = []
    mutating func put(_ value: UInt64, _ count: Int) {
        for place in 0 ..< count { bytes.append(UInt8(truncatingIfNeeded: value >> UInt64(8 * (count - 1 - place)))) }
    }
}
