// The neighbour table's vocabulary: states, timers, what `resolve` answers, what the table wants done.
//
// Invariant: plain values.
import Wire

/// NUD_ states.
@frozen public enum NeighbourState: UInt8, Sendable {
    case none
    /// Solicited, never answered; packets wait.
    case incomplete
    case reachable
    /// The address is known, but not confirmed lately; it is used, and checked upon use.
    case stale
    /// Used while stale: 5 s for a confirmation to turn up by itself.
    case delay
    /// Being asked by unicast.
    case probe
    case failed
    /// Configured; never expires, never learns.
    case permanent
}

/// Linux's defaults, in nanoseconds.
public struct NeighbourTimers: Sendable {
    public var reachable: Timestamp = 30_000_000_000
    public var delayFirstProbe: Timestamp = 5_000_000_000
    public var retransmit: Timestamp = 1_000_000_000
    public var staleCollection: Timestamp = 60_000_000_000
    /// An answer that changes the MAC address is ignored for this long after the last change (`locktime`; ARP only).
    public var lock: Timestamp = 1_000_000_000
    public var multicastSolicitations: UInt8 = 3
    public var unicastSolicitations: UInt8 = 3
    public init() {}
}

/// What `resolve` says.
public enum NeighbourResolution: Sendable {
    /// The MAC address, and the neighbour's number for `noteUse`.
    case resolved(EthernetAddress, neighbour: UInt32)
    /// The handle is queued. `displaced` is the handle that had to go for it (`DropReason.neighbourQueueFull`).
    case pending(displaced: UInt32?)
    /// The handle is not queued.
    case failed(DropReason)
}

/// What the table wants done.
public struct NeighbourEvent: Sendable {
    public enum Kind: Sendable {
        /// Send an ARP request or a neighbour solicitation for `address`: to `mac`, or, if that is zero, to everyone.
        case solicit
        /// The packet `handle` may go to `mac`.
        case transmit
        /// The packet `handle` is given up (`neighbourUnresolved`): Linux answers "host unreachable".
        case discard
    }
    public var kind: Kind
    public var address: IPAddress
    public var port: PortIndex
    public var mac: EthernetAddress
    public var handle: UInt32
}
