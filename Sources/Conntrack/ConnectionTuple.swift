// What identifies one direction of a connection.
//
// Invariant: two packets of one direction give equal tuples; `inverted` of a tuple is what the answer shows. Plain
// data, 40 bytes, host order.
import Wire

/// Source and destination of one direction, with protocol and zone (`struct nf_conntrack_tuple`).
@frozen public struct ConnectionTuple: Hashable, Sendable {
    public var sourceHigh: UInt64 = 0
    public var sourceLow: UInt64 = 0
    public var destinationHigh: UInt64 = 0
    public var destinationLow: UInt64 = 0
    /// TCP, UDP, UDP-Lite, SCTP: port. ICMP and ICMPv6: identifier. GRE version 1: call ID. 0 for other protocols.
    public var sourcePort: UInt16 = 0
    /// TCP, UDP, UDP-Lite, SCTP: port. ICMP and ICMPv6: `type << 8 | code`. GRE version 1: call ID. 0 for other protocols.
    public var destinationPort: UInt16 = 0
    /// Zone of this direction.
    public var zone: UInt16 = 0
    public var transportProtocol: UInt8 = 0
    public var family: AddressFamily = .ipv4
    @inlinable public init() {}

    @inlinable public var source: IPAddress {
        get { IPAddress(family: family, high: sourceHigh, low: sourceLow) }
        set {
            sourceHigh = newValue.high
            sourceLow = newValue.low
        }
    }
    @inlinable public var destination: IPAddress {
        get { IPAddress(family: family, high: destinationHigh, low: destinationLow) }
        set {
            destinationHigh = newValue.high
            destinationLow = newValue.low
        }
    }

    /// ICMP type; meaningless for protocols with ports.
    @inlinable public var icmpType: UInt8 { UInt8(truncatingIfNeeded: destinationPort >> 8) }
    @inlinable public var icmpCode: UInt8 { UInt8(truncatingIfNeeded: destinationPort) }
    @inlinable var isICMP: Bool { transportProtocol == IPProtocol.icmp || transportProtocol == IPProtocol.icmpv6 }

    /// The tuple of the answer; nil for an ICMP message that has no answer. The zone stays.
    @inline(__always) var inverted: ConnectionTuple? {
        var result = self
        result.sourceHigh = destinationHigh
        result.sourceLow = destinationLow
        result.destinationHigh = sourceHigh
        result.destinationLow = sourceLow
        if transportProtocol == IPProtocol.icmp {
            guard let answer = ConnectionTuple.icmpAnswer(icmpType) else { return nil }
            result.destinationPort = UInt16(answer) << 8 | UInt16(icmpCode)
        } else if transportProtocol == IPProtocol.icmpv6 {
            guard let answer = ConnectionTuple.icmpv6Answer(icmpType) else { return nil }
            result.destinationPort = UInt16(answer) << 8 | UInt16(icmpCode)
        } else {
            result.sourcePort = destinationPort
            result.destinationPort = sourcePort
        }
        return result
    }

    /// Echo, timestamp, information, address mask (RFC 792, RFC 950), either way.
    static func icmpAnswer(_ type: UInt8) -> UInt8? {
        switch type {
        case 8: 0
        case 0: 8
        case 13: 14
        case 14: 13
        case 15: 16
        case 16: 15
        case 17: 18
        case 18: 17
        default: nil
        }
    }

    /// Echo (RFC 4443) and node information (RFC 4620), either way.
    static func icmpv6Answer(_ type: UInt8) -> UInt8? {
        switch type {
        case 128: 129
        case 129: 128
        case 139: 140
        case 140: 139
        default: nil
        }
    }
}

/// Conntrack zone of a packet (`ct zone set`, `ct original zone set`, `ct reply zone set`).
@frozen public struct ConnectionZone: Hashable, Sendable {
    public var identifier: UInt16
    /// Directions that the zone holds for: bit 0 original, bit 1 reply; a direction without it is in zone 0.
    public var directions: UInt8
    @inlinable public init(_ identifier: UInt16 = 0, directions: UInt8 = 3) {
        self.identifier = identifier
        self.directions = directions
    }
    @inlinable public static var `default`: ConnectionZone { ConnectionZone() }
    @inlinable public func identifier(of direction: ConnectionDirection) -> UInt16 {
        directions & (1 << direction.rawValue) != 0 ? identifier : 0
    }
}

/// Which way a packet runs in its connection.
@frozen public enum ConnectionDirection: UInt8, Hashable, Sendable {
    case original = 0
    case reply = 1
    @inlinable public var opposite: ConnectionDirection { self == .original ? .reply : .original }
}
