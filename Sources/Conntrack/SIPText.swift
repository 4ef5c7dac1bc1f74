// Finding things in a SIP message and its session description (RFC 3261, RFC 4566), as far as Linux's helper looks
// (nf_conntrack_sip.c): headers at the beginnings of lines, in long or compact form, with continuation lines; lists
// separated by commas; parameters; the lines of a session description.
//
// Invariant: reads only the message's bytes, allocates nothing, and every step moves forward, so that the cost is bounded
// by the message's length.
import Wire

/// A header or line to be found: its names, what its value begins with, and what of it counts.
struct SIPField {
    /// `plainAddress`: without brackets and port, as session descriptions have them.
    enum Value { case digits, address, addressBehindUser, plainAddress, media }
    let name: StaticString
    var compact: UInt8 = 0
    var search: StaticString = ""
    let value: Value

    static var sequence: SIPField { SIPField(name: "CSeq", value: .digits) }
    static var from: SIPField { SIPField(name: "From", compact: UInt8(ascii: "f"), search: "sip:", value: .addressBehindUser) }
    static var to: SIPField { SIPField(name: "To", compact: UInt8(ascii: "t"), search: "sip:", value: .addressBehindUser) }
    static var contact: SIPField { SIPField(name: "Contact", compact: UInt8(ascii: "m"), search: "sip:", value: .addressBehindUser) }
    static var viaUDP: SIPField { SIPField(name: "Via", compact: UInt8(ascii: "v"), search: "UDP ", value: .address) }
    static var viaTCP: SIPField { SIPField(name: "Via", compact: UInt8(ascii: "v"), search: "TCP ", value: .address) }
    static var expires: SIPField { SIPField(name: "Expires", value: .digits) }
    static var contentLength: SIPField { SIPField(name: "Content-Length", compact: UInt8(ascii: "l"), value: .digits) }
    static var version: SIPField { SIPField(name: "v=", value: .digits) }
    static var media: SIPField { SIPField(name: "m=", value: .media) }
    static func owner(_ family: AddressFamily) -> SIPField { SIPField(name: "o=", search: family == .ipv4 ? "IN IP4 " : "IN IP6 ", value: .plainAddress) }
    static func connection(_ family: AddressFamily) -> SIPField { SIPField(name: "c=", search: family == .ipv4 ? "IN IP4 " : "IN IP6 ", value: .plainAddress) }
}

/// A part of the message, by offset.
struct SIPRange {
    var start: Int
    var count: Int
    var end: Int { start + count }
}

/// An address with its port as they stand in a header.
struct SIPAddress {
    /// Address and port.
    var range: SIPRange
    /// Behind the port.
    var end: Int
    var address: IPAddress
    var port: UInt16
}

enum SIPFinding<Found> {
    case none
    /// It is there and cannot be read; the search may go on from here.
    case unreadable(Int)
    case found(Found)
}

struct SIPText {
    let packet: PacketBuffer
    /// Where the message begins in the packet.
    let start: Int
    let count: Int
    let family: AddressFamily

    func byte(_ offset: Int) -> UInt8 { packet.load8(start + offset) }
    func isDigit(_ offset: Int) -> Bool { byte(offset) >= 48 && byte(offset) <= 57 }
    /// A letter of Latin-1, as Linux's character classes have it.
    func isLetter(_ offset: Int) -> Bool {
        let value = byte(offset)
        return (value | 32 >= 97 && value | 32 <= 122) || (value >= 0xC0 && value != 0xD7 && value != 0xF7)
    }
    private func isLineEnd(_ offset: Int) -> Bool { byte(offset) == 13 || byte(offset) == 10 }

    /// Whether `word` stands at `offset`, in upper or lower case.
    func matches(_ word: StaticString, at offset: Int, before limit: Int? = nil) -> Bool {
        guard offset >= 0, offset + word.utf8CodeUnitCount <= limit ?? count else { return false }
        for index in 0 ..< word.utf8CodeUnitCount {
            let a = byte(offset + index), b = word.utf8Start[index]
            if a == b { continue }
            guard a ^ b == 32, a | 32 >= 97, a | 32 <= 122 else { return false }
        }
        return true
    }

    /// Whether `word` stands at `offset` exactly.
    func equals(_ word: StaticString, at offset: Int, before limit: Int) -> Bool {
        guard offset >= 0, offset + word.utf8CodeUnitCount <= limit else { return false }
        for index in 0 ..< word.utf8CodeUnitCount where byte(offset + index) != word.utf8Start[index] { return false }
        return true
    }

    func digits(at offset: Int) -> Int {
        var end = offset
        while end < count, isDigit(end) { end += 1 }
        return end - offset
    }

    func letters(at offset: Int) -> Int {
        var end = offset
        while end < count, isLetter(end) { end += 1 }
        return end - offset
    }

    /// The number at `offset` and the end of its digits; 0 without any, at `offset`, if it is none, or has more than eleven digits or 32 bits.
    func number(at offset: Int) -> (value: UInt32, end: Int) {
        var value: UInt64 = 0
        var end = offset
        while end < count, isDigit(end) {
            value = value &* 10 &+ UInt64(byte(end) - 48)
            guard end - offset < 11, value <= UInt64(UInt32.max) else { return (0, offset) }
            end += 1
        }
        return (UInt32(value), end)
    }

    /// Behind the empty line that ends the headers, at or behind `offset`.
    func bodyStart(from offset: Int) -> Int? {
        var place = offset
        while place + 4 <= count {
            if equals("\r\n\r\n", at: place, before: count) { return place + 4 }
            place += 1
        }
        return nil
    }

    // MARK: - Addresses

    enum Brackets { case required, allowed, refused }

    /// An address of the connection's family, IPv6 in brackets or not.
    func address(at offset: Int, before limit: Int, _ brackets: Brackets) -> (end: Int, address: IPAddress)? {
        if family == .ipv4 { return ipv4(at: offset, before: limit) }
        if brackets == .refused { return ipv6(at: offset, before: limit) }
        let opens = offset < limit && byte(offset) == 91
        guard opens || brackets == .allowed, let found = ipv6(at: opens ? offset + 1 : offset, before: limit) else { return nil }
        let closes = found.end < limit && byte(found.end) == 93
        guard closes || brackets == .allowed else { return nil }
        return (closes ? found.end + 1 : found.end, found.address)
    }

    private func ipv4(at offset: Int, before limit: Int) -> (end: Int, address: IPAddress)? {
        var value: UInt32 = 0
        var position = offset
        for part in 0 ..< 4 {
            var number: UInt32 = 0
            let first = position
            while position < limit, isDigit(position) {
                number = number * 10 + UInt32(byte(position) - 48)
                guard number <= 255 else { return nil }
                position += 1
            }
            guard position > first else { return nil }
            value = value << 8 | number
            guard part < 3 else { break }
            guard position < limit, byte(position) == 46 else { return nil }
            position += 1
        }
        // A dot or a hexadecimal digit behind it makes it something else.
        if position < limit, byte(position) == 46 || (byte(position) | 32 >= 97 && byte(position) | 32 <= 102) { return nil }
        return (position, IPAddress(ipv4: value))
    }

    private func ipv6(at offset: Int, before limit: Int) -> (end: Int, address: IPAddress)? {
        var head: (UInt64, UInt64) = (0, 0), tail: (UInt64, UInt64) = (0, 0)
        var headCount = 0, tailCount = 0
        var hasGap = false
        var position = offset
        while position < limit, headCount + tailCount < 8 {
            if byte(position) == 58 {
                if position + 1 < limit, byte(position + 1) == 58 {
                    guard !hasGap else { return nil }
                    hasGap = true
                    position += 2
                    if position >= limit || hexadecimal(position) == nil { break }
                } else {
                    guard headCount + tailCount > 0, position + 1 < limit, hexadecimal(position + 1) != nil else { break }
                    position += 1
                }
            }
            var word: UInt64 = 0
            var length = 0
            while position < limit, length < 4, let digit = hexadecimal(position) {
                word = word << 4 | digit
                position += 1
                length += 1
            }
            guard length > 0 else { break }
            if hasGap {
                tail = (tail.0 << 16 | tail.1 >> 48, tail.1 << 16 | word)
                tailCount += 1
            } else {
                head = (head.0 << 16 | head.1 >> 48, head.1 << 16 | word)
                headCount += 1
            }
        }
        guard position > offset, hasGap ? headCount + tailCount < 8 : headCount == 8 else { return nil }
        for _ in headCount ..< 8 { head = (head.0 << 16 | head.1 >> 48, head.1 << 16) }
        return (position, IPAddress(ipv6High: head.0 | tail.0, low: head.1 | tail.1))
    }

    private func hexadecimal(_ offset: Int) -> UInt64? {
        if isDigit(offset) { return UInt64(byte(offset) - 48) }
        let lower = byte(offset) | 32
        return lower >= 97 && lower <= 102 ? UInt64(lower - 87) : nil
    }

    /// The port behind an address that ends at `offset`; 5060 if there is none. Nil if it is not one for SIP, or the message ends there.
    private func port(at offset: Int) -> (end: Int, port: UInt16)? {
        guard offset < count else { return nil }
        guard byte(offset) == 58 else { return (offset, 5060) }
        let length = digits(at: offset + 1)
        let (value, end) = number(at: offset + 1)
        guard length <= 5, value >= 1024, value <= 65535, end < count else { return nil }
        return (end, UInt16(value))
    }

    /// Length of an address with an optional port.
    private func addressLength(at offset: Int) -> Int {
        guard let (end, _) = address(at: offset, before: count, .required), let (behind, _) = port(at: end) else { return 0 }
        return behind - offset
    }

    /// The address behind `user@`, if there is a user.
    func addressBehindUser(at offset: Int) -> SIPRange? {
        var place = offset
        while place < count, byte(place) != 64, !isLineEnd(place) { place += 1 }
        let first = place < count && byte(place) == 64 ? place + 1 : offset
        let length = addressLength(at: first)
        return length == 0 ? nil : SIPRange(start: first, count: length)
    }

    /// Address and port at `range`; nil if there is none or the port is not one for SIP.
    func uri(_ range: SIPRange) -> SIPAddress? {
        guard let (end, address) = address(at: range.start, before: count, .required), let (behind, port) = port(at: end) else { return nil }
        return SIPAddress(range: range, end: behind, address: address, port: port)
    }

    // MARK: - Headers

    /// Behind the line end at `offset`, if the next line continues this one: where its text begins.
    private func continuation(_ offset: Int, before limit: Int) -> Int? {
        var next = offset + 1
        guard next < limit else { return nil }
        if byte(offset) == 13, byte(next) == 10 {
            next += 1
            guard next < limit else { return nil }
        }
        guard byte(next) == 32 || byte(next) == 9 else { return nil }
        while next < limit, byte(next) == 32 || byte(next) == 9 { next += 1 }
        return next
    }

    private func skipBlanks(_ offset: Int) -> Int? {
        var place = offset
        while place < count, byte(place) == 32 || byte(place) == 9 { place += 1 }
        return place < count && isLineEnd(place) ? continuation(place, before: count) : place
    }

    /// Where `word` stands within the header value that goes on at `offset`.
    func search(_ word: StaticString, from offset: Int, before limit: Int) -> Int? {
        let last = limit - word.utf8CodeUnitCount
        var place = offset
        while place < last {
            if isLineEnd(place) {
                guard let next = continuation(place, before: last) else { return nil }
                place = next + 1
                continue
            }
            if matches(word, at: place) { return place }
            place += 1
        }
        return nil
    }

    /// The first header of this kind behind `offset`.
    func header(_ field: SIPField, from offset: Int = 0) -> SIPFinding<SIPRange> {
        var place = offset
        while place < count {
            guard let line = nextLine(&place) else { return .none }
            guard byte(line) != 32, byte(line) != 9 else { continue }
            var name = line
            if matches(field.name, at: line) {
                name += field.name.utf8CodeUnitCount
            } else if field.compact != 0, line + 1 < count, byte(line) | 32 == field.compact, !isLetter(line + 1) {
                name += 1
            } else {
                continue
            }
            guard let colon = skipBlanks(name), colon < count, byte(colon) == 58, colon + 1 < count, let value = skipBlanks(colon + 1) else { return .none }
            var first = value
            if field.search.utf8CodeUnitCount > 0 {
                guard let found = search(field.search, from: value, before: count) else { return .unreadable(value) }
                first = found + field.search.utf8CodeUnitCount
            }
            guard let range = self.value(field, at: first) else { return .unreadable(value) }
            return .found(range)
        }
        return .none
    }

    /// The beginning of the next line, behind `place`; `place` ends behind its first byte, so that an empty line with a line feed alone hides the next one
    /// as it does from Linux.
    private func nextLine(_ place: inout Int) -> Int? {
        while place < count, !isLineEnd(place) { place += 1 }
        guard place + 1 < count else { return nil }
        let line = place + (byte(place) == 13 && byte(place + 1) == 10 ? 2 : 1)
        place = line + 1
        return line < count ? line : nil
    }

    private func value(_ field: SIPField, at offset: Int) -> SIPRange? {
        var length = 0
        switch field.value {
        case .digits: length = digits(at: offset)
        case .address: length = addressLength(at: offset)
        case .plainAddress: length = address(at: offset, before: count, .refused).map { $0.end - offset } ?? 0
        case .addressBehindUser: return addressBehindUser(at: offset)
        case .media:
            length = letters(at: offset)
            guard offset + length < count, byte(offset + length) == 32 else { return nil }
            length += 1
            length += digits(at: offset + length)
        }
        return length == 0 ? nil : SIPRange(start: offset, count: length)
    }

    /// The address of the next header of this kind that can be read. With `cursor`, of the next in the list that the last
    /// one stood in, and then of the headers behind.
    func address(_ field: SIPField, from offset: inout Int, isInList: inout Bool) -> SIPFinding<SIPAddress> {
        var range: SIPRange?
        while isInList, range == nil {
            guard let comma = search(",", from: offset, before: count), let next = search(field.search, from: comma, before: count) else { break }
            range = value(field, at: next + field.search.utf8CodeUnitCount)
            if range == nil { offset = next + field.search.utf8CodeUnitCount }
        }
        while range == nil {
            isInList = false
            switch header(field, from: offset) {
            case .none: return .none
            case .unreadable(let place): offset = place
            case .found(let found): range = found
            }
        }
        isInList = true
        guard let range, let address = uri(range) else { return .unreadable(offset) }
        offset = address.end
        return .found(address)
    }

    /// The address of the first such header that can be read.
    func address(_ field: SIPField) -> SIPFinding<SIPAddress> {
        var offset = 0
        var isInList = false
        return address(field, from: &offset, isInList: &isInList)
    }

    /// The parameter `name=` behind `offset`, in the same element of a list: where its value begins, and the element's end.
    func parameter(_ name: StaticString, from offset: Int) -> (start: Int, limit: Int)? {
        let limit = search(",", from: offset, before: count) ?? count
        return search(name, from: offset, before: limit).map { ($0 + name.utf8CodeUnitCount, limit) }
    }

    // MARK: - Session description

    /// The first line of this kind behind `offset`, before a line of kind `end`.
    func line(_ field: SIPField, from offset: Int, before end: SIPField? = nil) -> SIPFinding<SIPRange> {
        var place = offset
        while place < count {
            guard let line = nextLine(&place) else { return .none }
            if let end, matches(end.name, at: line) { return .none }
            guard matches(field.name, at: line) else { continue }
            var first = line + field.name.utf8CodeUnitCount
            if field.search.utf8CodeUnitCount > 0 {
                let last = count - field.search.utf8CodeUnitCount
                while first < last, !isLineEnd(first), !equals(field.search, at: first, before: count) { first += 1 }
                guard first < last, !isLineEnd(first) else { return .unreadable(line) }
                first += field.search.utf8CodeUnitCount
            }
            guard let range = value(field, at: first) else { return .unreadable(line) }
            return .found(range)
        }
        return .none
    }
}
