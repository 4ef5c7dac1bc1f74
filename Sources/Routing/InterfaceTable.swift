// The ports, the VLANs on them, and their own addresses: what `ip link` and `ip address` would show.
//
// Invariant: written at configuration time by the owner only. The packet path reads plain memory: `ports[index]`, a flat
// list of addresses, and a hash table of the addresses that are ours.
//
// Overload: `capacity` ports and 32 addresses a port; more are refused with an error. Packets change nothing here.
import Wire

/// A port as the packet path sees it.
@frozen public struct Interface: Sendable {
    public var mac = EthernetAddress.zero
    /// Longest IP packet, in bytes.
    public var mtu: UInt32 = 1500
    /// Administratively up and with a link.
    public var isUp = false
    /// Configured at all.
    public var exists = false
    /// The port whose frames these are: itself, or the port below a VLAN.
    public var lower: PortIndex = 0
    /// The tags that the port's frames carry for this interface; none for the port itself.
    public var vlan = VLANStack()
    /// A PPPoE session's number and the station at its other end; 0: an Ethernet interface.
    public var pppoeSession: UInt16 = 0
    public var pppoePeer = EthernetAddress.zero
    /// Source NAT of what leaves here is endpoint-independent.
    public var hasConeNAT = false
    @inlinable init() {}
}

/// One own address.
@frozen public struct InterfaceAddress: Hashable, Sendable {
    public var prefix: IPPrefix
    public var port: PortIndex
    /// Another address of the same subnet on the port came first: never chosen as a source by itself.
    public var isSecondary: Bool
}

/// What one of our addresses is to us.
@frozen public enum OwnAddressKind: UInt8, Sendable {
    case none
    case unicast
    /// A subnet's broadcast address.
    case broadcast
    /// IPv6 subnet-router anycast (RFC 4291 section 2.6.1).
    case anycast
}

public struct InterfaceTable: ~Copyable {
    public let capacity: Int
    @usableFromInline let ports: UnsafeMutablePointer<Interface>
    private var names: [String]
    /// All own addresses in the order of configuration.
    public private(set) var addresses: [InterfaceAddress] = []
    @usableFromInline var owned: OwnAddressTable
    private var vlans = VLANTable()
    private var sessions = PPPoETable()
    public static var maximumAddressesPerPort: Int { 32 }

    public init(capacity: Int = 256) {
        self.capacity = capacity
        ports = .allocate(capacity: capacity)
        ports.initialize(repeating: Interface(), count: capacity)
        names = Array(repeating: "", count: capacity)
        owned = OwnAddressTable(capacity: 64)
    }

    deinit { ports.deallocate() }

    // MARK: - Configuration

    /// Names a port; a second call for one index replaces its properties and keeps its addresses.
    public mutating func add(port: PortIndex, name: String, mac: EthernetAddress, mtu: UInt32 = 1500, isUp: Bool = true) throws(RoutingError) {
        guard Int(port) < capacity else { throw RoutingError("port \(name): there can be \(capacity) ports at most") }
        guard !mac.isGroup else { throw RoutingError("port \(name): \(mac) is a group address") }
        if let other = index(named: name), other != port { throw RoutingError("there are two ports named \(name)") }
        names[Int(port)] = name
        ports[Int(port)].mac = mac
        ports[Int(port)].mtu = mtu
        ports[Int(port)].isUp = isUp
        ports[Int(port)].exists = true
        ports[Int(port)].lower = port
    }

    /// Names a VLAN on a port, or on a VLAN of a port: it has the MAC address of what is below.
    /// - Parameter tag: EtherType of its tag, 0x8100 or 0x88a8.
    public mutating func add(vlan: PortIndex, name: String, on below: PortIndex, id: UInt16, tag: UInt16, mtu: UInt32) throws(RoutingError) {
        guard Int(below) < capacity, ports[Int(below)].exists else { throw RoutingError("VLAN \(name): there is no port \(below)") }
        guard (1 ... 4094).contains(id) else { throw RoutingError("VLAN \(name): \(id) is no VLAN identifier") }
        var stack = ports[Int(below)].vlan
        guard stack.count < 2 else { throw RoutingError("VLAN \(name): a frame carries two tags at most") }
        stack.push(id: id, type: tag)
        let port = ports[Int(below)].lower
        guard vlans.find(port: port, stack: stack) == nil else { throw RoutingError("VLAN \(name): there is another one with these tags on port \(self.name(of: port))") }
        try add(port: vlan, name: name, mac: ports[Int(below)].mac, mtu: mtu)
        ports[Int(vlan)].lower = port
        ports[Int(vlan)].vlan = stack
        vlans.insert(port: port, stack: stack, interface: vlan)
    }

    /// Names a PPPoE session (RFC 2516) with `peer` on a port, or on a VLAN of a port.
    public mutating func add(pppoe: PortIndex, name: String, on below: PortIndex, session: UInt16, peer: EthernetAddress, mtu: UInt32) throws(RoutingError) {
        guard Int(below) < capacity, ports[Int(below)].exists, ports[Int(below)].pppoeSession == 0 else {
            throw RoutingError("PPPoE session \(name): there is no port \(below)")
        }
        guard session != 0, session != 0xffff else { throw RoutingError("PPPoE session \(name): \(session) is no session identifier") }
        guard ports[Int(below)].vlan.count < 2 else { throw RoutingError("PPPoE session \(name): a frame carries one tag before a session header at most") }
        guard sessions.insert(below: below, session: session, peer: peer, interface: pppoe) else {
            throw RoutingError("PPPoE session \(name): there is another one with this number on port \(self.name(of: below))")
        }
        try add(port: pppoe, name: name, mac: ports[Int(below)].mac, mtu: mtu)
        ports[Int(pppoe)].lower = ports[Int(below)].lower
        ports[Int(pppoe)].vlan = ports[Int(below)].vlan
        ports[Int(pppoe)].pppoeSession = session
        ports[Int(pppoe)].pppoePeer = peer
    }

    /// The interface of PPPoE frames of this session and station that arrive on the port or VLAN; nil if none is configured.
    public func interface(on below: PortIndex, session: UInt16, peer: EthernetAddress) -> PortIndex? {
        sessions.find(below: below, session: session, peer: peer)
    }

    /// The interface of frames that arrive on the port with these tags; nil if none is configured.
    public func interface(on port: PortIndex, tagged stack: VLANStack) -> PortIndex? { vlans.find(port: port, stack: stack) }

    public mutating func setUp(_ isUp: Bool, port: PortIndex) {
        guard Int(port) < capacity else { return }
        ports[Int(port)].isUp = isUp
    }

    public mutating func setConeNAT(port: PortIndex) {
        guard Int(port) < capacity else { return }
        ports[Int(port)].hasConeNAT = true
    }

    public mutating func setMTU(_ mtu: UInt32, port: PortIndex) {
        guard Int(port) < capacity else { return }
        ports[Int(port)].mtu = mtu
    }

    mutating func insert(_ prefix: IPPrefix, port: PortIndex) throws(RoutingError) -> InterfaceAddress {
        guard Int(port) < capacity, ports[Int(port)].exists else { throw RoutingError("address \(prefix): there is no port \(port)") }
        let address = prefix.address
        guard !address.isMulticast, !address.isLimitedBroadcast, !address.isZeroNet else { throw RoutingError("\(address) cannot be a port's own address") }
        if addresses.contains(where: { $0.prefix.address == address && $0.port == port }) { throw RoutingError("address \(address) is configured twice on port \(name(of: port))") }
        guard addresses.count(where: { $0.port == port }) < InterfaceTable.maximumAddressesPerPort else {
            throw RoutingError("port \(name(of: port)) has more than \(InterfaceTable.maximumAddressesPerPort) addresses")
        }
        let isSecondary = address.family == .ipv4 && addresses.contains { $0.port == port && $0.prefix.network == prefix.network }
        let entry = InterfaceAddress(prefix: prefix, port: port, isSecondary: isSecondary)
        addresses.append(entry)
        rebuild()
        return entry
    }

    mutating func remove(_ address: IPAddress, port: PortIndex) -> InterfaceAddress? {
        guard let index = addresses.firstIndex(where: { $0.prefix.address == address && $0.port == port }) else { return nil }
        let removed = addresses.remove(at: index)
        if !removed.isSecondary, let heir = addresses.firstIndex(where: { $0.port == port && $0.prefix.network == removed.prefix.network }) {
            addresses[heir].isSecondary = false
        }
        rebuild()
        return removed
    }

    private mutating func rebuild() {
        var table = OwnAddressTable(capacity: addresses.count * 3)
        for entry in addresses {
            // An address beats a broadcast or anycast address of the same value.
            table.insert(entry.prefix.address, kind: .unicast, port: entry.port)
        }
        for entry in addresses {
            if let broadcast = entry.prefix.broadcast { table.insert(broadcast, kind: .broadcast, port: entry.port) }
            if InterfaceTable.hasAnycast(entry.prefix) {
                table.insert(entry.prefix.network.address, kind: .anycast, port: entry.port)
            }
        }
        owned = table
    }

    /// Whether the prefix has a subnet-router anycast address (RFC 4291 section 2.6.1, RFC 6164 section 5).
    private static func hasAnycast(_ prefix: IPPrefix) -> Bool {
        prefix.address.family == .ipv6 && prefix.length < 127 && !prefix.address.isLinkLocal
    }

    // MARK: - Names

    public func name(of port: PortIndex) -> String { Int(port) < capacity ? names[Int(port)] : "" }
    public func index(named name: String) -> PortIndex? { name.isEmpty ? nil : names.firstIndex(of: name).map { PortIndex($0) } }

    // MARK: - Packet path

    /// The port's properties; a port that does not exist is down.
    @inlinable @inline(__always)
    public subscript(port: PortIndex) -> Interface { Int(port) < capacity ? ports[Int(port)] : Interface() }

    /// What the address is to us, on whatever port.
    @inlinable public func kind(of address: IPAddress) -> OwnAddressKind { owned.find(address).kind }
    /// The port that owns the address; meaningless if `kind(of:)` is `.none`.
    @inlinable public func owner(of address: IPAddress) -> (kind: OwnAddressKind, port: PortIndex) { owned.find(address) }
    /// Whether the address is a unicast address of any port (Linux's default: every port answers for all of them).
    @inlinable public func isOwn(_ address: IPAddress) -> Bool { owned.find(address).kind == .unicast }
    /// Whether the address is configured on this very port.
    public func isOwn(_ address: IPAddress, on port: PortIndex) -> Bool {
        isOwn(address) && addresses.contains { $0.port == port && $0.prefix.address == address }
    }

    /// Whether the port has an IPv6 link-local address.
    public func hasLinkLocal(_ port: PortIndex) -> Bool {
        addresses.contains { $0.port == port && $0.prefix.address.family == .ipv6 && $0.prefix.address.isLinkLocal }
    }

    /// Whether the port listens to the multicast group: all nodes, all routers, and for IPv6 the solicited-node groups
    /// of its addresses, anycast included (RFC 4291 section 2.8).
    public func isMember(of group: IPAddress, port: PortIndex) -> Bool {
        if group.family == .ipv4 { return group.ipv4 == 0xe000_0001 }
        switch (group.high, group.low) {
        case (0xff01_0000_0000_0000, 1...2), (0xff02_0000_0000_0000, 1...2), (0xff05_0000_0000_0000, 2): return true
        default:
            guard group.high == 0xff02_0000_0000_0000, group.low >> 24 == 0x0000_0001_ff else { return false }
            return addresses.contains {
                guard $0.port == port, $0.prefix.address.family == .ipv6 else { return false }
                let wanted = group.low & 0xff_ffff
                return $0.prefix.address.low & 0xff_ffff == wanted || (InterfaceTable.hasAnycast($0.prefix) && $0.prefix.network.address.low & 0xff_ffff == wanted)
            }
        }
    }
}
