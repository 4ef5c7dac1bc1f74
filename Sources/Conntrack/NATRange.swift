// What a NAT statement asks for: addresses, ports and how to choose among them (`struct nf_nat_range2`).
import Wire

@frozen public struct NATRange: Sendable {
    /// The values of Linux (`NF_NAT_RANGE_*`).
    @frozen public struct Flags: OptionSet, Sendable {
        public var rawValue: UInt16
        @inlinable public init(rawValue: UInt16) { self.rawValue = rawValue }
        /// `minimumAddress ... maximumAddress` hold.
        public static var addresses: Flags { .init(rawValue: 1) }
        /// `minimumPort ... maximumPort` hold.
        public static var ports: Flags { .init(rawValue: 2) }
        /// `random`.
        public static var random: Flags { .init(rawValue: 4) }
        /// `persistent`: the same address for a client whatever the destination.
        public static var persistent: Flags { .init(rawValue: 8) }
        /// `fully-random`.
        public static var fullyRandom: Flags { .init(rawValue: 16) }
        /// The port is shifted by `basePort` (iptables' shifted port ranges).
        public static var portOffset: Flags { .init(rawValue: 32) }
        /// `prefix`: only the network part of the address changes.
        public static var prefix: Flags { .init(rawValue: 64) }
    }
    public var flags: Flags = []
    public var minimumAddress = IPAddress(ipv4: 0)
    public var maximumAddress = IPAddress(ipv4: 0)
    /// Ports, or ICMP identifiers.
    public var minimumPort: UInt16 = 0
    public var maximumPort: UInt16 = 0
    public var basePort: UInt16 = 0
    @inlinable public init() {}

    /// `to A`, `to A-B`.
    public init(_ minimum: IPAddress, _ maximum: IPAddress? = nil, flags: Flags = []) {
        self.flags = flags.union(.addresses)
        minimumAddress = minimum
        maximumAddress = maximum ?? minimum
    }

    /// With `:P` or `:P-Q` as well.
    public func ports(_ minimum: UInt16, _ maximum: UInt16? = nil) -> NATRange {
        var range = self
        range.flags.insert(.ports)
        range.minimumPort = minimum
        range.maximumPort = maximum ?? minimum
        return range
    }
}
