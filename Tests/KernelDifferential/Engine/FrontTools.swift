// What every front needs: its clock, what a NIC would say of a frame, and a fault to plant.
import FlowCache
import Wire

/// When the clockwork runs: as the slow-path core's, 10 ms after the last time or later, when the next frame comes.
struct Clockwork {
    private var next: Timestamp = 0
    private var last: Timestamp = 0
    /// The last frame came a second before this one, or earlier.
    private(set) var wasLong = false

    mutating func isDue(_ now: Timestamp) -> Bool {
        wasLong = now - last >= 1_000_000_000
        last = now
        guard now >= next else { return false }
        next = now + 10_000_000
        return true
    }
}

extension VerifiedChecksums {
    /// What a NIC would say of the frame's checksums.
    public init(_ start: UnsafeMutableRawPointer, _ length: Int) {
        var parsed = ParsedPacket()
        let packet = PacketBuffer(start: start, length: length)
        // Most NICs do not look into PPPoE; then they say nothing.
        let isWhole = PacketParser.parse(packet, into: &parsed) == .none && parsed.family != nil
        self.init(network: isWhole, transport: isWhole && Checksum.verifyTracked(packet, parsed))
    }
}

extension FlowAction {
    /// `Mutation.wrongGuard`.
    public mutating func loosen() {
        maximumLength = UInt16.max
        guardTrafficClassMask = 0
        guardTrafficClassValue = 0
        tcpFlagsMask = 0
        tcpFlagsValue = 0
        flags &= ~FlowAction.Flag.checksTCPWindow
    }
}
