// Text to addresses. Exact and strict: one spelling per rule, no octal, no spaces, no zones, no abbreviations other
// than RFC 4291's '::'. Configuration-time code.

extension IPAddress: LosslessStringConvertible {
    /// An IPv4 or IPv6 address in its usual text form.
    public init(parsing text: some StringProtocol) throws(AddressError) {
        if text.utf8.contains(UInt8(ascii: ":")) {
            self = try IPAddress.parseIPv6(text)
        } else {
            do { self.init(ipv4: try IPAddress.parseIPv4(text)) } catch {
                throw AddressError(wanted: "IP address", text: String(text), problem: error)
            }
        }
    }

    /// nil where `init(parsing:)` would throw.
    public init?(_ text: String) {
        guard let address = try? IPAddress(parsing: text) else { return nil }
        self = address
    }

    /// Four decimal numbers without leading zeros.
    private static func parseIPv4(_ text: some StringProtocol) throws(AddressError.Problem) -> UInt32 {
        guard !text.isEmpty else { throw .empty }
        var value: UInt32 = 0
        var octet: UInt32 = 0
        var digits = 0
        var octets = 0
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"):
                guard digits < 3 else { throw .badGroup }
                guard digits == 0 || octet != 0 else { throw .leadingZero }
                octet = octet * 10 + UInt32(byte - UInt8(ascii: "0"))
                guard octet <= 255 else { throw .groupTooLarge }
                digits += 1
            case UInt8(ascii: "."):
                guard digits > 0 else { throw .badGroup }
                octets += 1
                guard octets < 4 else { throw .wrongGroupCount }
                value = value << 8 | octet
                octet = 0
                digits = 0
            default: throw .badCharacter
            }
        }
        guard digits > 0 else { throw .badGroup }
        guard octets == 3 else { throw .wrongGroupCount }
        return value << 8 | octet
    }

    /// RFC 4291 section 2.2: eight groups, at most one '::', the last two groups may be an IPv4 address.
    private static func parseIPv6(_ text: some StringProtocol) throws(AddressError) -> IPAddress {
        func fail(_ problem: AddressError.Problem) -> AddressError { AddressError(wanted: "IPv6 address", text: String(text), problem: problem) }
        var groups: [UInt16] = []
        var compression: Int? = nil
        let bytes = Array(text.utf8)
        var index = 0
        if bytes.starts(with: [UInt8(ascii: ":"), UInt8(ascii: ":")]) {
            compression = 0
            index = 2
        }
        while index < bytes.count {
            var end = index
            while end < bytes.count, bytes[end] != UInt8(ascii: ":") { end += 1 }
            let group = bytes[index..<end]
            if end == bytes.count, group.contains(UInt8(ascii: ".")) {
                let embedded: UInt32
                do { embedded = try parseIPv4(String(decoding: group, as: UTF8.self)) } catch { throw fail(error) }
                groups.append(UInt16(embedded >> 16))
                groups.append(UInt16(embedded & 0xffff))
                index = end
                break
            }
            guard (1...4).contains(group.count) else { throw fail(.badGroup) }
            var value: UInt16 = 0
            for byte in group {
                guard let digit = hexDigit(byte) else { throw fail(.badCharacter) }
                value = value << 4 | UInt16(digit)
            }
            groups.append(value)
            guard groups.count <= 8 else { throw fail(.wrongGroupCount) }
            index = end
            if index == bytes.count { break }
            index += 1
            guard index < bytes.count else { throw fail(.badGroup) }
            if bytes[index] == UInt8(ascii: ":") {
                guard compression == nil else { throw fail(.twoCompressions) }
                compression = groups.count
                index += 1
            }
        }
        if let compression {
            guard groups.count < 8 else { throw fail(.wrongGroupCount) }
            groups.insert(contentsOf: repeatElement(0, count: 8 - groups.count), at: compression)
        }
        guard groups.count == 8 else { throw fail(.wrongGroupCount) }
        let high = groups[..<4].reduce(UInt64(0)) { $0 << 16 | UInt64($1) }
        let low = groups[4...].reduce(UInt64(0)) { $0 << 16 | UInt64($1) }
        return IPAddress(ipv6High: high, low: low)
    }
}

extension EthernetAddress: LosslessStringConvertible {
    /// Six groups of two hexadecimal digits with colons between them.
    public init(parsing text: some StringProtocol) throws(AddressError) {
        func fail(_ problem: AddressError.Problem) -> AddressError { AddressError(wanted: "MAC address", text: String(text), problem: problem) }
        guard !text.isEmpty else { throw fail(.empty) }
        let groups = text.utf8.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)
        guard groups.count == 6 else { throw fail(.wrongGroupCount) }
        var value: UInt64 = 0
        for group in groups {
            guard group.count == 2 else { throw fail(.badGroup) }
            for byte in group {
                guard let digit = hexDigit(byte) else { throw fail(.badCharacter) }
                value = value << 4 | UInt64(digit)
            }
        }
        self.init(rawValue: value)
    }

    public init?(_ text: String) {
        guard let address = try? EthernetAddress(parsing: text) else { return nil }
        self = address
    }
}

extension IPPrefix: LosslessStringConvertible {
    /// `address/length`; without a length, the address alone. Host bits are kept: an interface's `10.0.1.1/24` has them.
    public init(parsing text: some StringProtocol) throws(AddressError) {
        guard let slash = text.firstIndex(of: "/") else {
            let address = try IPAddress(parsing: text)
            self.init(address: address, length: UInt8(address.family.addressBits))
            return
        }
        let address = try IPAddress(parsing: text[..<slash])
        let digits = text[text.index(after: slash)...].utf8
        let isDecimal = !digits.isEmpty && digits.count <= 3 && digits.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
        guard isDecimal, digits.count == 1 || digits.first != UInt8(ascii: "0") else {
            throw AddressError(wanted: "prefix", text: String(text), problem: .badPrefixLength)
        }
        let length = digits.reduce(0) { $0 * 10 + Int($1 - UInt8(ascii: "0")) }
        guard length <= address.family.addressBits else { throw AddressError(wanted: "prefix", text: String(text), problem: .badPrefixLength) }
        self.init(address: address, length: UInt8(length))
    }

    public init?(_ text: String) {
        guard let prefix = try? IPPrefix(parsing: text) else { return nil }
        self = prefix
    }
}

private func hexDigit(_ byte: UInt8) -> UInt8? {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
    case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
    case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
    default: nil
    }
}
