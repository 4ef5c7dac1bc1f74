// How a device spreads what it receives over its queues: Toeplitz with a key, then a redirection table.
//
// Invariant: read back from the device after it took our key, so that NAT may rely on it. That the device's function is Toeplitz over
// source address, destination address, source port, destination port, and that it takes the hash's lowest bits for the table, is
// what every NIC with RSS does by default; DPDK 22.11 has no way to ask.
import CDPDK

public struct ReceiveHashing: Sendable, Equatable {
    /// Of RSS, in the order of the wire.
    public var key: [UInt8]
    /// The queue of each entry of the redirection table.
    public var queues: [UInt16]
    /// Kinds of packet of which ports are part of the hash.
    public var ipv4TCP: Bool
    public var ipv4UDP: Bool
    public var ipv6TCP: Bool
    public var ipv6UDP: Bool

    /// Of a port whose packets all come to queue 0.
    static var oneQueue: ReceiveHashing { ReceiveHashing(key: Array(repeating: 0, count: 40), queues: [0], ipv4TCP: true, ipv4UDP: true, ipv6TCP: true, ipv6UDP: true) }

    private init(key: [UInt8], queues: [UInt16], ipv4TCP: Bool, ipv4UDP: Bool, ipv6TCP: Bool, ipv6UDP: Bool) {
        self.key = key
        self.queues = queues
        self.ipv4TCP = ipv4TCP
        self.ipv4UDP = ipv4UDP
        self.ipv6TCP = ipv6TCP
        self.ipv6UDP = ipv6UDP
    }

    init(_ raw: UnsafePointer<nt_port_spread>) {
        key = withUnsafeBytes(of: raw.pointee.key) { Array($0.prefix(Int(raw.pointee.key_bytes))) }
        queues = withUnsafeBytes(of: raw.pointee.queues) { Array($0.bindMemory(to: UInt16.self).prefix(Int(raw.pointee.entries))) }
        ipv4TCP = raw.pointee.ipv4_tcp
        ipv4UDP = raw.pointee.ipv4_udp
        ipv6TCP = raw.pointee.ipv6_tcp
        ipv6UDP = raw.pointee.ipv6_udp
    }

    /// A word for `PortConfiguration.hashKeyWord` that nobody can guess who does not know the seed.
    public static func keyWord(seed: UInt64) -> UInt16 {
        // The finalizer of MurmurHash3 (Appleby, public domain).
        var mixed = (seed ^ seed >> 33) &* 0xff51_afd7_ed55_8ccd
        mixed = (mixed ^ mixed >> 33) &* 0xc4ce_b9fe_1a85_ec53
        let word = UInt16(truncatingIfNeeded: mixed >> 48)
        return word.nonzeroBitCount & 1 == 1 ? word : word ^ 1
    }
}
