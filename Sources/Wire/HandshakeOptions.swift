// The options of a TCP handshake, as synproxy reads and writes them (synproxy_parse_options, synproxy_build_options).
//
// Invariant: options are read only inside the header that the caller names; what is written is `length` bytes, whole words.

public struct HandshakeOptions: Sendable, Equatable {
    /// The values of Linux (`NF_SYNPROXY_OPT_*`).
    public struct Present: OptionSet, Sendable {
        public var rawValue: UInt8
        public init(rawValue: UInt8) { self.rawValue = rawValue }
        public static var maximumSegmentSize: Present { Present(rawValue: 1) }
        public static var windowScale: Present { Present(rawValue: 2) }
        public static var sackPermitted: Present { Present(rawValue: 4) }
        public static var timestamp: Present { Present(rawValue: 8) }
    }
    public var present: Present = []
    public var maximumSegmentSize: UInt16 = 0
    /// 14 at most (RFC 7323 section 2.3).
    public var windowScale: UInt8 = 0
    public var timestamp: UInt32 = 0
    public var timestampEcho: UInt32 = 0
    public init() {}

    /// Reads the options of the segment whose header begins at `offset`; nil if the header is cut short.
    public init?(_ packet: PacketBuffer, at offset: Int, available: Int) {
        guard available >= 20 else { return nil }
        let header = Int(packet.load8(offset + 12) >> 4) * 4
        guard header >= 20, header <= available else { return nil }
        for option in TCPOptions(header: packet.start + offset, length: header) {
            let place = offset + option.offset
            switch (option.kind, option.length) {
            case (2, 4):
                maximumSegmentSize = packet.load16(place + 2)
                present.insert(.maximumSegmentSize)
            case (3, 3):
                windowScale = min(packet.load8(place + 2), 14)
                present.insert(.windowScale)
            case (4, 2): present.insert(.sackPermitted)
            case (8, 10):
                timestamp = packet.load32(place + 2)
                timestampEcho = packet.load32(place + 6)
                present.insert(.timestamp)
            default: break
            }
        }
    }

    /// Bytes that `write` stores.
    public var length: Int {
        var length = 0
        if present.contains(.maximumSegmentSize) { length += 4 }
        if present.contains(.timestamp) { length += 12 } else if present.contains(.sackPermitted) { length += 4 }
        if present.contains(.windowScale) { length += 4 }
        return length
    }

    /// Writes the options behind a header of 20 bytes, in Linux's order.
    public func write(to frame: PacketBuffer, at offset: Int) {
        var place = offset
        func store(_ word: UInt32) {
            frame.store32(word, at: place)
            place += 4
        }
        if present.contains(.maximumSegmentSize) { store(0x0204_0000 | UInt32(maximumSegmentSize)) }
        if present.contains(.timestamp) {
            store(present.contains(.sackPermitted) ? 0x0402_080a : 0x0101_080a)
            store(timestamp)
            store(timestampEcho)
        } else if present.contains(.sackPermitted) {
            store(0x0101_0402)
        }
        if present.contains(.windowScale) { store(0x0103_0300 | UInt32(windowScale)) }
    }
}
