// The key as the table compares and hashes it: the packet's own bytes, loaded as they lie, without swapping any.
//
// Invariant: two packed keys are equal exactly if the `FlowKey`s are. Loads and stores are native and little-endian, which
// both CPUs that we build for (x86-64, aarch64) are: byte i of the packet is bits 8i of the word.
import Wire

@frozen public struct PackedFlowKey: Hashable, Sendable {
    /// IPv4: source and destination (bytes 12 to 19 of the header) in `address0`, the rest 0.
    /// IPv6: source in `address0`, `address1`, destination in `address2`, `address3` (bytes 8 to 39 of the header).
    public var address0: UInt64 = 0
    public var address1: UInt64 = 0
    public var address2: UInt64 = 0
    public var address3: UInt64 = 0
    /// Bits 0 to 31 the port fields as they lie (source first), 32 to 47 ingress port, 48 to 55 protocol, 56 to 57 VLAN count,
    /// 63 set if there is a PPPoE session header.
    public var tuple: UInt64 = 0
    /// VLAN tags as `FlowKey` has them: outer in bits 0 to 15, inner, or the PPPoE session, in bits 16 to 31.
    public var encapsulation: UInt32 = 0
    /// True for IPv6.
    public var isIPv6 = false

    @inlinable @inline(__always) public init() {}

    /// Beside the VLAN count: there is a PPPoE session header.
    @inlinable @inline(__always) static var pppoe: UInt8 { 0x80 }

    /// `ports` is the raw word of the two port fields; for ICMP echo the raw identifier in its low half and the raw type
    /// and code bytes in its high half.
    @inlinable @inline(__always)
    public static func tuple(ports: UInt32, transportProtocol: UInt8, ingress: PortIndex, vlanCount: UInt8) -> UInt64 {
        UInt64(ports) | UInt64(ingress) &<< 32 | UInt64(transportProtocol) &<< 48 | UInt64(vlanCount) &<< 56
    }

    @inlinable public init(_ key: FlowKey) {
        self.init()
        isIPv6 = key.source.family == .ipv6
        if isIPv6 {
            address0 = key.source.high.bigEndian
            address1 = key.source.low.bigEndian
            address2 = key.destination.high.bigEndian
            address3 = key.destination.low.bigEndian
        } else {
            address0 = UInt64(key.source.ipv4.bigEndian) | UInt64(key.destination.ipv4.bigEndian) << 32
        }
        tuple = PackedFlowKey.tuple(
            ports: PackedFlowKey.ports(source: key.sourcePort, destination: key.destinationPort),
            transportProtocol: key.transportProtocol, ingress: key.ingressPort,
            vlanCount: key.vlanCount | (key.pppoeSession == 0 ? 0 : PackedFlowKey.pppoe))
        encapsulation = UInt32(key.outerVLAN) | UInt32(key.pppoeSession == 0 ? key.innerVLAN : key.pppoeSession) << 16
    }

    /// The two port fields as they lie in a packet.
    @inlinable @inline(__always) static func ports(source: UInt16, destination: UInt16) -> UInt32 {
        UInt32(source.bigEndian) | UInt32(destination.bigEndian) << 16
    }

    public var flowKey: FlowKey {
        var key = FlowKey()
        if isIPv6 {
            key.source = IPAddress(ipv6High: UInt64(bigEndian: address0), low: UInt64(bigEndian: address1))
            key.destination = IPAddress(ipv6High: UInt64(bigEndian: address2), low: UInt64(bigEndian: address3))
        } else {
            key.source = IPAddress(ipv4: UInt32(bigEndian: UInt32(truncatingIfNeeded: address0)))
            key.destination = IPAddress(ipv4: UInt32(bigEndian: UInt32(truncatingIfNeeded: address0 >> 32)))
        }
        key.sourcePort = UInt16(bigEndian: UInt16(truncatingIfNeeded: tuple))
        key.destinationPort = UInt16(bigEndian: UInt16(truncatingIfNeeded: tuple >> 16))
        key.ingressPort = PortIndex(truncatingIfNeeded: tuple >> 32)
        key.transportProtocol = UInt8(truncatingIfNeeded: tuple >> 48)
        key.vlanCount = UInt8(truncatingIfNeeded: tuple >> 56) & ~PackedFlowKey.pppoe
        key.outerVLAN = UInt16(truncatingIfNeeded: encapsulation)
        let second = UInt16(truncatingIfNeeded: encapsulation >> 16)
        if tuple >> 63 == 0 { key.innerVLAN = second } else { key.pppoeSession = second }
        return key
    }
}
