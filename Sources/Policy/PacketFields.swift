// The keys of `meta` and `ct` expressions and the bases of payload expressions, as operands of instructions.

enum PayloadBase: UInt8 {
    case link = 0, network = 1, transport = 2, inner = 3
}

enum MetaKey: UInt8 {
    case length, networkProtocol, family, transportProtocol, mark, priority, trace, packetType
    case inputIndex, inputName, inputType, inputGroup, inputKind
    case outputIndex, outputName, outputType, outputGroup, outputKind
    case cpu, random, time, day, hour, routeClass, secpath
    /// Layer-2 interface of a VRF, bridge names and VLANs: a forwarder's port is no member of either.
    case none
    case inputSecondaryIndex, inputSecondaryName
}

enum ConntrackKey: UInt8 {
    case state, direction, status, mark, expiration, helper, label, zone, identifier, eventMask
    case bytes, packets, averagePacket
    case networkProtocol, transportProtocol, source, destination, sourceIPv4, sourceIPv6, destinationIPv4, destinationIPv6
    case sourcePort, destinationPort
    case secmark
}

/// Which connection direction a `ct` expression means; raw values as the view's `direction`.
enum ConntrackDirection: UInt32 {
    case original = 0, reply = 1, both = 2
}

enum RouteKey: UInt8 {
    case tcpMSS, nextHop4, nextHop6, classID
    case ipsec
}

/// What reading a field means for the flow: operand of load instructions. Values up to 199 are `WalkRecord.Reason`.
enum ReadClass {
    static let constant: UInt8 = 0
    static let tcpFlags: UInt8 = 200
    static let trafficClass4: UInt8 = 201
    static let trafficClass6: UInt8 = 202
    /// Where ports lie: part of the flow's key for protocols that have ports, else whatever stands there (ICMP's checksum).
    static let ports: UInt8 = 203
}
