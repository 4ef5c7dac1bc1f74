// Why a packet did not leave: one name for each way to end, counted wherever a packet is dropped.
//
// Invariant: raw values index the counters of a worker and of the slow path; `none` is never counted.

/// The reason for which a packet was dropped. Names are stable: they are printed, exported as metrics and tested.
@frozen public enum DropReason: UInt8, CaseIterable, Sendable {
    case none
    // Link layer
    case frameTooShort, frameTooLong, vlanTruncated, vlanTooDeep, vlanUnknown, pppoeMalformed, pppoeUnknownSession, pppoeUnknownProtocol, notForUs, unknownEtherType
    // IPv4
    case ipv4Truncated, ipv4BadVersion, ipv4BadHeaderLength, ipv4BadTotalLength, ipv4BadChecksum, ipv4BadOption
    // IPv6
    case ipv6Truncated, ipv6BadVersion, ipv6BadPayloadLength, ipv6ExtensionTruncated, ipv6TooManyExtensions, ipv6BadOption, ipv6RoutingHeader
    // Addresses
    case martianSource, martianDestination, multicastDestination
    // Fragments
    case fragmentOverlap, fragmentTooLong, fragmentBadLength, fragmentTimeout, fragmentTableFull, fragmentTooMany, fragmentHeaderTruncated, fragmentECNMismatch
    // ARP and neighbour discovery
    case arpMalformed, arpNotForUs, ndMalformed, ndBadHopLimit, neighbourUnresolved, neighbourQueueFull, neighbourTableFull
    // Connection tracking and NAT
    case connectionTableFull, natExhausted, natClash, connectionInsertRace, tcpBadState, helperRefused
    // Ruleset
    case ruleDrop, policyDrop, ruleReject, ruleStolen, rulesetError
    // Routing
    case noRoute, blackholeRoute, unreachableRoute, prohibitRoute, timeToLiveExceeded, packetTooBig, portDown
    // Local delivery
    case localNoListener, localNoProtocol, localHandled, icmpErrorSuppressed, icmpRateLimited
    // Resources of the data plane
    case puntRingFull, transmitRingFull, transmitFailed, noBuffer, shuttingDown

    /// The name in `snake_case`, as metrics and `--json` print it.
    public var name: String {
        var result = ""
        for character in String(describing: self) {
            if character.isUppercase { result += "_" + character.lowercased() } else { result.append(character) }
        }
        return result
    }
}
