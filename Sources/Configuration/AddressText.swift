// Addresses as people write them, by the C library, which knows every form of them.
import Foundation
import Wire

extension IPAddress {
    /// `10.0.1.2`, `fd00::2`; nil for anything else.
    init?(text: String) {
        var v4 = in_addr()
        var v6 = in6_addr()
        if inet_pton(AF_INET, text, &v4) == 1 {
            self.init(ipv4: UInt32(bigEndian: v4.s_addr))
        } else if inet_pton(AF_INET6, text, &v6) == 1 {
            let (high, low) = withUnsafeBytes(of: &v6) { (UInt64(bigEndian: $0.load(as: UInt64.self)), UInt64(bigEndian: $0.load(fromByteOffset: 8, as: UInt64.self))) }
            self.init(ipv6High: high, low: low)
        } else {
            return nil
        }
    }

    var text: String {
        var buffer = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
        if family == .ipv4 {
            var v4 = in_addr(s_addr: ipv4.bigEndian)
            inet_ntop(AF_INET, &v4, &buffer, socklen_t(buffer.count))
        } else {
            var words = (high.bigEndian, low.bigEndian)
            inet_ntop(AF_INET6, &words, &buffer, socklen_t(buffer.count))
        }
        return String(decoding: buffer.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    /// 224.0.0.0/4 or ff00::/8.
    var isMulticast: Bool { family == .ipv4 ? ipv4 >> 28 == 0xe : high >> 56 == 0xff }

    /// The first `length` bits, the rest zero.
    func masked(_ length: Int) -> IPAddress {
        if family == .ipv4 { return IPAddress(ipv4: length == 0 ? 0 : ipv4 & (~UInt32(0) << UInt32(32 - length))) }
        func mask(_ bits: Int) -> UInt64 { bits <= 0 ? 0 : bits >= 64 ? ~0 : ~0 << UInt64(64 - bits) }
        return IPAddress(ipv6High: high & mask(length), low: low & mask(length - 64))
    }
}

extension IPPrefix {
    /// `10.0.1.1/24`, `fd00::/64`; the length must be there, since a forgotten one is a common mistake.
    init?(text: String) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2, let address = IPAddress(text: String(parts[0])), (1...3).contains(parts[1].count),
            parts[1].allSatisfy({ $0.isASCII && $0.isNumber }), let length = UInt8(parts[1]), length <= address.family.addressBits
        else { return nil }
        self.init(address: address, length: length)
    }

    var text: String { "\(address.text)/\(length)" }

    var network: IPAddress { address.masked(Int(length)) }

    func contains(_ other: IPAddress) -> Bool { other.family == address.family && other.masked(Int(length)) == network }
}

extension EthernetAddress {
    /// `02:00:00:00:0a:02`.
    init?(text: String) {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 6, parts.allSatisfy({ (1...2).contains($0.count) && $0.allSatisfy { $0.isASCII && $0.isHexDigit } }) else { return nil }
        self.init(rawValue: parts.reduce(0) { $0 << 8 | UInt64($1, radix: 16)! })
    }

    var text: String {
        (0..<6).map { byte in
            let value = UInt8(truncatingIfNeeded: rawValue >> UInt64(40 - 8 * byte))
            return (value < 16 ? "0" : "") + String(value, radix: 16)
        }.joined(separator: ":")
    }
}
