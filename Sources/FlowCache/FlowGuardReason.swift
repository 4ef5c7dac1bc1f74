// Why a packet whose flow is cached goes to the slow path all the same; one counter each.
//
// Invariant: raw values index a worker's counters; `none` is never counted.

@frozen public enum FlowGuardReason: UInt8, CaseIterable, Sendable {
    case none
    /// IP fragment.
    case fragment
    /// IPv4 options or IPv6 extension headers.
    case options
    /// TTL or hop limit of 1 or 0: it ends here.
    case timeToLive
    /// Longer than the path takes.
    case tooLong
    /// TCP flags other than those the verdict holds for (SYN, FIN, RST, no ACK).
    case tcpFlags
    /// DSCP or ECN bits other than those the verdict holds for.
    case trafficClass
    /// The entry was made by an older ruleset, route or neighbour state.
    case generation
    /// Outside the connection's TCP window, or not judged here.
    case tcpWindow
    /// TCP, UDP or ICMP checksum is wrong.
    case transportChecksum
    /// Transport header cut short, or its length fields contradict the packet.
    case transportMalformed
    /// The frame lies in more than one buffer.
    case multipleSegments
    /// Not a flow: ICMP other than echo.
    case notAFlow
    /// The IPv4 header checksum is wrong: not for the slow path, the packet is dropped.
    case networkChecksum
    /// The entry is another worker's (FlowOwner.swift).
    case worker

    /// The name in `snake_case`, as metrics and `--json` print it.
    public var name: String {
        var result = ""
        for character in String(describing: self) {
            if character.isUppercase { result += "_" + character.lowercased() } else { result.append(character) }
        }
        return result
    }
}
