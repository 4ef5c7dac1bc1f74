// SYN cookies: a first sequence number that says who was answered and when, so that nothing need be kept of a client that has not
// shown that it is there. Built as Linux builds them (secure_tcp_syn_cookie), with a hash of our own.
//
// Invariant: a cookie is good for one client, one server, one first number of the client, and for two to three minutes. Without the
// secret one guess in 2^24 / 4 is right.
import Wire

struct SYNCookies {
    /// The segment sizes that a cookie can name, by family.
    private static let sizes4: (UInt16, UInt16, UInt16, UInt16) = (536, 1300, 1440, 1460)
    private static let sizes6: (UInt16, UInt16, UInt16, UInt16) = (1220, 1420, 1440, 8940)
    private static var period: Timestamp { 60_000_000_000 }
    private static var lifetime: UInt32 { 2 }
    private let secret: (UInt64, UInt64)

    init(seed: UInt64) {
        var random = SplitMix64(seed: seed ^ 0x5359_4e43_6f6f_6b69)
        secret = (random.next(), random.next())
    }

    private static func size(_ family: AddressFamily, _ index: UInt32) -> UInt16 {
        let sizes = family == .ipv4 ? sizes4 : sizes6
        switch index {
        case 0: return sizes.0
        case 1: return sizes.1
        case 2: return sizes.2
        default: return sizes.3
        }
    }

    /// SipHash-2-4 over the client, the server and a number.
    private func hash(_ parsed: ParsedPacket, _ count: UInt32, _ turn: UInt64) -> UInt32 {
        var v0 = secret.0 ^ 0x736f_6d65_7073_6575, v1 = secret.1 ^ 0x646f_7261_6e64_6f6d
        var v2 = secret.0 ^ 0x6c79_6765_6e65_7261, v3 = secret.1 ^ 0x7465_6462_7974_6573
        func round() {
            v0 &+= v1
            v1 = (v1 << 13 | v1 >> 51) ^ v0
            v0 = v0 << 32 | v0 >> 32
            v2 &+= v3
            v3 = (v3 << 16 | v3 >> 48) ^ v2
            v0 &+= v3
            v3 = (v3 << 21 | v3 >> 43) ^ v0
            v2 &+= v1
            v1 = (v1 << 17 | v1 >> 47) ^ v2
            v2 = v2 << 32 | v2 >> 32
        }
        func absorb(_ word: UInt64) {
            v3 ^= word
            round()
            round()
            v0 ^= word
        }
        absorb(parsed.sourceAddress.high)
        absorb(parsed.sourceAddress.low)
        absorb(parsed.destinationAddress.high)
        absorb(parsed.destinationAddress.low)
        absorb(UInt64(parsed.sourcePort) << 48 | UInt64(parsed.destinationPort) << 32 | UInt64(count))
        absorb(turn << 56 | 48)
        v2 ^= 0xff
        for _ in 0 ..< 4 { round() }
        let hash = v0 ^ v1 ^ v2 ^ v3
        return UInt32(truncatingIfNeeded: hash ^ hash >> 32)
    }

    /// The cookie for a SYN.
    /// - Parameter maximumSegmentSize: what the client offers; 0 if it says nothing.
    func make(_ parsed: ParsedPacket, sequence: UInt32, maximumSegmentSize: UInt16, now: Timestamp) -> UInt32 {
        let family = parsed.family ?? .ipv4
        var index: UInt32 = 3
        while index > 0, maximumSegmentSize < SYNCookies.size(family, index) { index -= 1 }
        let minute = UInt32(truncatingIfNeeded: now / SYNCookies.period)
        let noise = (hash(parsed, minute, 1) &+ index) & 0xff_ffff
        return hash(parsed, 0, 0) &+ sequence &+ minute << 24 &+ noise
    }

    /// The segment size that a cookie stands for; nil if it is none of ours, or too old.
    /// - Parameter sequence: the client's first.
    func check(_ cookie: UInt32, _ parsed: ParsedPacket, sequence: UInt32, now: Timestamp) -> UInt16? {
        let rest = cookie &- hash(parsed, 0, 0) &- sequence
        let minute = UInt32(truncatingIfNeeded: now / SYNCookies.period)
        let age = (minute &- rest >> 24) & 0xff
        guard age < SYNCookies.lifetime else { return nil }
        let index = (rest &- hash(parsed, minute &- age, 1)) & 0xff_ffff
        return index < 4 ? SYNCookies.size(parsed.family ?? .ipv4, index) : nil
    }
}
