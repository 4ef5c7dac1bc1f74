// Prefix arithmetic that the checks need.
import Wire

extension IPPrefix {
    /// The address with every bit behind the prefix cleared.
    var network: IPAddress { address.masked(Int(length)) }

    func holds(_ other: IPAddress) -> Bool { other.family == address.family && other.masked(Int(length)) == network }
}

extension IPAddress {
    fileprivate func masked(_ length: Int) -> IPAddress {
        if family == .ipv4 { return IPAddress(ipv4: length == 0 ? 0 : ipv4 & (~UInt32(0) << UInt32(32 - length))) }
        func mask(_ bits: Int) -> UInt64 { bits <= 0 ? 0 : bits >= 64 ? ~0 : ~0 << UInt64(64 - bits) }
        return IPAddress(ipv6High: high & mask(length), low: low & mask(length - 64))
    }
}
