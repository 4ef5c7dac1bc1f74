// Frames for tests: hexadecimal text to bytes, and memory whose end is the end of a mapped page, so that a load beyond
// the frame ends the test process instead of going unnoticed.
import Wire

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// Bytes of hexadecimal text; white space is skipped.
func bytes(_ text: String) -> [UInt8] {
    let digits = text.filter { !$0.isWhitespace }
    var result: [UInt8] = []
    var index = digits.startIndex
    while index < digits.endIndex {
        let next = digits.index(index, offsetBy: 2)
        result.append(UInt8(digits[index..<next], radix: 16)!)
        index = next
    }
    return result
}

/// A buffer that ends where an inaccessible page begins.
final class GuardedMemory {
    let capacity: Int
    private let base: UnsafeMutableRawPointer

    init(capacity: Int) {
        let page = 4096
        self.capacity = (capacity + page - 1) / page * page
        base = mmap(nil, self.capacity + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        mprotect(base + self.capacity, page, PROT_NONE)
    }
    deinit { munmap(base, capacity + 4096) }

    /// The frame, ending at the guard page.
    func place(_ frame: [UInt8]) -> PacketBuffer {
        let start = base + (capacity - frame.count)
        frame.withUnsafeBytes { if $0.count > 0 { start.copyMemory(from: $0.baseAddress!, byteCount: $0.count) } }
        return PacketBuffer(start: start, length: frame.count, headroom: capacity - frame.count)
    }
}

/// SplitMix64: deterministic randomness for property tests.
struct SplitMix64: RandomNumberGenerator {
    var state: UInt64
    init(seed: UInt64) { state = seed }
    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}

func put16(_ value: UInt16, _ frame: inout [UInt8], _ offset: Int) {
    frame[offset] = UInt8(value >> 8)
    frame[offset + 1] = UInt8(value & 0xff)
}

let ethernet4 = bytes("02000000010a 02000000010b 0800")
let ethernet6 = bytes("02000000010a 02000000010b 86dd")

/// An IPv4 frame with a right header checksum; `options` must be a multiple of 4 bytes.
func ipv4Frame(
    _ transportProtocol: UInt8, _ payload: [UInt8], tos: UInt8 = 0, id: UInt16 = 0x1234, fragment: UInt16 = 0, ttl: UInt8 = 64,
    source: UInt32 = 0x0a00_0102, destination: UInt32 = 0x0a00_0202, options: [UInt8] = [], link: [UInt8] = ethernet4
) -> [UInt8] {
    var header = [UInt8](repeating: 0, count: 20) + options
    header[0] = 0x40 | UInt8(header.count / 4)
    header[1] = tos
    put16(UInt16(header.count + payload.count), &header, 2)
    put16(id, &header, 4)
    put16(fragment, &header, 6)
    header[8] = ttl
    header[9] = transportProtocol
    for i in 0..<4 {
        header[12 + i] = UInt8(truncatingIfNeeded: source >> UInt32(24 - 8 * i))
        header[16 + i] = UInt8(truncatingIfNeeded: destination >> UInt32(24 - 8 * i))
    }
    fixIPv4Checksum(&header, 0)
    return link + header + payload
}

/// Recomputes the checksum of the IPv4 header at `offset`, word by word (independent of `Checksum`).
func fixIPv4Checksum(_ frame: inout [UInt8], _ offset: Int) {
    put16(0, &frame, offset + 10)
    let length = Int(frame[offset] & 15) * 4
    put16(~referenceSum(Array(frame[offset..<min(offset + length, frame.count)])), &frame, offset + 10)
}

/// RFC 1071 in its plainest form.
func referenceSum(_ data: [UInt8]) -> UInt16 {
    var sum: UInt32 = 0
    for index in stride(from: 0, to: data.count, by: 2) {
        sum += UInt32(data[index]) << 8 | (index + 1 < data.count ? UInt32(data[index + 1]) : 0)
        if sum > 0xffff { sum = (sum & 0xffff) + 1 }
    }
    return UInt16(sum)
}

let ipv6A = bytes("fd000001000000000000000000000002")
let ipv6B = bytes("fd000002000000000000000000000002")

func ipv6Frame(_ nextHeader: UInt8, _ payload: [UInt8], trafficClass: UInt8 = 0, hopLimit: UInt8 = 64, source: [UInt8] = ipv6A, destination: [UInt8] = ipv6B) -> [UInt8] {
    var header = [UInt8](repeating: 0, count: 8)
    header[0] = 0x60 | trafficClass >> 4
    header[1] = trafficClass << 4
    put16(UInt16(payload.count), &header, 4)
    header[6] = nextHeader
    header[7] = hopLimit
    return ethernet6 + header + source + destination + payload
}

let tcpSYN = bytes("0400 0050 000003e8 00000000 5002 2000 0000 0000")
func udp(_ payload: [UInt8] = [1, 2, 3, 4], length: UInt16? = nil) -> [UInt8] {
    var header = bytes("1770 0035 0000 0000")
    put16(length ?? UInt16(8 + payload.count), &header, 4)
    return header + payload
}

/// Parses a copy of the frame that ends at a guard page.
func parse(_ frame: [UInt8], in memory: GuardedMemory) -> (DropReason, ParsedPacket) {
    var parsed = ParsedPacket()
    let reason = PacketParser.parse(memory.place(frame), into: &parsed)
    return (reason, parsed)
}
