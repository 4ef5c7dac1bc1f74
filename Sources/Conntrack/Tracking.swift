// What connection tracking says of one packet.
import Wire

/// State of a packet in its connection; raw values are the bits of nft's `ct state`.
@frozen public enum TrackingState: UInt8, Hashable, Sendable {
    case invalid = 1
    case established = 2
    case related = 4
    case new = 8
    case untracked = 64
}

/// Which end of the packet a NAT binding changes: destination at prerouting and output, source at postrouting and input.
@frozen public enum NATManipulation: UInt8, Hashable, Sendable { case source, destination }

/// Why a packet belongs to no connection; counted by name, printed and exported like drop reasons.
@frozen public enum InvalidReason: UInt8, CaseIterable, Sendable {
    case none
    case badChecksum, badHeader, fragment, badFlags, noTransition, noPickUp
    case dataBeyondWindow, acknowledgesUnseenData, dataBelowWindow, acknowledgementTooOld, resetOutOfWindow
    case icmpUnknownType, icmpNotNew, icmpErrorTruncated, icmpErrorUnrelated, icmpErrorMisaddressed, icmpRedirect
    case notInvertible, sctpBadChunk, sctpBadTag

    /// The name in `snake_case`.
    public var name: String {
        var result = ""
        for character in String(describing: self) {
            if character.isUppercase { result += "_" + character.lowercased() } else { result.append(character) }
        }
        return result
    }
}

/// The result of `ConnectionTracker.track`, carried along with the packet.
@frozen public struct Tracking: Sendable {
    /// Index of the connection, or `Connection.none` (invalid, untracked, dropped).
    public var connection = Connection.none
    /// The slot's generation when the packet was tracked.
    public var generation: UInt32 = 0
    public var state = TrackingState.invalid
    public var direction = ConnectionDirection.original
    /// An ICMP error about the connection: its inner packet is translated, and no NAT chain is asked.
    public var isRelatedError = false
    public var invalidReason = InvalidReason.none
    /// The packet ended a closed connection and began another: all that is looked at was looked at twice (NF_REPEAT).
    public var wasRepeated = false
    /// Other than `.none`: drop the packet (table full, …).
    public var dropReason = DropReason.none
    @inlinable public init() {}

    @inlinable public var hasConnection: Bool { connection != Connection.none }
    /// `ct direction`, and IP_CT_IS_REPLY.
    @inlinable public var isReply: Bool { direction == .reply }

    /// What a packet is that conntrack has not seen yet.
    public static var unseen: Tracking { Tracking() }
    /// What `notrack` makes of a packet.
    public static var untracked: Tracking {
        var tracking = Tracking()
        tracking.state = .untracked
        return tracking
    }
}

/// When packets that passed by the slow path were last seen, behind a C function pointer: the function only reads, and not the tracker.
public struct ConnectionLastUse {
    /// Of the connection with this index, at `now`; 0 if there were none.
    public typealias Function = @convention(c) (UnsafeMutableRawPointer, UInt32, Timestamp) -> Timestamp
    let function: Function
    let userData: UnsafeMutableRawPointer
    /// `userData` outlives the tracker.
    public init(userData: UnsafeMutableRawPointer, function: Function) {
        self.userData = userData
        self.function = function
    }
}
