// Frames for the tests, built byte by byte with checksums computed from scratch: what the emulated NIC made by
// incremental updates is compared with a frame that was never rewritten.
import Wire

struct Frame: Equatable {
    var destinationMAC: UInt64 = 0x0200_0000_0001
    var sourceMAC: UInt64 = 0x0200_0000_00aa
    var vlans: [UInt16] = []
    var family: UInt8 = 4
    var source: [UInt8] = [10, 0, 1, 2]
    var destination: [UInt8] = [10, 0, 2, 2]
    var transportProtocol: UInt8 = 6
    var sourcePort: UInt16 = 40000
    var destinationPort: UInt16 = 443
    var tcpFlags: UInt8 = 0x10
    var ttl: UInt8 = 64
    var trafficClass: UInt8 = 0
    var fragment: UInt16 = 0x4000
    var options: [UInt8] = []
    var payload: [UInt8] = Array("needletail".utf8)
    var hasUDPChecksum = true
    var padding = 0
    /// Added to the transport checksum, to break it.
    var checksumError: UInt16 = 0

    var transport: [UInt8] {
        var bytes: [UInt8] = []
        bytes += be(sourcePort) + be(destinationPort)
        if transportProtocol == 6 {
            bytes += [0, 0, 0, 1, 0, 0, 0, 2, 0x50, tcpFlags, 0x20, 0, 0, 0, 0, 0] + payload
        } else {
            bytes += be(UInt16(8 + payload.count)) + [0, 0] + payload
        }
        let pseudo = source + destination + be(UInt16(bytes.count)) + be(UInt16(transportProtocol))
        var checksum = ~sum(pseudo + bytes)
        if transportProtocol == 17 && checksum == 0 { checksum = 0xffff }
        checksum = checksum &+ checksumError
        let at = transportProtocol == 6 ? 16 : 6
        if transportProtocol == 17 && !hasUDPChecksum { checksum = 0 }
        bytes.replaceSubrange(at..<at + 2, with: be(checksum))
        return bytes
    }

    var bytes: [UInt8] {
        var frame = mac(destinationMAC) + mac(sourceMAC)
        for vlan in vlans { frame += [0x81, 0x00] + be(vlan) }
        let body = transport
        if family == 4 {
            frame += [0x08, 0x00]
            var header: [UInt8] = [UInt8(0x45 + options.count / 4), trafficClass]
            header += be(UInt16(20 + options.count + body.count)) + [0, 7] + be(fragment) + [ttl, transportProtocol, 0, 0]
            header += source + destination + options
            header.replaceSubrange(10..<12, with: be(~sum(header)))
            frame += header
        } else {
            frame += [0x86, 0xdd, 0x60 | trafficClass >> 4, trafficClass << 4, 0, 0]
            frame += be(UInt16(body.count)) + [transportProtocol, ttl] + source + destination
        }
        return frame + body + [UInt8](repeating: 0, count: padding)
    }

    private func sum(_ bytes: [UInt8]) -> UInt16 {
        var total: UInt32 = 0
        for at in stride(from: 0, to: bytes.count, by: 2) {
            total += UInt32(bytes[at]) << 8 + UInt32(at + 1 < bytes.count ? bytes[at + 1] : 0)
        }
        while total > 0xffff { total = total & 0xffff + total >> 16 }
        return UInt16(total)
    }

    private func be(_ value: UInt16) -> [UInt8] { [UInt8(value >> 8), UInt8(value & 0xff)] }
    private func mac(_ value: UInt64) -> [UInt8] { (0..<6).map { UInt8(truncatingIfNeeded: value >> (40 - 8 * UInt64($0))) } }

    static func address(_ bytes: [UInt8]) -> IPAddress {
        if bytes.count == 4 { return IPAddress(ipv4: bytes.reduce(0) { $0 << 8 | UInt32($1) }) }
        return IPAddress(
            ipv6High: bytes[..<8].reduce(0) { $0 << 8 | UInt64($1) }, low: bytes[8...].reduce(0) { $0 << 8 | UInt64($1) })
    }

    /// 2001:db8:n::m as bytes.
    static func v6(_ n: UInt8, _ m: UInt8) -> [UInt8] { [0xfd, 0, 0, 0, 0, n] + [UInt8](repeating: 0, count: 9) + [m] }
}
