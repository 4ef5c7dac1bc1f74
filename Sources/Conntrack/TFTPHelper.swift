// TFTP (RFC 1350; nf_conntrack_tftp.c, nf_nat_tftp.c): the answer to a request comes from another port.
//
// Invariant: reads two bytes behind the UDP header and changes nothing.
import Wire

extension ConnectionTracker {
    /// - Returns: false: drop the packet, whose answer would not be let in.
    mutating func readTFTP(_ packet: PacketBuffer, _ parsed: ParsedPacket, _ tracking: Tracking, now: Timestamp) -> Bool {
        guard parsed.transportProtocol == IPProtocol.udp, parsed.transportLength >= 10 else { return true }
        let operation = packet.load16(Int(parsed.transportOffset) + 8)
        // Read or write request.
        guard operation == 1 || operation == 2 else { return true }
        let connection = pool + Int(tracking.connection)
        var expectation = Expectation()
        expectation.tuple = connection.pointee.reply
        expectation.tuple.sourcePort = 0
        if connection.pointee.isTranslated {
            expectation.translation = .master
            expectation.savedPort = connection.pointee.original.sourcePort
            expectation.direction = .reply
        }
        return expect(&expectation, tracking, limit: 1, seconds: 300, now: now) == nil
    }
}
