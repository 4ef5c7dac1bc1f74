// FTP (RFC 959, RFC 2428; nf_conntrack_ftp.c, nf_nat_ftp.c): expects the data connection that PORT, EPRT, or an answer to
// PASV or EPSV announces.
//
// Invariant: only whole commands at the beginning of a line count; an announcement of somebody else's address expects
// nothing; one that cannot be read, or is cut off by the end of its packet, drops the packet, since letting it through
// would leave the two ends with different ideas of the connection.
import Wire

/// Text of at most 64 bytes, built without allocation.
struct PayloadText {
    private var bytes: (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0, 0, 0, 0, 0)
    private(set) var count = 0

    mutating func append(_ byte: UInt8) {
        guard count < 64 else { return }
        withUnsafeMutableBytes(of: &bytes) { $0[count] = byte }
        count += 1
    }
    mutating func append(_ text: StaticString) {
        for offset in 0..<text.utf8CodeUnitCount { append(text.utf8Start[offset]) }
    }
    mutating func append(decimal value: UInt32) {
        if value >= 10 { append(decimal: value / 10) }
        append(UInt8(ascii: "0") + UInt8(value % 10))
    }
    mutating func append(hexadecimal value: UInt16) {
        for shift in stride(from: 12 as UInt16, through: 0, by: -4) {
            let digit = UInt8(value >> shift & 15)
            append(digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") + digit - 10)
        }
    }
    func copy(to destination: UnsafeMutableRawPointer) {
        withUnsafeBytes(of: bytes) { destination.copyMemory(from: $0.baseAddress!, byteCount: count) }
    }
}

/// A reader over the payload of one packet.
private struct Payload {
    let packet: PacketBuffer
    let start: Int
    let count: Int

    func byte(_ offset: Int) -> UInt8 { packet.load8(start + offset) }
    func isDigit(_ offset: Int) -> Bool { byte(offset) >= 48 && byte(offset) <= 57 }

    /// Whether the payload begins with `word`, in either case; nil if it ends within it.
    func begins(_ word: StaticString) -> Bool? {
        for offset in 0..<min(word.utf8CodeUnitCount, count) {
            let byte = byte(offset)
            let lower = byte >= 65 && byte <= 90 ? byte | 32 : byte
            let wanted = word.utf8Start[offset]
            if lower != (wanted >= 65 && wanted <= 90 ? wanted | 32 : wanted) { return false }
        }
        return count <= word.utf8CodeUnitCount ? nil : true
    }

    /// `numbers` decimal numbers between separators, ended by `end` (or by anything but a digit, if nil).
    /// - Returns: bytes read and the numbers, truncated to 32 bits; nil if the text is another or has no end.
    func numbers(_ offset: Int, _ wanted: Int, separator: UInt8, end: UInt8?) -> (length: Int, values: (UInt32, UInt32, UInt32, UInt32, UInt32, UInt32))? {
        var values: (UInt32, UInt32, UInt32, UInt32, UInt32, UInt32) = (0, 0, 0, 0, 0, 0)
        return withUnsafeMutableBytes(of: &values) { raw in
            let list = raw.bindMemory(to: UInt32.self)
            var index = 0
            for length in 0..<max(0, count - offset) {
                let byte = byte(offset + length)
                if byte >= 48 && byte <= 57 {
                    list[index] = list[index] &* 10 &+ UInt32(byte - 48)
                } else if byte == separator {
                    index += 1
                    if index == wanted { return nil }
                } else {
                    guard index == wanted - 1, end == nil || byte == end, length > 0 else { return nil }
                    return (length, (list[0], list[1], list[2], list[3], list[4], list[5]))
                }
            }
            return nil
        }
    }

    /// A port up to its delimiter: the offset behind the delimiter, and the port.
    func port(_ offset: Int, delimiter: UInt8) -> (end: Int, port: UInt16)? {
        var port: UInt16 = 0
        var position = offset
        while position < count {
            let byte = byte(position)
            if byte == delimiter { return port == 0 ? nil : (position + 1, port) }
            guard byte >= 48 && byte <= 57 else { return nil }
            port = port &* 10 &+ UInt16(byte - 48)
            position += 1
        }
        return nil
    }

    /// An IPv6 address up to `end` (RFC 4291 section 2.2, without an embedded IPv4 address).
    func ipv6(_ offset: Int, end: UInt8) -> (length: Int, address: IPAddress)? {
        var words: (UInt64, UInt64) = (0, 0)
        var index = 0
        var gap = -1
        var position = offset
        func put(_ value: UInt64, at index: Int, into words: inout (UInt64, UInt64)) {
            let shift = UInt64(48 - 16 * (index & 3))
            if index < 4 { words.0 |= value << shift } else { words.1 |= value << shift }
        }
        var list: (UInt64, UInt64) = (0, 0)
        while position < count, byte(position) != end {
            if byte(position) == 58 {
                guard position + 1 < count else { return nil }
                if byte(position + 1) == 58 {
                    guard gap < 0 else { return nil }
                    gap = index
                    position += 2
                    continue
                }
                guard index > 0 else { return nil }
                position += 1
            }
            var value: UInt64 = 0
            var digits = 0
            while position < count {
                let lower = byte(position) | 32
                let digit: UInt64
                if isDigit(position) { digit = UInt64(byte(position) - 48) } else if lower >= 97 && lower <= 102 { digit = UInt64(lower - 87) } else { break }
                value = value << 4 | digit
                digits += 1
                position += 1
            }
            guard digits > 0, digits <= 4, index < 8 else { return nil }
            put(value, at: index, into: &list)
            index += 1
        }
        guard position < count, index == 8 || (gap >= 0 && index < 8) else { return nil }
        for item in 0..<index {
            let value = (item < 4 ? list.0 : list.1) >> UInt64(48 - 16 * (item & 3)) & 0xffff
            put(value, at: gap >= 0 && item >= gap ? item + 8 - index : item, into: &words)
        }
        return (position - offset, IPAddress(ipv6High: words.0, low: words.1))
    }
}

extension ConnectionTracker {
    private enum Form { case port, extendedPort, passive, extendedPassive }
    private enum Reading {
        case nothing, unreadable
        /// Where the numbers stand in the payload, and what they say; no address in an EPSV answer.
        case found(Form, offset: Int, length: Int, address: IPAddress?, port: UInt16)
    }

    /// - Returns: false: drop the packet.
    mutating func readFTP(_ packet: inout PacketBuffer, _ parsed: inout ParsedPacket, _ tracking: Tracking, now: Timestamp) -> Bool {
        guard tracking.state == .established, parsed.flags.contains(.hasTransport) else { return true }
        let connection = pool + Int(tracking.connection)
        let direction = tracking.direction
        let headerLength = Int(packet.load8(Int(parsed.transportOffset) + 12) >> 4) * 4
        let start = Int(parsed.transportOffset) + headerLength
        let payload = Payload(packet: packet, start: start, count: parsed.transportLength - headerLength)
        guard payload.count > 0 else { return true }
        let sequence = packet.load32(Int(parsed.transportOffset) + 4)
        let state = helpers.states + Int(connection.pointee.helperState)
        let endsLine = payload.byte(payload.count - 1) == 10
        func noteLine() { if endsLine { state.pointee.noteLine(direction, sequence &+ UInt32(payload.count)) } }
        guard state.pointee.begins(direction, sequence) else {
            noteLine()
            return true
        }
        let isVersion6 = connection.pointee.original.family == .ipv6
        let reading = direction == .original ? readCommand(payload, isVersion6: isVersion6) : readAnswer(payload)
        guard case .found(let form, let offset, let length, let announced, let port) = reading else {
            if case .unreadable = reading { return false }
            noteLine()
            return true
        }
        // Linux notes the line even where the packet is then dropped because nothing can be expected.
        noteLine()
        let own = connection.pointee.tuple(direction)
        let opposite = connection.pointee.tuple(direction.opposite)
        if let announced, announced != own.source { return true }
        var expectation = Expectation()
        expectation.tuple.family = own.family
        expectation.tuple.transportProtocol = IPProtocol.tcp
        expectation.tuple.source = opposite.source
        expectation.tuple.destination = opposite.destination
        expectation.tuple.destinationPort = port
        if connection.pointee.isTranslated {
            expectation.translation = .master
            expectation.savedPort = port
            expectation.direction = direction.opposite
            let chosen = expectWithFreePort(&expectation, tracking, limit: 1, seconds: 300, now: now)
            guard chosen != 0, let text = ConnectionTracker.announcement(form, opposite.destination, chosen) else { return false }
            guard replace(&packet, &parsed, tracking, at: start + offset, count: length, with: text) else { return false }
        } else if expect(&expectation, tracking, limit: 1, seconds: 300, now: now) != nil {
            return false
        }
        return true
    }

    private func readCommand(_ payload: Payload, isVersion6: Bool) -> Reading {
        for (word, form) in [("PORT" as StaticString, Form.port), ("EPRT", .extendedPort)] {
            guard let begins = payload.begins(word) else { return .unreadable }
            guard begins else { continue }
            var offset = word.utf8CodeUnitCount
            while payload.byte(offset) != 32 {
                offset += 1
                if offset == payload.count { return .unreadable }
            }
            offset += 1
            if form == .port {
                guard let (length, v) = payload.numbers(offset, 6, separator: 44, end: 13) else { return .unreadable }
                return .found(.port, offset: offset, length: length, address: ConnectionTracker.address(v), port: UInt16(truncatingIfNeeded: v.4 << 8 | v.5))
            }
            return readExtendedPort(payload, offset, isVersion6: isVersion6)
        }
        return .nothing
    }

    private func readExtendedPort(_ payload: Payload, _ offset: Int, isVersion6: Bool) -> Reading {
        guard payload.count - offset > 3 else { return .unreadable }
        let delimiter = payload.byte(offset)
        guard delimiter >= 33, delimiter <= 126, !payload.isDigit(offset), payload.byte(offset + 2) == delimiter, payload.byte(offset + 1) == (isVersion6 ? 50 : 49) else {
            return .unreadable
        }
        let address: IPAddress
        let length: Int
        if isVersion6 {
            guard let found = payload.ipv6(offset + 3, end: delimiter) else { return .unreadable }
            (length, address) = (found.length, found.address)
        } else {
            guard let (count, v) = payload.numbers(offset + 3, 4, separator: 46, end: delimiter) else { return .unreadable }
            (length, address) = (count, ConnectionTracker.address(v))
        }
        guard let (end, port) = payload.port(offset + 3 + length + 1, delimiter: delimiter) else { return .unreadable }
        return .found(.extendedPort, offset: offset, length: end - offset, address: address, port: port)
    }

    private func readAnswer(_ payload: Payload) -> Reading {
        guard let isPassive = payload.begins("227 ") else { return .unreadable }
        if isPassive {
            // The form of the answer is free but for the numbers (RFC 1123 section 4.1.2.6).
            var offset = 4
            while offset < payload.count, !payload.isDigit(offset) { offset += 1 }
            guard let (length, v) = payload.numbers(offset, 6, separator: 44, end: nil) else { return .unreadable }
            return .found(.passive, offset: offset, length: length, address: ConnectionTracker.address(v), port: UInt16(truncatingIfNeeded: v.4 << 8 | v.5))
        }
        guard payload.begins("229 ") == true else { return .nothing }
        var offset = 4
        while payload.byte(offset) != 40 {
            offset += 1
            if offset == payload.count { return .unreadable }
        }
        offset += 1
        guard payload.count - offset > 3 else { return .unreadable }
        let delimiter = payload.byte(offset)
        guard delimiter >= 33, delimiter <= 126, !payload.isDigit(offset), payload.byte(offset + 1) == delimiter, payload.byte(offset + 2) == delimiter,
            let (end, port) = payload.port(offset + 3, delimiter: delimiter)
        else { return .unreadable }
        return .found(.extendedPassive, offset: offset, length: end - offset, address: nil, port: port)
    }

    private static func address(_ v: (UInt32, UInt32, UInt32, UInt32, UInt32, UInt32)) -> IPAddress { IPAddress(ipv4: v.0 << 24 | v.1 << 16 | v.2 << 8 | v.3) }

    private static func announcement(_ form: Form, _ address: IPAddress, _ port: UInt16) -> PayloadText? {
        var text = PayloadText()
        func quad(_ separator: UInt8) {
            for shift in [24, 16, 8, 0] as [UInt32] {
                text.append(decimal: address.ipv4 >> shift & 255)
                if shift != 0 { text.append(separator) }
            }
        }
        switch form {
        case .port, .passive:
            guard address.family == .ipv4 else { return nil }
            quad(44)
            text.append(44)
            text.append(decimal: UInt32(port >> 8))
            text.append(44)
            text.append(decimal: UInt32(port & 255))
        case .extendedPort:
            if address.family == .ipv4 {
                text.append("|1|")
                quad(46)
            } else {
                text.append("|2|")
                for index in 0..<8 {
                    text.append(hexadecimal: UInt16(truncatingIfNeeded: (index < 4 ? address.high : address.low) >> UInt64(48 - 16 * (index & 3))))
                    if index != 7 { text.append(58) }
                }
            }
            text.append(124)
            text.append(decimal: UInt32(port))
            text.append(124)
        case .extendedPassive:
            text.append("|||")
            text.append(decimal: UInt32(port))
            text.append(124)
        }
        return text
    }
}
