// Connections as text, in the form of `conntrack -L`.
//
// Invariant: reads only. For the control plane: strings are built here, no packet waits for it.
import Wire

extension Connection {
    /// The line that `conntrack -L` prints.
    /// - Parameters:
    ///   - counters: print packets and bytes, as Linux does if nf_conntrack_acct is on.
    ///   - now: for the seconds left.
    public func listing(now: Timestamp, counters: Bool = true) -> String {
        let name = Connection.protocolName(transportProtocol)
        var line = name + String(repeating: " ", count: max(0, 8 - name.utf8.count)) + " \(transportProtocol) "
        if !status.contains(.offload) {
            line += "\(deadline > now ? (deadline - now) / 1_000_000_000 : 0) "
            if let state = protocolState { line += state + " " }
        }
        line += original.listing + " "
        let isWholeZone = zone.directions == 3
        if !isWholeZone && original.zone != 0 { line += "zone-orig=\(original.zone) " }
        if counters { line += "packets=\(originalPackets) bytes=\(originalBytes) " }
        if !status.contains(.seenReply) { line += "[UNREPLIED] " }
        line += reply.listing + " "
        if !isWholeZone && reply.zone != 0 { line += "zone-reply=\(reply.zone) " }
        if counters { line += "packets=\(replyPackets) bytes=\(replyBytes) " }
        if status.contains(.hardwareOffload) {
            line += "[HW_OFFLOAD] "
        } else if status.contains(.offload) {
            line += "[OFFLOAD] "
        } else if status.contains(.assured) {
            line += "[ASSURED] "
        }
        line += "mark=\(mark) "
        if isWholeZone && zone.identifier != 0 { line += "zone=\(zone.identifier) " }
        if let helperName { line += "helper=\(helperName) " }
        return line + "use=\(status.contains(.offload) ? 2 : 1)"
    }

    /// Name of the helper that reads the connection, nil for none.
    public var helperName: String? { ConnectionHelper(rawValue: helper)?.name }
    /// `tcp`, `udp`, ...; `unknown` for protocols without a name.
    public var protocolName: String { Connection.protocolName(transportProtocol) }
    /// TCP state as Linux names it: `ESTABLISHED`.
    public var stateName: String { Connection.stateName(tcpState) }

    /// nil for protocols without states.
    private var protocolState: String? {
        switch transportProtocol {
        case IPProtocol.tcp: Connection.stateName(tcpState)
        case IPProtocol.sctp: (SCTPState(rawValue: sctp.state) ?? .none).name
        default: nil
        }
    }

    static func protocolName(_ number: UInt8) -> String {
        switch number {
        case IPProtocol.tcp: "tcp"
        case IPProtocol.udp: "udp"
        case IPProtocol.udplite: "udplite"
        case IPProtocol.icmp: "icmp"
        case IPProtocol.icmpv6: "icmpv6"
        case IPProtocol.sctp: "sctp"
        case IPProtocol.gre: "gre"
        case IPProtocol.dccp: "dccp"
        default: "unknown"
        }
    }

    static func stateName(_ state: TCPState) -> String {
        switch state {
        case .none: "NONE"
        case .synSent: "SYN_SENT"
        case .synReceived: "SYN_RECV"
        case .established: "ESTABLISHED"
        case .finWait: "FIN_WAIT"
        case .closeWait: "CLOSE_WAIT"
        case .lastAck: "LAST_ACK"
        case .timeWait: "TIME_WAIT"
        case .close: "CLOSE"
        case .synSent2: "SYN_SENT2"
        }
    }
}

extension ConnectionTuple {
    var listing: String {
        let addresses = "src=\(source.text) dst=\(destination.text)"
        switch transportProtocol {
        case IPProtocol.icmp, IPProtocol.icmpv6: return addresses + " type=\(icmpType) code=\(icmpCode) id=\(sourcePort)"
        case IPProtocol.tcp, IPProtocol.udp, IPProtocol.udplite, IPProtocol.sctp, IPProtocol.dccp: return addresses + " sport=\(sourcePort) dport=\(destinationPort)"
        case IPProtocol.gre: return addresses + " srckey=0x\(String(sourcePort, radix: 16)) dstkey=0x\(String(destinationPort, radix: 16))"
        default: return addresses
        }
    }
}

extension IPAddress {
    /// Dotted quad, or RFC 5952.
    var text: String {
        if family == .ipv4 { return "\(ipv4 >> 24).\(ipv4 >> 16 & 255).\(ipv4 >> 8 & 255).\(ipv4 & 255)" }
        let words = (0..<8).map { index in UInt16(truncatingIfNeeded: (index < 4 ? high : low) >> UInt64(48 - 16 * (index & 3))) }
        if high == 0 && low >> 32 == 0xffff { return "::ffff:" + IPAddress(ipv4: UInt32(truncatingIfNeeded: low)).text }
        // The longest run of at least two zeros, the first of equals.
        var best = 0..<0
        var start = 0
        while start < 8 {
            var end = start
            while end < 8 && words[end] == 0 { end += 1 }
            if end - start >= 2 && end - start > best.count { best = start..<end }
            start = max(end, start + 1)
        }
        func join(_ range: Range<Int>) -> String { range.map { String(words[$0], radix: 16) }.joined(separator: ":") }
        return best.isEmpty ? join(0..<8) : join(0..<best.lowerBound) + "::" + join(best.upperBound..<8)
    }
}
